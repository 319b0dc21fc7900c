"""How varied a set of texts is, by the measures of the field, and whether a round has made it less so.

Several of them hang on how much there is: of more texts, fewer n-grams are new, more is alike, and more can differ in
meaning. So two sets are compared by samples of one size. All are functions of the set alone: the order of the texts
changes nothing.
"""

from __future__ import annotations

import gzip
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from curation.core.balance import evenness
from curation.core.vectors import Vectors

Words = Sequence[str]
"""The words of one text."""

NEAR_PARENT: Final = 0.95
"""The cosine from which on a new record says little that its parent does not."""
MORE_IS_VARIED: Final[Mapping[str, bool]] = {
    "distinct_1": True,
    "distinct_2": True,
    "distinct_3": True,
    "compression_ratio": False,
    "self_bleu": False,
    "vendi_score": True,
    "topic_entropy": True,
    "length_spread": True,
    "parent_similarity": False,
    "near_parent": False,
}
"""The measures, and of each whether a higher value means more varied texts; a lower one does where it is False."""
EMBEDDED: Final = ("vendi_score", "parent_similarity", "near_parent")
"""Those that need embeddings."""
QUANTILES: Final = (5, 25, 50, 75, 95)

_LONGEST: Final = 4  # words of an n-gram in BLEU
_EPSILON: Final = 0.1  # matches that BLEU counts where there are none
_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, without case and punctuation."""
    return _WORD.findall(text.casefold())


def distinct(texts: Iterable[Words], n: int) -> float | None:
    """Distinct-n: the share of all n-grams that differ from each other; 1 where none occurs twice.

    J. Li and others, A Diversity-Promoting Objective Function for Neural Conversation Models (NAACL 2016).
    """
    grams = list(chain.from_iterable(_ngrams(words, n) for words in texts))
    return len(set(grams)) / len(grams) if grams else None


def compression_ratio(texts: Iterable[str]) -> float | None:
    """Bytes of all texts over their bytes when gzip has compressed them: high where they repeat each other.

    C. Shaib and others, Standardizing the Measurement of Text Diversity (2024). gzip, at its own level of 6, looks back
    no further than 32 KiB, so the texts are sorted: those that begin alike stand together.
    """
    data = "\n".join(sorted(texts)).encode("utf-8", "surrogatepass")
    return len(data) / len(gzip.compress(data, 6, mtime=0)) if data.strip() else None


def self_bleu(texts: Iterable[Words]) -> float | None:
    """Self-BLEU: the mean BLEU-4 of each text with all others as references; 1 where all are equal.

    Y. Zhu and others, Texygen (SIGIR 2018); BLEU as K. Papineni and others have it (ACL 2002), an n-gram length without
    a match smoothed by the first method of B. Chen and C. Cherry (WMT 2014). Of each n-gram the highest count in any
    other text is known from the two highest of all, so that the time grows with the texts, not with their pairs.
    """
    said = [words for words in texts if words]
    if len(said) < 2:
        return None
    logs = np.zeros(len(said))
    silent = np.zeros(len(said), dtype=bool)
    for n in range(1, _LONGEST + 1):
        matches = _matches([Counter(_ngrams(words, n)) for words in said])
        silent |= (n == 1) & (matches == 0)
        possible = np.array([max(1, len(words) - n + 1) for words in said])
        logs += np.log(np.where(matches == 0, _EPSILON, matches) / possible) / _LONGEST
    scores = np.exp(np.minimum(0.0, 1.0 - _nearest_lengths(said)) + logs)
    return math.fsum(scores[~silent]) / len(said)


def vendi_score(vectors: Vectors) -> float | None:
    """Vendi score: how many texts of entirely different meaning would be as varied; from 1 up to their number.

    The exponential of the entropy of the eigenvalues of their cosines over their number (D. Friedman and A. B. Dieng,
    The Vendi Score, TMLR 2023), which the smaller of the two products of the vectors has as well.

    Args:
        vectors: unit vectors, shape (texts, dimensions).
    """
    count, dimensions = vectors.shape
    if not count:
        return None
    exact = vectors.astype("float64")
    shares = np.linalg.eigvalsh((exact.T @ exact if dimensions < count else exact @ exact.T) / count)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def topic_entropy(counts: Mapping[str, int]) -> float | None:
    """Shannon's entropy of topics over the most that so many could have: 1 where all are equally frequent, 0 for one.

    Args:
        counts: records by topic.
    """
    if not counts:
        return None
    return evenness(sorted(counts.values())) if len(counts) > 1 else 0.0


def length_spread(lengths: Sequence[int]) -> float | None:
    """The standard deviation of the texts' numbers of words over their mean."""
    values = np.sort(np.array(lengths, dtype="float64"))
    return float(values.std() / values.mean()) if values.sum() else None


def length_quantiles(lengths: Sequence[int]) -> dict[str, float]:
    """The texts' numbers of words at some quantiles, in hundredths; nothing of no texts."""
    if not lengths:
        return {}
    return dict(zip(map(str, QUANTILES), np.percentile(lengths, QUANTILES).round(1).tolist(), strict=True))


@dataclass(frozen=True)
class Breach:
    """A measure that a round has moved past its bound.

    Args:
        before: its value before the round; None where there was nothing to measure.
    """

    measure: str
    before: float | None
    after: float
    bound: float

    @property
    def rule(self) -> str:
        """What the bound asks for."""
        return f"{self.measure} {'>=' if MORE_IS_VARIED[self.measure] else '<='} {self.bound:g}"

    def __str__(self) -> str:
        came = "" if self.before is None else f", from {self.before:.4g}"
        return f"{self.measure} is {self.after:.4g}{came}, and its bound {self.bound:g}"


def breaches(
    before: Mapping[str, float | None], after: Mapping[str, float | None], bounds: Mapping[str, float]
) -> list[Breach]:
    """The measures that are past their bound, and further so than before.

    What was past a bound already, and has not become worse, is no fault of the round; what could not be measured is
    none either.
    """
    found = []
    for name, bound in bounds.items():
        was, value = before.get(name), after.get(name)
        if value is None or not _is_less_varied(name, value, bound):
            continue
        if was is None or _is_less_varied(name, value, was):
            found.append(Breach(name, was, value, bound))
    return found


def _is_less_varied(measure: str, one: float, other: float) -> bool:
    return one < other if MORE_IS_VARIED[measure] else one > other


def _ngrams(words: Words, n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _matches(counts: Sequence[Counter[tuple[str, ...]]]) -> npt.NDArray[np.float64]:
    """Of each text the n-grams that any other has too, each as often as the other text that has it most."""
    highest: dict[tuple[str, ...], tuple[int, int, int]] = {}  # the most, in which text, the most in another
    for number, own in enumerate(counts):
        for gram, count in own.items():
            most, where, second = highest.get(gram, (0, -1, 0))
            highest[gram] = (count, number, most) if count > most else (most, where, max(second, count))
    found = np.zeros(len(counts))
    for number, own in enumerate(counts):
        for gram, count in own.items():
            most, where, second = highest[gram]
            found[number] += min(count, second if where == number else most)
    return found


def _nearest_lengths(texts: Sequence[Words]) -> npt.NDArray[np.float64]:
    """Of each text the length of the other one whose length is nearest, the shorter of two, over its own length."""
    lengths = np.array([len(words) for words in texts])
    ordered = np.argsort(lengths, kind="stable")
    found = np.empty(len(texts))
    for place, number in enumerate(ordered):
        beside = lengths[ordered[[other for other in (place - 1, place + 1) if 0 <= other < len(texts)]]]
        found[number] = min(beside, key=lambda length: (abs(length - lengths[number]), length)) / lengths[number]
    return found
