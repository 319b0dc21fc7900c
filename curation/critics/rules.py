"""Scores a record by the rules of its domain, without a model: terms, patterns, lengths, citations, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from keyword import iskeyword
from typing import Any, ClassVar, Final

from curation.core.checks import FieldRule, faults_of, name_fault
from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.errors import PlanError, RecordError
from curation.core.ratings import Scale
from curation.core.records import TEXT_COLUMNS, Record

PASSED: Final = "passed"


class Rules(Critic):
    """A score for each rule by its name, 1 where the record passes it and 0 where not; and `passed`, their share.

    A rule is an object: `field`, one of `title`, `question`, `answer` (without one) and `context`, or a list of them,
    and one check or more, all of which must hold:

    - `requires`, `requires_any`, `forbids`: whole words or phrases; case and line ends count for nothing.
    - `matches`, `lacks`: a regular expression, searched for; lines by lines with `(?m)`.
    - `min_words`, `max_words`: words between white space; `min_characters`, `max_characters`.
    - `citations`: how many different ones are there at least; `patterns` says what one looks like.
    - `elements`: those that it must have, as Markdown marks them: `code`, `heading`, `link`, `list`, `table`, …
    - `language`: one of `en`, `de`, `fr`, `es`, `it`, `pt` and `nl`, or several; where too little tells it passes.
    - `json`: true for any JSON, or a schema that it must conform to.
    - `one_of`: the texts that are allowed; `minimum`, `maximum`, of a text that is a number.

    So `{sourced: {citations: 1}, modest: {forbids: [guaranteed], max_words: 400}}` gives `sourced`, `modest` and
    `passed`. What has no text has no words, so it passes `forbids` and fails `requires`; with `optional: true` it
    passes all checks.

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
        faults = faults_of(rules, TEXT_COLUMNS, _name_fault)
        if faults:
            raise PlanError([f"critic 'rules': {fault}" for fault in faults])
        self._rules = [FieldRule.of(name, rule) for name, rule in rules.items()]

    @property
    def gives(self) -> Mapping[str, Scale | None]:
        """`passed`, a share, and 0 or 1 for each rule."""
        return {PASSED: None, **dict.fromkeys(self.rules, (0, 1))}

    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        """The scores of `record`.

        Raises:
            RecordError: `unscorable`: a text that patterns are searched for in is too long.
        """
        scores = {rule.name: self._score(rule, record) for rule in self._rules}
        return {PASSED: sum(scores.values()) / len(scores), **scores}

    def _score(self, rule: FieldRule, record: Record) -> float:
        texts = {column: record[column] if rule.optional else record[column] or "" for column in rule.fields}
        column = rule.too_long(texts, self.max_characters)
        if column is not None:
            length = len(record[column])
            raise RecordError(
                "unscorable", f"rule '{rule.name}': {column} has {length} characters, at most {self.max_characters}"
            )
        return float(not any(rule.violations(texts)))


def _name_fault(name: Any) -> str:
    """What is wrong with a name that is to stand in a rule over scores."""
    if name_fault(name) or iskeyword(name) or name == PASSED:
        return f"can't stand beside '{PASSED}' in a drop rule: a name has letters, digits and _"
    return ""
