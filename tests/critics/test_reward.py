from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from curation.core.contracts import ChatModel, Completion, Message, Scores
from curation.core.errors import ReplyError
from curation.core.records import Record, human
from curation.core.rules import Rule
from curation.critics.reward import Reward
from curation.engine.guard import Guard
from curation.models.openai_compatible import OpenaiCompatible
from tests.mock_endpoint import Answer, MockEndpoint, reply
from tests.shared_data import shared_data

RECORD = human("a", title="Entry?", question="May he enter?", answer="Not without notice.")
FIVE = {"helpfulness": 1.2, "correctness": 1.5, "coherence": 3.0, "complexity": 0.5, "verbosity": 0.4}
TEXT = ",".join(f"{name}:{number}" for name, number in FIVE.items())


class Says(ChatModel):
    name = "judge"

    def __init__(self, completion: Completion) -> None:
        self.completion = completion
        self.asked: list[Sequence[Message]] = []

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.asked.append(messages)
        return self.completion


def judge_over_http(answer: Answer, record: Record = RECORD) -> tuple[Scores, dict[str, Any]]:
    """What the critic makes of an endpoint's answer, and the request."""

    async def run(model: ChatModel) -> Scores:
        try:
            return await Reward().judge(record, None, model)
        finally:
            await model.close()

    with MockEndpoint() as server:
        server.default = lambda _: answer
        scores = asyncio.run(run(Guard(OpenaiCompatible("judge", server.url), base_delay=0.001)))
        return scores, server.requests[0]


def test_the_record_is_shown_as_a_conversation() -> None:
    model = Says(Completion((TEXT,)))
    asyncio.run(Reward().judge(RECORD, None, model))
    asyncio.run(Reward().judge({**RECORD, "title": None}, None, model))
    assert model.asked[0] == [
        {"role": "user", "content": "Entry?\n\nMay he enter?"},
        {"role": "assistant", "content": "Not without notice."},
    ]
    assert model.asked[1][0]["content"] == "May he enter?"


@pytest.mark.parametrize(
    ("answer", "scores"),
    [
        (reply(TEXT, finish_reason="length", logprobs=FIVE, as_list=True), FIVE),
        (reply("", logprobs=FIVE), FIVE),
        (reply(TEXT, finish_reason="length"), FIVE),
        (reply("reward:-3.5", logprobs={"reward": -3.5}), {"reward": -3.5}),
        (reply("reward:-3.5"), {"reward": -3.5}),
    ],
)
def test_every_form_of_reply_is_read_through_guard_and_http(answer: Answer, scores: dict[str, float]) -> None:
    assert judge_over_http(answer)[0] == scores


@pytest.mark.parametrize("text", ["This is helpful.", "helpfulness:3", "reward:nan", "Rating: 4/5"])
def test_what_is_no_score_is_never_a_number(text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        judge_over_http(reply(text))
    assert (caught.value.reason, caught.value.detail) == ("unreadable_score", text)


def test_a_real_reply_of_the_hosted_model() -> None:
    recorded = json.loads((shared_data() / "docker_commands" / "reward_example.json").read_text())
    (question, answer) = (message["content"] for message in recorded["messages"])
    recorded["choices"][0]["message"] = {"role": "assistant", "content": ""}
    record = human("b", question=question, answer=answer)
    scores, request = judge_over_http(Answer(body=json.dumps(recorded).encode()), record)
    assert scores["helpfulness"] == 4.0625
    assert scores["verbosity"] == 0.443359375
    assert len(scores) == 5
    assert request["messages"] == recorded["messages"]
    assert Rule.parse("helpfulness < 3 or verbosity > 2.5").failing(scores) is None


def test_the_grade_is_never_rounded_towards_a_threshold() -> None:
    assert Reward().grade(FIVE) == pytest.approx(-0.8)
    assert Reward().grade({"helpfulness": 4.0}) == 2.0
    assert Reward().grade({"reward": -3.5}) == 0.0
