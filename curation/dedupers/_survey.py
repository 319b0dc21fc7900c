"""How near all pairs of texts are, counted, and some of them drawn: what a threshold is chosen by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.sketch import MARGIN, Axes
from curation.dedupers._blocks import (
    DECIMALS,
    Block,
    Places,
    Products,
    blocks_of,
    bounded,
    cosines,
    places_in,
    similarities,
)
from curation.dedupers._hashing import Hashes, mixed

BINS: Final = 100
"""Similarities are counted in hundredths; the last bin, from 0.99 on, holds 1 as well."""

_COUNTED_ROWS: Final = 128  # of a panel: all of their products may have to be counted


@dataclass(frozen=True)
class Sampling:
    """What `survey` shall count and draw.

    Args:
        lowest: first bin that counts.
        bins: of which pairs are drawn.
        samples: pairs drawn of each.
    """

    lowest: int
    bins: frozenset[int] = frozenset()
    samples: int = 0


@dataclass(frozen=True)
class Surveyed:
    """How near texts are to each other, counted.

    Args:
        counts: pairs by bin, shape (`BINS`,): entry 97 counts those from 0.97 to below 0.98.
        drawn: columns `first`, `second` (positions of texts), `similarity`, `bin`, `draw`: of each bin that was asked
            for the pairs with the lowest draws.
    """

    counts: Places
    drawn: pd.DataFrame

    @classmethod
    def of(cls, parts: list[Surveyed], samples: int) -> Surveyed:
        """All of it, with so many pairs of a bin."""
        drawn = pd.concat([part.drawn for part in parts]).sort_values(["bin", "draw"]).groupby("bin").head(samples)
        return cls(np.sum([part.counts for part in parts], axis=0), drawn.reset_index(drop=True))


def survey(
    texts: pd.DataFrame, wanted: Sampling, axes: Axes | None, device: str = "cpu", block_size: int = 4096
) -> Surveyed:
    """Counts all pairs of different texts, those in crowds too, and draws some: the same whatever the axes, device and
    blocks. A task answers with counts and drawn pairs alone, and holds but a panel of what it counts.

    Args:
        texts: see `_near.near_pairs`; all are new. `draw`, 64 random bits of each, decides which pairs are drawn.
        wanted: what to count and draw.
        axes, device, block_size: see `_near.near_pairs`.
    """
    import dask

    blocks = [block for block, _ in blocks_of(texts, axes, block_size)]
    draws = np.split(texts["draw"].to_numpy(dtype=np.uint64), range(block_size, len(texts), block_size))
    count = dask.delayed(_counted)
    parts = dask.compute(
        *(
            count(block, other, (draws[one], draws[two]), wanted, device)
            for one, block in enumerate(blocks)
            for two, other in enumerate(blocks[one:], start=one)
        )
    )
    return Surveyed.of(list(parts), wanted.samples)


def _counted(one: Block, other: Block, draws: tuple[Hashes, Hashes], wanted: Sampling, device: str) -> Surveyed:
    """`survey` of two blocks, or within one."""
    counts = np.zeros(BINS, dtype=np.int64)
    drawn = [pd.DataFrame({"first": [], "second": [], "bin": []}, dtype=np.int64).assign(draw=np.empty(0, np.uint64))]
    for rows, columns, similarity in _measured(one, other, wanted.lowest / BINS, device):
        bins = bins_of(similarity)
        counted = bins >= wanted.lowest
        rows, columns, bins = rows[counted], columns[counted], bins[counted]
        counts += np.bincount(bins, minlength=BINS)
        for chosen in wanted.bins & set(np.unique(bins).tolist()):
            places = np.flatnonzero(bins == chosen)
            # The sum of two draws, which is the same in either order, would by itself favour pairs of low draws.
            draw = mixed(draws[0][rows[places]] + draws[1][columns[places]])
            first = np.argsort(draw)[: wanted.samples]
            part = {"first": rows[places[first]], "second": columns[places[first]], "bin": chosen, "draw": draw[first]}
            drawn.append(pd.DataFrame(part))
    best = pd.concat(drawn, ignore_index=True).sort_values("draw").groupby("bin").head(wanted.samples)
    rows, columns = best["first"].to_numpy(), best["second"].to_numpy()
    named = {"first": rows + one.start, "second": columns + other.start}
    return Surveyed(counts, best.assign(**named, similarity=similarities(one, other, rows, columns)))


def bins_of(similarity: npt.NDArray[np.float64]) -> Places:
    """The bin of each similarity. What is written in decimals is counted in whole numbers."""
    bins: Places = np.rint(similarity * 10**DECIMALS).astype(np.int64) // (10**DECIMALS // BINS)
    return np.minimum(bins, BINS - 1)


def _measured(
    one: Block, other: Block, lowest: float, device: str
) -> Iterator[tuple[Places, Places, npt.NDArray[np.float64]]]:
    """The pairs of two blocks from `lowest` on, and some below, a part at a time: their places and similarities, exact
    where they are too close to a bound between bins to tell."""
    places = bounded(one, other, lowest, device)
    if places is not None:
        yield places[:, 0], places[:, 1], similarities(one, other, *places.T)
        return
    mine, theirs, same = one.vectors(), other.vectors(), one.start == other.start
    for top, panel in Products(mine, theirs, device, upper=same).panels():
        for start in range(0, len(panel), _COUNTED_ROWS):
            flags = panel[start : start + _COUNTED_ROWS] >= lowest - MARGIN
            rows, columns = places_in(np.triu(flags, top + start + 1) if same else flags).T
            similarity = panel[rows + start, columns].astype(np.float64)
            beyond = np.abs(similarity - np.rint(similarity * BINS) / BINS)
            unsure = beyond <= MARGIN
            similarity[unsure] = cosines(mine, theirs, rows[unsure] + start + top, columns[unsure])
            yield rows + start + top, columns, similarity
