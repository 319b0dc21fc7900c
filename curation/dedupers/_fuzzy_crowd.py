"""Who of a crowd leaves: texts that agree with so many others in a band that they are not all compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.dedupers._minhash import worth_comparing
from curation.dedupers._shingles import Places, Sets, jaccard, matrices_of


def led(
    parts: Sequence[list[Sets]],
    names: Places,
    crowds: Sequence[Places],
    texts: pd.DataFrame,
    near: pd.DataFrame,
    threshold: float,
) -> pd.DataFrame:
    """Pairs of texts of crowds, as many as decide who leaves, and, where all are new, what belongs together.

    Args:
        parts: sets of all texts in crowds.
        names: which texts these are.
        crowds: see `_minhash.crowds_of`.
        texts: see `fuzzy.different`.
        near: the pairs that are known already; they decide as well who stays.
        threshold: lowest similarity of a pair.

    Returns:
        Columns `first` (better), `second`, `similarity`.
    """
    alike, mates = _Alike.of(parts, names, len(texts), threshold), _Mates(crowds, texts)
    pairs = pd.concat([near.iloc[:0], *_taken(alike, mates, names, near)])
    if not texts["best_new"].all():
        return pairs
    return pd.concat([pairs, *_ties(alike, crowds, pd.concat([near, pairs]), mates.left)])


@dataclass(frozen=True)
class _Alike:
    """Compares texts of crowds by their sets.

    Args:
        matrices: see `_shingles.matrices_of`.
        row: where each text is in `matrices`.
        threshold: lowest similarity that counts.
    """

    matrices: list[Any]
    row: Places
    threshold: float

    @classmethod
    def of(cls, parts: Sequence[list[Sets]], names: Places, count: int, threshold: float) -> _Alike:
        """See `led`; `count` texts in all."""
        row = np.zeros(count, dtype=np.int64)
        row[names] = np.arange(len(names))
        return cls(matrices_of(parts), row, threshold)

    def to(self, text: int, others: Places) -> tuple[Places, npt.NDArray[np.float64]]:
        """Those of `others` that are similar to `text`, and how similar."""
        similarity = jaccard(self.matrices, np.full(len(others), self.row[text]), self.row[others])
        close = similarity >= self.threshold
        return others[close], similarity[close]


def _taken(alike: _Alike, mates: _Mates, names: Places, near: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Greedily from the best text to the worst: one that stays is compared with those of its crowds that no other took.

    So the same ones stay as if all were compared, as one that leaves takes nobody with it.
    """
    known = {first: pairs.to_numpy() for first, pairs in near.groupby("first")["second"]}
    for text in sorted({*known, *names.tolist()}):
        if mates.left[text]:
            continue
        mates.leave(text, known.get(text, names[:0]))
        others, similarity = alike.to(text, mates.of(text))
        mates.leave(text, others)
        if len(others):
            yield pd.DataFrame({"first": text, "second": others, "similarity": similarity})


def _ties(
    alike: _Alike, crowds: Sequence[Places], pairs: pd.DataFrame, left: npt.NDArray[np.bool_]
) -> Iterator[pd.DataFrame]:
    """More pairs of crowds, so that as many belong together as if all were compared.

    A text that left was not compared with those that came after. Only texts that no pairs tie together yet are, so a
    crowd that is one group costs nothing.

    Args:
        pairs: all that are known.
        left: which texts left.
    """
    group = _groups(pairs, len(left))
    for crowd in crowds:
        for text in crowd[left[crowd]]:
            others = crowd[group[crowd] != group[text]]
            if not len(others):
                continue
            others, similarity = alike.to(text, others)
            group[np.isin(group, group[others])] = group[text]
            ends = {"first": np.minimum(text, others), "second": np.maximum(text, others)}
            yield pd.DataFrame({**ends, "similarity": similarity})


def _groups(pairs: pd.DataFrame, count: int) -> Places:
    """The number of each text's group, of those that pairs tie together."""
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    edges = (pairs["first"].to_numpy(dtype=np.int64), pairs["second"].to_numpy(dtype=np.int64))
    graph = coo_array((np.ones(len(pairs), dtype=np.bool_), edges), shape=(count, count))
    groups: Places = connected_components(graph, directed=False)[1]
    return groups


class _Mates:
    """Who of each crowd is still to be compared; the texts are asked for from the best to the worst."""

    def __init__(self, crowds: Sequence[Places], texts: pd.DataFrame) -> None:
        self.left = np.zeros(len(texts), dtype=np.bool_)
        self._rest = list(crowds)
        self._texts = texts
        self._best_new = texts["best_new"].to_numpy()
        self._crowds: dict[int, list[int]] = {}
        for number, crowd in enumerate(crowds):
            for text in crowd.tolist():
                self._crowds.setdefault(text, []).append(number)

    def leave(self, text: int, others: Places) -> None:
        """`text` takes `others` with it, except where the best records of both are old: such a pair is not listed."""
        self.left[others[self._best_new[text] | self._best_new[others]]] = True

    def of(self, text: int) -> Places:
        """All worse texts in crowds of `text` that have not left, each once, as far as they are worth comparing."""
        numbers = self._crowds.get(text, ())
        for number in numbers:
            rest = self._rest[number]
            self._rest[number] = rest[(rest > text) & ~self.left[rest]]
        others = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *(self._rest[number] for number in numbers)]))
        worth: Places = others[worth_comparing(self._texts, text, others)]
        return worth
