from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from curation.core.contracts import Completion, Message, Usage
from curation.core.errors import InputError, RequestError
from curation.core.parse import REWARD_ATTRIBUTES, read_scores, read_variants
from curation.engine.journal import Journal, Journaled
from curation.models.scripted import Scripted


def say(text: str) -> list[Message]:
    return [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]


def ask(model: Scripted, messages: list[Message], **sampling: Any) -> Completion:
    return asyncio.run(model.chat(messages, **sampling))


RULES: list[dict[str, Any]] = [
    {"match": r"my (?P<what>\w+) is\s+broken", "reply": "Mend the $what for $5 {really}."},
    {"match": "pick", "replies": ["a", "b", "c"]},
    {"match": "long", "reply": "cut", "finish_reason": "length"},
    {"match": "score", "scores": {"reward": -3.5}},
]


def test_the_first_rule_that_matches_answers() -> None:
    model = Scripted(RULES)
    completion = ask(model, say("my roof is\nbroken, pick one"))
    assert completion == Completion(("Mend the roof for $5 {really}.",), "stop", Usage(8, 7), model="scripted")
    assert ask(model, say("long")).finish_reason == "length"
    assert read_scores(ask(model, say("score"))) == {"reward": -3.5}


def test_one_of_several_replies_is_picked_by_the_request_alone() -> None:
    model = Scripted(RULES, name="other")
    replies = [ask(model, say(f"pick {number}")).text for number in range(30)]
    assert set(replies) == {"a", "b", "c"}
    assert [ask(pickle.loads(pickle.dumps(model)), say(f"pick {number}")).text for number in range(30)] == replies
    assert len({ask(model, say("pick"), seed=seed).text for seed in range(30)}) == 3
    assert set(ask(model, say("pick"), n=30).texts) == {"a", "b", "c"}


def test_what_no_rule_covers_fails_or_gets_the_default() -> None:
    with pytest.raises(RequestError, match="unscripted_request: hello"):
        ask(Scripted(RULES), say("hello"))
    assert ask(Scripted(RULES, default="ok"), say("hello")).text == "ok"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"match": "("}, "needs 'match', and 'reply'"),
        ({"reply": "x"}, "needs 'match'"),
        ({"match": "(", "reply": "x"}, "no regular expression"),
        ({"match": "a", "reply": "x", "replys": "y"}, "no 'replys'"),
    ],
)
def test_a_faulty_rule_is_named(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scripted([rule])


def test_a_file_is_replayed_by_conversation_or_by_prompt(tmp_path: Path) -> None:
    file = tmp_path / "script.jsonl"
    lines: list[dict[str, Any]] = [
        {"messages": say("one"), "reply": "1", "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
        {"prompt": "two", "reply": "2", "finish_reason": "length", "logprobs": [["reward", -1.0]]},
    ]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    model = Scripted(file=str(file))
    assert ask(model, say("one")) == Completion(("1",), "stop", Usage(9, 1), model="scripted")
    two = ask(model, [{"role": "user", "content": "two"}])
    assert (two.text, two.finish_reason, two.logprobs) == ("2", "length", (("reward", -1.0),))
    with pytest.raises(RequestError, match="unscripted_request"):
        ask(model, [{"role": "user", "content": "one"}])


def test_a_journal_can_be_replayed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    first = ask_journaled(Journaled(Scripted(RULES), journal), say("my car is broken"))
    journal.close()
    (segment,) = tmp_path.glob("*.jsonl")
    assert ask(Scripted(file=str(segment)), say("my car is broken")) == first


def ask_journaled(model: Journaled, messages: list[Message]) -> Completion:
    return asyncio.run(model.chat(messages))


@pytest.mark.parametrize("line", ["{", '{"reply": "x"}', '{"prompt": "x"}', "[]", '{"prompt": "a", "completion": {}}'])
def test_a_faulty_file_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    file = tmp_path / "script.jsonl"
    file.write_text('{"prompt": "a", "reply": "b"}\n' + line)
    with pytest.raises(InputError, match=r"script\.jsonl, line 2"):
        Scripted(file=str(file))
    with pytest.raises(InputError, match="can't be read"):
        Scripted(file=str(tmp_path / "none.jsonl"))


def test_without_a_script_it_rewords_what_a_schema_asks_for() -> None:
    fields = ["title", "answer"]
    array = {"items": {"properties": {name: {"type": "string"} for name in fields}}, "minItems": 3}
    schema = {"type": "json_schema", "json_schema": {"schema": {"properties": {"variants": array}}}}
    parent = {"title": "May a landlord enter?", "answer": "Only if the contract allows it. {braces} stay."}
    prompt = 'Reply as {"variants": [{"title": "…"}]}.\n' + json.dumps(parent)
    reply = ask(Scripted(), say(prompt), response_format=schema, seed=1)
    variants = read_variants(reply.text, fields, 3)
    assert len({variant["answer"] for variant in variants}) == 3
    assert all(variant["answer"] != parent["answer"] and "{braces} stay." in variant["answer"] for variant in variants)
    assert reply == ask(Scripted(), say(prompt), response_format=schema, seed=1)
    assert reply != ask(Scripted(), say(prompt), response_format=schema, seed=2)


def test_without_a_script_it_scores_a_finished_conversation() -> None:
    talks: list[list[Message]] = [[*say("q"), {"role": "assistant", "content": f"answer {n}"}] for n in range(20)]
    scores = [read_scores(ask(Scripted(), talk)) for talk in talks]
    assert set(scores[0]) == set(REWARD_ATTRIBUTES)
    assert len({one["helpfulness"] for one in scores}) == 20
    assert all(0 <= number <= 4 for one in scores for number in one.values())
    assert "script" in ask(Scripted(), say("hello")).text
