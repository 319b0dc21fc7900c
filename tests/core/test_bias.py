"""Who is mentioned, and how critics score it: by hand, and against scipy and numpy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from curation.core._bias_terms import TERMS, VERSION
from curation.core.bias import LEAST_EXPECTED, LEAST_SCORED, Lexicon, Screen

SMALL = Lexicon({"pets": {"cats": "cat cats house-cat", "dogs": "dog", "none": "no-pet"}}, "7")


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("The CAT, and a dog.", {"cats", "dogs"}),
        ("A catalogue of dogmas", set()),
        ("Their house-cat sleeps", {"cats"}),
        ("no\n pet at all", {"none"}),
        ("no other pet", set()),
        ("", set()),
    ],
)
def test_whole_words_mention_a_group(text: str, groups: set[str]) -> None:
    assert SMALL.mentioned(text) == {("pets", group) for group in groups}


def test_a_phrase_is_words_in_a_row() -> None:
    lexicon = Lexicon({"d": {"g": "house-cat"}}, "1")
    assert lexicon.mentioned("A house cat") == {("d", "g")}
    assert not lexicon.mentioned("The house of the cat")


def test_the_lists_are_plain_and_name_nobody_twice() -> None:
    assert VERSION
    terms = [term for groups in TERMS.values() for listed in groups.values() for term in listed.split()]
    assert len(terms) == len(set(terms))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", term) for term in terms)


def test_every_term_is_found_in_a_sentence() -> None:
    lexicon = Lexicon()
    for dimension, groups in TERMS.items():
        for group, listed in groups.items():
            for term in listed.split():
                assert (dimension, group) in lexicon.mentioned(f"Is it {term.replace('-', ' ').upper()}?"), term


def screened(human: dict[str, int], synthetic: dict[str, int]) -> dict[str, float | None]:
    """The ratios, by group."""
    screen = Screen(SMALL)
    for origin, texts in (("human", human), ("synthetic", synthetic)):
        for text, count in texts.items():
            for _ in range(count):
                screen.add(origin, text, {})
    return {group["group"]: group["ratio"] for group in screen.result()["groups"]}


def test_the_ratio_is_that_of_the_shares() -> None:
    assert screened({"cat": 40, "dog": 60}, {"cat": 30, "dog": 20, "no": 50}) == {"cats": 0.75, "dogs": 0.3333}


def test_a_group_that_vanishes_has_the_ratio_0_and_one_that_people_never_mention_has_none() -> None:
    assert screened({"cat": 40, "": 60}, {"dog": 40, "": 60}) == {"cats": 0.0, "dogs": None}


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 40), st.integers(0, 40))
def test_nothing_is_said_where_a_test_would_expect_too_few(human: int, new: int, cats: int, others: int) -> None:
    (ratio,) = screened({"cat": cats, "": human}, {"cat": others, "": new}).values()
    table = [[cats, human], [others, new]]
    assert (ratio is None) == bool(scipy.stats.contingency.expected_freq(table).min() < LEAST_EXPECTED - 1e-9)


def test_gaps_of_scores_are_those_of_numpy() -> None:
    draw = np.random.default_rng(3)
    scores, has = draw.normal(3, 1, 200), draw.random(200) < 0.4
    screen = Screen(SMALL)
    for value, mentions in zip(scores, has, strict=True):
        screen.add("synthetic", "a cat" if mentions else "a dog", {"help": value, "constant": 2.0})
    screen.add("human", "a cat", {"help": 100.0})
    cats, dogs = screen.result()["groups"]
    one, other = scores[has], scores[~has]
    pooled = np.sqrt((one.var(ddof=1) * (len(one) - 1) + other.var(ddof=1) * (len(other) - 1)) / 198)
    assert cats["scores"]["help"] == {
        "with": round(one.mean(), 4),
        "without": round(other.mean(), 4),
        "gap": round(one.mean() - other.mean(), 4),
        "effect": round((one.mean() - other.mean()) / pooled, 4),
        "records": len(one),
    }
    assert dogs["scores"]["help"]["gap"] == -cats["scores"]["help"]["gap"]
    assert cats["scores"]["constant"] == {
        "with": 2.0, "without": 2.0, "gap": 0.0, "effect": None, "records": len(one),
    }  # fmt: skip


@pytest.mark.parametrize(("count", "is_said"), [(LEAST_SCORED, True), (LEAST_SCORED - 1, False)])
def test_nothing_is_said_of_the_scores_of_a_few(count: int, is_said: bool) -> None:
    screen = Screen(SMALL)
    for text, times in (("cat", count), ("dog", 100)):
        for _ in range(times):
            screen.add("synthetic", text, {"help": 1.0})
    assert [bool(group["scores"]) for group in screen.result()["groups"]] == [is_said, is_said]


def test_the_result_names_its_lists() -> None:
    screen = Screen(SMALL)
    screen.add("human", "cat", {})
    found = screen.result()
    assert found["version"] == "7"
    assert found["records"] == {"human": 1, "synthetic": 0}
    assert found["groups"] == [
        {"dimension": "pets", "group": "cats", "human": 1, "synthetic": 0, "ratio": None, "scores": {}}
    ]
