"""Ids, seeds, lineage and the order of quality."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from curation.core.records import COLUMNS, SYNTHETIC, child, digest, frame, human, quality_rank, unit_interval


def test_a_digest_tells_lists_of_parts_apart() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") != digest("a", "")
    assert digest("\ud800")  # a lone surrogate must not stop a run


@given(st.text(), st.integers())
def test_a_drawn_number_is_strictly_between_0_and_1(text: str, number: int) -> None:
    assert 0 < unit_interval(text, number) < 1
    assert unit_interval(text, number) == unit_interval(text, number)


def test_a_child_has_its_parents_group_and_split_and_its_own_id() -> None:
    parent = human("q1", question="long", answer="yes", group_id="q0", split="train", question_score=9.0, line=4)
    row = child(parent, 1, 2, {"question": "short", "strategy": "noise", "id": "forged", "split": "test"})
    assert row["id"] == "q1-synth-2-1"
    assert (row["parent_id"], row["root_id"], row["group_id"], row["split"]) == ("q1", "q1", "q0", "train")
    assert (row["origin"], row["round"], row["question"], row["answer"]) == (SYNTHETIC, 2, "short", "yes")
    assert row["question_score"] == 0.0
    assert row["line"] is None


def test_a_frame_keeps_nulls_as_none_and_has_all_columns() -> None:
    rows = frame([human("a", title=None), human("b", title="t")])
    assert list(rows.columns) == list(COLUMNS)
    assert list(rows["title"]) == [None, "t"]
    assert rows["question_score"].dtype == "float64"


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("synthetic", "synthetic", 1, 5.0, 5.0, 900),
            ("second-round", "synthetic", 2, 9.0, 9.0, 900),
            ("low", "human", 0, 1.0, None, 500),
            ("high", "human", 0, 1.0, 3.0, 100),
            ("long", "human", 0, 1.0, 0.0, 600),
            ("b", "human", 0, 0.0, 0.0, 10),
            ("a", "human", 0, 0.0, 0.0, 10),
        ],
        columns=["id", "origin", "round", "question_score", "answer_score", "length"],
    )


def test_quality_prefers_human_then_earlier_rounds_scores_length_and_the_smaller_id() -> None:
    table = rows()
    ordered = table.assign(rank=quality_rank(table)).sort_values("rank")["id"]
    assert list(ordered) == ["high", "long", "low", "a", "b", "synthetic", "second-round"]


@given(st.permutations(range(7)))
def test_quality_does_not_depend_on_the_order_of_rows(order: list[int]) -> None:
    table = rows()
    shuffled = table.iloc[order]
    ranks = dict(zip(shuffled["id"], quality_rank(shuffled), strict=True))
    assert ranks == dict(zip(table["id"], quality_rank(table), strict=True))
