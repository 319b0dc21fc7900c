"""Pairs of near vectors: blocks compared with each other in tasks, exactly, in bounded memory.

A product of short sketches (`core/sketch.py`) bounds all cosines of two blocks from above, and only pairs whose bound
reaches the threshold are looked at; where that are too many, the full product of the two blocks takes its place. Either
finds candidates, and misses none; what is a pair decides a double-precision product, so that sketches, blocks, devices
and workers change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.sketch import HALF_MARGIN, MARGIN, Axes, multiplies_halves, sketch
from curation.core.vectors import Vectors, take

DECIMALS: Final = 6
"""Similarities are rounded to so many places, and judged as rounded: single-precision vectors hold no more."""

BINS: Final = 100
"""Similarities are counted in hundredths; the last bin, from 0.99 on, holds 1 as well."""

CROWD: Final = 256
"""A text with more near ones than so many is in a crowd: pairs of two such texts are not listed."""

Places = npt.NDArray[np.int64]
Draws = npt.NDArray[np.uint64]

_PAIRS_AT_ONCE: Final = 16384  # re-checked at a time
_PANEL: Final = {"cpu": 512, "gpu": 8192}  # rows multiplied at a time: a panel stays in a processor's cache
_COUNTED_ROWS: Final = 128  # of a panel: all of their products may have to be counted
_WORTH_CHECKING: Final = 1 / 256  # share of a block's pairs above which one full product is cheaper than to check each


@dataclass(frozen=True)
class Block:
    """A run of texts: where in the cache their vectors are, for each compared text, and their sketches."""

    start: int
    files: list[npt.NDArray[np.object_]]
    rows: list[Places]
    sketches: Vectors | None = None

    @classmethod
    def of(cls, texts: pd.DataFrame, start: int = 0, stop: int | None = None) -> Block:
        """The texts from `start` to `stop`."""
        part = texts.iloc[start:stop]
        numbers = range(sum(name.startswith("file_") for name in texts.columns))
        return cls(
            start,
            [part[f"file_{number}"].to_numpy(dtype=object) for number in numbers],
            [part[f"row_{number}"].to_numpy(dtype=np.int64) for number in numbers],
        )

    def __len__(self) -> int:
        return len(self.rows[0])

    def vectors(self, places: Places | slice = slice(None)) -> Vectors:
        """Those of all texts, or of chosen ones; shape (compared texts, texts, dimensions)."""
        return np.stack([take(files[places], rows[places]) for files, rows in zip(self.files, self.rows, strict=True)])


@dataclass(frozen=True)
class Found:
    """What there is between blocks of texts.

    Args:
        pairs: columns `first`, `second` (positions of texts), `similarity`: all pairs, but those of two texts that both
            are in crowds.
        degrees: how many near texts each has, by position; those without any are left out.
        chains: rows (position, position): pairs that join the members of a crowd as all of its pairs would.
    """

    pairs: pd.DataFrame
    degrees: pd.Series
    chains: Places

    @classmethod
    def of(cls, parts: list[Found]) -> Found:
        """All of it; a text that is in a crowd over all blocks, though in none of them alone, is so in what remains."""
        degrees = pd.concat([part.degrees for part in parts])
        degrees = degrees.groupby(level=0).sum()
        crowd = degrees.index[degrees > CROWD]
        pairs = pd.concat([part.pairs for part in parts], ignore_index=True)
        inner = pairs["first"].isin(crowd) & pairs["second"].isin(crowd)
        chains = [*(part.chains for part in parts), pairs.loc[inner, ["first", "second"]].to_numpy(dtype=np.int64)]
        return cls(pairs[~inner].reset_index(drop=True), degrees, np.concatenate(chains))

    @property
    def crowd(self) -> Places:
        """The positions of texts in crowds, ascending."""
        crowd: Places = self.degrees.index[self.degrees > CROWD].to_numpy(dtype=np.int64)
        return crowd


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


def blocks_of(texts: pd.DataFrame, axes: Axes | None, block_size: int) -> list[tuple[Any, bool]]:
    """The texts as lazy blocks with their sketches, those of `new` texts first, and whether a block's texts are new."""
    import dask

    new = int(texts["new"].sum())
    bounds = [*range(0, new, block_size), *range(new, len(texts), block_size), len(texts)]
    prepare, shared = dask.delayed(_sketched), dask.delayed(axes, traverse=False)  # both travel once a worker
    return [
        (prepare(dask.delayed(Block.of(texts, start, stop), traverse=False), shared), start < new)
        for start, stop in pairwise(bounds)
    ]


def near_pairs(
    texts: pd.DataFrame, lowest: float, axes: Axes | None, device: str = "cpu", block_size: int = 4096
) -> Found:
    """Pairs of different texts, of which one at least is new: the same ones whatever the axes, device and blocks.

    Args:
        texts: where the vectors are (`file_0`, `row_0`, …, one pair of columns for each compared text), and `new`;
            new ones first.
        lowest: lowest similarity of a pair.
        axes: what to sketch by; None: full products alone.
        device: `cpu` or `gpu`, for the products.
        block_size: vectors a side of a block.
    """
    import dask

    blocks = blocks_of(texts, axes, block_size)
    compare = dask.delayed(_between)
    found = dask.compute(
        *(
            compare(block, other, lowest, device)
            for number, (block, is_new) in enumerate(blocks)
            for other, _ in blocks[number:]
            if is_new  # new ones come first: so one of the two is new
        )
    )
    return Found.of(list(found))


def nearest(
    texts: pd.DataFrame, lowest: float, slack: float, axes: Axes | None, device: str = "cpu", block_size: int = 4096
) -> pd.DataFrame:
    """For each new text the old ones that are near enough, and as near as the nearest but for `slack`.

    Args:
        texts, lowest, axes, device, block_size: see `near_pairs`.
        slack: how much further than the nearest one counts; 0: those alone than which none is nearer.

    Returns:
        Columns `first` (new), `second` (old), `similarity`.
    """
    import dask

    blocks = blocks_of(texts, axes, block_size)
    compare = dask.delayed(_nearest_between)
    new, old = ([block for block, is_new in blocks if is_new is wanted] for wanted in (True, False))
    none = pd.DataFrame({"first": [], "second": [], "similarity": []}).astype({"first": "int64", "second": "int64"})
    found = dask.compute(*(compare(block, other, lowest, slack, device) for block in new for other in old))
    return _nearest_of(pd.concat([none, *found], ignore_index=True), slack)


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


def survey(
    texts: pd.DataFrame, wanted: Sampling, axes: Axes | None, device: str = "cpu", block_size: int = 4096
) -> Surveyed:
    """Counts all pairs of different texts, those in crowds too, and draws some: the same whatever the axes, device and
    blocks. A task answers with counts and drawn pairs alone, and holds but a panel of what it counts.

    Args:
        texts: see `near_pairs`; all are new. `draw`, 64 random bits of each, decides which pairs are drawn.
        wanted: what to count and draw.
        axes, device, block_size: see `near_pairs`.
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


def cosines(first: Vectors, second: Vectors, rows: Places, columns: Places) -> npt.NDArray[np.float64]:
    """The similarity of chosen pairs, the smallest over the compared texts.

    Products of single-precision numbers are exact in double precision, and each row is summed on its own in the same
    order, so a pair's value depends on its two vectors alone.

    Args:
        first, second: shape (compared texts, texts, dimensions).
        rows, columns: places in `first` and in `second`.
    """
    result = np.empty(len(rows))
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        products = np.multiply(first[:, rows[some]], second[:, columns[some]], dtype=np.float64)
        result[some] = products.sum(axis=-1).min(axis=0)
    return result.round(DECIMALS)


def similarities(one: Block, other: Block, rows: Places, columns: Places) -> npt.NDArray[np.float64]:
    """`cosines` of chosen texts of two blocks, whose vectors alone are read."""
    of_one, first = np.unique(rows, return_inverse=True)
    of_other, second = np.unique(columns, return_inverse=True)
    return cosines(one.vectors(of_one), other.vectors(of_other), first, second)


def _sketched(block: Block, axes: Axes | None) -> Block:
    return block if axes is None else replace(block, sketches=sketch(block.vectors(), axes))


def _between(one: Block, other: Block, lowest: float, device: str) -> Found:
    """The pairs of two blocks, or within one."""
    places = _bounded(one, other, lowest, device)
    hits = None
    if places is None:
        hits = _near(one, other, lowest, device)
        places = _where(_listed(hits, one.start == other.start))
    rows, columns = places.T
    similarity = similarities(one, other, rows, columns)
    near = similarity >= lowest
    rows, columns = rows[near] + one.start, columns[near] + other.start
    pairs = pd.DataFrame({"first": rows, "second": columns, "similarity": similarity[near]})
    if hits is None:
        return Found(pairs, pd.concat([pairs["first"], pairs["second"]]).value_counts(), np.empty((0, 2), np.int64))
    return Found(pairs, _degrees(hits, one.start, other.start), _chains(hits, one.start, other.start))


def _bounded(one: Block, other: Block, lowest: float, device: str) -> Places | None:
    """Where two blocks may have near texts, as rows (place in one, place in the other); None: in too many places."""
    if one.sketches is None or other.sketches is None:
        return None
    products = _Products(one.sketches, other.sketches, device, upper=one.start == other.start)
    room = _WORTH_CHECKING * len(one) * len(other)
    found: list[Places] = [np.empty((0, 2), np.int64)]
    for start, rows in products.panels_reaching(lowest):
        places = _where(products.of(start, rows) >= lowest - MARGIN)
        room -= len(places)
        if room < 0:
            return None
        places[:, 0] = rows[places[:, 0]] + start
        found.append(places)
    return np.concatenate(found)


def _where(flags: npt.NDArray[np.bool_]) -> Places:
    """As `numpy.argwhere`, which takes ten times as long for few places."""
    return np.stack(np.divmod(np.flatnonzero(flags), flags.shape[1]), axis=1)


def _near(one: Block, other: Block, lowest: float, device: str) -> npt.NDArray[np.bool_]:
    """Which texts of two blocks are near, shape (texts, texts), by their full product; within a block above the
    diagonal alone."""
    mine, theirs = one.vectors(), other.vectors()
    products = _Products(mine, theirs, device, upper=one.start == other.start)
    hits = np.zeros((len(one), len(other)), dtype=np.bool_)
    for start, panel in products.panels():
        part = hits[start : start + len(panel)]
        part[:] = panel >= lowest + MARGIN
        rows, columns = _where((panel >= lowest - MARGIN) & ~part).T  # too close to tell in single precision
        part[rows, columns] = cosines(mine, theirs, rows + start, columns) >= lowest
    return np.triu(hits, 1) if one.start == other.start else hits


def _listed(hits: npt.NDArray[np.bool_], same: bool) -> npt.NDArray[np.bool_]:
    """The near pairs without those of which both texts have too many."""
    rows, columns = _counts(hits, same)
    return hits & ((rows <= CROWD)[:, None] | (columns <= CROWD))


def _counts(hits: npt.NDArray[np.bool_], same: bool) -> tuple[Places, Places]:
    """How many near ones the texts of the rows, and those of the columns, have."""
    rows, columns = hits.sum(axis=1, dtype=np.int64), hits.sum(axis=0, dtype=np.int64)
    return (rows + columns, rows + columns) if same else (rows, columns)


def _degrees(hits: npt.NDArray[np.bool_], first: int, second: int) -> pd.Series:
    """`Found.degrees` of two blocks that start at `first` and `second`."""
    rows, columns = _counts(hits, first == second)
    degrees = pd.Series(rows, index=np.arange(len(rows)) + first)
    if first != second:
        degrees = pd.concat([degrees, pd.Series(columns, index=np.arange(len(columns)) + second)])
    return degrees[degrees > 0]


def _chains(hits: npt.NDArray[np.bool_], first: int, second: int) -> Places:
    """`Found.chains` of two blocks: each text with the first one, among the rows, of all that it is joined to."""
    rows, columns = _counts(hits, first == second)
    inner = hits & (rows > CROWD)[:, None] & (columns > CROWD)
    if first == second:
        inner |= inner.T
    chains = [np.empty((0, 2), dtype=np.int64)]
    rest = inner.any(axis=1)
    while rest.any():
        root = int(rest.argmax())
        reached, met = _reached(inner, root)
        rest &= ~reached
        members = np.concatenate([np.flatnonzero(reached) + first, np.flatnonzero(met) + second])
        chains.append(np.stack([np.full_like(members, root + first), members], axis=1))
    found: Places = np.concatenate(chains)
    joined: Places = found[found[:, 0] != found[:, 1]]
    return joined


def _reached(inner: npt.NDArray[np.bool_], root: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which rows, and which columns, can be reached from a row over pairs."""
    rows, columns = np.zeros(inner.shape[0], dtype=np.bool_), np.zeros(inner.shape[1], dtype=np.bool_)
    rows[root] = True
    ahead = rows.copy()
    while ahead.any():
        met = inner[ahead].any(axis=0) & ~columns
        columns |= met
        ahead = inner[:, met].any(axis=1) & ~rows
        rows |= ahead
    return rows, columns


def _counted(one: Block, other: Block, draws: tuple[Draws, Draws], wanted: Sampling, device: str) -> Surveyed:
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
            draw = _mixed(draws[0][rows[places]] + draws[1][columns[places]])
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
    places = _bounded(one, other, lowest, device)
    if places is not None:
        yield places[:, 0], places[:, 1], similarities(one, other, *places.T)
        return
    mine, theirs, same = one.vectors(), other.vectors(), one.start == other.start
    for top, panel in _Products(mine, theirs, device, upper=same).panels():
        for start in range(0, len(panel), _COUNTED_ROWS):
            flags = panel[start : start + _COUNTED_ROWS] >= lowest - MARGIN
            rows, columns = _where(np.triu(flags, top + start + 1) if same else flags).T
            similarity = panel[rows + start, columns].astype(np.float64)
            beyond = np.abs(similarity - np.rint(similarity * BINS) / BINS)
            unsure = beyond <= MARGIN
            similarity[unsure] = cosines(mine, theirs, rows[unsure] + start + top, columns[unsure])
            yield rows + start + top, columns, similarity


def _mixed(values: Draws) -> Draws:
    """Other bits, as random, of each number (the finalizer of SplitMix64): the sum of two draws, which is the same in
    either order, would favour pairs of low draws."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _nearest_between(one: Block, other: Block, lowest: float, slack: float, device: str) -> pd.DataFrame:
    """`nearest` of two blocks."""
    places = _bounded(one, other, lowest, device)
    if places is None:
        products = _Products(one.vectors(), other.vectors(), device, upper=False)
        found = [np.empty((0, 2), np.int64)]
        for start, panel in products.panels():
            bounds = np.maximum(panel.max(axis=1) - slack - 2 * MARGIN, lowest - MARGIN)
            found.append(_where(panel >= bounds[:, None]) + np.array([start, 0]))
        places = np.concatenate(found)
    rows, columns = places.T
    similarity = similarities(one, other, rows, columns)
    near = similarity >= lowest
    pairs = pd.DataFrame(
        {"first": rows[near] + one.start, "second": columns[near] + other.start, "similarity": similarity[near]}
    )
    return _nearest_of(pairs, slack)


def _nearest_of(pairs: pd.DataFrame, slack: float) -> pd.DataFrame:
    best = pairs.groupby("first")["similarity"].transform("max")
    return pairs[pairs["similarity"] >= best - slack].reset_index(drop=True)


class _Products:
    """The products of two blocks of vectors or sketches, the smallest over the compared texts, a panel at a time.

    Args:
        first: shape (compared texts, texts, dimensions or length of a sketch).
        second: likewise.
        device: `cpu` or `gpu`.
        upper: whether both are the same block, of which each two texts are to be found once.
    """

    def __init__(self, first: Vectors, second: Vectors, device: str, upper: bool) -> None:
        import torch

        target = "cuda" if device == "gpu" else "cpu"
        self._left, self._right = (torch.from_numpy(block).to(target) for block in (first, second))
        self._panel = _PANEL[device]
        self._upper = upper
        self._half = device == "cpu" and multiplies_halves()

    def panels(self) -> Iterator[tuple[int, Vectors]]:
        """Each panel's first row and its products, which the next panel overwrites."""
        for start, products in self._products(self._left, self._right):
            yield start, products.cpu().numpy()

    def panels_reaching(self, lowest: float) -> Iterator[tuple[int, Places]]:
        """For each panel with products so high: its first row, and in which of its rows they are.

        Products of numbers with 8 significant bits, where a processor multiplies them faster, do for that.
        """
        import torch

        left, right, margin = self._left, self._right, MARGIN
        if self._half:
            left, right, margin = left.to(torch.bfloat16), right.to(torch.bfloat16), HALF_MARGIN
        for start, products in self._products(left, right):
            if self._upper:
                products.triu_(start + 1)
            rows = (products.amax(dim=1) >= lowest - margin).nonzero()[:, 0]
            if len(rows):
                yield start, rows.cpu().numpy()

    def of(self, start: int, rows: Places) -> Vectors:
        """The products of chosen rows of a panel with the other block; what `upper` leaves out is -1."""
        import torch

        chosen = self._left[:, torch.from_numpy(rows + start).to(self._left.device)]
        products = reduce(
            torch.minimum, (torch.mm(mine, theirs.T) for mine, theirs in zip(chosen, self._right, strict=True))
        )
        values: Vectors = products.cpu().numpy()
        if self._upper:
            values[np.arange(values.shape[1]) <= (rows + start)[:, None]] = -1.0
        return values

    def _products(self, left: Any, right: Any) -> Iterator[tuple[int, Any]]:
        import torch

        rooms = [left.new_empty((min(self._panel, left.shape[1]), right.shape[1])) for _ in range(min(len(left), 2))]
        for start in range(0, left.shape[1], self._panel):
            products: Any = None
            for mine, theirs in zip(left, right, strict=True):
                part = mine[start : start + self._panel]
                room = rooms[0 if products is None else 1][: len(part)]  # without new memory it is thrice as fast
                torch.mm(part, theirs.T, out=room)
                products = room if products is None else torch.minimum(products, room, out=products)
            yield start, products
