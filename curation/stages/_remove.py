"""Removing rows by a decision that was made over the whole table: what dedup, split and target share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from curation.core.records import COLUMNS
from curation.engine import ledger
from curation.engine.lift import Outcome
from curation.engine.store import writing

VERDICTS = "verdicts.parquet"


def write_verdicts(folder: Path, verdicts: pd.DataFrame) -> Path:
    """Leaves the decision beside the rows, where the workers read it and a person can."""
    path = folder / VERDICTS
    with writing(path):
        verdicts.to_parquet(path, index=False)
    return path


@dataclass(frozen=True)
class Remove:
    """Moves the rows that a decision names to the ledger.

    Args:
        stage, round_number: as the ledger calls them.
        verdicts: a Parquet file with the columns `key` and the ledger's own (`reason`, `kept_id`, …).
        key: the columns that identify a row.
    """

    stage: str
    round_number: int
    verdicts: Path
    key: tuple[str, ...] = ("id",)

    def __call__(self, rows: pd.DataFrame) -> Outcome:
        """One partition."""
        decided = rows.merge(pd.read_parquet(self.verdicts), on=list(self.key), how="left", validate="m:1")
        leaves = decided["reason"].notna()
        kept = decided.loc[~leaves, list(COLUMNS)]
        return Outcome(kept, ledger.entries(decided[leaves], self.stage, self.round_number))
