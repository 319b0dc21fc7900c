from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest

from curation.core._checks_patterns import MAX_PATTERN
from curation.core.contracts import Scores
from curation.core.errors import PlanError, RecordError
from curation.core.records import human
from curation.core.registry import Spec
from curation.core.rules import Rule
from curation.critics.rules import Rules

ANSWER = "Under 42 U.S.C. § 1983 you may sue.\nSee Roe v. Wade, 410 U.S. 113, and § 8(2). This is no legal  advice."
RECORD = human("a", title="Suing", question="May I sue the officer?", answer=ANSWER)


def judge(rules: dict[str, Any], **changes: Any) -> Scores:
    critic = pickle.loads(pickle.dumps(Spec("critic", "rules", {"rules": rules}).create()))
    scores: Scores = asyncio.run(critic.judge({**RECORD, **changes}, None, None))
    return scores


def passes(check: dict[str, Any], **changes: Any) -> bool:
    scores = judge({"it": check}, **changes)
    assert scores["passed"] == scores["it"]
    return scores["it"] == 1.0


def test_a_score_for_each_rule_and_their_share() -> None:
    scores = judge({"sourced": {"citations": 2}, "short": {"max_words": 5}, "sue": {"requires": ["SUE"]}})
    assert scores == {"passed": pytest.approx(2 / 3), "sourced": 1.0, "short": 0.0, "sue": 1.0}
    assert all(type(score) is float for score in scores.values())
    assert Rule.parse("passed < 1 or sourced < 1").failing(scores) == "passed < 1"
    assert Rules.needs_model is False
    assert Rules({"sue": {"requires": ["sue"]}}).grade(scores) == 0.0


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ({"requires": ["legal advice", "roe"]}, True), ({"requires": ["legal advice", "Brown"]}, False),
        ({"requires": ["su"]}, False), ({"requires": ["42 U.S.C."]}, True), ({"requires_any": ["Brown", "ROE"]}, True),
        ({"requires_any": ["Brown", "Miranda"]}, False), ({"forbids": ["guaranteed", "vice"]}, True),
        ({"forbids": ["no legal advice"]}, False), ({"matches": r"\d+ U\.S\. \d+"}, True),
        ({"matches": r"(?m)^See"}, True), ({"matches": "^See"}, False), ({"lacks": "(?i)ROE"}, False),
        ({"lacks": "roe"}, True), ({"min_words": 23}, True), ({"min_words": 24}, False), ({"max_words": 23}, True),
        ({"max_words": 22}, False), ({"min_words": 1, "max_words": 2}, False), ({"citations": 4}, True),
        ({"citations": 9}, False), ({"citations": 1, "patterns": [r"\[\d\]"]}, False),
        ({"citations": 2, "patterns": [r"§ \d"]}, True), ({"field": "question", "requires": ["officer"]}, True),
        ({"field": ["title", "question"], "max_words": 5}, True),
        ({"field": ["question", "answer"], "max_words": 5}, False),
        ({"field": "context", "forbids": ["x"]}, True), ({"field": "context", "min_words": 1}, False),
        ({"field": "context", "json": True}, False), ({"field": "context", "requires": ["x"]}, False),
        ({"field": "context", "requires": ["x"], "optional": True}, True), ({"elements": ["number"]}, True),
        ({"elements": ["number", "code"]}, False), ({"language": "en"}, True), ({"min_characters": 500}, False),
        ({"field": "question", "one_of": ["May I sue the officer?"]}, True), ({"minimum": 1}, False),
    ],
)  # fmt: skip
def test_checks(check: dict[str, Any], expected: bool) -> None:
    assert passes(check) is expected


@pytest.mark.parametrize(
    ("text", "count"),
    [("See § 8(2) and § 8(3).", 1), ("See § 8 and § 9.", 2), ("Nothing at all in 2019.", 0), ("As [1] and [2] say.", 2),
     ("Article 3 and Section 4", 2), ("In Smith v Jones.", 1), ("https://example.org/law", 1),
     ("I saw 3 of the 4.", 0)],
)  # fmt: skip
def test_what_counts_as_a_citation(text: str, count: int) -> None:
    assert passes({"citations": count}, answer=text)
    assert not passes({"citations": count + 1}, answer=text)


@pytest.mark.parametrize(
    ("text", "schema", "expected"),
    [
        ('{"a": 1}', True, True), ('{"a": 1', True, False), ("plain", True, False), ("NaN", True, False),
        ("[" * 100_000, True, False), ("3", {"type": "integer"}, True), ("3.5", {"type": "integer"}, False),
        ("3.0", {"type": "integer"}, True), ("true", {"type": "integer"}, False),
        ("true", {"type": "boolean"}, True),
        ("null", {"type": ["null", "string"]}, True),
        ("1", {"type": ["null", "string"]}, False),
        ('{"a": 1}', {"required": ["a"]}, True), ('{"b": 1}', {"required": ["a"]}, False),
        ('{"a": "x"}', {"properties": {"a": {"type": "string"}}}, True),
        ('{"a": 1}', {"properties": {"a": {"type": "string"}}}, False),
        ('{"a": 1, "b": 2}', {"properties": {"a": {}}, "additionalProperties": False}, False),
        ('{"a": 1, "b": 2}', {"properties": {"a": {}}, "additionalProperties": {"type": "number"}}, True),
        ('[1, "x"]', {"items": {"type": "number"}}, False), ("[1, 2]", {"items": {"type": "number"}}, True),
        ("[1]", {"minItems": 2}, False), ("[1, 2]", {"minItems": 2, "maxItems": 2}, True),
        ('"abc"', {"maxLength": 2}, False),
        ('"abc"', {"minLength": 3}, True), ("{}", {"minProperties": 1}, False), ("[]", {"minLength": 1}, True),
        ("5", {"minimum": 1, "maximum": 4}, False), ("4", {"minimum": 1, "maximum": 4}, True),
        ('"5"', {"maximum": 4}, True),
        ('"b"', {"enum": ["a", "b"]}, True), ("1", {"enum": [True]}, False), ("true", {"const": 1}, False),
        ("1.0", {"const": 1}, True), ("1e400", {"type": "integer"}, False),
    ],
)  # fmt: skip
def test_json(text: str, schema: Any, expected: bool) -> None:
    assert passes({"json": schema}, answer=text) is expected


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "rules are named objects, at least one"),
        ({"passed": {"max_words": 1}}, "rule 'passed' can't stand beside 'passed'"),
        ({"has space": {"max_words": 1}}, "rule 'has space' can't stand beside 'passed'"),
        ({"or": {"max_words": 1}}, "rule 'or' can't stand beside 'passed'"),
        ({"it": {"field": "answer"}}, "rule 'it' needs a check"),
        ({"it": []}, "rule 'it' needs a check"),
        ({"it": {"require": ["x"]}}, r"rule 'it' has no 'require'. Did you mean 'requires'\?"),
        ({"it": {"field": "answers", "max_words": 1}}, r"rule 'it' has no field 'answers'. Did you mean 'answer'\?"),
        ({"it": {"requires": "x"}}, "rule 'it' requires is a list of words or phrases"),
        ({"it": {"forbids": [" "]}}, "rule 'it' forbids is a list of words or phrases"),
        ({"it": {"matches": "("}}, "rule 'it' matches is no regular expression"),
        ({"it": {"matches": ""}}, "rule 'it' matches is a regular expression"),
        ({"it": {"lacks": "x" * (MAX_PATTERN + 1)}}, f"rule 'it' lacks is longer than {MAX_PATTERN} characters"),
        ({"it": {"matches": "(a+)+$"}}, "rule 'it' matches has repetitions that together"),
        ({"it": {"matches": r"(a)\1"}}, "rule 'it' matches refers back"),
        ({"it": {"min_words": -1}}, "rule 'it' min_words is a whole number"),
        ({"it": {"max_words": True}}, "rule 'it' max_words is a whole number"),
        ({"it": {"citations": 1, "patterns": ["["]}}, r"rule 'it' patterns: '\[' is no regular expression"),
        ({"it": {"max_words": 1, "patterns": ["x"]}}, "rule 'it' patterns are a list of regular expressions, beside"),
        ({"it": {"json": False}}, "rule 'it' json is true or a schema"),
        ({"it": {"json": {"typ": "string"}}}, "rule 'it' json has a fault: schema has 'typ'"),
        (
            {"it": {"json": {"properties": {"a": {"type": "text"}}}}},
            "json has a fault: schema.a: type is one of object",
        ),
        ({"it": {"json": {"items": 3}}}, "json has a fault: schema.items is an object, not 3"),
        ({"it": {"json": {"minItems": "2"}}}, "json has a fault: schema: minItems is a whole number"),
    ],
)
def test_faults_name_the_rule(rules: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Spec("critic", "rules", {"rules": rules}).create()


def test_all_faults_at_once() -> None:
    with pytest.raises(PlanError, match="3 faults"):
        Rules({"one": {"max_words": -1, "matches": "("}, "two": {"field": "body", "min_words": 1}})


def test_a_text_that_is_too_long_to_be_searched_is_not_scored() -> None:
    long = {**RECORD, "answer": "word " * 5000}
    with pytest.raises(RecordError, match="unscorable: rule 'it': answer has 25000 characters, at most 20000"):
        asyncio.run(Rules({"it": {"matches": "x"}}).judge(long, None, None))
    assert asyncio.run(Rules({"it": {"max_words": 9}}).judge(long, None, None))["it"] == 0.0
    assert (
        asyncio.run(Rules({"it": {"citations": 1}}).judge(long, None, None))["it"] == 0.0
    )  # our own patterns are quick
    assert asyncio.run(Rules({"it": {"matches": "x"}}, max_characters=25_000).judge(long, None, None))["it"] == 0.0


def test_rules_of_a_plan_are_plain_values() -> None:
    rules = {"it": {"json": {"type": "object"}, "field": ["answer"]}}
    assert judge(json.loads(json.dumps(rules)), answer="{}") == judge(rules, answer="{}")
