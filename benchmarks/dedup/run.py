"""Pairs of near embeddings against brute force and semhash: `python -m benchmarks.dedup.run [--sentences N]`.

The vectors are the embedded model's of real sentences (`texts.py`). They are kept in `--vectors FILE`, since embedding
100,000 sentences takes some ten minutes. All ways run over the same vectors in one process and one thread, and are
measured in CPU seconds: the deduper's own code, the axes it chooses included; the blocked product of all vectors in
single precision, which is brute force; and, where it is installed, semhash with the same vectors.

`--growth 1000000` draws as many vectors as that, in steps, from the normal distribution with the real ones' mean and
covariance, one in fifty a near duplicate, and fits how the time grows.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads: its threads would wait for each other, and be counted

import dask
import numpy as np
import pandas as pd
import torch

from benchmarks.dedup.texts import sentences
from curation.core.encoder import Encoder
from curation.core.sketch import worthwhile_axes
from curation.core.vectors import VectorCache, Vectors, hash_of
from curation.dedupers._blocks import Block
from curation.dedupers._near import near_pairs

THRESHOLDS = (0.8, 0.9, 0.95, 0.99)
SEMHASH_AT = 0.95
PLANTED = 50  # of drawn vectors one in so many is a near duplicate
DRAWN_AT_ONCE = 50_000
PER_FILE = 1024
NAME = "benchmark"  # of the vectors in their cache
SAMPLE = 2000
BLOCK, PANEL = 4096, 256
CLOSE = 1e-5  # single precision is never so far off: double precision decides what lies closer to the threshold

T = TypeVar("T")


def real_vectors(count: int, file: Path) -> Vectors:
    """The vectors of real sentences; those that the file has are not computed again."""
    if file.is_file():
        known: Vectors = np.load(file)
        if len(known) >= count:
            return known[:count]
    encoder, texts = Encoder(), sentences(count)
    vectors = np.concatenate([encoder.encode(texts[start : start + 2000]) for start in range(0, count, 2000)])
    np.save(file, vectors)
    return vectors


def draw(count: int, like: Vectors, cache: VectorCache, seed: int = 7) -> None:
    """Puts unit vectors with the mean and covariance of others into files, near duplicates among each 50,000."""
    rng = np.random.default_rng(seed)
    mean, dimensions = like.mean(axis=0, dtype=np.float64), like.shape[1]
    root = np.linalg.cholesky(np.cov(like.T.astype(np.float64)) + 1e-9 * np.eye(dimensions)).T.astype(np.float32)
    for start in range(0, count, DRAWN_AT_ONCE):
        size = min(DRAWN_AT_ONCE, count - start)
        vectors = rng.standard_normal((size, dimensions), dtype=np.float32) @ root + mean.astype(np.float32)
        copies, originals = np.split(rng.permutation(size)[: size // PLANTED * 2], 2)
        noise = rng.standard_normal((len(copies), dimensions), dtype=np.float32) @ root
        vectors[copies] = vectors[originals] + noise * rng.uniform(0, 0.5, (len(copies), 1)).astype(np.float32)
        store(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), cache, start)


def store(vectors: Vectors, cache: VectorCache, first: int = 0) -> None:
    """Writes vectors to files as the workers do; the hash of each is that of its number, from `first` on."""
    hashes = [hash_of(str(number)) for number in range(first, first + len(vectors))]
    for start in range(0, len(vectors), PER_FILE):
        cache.add(hashes[start : start + PER_FILE], vectors[start : start + PER_FILE])


def located(cache: VectorCache, count: int) -> pd.DataFrame:
    """Where the vectors are, as `near_pairs` wants to know it, and their numbers."""
    places = cache.index().reindex([hash_of(str(number)) for number in range(count)])
    texts = pd.DataFrame({"file_0": places["file"].to_numpy(), "row_0": places["row"].to_numpy(), "new": True})
    return texts.assign(number=np.arange(count)).sort_values(["file_0", "row_0"], ignore_index=True)


def search(folder: str, count: int, threshold: float) -> tuple[pd.DataFrame, float, float]:
    """The deduper's pairs of the vectors in a folder, by number; its CPU seconds; this process's peak memory in MB."""
    torch.set_num_threads(1)
    texts = located(VectorCache(folder, NAME), count)

    def work() -> pd.DataFrame:
        sample = Block.of(texts.sort_values("number").iloc[:SAMPLE]).vectors()[0]
        return near_pairs(texts, threshold, worthwhile_axes(sample, threshold)).pairs

    with dask.config.set(scheduler="synchronous"):
        pairs, seconds = timed(work)
    numbers = texts["number"].to_numpy()
    found = pd.DataFrame({"first": numbers[pairs["first"]], "second": numbers[pairs["second"]]})
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())  # getrusage has the parent's as well
    return found, seconds, int(peak[1]) / 1024 if peak else float("nan")


def bounded(vectors: Vectors, threshold: float) -> tuple[set[tuple[int, int]], float]:
    """The deduper's pairs, and its CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        store(vectors, VectorCache(folder, NAME))
        pairs, seconds, _ = search(folder, len(vectors), threshold)
    return as_set(pairs["first"], pairs["second"]), seconds


def brute_force(vectors: Vectors, threshold: float) -> tuple[set[tuple[int, int]], float]:
    """All pairs by the product of all vectors, and the CPU seconds of that product and of looking at it."""
    room = np.empty((PANEL, BLOCK), dtype=np.float32)

    def work() -> list[Any]:
        found = []
        for right in range(0, len(vectors), BLOCK):
            columns = vectors[right : right + BLOCK].T
            for left in range(0, min(right + BLOCK, len(vectors)), PANEL):
                rows = vectors[left : left + PANEL]
                products = np.matmul(rows, columns, out=room[: len(rows), : columns.shape[1]])
                hits = np.flatnonzero(products >= threshold - CLOSE)
                if len(hits):
                    found.append(np.stack(np.divmod(hits, columns.shape[1])) + np.array([[left], [right]]))
        return found

    found, seconds = timed(work)
    first, second = np.concatenate([np.empty((2, 0), dtype=np.int64), *found], axis=1)
    upper = first < second
    first, second = first[upper], second[upper]
    exact = np.einsum("pd,pd->p", vectors[first].astype(np.float64), vectors[second].astype(np.float64)).round(6)
    return as_set(first[exact >= threshold], second[exact >= threshold]), seconds


def as_set(first: Any, second: Any) -> set[tuple[int, int]]:
    """Pairs of numbers, the smaller first."""
    return set(zip(np.minimum(first, second).tolist(), np.maximum(first, second).tolist(), strict=True))


class Known:
    """What semhash takes for a model: the vectors that are there."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def encode(self, inputs: Sequence[str], **_: Any) -> Vectors:
        return self._vectors[[int(text) for text in inputs]]


def semhash_seconds(vectors: Vectors, threshold: float) -> float | None:
    """CPU seconds of semhash's own deduplication; None where it is not installed."""
    if find_spec("semhash") is None:
        return None
    from semhash import SemHash  # type: ignore[import-not-found, unused-ignore]

    def work() -> Any:
        names = [str(number) for number in range(len(vectors))]
        return SemHash.from_records(names, model=Known(vectors)).self_deduplicate(threshold=threshold)

    return timed(work)[1]


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` answers with, and its CPU seconds."""
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def compare(vectors: Vectors, thresholds: Sequence[float]) -> None:
    """Prints a row a threshold; ends the program where a pair is missed or a false one."""
    print(f"{len(vectors):,} vectors     ours   brute force   semhash     pairs")
    for threshold in thresholds:
        ours, mine = bounded(vectors, threshold)
        every, theirs = brute_force(vectors, threshold)
        if ours != every:
            raise SystemExit(f"at {threshold}: {len(every - ours)} of {len(every)} missed, {len(ours - every)} false")
        others = semhash_seconds(vectors, threshold) if threshold == SEMHASH_AT else None
        third = f"{others:7.1f} s ({others / mine:.0f}x)" if others else "-"
        print(
            f"{threshold:<10} {mine:8.2f} s   {theirs:7.1f} s ({theirs / mine:.1f}x)   {third}   {len(every):,}",
            flush=True,
        )


def grow(like: Vectors, most: int, threshold: float) -> None:
    """Prints CPU seconds and memory at sizes up to `most`, and the exponent with which the time grows."""
    sizes = [most // 16, most // 8, most // 4, most // 2, most]
    spent = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            draw(size, like, VectorCache(folder, NAME))
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:  # whose memory is the search's own
                pairs, seconds, peak = alone.submit(search, folder, size, threshold).result()
        spent.append(seconds)
        print(f"{size:>10,} vectors {seconds:8.1f} CPU s, peak {peak:,.0f} MB, {len(pairs):,} pairs", flush=True)
    print(f"time grows as N^{np.polyfit(np.log(sizes), np.log(spent), 1)[0]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=100_000)
    parser.add_argument("--vectors", type=Path, default=Path(tempfile.gettempdir()) / "curation-benchmark-vectors.npy")
    parser.add_argument("--threshold", type=float, action="append", help=f"(default: {THRESHOLDS})")
    parser.add_argument("--growth", type=int, help="instead, draw up to so many vectors like the real ones")
    options = parser.parse_args()
    torch.set_num_threads(1)
    vectors = real_vectors(options.sentences, options.vectors)
    thresholds = options.threshold or THRESHOLDS
    if options.growth:
        grow(vectors, options.growth, thresholds[-1] if options.threshold else SEMHASH_AT)
    else:
        compare(vectors, thresholds)


if __name__ == "__main__":
    main()
