"""How many records each group still lacks, and how many parents it takes to write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pandas as pd

from curation.config import BalancePlan
from curation.core.balance import quotas
from curation.core.errors import InputError
from curation.core.records import SEED, SYNTHETIC
from curation.core.registry import nearest
from curation.engine.run import columns_of
from curation.engine.store import Stage


@dataclass(frozen=True)
class Need:
    """What a round is to bring.

    Args:
        parents: how many to draw, by group; groups that need none, or have no parents left, aren't in it.
        room: how many new records each group may get.
    """

    parents: dict[str, int]
    room: dict[str, int]


def need(
    dataset: Sequence[Stage], used: Sequence[Stage], plan: BalancePlan, target_size: int | None, variants: int
) -> Need:
    """What the groups lack after the rounds so far.

    A group's parents are as many as would have given what it lacks at the rate of its earlier rounds: at first, a
    record from each variant.

    Args:
        used: the parents of earlier rounds.
        variants: records that the generator tries to write from each parent.
    """
    rows = grouped(dataset, plan.by)
    rows = rows[rows["split"] == "train"]
    parents = rows[rows["origin"] != SYNTHETIC]["group"].value_counts().to_dict()
    has = rows[rows["origin"] != SEED]["group"].value_counts().to_dict()
    written = rows[rows["origin"] == SYNTHETIC]["group"].value_counts().to_dict()
    drawn = grouped(used, plan.by)["group"].value_counts().to_dict()
    may_draw = {group: min(count, plan.max_parents - drawn.get(group, 0)) for group, count in parents.items()}
    wanted = _wanted(plan, target_size, {group: has.get(group, 0) for group in parents}, may_draw)
    room = {group: count - has.get(group, 0) for group, count in wanted.items() if count > has.get(group, 0)}
    takes = {
        group: math.ceil(lacks * drawn.get(group, 0) / max(1, written.get(group, 0)))
        if group in drawn
        else math.ceil(lacks / variants)
        for group, lacks in room.items()
    }
    return Need({group: min(count, may_draw[group]) for group, count in takes.items() if may_draw[group] > 0}, room)


def _wanted(
    plan: BalancePlan, target_size: int | None, has: Mapping[str, int], may_draw: Mapping[str, int]
) -> dict[str, int]:
    """The records that each group is to have in the end; one that may not be drawn from any more stays as it is."""
    can_have = {group: None if may_draw[group] > 0 else count for group, count in has.items()}
    if target_size is None:
        assert plan.each is not None
        return dict.fromkeys(has, plan.each)
    shares = quotas(can_have, target_size)
    return {group: min(share, plan.each or share) for group, share in shares.items()}


def most_parents(dataset: Sequence[Stage], plan: BalancePlan, rounds: int) -> int:
    """The parents that so many rounds draw, if groups never have enough."""
    rows = grouped(dataset, plan.by)
    can_be_drawn = rows[(rows["split"] == "train") & (rows["origin"] != SYNTHETIC)]["group"].value_counts()
    return sum(min(plan.max_parents, rounds * count) for count in can_be_drawn)


def grouped(stages: Sequence[Stage], by: str) -> pd.DataFrame:
    """Columns `id`, `split`, `origin`, `answer_score` and `group` of all rows that have one.

    Raises:
        InputError: no row has the column.
    """
    rows = columns_of(stages, ["id", "split", "origin", "answer_score", "tags", "extra"])
    extra = [orjson.loads(text or "{}") for text in rows["extra"]]
    rows["group"] = rows["tags"] if by == "tags" else [group_of(values, by) for values in extra]
    if len(rows) and rows["group"].isna().all():
        known = sorted({"tags", *(name for values in extra for name in values)})
        raise InputError(
            f"rounds.balance.by: no record has a column '{by}'.{nearest(by, known)} There are: {', '.join(known)}"
        )
    return rows.dropna(subset=["group"])[["id", "split", "origin", "answer_score", "group"]]


def group_of(extra: Mapping[str, Any], by: str) -> str | None:
    """The value of a column of the source, as text."""
    value = extra.get(by)
    return None if value is None else str(value)
