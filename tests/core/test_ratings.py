"""Ratings and verdicts in the shapes in which judges write them: the right one or none, never another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.core.ratings import Scale, read_rating, read_verdict

REPLIES = yaml.safe_load(Path(__file__).with_name("awkward_ratings.yaml").read_text(encoding="utf-8"))


def cases(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", REPLIES[kind], ids=[case["why"] for case in REPLIES[kind]])


def scale_of(case: dict[str, Any]) -> Scale:
    low, high = case.get("scale", (1, 3))
    return low, high


@cases("read")
def test_awkward_replies_that_say_a_rating(case: dict[str, Any]) -> None:
    assert read_rating(case["reply"], scale_of(case)) == case["read"]


@cases("refused")
def test_replies_that_say_none_or_more_than_one(case: dict[str, Any]) -> None:
    assert read_rating(case["reply"], scale_of(case)) is None


@cases("read")
def test_a_rating_of_a_scale_that_it_is_not_on_is_none(case: dict[str, Any]) -> None:
    assert read_rating(case["reply"], (20, 30)) is None


def test_there_are_enough_of_them() -> None:
    assert len(REPLIES["read"]) >= 100
    assert len(REPLIES["refused"]) >= 100


# --- any rating in any shape -----------------------------------------------------------------------------------------

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SHAPES = (
    "{n}", "**{n}**", "{n}/{most}", "{n} out of {most}", "[[{n}]]", "<score>{n}</score>", "<Score>{n}",
    '{{"score": {n}}}', '{{"score": "{n}"}}', "{{'rating': {n}}}", "Rating - {n} out of {most}", "I'd give this a {n}.",
    "\\boxed{{{n}}}",
    "Score = {n}", "| Score | {n} |", "| Part | Score |\n|---|---|\n| all | {n} |", "Score: {n}.0",
    "[Start of Score] {n}",
    "Score ({least}-{most}): {n}", "## Score\n\n{n}", "Score: {word}", "I rate this answer as {n}.",
    "Score: {n} ({word})",
)  # fmt: skip
BEFORE = st.sampled_from(["", "<think>Score: 1? Or 2?</think>\n", "The answer names two rules of the three.\n\n"])
SCALES = st.sampled_from([(1, 3), (0, 4), (1, 5), (1, 10)])
REASONS = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=60).map(
    lambda text: f"It says: “{text}”."
)


@st.composite
def rated(draw: st.DrawFn) -> tuple[str, int, Scale]:
    """A reply, the rating that it says, and the scale."""
    low, high = draw(SCALES)
    number = draw(st.integers(low, high))
    shape = draw(st.sampled_from(SHAPES))
    reply = shape.format(n=number, word=WORDS[number], least=low, most=high)
    return draw(BEFORE) + reply, number, (low, high)


@given(rated())
def test_every_shape_gives_its_rating_back(case: tuple[str, int, Scale]) -> None:
    reply, number, scale = case
    assert read_rating(reply, scale) == number
    assert read_rating(reply.upper() if "\\" not in reply else reply, scale) == number
    assert read_rating(reply + "\n", scale) == number


@given(rated())
def test_no_shape_is_read_as_another_number(case: tuple[str, int, Scale]) -> None:
    reply, number, (low, high) = case
    assert read_rating(reply, (number + 1, high + 10)) is None
    assert read_rating(f"{reply}\nScore: {low if number > low else high}", (low, high)) is None


@given(rated(), rated())
def test_two_shapes_are_read_only_where_they_agree(
    first: tuple[str, int, Scale], second: tuple[str, int, Scale]
) -> None:
    both = f"Score: {first[1]}\n{second[0].rpartition('</think>')[2]}"
    declared = read_rating(both, first[2])
    assert declared in {None, first[1]}


@given(st.integers(0, 4), st.integers(0, 400), st.integers(0, 400))
def test_the_numbers_of_an_explanation_do_not_count(number: int, some: int, most: int) -> None:
    for reply in (
        f"{number} because {some} of the {most} claims hold",
        f"{number}\n\n{some} of the {most} claims hold.",
        f"Score: {number}\n{some} of the {most} claims hold.",
        f"It names {some} of {most} rules.\n\nScore: {number}",
        f'{{"reason": "{some} of {most} rules", "score": {number}}}',
    ):
        assert read_rating(reply, (0, 4)) == number


@given(
    st.integers(0, 99), st.integers(0, 99), st.sampled_from(["-", "–", " to ", " or ", ", maybe ", "~", " and ", "."])
)
def test_two_numbers_are_no_rating(first: int, second: int, between: str) -> None:
    reply = f"{first}{between}{second}"
    expected = first if between == "." and not second else None
    assert read_rating(reply, (0, 99)) == read_rating(f"Score: {reply}", (0, 99)) == expected


@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            ["Score", ":", " ", "3", "2", "/", "\n", "|", "-", "[[", "]]", "or", "<score>", ".", "a", "(", ")", "of"]
        ),
        max_size=30,
    ).map("".join)
)
def test_any_text_is_a_rating_on_the_scale_or_none(text: str) -> None:
    assert read_rating(text, (1, 3)) in {None, 1, 2, 3}
    assert read_verdict(text) in {None, "A", "B", "tie"}


@pytest.mark.parametrize(
    "piece", ["score ", "Score: ", "3 ", "(", "[[", "|", "\\boxed{", "I give it ", "for a 3 ", "-", "scale "]
)
def test_a_long_reply_of_one_piece_is_read_or_refused(piece: str) -> None:
    assert read_rating(piece * 3000, (1, 3)) in {None, 3}
    assert read_rating("Score: 3" + " " * 30_000, (1, 3)) is None


# --- verdicts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Verdict: A", "A"), ("verdict: b", "B"), ("**Verdict:** **B**", "B"), ("[[A]]", "A"), ("[[C]]", "tie"),
        ("A", "A"), ("**B**", "B"), ("It is clearer.\n\nB", "B"), ("Verdict: tie", "tie"), ("[[tie]]", "tie"),
        ('{"verdict": "A"}', "A"), ("The better is record B.", "B"), ("Winner: Record A", "A"), ("Verdict - A", "A"),
        ("Answer B", "B"), ("Verdict: A. It names both rules.", "A"), ("<think>B?</think>Verdict: A", "A"),
        ("Verdict: neither", "tie"), ("Verdict：Ａ", None), ("A or B", None), ("Verdict: A or B", None), ("", None),
        ("Verdict: A\nVerdict: B", None), ("[[A]] [[B]]", None), ("Both are fine.", None), ("A clear case.", None),
        ("Verdict: A (B lacks sources)", "A"), ("Verdict: B, because A lacks sources", "B"), ("The winner is A.", "A"),
        ("Verdict: a tie", "tie"), ("Verdict: neither A nor B", "tie"), ("<verdict>A</verdict>", "A"), ("A\nB", None),
        ("Verdict: a clear win for B", None), ("Verdict: A?", None), ("Verdict: A if B lacks one", None),
        ("[[A>B]]", None),
        ("Verdict: not A", None), ("Verdict: A/B", None), ("Verdict: D", None), ("Verdict: A, B", None),
    ],
)  # fmt: skip
def test_verdicts(reply: str, verdict: str | None) -> None:
    assert read_verdict(reply) == verdict
