"""How far critics agree: against the definitions, and what is left undefined."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr  # type: ignore[import-untyped]  # it has no types

from curation.core.agreement import agreement, spearman, weighted_kappa

RATINGS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=40)


def by_definition(pairs: Sequence[tuple[int, int]]) -> float | None:
    """Kappa from the tables of observed and of chance agreement."""
    size = len(pairs)
    observed, left, right = Counter(pairs), Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    seen = sum((i - j) ** 2 * count / size for (i, j), count in observed.items())
    by_chance = sum((i - j) ** 2 * left[i] * right[j] / size**2 for i in left for j in right)
    return 1 - seen / by_chance if by_chance else None


@given(RATINGS)
def test_kappa_is_what_its_tables_give(pairs: list[tuple[int, int]]) -> None:
    expected = by_definition(pairs)
    found = weighted_kappa(*np.array(pairs, "float64").T)
    assert found == expected if expected is None else found == pytest.approx(expected, abs=1e-9)


def test_kappa_of_a_worked_table() -> None:
    pairs = [(1, 1)] * 4 + [(2, 2)] * 3 + [(3, 3)] * 2 + [(1, 3)]
    # 0.4 of squared difference was seen; by chance it is 0.61 + 0.69 (both variances) + 0.2 ** 2 (of the means).
    assert weighted_kappa(*np.array(pairs, "float64").T) == pytest.approx(1 - 0.4 / 1.34)


@given(RATINGS)
def test_the_correlation_of_ranks_is_scipys(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, "float64").T
    found = spearman(left, right)
    if len(set(left)) == 1 or len(set(right)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(left, right).statistic, abs=1e-9)


def test_attributes_of_different_critics_are_compared_where_a_record_has_both() -> None:
    table = pd.DataFrame(
        {
            "rating": [1.0, 2.0, 3.0, math.nan],
            "again": [1.0, 2.0, 2.0, 3.0],
            "length": [0.1, 0.2, 0.3, 0.4],
            "copied": [0.0, 0.0, 0.0, 0.0],
        }
    )
    critics: list[dict[str, Any]] = [
        {"rating": (1, 3)}, {"again": (1, 3), "never": None}, {"length": None, "copied": (0, 1)}
    ]  # fmt: skip
    found = {(pair["first"], pair["second"]): pair for pair in agreement(table, critics)}
    assert list(found) == [
        ("rating", "again"), ("rating", "length"), ("rating", "copied"), ("again", "length"), ("again", "copied")
    ]  # fmt: skip
    same_scale = found["rating", "again"]
    assert (same_scale["records"], same_scale["equal"]) == (3, 0.6667)
    assert same_scale["kappa"] == pytest.approx(0.6667, abs=1e-4)
    assert found["rating", "length"] == {
        "first": "rating", "second": "length", "records": 3, "spearman": 1.0, "equal": None, "kappa": None
    }  # fmt: skip
    assert found["again", "length"]["records"] == 4
    assert found["rating", "copied"]["spearman"] is None  # one value alone has no ranks


def test_one_record_or_none_has_no_correlation() -> None:
    critics = [{"a": (1, 3)}, {"b": (1, 3)}]
    (pair,) = agreement(pd.DataFrame({"a": [2.0], "b": [2.0]}), critics)
    assert (pair["spearman"], pair["equal"], pair["kappa"]) == (None, 1.0, None)
    assert agreement(pd.DataFrame({"a": [2.0, math.nan], "b": [math.nan, 2.0]}), critics) == []
    assert agreement(pd.DataFrame(), critics) == []
