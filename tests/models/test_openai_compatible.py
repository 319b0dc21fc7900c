from __future__ import annotations

import asyncio
import json
import logging
import pickle
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from pydantic import SecretStr

from curation.core.contracts import Completion, Message, Usage
from curation.core.endpoints import RetryableError
from curation.core.errors import EndpointError, PlanError, RequestError
from curation.models._wire import message_of, read_completion, retry_after
from curation.models.openai_compatible import OpenaiCompatible
from tests.mock_endpoint import DROP, HANG, Answer, MockEndpoint, error, reply

HELLO: list[Message] = [{"role": "user", "content": "hello"}]
KEY = "nvapi-very-secret-0123456789"
FIVE = {"helpfulness": 1.6, "correctness": 1.5, "coherence": 3.0, "complexity": 0.5, "verbosity": 0.4}


@pytest.fixture
def server() -> Iterator[MockEndpoint]:
    with MockEndpoint() as server:
        yield server


@pytest.fixture(autouse=True)
def forget_refused_formats() -> None:
    OpenaiCompatible._formatless.clear()


def ask(model: OpenaiCompatible, messages: list[Message] = HELLO, **sampling: Any) -> Completion:
    async def run() -> Completion:
        try:
            return await model.chat(messages, **sampling)
        finally:
            await model.close()

    return asyncio.run(run())


def test_the_request_and_the_reply_are_kept_whole(server: MockEndpoint) -> None:
    server.script(reply("one", "two", logprobs={"one": -0.5}))
    model = OpenaiCompatible("teacher", server.url + "/chat/completions")
    completion = ask(model, n=2, temperature=0.5, seed=7, top_k=5, stop=None)
    assert completion == Completion(
        ("one", "two"), "stop", Usage(7, 6), logprobs=(("one", -0.5),), model="served-model"
    )
    assert server.requests == [
        {"model": "teacher", "messages": HELLO, "n": 2, "temperature": 0.5, "seed": 7, "top_k": 5}
    ]
    assert model.name == "teacher"


def test_a_model_serves_several_event_loops_and_travels(server: MockEndpoint) -> None:
    model = OpenaiCompatible("teacher", server.url)
    assert ask(model).text == "fine"
    assert ask(model).text == "fine"
    assert ask(pickle.loads(pickle.dumps(model))).text == "fine"


def test_one_loop_keeps_its_connection(server: MockEndpoint) -> None:
    model = OpenaiCompatible("teacher", server.url)

    async def run() -> None:
        for _ in range(5):
            await model.chat(HELLO)
        await model.close()

    asyncio.run(run())
    assert server.connections == 1


def test_the_hosted_reward_reply_is_read(server: MockEndpoint) -> None:
    text = ",".join(f"{name}:{number}" for name, number in FIVE.items())
    server.script(reply(text, finish_reason="length", logprobs=FIVE, as_list=True))
    completion = ask(OpenaiCompatible("judge", server.url))
    assert (completion.text, completion.finish_reason) == (text, "length")
    assert completion.logprobs == tuple(FIVE.items())


@pytest.mark.parametrize(
    ("answer", "status", "limited", "wait"),
    [
        (error(429, retry_after=3), "429", True, 3.0),
        (error(429, "Too Many Requests", nim=True), "429 Too Many Requests", True, None),
        (error(503, retry_after=1), "503", True, 1.0),
        (error(503), "503", False, None),
        (error(500), "500", False, None),
        (Answer(502, b"<html>Bad Gateway</html>"), "502 <html>Bad Gateway</html>", False, None),
        (Answer(body=b'{"choices": [{"mess'), "can't be read", False, None),
        (Answer(body=b"[]"), "can't be read", False, None),
        (Answer(body=b'{"choices": []}'), "no choices", False, None),
        (Answer(fault=DROP), "broke the connection", False, None),
    ],
)
def test_what_may_pass_is_retryable(
    server: MockEndpoint, answer: Answer, status: str, limited: bool, wait: float | None
) -> None:
    server.script(answer)
    with pytest.raises(RetryableError) as caught:
        ask(OpenaiCompatible("teacher", server.url))
    assert status in caught.value.detail
    assert (caught.value.rate_limited, caught.value.retry_after) == (limited, wait)
    assert caught.value.unreachable is False
    assert len(server.requests) == 1


def test_a_hanging_endpoint_ends_in_time(server: MockEndpoint) -> None:
    server.script(Answer(fault=HANG))
    with pytest.raises(RetryableError, match=r"no reply within 0\.1 s"):
        ask(OpenaiCompatible("teacher", server.url, timeout=0.1))


def test_an_address_where_nobody_listens_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(RetryableError, match="can't be reached") as caught:
        ask(OpenaiCompatible("teacher", url))
    assert caught.value.unreachable


@pytest.mark.parametrize("answer", [error(400, "maximum context length is 4096 tokens"), error(422), error(413)])
def test_a_refused_request_fails_alone(server: MockEndpoint, answer: Answer) -> None:
    server.script(answer)
    with pytest.raises(RequestError) as caught:
        ask(OpenaiCompatible("teacher", server.url))
    assert caught.value.reason == "bad_request"
    assert caught.value.detail == f"{answer.status} {message_of(answer.body)}"
    assert not isinstance(caught.value, RetryableError)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_names_the_endpoint_and_where_keys_come_from(server: MockEndpoint, status: int) -> None:
    server.script(error(status, f"{'x' * 470} Incorrect API key provided: {KEY}"))
    with pytest.raises(EndpointError) as caught:
        ask(OpenaiCompatible("teacher", server.url, SecretStr(KEY)))
    for part in (server.url, "NVIDIA_API_KEY", "OPENAI_API_KEY"):
        assert part in str(caught.value)
    assert KEY[:10] not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [error(404, "no such thing"), Answer(404, b"404 page not found"), error(400, "The model `x` does not exist")],
)
def test_an_unknown_model_is_answered_with_those_that_exist(server: MockEndpoint, answer: Answer) -> None:
    server.script(answer)
    with pytest.raises(EndpointError, match=rf"{server.url} has no model taecher.*It has: judge, teacher"):
        ask(OpenaiCompatible("taecher", server.url))


def test_a_wrong_path_is_told_with_a_hint(server: MockEndpoint) -> None:
    with pytest.raises(EndpointError, match=r"has no model teacher: 404 no route /v2/chat"):
        ask(OpenaiCompatible("teacher", server.url.replace("/v1", "/v2")))


@pytest.mark.parametrize("answer", [error(402, "pay"), Answer(429, b'{"error":{"code":"insufficient_quota"}}')])
def test_an_empty_purse_stops_the_run(server: MockEndpoint, answer: Answer) -> None:
    server.script(answer)
    with pytest.raises(EndpointError, match="nothing left to spend"):
        ask(OpenaiCompatible("teacher", server.url))


def test_an_endpoint_without_json_schema_is_asked_without_it_from_then_on(server: MockEndpoint) -> None:
    server.script(error(400, "unknown field response_format"))
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    for _ in range(2):
        assert ask(OpenaiCompatible("teacher", server.url), response_format=schema).text == "fine"
    assert ask(OpenaiCompatible("judge", server.url), response_format=schema).text == "fine"
    assert ["response_format" in request for request in server.requests] == [True, False, False, True]


def test_the_key_is_sent_and_shown_nowhere(server: MockEndpoint, caplog: pytest.LogCaptureFixture) -> None:
    server.script(error(500, KEY))
    model = OpenaiCompatible("teacher", server.url, SecretStr(KEY))
    with caplog.at_level(logging.DEBUG), pytest.raises(RetryableError) as caught:
        ask(model)
    ask(model)
    assert server.keys == {KEY}
    again = pickle.loads(pickle.dumps(model))
    shown = [repr(model), repr(again), repr(vars(again)), repr(caught.value), str(caught.value.__cause__), caplog.text]
    assert not any(KEY in text for text in shown)
    assert caplog.text


def test_without_a_key_none_is_taken_from_the_environment(
    server: MockEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ask(OpenaiCompatible("teacher", server.url))
    assert KEY not in server.keys


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel", "with\0nul"])
def test_a_key_that_can_be_none_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ValueError) as caught:
        OpenaiCompatible("teacher", "http://localhost/v1", SecretStr(key))
    assert key not in str(caught.value)


def test_a_wrong_address_is_a_fault_of_the_plan() -> None:
    with pytest.raises(PlanError):
        OpenaiCompatible("teacher", "localhost:8000")


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"message": {"content": None, "refusal": "I won't."}}, "I won't."),
        (
            {"message": {"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}},
            "ab",
        ),
        ({"message": None}, ""),
        ({"message": {"content": "\\ud83d\\ude00 \\ud800"}}, "😀 \ufffd"),
    ],
)
def test_odd_messages_have_a_text(choice: dict[str, Any], text: str) -> None:
    body = json.dumps({"choices": [choice]}).replace("\\\\u", "\\u").encode()
    assert read_completion(body).text == text


def test_one_cut_choice_makes_the_reply_cut_and_odd_logprobs_are_none() -> None:
    body = b"""{"choices": [{"finish_reason": "stop", "message": {"content": "a"}, "logprobs": {"content":
        [{"token": "a", "logprob": NaN}]}}, {"finish_reason": "length", "message": {"content": "b"}}]}"""
    completion = read_completion(body)
    assert (completion.finish_reason, completion.logprobs, completion.usage) == ("length", None, Usage())


def test_times_to_wait_are_seconds_or_a_date() -> None:
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after": "-1"}) == 0.0
    assert 50 < (retry_after({"retry-after": formatdate(time.time() + 60)}) or 0) <= 60
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": "nan"}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "too long"}}', "too long"),
        (b'{"status": 429, "title": "Too Many Requests"}', "Too Many Requests"),
        (b'{"detail": [{"msg": "bad"}]}', "[{'msg': 'bad'}]"),
        (b'{"error": "plain"}', "plain"),
        (b"", "(empty)"),
        (b"\xff\n broken", "\ufffd broken"),
    ],
)
def test_errors_are_read_in_every_form(body: bytes, message: str) -> None:
    assert message_of(body) == message
