"""The run's files, as the checks read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow.compute as pc

from curation.core.pairs import compared_texts, normalize
from curation.core.records import SEED, SPLITS, TEXT_COLUMNS, Record, digest
from curation.core.vectors import hash_of
from curation.engine.store import Manifest, Stage
from curation.report.finished import Finished, batches

_LINEAGE = ("id", "root_id", "parent_id", "group_id", "origin", "round", "split")
_BATCH = 4096  # records read at a time


class NothingToProveError(Exception):
    """The plan promises nothing that a check could prove."""


@dataclass(frozen=True)
class Evidence:
    """The run's files, read when a check first needs them."""

    run: Finished

    @cached_property
    def final(self) -> pd.DataFrame:
        """A row for each record of `final/`, in the order of the files: its lineage; `file`, the split whose file it
        is in; `exact`, the hash of its normalised texts; `near_0`, …, the hashes of its compared texts. Hashes are
        null where the plan has no such deduper, and for records without a text to compare."""
        parts = [self._keys(rows).assign(file=split) for split in SPLITS for rows in records_of(self.path_of(split))]
        if not parts:  # an empty dataset has the same columns
            return self._keys(_no_records()).assign(file=None)
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """A row with the same columns for each seed, which `final/` doesn't hold; `file` is its split."""
        found = batches(self.run.dataset[0].parts, [*_LINEAGE, *TEXT_COLUMNS])
        seeds = (batch.filter(pc.equal(batch.column("origin"), SEED)) for batch in found)
        parts = [self._keys(batch.to_pandas()) for batch in seeds]
        table = pd.concat(parts or [self._keys(_no_records())], ignore_index=True)
        return table.assign(file=table["split"])

    @cached_property
    def exports(self) -> list[Stage]:
        """The folders that were written for readers; one whose manifest can't be read has no files."""
        blank = Manifest(stage="", round=0, signature="", rows_in=0, rows_out=0)
        return [Stage(folder, Manifest.read(folder) or blank) for folder in self.run.exports]

    def path_of(self, split: str) -> Path:
        """The final file of a split."""
        return self.run.root / "final" / f"{split}.jsonl"

    def by(self, deduper: str) -> str | None:
        """By what texts the plan compares records, `exact` or `semantic`; None where it does not."""
        plan = self.run.plan["dedup"][deduper]
        return plan["by"] if plan else None

    def shown(self, path: Path) -> str:
        """A path below the run's folder."""
        return path.relative_to(self.run.root).as_posix()

    def _keys(self, rows: pd.DataFrame) -> pd.DataFrame:
        table = rows[list(_LINEAGE)].copy()
        table["exact"] = None
        if by := self.by("exact"):
            texts = zip(*([normalize(text) for text in column] for column in compared_texts(rows, by)), strict=True)
            table["exact"] = pd.Series([digest(*row) if any(row) else None for row in texts], dtype=object)
        if by := self.by("semantic"):
            columns = compared_texts(rows, by)
            silent = [not any(text.strip() for text in row) for row in zip(*columns, strict=True)]
            for number, column in enumerate(columns):
                hashes = [None if none else hash_of(text) for text, none in zip(column, silent, strict=True)]
                table[f"near_{number}"] = pd.Series(hashes, dtype=object)
        return table


def values_of(files: Sequence[Path], name: str) -> list[Any]:
    """A column of Parquet files, row by row."""
    return [value for batch in batches(files, [name]) for value in batch.column(0).to_pylist()]


def records_of(path: Path) -> Iterator[pd.DataFrame]:
    """The records of a final file, some at a time: lineage and texts."""
    with path.open("rb") as file:
        lines = enumerate(file, 1)
        while rows := [_record(path, number, line) for number, line in islice(lines, _BATCH)]:
            yield pd.DataFrame(rows, columns=[*_LINEAGE, *TEXT_COLUMNS], dtype=object)


def _no_records() -> pd.DataFrame:
    return pd.DataFrame(columns=[*_LINEAGE, *TEXT_COLUMNS], dtype=object)


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        row = orjson.loads(line)
        return {name: row[name] for name in (*_LINEAGE, *TEXT_COLUMNS)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name}, line {number} is no record: {error}") from error
