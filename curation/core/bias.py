"""Who is mentioned: how often people's and new records mention groups of people, and how critics score those that do.

It counts words of short English lists (`_bias_terms`). So it says where to look, not what is there: a word is no
person, and a share that differs may have its reasons in the subject.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from curation.core._bias_terms import TERMS, VERSION
from curation.core.diversity import words_of
from curation.core.records import HUMAN, SYNTHETIC

Group: TypeAlias = tuple[str, str]
"""A dimension and a group in it."""

LEAST_EXPECTED: Final = 5
"""Records that each cell of the table of origins and mentions has to expect if both origins mentioned a group alike;
below it no ratio is told (W. G. Cochran, Some Methods for Strengthening the Common Chi-Squared Tests, 1954)."""
LEAST_SCORED: Final = 30
"""Scored records with a group's terms, and without them, below which nothing is said of their scores."""

_DECIMALS: Final = 4  # what is behind them hangs on the order in which numbers are added up
_NO_SPREAD: Final = 1e-6  # what rounding leaves where all scores are equal


class Lexicon:
    """Groups of people by the words that mention them.

    Args:
        terms: by dimension and group the terms in one string; a hyphen stands between the words of a phrase.
        version: of the terms.
    """

    def __init__(self, terms: Mapping[str, Mapping[str, str]] = TERMS, version: str = VERSION) -> None:
        self.terms = terms
        self.version = version
        self._words: dict[str, set[Group]] = defaultdict(set)
        self._phrases: dict[str, set[tuple[str, Group]]] = defaultdict(set)  # by their first word
        for dimension, groups in terms.items():
            for group, listed in groups.items():
                for term in listed.casefold().split():
                    first, *rest = term.split("-")
                    if rest:
                        self._phrases[first].add((f" {' '.join([first, *rest])} ", (dimension, group)))
                    else:
                        self._words[term].add((dimension, group))

    @property
    def groups(self) -> list[Group]:
        """All of them, in the order of the lists."""
        return [(dimension, group) for dimension, groups in self.terms.items() for group in groups]

    def mentioned(self, text: str) -> set[Group]:
        """The groups that a text mentions, by whole words whatever their case."""
        words = words_of(text)
        different = set(words)
        found = {group for word in different & self._words.keys() for group in self._words[word]}
        if begun := different & self._phrases.keys():
            line = f" {' '.join(words)} "
            found |= {group for word in begun for phrase, group in self._phrases[word] if phrase in line}
        return found


class Screen:
    """Counts records as they stream by.

    Args:
        lexicon: what mentions whom.
    """

    def __init__(self, lexicon: Lexicon | None = None) -> None:
        self.lexicon = lexicon or Lexicon()
        self._records: Counter[str] = Counter()
        self._mentions: Counter[tuple[str, Group]] = Counter()
        self._scores: dict[str, _Sums] = defaultdict(_Sums)
        self._scores_with: dict[tuple[str, Group], _Sums] = defaultdict(_Sums)

    def add(self, origin: str, text: str, scores: Mapping[str, float]) -> None:
        """Takes in a record.

        Args:
            scores: of its critics, by attribute; those of synthetic records alone are compared.
        """
        groups = self.lexicon.mentioned(text)
        self._records[origin] += 1
        self._mentions.update((origin, group) for group in groups)
        if origin == SYNTHETIC:
            for attribute, value in scores.items():
                self._scores[attribute].add(float(value))
                for group in groups:
                    self._scores_with[attribute, group].add(float(value))

    def result(self) -> dict[str, Any]:
        """What was found, as plain values.

        Returns:
            `version`; `records` by origin; `groups`, those that any record mentions, each with `dimension`, `group`,
            the records that mention it (`human`, `synthetic`), `ratio`, the share of them among synthetic records over
            that among human ones, or None where there are too few to say; and `scores` by attribute: the mean `with`
            and `without` a mention, the `gap` of the two, and `effect`, the gap in standard deviations (Cohen's d),
            over so many `records` with a mention. An attribute with too few records is left out.
        """
        return {
            "version": self.lexicon.version,
            "records": {origin: self._records[origin] for origin in (HUMAN, SYNTHETIC)},
            "groups": [self._of(group) for group in self.lexicon.groups if self._count(group)],
        }

    def _count(self, group: Group) -> int:
        return self._mentions[HUMAN, group] + self._mentions[SYNTHETIC, group]

    def _of(self, group: Group) -> dict[str, Any]:
        scores = {name: self._scores[name].beside(self._scores_with[name, group]) for name in sorted(self._scores)}
        return {
            "dimension": group[0],
            "group": group[1],
            "human": self._mentions[HUMAN, group],
            "synthetic": self._mentions[SYNTHETIC, group],
            "ratio": self._ratio(group),
            "scores": {name: gap for name, gap in scores.items() if gap},
        }

    def _ratio(self, group: Group) -> float | None:
        records, mentions = self._records[HUMAN] + self._records[SYNTHETIC], self._count(group)
        fewest = min(self._records[HUMAN], self._records[SYNTHETIC])
        if fewest * min(mentions, records - mentions) < LEAST_EXPECTED * records or not self._mentions[HUMAN, group]:
            return None
        human, new = (self._mentions[origin, group] / self._records[origin] for origin in (HUMAN, SYNTHETIC))
        return round(new / human, _DECIMALS)


class _Sums:
    """The number of values, their sum, and the sum of their squares."""

    def __init__(self, count: int = 0, total: float = 0.0, squares: float = 0.0) -> None:
        self.count, self.total, self.squares = count, total, squares

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def spread(self) -> float:
        """The sum of squared differences from the mean."""
        return max(0.0, self.squares - self.total * self.total / self.count)

    def beside(self, part: _Sums) -> dict[str, Any] | None:
        """The values of `part` compared with the rest of these; None where either are too few."""
        rest = _Sums(self.count - part.count, self.total - part.total, self.squares - part.squares)
        if min(part.count, rest.count) < LEAST_SCORED:
            return None
        gap = part.mean - rest.mean
        deviation = math.sqrt((part.spread + rest.spread) / (self.count - 2))
        return {
            "with": round(part.mean, _DECIMALS),
            "without": round(rest.mean, _DECIMALS),
            "gap": round(gap, _DECIMALS),
            "effect": round(gap / deviation, _DECIMALS) if deviation > _NO_SPREAD else None,
            "records": part.count,
        }
