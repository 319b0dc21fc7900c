from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.core.contracts import Completion
from curation.core.errors import ReplyError
from curation.core.parse import is_refusal, read_attributes, read_json, read_scores, read_variants

FIELDS = ("title", "question", "answer")
ONE = {
    "title": "Can a landlord enter?",
    "question": "He came in.\n\nMay he?",
    "answer": "Only with **notice**; see {§ 4}.",
}
TWO = {"title": "Second", "question": "Why: so?", "answer": "1. Because,\n2. so."}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": [1, 2]}\n```', {"a": [1, 2]}),
        ('Sure! As in [1], here it is:\n{"a": {"b": "}"}}\nAnything else?', {"a": {"b": "}"}}),
        ('{"a": [1, 2,], "b": "x,]",}', {"a": [1, 2], "b": "x,]"}),
        ('He said "hi, {"a": "b,}",}', {"a": "b,}"}),
        ('<think>maybe {"a": 0}?</think>\n{"a": 1}', {"a": 1}),
        ('maybe {"a": 0}?</think>{"a": 1}', {"a": 1}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ("[1, 2]", [1, 2]),
        ("the numbers [1, 2] it is", [1, 2]),
    ],
)
def test_json_is_found_among_chatter(text: str, value: Any) -> None:
    assert read_json(text) == value


@pytest.mark.parametrize(
    "text", ["", "no", "{", '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', "[" * 100_000, '{"a":' * 3000, "{'a': 1}"]
)
def test_what_is_not_json_is_an_error_with_the_text(text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        read_json(text)
    assert (caught.value.reason, caught.value.detail) == ("unreadable_reply", text)


def _tags(*variants: dict[str, str]) -> str:
    return "\n".join("".join(f"<{name}>{variant[name]}</{name}>\n" for name in FIELDS) for variant in variants)


SHAPES = {
    "object": json.dumps({"variants": [ONE, TWO]}),
    "list": json.dumps([ONE, TWO]),
    "one after another": f"{json.dumps(ONE)}\n\n{json.dumps(TWO)}",
    "fenced one by one": f"First:\n```json\n{json.dumps(ONE)}\n```\nSecond:\n```json\n{json.dumps(TWO)}\n```",
    "keys": json.dumps({"variant_1": {k.title(): v for k, v in ONE.items()}, "variant_2": TWO}),
    "tags": f"Here you are.\n{_tags(ONE, TWO)}",
    "labels": "".join(f"Title: {v['title']}\nQuestion: {v['question']}\nAnswer: {v['answer']}\n\n" for v in (ONE, TWO)),
    "bold": "\n---\n".join(
        f"### Variant {n}:\n\n**Title:** {v['title']}\n**Question**: {v['question']}\n\n**Answer:**\n{v['answer']}\n"
        for n, v in enumerate((ONE, TWO), 1)
    ),
    "bold line": "\n".join(
        f"{n}. **Title: {v['title']}**\n   Question: {v['question']}\n   Answer: {v['answer']}\n"
        for n, v in enumerate((ONE, TWO), 1)
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_variants_are_read_from_every_shape_without_losing_a_character(shape: str) -> None:
    assert read_variants(SHAPES[shape], FIELDS, 2) == [ONE, TWO]
    assert read_variants(SHAPES[shape], FIELDS, 1) == [ONE]


@pytest.mark.parametrize(
    "text",
    [
        "I would rather not.",
        json.dumps({"variants": []}),
        json.dumps({"variants": [{"title": "a", "question": "b"}]}),
        json.dumps({"variants": [{"title": "a", "question": " ", "answer": "c"}]}),
        json.dumps({"title": "a", "question": ["b"], "answer": 3}),
        "Title: a\nQuestion: b\nAnswer: as follows\nQuestion: within the answer\nAnswer: too",
        "<title>a</title><answer>b</answer><question>c</question>",
        "Question: b\nAnswer: c",
    ],
)
def test_what_holds_no_whole_variant_is_an_error_not_a_guess(text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        read_variants(text, FIELDS, 2)
    assert (caught.value.reason, caught.value.detail) == ("unreadable_reply", text)


def test_an_incomplete_variant_is_left_out_of_several() -> None:
    assert read_variants(json.dumps([ONE, {"title": "alone"}, TWO]), FIELDS, 3) == [ONE, TWO]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(str.strip).filter(bool)


def _sameness(variant: dict[str, str]) -> tuple[str, ...]:
    return tuple(" ".join(text.split()).casefold() for text in variant.values())


@given(
    st.lists(st.fixed_dictionaries(dict.fromkeys(FIELDS, TEXTS)), min_size=1, max_size=3, unique_by=_sameness), TEXTS
)
def test_any_text_survives_the_trip_through_json(variants: list[dict[str, str]], chatter: str) -> None:
    reply = json.dumps({"variants": variants})
    assert read_variants(reply, FIELDS, len(variants)) == variants
    assert read_variants(f"```json\n{reply}\n```", FIELDS, len(variants)) == variants


@given(st.text(alphabet='{}[]",:\\ \n-*#Title:Answr0123456789.NaI<>/', max_size=300))
def test_no_reply_breaks_the_readers(text: str) -> None:
    for read in (read_json, lambda reply: read_variants(reply, ("title", "answer"), 2), read_attributes):
        with contextlib.suppress(ReplyError):
            read(text)


@pytest.mark.parametrize(
    ("text", "scores"),
    [
        ("helpfulness:1.6,correctness:2", {"helpfulness": 1.6, "correctness": 2.0}),
        ("reward:-3.5", {"reward": -3.5}),
        ("Helpfulness: 1.6\n- **Verbosity**: 2e-1\n", {"helpfulness": 1.6, "verbosity": 0.2}),
        ('{"helpfulness": 4, "verbosity": 0.5}', {"helpfulness": 4.0, "verbosity": 0.5}),
    ],
)
def test_attributes_are_read(text: str, scores: dict[str, float]) -> None:
    assert read_attributes(text) == scores


@pytest.mark.parametrize(
    "text",
    [
        "",
        "good",
        "helpfulness: high",
        "reward:nan",
        "reward:inf",
        "reward:1e999",
        "reward:1.",
        "reward: 4/5",
        "reward:1.2.3",
        "The reward is: 3",
        "reward:1, reward:2",
        "helpfulness:1, and correctness is fine",
    ],
)
def test_no_number_is_made_of_what_is_none(text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        read_attributes(text)
    assert caught.value.detail == text


FIVE = (("helpfulness", 4.0), ("correctness", 3.9), ("coherence", 4.1), ("complexity", 0.5), ("verbosity", 0.4))


def test_scores_come_from_log_probabilities_or_from_the_text() -> None:
    assert read_scores(Completion(("",), logprobs=FIVE)) == dict(FIVE)
    assert read_scores(Completion((",".join(f"{name}:{n}" for name, n in FIVE),))) == dict(FIVE)
    assert read_scores(Completion(("reward:-3.5",), logprobs=(("rew", -0.1), ("ard", -0.2)))) == {"reward": -3.5}


@pytest.mark.parametrize(
    "completion",
    [
        Completion(("Nice.",), logprobs=(("Nice", -0.1), (".", -0.2))),
        Completion(("",), logprobs=FIVE[:4]),
        Completion(("",), logprobs=(*FIVE, ("helpfulness", 1.0))),
        Completion(("",), logprobs=(*FIVE[:4], ("verbosity", float("nan")))),
        Completion(("helpfulness:1,reward:2",)),
    ],
)
def test_scores_that_are_not_whole_are_unreadable(completion: Completion) -> None:
    with pytest.raises(ReplyError) as caught:
        read_scores(completion)
    assert (caught.value.reason, caught.value.detail) == ("unreadable_score", completion.text)


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot assist.", True),
        ("<think>hm</think> As an AI, I …", True),
        ('{"variants": []}', False),
        ("The tenant said: I'm sorry.", False),
    ],
)
def test_refusals_are_told_by_their_beginning(text: str, refuses: bool) -> None:
    assert is_refusal(text) is refuses
