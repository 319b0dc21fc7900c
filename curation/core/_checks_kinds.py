"""What a rule can check: each kind of check with its test and the faults of its argument."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import ge, le
from typing import Any, Final

from curation.core._checks_elements import ELEMENTS, lacking
from curation.core._checks_json_schema import equal, misfit, schema_faults
from curation.core._checks_patterns import pattern_faults
from curation.core.language import LANGUAGES, other_than
from curation.core.registry import nearest

CITATIONS: Final = (
    r"§{1,2}\s?\d",  # § 8(2)
    r"\b\d{1,4} [A-Z][A-Za-z0-9.]{0,15}(?: [A-Z0-9][A-Za-z0-9.]{0,9}){0,2} §{0,2} ?\d{1,5}",  # 42 U.S.C. § 1983
    r"\b(?:Art(?:icle|\.)|Sec(?:tion|\.)|Rule|Chapter) ?\d",
    r"\b[A-Z][\w'’.&-]{0,40} v\.? [A-Z]",  # Smith v. Jones
    r"\[\d{1,3}\]",
    r"\bhttps?://[^\s)]{4}",
)
"""What a citation looks like where a rule names no patterns of its own."""

_EXCERPT: Final = 80  # characters
_SHOWN: Final = 100  # characters of a check's argument
_NUMBER: Final = re.compile(r"\s*[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?\s*", re.ASCII)


@dataclass(frozen=True)
class Finding:
    """What a check met that it does not let pass, in words; and as a number, where it compared one."""

    words: str
    number: float | None = None


Test = Callable[[Any, Any], Finding | None]
"""Of a check's argument and a value: what does not pass."""


@dataclass(frozen=True)
class Check:
    """A kind of check: its test, the faults of an argument, and whether it judges texts, or values as they are."""

    test: Test
    faults: Callable[[Any], list[str]]
    of_text: bool = True

    def finding(self, argument: Any, value: Any) -> Finding | None:
        """What does not pass; None where all is well."""
        return self.test(argument, text_of(value) if self.of_text else value)


def _requires(terms: Sequence[str], text: str) -> Finding | None:
    absent = [term for term in terms if not _term(term).search(text)]
    return Finding(f"no '{absent[0]}' in {_excerpt(text)}") if absent else None


def _requires_any(terms: Sequence[str], text: str) -> Finding | None:
    return None if any(_term(term).search(text) for term in terms) else Finding(f"none of them in {_excerpt(text)}")


def _forbids(terms: Sequence[str], text: str) -> Finding | None:
    found = next(filter(None, (_term(term).search(text) for term in terms)), None)
    return Finding(_excerpt(text, found.start())) if found else None


@lru_cache(maxsize=4096)
def _term(term: str) -> re.Pattern[str]:
    words = r"\s+".join(map(re.escape, term.split()))
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _matches(pattern: str, text: str) -> Finding | None:
    return None if re.search(pattern, text) else Finding(f"no match in {_excerpt(text)}")


def _lacks(pattern: str, text: str) -> Finding | None:
    found = re.search(pattern, text)
    return Finding(_excerpt(text, found.start())) if found else None


def _cites(wanted: tuple[int, Sequence[str]], text: str) -> Finding | None:
    least, patterns = wanted
    found = dict.fromkeys(match[0] for pattern in patterns for match in re.finditer(pattern, text) if match[0])
    where = f": {_excerpt(', '.join(found))}" if found else f" in {_excerpt(text)}"
    return Finding(f"{len(found)}{where}", len(found)) if len(found) < least else None


def _elements(names: str | Sequence[str], text: str) -> Finding | None:
    absent = lacking(text, listed(names))
    return Finding(f"no {absent[0]} in {_excerpt(text)}") if absent else None


def _language(languages: str | Sequence[str], text: str) -> Finding | None:
    sign = other_than(text, listed(languages))
    return Finding(f"{sign}: {_excerpt(text)}") if sign else None


def _json(schema: Any, value: Any) -> Finding | None:
    try:
        wrong = misfit(json.loads(value, parse_constant=_refuse) if isinstance(value, str) else value, schema)
    except (ValueError, RecursionError) as error:
        wrong = f"it is no JSON ({error})"
    return Finding(f"{wrong}: {_excerpt(text_of(value))}") if wrong else None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _one_of(allowed: Sequence[Any], value: Any) -> Finding | None:
    others = [item for item in listed(value) if not any(equal(item, one) for one in allowed)]
    return Finding(_excerpt(text_of(others[0]))) if others else None


def _counted(count: Callable[[str], int], unit: str, holds: Callable[[float, float], bool]) -> Test:
    """A check that `holds` between how many there are in a text and its argument."""

    def test(bound: int, text: str) -> Finding | None:
        found = count(text)
        return None if holds(found, bound) else Finding(f"{found} {unit}: {_excerpt(text)}", found)

    return test


def _compared(holds: Callable[[float, float], bool]) -> Test:
    """A check that `holds` between a number and its argument."""

    def test(bound: float, value: Any) -> Finding | None:
        number = _number(value)
        if number is None:
            return Finding(f"no number: {_excerpt(text_of(value))}")
        return None if holds(number, bound) else Finding(text_of(value), number)

    return test


def _number(value: Any) -> float | None:
    """A number, or a text that is nothing but one."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def text_of(value: Any) -> str:
    """What is no text is judged as its JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _excerpt(text: str, place: int = 0) -> str:
    """Some characters from just before a place on, in quotes and on one line."""
    start = max(0, place - _EXCERPT // 4)
    piece = " ".join(text[start : start + _EXCERPT].split())
    return f"'{'…' if start else ''}{piece}{'…' if start + _EXCERPT < len(text) else ''}'"


def shown(key: str, argument: Any) -> str:
    """A check and its argument, as the plan has them."""
    if key == "citations":
        argument = argument[0]
    words = ", ".join(map(text_of, listed(argument))) if argument is not True else ""
    return f"{key} {words if len(words) <= _SHOWN else words[:_SHOWN] + '…'}".rstrip()


def listed(value: Any) -> Sequence[Any]:
    """A list as it is, and anything else as one of a single item."""
    return value if isinstance(value, list | tuple) else [value]


def _words(text: str) -> int:
    return len(text.split())


def _term_faults(terms: Any) -> list[str]:
    is_sound = (
        isinstance(terms, list | tuple) and terms and all(isinstance(term, str) and term.strip() for term in terms)
    )
    return [] if is_sound else ["is a list of words or phrases"]


def _count_faults(count: Any) -> list[str]:
    return [] if type(count) is int and count >= 0 else ["is a whole number from 0 on"]


def _number_faults(number: Any) -> list[str]:
    is_sound = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    return [] if is_sound else ["is a number"]


def _values_faults(values: Any) -> list[str]:
    is_sound = isinstance(values, list | tuple) and values and all(isinstance(one, str | int | float) for one in values)
    return [] if is_sound else ["is a list of the texts or numbers that are allowed"]


def _choice_faults(choices: Sequence[str]) -> Callable[[Any], list[str]]:
    known = f"There are: {', '.join(choices)}"

    def faults(chosen: Any) -> list[str]:
        strangers = [str(one) for one in listed(chosen) if one not in choices]
        wrong = [f"has no '{one}'.{nearest(one, list(choices))} {known}" for one in strangers]
        return wrong if listed(chosen) else [f"is an empty list. {known}"]

    return faults


def _json_faults(schema: Any) -> list[str]:
    return (
        [f"has a fault: {fault}" for fault in schema_faults(schema)] if schema is not False else ["is true or a schema"]
    )


CHECKS: Final[Mapping[str, Check]] = {
    "requires": Check(_requires, _term_faults),
    "requires_any": Check(_requires_any, _term_faults),
    "forbids": Check(_forbids, _term_faults),
    "matches": Check(_matches, pattern_faults),
    "lacks": Check(_lacks, pattern_faults),
    "min_words": Check(_counted(_words, "words", ge), _count_faults),
    "max_words": Check(_counted(_words, "words", le), _count_faults),
    "min_characters": Check(_counted(len, "characters", ge), _count_faults),
    "max_characters": Check(_counted(len, "characters", le), _count_faults),
    "citations": Check(_cites, _count_faults),
    "elements": Check(_elements, _choice_faults(tuple(ELEMENTS))),
    "language": Check(_language, _choice_faults(LANGUAGES)),
    "json": Check(_json, _json_faults, of_text=False),
    "one_of": Check(_one_of, _values_faults, of_text=False),
    "minimum": Check(_compared(ge), _number_faults, of_text=False),
    "maximum": Check(_compared(le), _number_faults, of_text=False),
}
