"""Records that mean nearly the same: all pairs of embeddings at or above a cosine, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
from curation.core.vectors import VectorCache, Vectors, hash_of, take
from curation.dedupers._members import check_by, in_order, members, pairs_of_equals, pairs_of_near, partitions_of

if TYPE_CHECKING:
    import dask.dataframe as dd

DECIMALS: Final = 6
"""Similarities are rounded to so many places, and judged as rounded: single-precision vectors hold no more."""

_MARGIN: Final = 1e-4  # far above the error of a single-precision product, so that no pair is missed
_TEXTS_PER_FILE: Final = 1024  # what is lost at most of a worker's embeddings when it is killed
_PAIRS_AT_ONCE: Final = 16384  # re-checked at a time


class Semantic(Deduper):
    """Pairs of records whose embeddings' cosine is at or above a threshold.

    The workers embed the texts that the cache does not hold yet, then multiply blocks of vectors with each other.
    That finds candidates; what is a pair decides a double-precision product, so that blocks, devices and workers
    change nothing. Memory: a task holds a block's product, `block_size`² numbers of 4 bytes, and up to ten times as
    much where nearly everything in it is a pair; the driver holds a few numbers a record, and all pairs.

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
            near = self._near(texts)
        numbers = texts.assign(key=np.arange(len(texts)))[[*keys, "key"]]
        records = records.merge(numbers, on=keys, validate="m:1")
        return in_order(pairs_of_equals(records), pairs_of_near(records, near))

    def _near(self, texts: pd.DataFrame) -> pd.DataFrame:
        """Pairs of different texts, as positions in `texts`: columns `first`, `second`, `similarity`."""
        import dask

        new = int(texts["new"].sum())
        bounds = [*range(0, new, self.block_size), *range(new, len(texts), self.block_size), len(texts)]
        blocks = [(_Block.of(texts, start, stop), start < new) for start, stop in pairwise(bounds)]
        nodes = [
            dask.delayed(block, traverse=False) for block, _ in blocks
        ]  # each block's places travel once, not once a pair
        compare = dask.delayed(_pairs_between)
        found = dask.compute(
            *(
                compare(nodes[one], nodes[other], self.threshold, self.device)
                for one, (_, is_new) in enumerate(blocks)
                for other in range(one, len(blocks))
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


@dataclass(frozen=True)
class _Block:
    """A run of texts: where in the cache their vectors are, for each compared text."""

    start: int
    files: list[npt.NDArray[np.object_]]
    rows: list[npt.NDArray[np.int64]]

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

    def vectors(self) -> Vectors:
        """Shape (compared texts, texts, dimensions)."""
        return np.stack([take(files, rows) for files, rows in zip(self.files, self.rows, strict=True)])


def _pairs_between(one: _Block, other: _Block, threshold: float, device: str) -> pd.DataFrame:
    """The pairs of two blocks, or within one: columns `first`, `second`, `similarity`."""
    import torch

    first, second = one.vectors(), other.vectors()
    target = "cuda" if device == "gpu" else "cpu"
    left, right = (torch.from_numpy(vectors).to(target) for vectors in (first, second))
    hits = torch.bmm(left, right.transpose(1, 2)).amin(0) >= threshold - _MARGIN
    if one.start == other.start:
        hits = hits.triu(1)
    rows, columns = (places.cpu().numpy() for places in hits.nonzero(as_tuple=True))
    similarity = _cosines(first, second, rows, columns)
    near = similarity >= threshold
    return pd.DataFrame(
        {"first": rows[near] + one.start, "second": columns[near] + other.start, "similarity": similarity[near]}
    )


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
