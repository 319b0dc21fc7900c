"""Records whose texts are equal after normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from curation.core.contracts import Deduper
from curation.core.pairs import compared_texts, normalize
from curation.core.records import digest
from curation.dedupers._members import check_by, in_order, members, pairs_of_equals, partitions_of

if TYPE_CHECKING:
    import dask.dataframe as dd


class Exact(Deduper):
    """Pairs each record with the best of those that say the same, whatever their case, white space or full stops.

    Args:
        by: `question` (with its title), `answer`, or `both`: both equal. What counts as equal says `pairs.normalize`.
            A record without any text to compare is a duplicate of nothing.
    """

    threshold = 1.0

    def __init__(self, by: str = "both") -> None:
        check_by("exact", by, ("question", "answer", "both"))
        self.by = by

    def find(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.DataFrame:
        """See `Deduper.find`; of equal records each is paired with the best alone, at similarity 1."""
        return in_order(pairs_of_equals(members(*partitions_of(table, against), _Normalized(self.by))))


@dataclass(frozen=True)
class _Normalized:
    """The hash of each record's normalised texts, as column `key`."""

    by: str

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        texts = zip(*([normalize(text) for text in column] for column in compared_texts(rows, self.by)), strict=True)
        return pd.DataFrame({"key": pd.Series([digest(*row) if any(row) else None for row in texts], dtype=object)})
