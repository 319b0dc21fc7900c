"""Records that mean nearly the same: all pairs of embeddings at or above a cosine, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.contracts import Deduper
from curation.core.encoder import EMBEDDED, Encoder
from curation.core.errors import CurationError, PlanError
from curation.core.pairs import COMPARED, compared_texts
from curation.core.sketch import MARGIN, Axes, sketch, worthwhile_axes
from curation.core.vectors import VectorCache, Vectors, hash_of, take
from curation.dedupers._members import check_by, in_order, members, pairs_of_equals, pairs_of_near, partitions_of

if TYPE_CHECKING:
    import dask.dataframe as dd

DECIMALS: Final = 6
"""Similarities are rounded to so many places, and judged as rounded: single-precision vectors hold no more."""

_TEXTS_PER_FILE: Final = 1024  # what is lost at most of a worker's embeddings when it is killed
_PAIRS_AT_ONCE: Final = 16384  # re-checked at a time
_SAMPLE: Final = 2000  # vectors that the axes are chosen by: more would hardly turn them
_PANEL: Final = {"cpu": 256, "gpu": 8192}  # rows multiplied at a time: a panel stays in a processor's cache
_WORTH_CHECKING: Final = 1 / 256  # share of a block's pairs above which one full product is cheaper than to check each


class Semantic(Deduper):
    """Pairs of records whose embeddings' cosine is at or above a threshold.

    The workers embed the texts that the cache does not hold yet, then compare blocks of vectors with each other. A
    product of short sketches (`core/sketch.py`) bounds all cosines of two blocks from above, and only pairs whose bound
    reaches the threshold are looked at; where that are too many, the full product of the two blocks takes its place.
    Either finds candidates, and misses none; what is a pair decides a double-precision product, so that sketches,
    blocks, devices and workers change nothing. Memory: a task holds the vectors of two blocks, a few rows of their
    product, and up to 40 times `block_size`² bytes where nearly everything in it is a pair; the workers together hold
    a sketch a compared text (at most 516 bytes); the driver holds a few numbers a record, and all pairs.

    Args:
        threshold: lowest cosine of a pair, above 0 and at most 1.
        by: `question` (with its title), `answer`, `both` (embedded apart; the similarity is the smaller of the two),
            or `text` (title, question and answer as one text). A record without any text to compare is a duplicate
            of nothing.
        encoder: see `Encoder`'s `model`.
        device: `cpu` or `gpu`, for embeddings and products.
        cache: folder for the embeddings, which all workers see; what it holds is never embedded again. None: a
            temporary folder on this machine.
        block_size: vectors a side of a block.
    """

    def __init__(
        self,
        threshold: float = 0.97,
        by: str = "question",
        encoder: str = EMBEDDED,
        device: str = "cpu",
        cache: str | None = None,
        block_size: int = 4096,
    ) -> None:
        check_by("semantic", by)
        if not 0 < threshold <= 1:
            raise PlanError([f"deduper 'semantic': threshold is a cosine above 0 and at most 1, not {threshold}"])
        if block_size < 1:
            raise PlanError([f"deduper 'semantic': block_size is at least 1, not {block_size}"])
        self.threshold = threshold
        self.by = by
        self.encoder = encoder
        self.device = device
        self.cache = cache
        self.block_size = block_size

    def find(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.DataFrame:
        """See `Deduper.find`; of records with equal texts each is paired with the best alone, at similarity 1."""
        partitions, own = partitions_of(table, against)
        records = members(partitions, own, _Hashes(self.by))
        keys = [f"key_{number}" for number in range(len(COMPARED[self.by]))]
        if not records["new"].any():
            return in_order()
        encoder = Encoder(self.encoder, self.device)
        with _folder(self.cache) as folder:
            cache = VectorCache(folder, encoder.fingerprint)
            _embed_missing(partitions, records, keys, self.by, encoder, cache)
            texts = _located(records, keys, cache)
            axes = worthwhile_axes(_sample(texts, keys), self.threshold)
            near = near_pairs(texts, self.threshold, axes, self.device, self.block_size)
        numbers = texts.assign(key=np.arange(len(texts)))[[*keys, "key"]]
        records = records.merge(numbers, on=keys, validate="m:1")
        return in_order(pairs_of_equals(records), pairs_of_near(records, near))


def near_pairs(
    texts: pd.DataFrame, threshold: float, axes: Axes | None, device: str = "cpu", block_size: int = 4096
) -> pd.DataFrame:
    """Pairs of different texts, of which one at least is new: the same ones whatever the axes, device and blocks.

    Args:
        texts: where the vectors are (`file_0`, `row_0`, …, one pair of columns for each compared text), and `new`;
            new ones first.
        threshold: lowest similarity of a pair.
        axes: what to sketch by; None: full products alone.
        device: `cpu` or `gpu`, for the products.
        block_size: vectors a side of a block.

    Returns:
        Columns `first`, `second` (positions in `texts`) and `similarity`.
    """
    import dask

    new = int(texts["new"].sum())
    bounds = [*range(0, new, block_size), *range(new, len(texts), block_size), len(texts)]
    prepare, compare = dask.delayed(_sketched), dask.delayed(_pairs_between)
    shared = dask.delayed(axes, traverse=False)  # travels once a worker, as each block does
    blocks = [
        (prepare(dask.delayed(_Block.of(texts, start, stop), traverse=False), shared), start < new)
        for start, stop in pairwise(bounds)
    ]
    found = dask.compute(
        *(
            compare(block, other, threshold, device)
            for number, (block, is_new) in enumerate(blocks)
            for other, _ in blocks[number:]
            if is_new  # new ones come first: so one of the two is new
        )
    )
    return pd.concat(found, ignore_index=True)


@dataclass(frozen=True)
class _Hashes:
    """The hash of each compared text, as columns `key_0`, …"""

    by: str

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        columns = compared_texts(rows, self.by)
        silent = [not any(text.strip() for text in row) for row in zip(*columns, strict=True)]
        return pd.DataFrame(
            {
                f"key_{number}": pd.Series(
                    [None if none else hash_of(text) for text, none in zip(column, silent, strict=True)], dtype=object
                )
                for number, column in enumerate(columns)
            }
        )


@contextmanager
def _folder(cache: str | None) -> Iterator[str]:
    if cache is not None:
        yield cache
        return
    with TemporaryDirectory(prefix="curation-embeddings-") as folder:
        yield folder


def _embed_missing(
    partitions: Sequence[Any],
    records: pd.DataFrame,
    keys: Sequence[str],
    by: str,
    encoder: Encoder,
    cache: VectorCache,
) -> None:
    """Has the workers embed each text that the cache lacks, once, in the first partition that has it."""
    import dask

    columns = [
        records[["partition", "row"]].assign(column=number, hash=records[key]) for number, key in enumerate(keys)
    ]
    texts = pd.concat(columns, ignore_index=True).drop_duplicates("hash")
    missing = texts[~texts["hash"].isin(cache.index().index)]
    embed = dask.delayed(_embed)
    dask.compute(
        *(
            embed(partitions[number], by, part["column"].to_numpy(), part["row"].to_numpy(), encoder, cache)
            for number, part in missing.groupby("partition")
        )
    )


def _embed(
    rows: pd.DataFrame,
    by: str,
    columns: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    encoder: Encoder,
    cache: VectorCache,
) -> None:
    """Embeds chosen texts of one partition, and writes them to the cache as it goes."""
    compared = compared_texts(rows, by)
    texts = [compared[column][place] for column, place in zip(columns, places, strict=True)]
    for start in range(0, len(texts), _TEXTS_PER_FILE):
        batch = texts[start : start + _TEXTS_PER_FILE]
        hashes = [hash_of(text) for text in batch]
        if not cache.holds(hashes):  # a task that runs again goes on where it was killed
            cache.add(hashes, encoder.encode(batch))


def _located(records: pd.DataFrame, keys: list[str], cache: VectorCache) -> pd.DataFrame:
    """The different texts, those of new records first: where their vectors are (`file_0`, `row_0`, …), and `new`."""
    texts = records.groupby(keys, sort=True)["new"].any().reset_index()
    index = cache.index()
    for number, key in enumerate(keys):
        places = index.reindex(texts[key])
        missing = int(places["file"].isna().sum())
        if missing:
            raise CurationError(
                f"{cache.folder}: {missing} of {len(texts)} embeddings that the workers wrote can't be found here: "
                "the folder must be on a file system that this machine and all workers share"
            )
        texts[f"file_{number}"] = places["file"].to_numpy(dtype=object)
        texts[f"row_{number}"] = places["row"].to_numpy(dtype=np.int64)
    order = texts.sort_values(["new", "file_0", "row_0"], ascending=[False, True, True])  # a block in few files
    return order.reset_index(drop=True)


def _sample(texts: pd.DataFrame, keys: list[str]) -> Vectors:
    """Vectors of some texts, chosen by hash: the same ones in whatever order and partitions the records come."""
    order = pd.util.hash_pandas_object(texts[keys], index=False).argsort(kind="stable")
    vectors = _Block.of(texts.iloc[order[:_SAMPLE]], 0, _SAMPLE).vectors()
    return vectors.reshape(-1, vectors.shape[-1])


@dataclass(frozen=True)
class _Block:
    """A run of texts: where in the cache their vectors are, for each compared text, and their sketches."""

    start: int
    files: list[npt.NDArray[np.object_]]
    rows: list[npt.NDArray[np.int64]]
    sketches: Vectors | None = None

    @classmethod
    def of(cls, texts: pd.DataFrame, start: int, stop: int) -> _Block:
        """The texts from `start` to `stop`."""
        part = texts.iloc[start:stop]
        numbers = range(sum(name.startswith("file_") for name in texts.columns))
        return cls(
            start,
            [part[f"file_{number}"].to_numpy(dtype=object) for number in numbers],
            [part[f"row_{number}"].to_numpy(dtype=np.int64) for number in numbers],
        )

    def vectors(self, places: npt.NDArray[np.intp] | slice = slice(None)) -> Vectors:
        """Those of all texts, or of chosen ones; shape (compared texts, texts, dimensions)."""
        return np.stack([take(files[places], rows[places]) for files, rows in zip(self.files, self.rows, strict=True)])


def _sketched(block: _Block, axes: Axes | None) -> _Block:
    return block if axes is None else replace(block, sketches=sketch(block.vectors(), axes))


def _pairs_between(one: _Block, other: _Block, threshold: float, device: str) -> pd.DataFrame:
    """The pairs of two blocks, or within one: columns `first`, `second`, `similarity`."""
    upper, lowest = one.start == other.start, threshold - MARGIN
    places = None
    if one.sketches is not None and other.sketches is not None:
        places = _at_least(lowest, one.sketches, other.sketches, upper, device, _WORTH_CHECKING)
    if places is None:
        places = _at_least(lowest, one.vectors(), other.vectors(), upper, device)
    assert places is not None  # there is room for all of them
    rows, columns = places.T
    of_one, first = np.unique(rows, return_inverse=True)
    of_other, second = np.unique(columns, return_inverse=True)
    similarity = _cosines(one.vectors(of_one), other.vectors(of_other), first, second)
    near = similarity >= threshold
    return pd.DataFrame(
        {"first": rows[near] + one.start, "second": columns[near] + other.start, "similarity": similarity[near]}
    )


def _at_least(
    lowest: float, first: Vectors, second: Vectors, upper: bool, device: str, most: float = 1.0
) -> npt.NDArray[np.int64] | None:
    """Where the product of two blocks, the smallest over the compared texts, is so high.

    Args:
        lowest: lowest product that counts.
        first: shape (compared texts, texts, dimensions or length of a sketch).
        second: likewise.
        upper: whether both are the same block, of which each two texts are to be found once.
        device: `cpu` or `gpu`.
        most: share of all products up to which places are collected.

    Returns:
        Rows (place in `first`, place in `second`), or None: there are more than `most`.
    """
    import torch

    target, panel = ("cuda" if device == "gpu" else "cpu"), _PANEL[device]
    left, right = (torch.from_numpy(block).to(target) for block in (first, second))
    found: list[npt.NDArray[np.int64]] = []
    room = most * first.shape[1] * second.shape[1]
    for start in range(0, first.shape[1], panel):
        products = (torch.mm(one[start : start + panel], other.T) for one, other in zip(left, right, strict=True))
        hits = reduce(torch.minimum, products) >= lowest
        places = (hits.triu(start + 1) if upper else hits).nonzero()
        room -= len(places)
        if room < 0:
            return None
        places[:, 0] += start
        found.append(places.cpu().numpy())
    everything: npt.NDArray[np.int64] = np.concatenate(found)
    return everything


def _cosines(
    first: Vectors, second: Vectors, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The similarity of chosen pairs, the smallest over the compared texts.

    Products of single-precision numbers are exact in double precision, and each row is summed on its own in the same
    order, so a pair's value depends on its two vectors alone.
    """
    result = np.empty(len(rows))
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        products = np.multiply(first[:, rows[some]], second[:, columns[some]], dtype=np.float64)
        result[some] = products.sum(axis=-1).min(axis=0)
    return result.round(DECIMALS)
