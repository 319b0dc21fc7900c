"""Records that share a run of words, as benchmarks are kept out of training data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import punctuation
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.contracts import Deduper
from curation.core.errors import PlanError
from curation.core.pairs import PAIR_COLUMNS, normalize
from curation.dedupers._hashing import GOLDEN, Hashes, of_words
from curation.dedupers._members import in_order, members, partitions_of

if TYPE_CHECKING:
    import dask.dataframe as dd

DECIMALS: Final = 6
"""Similarities are rounded to so many places."""
MINIMUM: Final = 8
"""Words of the shortest text that is compared, unless a plan says otherwise: fewer occur by chance."""
RUN_TEXTS: Final = ("title", "question", "answer")
"""The columns whose texts are compared, each with each."""

_MATCH_COLUMNS: Final = (*PAIR_COLUMNS, "text", "kept_text", "words")


class Ngram(Deduper):
    """Pairs of records of which a text of the one shares a run of `n` words with a text of the other.

    The rule is that of GPT-3 (Brown et al. 2020, appendix C), whose training data lost what shared 13 words with a
    benchmark. Words are those of `words_of`; title, question and answer are texts of their own, and each is compared
    with each, so that a benchmark's question is found in an answer as well. A text of fewer than `n` words, but
    `minimum` or more, is compared as a whole: it must equal a whole text of the other record. Shorter ones are never
    compared.

    The similarity is the share of the record's own runs that occur in the other one too: 1 for a record that the other
    one holds entirely, and near 0 for a long one with a single run in common. Any shared run makes a pair. Runs are
    looked up by 64-bit hashes, and each hit is checked on the words themselves.

    Memory: a task holds the index of one partition of each side, 12 bytes a run (about as many as there are words) and
    the words themselves; for `match` those of `against` travel to all workers. `find` is made for small tables: it
    lists each pair, and of a run that many records share, those are many.

    Args:
        n: words of a run, at least 1.
        minimum: words of the shortest text that is compared as a whole, at least 1; `n` or more: none is.
    """

    threshold = 0.0

    def __init__(self, n: int = 13, minimum: int = MINIMUM) -> None:
        for name, value in (("n", n), ("minimum", minimum)):
            if value < 1:
                raise PlanError([f"deduper 'ngram': {name} is at least 1, not {value}"])
        self.n = n
        self.minimum = minimum

    def find(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.DataFrame:
        """See `Deduper.find`; the share is that of the worse record's runs."""
        import dask

        partitions, own = partitions_of(table, against)
        runs = _Runs(self.n, self.minimum)
        records = members(partitions, own, runs)
        index, compare = dask.delayed(_Index.of), dask.delayed(_all_pairs)
        indices = [index(part, runs) for part in partitions]
        found = dask.compute(
            *(
                compare(one, other, runs, number == place)
                for number, one in enumerate(indices[:own])
                for place, other in enumerate(indices[number:], number)
            )
        )
        pairs = pd.concat([_pairs([]), *found], ignore_index=True)
        rank = records.set_index("id")["rank"]
        turned = rank.reindex(pairs["first"]).to_numpy() < rank.reindex(pairs["second"]).to_numpy()
        worse, size = (
            pairs["first"].mask(turned, pairs["second"]),
            pairs["first_size"].mask(turned, pairs["second_size"]),
        )
        better = pairs["second"].mask(turned, pairs["first"])
        similarity = (pairs["shared"] / size).round(DECIMALS)
        return in_order(pd.DataFrame({"id": worse, "kept_id": better, "similarity": similarity}))

    def match(self, table: dd.DataFrame, against: dd.DataFrame) -> pd.DataFrame:
        """See `Deduper.match`."""
        return self.matches(table, against)[list(PAIR_COLUMNS)]

    def matches(self, table: dd.DataFrame, against: dd.DataFrame) -> pd.DataFrame:
        """What `match` answers with, and where the two records agree.

        Returns:
            The columns of `match`; `text` and `kept_text`, the columns of the two texts; `words`, the first run that
            they share.
        """
        import dask

        runs = _Runs(self.n, self.minimum)
        index, compare = dask.delayed(_Index.of), dask.delayed(_best_matches)
        own = [index(part, runs) for part in table.to_delayed()]
        others = [index(part, runs) for part in against.to_delayed()]
        found = dask.compute(*(compare(one, other, runs) for one in own for other in others))
        everything = pd.concat([_matches([]), *found], ignore_index=True)
        best = everything.sort_values(["id", "similarity", "kept_id"], ascending=[True, False, True])
        return best.drop_duplicates("id", ignore_index=True)


def words_of(text: str) -> list[str]:
    """The words that are compared: those of `pairs.normalize`, without punctuation at their ends."""
    return [word for piece in normalize(text).split() if (word := piece.strip(punctuation))]


def runs_of(words: Sequence[str], n: int, minimum: int = MINIMUM) -> list[str]:
    """All runs of `n` words of a text, in their order; a shorter text of `minimum` words or more is one run."""
    if len(words) >= n:
        return [" ".join(words[start : start + n]) for start in range(len(words) - n + 1)]
    return [" ".join(words)] if len(words) >= minimum else []


@dataclass(frozen=True)
class _Runs:
    """How a record becomes runs."""

    n: int
    minimum: int

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Null as `key` for records that have no run."""
        texts = zip(*([_joined(text) for text in rows[name]] for name in RUN_TEXTS), strict=True)
        least = min(self.n, self.minimum)
        keys = ["" if any(len(text.split()) >= least for text in row) else None for row in texts]
        return pd.DataFrame({"key": pd.Series(keys, dtype=object)})

    def of(self, text: str) -> list[str]:
        """Of a text whose words are joined by spaces."""
        return runs_of(text.split(), self.n, self.minimum)

    def all_of(self, texts: Sequence[str]) -> set[str]:
        """Of all texts of a record."""
        return {run for text in texts for run in self.of(text)}

    def hashes(self, texts: Sequence[str], known: dict[str, int]) -> Hashes:
        """One for each different run of a record."""
        found: Hashes = np.unique(np.concatenate([self._hashes(text.split(), known) for text in texts]))
        return found

    def _hashes(self, words: Sequence[str], known: dict[str, int]) -> Hashes:
        length = min(self.n, len(words))
        if length < min(self.n, self.minimum):
            return np.empty(0, dtype=np.uint64)
        codes = of_words(words, known)
        hashes = np.zeros(len(codes) - length + 1, dtype=np.uint64)
        for start in range(length):
            hashes = hashes * GOLDEN + codes[start : start + len(hashes)]
        return hashes


def _joined(text: object) -> str:
    return " ".join(words_of(text)) if isinstance(text, str) else ""


class _Index(NamedTuple):
    """The runs of a partition's records, sorted by their hashes.

    Args:
        ids: of the records, sorted.
        texts: by record, each of `RUN_TEXTS` as words that are joined by spaces.
        hashes: sorted; those of a record once.
        owners: of each hash its record's place in `ids`, ascending among equal hashes.
    """

    ids: list[str]
    texts: list[tuple[str, ...]]
    hashes: Hashes
    owners: npt.NDArray[np.int32]

    @classmethod
    def of(cls, rows: pd.DataFrame, runs: _Runs) -> _Index:
        """Computed where the rows lie."""
        ordered = rows.sort_values("id", kind="stable")
        texts = list(zip(*([_joined(text) for text in ordered[name]] for name in RUN_TEXTS), strict=True))
        known: dict[str, int] = {}
        each = [np.empty(0, dtype=np.uint64), *(runs.hashes(row, known) for row in texts)]
        hashes = np.concatenate(each)
        owners = np.repeat(np.arange(len(each), dtype=np.int32) - 1, [len(part) for part in each])
        order = np.argsort(hashes, kind="stable")
        return cls(ordered["id"].tolist(), texts, hashes[order], owners[order].astype(np.int32))


def _candidates(one: _Index, other: _Index) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """For each record of `one` the records of `other` that share hashes with it, and how many: the most first."""
    starts = np.searchsorted(other.hashes, one.hashes, "left")
    stops = np.searchsorted(other.hashes, one.hashes, "right")
    places = np.flatnonzero(stops > starts)
    places = places[np.argsort(one.owners[places], kind="stable")]
    for group in np.split(places, np.flatnonzero(np.diff(one.owners[places])) + 1):
        if len(group):
            sharing = np.concatenate([other.owners[starts[place] : stops[place]] for place in group])
            owners, counts = np.unique(sharing, return_counts=True)
            order = np.lexsort((owners, -counts))
            yield int(one.owners[group[0]]), list(zip(owners[order].tolist(), counts[order].tolist(), strict=True))


def _best_matches(one: _Index, other: _Index, runs: _Runs) -> pd.DataFrame:
    """The most similar record of `other` for each one of `one` that has any: see `Ngram.matches`."""
    found = []
    for row, candidates in _candidates(one, other):
        own = runs.all_of(one.texts[row])
        most, best = 0, 0
        for candidate, count in candidates:
            if count <= most:  # of no later one can more of the words be shared than of the hashes
                break
            shared = len(own & runs.all_of(other.texts[candidate]))
            if shared > most:
                most, best = shared, candidate
        if most:
            where = _first_shared(one.texts[row], other.texts[best], runs)
            found.append((one.ids[row], other.ids[best], round(most / len(own), DECIMALS), *where))
    return _matches(found)


def _matches(found: Sequence[tuple[str | float, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(found, columns=list(_MATCH_COLUMNS), dtype=object)
    return table.astype({"similarity": "float64"})


def _first_shared(texts: Sequence[str], others: Sequence[str], runs: _Runs) -> tuple[str, str, str]:
    """The columns of the first two texts that share a run, and the run."""
    sets = [set(runs.of(text)) for text in others]
    return next(
        (name, RUN_TEXTS[place], run)
        for name, text in zip(RUN_TEXTS, texts, strict=True)
        for run in runs.of(text)
        for place, known in enumerate(sets)
        if run in known
    )


def _all_pairs(one: _Index, other: _Index, runs: _Runs, same: bool) -> pd.DataFrame:
    """All pairs of records that share a run, each once: `first`, `second`, how many runs they share and have."""
    found = []
    for row, candidates in _candidates(one, other):
        own = runs.all_of(one.texts[row])
        for candidate, _ in candidates:
            if same and candidate <= row:
                continue
            its = runs.all_of(other.texts[candidate])
            if shared := len(own & its):
                found.append((one.ids[row], other.ids[candidate], shared, len(own), len(its)))
    return _pairs(found)


def _pairs(found: Sequence[tuple[str | int, ...]]) -> pd.DataFrame:
    table = pd.DataFrame(found, columns=["first", "second", "shared", "first_size", "second_size"], dtype=object)
    return table.astype(dict.fromkeys(["shared", "first_size", "second_size"], "int64"))
