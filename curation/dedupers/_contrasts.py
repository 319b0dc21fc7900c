"""Which near records say something else by their words: `core/contrast.py` on many pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.contrast import contrast, firm_numbers
from curation.core.pairs import compared_texts
from curation.core.records import digest

Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


def contrasting(one: pd.DataFrame, other: pd.DataFrame, rows: Places, others: Places, by: str) -> Flags:
    """Whether the texts of chosen rows of two partitions contrast, pair by pair.

    Args:
        one, other: the partitions.
        rows, others: of each pair the row in `one` and in `other`.
        by: see `COMPARED`; a contrast between two of the compared texts is enough.
    """
    mine, theirs = compared_texts(one.iloc[rows], by), compared_texts(other.iloc[others], by)
    found = np.zeros(len(rows), dtype=np.bool_)
    for left, right in zip(mine, theirs, strict=True):
        found |= [contrast(first, second) is not None for first, second in zip(left, right, strict=True)]
    return found


class Contrasts:
    """The texts of a crowd, one of which is compared with many.

    Most contrasts in a crowd are numbers, as in a template that was filled in: those are told at once.

    Args:
        texts: of each member its compared texts.
    """

    def __init__(self, texts: Sequence[tuple[str, ...]]) -> None:
        self._texts = texts
        numbers = [[firm_numbers(text) for text in compared] for compared in texts]
        keys = [[-1 if found is None else _hash(found) for found in compared] for compared in numbers]
        self._numbers = np.array(keys, dtype=np.int64).reshape(len(texts), -1)

    def apart(self, text: int, others: Places) -> Flags:
        """Which of several members contrast with one; all by their places."""
        mine, theirs = self._numbers[text], self._numbers[others]
        found: Flags = ((mine != theirs) & (mine >= 0) & (theirs >= 0)).any(axis=1)
        for place in np.flatnonzero(~found):
            pairs = zip(self._texts[text], self._texts[others[place]], strict=True)
            found[place] = any(contrast(first, second) is not None for first, second in pairs)
        return found


def _hash(numbers: tuple[str, ...]) -> int:
    return int(digest(*numbers, size=8), 16) >> 1
