"""Sharing out evenly what groups can't all give."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.core.balance import evenness, quotas

SIZES = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.none() | st.integers(0, 60), max_size=9)


@pytest.mark.parametrize(
    ("available", "total", "shares"),
    [
        ({"know": 1206, "a": 150, "b": 150, "c": 150}, 600, {"know": 150, "a": 150, "b": 150, "c": 150}),
        ({"rare": 3, "a": None, "b": None}, 20, {"rare": 3, "a": 9, "b": 8}),
        ({"a": 5, "b": 5, "c": 1}, 100, {"a": 5, "b": 5, "c": 1}),
        ({"a": None, "b": None, "c": None}, 7, {"a": 3, "b": 2, "c": 2}),
        ({}, 5, {}),
    ],
)
def test_small_groups_give_all_and_the_others_evenly(
    available: dict[str, int | None], total: int, shares: dict[str, int]
) -> None:
    assert quotas(available, total) == shares


@given(SIZES, st.integers(0, 200))
def test_nothing_is_taken_twice_and_nothing_that_could_be_given_is_missing(
    available: dict[str, int | None], total: int
) -> None:
    given_ = quotas(available, total)
    sizes = {name: total if size is None else size for name, size in available.items()}
    assert set(given_) == set(available)
    assert all(0 <= given_[name] <= sizes[name] for name in available)
    assert sum(given_.values()) == min(total, sum(sizes.values()))
    most = max(given_.values(), default=0)
    assert all(given_[name] in (sizes[name], most, most - 1) for name in available)


def test_how_even_groups_are() -> None:
    assert evenness([150] * 4) == pytest.approx(1)
    assert evenness([30, 30, 30, 1206]) == pytest.approx(0.24, abs=0.005)
    assert evenness([5, 0]) == 0
    assert evenness([7]) == evenness([]) == evenness([0, 0]) == 1
