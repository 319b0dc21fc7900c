"""Replies as models really write them: what must be read of each, what must be refused, and at what cost."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from curation.core.errors import ReplyError
from curation.core.parse import is_refusal, looks_cut, read_attributes, read_json, read_list, read_variants
from tests.shared_data import shared_data

REPLIES = yaml.safe_load(Path(__file__).with_name("awkward_replies.yaml").read_text(encoding="utf-8"))
FIELDS = ("question", "answer")


def cases(kind: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", REPLIES[kind], ids=[case["why"] for case in REPLIES[kind]])


def check(case: dict[str, Any], read: Callable[[str], Any]) -> None:
    if "read" in case:
        assert read(case["reply"]) == case["read"]
        return
    with pytest.raises(ReplyError) as caught:
        read(case["reply"])
    assert (caught.value.reason, caught.value.detail) == (case["refused"], case["reply"])


@cases("lists")
def test_awkward_lists(case: dict[str, Any]) -> None:
    check(case, lambda reply: read_list(reply, titles_only=case.get("titles_only", False)))


@cases("variants")
def test_awkward_variants(case: dict[str, Any]) -> None:
    check(case, lambda reply: read_variants(reply, FIELDS, 3))


@cases("cut")
def test_what_looks_cut(case: dict[str, Any]) -> None:
    assert looks_cut(case["reply"]) is case["cut"]


def test_no_more_items_than_asked_for_and_fewer_are_no_error() -> None:
    reply = "1. Images\n2. images\n3. Volumes\n4. Networks"
    assert read_list(reply, 2) == ["Images", "Volumes"]
    assert read_list(reply, 9) == ["Images", "Volumes", "Networks"]
    assert read_list('["Images", "Volumes"]', 1) == ["Images"]


# --- any list in any style ------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["docker", "run", "Image", "über", "网络", "C++", "what's", "--rm", "don't", "e.g.", "`docker ps`", "42", "a*b"]
)
SENTENCES = st.lists(WORDS, min_size=1, max_size=8).map(lambda words: f"How {' '.join(words)}?")
ITEMS = st.lists(SENTENCES, min_size=2, max_size=12, unique_by=str.casefold)
NUMBERED = ("{n}. ", "{n}) ", "({n}) ", "{n}.) ", "{n} - ", "{n} – ", "{n}: ", "#{n} ", "**{n}.** ", "### {n}. ")
WORDED = ("Question {n}: ", "**Question {n}:** ", "Q{n}. ", "Topic #{n}) ", "- Question {n}: ", "- {n}. ")
BULLETED = ("- ", "* ", "+ ", "• ", "– ", "- [ ] ", "  - ")
AROUND = ("{}", "**{}**", '"{}"', "“{}”")
CHATTER = st.sampled_from(["", "Sure! Here are the questions:\n\n", "Of course.\n", "<think>1. no</think>\n"])
FAREWELL = st.sampled_from(["", "\n\nLet me know if you need more!", "\nI hope these help.", "\n\nThat is all."])


@given(ITEMS, st.sampled_from(NUMBERED + WORDED + BULLETED), st.sampled_from(AROUND), CHATTER, FAREWELL, st.booleans())
def test_a_list_of_any_style_gives_its_items_back(
    items: list[str], marker: str, around: str, chatter: str, farewell: str, is_airy: bool
) -> None:
    lines = [marker.format(n=n) + around.format(item) for n, item in enumerate(items, 1)]
    listed = ("\n\n" if is_airy else "\n").join(lines)
    assert read_list(chatter + listed + farewell) == items
    assert read_list(f"{chatter}```\n{listed}\n```{farewell}") == items


@given(ITEMS, CHATTER, FAREWELL, st.sampled_from([None, 1, "\t"]))
def test_a_list_in_json_gives_its_items_back(
    items: list[str], chatter: str, farewell: str, indent: int | str | None
) -> None:
    for value in (items, {"questions": items}, [{"id": n, "question": item} for n, item in enumerate(items)]):
        reply = json.dumps(value, indent=indent)
        assert read_list(chatter + reply + farewell) == items
        assert read_list(f"{chatter}```json\n{reply}\n```{farewell}") == items


@given(ITEMS)
def test_plain_lines_give_their_items_back(items: list[str]) -> None:
    assert read_list("The questions:\n" + "\n".join(items)) == items


@given(ITEMS, st.integers(0, 400))
def test_of_json_that_is_cut_the_beginning_is_read_and_nothing_else(items: list[str], length: int) -> None:
    whole = json.dumps({"questions": items})
    reply = whole[: min(length, len(whole) - 1)]
    assert looks_cut(reply) is (len(reply) > 1)
    with contextlib.suppress(ReplyError):
        found = read_list(reply)
        assert found == items[: len(found)]


# --- any text at all ------------------------------------------------------------------------------------------------

READERS: tuple[Callable[[str], Any], ...] = (
    read_json,
    read_list,
    lambda text: read_list(text, 3, titles_only=True),
    lambda text: read_variants(text, FIELDS, 3),
    read_attributes,
    looks_cut,
    is_refusal,
)
# fmt: off
PIECES = st.sampled_from([
    "1. ", "2) ", "- ", "* ", "**", "`", "```", "```json", "~~~", "\n", "\n\n", "  ", ":", '"', "'", "{", "}", "[", "]",
    "question", "answer", "<answer>", "</answer>", "<think>", "</think>", "&quot;", "\\", ",", "a", "Ü", ".", "---",
    "Original:\n", "Final version:\n", "I'm sorry, I can't", "i. ", "(a) ", "### ", "|", "0", "1️⃣", "\r", "\0",
])
# fmt: on


@given(st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=80))
def test_no_reply_raises_anything_but_its_own_error(text: str) -> None:
    for read in READERS:
        with contextlib.suppress(ReplyError):
            read(text)


# fmt: off
UNITS = [
    "(", "[", "{", "*", "**", "`", "```\n", '"', '\\"', '["', '{"a":', "[1,", "[1,],", '{"a":1,}', '["a",', "{'", "a_",
    "1.", "1. ", "\n- ", "\n1. a", "A. a\n", "**a** ", "\n**a**\n", "a:\n", "\n\na", " ", "\t", "#", "|", "- ", "> ",
    "<answer>", "<think>", "</think>", "question:\n", "\n**question:** a", "&quot;{", "i'm sorry ", '{"question":"a",',
]
# fmt: on


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("beginning", ["", "The items:\n"])
def test_long_replies_of_one_thing_are_read_or_refused_in_their_time(beginning: str, unit: str) -> None:
    """One that goes over the reply again for each of its characters is seen by its slowness."""
    text = beginning + unit * (20_000 // len(unit))
    for read in READERS:
        with contextlib.suppress(ReplyError):
            read(text)


@pytest.mark.parametrize("depth", [300, 600, 900, 5000])
def test_deep_json_is_read_or_refused(depth: int) -> None:
    inner = '{"question": "a?", "answer": "b"}'
    for reply in ('{"a":' * depth + inner + "}" * depth, "[" * depth + inner + "]" * depth):
        for read in READERS:
            with contextlib.suppress(ReplyError):
                read(reply)
    assert read_variants("[" * 300 + inner + "]" * 300, FIELDS, 3) == [{"question": "a?", "answer": "b"}]


# --- real replies ---------------------------------------------------------------------------------------------------


def real_rows() -> list[dict[str, str]]:
    lines = (shared_data() / "docker_commands" / "raw.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_real_answers_survive_every_form_of_reply() -> None:
    rows = [{"question": row["instruction"].strip(), "answer": row["response"].strip()} for row in real_rows()]
    assert len(rows) == 482
    for row in rows:
        tags = "".join(f"<{name}>\n{text}\n</{name}>\n" for name, text in row.items())
        labels = "".join(f"**{name.title()}:** {text}\n\n" for name, text in row.items())
        forms = [
            json.dumps(row),
            f"Sure!\n```json\n{json.dumps({'variants': [row]}, indent=1)}\n```\nEnjoy!",
            repr(row),
        ]
        for reply in (*forms, tags, labels):
            assert read_variants(reply, FIELDS, 1) == [row]


@pytest.mark.slow
def test_real_questions_are_read_from_a_list() -> None:
    questions = [row["instruction"].strip() for row in real_rows()]
    firsts: dict[str, str] = {}
    for question in questions:
        firsts.setdefault(" ".join(question.split()).casefold().rstrip(".?"), question)
    distinct = list(firsts.values())
    assert len(distinct) < len(questions)
    for reply in ("\n".join(f"{n}. {text}" for n, text in enumerate(questions, 1)), json.dumps(questions)):
        assert read_list(reply) == distinct
        assert read_list(reply, 5) == distinct[:5]


@pytest.mark.slow
def test_real_answers_are_no_refusals_and_the_one_that_is_cut_looks_so() -> None:
    answers = [row["response"] for row in real_rows()]
    assert not any(map(is_refusal, answers))
    cut = [text for text in answers if looks_cut(text)]
    assert [text.count("```") % 2 for text in cut] == [1]
    halves = [text[: len(text) // 2].rsplit(" ", 1)[0] for text in answers]
    assert sum(map(looks_cut, halves)) > len(halves) / 2


@pytest.mark.slow
def test_the_steps_of_real_answers_are_items() -> None:
    """Numbered steps at the margin, outside of code; most of the answers have some."""
    read = 0
    for row in real_rows():
        prose = re.sub(r"^```.*?^```", "", row["response"], flags=re.DOTALL | re.MULTILINE)
        steps = [step.replace("**", "").strip() for step in re.findall(r"^\d+\. (.+)", prose, re.MULTILINE)]
        items = [item.partition("\n")[0] for item in read_list(row["response"])] if steps else []
        assert [item for item in items if item in steps] == list(dict.fromkeys(steps))
        read += bool(steps)
    assert read > 150
