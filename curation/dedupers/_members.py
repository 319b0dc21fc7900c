"""What the dedupers share: the narrow columns of all records in memory, and pairs in the contract's form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from curation.core.errors import PlanError
from curation.core.pairs import COMPARED, PAIR_COLUMNS
from curation.core.records import TEXT_COLUMNS, quality_rank

if TYPE_CHECKING:
    import dask.dataframe as dd

Keys = Callable[[pd.DataFrame], pd.DataFrame]
"""What records are compared by, computed where they lie: a frame of short strings with their rows; null in all its
columns says that a record has no text to compare, and so is a duplicate of nothing."""


_PAIR_TYPES: Final = {"id": object, "kept_id": object, "similarity": "float64"}


def check_by(kind: str, by: str, known: Sequence[str] = tuple(COMPARED)) -> None:
    """Raises PlanError unless `by` is one of `known`."""
    if by not in known:
        raise PlanError([f"deduper '{kind}': by is one of {', '.join(known)}, not '{by}'"])


def partitions_of(table: dd.DataFrame, against: dd.DataFrame | None) -> tuple[list[Any], int]:
    """The partitions of both tables, and how many of them are `table`'s."""
    own = table.to_delayed()
    return [*own, *(against.to_delayed() if against is not None else [])], len(own)


def members(partitions: Sequence[Any], own: int, keys: Keys) -> pd.DataFrame:
    """All records that have something to compare.

    Args:
        partitions: of the table, `own` of them, and then of the table to compare with.
        keys: runs on the workers; only what it answers with and narrow columns come back.

    Returns:
        Columns `id`, `origin`, `round`, `rank` (`quality_rank` over both tables), `new` (of the table itself),
        `partition`, `row` (place in its partition), and those of `keys`, of which those whose names begin with `key`
        tell what is equal.
    """
    import dask

    narrow = dask.delayed(_narrow)
    parts = dask.compute(*(narrow(part, keys) for part in partitions))
    if not parts:
        return pd.DataFrame(columns=["id", "origin", "round", "rank", "new", "partition", "row"])
    found = pd.concat(
        [part.assign(partition=number, new=number < own) for number, part in enumerate(parts)], ignore_index=True
    )
    found["rank"] = quality_rank(found)
    names = [name for name in found.columns if name.startswith("key")]
    narrow = found.drop(columns=["length", "question_score", "answer_score"])
    return narrow[found[names].notna().all(axis=1)].reset_index(drop=True)


def _narrow(rows: pd.DataFrame, keys: Keys) -> pd.DataFrame:
    texts = zip(*(rows[name] for name in TEXT_COLUMNS), strict=True)
    lengths = [sum(len(text) for text in row if isinstance(text, str)) for row in texts]
    narrow = rows[["id", "origin", "round", "question_score", "answer_score"]].reset_index(drop=True)
    narrow["length"] = np.array(lengths, dtype=np.int64)
    narrow["row"] = np.arange(len(rows))
    return pd.concat([narrow, keys(rows)], axis=1)


def pairs_of_equals(records: pd.DataFrame) -> pd.DataFrame:
    """Each record paired with the best of those that have the same `key`, at similarity 1.

    More pairs would say no more: who is paired with one of them is paired with all.

    Args:
        records: columns `id`, `rank`, `new`, `key`.
    """
    best = records.sort_values("rank").drop_duplicates("key")
    both = records.merge(best, on="key", suffixes=("", "_kept"))
    return (
        both.loc[(both["rank"] != both["rank_kept"]) & (both["new"] | both["new_kept"]), ["id", "id_kept"]]
        .set_axis(["id", "kept_id"], axis=1)
        .assign(similarity=1.0)
    )


def pairs_of_near(records: pd.DataFrame, near: pd.DataFrame) -> pd.DataFrame:
    """Pairs of records from pairs of keys: each record of the worse key with the best one of the better key.

    More pairs would say no more: who leaves because of another record of a key leaves because of its best one as well,
    or of what that one leaves for.

    Args:
        records: columns `id`, `rank`, `new`, `key`.
        near: columns `first`, `second` (different keys), `similarity`.
    """
    narrow = records[["key", "id", "rank", "new"]].sort_values("rank")
    best = narrow.drop_duplicates("key")
    rank = best.set_index("key")["rank"]
    swap = rank.reindex(near["first"]).to_numpy() > rank.reindex(near["second"]).to_numpy()
    turned = pd.DataFrame(
        {
            "better": near["second"].where(swap, near["first"]),
            "worse": near["first"].where(swap, near["second"]),
            "similarity": near["similarity"],
        }
    )
    both = turned.merge(best, left_on="better", right_on="key").merge(
        narrow, left_on="worse", right_on="key", suffixes=("_kept", "")
    )
    listed = both.loc[both["new"] | both["new_kept"], ["id", "id_kept", "similarity"]]
    return listed.set_axis(["id", "kept_id", "similarity"], axis=1)


def in_order(*pairs: pd.DataFrame) -> pd.DataFrame:
    """All pairs as the contract wants them: its columns and types, sorted by (`id`, `kept_id`)."""
    none = pd.DataFrame({"id": [], "kept_id": [], "similarity": []})
    typed = [part[list(PAIR_COLUMNS)].astype(_PAIR_TYPES) for part in (none, *pairs)]
    return pd.concat(typed).sort_values(["id", "kept_id"], ignore_index=True)
