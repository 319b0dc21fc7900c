"""From a topic to questions and responses: what is asked, what is dropped and asked for again, what stays missing."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.errors import EndpointError, RecordError, RequestError
from curation.core.pairs import normalize
from curation.core.records import DETAIL, REASON, Record, child, human, seed, to_json
from curation.estimate import Counting
from curation.generators.open_qa import OpenQa
from tests.core.tiny_encoder import write_tiny_encoder
from tests.mock_endpoint import MockEndpoint, error, reply
from tests.shared_data import shared_data

TOPIC = seed("topic-1", extra=to_json({"topic": "Law, of $tenancy {0}"}), group_id="topic-1", split="train")
EXACT: dict[str, Any] = {"question_threshold": None, "subtopic_threshold": None}


class Teacher(ChatModel):
    """Answers by what is asked for, late replies first, and keeps what it was asked.

    Args:
        lists: for each list, by its subtopic (or `""` for the subtopics), the replies in turn; the last one stays.
        respond: the response to a question.
    """

    name = "teacher"

    def __init__(
        self, lists: dict[str, list[Sequence[str] | str]], respond: Callable[[str], str] = lambda question: "Yes."
    ) -> None:
        self.lists = {name: list(replies) for name, replies in lists.items()}
        self.respond = respond
        self.asked: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.questions: list[tuple[str, dict[str, Any]]] = []

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        (message,) = messages
        found = re.search(r'\{\n "topic".*\}\Z', message["content"], re.DOTALL)
        if not found:
            self.questions.append((message["content"], sampling))
            return Completion((self.respond(message["content"]),))
        material = json.loads(found[0])
        self.asked.append((material, sampling))
        name = material.get("subtopic", "")
        await asyncio.sleep(0.01 if name == "A" else 0)
        replies = self.lists[name]
        text = replies.pop(0) if len(replies) > 1 else replies[0]
        return Completion((text if isinstance(text, str) else json.dumps({"items": text}),))


def expand(generator: OpenQa, model: ChatModel, record: Record = TOPIC) -> list[Record]:
    return asyncio.run(generator.expand(record, model))


def questions(drafts: Sequence[Record]) -> list[tuple[str, str]]:
    """Subtopic and question of each draft that is none for the ledger."""
    return [
        (orjson.loads(draft["extra"])["subtopic"], draft["question"]) for draft in drafts if draft.get(REASON) is None
    ]


def reasons(drafts: Sequence[Record]) -> list[str | None]:
    return [draft.get(REASON) for draft in drafts]


def test_a_draft_for_each_question_of_each_subtopic() -> None:
    generator = OpenQa(2, 2, **EXACT)
    model = Teacher(
        {"": [["A", "B, too"]], "A": [["a1?", "a2?"]], "B, too": [["b1?", "b2?"]]}, lambda text: f"R {text}"
    )
    drafts = expand(generator, model)
    assert drafts[2] == {
        "title": None,
        "question": "b1?",
        "answer": "R b1?",
        "context": None,
        "strategy": "open_qa",
        "model": "teacher",
        "prompt_id": generator.prompt_id,
        "tags": "B too,Law of $tenancy {0}",
        "extra": to_json({"topic": "Law, of $tenancy {0}", "subtopic": "B, too"}),
    }
    assert [draft["question"] for draft in drafts] == ["a1?", "a2?", "b1?", "b2?"]
    assert generator.variants == len(drafts)
    row = child(TOPIC, 2, 1, drafts[2])
    assert (row["origin"], row["parent_id"], row["split"]) == ("synthetic", "topic-1", "train")


def test_what_is_asked_names_the_material_and_how_much_is_missing() -> None:
    model = Teacher({"": [["A", "B"]], "A": [["a1?"], ["a2?"]], "B": [["b1?", "b2?"]]})
    expand(OpenQa(2, 2, **EXACT), model)
    topic = "Law, of $tenancy {0}"
    assert [material for material, _ in model.asked] == [
        {"topic": topic, "already_there": []},
        {"topic": topic, "subtopic": "A", "already_there": []},
        {"topic": topic, "subtopic": "B", "already_there": []},
        {"topic": topic, "subtopic": "A", "already_there": ["a1?"]},
    ]
    formats = [
        sampling["response_format"]["json_schema"]["schema"]["properties"]["items"] for _, sampling in model.asked
    ]
    assert [(array["minItems"], array["maxItems"]) for array in formats] == [(2, 2)] * 3 + [(1, 1)]
    assert "response_format" not in model.questions[0][1]


def test_each_request_has_a_seed_of_its_own() -> None:
    def seeds(generator: OpenQa, record: Record = TOPIC) -> list[int]:
        model = Teacher({"": [["A", "B"]], "A": [["a1?"], ["a2?"]], "B": [["b1?", "b2?"]]})
        expand(generator, model, record)
        return sorted(sampling["seed"] for _, sampling in [*model.asked, *model.questions])

    first = seeds(OpenQa(2, 2, **EXACT))
    assert first == seeds(OpenQa(2, 2, **EXACT))
    assert all(0 <= number < 2**31 for number in first)
    others = [
        seeds(OpenQa(2, 2, seed=1, **EXACT)),
        seeds(OpenQa(2, 2, **EXACT), {**TOPIC, "_round": 2}),
        seeds(OpenQa(2, 2, **EXACT), {**TOPIC, "id": "topic-2"}),
    ]
    assert len({number for numbers in (first, *others) for number in numbers}) == 4 * 8


def test_repeats_are_dropped_and_others_are_asked_for() -> None:
    lists: dict[str, list[Sequence[str] | str]] = {
        "": [["A", "a", "B"]],
        "A": [["Is it so?", "is it  so"], ["One more?"]],
        "B": [["IS IT SO", "b1?"], ["b2?"]],
    }
    model = Teacher(lists)
    drafts = expand(OpenQa(2, 2, **EXACT), model)
    assert questions(drafts) == [("A", "Is it so?"), ("A", "One more?"), ("B", "b1?"), ("B", "b2?")]
    # What another list holds must not come again either.
    assert model.asked[-1][0]["already_there"] == ["b1?", "IS IT SO"]


def test_who_repeats_whom_does_not_depend_on_which_reply_comes_first() -> None:
    # The reply for A comes last; yet its question stays, for A is the first subtopic.
    model = Teacher({"": [["A", "B"]], "A": [["Same?"]], "B": [["Same?"], ["Other?"]]})
    assert questions(expand(OpenQa(2, 1, **EXACT), model)) == [("A", "Same?"), ("B", "Other?")]


def test_surplus_is_neither_taken_nor_remembered() -> None:
    model = Teacher({"": [["A", "B", "C"]], "A": [["x?", "y?"]], "B": [["y?"]]})
    assert questions(expand(OpenQa(2, 1, **EXACT), model)) == [("A", "x?"), ("B", "y?")]


def test_what_stays_missing_is_for_the_ledger() -> None:
    model = Teacher({"": [["A"]], "A": [["a1?", "a2?"]]})
    drafts = expand(OpenQa(2, 3, max_calls=4, **EXACT), model)
    assert reasons(drafts) == [None, None, *["missing_variant"] * 4]
    assert [material.get("subtopic") for material, _ in model.asked] == [None] * 4 + ["A"] * 4
    assert drafts[2][DETAIL] == json.dumps({"items": ["a1?", "a2?"]})
    assert drafts[2]["tags"] == "A,Law of $tenancy {0}"
    assert drafts[5]["tags"] == "Law of $tenancy {0}"
    assert drafts[5]["question"] is None
    assert child(TOPIC, 5, 1, drafts[5])["answer"] is None


def test_an_unreadable_list_is_asked_for_again_and_a_refusal_is_not() -> None:
    refusal = "I'm sorry, but I can't help with that."
    model = Teacher({"": ["Hm.", ["A", "B"]], "A": [refusal], "B": ["Hm."]})
    drafts = expand(OpenQa(2, 1, max_calls=2, **EXACT), model)
    assert [(draft[REASON], draft[DETAIL]) for draft in drafts] == [("refusal", refusal), ("unreadable_reply", "Hm.")]
    assert [material.get("subtopic") for material, _ in model.asked] == [None, None, "A", "B", "B"]


def test_a_response_without_its_thoughts_and_none_that_is_blank_or_declines() -> None:
    replies = {
        "one?": "<think>Well…</think>\n Because $x {0}.\n",
        "two?": "<think>Well…</think>",
        "three?": "I'm sorry, but I can't help with that.",
    }
    drafts = expand(OpenQa(1, 3, **EXACT), Teacher({"": [["A"]], "A": [list(replies)]}, replies.__getitem__))
    assert drafts[0]["answer"] == "Because $x {0}."
    assert [(draft[REASON], draft["answer"], draft["question"]) for draft in drafts[1:]] == [
        ("unreadable_reply", None, "two?"),
        ("refusal", None, "three?"),
    ]


class Refuses(Teacher):
    """Fails where the list or the question has this name."""

    def __init__(self, name: str, fault: Exception, lists: dict[str, list[Sequence[str] | str]]) -> None:
        super().__init__(lists)
        self.at = name
        self.fault = fault

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        content = messages[-1]["content"]
        if content == self.at or f'"subtopic": "{self.at}"' in content or (not self.at and '"subtopic"' not in content):
            raise self.fault
        return await super().chat(messages, **sampling)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", ["budget_spent"] * 4),
        ("A", ["budget_spent", "budget_spent", None, None]),
        ("b1?", [None, None, "budget_spent", None]),
    ],
)
def test_a_request_that_fails_loses_only_what_hangs_on_it(where: str, expected: list[str | None]) -> None:
    fault = RequestError("budget_spent", "no more")
    model = Refuses(where, fault, {"": [["A", "B"]], "A": [["a1?", "a2?"]], "B": [["b1?", "b2?"]]})
    drafts = expand(OpenQa(2, 2, **EXACT), model)
    assert reasons(drafts) == expected
    assert {draft[DETAIL] for draft in drafts if REASON in draft} == {"no more"}


def test_an_endpoint_that_refuses_everything_ends_the_run() -> None:
    with pytest.raises(EndpointError):
        expand(OpenQa(1, 1, **EXACT), Refuses("a1?", EndpointError("wrong key"), {"": [["A"]], "A": [["a1?"]]}))


def test_what_no_record_may_hold_is_no_item() -> None:
    model = Teacher({"": ['{"items": ["\\ud800", "A\\u0000", "A"]}'], "A": [["a?"]]})
    assert questions(expand(OpenQa(1, 1, **EXACT), model)) == [("A", "a?")]


@pytest.mark.parametrize("extra", ["{}", None, '{"topic": " "}', '{"topic": 7}'])
def test_a_record_without_a_topic_is_no_parent(extra: str | None) -> None:
    with pytest.raises(RecordError, match="no_topic"):
        expand(OpenQa(**EXACT), Teacher({}), human("law-1", question="May he?", extra=extra))


@pytest.mark.parametrize(
    "wrong",
    [
        {"subtopics": 0},
        {"questions_per_subtopic": 0},
        {"max_calls": 0},
        {"question_threshold": 0.0},
        {"subtopic_threshold": 1.1},
    ],
)
def test_numbers_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OpenQa(**wrong)


def test_it_pickles_and_the_encoder_is_not_loaded_before_it_is_needed(tmp_path: Path) -> None:
    generator = pickle.loads(pickle.dumps(OpenQa(1, 1, encoder=str(tmp_path / "none"), **EXACT)))
    assert isinstance(generator, OpenQa)
    assert len(expand(generator, Teacher({"": [["A"]], "A": [["a?"]]}))) == 1


def test_texts_that_mean_the_same_repeat_each_other(tmp_path: Path) -> None:
    """Random weights: which texts are near follows from the threshold alone."""
    encoder = str(write_tiny_encoder(tmp_path))
    lists: dict[str, list[Sequence[str] | str]] = {"": [["A"]], "A": [["How is it?", "May I?", "Must I?"]]}
    none = OpenQa(1, 3, encoder=encoder, question_threshold=1.0, max_calls=1)
    all_of_them = OpenQa(1, 3, encoder=encoder, question_threshold=1e-6, max_calls=1)
    assert reasons(expand(none, Teacher(lists))) == [None] * 3
    assert reasons(expand(all_of_them, Teacher(lists))) == [None, "missing_variant", "missing_variant"]


@pytest.mark.slow
def test_the_default_thresholds_tell_other_names_from_other_things() -> None:
    lists: dict[str, list[Sequence[str] | str]] = {
        "": [["Images", "Docker images", "Networks", "Networking", "Containers"]],
        "Images": [
            [
                "How do I pull a Docker image from Docker Hub?",
                "How do I push a Docker image to Docker Hub?",
                "How can I pull a Docker image from Docker Hub?",
            ]
        ],
        "Networks": [["How do I list Docker networks?"]],
        "Containers": [["How do I list Docker containers?"]],
    }
    record = {**TOPIC, "extra": to_json({"topic": "Docker commands"})}
    drafts = expand(OpenQa(5, 3, max_calls=1), Teacher(lists), record)
    assert questions(drafts) == [
        ("Images", "How do I pull a Docker image from Docker Hub?"),
        ("Images", "How do I push a Docker image to Docker Hub?"),
        ("Networks", "How do I list Docker networks?"),
        ("Containers", "How do I list Docker containers?"),
    ]


def test_a_rehearsal_asks_as_often_as_the_run_at_best() -> None:
    counting = Counting()
    drafts = asyncio.run(OpenQa(3, 4, max_tokens=100).rehearse(TOPIC, counting))
    assert counting.requests == 1 + 3 + 12
    assert len(drafts) == 12
    assert len(drafts[0]["answer"]) == 400


def test_over_http_a_failing_response_is_the_only_one_that_is_lost() -> None:
    from curation.engine.guard import Guard
    from curation.models.openai_compatible import OpenaiCompatible

    def answer(request: dict[str, Any]) -> Any:
        text = request["messages"][-1]["content"]
        if text == "b?":
            return error(400, "too long")
        if '"subtopic"' in text:
            return reply("1. a?\n2. b?\n3. c?\n")
        return reply('{"items": ["A"]}') if '"topic"' in text else reply("Yes.")

    async def run(model: ChatModel) -> list[Record]:
        try:
            return await OpenQa(1, 3, **EXACT).expand(TOPIC, model)
        finally:
            await model.close()

    with MockEndpoint() as server:
        server.default = answer
        drafts = asyncio.run(run(Guard(OpenaiCompatible("teacher", server.url), base_delay=0.001)))
    assert [draft["answer"] for draft in drafts if REASON not in draft] == ["Yes.", "Yes."]
    assert reasons(drafts)[1] is not None


@pytest.mark.slow
def test_a_real_run_replayed_reads_every_response() -> None:
    """482 rows that a teacher wrote on five subtopics; seven of its instructions repeat an earlier one."""
    lines = (shared_data() / "docker_commands" / "raw.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [orjson.loads(line) for line in lines]
    first: dict[str, dict[str, str]] = {}
    again = [row for row in rows if first.setdefault(normalize(row["instruction"]), row) is not row]
    assert (len(rows), len(again)) == (482, 7)

    def replayed(part: Sequence[dict[str, str]], wanted: int) -> list[Record]:
        """Five subtopics of as many rows, each as a list with what it holds and what it repeats."""
        responses: dict[str, str] = {}
        for row in part:
            responses.setdefault(row["instruction"], row["response"])
        names = ["Images", "Containers", "Volumes", "Networking", "Security"]
        lists: dict[str, list[Sequence[str] | str]] = {"": [names]}
        size = -(-len(part) // len(names))
        for number, name in enumerate(names):
            texts = [row["instruction"] for row in part[number * size : (number + 1) * size]]
            numbered = "\n".join(f"{place}. {text}" for place, text in enumerate(texts, 1))
            lists[name] = [f"Here are the questions:\n\n{numbered}", "Nothing else comes to my mind."]
        generator = OpenQa(5, wanted, max_calls=2, **EXACT)
        drafts = expand(generator, Teacher(lists, responses.__getitem__))
        for draft in drafts:
            assert REASON in draft or draft["answer"] == responses[draft["question"]].strip()
        return drafts

    drafts = replayed(rows, 97)
    assert reasons(drafts).count(None) == 475
    assert reasons(drafts).count("missing_variant") == 10  # three that nobody wrote, and the seven
    repeats = replayed(again, 2)
    assert reasons(repeats).count(None) == 7
