"""Who of a crowd leaves: texts that are near to so many others that their pairs are not listed.

A hundred thousand records of one template, each with another number, have five billion near pairs, of which it takes
one a record to tell who leaves. So the texts are gone through from the best to the worst, as `pairs.keep_best` does,
and only one that stays is compared with the rest of its crowd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.sketch import MARGIN
from curation.core.vectors import Vectors
from curation.dedupers._blocks import Block, Places, cosines

Flags = npt.NDArray[np.bool_]
Apart = Callable[[int, Places], Flags]
"""Which of several texts say something else than one, however near they are; all by their places in the crowd."""

_AHEAD: Final = 256  # texts whose products are computed at once; in vain for those that leave meanwhile


def leaders(
    crowd: pd.DataFrame, positions: Places, pairs: pd.DataFrame, rank: Places, threshold: float, apart: Apart | None
) -> pd.DataFrame:
    """Of each text of a crowd that leaves because of another of the crowd, the nearest one that stays.

    Args:
        crowd: where the vectors of the crowd's texts are, and who of them are `new`.
        positions: which texts these are.
        pairs: what is known besides, of which one text at least is in no crowd: columns `first`, `second`, positions,
            and `similarity`.
        rank: of all texts, by position; 0 the best.
        threshold: lowest similarity because of which a text leaves.
        apart: tells which near texts are no duplicates; None: all are.

    Returns:
        Columns `first` (stays), `second` (leaves), `similarity`.
    """
    order = np.argsort(rank[positions])
    members = _Members(crowd.iloc[order], threshold, apart, order)
    place = {position: number for number, position in enumerate(positions[order].tolist())}
    listed = _by_better(pairs[pairs["similarity"] >= threshold], rank)
    involved = np.union1d(positions, np.fromiter(listed, dtype=np.int64, count=len(listed)))
    left: set[int] = set()
    for text in involved[np.argsort(rank[involved])].tolist():
        own = place.get(text)
        if text in left or (own is not None and members.gone[own]):
            continue
        for other in listed.get(text, ()):
            left.add(other)
            if other in place:
                members.gone[place[other]] = True
        if own is not None:
            members.follow(own)
    names = positions[order]
    led = np.flatnonzero(members.leader >= 0)
    similarity = members.similarity_of(led)
    return pd.DataFrame({"first": names[members.leader[led]], "second": names[led], "similarity": similarity})


def _by_better(pairs: pd.DataFrame, rank: Places) -> dict[int, list[int]]:
    """The worse texts of each better one."""
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    swap = rank[first] > rank[second]
    found: dict[int, list[int]] = {}
    for better, worse in zip(np.where(swap, second, first), np.where(swap, first, second), strict=True):
        found.setdefault(int(better), []).append(int(worse))
    return found


class _Members:
    """The texts of a crowd, from the best to the worst."""

    def __init__(self, crowd: pd.DataFrame, threshold: float, apart: Apart | None, order: Places) -> None:
        self.gone = np.zeros(len(crowd), dtype=np.bool_)
        self.leader = np.full(len(crowd), -1, dtype=np.int64)
        self._vectors = Block.of(crowd).vectors()
        self._new = crowd["new"].to_numpy(dtype=np.bool_)
        self._best = np.full(len(crowd), -np.inf, dtype=np.float32)
        self._threshold = threshold
        self._apart = apart
        self._order = order
        self._products: Vectors = np.empty((0, 0), dtype=np.float32)
        self._ahead: dict[int, int] = {}

    def follow(self, text: int) -> None:
        """`text` stays: whoever is near and worse leaves."""
        if text not in self._ahead:
            self._multiply(text)
        products = self._products[self._ahead[text], text + 1 :]
        others = np.flatnonzero(products >= self._threshold - MARGIN) + text + 1
        values = products[others - text - 1]
        near = values >= self._threshold + MARGIN
        unsure = np.flatnonzero(~near)
        near[unsure] = self._exact(np.full(len(unsure), text), others[unsure]) >= self._threshold
        near &= self._new[text] | self._new[others]
        if self._apart is not None:
            chosen = np.flatnonzero(near)
            near[chosen] = ~self._apart(int(self._order[text]), self._order[others[chosen]])
        others, values = others[near], values[near]
        self.gone[others] = True
        nearer = values > self._best[others]
        self._best[others[nearer]] = values[nearer]
        self.leader[others[nearer]] = text

    def similarity_of(self, texts: Places) -> npt.NDArray[np.float64]:
        """How near some texts are to those that they follow."""
        return self._exact(self.leader[texts], texts)

    def _multiply(self, text: int) -> None:
        """The products of `text` and the next ones that are still there."""
        rest = np.flatnonzero(~self.gone[text:])[:_AHEAD] + text
        products = [column[rest] @ column.T for column in self._vectors]
        self._products = np.minimum.reduce(products)
        self._ahead = {int(name): row for row, name in enumerate(rest)}

    def _exact(self, first: Places, second: Places) -> npt.NDArray[np.float64]:
        return cosines(self._vectors, self._vectors, first, second)
