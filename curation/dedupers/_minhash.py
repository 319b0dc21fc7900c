"""Which sets are likely alike: MinHash signatures, cut into bands (Broder 1997; Indyk and Motwani 1998).

MinHash is a few lines of numpy here, on all shingles of a text at once. The usual library, datasketch, takes each
shingle from Python: for 5,000 texts of 150 words it needed 4.4 s with shingles of 5 characters and 1.0 s with those of
3 words, where this file needs 1.3 s and 0.9 s on the same core, normalisation of the texts included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.dedupers._hashing import GOLDEN, Hashes, mixed
from curation.dedupers._shingles import Places, Shingles

Flags = npt.NDArray[np.bool_]

RECALL: Final = 0.95
"""How likely a pair exactly at the threshold is found at least; it nears 1 quickly above it."""

CROWD: Final = 100
"""Texts of one band value, above which not all of them are compared with each other."""

_SHINGLES_AT_ONCE: Final = 1024  # permuted at a time: 128 permutations of so many stay in a processor's cache
_SEED: Final = 0x5DEECE66D


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """How signatures are cut into bands: two texts that agree in all of one band are candidates.

    A pair of Jaccard index s is a candidate with the probability 1 - (1 - s^rows)^bands. As candidates are checked, a
    false one costs time alone, so the bands are as long as they can be while a pair at the threshold is still found
    with a probability of 95 %.

    Returns:
        Number of bands, and rows a band; their product is at most `permutations`.
    """
    rows = 1
    while rows < permutations and _found(threshold, permutations // (rows + 1), rows + 1) >= RECALL:
        rows += 1
    return permutations // rows, rows


def _found(similarity: float, bands: int, rows: int) -> float:
    return 1.0 - (1.0 - float(similarity**rows)) ** bands


def all_bands(partitions: Sequence[Any], texts: pd.DataFrame, shingles: Shingles, bands: int, rows: int) -> Hashes:
    """The band values of all texts, computed where the texts lie; shape (texts, bands)."""
    import dask

    task = dask.delayed(bands_of)
    groups = list(texts.groupby("partition"))
    parts = dask.compute(
        *(task(partitions[number], part["row"].to_numpy(), shingles, bands, rows) for number, part in groups)
    )
    result = np.empty((len(texts), bands), dtype=np.uint64)
    for (_, part), values in zip(groups, parts, strict=True):
        result[part.index] = values
    return result


def bands_of(rows: pd.DataFrame, places: Places, shingles: Shingles, bands: int, rows_a_band: int) -> Hashes:
    """The band values of chosen rows; shape (rows, bands).

    With several texts a record, its signature is that of all shingles, those of each text marked: as its Jaccard index
    is never below that of the least similar texts, a pair is found at least as often as by that one alone.
    """
    count = bands * rows_a_band
    constants = mixed(np.uint64(_SEED) + GOLDEN * np.arange(1, 2 * count + 1, dtype=np.uint64))
    factors, summands = constants[:count, None] | np.uint64(1), constants[count:, None]
    signatures = np.empty((len(places), count), dtype=np.uint64)
    for number, sets in enumerate(shingles.each(rows.iloc[places])):
        marked = np.concatenate([mixed(each + np.uint64(place)) for place, each in enumerate(sets)])
        signatures[number] = _signature(marked, factors, summands)
    cut = signatures.reshape(len(places), bands, rows_a_band)
    values = np.zeros((len(places), bands), dtype=np.uint64)
    for row in range(rows_a_band):
        values = mixed(values + cut[:, :, row] + GOLDEN)
    return values


def _signature(hashes: Hashes, factors: Hashes, summands: Hashes) -> Hashes:
    """The smallest value of each permutation of the 64-bit numbers, `factors` (odd) times a hash plus `summands`."""
    smallest = [
        (hashes[start : start + _SHINGLES_AT_ONCE] * factors + summands).min(axis=1)
        for start in range(0, len(hashes), _SHINGLES_AT_ONCE)
    ]
    result: Hashes = np.min(smallest, axis=0)
    return result


def candidates(texts: pd.DataFrame, bands: Hashes) -> tuple[Places, Places]:
    """The pairs that agree in a band, of which one at least is in no crowd: each once, the better text first."""
    crowded = _crowded(bands)
    found = [np.empty(0, dtype=np.int64)]
    for values, order, sizes in _sorted_bands(bands):
        starts = np.flatnonzero(sizes <= CROWD)
        for distance in range(1, CROWD):
            starts = starts[starts + distance < len(order)]
            starts = starts[values[starts] == values[starts + distance]]
            if not len(starts):
                break
            first, second = order[starts], order[starts + distance]
            wanted = worth_comparing(texts, first, second) & ~(crowded[first] & crowded[second])
            found.append((first * len(texts) + second)[wanted])
    first, second = np.divmod(np.unique(np.concatenate(found)), len(texts))
    return first, second


def crowds_of(bands: Hashes) -> list[Places]:
    """The crowded texts of each band value that several of them share, from the best to the worst.

    Small groups too: a text of a crowd agrees with many of the same ones in other bands, now these, now those, and
    all such pairs together would be as many as those that the crowd spares.
    """
    names, found = np.flatnonzero(_crowded(bands)), []
    for values, order, sizes in _sorted_bands(bands[names]):
        shared = sizes > 1
        borders = np.flatnonzero(np.diff(values[shared])) + 1
        found += [group for group in np.split(names[order[shared]], borders) if len(group)]
    return found


def worth_comparing(texts: pd.DataFrame, first: Places | int, second: Places) -> Flags:
    """Whether a new record is among the pairs of the best of `first` with all of `second`."""
    result: Flags = texts["best_new"].to_numpy()[first] | texts["any_new"].to_numpy()[second]
    return result


def _crowded(bands: Hashes) -> Flags:
    """Which texts agree in a band with so many that not all of them can be compared with each other."""
    result = np.zeros(len(bands), dtype=np.bool_)
    for _, order, sizes in _sorted_bands(bands):
        result[order[sizes > CROWD]] = True
    return result


def _sorted_bands(bands: Hashes) -> Iterator[tuple[Hashes, Places, Places]]:
    """For each band its sorted values, the texts that have them (the better first), and how many share the value."""
    for column in bands.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
        yield values, order, counts[group]
