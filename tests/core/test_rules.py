from __future__ import annotations

import math
import pickle

import pytest

from curation.core.errors import PlanError, RecordError
from curation.core.rules import Rule

GOOD = {"helpfulness": 3.5, "verbosity": 1.0}


def test_the_clause_that_is_true_is_named() -> None:
    rule = Rule.parse("helpfulness < 3 or (verbosity > 2.5 and helpfulness < 4)")
    assert rule.names == ("helpfulness", "verbosity")
    assert rule.failing(GOOD) is None
    assert rule.failing({**GOOD, "helpfulness": 2.9}) == "helpfulness < 3"
    assert rule.failing({**GOOD, "verbosity": 2.6}) == "verbosity > 2.5 and helpfulness < 4"


@pytest.mark.parametrize(
    ("text", "drops"),
    [
        ("helpfulness < 3.5", False),
        ("helpfulness <= 3.5", True),
        ("not helpfulness >= 4", True),
        ("-1 < verbosity < +2", True),
        ("1 < verbosity < 2", False),
        ("helpfulness == 3.5 and verbosity != 2", True),
        ("3 > verbosity", True),
        ("helpfulness < 3\n  or verbosity < 2", True),
        ("verbosity < helpfulness", True),
    ],
)
def test_conditions_mean_what_python_means(text: str, drops: bool) -> None:
    assert (Rule.parse(text).failing(GOOD) is not None) is drops


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("helpfulness", 1),
        ("helpfulness < 3 or", 19),
        ("helpfulness << 3", 1),
        ("helpfulness < 3 or verbosity.real > 2", 20),
        ("helpfulness < abs(3)", 15),
        ("__import__('os').system('true') > 0", 1),
        ("helpfulness < True", 15),
        ("helpfulness < '3'", 15),
        ("helpfulness < 1e400", 15),
        ("helpfulness < 3j", 15),
        ("helpfulness is 3", 1),
        ("helpfulness in (1, 2)", 1),
        ("helpfulness < 3; 1", 16),
        ("(a := 3) < 3", 2),
        ("helpfulness < -verbosity", 15),
        ("not " * 400 + "a < 1", 1),
        ("(" * 300 + "a < 1" + ")" * 300, 201),
        ("a \0 < 1", 8),
    ],
)
def test_anything_else_is_refused_with_its_place(text: str, column: int) -> None:
    with pytest.raises(PlanError, match="rule ") as caught:
        Rule.parse(text)
    assert f"column {column}:" in str(caught.value)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_missing_score_is_the_records_failure_even_behind_a_true_clause(value: float | None) -> None:
    scores = {"helpfulness": 1.0} | ({} if value is None else {"verbosity": value})
    with pytest.raises(RecordError) as caught:
        Rule.parse("helpfulness < 3 or verbosity > 2.5").failing(scores)
    assert caught.value.reason == "missing_score"
    assert "verbosity" in caught.value.detail


def test_a_rule_travels_to_workers() -> None:
    rule = Rule.parse("helpfulness < 3")
    again = pickle.loads(pickle.dumps(rule))
    assert again == rule
    assert again.failing({"helpfulness": 1.0}) == "helpfulness < 3"


def test_what_nobody_was_to_give_may_be_missing() -> None:
    rule = Rule("faith < 1 or rating < 2")
    assert rule.failing({"rating": 3}, {"faith"}) is None
    assert rule.failing({"rating": 1}, {"faith"}) == "rating < 2"
    assert Rule("not faith >= 1").failing({}, {"faith"}) is None
    with pytest.raises(RecordError, match="needs rating"):
        rule.failing({"faith": 1}, {"faith"})
