"""Blocks of vectors, and where two of them may have near ones, in bounded memory.

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

Places = npt.NDArray[np.int64]

DECIMALS: Final = 6
"""Similarities are rounded to so many places, and judged as rounded: single-precision vectors hold no more."""

_PAIRS_AT_ONCE: Final = 16384  # re-checked at a time
_PANEL: Final = {"cpu": 512, "gpu": 8192}  # rows multiplied at a time: a panel stays in a processor's cache
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


def bounded(one: Block, other: Block, lowest: float, device: str) -> Places | None:
    """Where two blocks may have near texts, as rows (place in one, place in the other); None: in too many places."""
    if one.sketches is None or other.sketches is None:
        return None
    products = Products(one.sketches, other.sketches, device, upper=one.start == other.start)
    room = _WORTH_CHECKING * len(one) * len(other)
    found: list[Places] = [np.empty((0, 2), np.int64)]
    for start, rows in products.panels_reaching(lowest):
        places = places_in(products.of(start, rows) >= lowest - MARGIN)
        room -= len(places)
        if room < 0:
            return None
        places[:, 0] = rows[places[:, 0]] + start
        found.append(places)
    return np.concatenate(found)


def places_in(flags: npt.NDArray[np.bool_]) -> Places:
    """As `numpy.argwhere`, which takes ten times as long for few places."""
    return np.stack(np.divmod(np.flatnonzero(flags), flags.shape[1]), axis=1)


class Products:
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


def _sketched(block: Block, axes: Axes | None) -> Block:
    return block if axes is None else replace(block, sketches=sketch(block.vectors(), axes))
