"""Scores a record by the rules of its domain, without a model: terms, patterns, lengths, citations, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword
from typing import Any, ClassVar, Final

from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.errors import PlanError, RecordError
from curation.core.ratings import Scale
from curation.core.records import TEXT_COLUMNS, Record
from curation.core.registry import nearest
from curation.critics._json_schema import conforms, schema_faults
from curation.critics._patterns import pattern_faults

PASSED: Final = "passed"
CITATIONS: Final = (
    r"§{1,2}\s?\d",  # § 8(2)
    r"\b\d{1,4} [A-Z][A-Za-z0-9.]{0,15}(?: [A-Z0-9][A-Za-z0-9.]{0,9}){0,2} §{0,2} ?\d{1,5}",  # 42 U.S.C. § 1983
    r"\b(?:Art(?:icle|\.)|Sec(?:tion|\.)|Rule|Chapter) ?\d",
    r"\b[A-Z][\w'’.&-]{0,40} v\.? [A-Z]",  # Smith v. Jones
    r"\[\d{1,3}\]",
    r"\bhttps?://[^\s)]{4}",
)
"""What a citation looks like where a rule names no patterns of its own."""

Check = Callable[[str], bool]


@dataclass(frozen=True)
class _Rule:
    """One rule: every one of its checks must hold for each of its fields."""

    fields: tuple[str, ...]
    checks: tuple[tuple[str, Any], ...]

    def passes(self, record: Record) -> bool:
        return all(
            _CHECKS[key].check(argument)(record[name] or "") for name in self.fields for key, argument in self.checks
        )


class Rules(Critic):
    """A score for each rule by its name, 1 where the record passes it and 0 where not; and `passed`, their share.

    A rule is an object: `field`, one of `title`, `question`, `answer` (without one) and `context`, or a list of them,
    and one check or more, all of which must hold:

    - `requires`, `requires_any`, `forbids`: whole words or phrases; case and line ends count for nothing.
    - `matches`, `lacks`: a regular expression, searched for; lines by lines with `(?m)`.
    - `min_words`, `max_words`: words between white space.
    - `citations`: how many different ones are there at least; `patterns` says what one looks like.
    - `json`: true for any JSON, or a schema that it must conform to.

    So `{sourced: {citations: 1}, modest: {forbids: [guaranteed], max_words: 400}}` gives `sourced`, `modest` and
    `passed`. What has no text has no words, so it passes `forbids` and fails `requires`.

    Args:
        rules: by name, at least one.
        max_characters: longest text that a regular expression is searched for in.

    Raises:
        PlanError: rules that can't be, each with its name. A regular expression that may take for ever is one: a
            repetition in a repetition, several of the same characters in a row, or a reference back.
    """

    needs_model: ClassVar[bool] = False

    def __init__(self, rules: Mapping[str, Mapping[str, Any]], max_characters: int = 20_000) -> None:
        self.rules = rules
        self.max_characters = max_characters
        faults = _faults(rules)
        if faults:
            raise PlanError([f"critic 'rules': {fault}" for fault in faults])
        self._rules = {name: _rule(rule) for name, rule in rules.items()}

    @property
    def gives(self) -> Mapping[str, Scale | None]:
        """`passed`, a share, and 0 or 1 for each rule."""
        return {PASSED: None, **dict.fromkeys(self._rules, (0, 1))}

    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        """The scores of `record`.

        Raises:
            RecordError: `unscorable`: a text that patterns are searched for in is too long.
        """
        for name, rule in self._rules.items():
            for column in rule.fields:
                length = len(record[column] or "")
                if length > self.max_characters and any(_CHECKS[key].searches for key, _ in rule.checks):
                    raise RecordError(
                        "unscorable", f"rule '{name}': {column} has {length} characters, at most {self.max_characters}"
                    )
        scores = {name: float(rule.passes(record)) for name, rule in self._rules.items()}
        return {PASSED: sum(scores.values()) / len(scores), **scores}


# --- checks ----------------------------------------------------------------------------------------------------------


def _has_all(terms: Sequence[str]) -> Check:
    patterns = [_term(term) for term in terms]
    return lambda text: all(pattern.search(text) for pattern in patterns)


def _has_any(terms: Sequence[str]) -> Check:
    patterns = [_term(term) for term in terms]
    return lambda text: any(pattern.search(text) for pattern in patterns)


def _has_none(terms: Sequence[str]) -> Check:
    has_any = _has_any(terms)
    return lambda text: not has_any(text)


@lru_cache(maxsize=4096)
def _term(term: str) -> re.Pattern[str]:
    words = r"\s+".join(map(re.escape, term.split()))
    return re.compile(rf"(?<!\w){words}(?!\w)", re.IGNORECASE)


def _matches(pattern: str) -> Check:
    return lambda text: re.search(pattern, text) is not None


def _lacks(pattern: str) -> Check:
    return lambda text: re.search(pattern, text) is None


def _cites(wanted: tuple[int, Sequence[str]]) -> Check:
    least, patterns = wanted

    def check(text: str) -> bool:
        found = {match[0] for pattern in patterns for match in re.finditer(pattern, text) if match[0]}
        return len(found) >= least

    return check


def _is_json(schema: Any) -> Check:
    def check(text: str) -> bool:
        try:
            return conforms(json.loads(text, parse_constant=_refuse), schema)
        except (ValueError, RecursionError):
            return False

    return check


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# --- faults ----------------------------------------------------------------------------------------------------------


def _term_faults(terms: Any) -> list[str]:
    is_sound = (
        isinstance(terms, list | tuple) and terms and all(isinstance(term, str) and term.strip() for term in terms)
    )
    return [] if is_sound else ["is a list of words or phrases"]


def _count_faults(count: Any) -> list[str]:
    return [] if type(count) is int and count >= 0 else ["is a whole number from 0 on"]


def _json_faults(schema: Any) -> list[str]:
    return (
        [f"has a fault: {fault}" for fault in schema_faults(schema)] if schema is not False else ["is true or a schema"]
    )


@dataclass(frozen=True)
class _Kind:
    """A kind of check: its test from its argument, the faults of an argument, and whether it searches by pattern."""

    check: Callable[[Any], Check]
    faults: Callable[[Any], list[str]]
    searches: bool = False


_CHECKS: Final[dict[str, _Kind]] = {
    "requires": _Kind(_has_all, _term_faults),
    "requires_any": _Kind(_has_any, _term_faults),
    "forbids": _Kind(_has_none, _term_faults),
    "matches": _Kind(_matches, pattern_faults, searches=True),
    "lacks": _Kind(_lacks, pattern_faults, searches=True),
    "min_words": _Kind(lambda least: lambda text: len(text.split()) >= least, _count_faults),
    "max_words": _Kind(lambda most: lambda text: len(text.split()) <= most, _count_faults),
    "citations": _Kind(_cites, _count_faults, searches=True),
    "json": _Kind(_is_json, _json_faults),
}
_OPTIONS: Final = ("field", "patterns")


def _faults(rules: Any) -> list[str]:
    """What is wrong with the rules, one line each."""
    if not isinstance(rules, Mapping) or not rules:
        return ["rules are named objects, at least one, such as {sourced: {citations: 1}}"]
    return [f"rule '{name}' {fault}" for name, rule in rules.items() for fault in _rule_faults(name, rule)]


def _rule_faults(name: Any, rule: Any) -> list[str]:
    if not isinstance(name, str) or not name.isidentifier() or iskeyword(name) or name == PASSED:
        return [f"can't stand beside '{PASSED}' in a drop rule: a name has letters, digits and _"]
    if not isinstance(rule, Mapping) or not set(rule) - set(_OPTIONS):
        return [f"needs a check: {', '.join(_CHECKS)}"]
    known = [*_CHECKS, *_OPTIONS]
    faults = [
        f"has no '{key}'.{nearest(str(key), known)} It takes: {', '.join(known)}" for key in rule if key not in known
    ]
    columns = [str(column) for column in _fields(rule) if column not in TEXT_COLUMNS]
    faults += [f"has no field '{column}'.{nearest(column, list(TEXT_COLUMNS))}" for column in columns]
    if "patterns" in rule:
        faults += _patterns_faults(rule)
    checks = [key for key in _CHECKS if key in rule]
    return faults + [f"{key} {fault}" for key in checks for fault in _CHECKS[key].faults(rule[key])]


def _patterns_faults(rule: Mapping[str, Any]) -> list[str]:
    if "citations" not in rule or not isinstance(rule["patterns"], list | tuple) or not rule["patterns"]:
        return ["patterns are a list of regular expressions, beside citations"]
    return [f"patterns: '{pattern}' {fault}" for pattern in rule["patterns"] for fault in pattern_faults(pattern)]


def _fields(rule: Mapping[str, Any]) -> Sequence[Any]:
    fields = rule.get("field", "answer")
    return fields if isinstance(fields, list | tuple) and fields else [fields]


def _rule(rule: Mapping[str, Any]) -> _Rule:
    checks = {key: rule[key] for key in _CHECKS if key in rule}
    if "citations" in checks:
        checks["citations"] = (checks["citations"], tuple(rule.get("patterns", CITATIONS)))
    return _Rule(tuple(_fields(rule)), tuple(checks.items()))
