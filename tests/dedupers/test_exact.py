from __future__ import annotations

import pickle
import random

import dask.dataframe as dd
import pandas as pd
import pytest

from curation.core.errors import PlanError
from curation.core.pairs import compared_texts, keep_best, normalize
from curation.core.records import SYNTHETIC, Record, frame, human
from curation.dedupers.exact import Exact
from tests.dedupers.tables import Similarity, all_pairs, ranks_of, table_of

ROWS = [
    human("a", title="Brewing", question="How do I brew coffee?", answer="With water.", question_score=1.0),
    human("b", title="brewing", question="how do I brew  coffee", answer="With milk.", question_score=5.0),
    human("c", title="Brewing", question="How do I brew coffee", answer="WITH WATER"),
    human("d", title=None, question="What is C++?", answer="With water!"),
    human("e", title="", question="What is C#?", answer=None),
    human("f", title=None, question=None, answer=""),
    human("g", title="", question=" ", answer=None),
]


def random_rows(count: int, seed: int, prefix: str = "r") -> list[Record]:
    chance = random.Random(seed)
    texts = ["One answer.", "one  answer", "Two", "two!", "C++", "C#", "", None]
    return [
        human(
            f"{prefix}{number}",
            title=chance.choice([None, "Title", "title"]),
            question=chance.choice(texts),
            answer=chance.choice(texts),
            question_score=float(chance.randrange(3)),
        )
        for number in range(count)
    ]


def equality(by: str, rows: list[Record]) -> Similarity:
    columns = [[normalize(text) for text in column] for column in compared_texts(frame(rows), by)]
    forms = dict(zip([row["id"] for row in rows], zip(*columns, strict=True), strict=True))
    return lambda one, other: 1.0 if any(forms[one["id"]]) and forms[one["id"]] == forms[other["id"]] else None


@pytest.mark.parametrize(
    ("by", "found"),
    [
        ("question", [("a", "b"), ("c", "b")]),
        ("answer", [("c", "a"), ("d", "a")]),
        ("both", [("c", "a")]),
    ],
)
def test_each_is_paired_with_the_best_of_its_equals(by: str, found: list[tuple[str, str]]) -> None:
    pairs = Exact(by).find(table_of(ROWS))
    assert list(pairs[["id", "kept_id"]].itertuples(index=False, name=None)) == found
    assert set(pairs["similarity"]) == {1.0}


@pytest.mark.parametrize("by", ["question", "answer", "both"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_leaves_is_what_all_pairs_would_remove(by: str, seed: int) -> None:
    rows, others = random_rows(40, seed), random_rows(15, seed + 100, "s")
    rank = ranks_of([*rows, *others])
    equal = equality(by, [*rows, *others])
    every = all_pairs(rows, others, equal)
    found = Exact(by).find(table_of(rows), table_of(others, 2))
    assert len(every) > len(found) > 0
    pd.testing.assert_frame_equal(found, found.merge(every).sort_values(["id", "kept_id"], ignore_index=True))
    alone = all_pairs(rows, [], equal)
    pd.testing.assert_frame_equal(
        keep_best(Exact(by).find(table_of(rows)), rank, 1.0)[["id"]], keep_best(alone, rank, 1.0)[["id"]]
    )


def test_partitions_and_order_change_nothing() -> None:
    rows, others = random_rows(60, 5), random_rows(20, 6, "s")
    expected = Exact().find(table_of(rows, 1), table_of(others, 1))
    for seed in range(4):
        again = Exact().find(table_of(rows, 9, seed), table_of(others, 4, seed))
        pd.testing.assert_frame_equal(again, expected)


def test_text_columns_may_be_arrow_strings() -> None:
    arrow = dd.from_pandas(frame(ROWS).astype(dict.fromkeys(("id", "title", "answer"), "string[pyarrow]")), 2)
    pd.testing.assert_frame_equal(Exact().find(arrow), Exact().find(table_of(ROWS)))


def test_against_is_not_compared_with_itself() -> None:
    same = {"title": "T", "question": "Q", "answer": "A"}
    published = [human("p1", **same), human("p2", **same)]
    new = [{**human("n1", **same), "origin": SYNTHETIC, "round": 1}]
    pairs = Exact().find(table_of(new, 1), table_of(published, 1))
    assert pairs[["id", "kept_id"]].to_numpy().tolist() == [["n1", "p1"]]
    assert Exact().find(table_of([], 1), table_of(published, 1)).empty


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS[4:]])
def test_nothing_to_find(rows: list[Record]) -> None:
    pairs = Exact().find(table_of(rows, 4))
    assert pairs.empty
    assert pairs.dtypes.astype(str).to_dict() == {"id": "object", "kept_id": "object", "similarity": "float64"}


def test_travels() -> None:
    assert pickle.loads(pickle.dumps(Exact("answer"))).by == "answer"


def test_an_unknown_way_to_compare() -> None:
    with pytest.raises(PlanError, match="by is one of question, answer, both, not 'text'"):
        Exact("text")
