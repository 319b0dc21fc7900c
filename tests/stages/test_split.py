"""The split: groups together, shares met, and the same for the same data in any order."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from curation.config import SplitPlan
from curation.stages.split import assign

PLAN = SplitPlan()


def ids(count: int) -> pd.Series:
    return pd.Series([f"{number:04d}" for number in range(count)])


def pairs(*links: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"{one:04d}", f"{other:04d}", 0.95) for one, other in links], columns=["id", "kept_id", "similarity"]
    )


def test_the_shares_are_met() -> None:
    assert assign(ids(100), None, PLAN, 42)["split"].value_counts().to_dict() == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }


def test_a_group_lies_in_one_split_also_through_records_that_left() -> None:
    splits = assign(ids(50), pairs((1, 900), (900, 2), (2, 3)), PLAN, 42).set_index("id")
    group = splits.loc[["0001", "0002", "0003"]]
    assert group["split"].nunique() == 1
    assert set(group["group_id"]) == {"0001"}
    assert len(splits) == 50


@given(st.permutations(range(30)), st.permutations(range(3)))
def test_no_order_matters(order: list[int], pair_order: list[int]) -> None:
    links = pairs((1, 2), (5, 6), (6, 7))
    shuffled = assign(ids(30).iloc[order], links.iloc[pair_order], PLAN, 7)
    assert shuffled.equals(assign(ids(30), links, PLAN, 7))


def test_a_seed_draws_another_split() -> None:
    assert not assign(ids(100), None, PLAN, 1).equals(assign(ids(100), None, PLAN, 2))


def test_everything_may_go_into_one_split() -> None:
    plan = SplitPlan(train=1.0, validation=0.0, test=0.0)
    assert set(assign(ids(7), None, plan, 1)["split"]) == {"train"}


def test_few_and_no_records() -> None:
    assert list(assign(ids(1), None, PLAN, 1)["split"]) == ["train"]
    assert assign(ids(0), None, PLAN, 1).empty
