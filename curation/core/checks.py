"""Rules that the values of a record must keep, checked without a model: terms, patterns, lengths, elements, JSON, …

The critic `rules` scores what a model wrote by them; a step `validate` of the plan removes what does not keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from curation.core._checks_kinds import CHECKS, CITATIONS, listed, shown, text_of
from curation.core._checks_patterns import pattern_faults
from curation.core.registry import nearest

MAX_SEARCHED: Final = 20_000
"""Characters of the longest text that a plan's own regular expressions are searched for in."""

MISSING: Final = "is missing"
"""What stands in the place of the check where there is no value."""

_OPTIONS: Final = ("field", "patterns", "optional")
_RANGES: Final = [("min_words", "max_words"), ("min_characters", "max_characters"), ("minimum", "maximum")]


@dataclass(frozen=True)
class Violation:
    """A check that a record did not pass.

    Args:
        field: the column that was judged.
        bound: the rule's name and the check, `sourced: citations 1`.
        found: what was found instead, with a short excerpt; empty where nothing was.
        number: what was compared, where it is a number.
    """

    field: str
    bound: str
    found: str
    number: float | None = None


@dataclass(frozen=True)
class FieldRule:
    """One rule: every one of its checks must hold for each of its fields.

    Args:
        checks: names of checks, each with its argument.
        optional: whether a field may be missing.
        searches: whether the plan's own regular expressions are among the checks.
    """

    name: str
    fields: tuple[str, ...]
    checks: tuple[tuple[str, Any], ...]
    optional: bool
    searches: bool

    @classmethod
    def of(cls, name: str, rule: Mapping[str, Any]) -> FieldRule:
        """The rule of a plan, one without faults."""
        checks = {key: rule[key] for key in CHECKS if key in rule}
        if "citations" in checks:
            checks["citations"] = (checks["citations"], tuple(rule.get("patterns", CITATIONS)))
        searches = not rule.keys().isdisjoint(("matches", "lacks", "patterns"))
        return cls(name, tuple(_fields(rule)), tuple(checks.items()), rule.get("optional", False), searches)

    def too_long(self, values: Mapping[str, Any], most: int) -> str | None:
        """The first field with more than `most` characters, where regular expressions are searched for."""
        fields = self.fields if self.searches else ()
        return next((field for field in fields if len(text_of(values[field])) > most), None)

    def violations(self, values: Mapping[str, Any]) -> Iterator[Violation]:
        """The checks that a record does not pass, in the order of the fields.

        Args:
            values: of each field; None for one that is missing.
        """
        for field in self.fields:
            value = values[field]
            if value is None:
                if not self.optional:
                    yield Violation(field, f"{self.name}: {MISSING}", "")
                continue
            for key, argument in self.checks:
                judged = value.split(",") if (key, field) == ("one_of", "tags") else value
                found = CHECKS[key].finding(argument, judged)
                if found:
                    yield Violation(field, f"{self.name}: {shown(key, argument)}", found.words, found.number)


@dataclass(frozen=True)
class Validator:
    """All rules of a step `validate`."""

    rules: tuple[FieldRule, ...]

    @classmethod
    def of(cls, rules: Mapping[str, Mapping[str, Any]]) -> Validator:
        """The rules of a plan, which have no faults."""
        return cls(tuple(FieldRule.of(name, rule) for name, rule in rules.items()))

    @property
    def fields(self) -> tuple[str, ...]:
        """Every column that it reads."""
        return tuple(dict.fromkeys(field for rule in self.rules for field in rule.fields))

    def violations(self, values: Mapping[str, Any]) -> list[Violation]:
        """What a record does not pass, in the order of the rules; see `FieldRule.violations`."""
        return [violation for rule in self.rules for violation in self._of_rule(rule, values)]

    def _of_rule(self, rule: FieldRule, values: Mapping[str, Any]) -> Iterator[Violation]:
        field = rule.too_long(values, MAX_SEARCHED)
        if field is None:
            return rule.violations(values)
        length = len(text_of(values[field]))
        found = f"{length} characters, at most {MAX_SEARCHED}"
        return iter([Violation(field, f"{rule.name}: is too long to be searched", found, length)])


def name_fault(name: Any) -> str:
    """What is wrong with a rule's name; empty where nothing is."""
    return "" if isinstance(name, str) and name.isidentifier() else "needs a name of letters, digits and _"


def faults_of(
    rules: Any, columns: Sequence[str] | None = None, name_fault: Callable[[Any], str] = name_fault
) -> list[str]:
    """What is wrong with rules by their names, one line each.

    Args:
        columns: the fields that they may judge; None: any.
        name_fault: what is wrong with a name, if anything.
    """
    if not isinstance(rules, Mapping) or not rules:
        return ["rules are named objects, at least one, such as {sourced: {citations: 1}}"]
    faults = []
    for name, rule in rules.items():
        wrong = name_fault(name)
        faults += [f"rule '{name}' {fault}" for fault in ([wrong] if wrong else _rule_faults(rule, columns))]
    return faults


def _rule_faults(rule: Any, columns: Sequence[str] | None) -> list[str]:
    if not isinstance(rule, Mapping) or not set(rule) - set(_OPTIONS):
        return [f"needs a check: {', '.join(CHECKS)}"]
    known = [*CHECKS, *_OPTIONS]
    faults = [
        f"has no '{key}'.{nearest(str(key), known)} It takes: {', '.join(known)}" for key in rule if key not in known
    ]
    faults += _field_faults(_fields(rule), columns)
    if "patterns" in rule:
        faults += _patterns_faults(rule)
    if not isinstance(rule.get("optional", False), bool):
        faults.append("optional is true or false")
    wrong = {key: CHECKS[key].faults(rule[key]) for key in CHECKS if key in rule}
    faults += [f"{key} {fault}" for key, found in wrong.items() for fault in found]
    return faults + _range_faults({key: rule[key] for key, found in wrong.items() if not found})


def _field_faults(fields: Sequence[Any], columns: Sequence[str] | None) -> list[str]:
    if columns is not None:
        strangers = [str(field) for field in fields if field not in columns]
        return [f"has no field '{field}'.{nearest(field, list(columns))}" for field in strangers]
    is_sound = all(isinstance(field, str) and field.strip() for field in fields)
    return [] if is_sound else ["field is the name of a column, or a list of names"]


def _patterns_faults(rule: Mapping[str, Any]) -> list[str]:
    if "citations" not in rule or not isinstance(rule["patterns"], list | tuple) or not rule["patterns"]:
        return ["patterns are a list of regular expressions, beside citations"]
    return [f"patterns: '{pattern}' {fault}" for pattern in rule["patterns"] for fault in pattern_faults(pattern)]


def _range_faults(rule: Mapping[str, Any]) -> list[str]:
    both = [(least, most) for least, most in _RANGES if least in rule and most in rule]
    return [f"has a {least} above its {most}: nothing keeps both" for least, most in both if rule[least] > rule[most]]


def _fields(rule: Mapping[str, Any]) -> Sequence[Any]:
    fields = rule.get("field", "answer")
    return listed(fields) or [fields]
