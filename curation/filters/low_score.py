"""Drops what people voted down."""

from __future__ import annotations

import math

from curation.core.nemo import Filter


class LowScore(Filter):
    """Keeps a record whose score is at least `minimum`. It judges a numeric column, such as `question_score`.

    A record without a score stays: nobody voted it down. (So data without votes passes the default steps.)

    Args:
        minimum: the lowest score that is kept. Fractions count: 0.9 does not reach 1.
    """

    def __init__(self, minimum: float = 0.0) -> None:
        super().__init__()
        self.minimum = minimum

    def score_document(self, text: float | None) -> float:
        """The score itself, NaN where there is none. (`text` is what NeMo Curator calls any column's value.)"""
        return math.nan if text is None else float(text)

    def keep_document(self, scores: float) -> bool:
        """Whether it is not below the minimum; NaN is not."""
        return not scores < self.minimum
