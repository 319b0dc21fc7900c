"""Drawing parents: balanced over tags, and the same whatever the order of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from curation.stages.parents import draw


def table(tags: Sequence[str | None]) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"{number:04d}" for number in range(len(tags))], "tags": list(tags)})


def test_a_rare_tag_is_drawn_about_as_often_as_a_common_one() -> None:
    rows = table(["rent"] * 900 + ["visa"] * 100)
    counts = Counter(rows.set_index("id").loc[draw(rows, set(), 100, seed=1, round_number=1), "tags"])
    assert 35 <= counts["visa"] <= 65  # an even draw would take about 10


def test_rows_without_tags_are_drawn_too() -> None:
    assert len(draw(table([None, "", "rent"]), set(), 3, seed=1, round_number=1)) == 3


def test_records_that_were_parents_before_come_last() -> None:
    rows = table(["rent"] * 10)
    first = draw(rows, set(), 6, seed=1, round_number=1)
    second = draw(rows, set(first), 6, seed=1, round_number=2)
    assert set(second[:4]) == set(rows["id"]) - set(first)
    assert len(set(second)) == 6


@given(st.permutations(range(12)))
def test_the_draw_does_not_depend_on_the_order_of_the_rows(order: list[int]) -> None:
    rows = table(["rent", "visa,work", "work"] * 4)
    assert draw(rows.iloc[order], set(), 5, seed=3, round_number=1) == draw(rows, set(), 5, seed=3, round_number=1)


def test_another_seed_or_round_draws_others() -> None:
    rows = table(["rent"] * 200)
    draws = {tuple(draw(rows, set(), 5, seed, number)) for seed in (1, 2) for number in (1, 2)}
    assert len(draws) == 4
