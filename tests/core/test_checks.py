"""Rules for any value of a record: what each check lets pass, what it says of the rest, and faults of the plan."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from curation.core._checks_elements import ELEMENTS
from curation.core._checks_kinds import CHECKS, CITATIONS
from curation.core._checks_patterns import pattern_faults
from curation.core.checks import MAX_SEARCHED, Validator, Violation, faults_of

ENGLISH = "May the landlord keep the deposit for a stain that was not there when I moved in with all of my things?"
GERMAN = "Darf der Vermieter die Kaution behalten und ist das auch mit einem Fleck erlaubt, der schon da war?"


def violations(rules: dict[str, Any], **values: Any) -> list[Violation]:
    assert faults_of(rules) == []
    validator = pickle.loads(pickle.dumps(Validator.of(rules)))
    found: list[Violation] = validator.violations({**dict.fromkeys(validator.fields), **values})
    return found


def told(check: dict[str, Any], value: Any) -> tuple[str, str, float | None] | None:
    """The check that `value` does not pass, what is said of it, and the number."""
    found = violations({"it": check}, answer=value)
    return (found[0].bound.removeprefix("it: "), found[0].found, found[0].number) if found else None


@pytest.mark.parametrize(
    ("check", "value", "expected"),
    [
        ({"requires": ["one", "two"]}, "one three", ("requires one, two", "no 'two' in 'one three'", None)),
        ({"requires_any": ["a", "b"]}, "c", ("requires_any a, b", "none of them in 'c'", None)),
        ({"forbids": ["sure"]}, "I am sure.", ("forbids sure", "'I am sure.'", None)),
        ({"matches": "^a"}, "b\nc", ("matches ^a", "no match in 'b c'", None)),
        ({"lacks": "b"}, "abc", ("lacks b", "'abc'", None)),
        ({"min_words": 3}, "a b", ("min_words 3", "2 words: 'a b'", 2)),
        ({"max_words": 1}, "a b", ("max_words 1", "2 words: 'a b'", 2)),
        ({"min_characters": 4}, "abc", ("min_characters 4", "3 characters: 'abc'", 3)),
        ({"max_characters": 2}, "abc", ("max_characters 2", "3 characters: 'abc'", 3)),
        ({"max_characters": 3}, "abc", None),
        ({"citations": 2}, "see § 8 and § 8", ("citations 2", "1: '§ 8'", 1)),
        ({"citations": 1, "patterns": ["[x]"]}, "y", ("citations 1", "0 in 'y'", 0)),
        ({"elements": ["number", "table"]}, "5", ("elements number, table", "no table in '5'", None)),
        ({"elements": "number"}, "5", None),
        ({"language": "en"}, GERMAN[:75], ("language en", f"it reads as de: '{GERMAN[:75]}'", None)),
        ({"language": ["en", "de"]}, GERMAN, None),
        ({"json": True}, "[", ("json", "it is no JSON (Expecting value: line 1 column 2 (char 1)): '['", None)),
        ({"json": {"items": {"type": "string"}}}, ["a", 1], ("", "$[1] is not of type string: '[\"a\", 1]'", None)),
        ({"json": {"properties": {"a": {"minimum": 1}}}}, {"a": 0}, ("", "$.a is below minimum 1: '{\"a\": 0}'", None)),
        ({"json": {"required": ["a"]}}, {"a": None}, None),
        ({"json": {"additionalProperties": False}}, {"b": 1}, ("", "$.b may not be there: '{\"b\": 1}'", None)),
        ({"one_of": ["a", 1, True]}, "b", ("one_of a, 1, true", "'b'", None)),
        ({"one_of": ["a", "b"]}, ["a", "c"], ("one_of a, b", "'c'", None)),
        ({"one_of": [1]}, True, ("one_of 1", "'true'", None)),
        ({"one_of": [1]}, 1.0, None),
        ({"minimum": 3}, 2.5, ("minimum 3", "2.5", 2.5)),
        ({"minimum": 3, "maximum": 4}, 4, None),
        ({"maximum": -1}, "-0.5", ("maximum -1", "-0.5", -0.5)),
        ({"minimum": 0}, "1_0", ("minimum 0", "no number: '1_0'", None)),
        ({"minimum": 0}, "nan", ("minimum 0", "no number: 'nan'", None)),
        ({"minimum": 0}, True, ("minimum 0", "no number: 'true'", None)),
        ({"max_words": 1}, ["a", "b"], ("max_words 1", "2 words: '[\"a\", \"b\"]'", 2)),
    ],
)  # fmt: skip
def test_what_is_said_of_what_does_not_pass(check: dict[str, Any], value: Any, expected: Any) -> None:
    found = told(check, value)
    if expected and not expected[0]:  # the schema itself is the argument
        assert found
        assert found[0].startswith("json {")
        found = ("", *found[1:])
    assert found == expected


def test_the_excerpt_is_short_and_shows_the_place() -> None:
    text = "before " * 50 + "guaranteed " + "after " * 50
    found = told({"forbids": ["guaranteed"]}, text)
    assert found
    assert re.fullmatch(r"'….{0,20}guaranteed .{40,60}…'", found[1])
    assert len(violations({"it": {"one_of": ["x" * 500]}}, answer="y")[0].bound) < 120


def test_every_rule_and_field_in_the_plans_order() -> None:
    rules = {
        "short": {"field": ["title", "answer"], "max_words": 1, "forbids": ["b"]},
        "sourced": {"citations": 1},
    }
    found = violations(rules, title="a", answer="a b")
    assert [(one.field, one.bound) for one in found] == [
        ("answer", "short: forbids b"), ("answer", "short: max_words 1"), ("answer", "sourced: citations 1"),
    ]  # fmt: skip


def test_what_is_missing_fails_unless_it_is_optional() -> None:
    assert violations({"it": {"field": "views", "forbids": ["x"]}}) == [Violation("views", "it: is missing", "")]
    assert violations({"it": {"field": "views", "minimum": 1, "optional": True}}) == []
    assert told({"minimum": 1, "optional": True}, 0) == ("minimum 1", "0", 0)
    assert told({"min_words": 1, "optional": True}, "") == ("min_words 1", "0 words: ''", 0)


def test_each_tag_must_be_allowed() -> None:
    rule = {"it": {"field": "tags", "one_of": ["tax", "tort"]}}
    assert violations(rule, tags="tax,tort") == []
    assert violations(rule, tags="tax,trusts") == [Violation("tags", "it: one_of tax, tort", "'trusts'")]


def test_what_is_too_long_to_be_searched_fails_for_a_plans_own_patterns_alone() -> None:
    text = "word " * 5000
    assert told({"matches": "word"}, text) == (
        "is too long to be searched", f"25000 characters, at most {MAX_SEARCHED}", 25_000,
    )  # fmt: skip
    assert told({"min_words": 5000, "elements": ["paragraphs"]}, text + "\n\n" + text) is None


MARKDOWN = {
    "bold": ["a **b c** d", "__b__"],
    "bulleted_list": ["- a", "text\n  * **b**", "•  c"],
    "code": ["use `x`", "```\nx\n```"],
    "code_block": ["~~~python\nx\n~~~", "a\n```\nx"],
    "heading": ["# A", "text\n### B"],
    "image": ["![alt](a.png)", "![](b.png)"],
    "link": ["[a](b)", "see https://example.org"],
    "list": ["- a", "1. a"],
    "math": ["$x^2$", r"\(x\)", "$$\nx\n$$", r"\[ x \]"],
    "number": ["it has 3", "$5.00", "§8"],
    "numbered_list": ["1. a", "text\n 2) b"],
    "paragraphs": ["a\n\nb", "a\r\n \r\nb"],
    "question_mark": ["why?", "为什么？"],
    "quote": ["> a", "text\n>b"],
    "table": ["|a|b|\n|-|-|\n|1|2|", "a | b\n--- | :-:\n1 | 2"],
}
PLAIN = [
    "A plain text - with a dash, a * star_and_more__here and 2**3**4 - costs nothing.", "#tag\n#!bin", "---", "* * *",
    "it costs $5 and $6", "x | y", "a > b", "[a] (b)", "H2O", "-5 degrees", "snake_case_name", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTS)
def test_elements(name: str) -> None:
    for text in MARKDOWN[name]:
        assert told({"elements": [name]}, text) is None, text
    also = {"number": {"it costs $5 and $6", "-5 degrees", PLAIN[0]}}
    for text in PLAIN:
        assert (told({"elements": [name]}, text) is None) is (text in also.get(name, ())), text


def test_what_stands_in_a_block_of_code_is_code_alone() -> None:
    text = "Do\n```sh\n# a heading?\n- x\n1. y\n```\nthis"
    for name in ("heading", "list", "number"):
        assert told({"elements": [name]}, text) is not None
    assert told({"elements": ["code", "code_block"]}, text) is None
    assert told({"elements": ["list"]}, text + "\n- z") is None


@pytest.mark.parametrize("name", ELEMENTS)
def test_elements_are_found_in_no_time_in_any_text(name: str) -> None:
    assert pattern_faults(ELEMENTS[name]) == []


@pytest.mark.parametrize(
    "pattern",
    [r"(a+)+$", r"(a*)*b", r"(?:a|a)*$", r"([a-z]+\s?)+:", r"((ab)+c?)+", r"(\w+,){10,}", r"(a?){50}",
     r"(?P<x>a)(?P=x)", r"(a)\1", r"(?:(?:x{1,}))*", r"(\d|\d\d)+", r"a*a*b",
     r"\s+\s*$", r"\w+.*x", r".*a.*b.*c", r"(?:a+){3}b", "a?" * 20 + "a" * 20,
     r"([ab]a{0,3}a{0,3}){1,4}a{2,}x", r"(?:(?:a?b?){1,4}){1,4}", r"(?:x|a*)a*c",
     r"(?:.(?:\w)*){1,4}x", r"(?:ab)*(?:ab)*c", r"(?i)a*A*b",
     r"(?x) a +"],
)  # fmt: skip
def test_patterns_that_may_take_for_ever(pattern: str) -> None:
    assert pattern_faults(pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"(?i)\bnot legal advice\b", r"\d+ U\.S\. \d+", r"(?:[A-Z][a-z]+ ){0,3}v\.", r"[(+*)]+", r"\(a+\)+",
     r"^(?:yes|no)\b", r"(?<!\d)\d{4}(?!\d)", r"(?:ab)+", r"[]a+]*\]", r"from.*to.*by",
     r"(?:\d+ of|\d+ out)", r"\d+\s+U\.S\.\s+\d+", r"a++b", *CITATIONS],
)  # fmt: skip
def test_patterns_that_may_be_used(pattern: str) -> None:
    assert pattern_faults(pattern) == []


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "rules are named objects"),
        ({"a b": {"min_words": 1}}, "rule 'a b' needs a name of letters, digits and _"),
        ({1: {"min_words": 1}}, "rule '1' needs a name"),
        ({"it": {"field": "x", "optional": True}}, "rule 'it' needs a check: requires, "),
        ({"it": {"citation": 1}}, "rule 'it' has no 'citation'. Did you mean 'citations'?"),
        ({"it": {"field": [], "min_words": 1}}, "rule 'it' field is the name of a column"),
        ({"it": {"field": ["a", 3], "min_words": 1}}, "rule 'it' field is the name of a column"),
        ({"it": {"elements": ["tabel"]}}, "elements has no 'tabel'. Did you mean 'table'? There are: bold, "),
        ({"it": {"elements": []}}, "elements is an empty list. There are: "),
        (
            {"it": {"language": "eng"}},
            "language has no 'eng'. Did you mean 'en'? There are: en, de, ",
        ),
        ({"it": {"language": False}}, "language has no 'False'."),
        ({"it": {"one_of": "a"}}, "one_of is a list of the texts or numbers"),
        ({"it": {"one_of": [["a"]]}}, "one_of is a list of the texts or numbers"),
        ({"it": {"minimum": "3"}}, "minimum is a number"),
        ({"it": {"maximum": float("nan")}}, "maximum is a number"),
        ({"it": {"min_characters": 1.5}}, "min_characters is a whole number"),
        ({"it": {"min_words": 3, "max_words": 2}}, "has a min_words above its max_words: nothing keeps both"),
        ({"it": {"min_words": 1, "optional": "yes"}}, "optional is true or false"),
    ],
)
def test_faults(rules: Any, message: str) -> None:
    (fault,) = faults_of(rules)
    assert message in fault


def test_any_column_may_be_judged_unless_columns_are_given() -> None:
    rules = {"it": {"field": ["answer", "anything"], "min_words": 1}}
    assert faults_of(rules) == []
    assert faults_of(rules, ["answer"]) == ["rule 'it' has no field 'anything'."]


def test_every_check_has_a_rule_that_passes() -> None:
    arguments = {
        "requires": ["may"], "requires_any": ["may"], "forbids": ["x"], "matches": "May", "lacks": "x", "min_words": 1,
        "max_words": 99, "min_characters": 1, "max_characters": 999, "citations": 0, "elements": ["question_mark"],
        "language": "en", "json": True, "one_of": [ENGLISH], "minimum": 0, "maximum": 9,
    }  # fmt: skip
    assert set(arguments) == set(CHECKS)
    texts = {key: argument for key, argument in arguments.items() if key not in ("json", "minimum", "maximum")}
    assert violations({"it": texts}, answer=ENGLISH) == []
    assert violations({"it": {key: arguments[key] for key in ("json", "minimum", "maximum")}}, answer="7") == []
