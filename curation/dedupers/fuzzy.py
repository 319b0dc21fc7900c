"""Records that are written nearly the same: typos, filled-in templates, boilerplate, by MinHash and LSH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.contracts import Deduper
from curation.core.errors import PlanError
from curation.core.pairs import best_across
from curation.dedupers._fuzzy_crowd import led
from curation.dedupers._hashing import Hashes
from curation.dedupers._members import check_by, in_order, members, pairs_of_equals, pairs_of_near, partitions_of
from curation.dedupers._minhash import all_bands, bands_for, candidates, crowds_of
from curation.dedupers._shingles import Keys, Places, Shingles, sets_in, similarities

if TYPE_CHECKING:
    import dask.dataframe as dd

UNITS: Final = ("char", "word")


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
        shingles = Shingles(self.by, self.unit, self.ngram)
        records = members(partitions, own, Keys(shingles))
        if not records["new"].any():
            return in_order()
        if old_first:
            records["rank"] += (records["rank"].max() + 1) * records["new"].astype("int64")
        texts = different(records)
        bands = all_bands(partitions, texts, shingles, *bands_for(self.threshold, self.permutations))
        search = _Search(partitions, texts, shingles, bands, self.threshold)
        near = search.few_alike()
        near = pd.concat([near, search.many_alike(near)]).drop_duplicates(["first", "second"])
        keys = texts["key"].to_numpy()
        named = near.assign(first=keys[near["first"]], second=keys[near["second"]])
        return in_order(pairs_of_equals(records), pairs_of_near(records, named))


def different(records: pd.DataFrame) -> pd.DataFrame:
    """A row for each different `key`, from the best to the worst: where its best record is, and who is new.

    Returns:
        Columns `key`, `partition`, `row`, `best_new` (whether the best record is new) and `any_new`, numbered from 0.
    """
    best = records.sort_values("rank").drop_duplicates("key").rename(columns={"new": "best_new"})
    any_new = best["key"].isin(records.loc[records["new"].astype(bool), "key"])
    texts = best.assign(any_new=any_new)[["key", "partition", "row", "best_new", "any_new"]]
    return texts.astype({"best_new": bool, "any_new": bool}).reset_index(drop=True)


@dataclass(frozen=True)
class _Search:
    """Looks for similar texts.

    Args:
        partitions: of all tables.
        texts: see `different`.
        shingles: how they become sets.
        bands: see `_minhash.all_bands`.
        threshold: lowest similarity of a pair.
    """

    partitions: Sequence[Any]
    texts: pd.DataFrame
    shingles: Shingles
    bands: Hashes
    threshold: float

    def few_alike(self) -> pd.DataFrame:
        """All pairs of texts of which one at least is in no crowd: columns `first` (better), `second`, `similarity`."""
        first, second = candidates(self.texts, self.bands)
        similarity = self._similarities(first, second)
        near = similarity >= self.threshold
        return pd.DataFrame({"first": first[near], "second": second[near], "similarity": similarity[near]})

    def many_alike(self, near: pd.DataFrame) -> pd.DataFrame:
        """Pairs of texts of crowds as `_fuzzy_crowd.led` finds them, in one task; `near` are those known already."""
        import dask

        crowds = crowds_of(self.bands)
        if not crowds:
            return near.iloc[:0]
        where = self._sets_of(np.unique(np.concatenate(crowds)))
        parts, names = zip(*where.values(), strict=True)
        wholes = [dask.delayed(each, traverse=False) for each in (crowds, self.texts, near)]
        (found,) = dask.compute(dask.delayed(led)(list(parts), np.concatenate(names), *wholes, self.threshold))
        pairs: pd.DataFrame = found
        return pairs

    def _similarities(self, first: Places, second: Places) -> npt.NDArray[np.float64]:
        """Of pairs of texts; each two partitions that have some in common are compared in one task, on their sets."""
        import dask

        home = self.texts["partition"].to_numpy(dtype=np.int64)
        swap = home[first] > home[second]  # so that a task sees all pairs of two partitions
        left, right = np.where(swap, second, first), np.where(swap, first, second)
        where = self._sets_of(np.union1d(first, second))
        compare = dask.delayed(similarities)
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
        return similarity

    def _sets_of(self, wanted: Places) -> dict[int, tuple[Any, Places]]:
        """By partition: its wanted texts' sets (lazily, for each compared text), and which these are, ascending."""
        import dask

        task = dask.delayed(sets_in)
        return {
            number: (task(self.partitions[number], part["row"].to_numpy(), self.shingles), part.index.to_numpy())
            for number, part in self.texts.iloc[wanted].groupby("partition")
        }
