"""Dask tables cut at random, and what the dedupers must find in them, computed the long way."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import dask.dataframe as dd
import pandas as pd

from curation.core.pairs import PAIR_COLUMNS
from curation.core.records import TEXT_COLUMNS, Record, frame, quality_rank

Similarity = Callable[[Record, Record], float | None]


def table_of(rows: Sequence[Record], partitions: int = 3, seed: int | None = None) -> dd.DataFrame:
    """The rows as a lazy table; with a seed in another order, and cut at random places (parts may be empty)."""
    rows = list(rows)
    cuts = [len(rows) * number // partitions for number in range(1, partitions)]
    if seed is not None:
        chance = random.Random(seed)
        chance.shuffle(rows)
        cuts = sorted(chance.randrange(len(rows) + 1) for _ in cuts)
    parts = [rows[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return dd.from_map(frame, parts, meta=frame([]), enforce_metadata=False)


def ranks_of(rows: Sequence[Record]) -> dict[str, int]:
    """Each record's place in the order of quality."""
    table = frame(rows)
    table["length"] = [sum(len(row[name] or "") for name in TEXT_COLUMNS) for row in rows]
    return dict(zip(table["id"], quality_rank(table), strict=True))


def all_pairs(rows: Sequence[Record], against: Sequence[Record], similarity: Similarity) -> pd.DataFrame:
    """Every pair for which `similarity` answers, within `rows` and between both, in the contract's form."""
    rank = ranks_of([*rows, *against])
    found: list[tuple[Any, ...]] = []
    for place, one in enumerate(rows):
        for other in [*rows[place + 1 :], *against]:
            value = similarity(one, other)
            if value is not None:
                best, worst = sorted((one["id"], other["id"]), key=rank.__getitem__)
                found.append((worst, best, value))
    table = pd.DataFrame(found, columns=list(PAIR_COLUMNS)).astype({"similarity": "float64"})
    return table.sort_values(["id", "kept_id"], ignore_index=True)
