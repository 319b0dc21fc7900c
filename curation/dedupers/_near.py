"""Pairs of near vectors: blocks (`_blocks.py`) compared with each other in tasks, exactly, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.sketch import MARGIN, Axes
from curation.dedupers._blocks import Block, Places, Products, blocks_of, bounded, cosines, places_in, similarities

CROWD: Final = 256
"""A text with more near ones than so many is in a crowd: pairs of two such texts are not listed."""


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


def _between(one: Block, other: Block, lowest: float, device: str) -> Found:
    """The pairs of two blocks, or within one."""
    places = bounded(one, other, lowest, device)
    if places is not None:
        pairs = _pairs_at(one, other, places, lowest)
        return Found(pairs, pd.concat([pairs["first"], pairs["second"]]).value_counts(), np.empty((0, 2), np.int64))
    hits = _near(one, other, lowest, device)
    pairs = _pairs_at(one, other, places_in(_listed(hits, one.start == other.start)), lowest)
    return Found(pairs, _degrees(hits, one.start, other.start), _chains(hits, one.start, other.start))


def _pairs_at(one: Block, other: Block, places: Places, lowest: float) -> pd.DataFrame:
    """The pairs of two blocks among some, rows (place in one, place in the other): `first`, `second`, `similarity`."""
    rows, columns = places.T
    similarity = similarities(one, other, rows, columns)
    near = similarity >= lowest
    ends = {"first": rows[near] + one.start, "second": columns[near] + other.start}
    return pd.DataFrame({**ends, "similarity": similarity[near]})


def _near(one: Block, other: Block, lowest: float, device: str) -> npt.NDArray[np.bool_]:
    """Which texts of two blocks are near, shape (texts, texts), by their full product; within a block above the
    diagonal alone."""
    mine, theirs = one.vectors(), other.vectors()
    products = Products(mine, theirs, device, upper=one.start == other.start)
    hits = np.zeros((len(one), len(other)), dtype=np.bool_)
    for start, panel in products.panels():
        part = hits[start : start + len(panel)]
        part[:] = panel >= lowest + MARGIN
        rows, columns = places_in((panel >= lowest - MARGIN) & ~part).T  # too close to tell in single precision
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


def _nearest_between(one: Block, other: Block, lowest: float, slack: float, device: str) -> pd.DataFrame:
    """`nearest` of two blocks."""
    places = bounded(one, other, lowest, device)
    if places is None:
        products = Products(one.vectors(), other.vectors(), device, upper=False)
        found = [np.empty((0, 2), np.int64)]
        for start, panel in products.panels():
            bounds = np.maximum(panel.max(axis=1) - slack - 2 * MARGIN, lowest - MARGIN)
            found.append(places_in(panel >= bounds[:, None]) + np.array([start, 0]))
        places = np.concatenate(found)
    return _nearest_of(_pairs_at(one, other, places, lowest), slack)


def _nearest_of(pairs: pd.DataFrame, slack: float) -> pd.DataFrame:
    best = pairs.groupby("first")["similarity"].transform("max")
    return pairs[pairs["similarity"] >= best - slack].reset_index(drop=True)
