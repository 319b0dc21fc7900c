"""Pairs of near embeddings, by full products and by bounds: `python -m benchmarks.dedup.run [--vectors N]`.

The vectors are drawn with the spectrum of sentence embeddings: their singular values fall as the root of their rank,
about a common mean. One in fifty is a near duplicate of another, at a cosine of 0.9 to 1. Both ways run the deduper's
own code over the same files, in one process and one thread, and are measured in CPU seconds; choosing the axes counts.
They must find the same pairs, to the last digit.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads: its threads would wait for each other, and be counted

import dask
import numpy as np
import pandas as pd
import torch

from curation.core.sketch import worthwhile_axes
from curation.core.vectors import VectorCache, Vectors, hash_of
from curation.dedupers.semantic import near_pairs

DIMENSIONS = 384
DECAY = 0.5  # singular values fall with this power of their rank: all-MiniLM-L6-v2 holds 63 % in 48 axes, these 71 %
MEAN = 0.4  # length of what all vectors share, of 1
PLANTED = 50  # one vector in so many is a near duplicate
PER_FILE = 1024
SAMPLE = 2000

T = TypeVar("T")


def vectors_of(count: int, seed: int = 7) -> Vectors:
    """Unit vectors, the near duplicates scattered among the others."""
    rng = np.random.default_rng(seed)
    scale = np.arange(1, DIMENSIONS + 1) ** -DECAY
    scale *= np.sqrt((1 - MEAN**2) / np.square(scale).sum())
    vectors = rng.standard_normal((count, DIMENSIONS)) * scale
    vectors[:, 0] += MEAN
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    copies, originals = np.split(rng.permutation(count)[: count // PLANTED * 2], 2)
    noise = rng.standard_normal((len(copies), DIMENSIONS)) * scale
    vectors[copies] = vectors[originals] + noise * rng.uniform(0, 0.5, (len(copies), 1))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rotation = np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))[0]
    rotated: Vectors = (vectors @ rotation).astype(np.float32)
    return rotated


def stored(vectors: Vectors, folder: str) -> pd.DataFrame:
    """The vectors in files as the workers write them, and where they are, as `near_pairs` wants to know it."""
    cache = VectorCache(folder, "benchmark")
    hashes = [hash_of(str(number)) for number in range(len(vectors))]
    for start in range(0, len(vectors), PER_FILE):
        cache.add(hashes[start : start + PER_FILE], vectors[start : start + PER_FILE])
    places = cache.index().sort_values(["file", "row"], ignore_index=True)
    return pd.DataFrame({"file_0": places["file"], "row_0": places["row"], "new": True})


def timed(name: str, work: Callable[[], T]) -> tuple[T, float]:
    """What `work` answers with, and its CPU seconds, which are printed with the peak memory so far."""
    started = time.process_time()
    result = work()
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:<16} {seconds:8.2f} CPU s, peak memory until then {peak:,.0f} MB", flush=True)
    return result, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--threshold", type=float, default=0.95)
    options = parser.parse_args()
    torch.set_num_threads(1)
    vectors = vectors_of(options.vectors)

    def bounded() -> pd.DataFrame:
        axes = worthwhile_axes(vectors[:SAMPLE], options.threshold)
        print("full products are cheaper" if axes is None else f"{axes.shape[1]} of {DIMENSIONS} axes")
        return near_pairs(texts, options.threshold, axes)

    with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler="synchronous"):
        texts = stored(vectors, folder)
        ours, mine = timed("bounds", bounded)
        every, theirs = timed("full products", lambda: near_pairs(texts, options.threshold, None))
    pd.testing.assert_frame_equal(ours, every)
    print(
        f"{options.vectors:,} vectors at {options.threshold}: the same {len(every):,} pairs (recall 1), "
        f"{theirs / mine:.1f}x"
    )


if __name__ == "__main__":
    main()
