"""Splits by groups: what is a duplicate, a near duplicate or a relative of a record lies in the same split as it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curation.config import SplitPlan
from curation.core.pairs import connected_groups
from curation.core.records import COLUMNS, SEED, SPLITS, digest
from curation.engine.lift import Outcome
from curation.engine.run import Run, columns_of, table_of
from curation.engine.store import Stage, writing
from curation.stages.dedup import PAIRS

SPLIT_FILE = "splits.parquet"


@dataclass(frozen=True)
class Assign:
    """Writes each row's group and split into it."""

    splits: Path

    def __call__(self, rows: pd.DataFrame) -> Outcome:
        """One partition."""
        assigned = rows.drop(columns=["group_id", "split"]).merge(
            pd.read_parquet(self.splits), on="id", how="left", validate="1:1"
        )
        return Outcome(assigned[list(COLUMNS)])


def split(run: Run, table: Stage, dedups: Sequence[Stage], plan: SplitPlan, seed: int) -> Stage:
    """Every record of `table` in one split, groups kept together; seeds are in train and count for no share.

    Args:
        dedups: the stages whose pairs make the groups; records that left through them still tie others together.
    """

    def prepare(folder: Path) -> tuple[Any, Assign]:
        rows = columns_of([table], ["id", "origin"])
        is_seed = rows["origin"] == SEED
        pairs = [_ties(stage, plan.near) for stage in dedups]
        splits = assign(rows.loc[~is_seed, "id"], pd.concat(pairs) if pairs else None, plan, seed)
        if is_seed.any():
            splits = pd.concat([splits, _of_seeds(rows.loc[is_seed, "id"])]).sort_values("id", ignore_index=True)
        with writing(folder / SPLIT_FILE):
            splits.to_parquet(folder / SPLIT_FILE, index=False)
        return table_of([table]), Assign(folder / SPLIT_FILE)

    settings = {**plan.model_dump(), "seed": seed}
    return run.stage("70-split", 0, [table, *dedups], settings, [__name__, "curation.core.pairs"], prepare)


def _ties(stage: Stage, near: float) -> pd.DataFrame:
    """The pairs of a dedup stage that must not lie in two splits: by meaning those of `near` on, by words all."""
    pairs = pd.read_parquet(stage.folder / PAIRS)
    if stage.manifest.stage != "near":
        return pairs
    return pairs[(pairs["similarity"] >= near) | pairs["similarity"].isna()]


def _of_seeds(ids: pd.Series) -> pd.DataFrame:
    """What is written from a seed is for training, and related to nothing else that was read."""
    return pd.DataFrame({"id": ids, "group_id": ids, "split": "train"})


def assign(ids: pd.Series, pairs: pd.DataFrame | None, plan: SplitPlan, seed: int) -> pd.DataFrame:
    """The split of each record, from the ids and pairs alone, so that no order or partition matters.

    The largest groups are placed first, then the rest in an order that the seed draws, each into the split that is
    furthest below its share. So the shares are met as nearly as the groups allow.

    Returns:
        Columns `id`, `group_id` (the smallest id of the group, of a record that left perhaps), `split`.
    """
    groups = connected_groups(ids, pairs) if pairs is not None else pd.Series(ids.to_numpy(), index=ids.to_numpy())
    sizes = groups.value_counts()
    order = sorted(sizes.index, key=lambda group: (-sizes[group], digest(seed, group)))
    missing = {name: getattr(plan, name) * len(ids) for name in SPLITS}
    placed = {}
    for group in order:
        emptiest = max(SPLITS, key=lambda name: (missing[name], -SPLITS.index(name)))
        placed[group] = emptiest
        missing[emptiest] -= sizes[group]
    table = pd.DataFrame({"id": groups.index, "group_id": groups.to_numpy()})
    return table.assign(split=table["group_id"].map(placed)).sort_values("id", ignore_index=True)
