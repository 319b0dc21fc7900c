from __future__ import annotations

import math
import pickle

import pytest

from curation.filters.low_score import LowScore


@pytest.mark.parametrize(
    ("minimum", "score", "kept"),
    [(0.0, 0, True), (0.0, -1, False), (0.0, -0.2, False), (1.0, 0.999, False), (1.0, 1.0, True), (0.0, 1e9, True)],
)
def test_keeps_what_reaches_the_minimum(minimum: float, score: float, kept: bool) -> None:
    filter_ = LowScore(minimum=minimum)
    assert filter_.score_document(score) == score
    assert filter_.keep_document(filter_.score_document(score)) is kept


@pytest.mark.parametrize("missing", [None, math.nan])
def test_no_score_is_not_a_low_one(missing: float | None) -> None:
    filter_ = LowScore(minimum=1e9)
    assert filter_.keep_document(filter_.score_document(missing))


def test_arguments_and_pickle() -> None:
    assert pickle.loads(pickle.dumps(LowScore(minimum=2.5))).minimum == 2.5
