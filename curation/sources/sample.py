"""The embedded sample: about 150 questions on everyday law, written for this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from curation.core.contracts import Source
from curation.core.records import digest
from curation.sources.jsonl import Jsonl

if TYPE_CHECKING:
    import dask.dataframe as dd

DATA = Path(__file__).parent / "data"
SAMPLE = DATA / "sample.jsonl"
EXPECTATIONS = DATA / "sample_expectations.json"
"""What a run with the default steps must do with each record of the sample."""


class Sample(Source):
    """Raw records as the web has them: HTML, bad encoding, duplicates, low votes, refusals, too short and too long.

    Args:
        partition_bytes: a partition ends with the row that reaches it. Changes no row; the default makes a few
            partitions, so that the sample shows parallel work.
    """

    def __init__(self, partition_bytes: int = 64 * 1024) -> None:
        self.partition_bytes = partition_bytes

    def read(self) -> dd.DataFrame:
        """See `Source.read`."""
        return Jsonl([str(SAMPLE)], partition_bytes=self.partition_bytes).read()

    def fingerprint(self) -> str:
        """A checksum: an installed file's modification time says nothing."""
        return digest(SAMPLE.read_bytes())
