from __future__ import annotations

import pickle
import random

import numpy as np
import pandas as pd
import pytest

from curation.core.errors import PlanError
from curation.core.records import Record, human
from curation.dedupers import _hashing, ngram
from curation.dedupers.ngram import RUN_TEXTS, Ngram, runs_of, words_of
from tests.dedupers.tables import Similarity, all_pairs, ranks_of, table_of

STORY = "the quick brown fox jumps over the lazy dog while seven grey herons watch from the far bank of a river"
"""21 words."""
LONG = " ".join(f"filler{number}" for number in range(40))


def rows_of(count: int, seed: int, prefix: str = "r") -> list[Record]:
    """Texts put together from a few phrases, so that some runs of five words are shared, and others only nearly."""
    chance = random.Random(seed)
    words = STORY.split()

    def text() -> str | None:
        if chance.random() < 0.1:
            return None
        parts = [words[start : start + chance.randrange(2, 8)] for start in chance.sample(range(14), 2)]
        return " ".join(word for part in parts for word in part)

    return [
        human(f"{prefix}{number:02d}", title=text(), question=text(), answer=text(), question_score=float(number % 3))
        for number in range(count)
    ]


def share(n: int, minimum: int, rank: dict[str, int]) -> Similarity:
    """The share of the worse record's runs, the long way."""

    def runs(row: Record) -> set[str]:
        return {run for name in RUN_TEXTS for run in runs_of(words_of(row[name] or ""), n, minimum)}

    def similarity(one: Record, other: Record) -> float | None:
        worse, better = sorted((one, other), key=lambda row: -rank[row["id"]])
        shared = runs(worse) & runs(better)
        return round(len(shared) / len(runs(worse)), 6) if shared else None

    return similarity


@pytest.mark.parametrize(("n", "minimum"), [(5, 3), (4, 8), (7, 7)])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_pair_that_shares_a_run_is_found(n: int, minimum: int, seed: int) -> None:
    rows, others = rows_of(25, seed), rows_of(10, seed + 50, "s")
    every = all_pairs(rows, others, share(n, minimum, ranks_of([*rows, *others])))
    assert len(every) > 10
    for order in (None, 1, 2):
        found = Ngram(n, minimum).find(table_of(rows, 4, order), table_of(others, 2, order))
        pd.testing.assert_frame_equal(found, every)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_most_similar_of_the_other_set_is_named(seed: int) -> None:
    rows, others = rows_of(25, seed), rows_of(4, seed + 50, "s")
    best = {}
    for row in rows:
        ranks = {row["id"]: 1, **dict.fromkeys((other["id"] for other in others), 0)}
        values = [(share(6, 4, ranks)(row, other) or 0.0, other["id"]) for other in others]
        similarity, kept = min(values, key=lambda value: (-value[0], value[1]))
        if similarity:
            best[row["id"]] = (kept, similarity)
    assert 5 < len(best) < len(rows)
    for order in (None, 1, 2):
        found = Ngram(6, 4).match(table_of(rows, 4, order), table_of(others, 3, order))
        assert list(found.columns) == ["id", "kept_id", "similarity"]
        assert {row.id: (row.kept_id, row.similarity) for row in found.itertuples()} == best
        assert list(found["id"]) == sorted(best)


def test_a_run_of_thirteen_words_anywhere_is_enough_and_twelve_are_not() -> None:
    words = STORY.split()
    rows = [
        human("enough", question=LONG, answer=f"{LONG} {' '.join(words[3:16]).upper()}, {LONG}"),
        human("short", question=f"{LONG} {' '.join(words[3:15])} {LONG}"),
        human("apart", title=" ".join(words[:7]), question=" ".join(words[7:13])),
    ]
    found = Ngram().matches(table_of(rows), table_of([human("bench", question=STORY)]))
    assert found[["id", "kept_id", "text", "kept_text"]].to_numpy().tolist() == [
        ["enough", "bench", "answer", "question"]
    ]
    assert found.loc[0, "words"] == " ".join(words[3:16])
    assert 0 < found.loc[0, "similarity"] < 0.05


def test_case_white_space_and_punctuation_around_words_change_nothing() -> None:
    marked = " ".join(f"({word.title()})" for word in STORY.split()).replace(") (", ")\n - **", 3)
    found = Ngram().match(table_of([human("a", question=marked)]), table_of([human("b", question=STORY)]))
    assert found["similarity"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("question", "matches"),
    [
        ("What is the oldest brewery in the world?", True),
        ("what is the oldest brewery in the world", True),
        ("So, what is the oldest brewery in the world?", False),
        ("What is the oldest brewery in the world today?", False),
    ],
)
def test_a_short_text_must_be_equal_as_a_whole(question: str, matches: bool) -> None:
    bench = [human("b", question="What is the oldest brewery in the world?")]
    assert Ngram().match(table_of([human("a", title=question)]), table_of(bench)).empty is not matches


def test_texts_of_a_few_words_are_never_compared() -> None:
    bench = [human("b", question="Is it any good at all?")]
    assert Ngram().match(table_of([human("a", question="Is it any good at all?")]), table_of(bench)).empty
    assert len(Ngram(minimum=6).match(table_of([human("a", question="Is it any good at all?")]), table_of(bench))) == 1


def test_what_only_the_hashes_share_is_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hashing, "_of_word", lambda word: len(word))
    bench = [human("b1", question="aaa bbb ccc"), human("b2", question="xxx yyy zzz aaa bbb")]
    rows = [human("a1", question="ddd eee fff"), human("a2", question="xxx yyy zzz kkk")]
    found = Ngram(n=3, minimum=3).match(table_of(rows), table_of(bench))
    assert found[["id", "kept_id"]].to_numpy().tolist() == [["a2", "b2"]]
    assert Ngram(n=3, minimum=3).find(table_of([*rows, *bench]))[["id", "kept_id"]].to_numpy().tolist() == [
        ["a2", "b2"]
    ]


def test_a_run_that_all_records_share_is_no_burden() -> None:
    bench = [human(f"b{number:04d}", question=f"{STORY} question {number}") for number in range(3000)]
    rows = [human(f"a{number:02d}", question=f"{STORY} question {number}") for number in range(40)]
    found = Ngram().match(table_of(rows), table_of(bench))
    assert found["kept_id"].tolist() == [f"b00{number:02d}" for number in range(40)]
    assert set(found["similarity"]) == {1.0}


@pytest.mark.parametrize("rows", [[], [human("a")], [human("a", question=LONG)]])
def test_nothing_to_find(rows: list[Record]) -> None:
    for found in (Ngram().find(table_of(rows)), Ngram().match(table_of(rows), table_of([human("b", question=STORY)]))):
        assert found.empty
        assert found.dtypes.astype(str).to_dict() == {"id": "object", "kept_id": "object", "similarity": "float64"}
    assert Ngram().match(table_of([human("a", question=STORY)]), table_of(rows)).empty


def test_travels() -> None:
    again = pickle.loads(pickle.dumps(Ngram(5, 4)))
    assert (again.n, again.minimum) == (5, 4)


@pytest.mark.parametrize("arguments", [{"n": 0}, {"minimum": 0}])
def test_bounds_of_its_arguments(arguments: dict[str, int]) -> None:
    with pytest.raises(PlanError, match="is at least 1, not 0"):
        Ngram(**arguments)


def test_hashes_are_those_of_all_runs() -> None:
    words = STORY.split()
    hashes = ngram._Runs(5, 3).hashes([" ".join(words), " ".join(words[:4]), ""], {})
    assert len(hashes) == len(words) - 5 + 1 + 1
    assert hashes.dtype == np.uint64
