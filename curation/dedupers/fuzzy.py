"""Records that are written nearly the same: typos, filled-in templates, boilerplate, by MinHash and LSH.

MinHash is a few lines of numpy here, on all shingles of a text at once. The usual library, datasketch, takes each
shingle from Python: for 5,000 texts of 150 words it needed 4.4 s with shingles of 5 characters and 1.0 s with those of
3 words, where this file needs 1.3 s and 0.9 s on the same core, normalisation of the texts included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.contracts import Deduper
from curation.core.errors import PlanError
from curation.core.pairs import best_across, compared_texts, normalize
from curation.core.records import digest
from curation.dedupers._members import check_by, in_order, members, pairs_of_equals, pairs_of_near, partitions_of

if TYPE_CHECKING:
    import dask.dataframe as dd

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DECIMALS: Final = 6
"""Similarities are rounded to so many places, and judged as rounded."""

UNITS: Final = ("char", "word")

_RECALL: Final = 0.95  # of pairs exactly at the threshold; it nears 1 quickly above it
_CROWD: Final = 100  # texts of one band value, above which not all of them are compared with each other
_SHINGLES_AT_ONCE: Final = 1024  # permuted at a time: 128 permutations of so many stay in a processor's cache
_PAIRS_AT_ONCE: Final = 4096  # compared at a time
_SEED: Final = 0x5DEECE66D
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


class Fuzzy(Deduper):
    """Pairs of records whose texts share most of their shingles: runs of characters or words.

    The similarity is the Jaccard index of the two sets of shingles (shared ones by all), exactly: what MinHash and LSH
    (Broder 1997; Indyk and Motwani 1998) find are candidates, and each is checked on the sets themselves, so no pair
    is a false one. Some may be missed: a pair exactly at the threshold is a candidate with a probability of at least
    95 % (less where `permutations` are too few for a low threshold), and one above it with more; for the defaults it is
    98.5 % at 0.8, and 99.9 % at 0.85.
    The permutations are constants, so all runs and machines find and miss the same pairs.

    Not every pair is listed, but what leaves (`pairs.keep_best` at `threshold`) is what would leave with all candidates
    that pass the check, and each that leaves has a kept one at or above the threshold:

    - Records with equal sets are paired with the best of them alone, at similarity 1. For two sets that are similar,
      the best record of the better set stands for its equals.
    - Where more than 100 different texts agree in a band of their signatures (a crowd: a template that was filled in
      often), they are not all compared with each other, but in the order of quality with those that stay. So
      `keep_best` above `threshold`, and the most similar one that is kept, may be others than with all pairs. Without
      `against`, the groups that pairs form are the same.

    Memory: the driver holds up to 8 bytes a permutation and different text (144 at the defaults), and all candidates;
    the workers together the sets of all candidates, 8 bytes a shingle; one task those of all texts in crowds, 20 bytes
    a shingle. Time is quadratic in a crowd only as far as its texts are no duplicates of each other.

    Args:
        threshold: lowest Jaccard index of a pair, above 0 and at most 1.
        by: `question` (with its title), `answer`, `both` (compared apart; the similarity is the smaller of the two),
            or `text` (title, question and answer as one text). A record without any text to compare is a duplicate
            of nothing. Texts are compared as `pairs.normalize` leaves them.
        ngram: units in a shingle, at least 1; 5 characters, or 3 words, are usual. A shorter text is one shingle.
        unit: `char` (a typo changes few shingles; also for scripts without spaces) or `word` (fewer shingles to
            compare; for long texts).
        permutations: length of a signature, at least 1. More of them find as many pairs with fewer candidates.
    """

    def __init__(
        self,
        threshold: float = 0.8,
        by: str = "question",
        ngram: int = 5,
        unit: str = "char",
        permutations: int = 128,
    ) -> None:
        check_by("fuzzy", by)
        if not 0 < threshold <= 1:
            raise PlanError([f"deduper 'fuzzy': threshold is a Jaccard index above 0 and at most 1, not {threshold}"])
        if unit not in UNITS:
            raise PlanError([f"deduper 'fuzzy': unit is one of {', '.join(UNITS)}, not '{unit}'"])
        for name, value in (("ngram", ngram), ("permutations", permutations)):
            if value < 1:
                raise PlanError([f"deduper 'fuzzy': {name} is at least 1, not {value}"])
        self.threshold = threshold
        self.by = by
        self.ngram = ngram
        self.unit = unit
        self.permutations = permutations

    def find(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.DataFrame:
        """See `Deduper.find`, and above which pairs are left out."""
        return self._find(table, against, old_first=False)

    def match(self, table: dd.DataFrame, against: dd.DataFrame) -> pd.DataFrame:
        """See `Deduper.match`; in a crowd the match of a record may be another than the most similar one."""
        return best_across(self._find(table, against, old_first=True), table["id"].compute())

    def _find(self, table: dd.DataFrame, against: dd.DataFrame | None, old_first: bool) -> pd.DataFrame:
        """The pairs; with `old_first` all of `against` rank before `table`, so that no record leaves a crowd for one
        of `table` before it was compared with all of `against`."""
        partitions, own = partitions_of(table, against)
        shingles = _Shingles(self.by, self.unit, self.ngram)
        records = members(partitions, own, _Keys(shingles))
        if not records["new"].any():
            return in_order()
        if old_first:
            records["rank"] += (records["rank"].max() + 1) * records["new"].astype("int64")
        texts = _different(records)
        bands = _bands(partitions, texts, shingles, *bands_for(self.threshold, self.permutations))
        near = _few_alike(partitions, texts, shingles, bands, self.threshold)
        more = _many_alike(partitions, texts, shingles, bands, near, self.threshold)
        near = pd.concat([near, more]).drop_duplicates(["first", "second"])
        keys = texts["key"].to_numpy()
        named = near.assign(first=keys[near["first"]], second=keys[near["second"]])
        return in_order(pairs_of_equals(records), pairs_of_near(records, named))


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """How signatures are cut into bands: two texts that agree in all of one band are candidates.

    A pair of Jaccard index s is a candidate with the probability 1 - (1 - s^rows)^bands. As candidates are checked, a
    false one costs time alone, so the bands are as long as they can be while a pair at the threshold is still found
    with a probability of 95 %.

    Returns:
        Number of bands, and rows a band; their product is at most `permutations`.
    """
    rows = 1
    while rows < permutations and _found(threshold, permutations // (rows + 1), rows + 1) >= _RECALL:
        rows += 1
    return permutations // rows, rows


def _found(similarity: float, bands: int, rows: int) -> float:
    return 1.0 - (1.0 - float(similarity**rows)) ** bands


def _mixed(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): each bit of a value moves all bits of its hash."""
    for shift, factor in _MIX:
        values = (values ^ (values >> np.uint64(shift))) * factor
    result: Hashes = values ^ (values >> np.uint64(31))
    return result


@dataclass(frozen=True)
class _Sets:
    """Sets of hashes, one after the other, each sorted."""

    hashes: Hashes
    sizes: Places

    @classmethod
    def of(cls, sets: Sequence[Hashes]) -> _Sets:
        sizes = np.array([len(each) for each in sets], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, dtype=np.uint64), *sets]), sizes)


@dataclass(frozen=True)
class _Shingles:
    """How a text becomes a set of 64-bit hashes, one a shingle."""

    by: str
    unit: str
    ngram: int

    def each(self, rows: pd.DataFrame) -> Iterator[list[Hashes]]:
        """The sets of each row's compared texts; that of an empty text is empty."""
        words: dict[str, int] = {}
        for texts in zip(*compared_texts(rows, self.by), strict=True):
            yield [self._set(normalize(text), words) for text in texts]

    def _set(self, text: str, words: dict[str, int]) -> Hashes:
        codes = _words(text, words) if self.unit == "word" else _characters(text)
        length = min(self.ngram, len(codes))
        if not length:
            return codes
        hashes = np.zeros(len(codes) - length + 1, dtype=np.uint64)
        for start in range(length):
            hashes = _mixed(hashes + codes[start : start + len(hashes)] + _GOLDEN)
        return np.unique(hashes)


def _characters(text: str) -> Hashes:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)


def _words(text: str, known: dict[str, int]) -> Hashes:
    found = text.split()
    for word in found:
        if word not in known:
            data = word.encode("utf-8", "surrogatepass")
            known[word] = int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
    return np.array([known[word] for word in found], dtype=np.uint64)


@dataclass(frozen=True)
class _Keys:
    """The hash of each record's sets, as column `key`."""

    shingles: _Shingles

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        keys = [
            digest(*(each.astype("<u8").tobytes() for each in sets)) if any(len(each) for each in sets) else None
            for sets in self.shingles.each(rows)
        ]
        return pd.DataFrame({"key": pd.Series(keys, dtype=object)})


def _different(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each different `key`, from the best to the worst: where its best record is, and who is new.

    Returns:
        Columns `key`, `partition`, `row`, `best_new` (whether the best record is new) and `any_new`, numbered from 0.
    """
    best = records.sort_values("rank").drop_duplicates("key").rename(columns={"new": "best_new"})
    any_new = best["key"].isin(records.loc[records["new"].astype(bool), "key"])
    texts = best.assign(any_new=any_new)[["key", "partition", "row", "best_new", "any_new"]]
    return texts.astype({"best_new": bool, "any_new": bool}).reset_index(drop=True)


def _worth_comparing(texts: pd.DataFrame, first: Places | int, second: Places) -> Flags:
    """Whether a new record is among the pairs of the best of `first` with all of `second`."""
    result: Flags = texts["best_new"].to_numpy()[first] | texts["any_new"].to_numpy()[second]
    return result


def _bands(partitions: Sequence[Any], texts: pd.DataFrame, shingles: _Shingles, bands: int, rows: int) -> Hashes:
    """The band values of all texts, computed where the texts lie; shape (texts, bands)."""
    import dask

    task = dask.delayed(_bands_of)
    groups = list(texts.groupby("partition"))
    parts = dask.compute(
        *(task(partitions[number], part["row"].to_numpy(), shingles, bands, rows) for number, part in groups)
    )
    result = np.empty((len(texts), bands), dtype=np.uint64)
    for (_, part), values in zip(groups, parts, strict=True):
        result[part.index] = values
    return result


def _bands_of(rows: pd.DataFrame, places: Places, shingles: _Shingles, bands: int, rows_a_band: int) -> Hashes:
    """The band values of chosen rows; shape (rows, bands).

    With several texts a record, its signature is that of all shingles, those of each text marked: as its Jaccard index
    is never below that of the least similar texts, a pair is found at least as often as by that one alone.
    """
    count = bands * rows_a_band
    constants = _mixed(np.uint64(_SEED) + _GOLDEN * np.arange(1, 2 * count + 1, dtype=np.uint64))
    factors, summands = constants[:count, None] | np.uint64(1), constants[count:, None]
    signatures = np.empty((len(places), count), dtype=np.uint64)
    for number, sets in enumerate(shingles.each(rows.iloc[places])):
        marked = np.concatenate([_mixed(each + np.uint64(place)) for place, each in enumerate(sets)])
        signatures[number] = _signature(marked, factors, summands)
    cut = signatures.reshape(len(places), bands, rows_a_band)
    values = np.zeros((len(places), bands), dtype=np.uint64)
    for row in range(rows_a_band):
        values = _mixed(values + cut[:, :, row] + _GOLDEN)
    return values


def _signature(hashes: Hashes, factors: Hashes, summands: Hashes) -> Hashes:
    """The smallest value of each permutation of the 64-bit numbers, `factors` (odd) times a hash plus `summands`."""
    smallest = [
        (hashes[start : start + _SHINGLES_AT_ONCE] * factors + summands).min(axis=1)
        for start in range(0, len(hashes), _SHINGLES_AT_ONCE)
    ]
    result: Hashes = np.min(smallest, axis=0)
    return result


def _few_alike(
    partitions: Sequence[Any], texts: pd.DataFrame, shingles: _Shingles, bands: Hashes, threshold: float
) -> pd.DataFrame:
    """All pairs of texts of which one at least is in no crowd: columns `first` (better), `second`, `similarity`.

    Each two partitions that have candidates in common are compared in one task, on the sets of candidates alone.
    """
    import dask

    first, second = _candidates(texts, bands, _crowded(bands))
    home = texts["partition"].to_numpy(dtype=np.int64)
    swap = home[first] > home[second]  # so that a task sees all pairs of two partitions
    left, right = np.where(swap, second, first), np.where(swap, first, second)
    where = _sets_of(partitions, texts, shingles, np.union1d(first, second))
    compare = dask.delayed(_similarities)
    groups = list(pd.DataFrame({"left": left, "right": right}).groupby([home[left], home[right]]))
    found = dask.compute(
        *(
            compare(
                [where[one][0], where[other][0]],
                np.searchsorted(where[one][1], part["left"].to_numpy()),
                np.searchsorted(where[other][1], part["right"].to_numpy()) + len(where[one][1]),
            )
            for (one, other), part in groups
        )
    )
    similarity = np.zeros(len(first))
    for (_, part), values in zip(groups, found, strict=True):
        similarity[part.index] = values
    near = similarity >= threshold
    return pd.DataFrame({"first": first[near], "second": second[near], "similarity": similarity[near]})


def _crowded(bands: Hashes) -> Flags:
    """Which texts agree in a band with so many that not all of them can be compared with each other."""
    result = np.zeros(len(bands), dtype=np.bool_)
    for _, order, sizes in _sorted_bands(bands):
        result[order[sizes > _CROWD]] = True
    return result


def _candidates(texts: pd.DataFrame, bands: Hashes, crowded: Flags) -> tuple[Places, Places]:
    """The pairs that agree in a band, of which one at least is not crowded: each once, the better text first."""
    found = [np.empty(0, dtype=np.int64)]
    for values, order, sizes in _sorted_bands(bands):
        starts = np.flatnonzero(sizes <= _CROWD)
        for distance in range(1, _CROWD):
            starts = starts[starts + distance < len(order)]
            starts = starts[values[starts] == values[starts + distance]]
            if not len(starts):
                break
            first, second = order[starts], order[starts + distance]
            wanted = _worth_comparing(texts, first, second) & ~(crowded[first] & crowded[second])
            found.append((first * len(texts) + second)[wanted])
    first, second = np.divmod(np.unique(np.concatenate(found)), len(texts))
    return first, second


def _crowds(bands: Hashes, crowded: Flags) -> list[Places]:
    """The crowded texts of each band value that several of them share, from the best to the worst.

    Small groups too: a text of a crowd agrees with many of the same ones in other bands, now these, now those, and
    all such pairs together would be as many as those that the crowd spares.
    """
    names, found = np.flatnonzero(crowded), []
    for values, order, sizes in _sorted_bands(bands[names]):
        shared = sizes > 1
        borders = np.flatnonzero(np.diff(values[shared])) + 1
        found += [group for group in np.split(names[order[shared]], borders) if len(group)]
    return found


def _sorted_bands(bands: Hashes) -> Iterator[tuple[Hashes, Places, Places]]:
    """For each band its sorted values, the texts that have them (the better first), and how many share the value."""
    for column in bands.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
        yield values, order, counts[group]


def _sets_of(
    partitions: Sequence[Any], texts: pd.DataFrame, shingles: _Shingles, wanted: Places
) -> dict[int, tuple[Any, Places]]:
    """By partition: its wanted texts' sets (lazily, for each compared text), and which texts these are, ascending."""
    import dask

    task = dask.delayed(_sets_in)
    return {
        number: (task(partitions[number], part["row"].to_numpy(), shingles), part.index.to_numpy())
        for number, part in texts.iloc[wanted].groupby("partition")
    }


def _sets_in(rows: pd.DataFrame, places: Places, shingles: _Shingles) -> list[_Sets]:
    return [_Sets.of(column) for column in zip(*shingles.each(rows.iloc[places]), strict=True)]


def _similarities(parts: Sequence[list[_Sets]], rows: Places, columns: Places) -> npt.NDArray[np.float64]:
    """The Jaccard index of chosen pairs, the smallest over the compared texts; texts are counted through `parts`."""
    return _jaccard(_matrices(parts), rows, columns)


def _matrices(parts: Sequence[list[_Sets]]) -> list[Any]:
    """For each compared text, which text (row) has which shingle (column), as sparse ones."""
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    matrices = []
    for column in zip(*parts, strict=True):
        sizes = np.concatenate([sets.sizes for sets in column])
        vocabulary, shingles = np.unique(np.concatenate([sets.hashes for sets in column]), return_inverse=True)
        borders = np.concatenate([[0], np.cumsum(sizes)])
        ones = np.ones(len(shingles), dtype=np.int32)
        matrices.append(csr_array((ones, shingles, borders), shape=(len(sizes), len(vocabulary))))
    return matrices


def _jaccard(matrices: Sequence[Any], rows: Places, columns: Places) -> npt.NDArray[np.float64]:
    result = np.ones(len(rows))
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        for matrix in matrices:
            sizes = np.diff(matrix.indptr)
            shared = matrix[rows[some]].multiply(matrix[columns[some]]).sum(axis=1)
            everything = sizes[rows[some]] + sizes[columns[some]] - shared
            index = np.where(everything == 0, 1.0, shared / np.maximum(everything, 1))  # two empty texts are equal
            result[some] = np.minimum(result[some], index)
    return result.round(DECIMALS)


def _many_alike(
    partitions: Sequence[Any],
    texts: pd.DataFrame,
    shingles: _Shingles,
    bands: Hashes,
    near: pd.DataFrame,
    threshold: float,
) -> pd.DataFrame:
    """Pairs of texts of a crowd, as many as decide who leaves: columns `first` (better), `second`, `similarity`.

    Args:
        near: the pairs that are known already; they decide as well who stays.
    """
    import dask

    crowds = _crowds(bands, _crowded(bands))
    if not crowds:
        return near.iloc[:0]
    where = _sets_of(partitions, texts, shingles, np.unique(np.concatenate(crowds)))
    parts, names = zip(*where.values(), strict=True)
    lead, wholes = dask.delayed(_led), [dask.delayed(each, traverse=False) for each in (crowds, texts, near)]
    (found,) = dask.compute(lead(list(parts), np.concatenate(names), *wholes, threshold))
    pairs: pd.DataFrame = found
    return pairs


def _led(
    parts: Sequence[list[_Sets]],
    names: Places,
    crowds: Sequence[Places],
    texts: pd.DataFrame,
    near: pd.DataFrame,
    threshold: float,
) -> pd.DataFrame:
    """Greedily from the best text to the worst: one that stays is compared with those of its crowds that no other took.

    So the same ones stay as if all were compared, as one that leaves takes nobody with it.

    Args:
        parts: sets of all texts in crowds.
        names: which texts these are.
        crowds, texts, near, threshold: see `_many_alike`.
    """
    matrices = _matrices(parts)
    row = np.zeros(len(texts), dtype=np.int64)
    row[names] = np.arange(len(names))
    known = {first: pairs.to_numpy() for first, pairs in near.groupby("first")["second"]}
    mates = _Mates(crowds, texts)
    found = [near.iloc[:0]]
    for text in sorted({*known, *names.tolist()}):
        if mates.left[text]:
            continue
        mates.leave(text, known.get(text, names[:0]))
        others = mates.of(text)
        similarity = _jaccard(matrices, np.full(len(others), row[text]), row[others])
        close = similarity >= threshold
        mates.leave(text, others[close])
        if close.any():
            found.append(pd.DataFrame({"first": text, "second": others[close], "similarity": similarity[close]}))
    pairs = pd.concat(found)
    if texts["best_new"].all():
        ties = _ties(matrices, row, crowds, pd.concat([near, pairs]), mates.left, threshold)
        pairs = pd.concat([pairs, ties])
    return pairs


def _ties(
    matrices: Sequence[Any], row: Places, crowds: Sequence[Places], pairs: pd.DataFrame, left: Flags, threshold: float
) -> pd.DataFrame:
    """More pairs of crowds, so that as many belong together as if all were compared.

    A text that left was not compared with those that came after. Only texts that no pairs tie together yet are, so a
    crowd that is one group costs nothing.

    Args:
        row: where each text is in `matrices`.
        pairs: all that are known.
        left: which texts left.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    edges = (pairs["first"].to_numpy(dtype=np.int64), pairs["second"].to_numpy(dtype=np.int64))
    graph = coo_array((np.ones(len(pairs), dtype=np.bool_), edges), shape=(len(row), len(row)))
    group = connected_components(graph, directed=False)[1]
    found = [pairs.iloc[:0]]
    for crowd in crowds:
        for text in crowd[left[crowd]]:
            others = crowd[group[crowd] != group[text]]
            if not len(others):
                continue
            similarity = _jaccard(matrices, np.full(len(others), row[text]), row[others])
            close = similarity >= threshold
            others, similarity = others[close], similarity[close]
            group[np.isin(group, group[others])] = group[text]
            ends = {"first": np.minimum(text, others), "second": np.maximum(text, others), "similarity": similarity}
            found.append(pd.DataFrame(ends))
    return pd.concat(found)


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
        worth: Places = others[_worth_comparing(self._texts, text, others)]
        return worth
