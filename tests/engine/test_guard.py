from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import pytest

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.endpoints import RetryableError
from curation.core.errors import EndpointError, RequestError
from curation.engine.guard import Guard
from curation.engine.pool import Allowance
from curation.engine.share import Share
from curation.engine.spending import Tally
from curation.models.openai_compatible import OpenaiCompatible
from tests.mock_endpoint import DROP, HANG, Answer, MockEndpoint, Request, error, reply

FIVE = {"helpfulness": 1.6, "correctness": 1.5, "coherence": 3.0, "complexity": 0.5, "verbosity": 0.4}


def say(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def ask_all(model: ChatModel, count: int) -> list[Completion | BaseException]:
    async def run() -> list[Completion | BaseException]:
        requests = [model.chat(say(f"row {number}")) for number in range(count)]
        try:
            return await asyncio.gather(*requests, return_exceptions=True)
        finally:
            await model.close()

    return asyncio.run(run())


def ask(model: ChatModel) -> Completion:
    (answer,) = ask_all(model, 1)
    if isinstance(answer, BaseException):
        raise answer
    return answer


class Acted(ChatModel):
    """Does for each request what a function of the call's number says."""

    name = "acted"

    def __init__(self, act: Callable[[int], Completion]) -> None:
        self.act = act
        self.calls = 0

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.calls += 1
        return self.act(self.calls - 1)


def fail(reason: str = "request_failed", detail: str = "500", **flags: Any) -> Completion:
    raise RetryableError(reason, detail, **flags)


def quick(model: ChatModel, **arguments: Any) -> Guard:
    return Guard(model, base_delay=0.001, cap=0.002, **arguments)


def open_door() -> Share:
    """Lets everything out at once, whatever the endpoint says."""

    async def exchange(report: dict[str, Any]) -> dict[str, Any]:
        allowances = {endpoint: asdict(Allowance(places=100)) for endpoint in report["endpoints"]}
        return {"endpoints": allowances, "tick": 0.01, "stopped": False}

    return Share(exchange)


@pytest.mark.parametrize(
    "fault",
    [
        error(429, retry_after=0),
        error(429, nim=True),
        error(500),
        Answer(fault=DROP),
        Answer(body=b'{"choices"'),
        reply(""),
        reply(" \n"),
        reply("cut in the mid", finish_reason="length"),
    ],
)
def test_what_may_pass_is_asked_again(fault: Answer) -> None:
    with MockEndpoint() as server:
        server.script(fault, fault)
        guard = quick(OpenaiCompatible("teacher", server.url))
        assert ask(guard).text == "fine"
        assert len(server.requests) == 3
    assert (guard.tally.requests, guard.tally.retries, guard.tally.failed) == (3, 2, 0)
    assert guard.tally.rate_limited == (2 if fault.status == 429 else 0)


def test_one_bad_request_costs_only_itself() -> None:
    def answer(request: Request) -> Answer:
        return error(400, "too long") if request["messages"][0]["content"] == "row 3" else reply("fine")

    with MockEndpoint() as server:
        server.default = answer
        answers = ask_all(quick(OpenaiCompatible("teacher", server.url)), 10)
        assert len(server.requests) == 10
    assert [number for number, got in enumerate(answers) if not isinstance(got, Completion)] == [3]
    assert isinstance(answers[3], RequestError)
    assert (answers[3].reason, answers[3].detail) == ("bad_request", "400 too long")


def test_a_hanging_request_holds_nobody_else() -> None:
    with MockEndpoint() as server:
        server.script(Answer(fault=HANG))
        guard = quick(OpenaiCompatible("teacher", server.url), max_in_flight=2, timeout=0.3)
        answers = ask_all(guard, 12)
        assert len(server.requests) == 13
        assert server.peak == 2
    assert all(isinstance(answer, Completion) for answer in answers)


def test_after_its_tries_a_request_fails_with_what_happened() -> None:
    model = Acted(lambda call: Completion(("fine",)) if call == 0 else fail(detail=f"500 at call {call}"))
    guard = quick(model, attempts=4)
    assert ask(guard).text == "fine"
    with pytest.raises(RequestError) as caught:
        ask(guard)
    assert (caught.value.reason, caught.value.detail) == ("request_failed", "500 at call 4")
    assert not isinstance(caught.value, RetryableError)
    assert model.calls == 5
    assert guard.tally.failed == 1


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        (Completion(("half a sen",), "length", Usage(5, 2)), "cut_reply"),
        (Completion((" ",), "stop", Usage(5, 2)), "empty_reply"),
        (Completion(("whole", ""), "stop", Usage(5, 2)), "empty_reply"),
        (Completion(("half",), "length", Usage(5, 2), logprobs=(("half", -0.1),)), "cut_reply"),
    ],
)
def test_a_reply_that_is_never_whole_is_paid_a_few_times_and_kept_for_the_ledger(
    completion: Completion, reason: str
) -> None:
    model = Acted(lambda call: completion)
    guard = quick(model, reply_attempts=3)
    with pytest.raises(RequestError) as caught:
        ask(guard)
    assert (caught.value.reason, caught.value.detail) == (reason, completion.text)
    assert model.calls == 3
    assert (guard.tally.replies, guard.tally.prompt_tokens, guard.tally.completion_tokens) == (3, 15, 6)


def test_a_filtered_reply_is_not_asked_for_again() -> None:
    model = Acted(lambda call: Completion(("part",), "content_filter"))
    with pytest.raises(RequestError, match="content_filter: part"):
        ask(quick(model))
    assert model.calls == 1


@pytest.mark.parametrize(
    "completion",
    [
        Completion(("",), "length", logprobs=tuple(FIVE.items())),
        Completion((",".join(f"{name}:{number}" for name, number in FIVE.items()),), "length"),
        Completion(("reward:-3.5",), "length"),
    ],
)
def test_scores_are_whole_though_the_endpoint_calls_them_cut(completion: Completion) -> None:
    model = Acted(lambda call: completion)
    assert ask(quick(model)) == completion
    assert model.calls == 1


def test_being_put_off_uses_up_no_attempts() -> None:
    model = Acted(lambda call: fail(rate_limited=True) if call < 20 else Completion(("fine",)))
    assert ask(quick(model, share=open_door(), attempts=2)).text == "fine"
    assert model.calls == 21


def test_an_endpoint_that_puts_off_everybody_for_too_long_ends_the_run() -> None:
    guard = quick(Acted(lambda call: fail(detail="429", rate_limited=True)), share=open_door(), patience=0.02)
    with pytest.raises(EndpointError, match="put off every request"):
        ask(guard)


def test_the_endpoints_wish_for_a_pause_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    waits = [7.0, None, None, None, 9999.0]
    model = Acted(lambda call: fail(retry_after=waits[call]) if call < len(waits) else Completion(("fine",)))
    ask(Guard(model, open_door(), base_delay=1.0, cap=5.0, patience=100.0))
    assert 7.0 < pauses[0] <= 8.0
    assert 1.0 <= pauses[1] <= 2.0
    assert 2.0 <= pauses[2] <= 4.0
    assert 2.5 <= pauses[3] <= 5.0
    assert 100.0 < pauses[4] <= 101.0


def test_nobody_listening_ends_the_run_at_once_for_all() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    guard = quick(OpenaiCompatible("teacher", url), attempts=3, max_in_flight=2)
    answers = ask_all(guard, 20)
    assert all(isinstance(answer, EndpointError) for answer in answers)
    assert url in str(answers[0])
    assert guard.tally.requests <= 6


def test_an_endpoint_that_dies_halfway_ends_the_run_instead_of_losing_records() -> None:
    model = Acted(lambda call: Completion(("fine",)) if call < 5 else fail(unreachable=True, detail="gone"))
    answers = ask_all(quick(model, max_in_flight=1, attempts=3), 10)
    assert [type(answer) for answer in answers] == [Completion] * 5 + [EndpointError] * 5


def test_failures_in_a_row_are_an_outage_but_a_reply_between_is_not() -> None:
    down = ask_all(quick(Acted(lambda call: fail()), attempts=1, max_in_flight=1), 12)
    assert Counter(map(type, down)) == {RequestError: 7, EndpointError: 5}
    shaky = Acted(lambda call: Completion(("fine",)) if call % 4 == 0 else fail())
    assert Counter(map(type, ask_all(quick(shaky, attempts=1, max_in_flight=1), 40))) == {
        Completion: 10,
        RequestError: 30,
    }


def test_a_refused_key_is_asked_once() -> None:
    with MockEndpoint() as server:
        server.default = lambda _: error(401)
        answers = ask_all(quick(OpenaiCompatible("teacher", server.url), max_in_flight=1), 10)
        assert len(server.requests) == 1
    assert all(isinstance(answer, EndpointError) for answer in answers)


def test_a_guard_serves_several_event_loops() -> None:
    with MockEndpoint() as server:
        server.default = lambda _: reply("fine", seconds=0.01)
        guard = quick(OpenaiCompatible("teacher", server.url), max_in_flight=2)
        for _ in range(2):
            assert all(isinstance(answer, Completion) for answer in ask_all(guard, 6))
    assert guard.name == "teacher"


def test_tallies_add_up() -> None:
    assert Tally(requests=1, failed=2) + Tally(requests=3, in_flight=1) == Tally(requests=4, failed=2, in_flight=1)
