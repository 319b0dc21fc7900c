from __future__ import annotations

import asyncio
import gc
import gzip
import json
import logging
import pickle
import socket
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, cast

import pytest
from pydantic import SecretStr

from curation.core.contracts import Completion, Message, Usage
from curation.core.endpoints import RetryableError
from curation.core.errors import EndpointError, PlanError, RequestError
from curation.models import _transport
from curation.models._wire import message_of, read_completion, retry_after
from curation.models.openai_compatible import OPENAI_ENDPOINT, OpenaiCompatible
from tests.mock_endpoint import DROP, HANG, Answer, MockEndpoint, Request, error, reply

if TYPE_CHECKING:
    from openai import AsyncOpenAI

HELLO: list[Message] = [{"role": "user", "content": "hello"}]
KEY = "nvapi-very-secret-0123456789"
JSON: list[Message] = [{"role": "user", "content": "hello, in json"}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
OBJECT = {"type": "json_object"}
FIVE = {"helpfulness": 1.6, "correctness": 1.5, "coherence": 3.0, "complexity": 0.5, "verbosity": 0.4}


@pytest.fixture
def server() -> Iterator[MockEndpoint]:
    with MockEndpoint() as server:
        yield server


@pytest.fixture(autouse=True)
def forget_refused_formats() -> None:
    OpenaiCompatible._known.clear()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the proxies and accounts of the machine that runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("BASE_URL", "API_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.delenv(f"OPENAI_{name}", raising=False)


def ask(model: OpenaiCompatible, messages: list[Message] = HELLO, **sampling: Any) -> Completion:
    async def run() -> Completion:
        try:
            return await model.chat(messages, **sampling)
        finally:
            await model.close()

    return asyncio.run(run())


Speak = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(speak: Speak) -> AsyncIterator[str]:
    """A server that answers the head of each request as `speak` does, then hangs up; its host and port."""

    talks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(cast("asyncio.Task[Any]", asyncio.current_task()))
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
            await reader.readexactly(sum(length))
            await speak(head, writer)
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        await asyncio.gather(*talks)


def saying(*pieces: bytes) -> Speak:
    async def speak(head: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return speak


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def failure_of(model: OpenaiCompatible) -> Exception:
    try:
        with pytest.raises((EndpointError, RequestError)) as caught:
            await model.chat(HELLO)
        return caught.value
    finally:
        await model.close()


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
    ("answer", "status", "limited", "wait", "refused"),
    [
        (error(429, retry_after=3), "429", True, 3.0, True),
        (error(429, "Too Many Requests", nim=True), "429 Too Many Requests", True, None, True),
        (error(503, retry_after=1), "503", True, 1.0, True),
        (error(503), "503", False, None, True),
        (error(500), "500", False, None, True),
        (error(504), "504", False, None, False),
        (Answer(502, b"<html>Bad Gateway</html>"), "502 <html>Bad Gateway</html>", False, None, False),
        (Answer(body=b'{"choices": [{"mess'), "can't be read", False, None, False),
        (Answer(body=b"[]"), "can't be read", False, None, False),
        (Answer(body=b'{"choices": []}'), "no choices", False, None, False),
        (Answer(fault=DROP), "broke the connection", False, None, False),
        # Errors that come with HTTP 200.
        (Answer(body=b'{"status": 429, "title": "Too Many Requests"}'), "429 Too Many Requests", True, None, True),
        (
            Answer(body=b'{"error": {"code": 503, "message": "busy"}}', headers={"retry-after": "2"}),
            "503 busy",
            True,
            2.0,
            True,
        ),
        (Answer(body=b'{"error": {"message": "overloaded"}, "choices": null}'), "500 overloaded", False, None, True),
    ],
)
def test_what_may_pass_is_retryable(
    server: MockEndpoint, answer: Answer, status: str, limited: bool, wait: float | None, refused: bool
) -> None:
    server.script(answer)
    with pytest.raises(RetryableError) as caught:
        ask(OpenaiCompatible("teacher", server.url))
    assert status in caught.value.detail
    assert (caught.value.rate_limited, caught.value.retry_after) == (limited, wait)
    assert (caught.value.unreachable, caught.value.refused) == (False, refused)
    assert len(server.requests) == 1


def test_many_requests_share_the_connections_of_their_loop(server: MockEndpoint) -> None:
    model = OpenaiCompatible("teacher", server.url)

    async def run() -> None:
        for _ in range(5):
            await asyncio.gather(*(model.chat(HELLO) for _ in range(4)))
        await model.close()

    asyncio.run(run())
    assert len(server.requests) == 20
    assert server.connections <= 4


def test_a_loop_that_ended_without_closing_leaves_nothing_behind(server: MockEndpoint) -> None:
    model = OpenaiCompatible("teacher", server.url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # sockets that nobody closes, which is the point
        for _ in range(3):
            assert asyncio.run(model.chat(HELLO)).text == "fine"
        assert len(model._transports) == 1
        assert ask(model).text == "fine"
        gc.collect()
    assert not model._transports


def test_one_that_hangs_is_cut_while_its_neighbours_go_on(server: MockEndpoint) -> None:
    server.default = lambda request: Answer(fault=HANG) if "hang" in str(request["messages"]) else reply("fine")
    model = OpenaiCompatible("teacher", server.url, timeout=1.0)

    async def run() -> list[Completion | BaseException]:
        lanes = [model.chat([{"role": "user", "content": text}]) for text in ("a", "hang", "b")]
        answers = await asyncio.gather(*lanes, return_exceptions=True)
        answers.append(await model.chat(HELLO))
        await model.close()
        return answers

    first, hung, third, after = asyncio.run(run())
    assert isinstance(hung, RetryableError)
    assert "no reply within 1 s" in hung.detail
    assert not hung.refused
    assert [answer.text for answer in (first, third, after) if isinstance(answer, Completion)] == ["fine"] * 3


def test_a_trickle_counts_as_one_request() -> None:
    async def trickle(head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def run() -> Exception:
        async with listening(trickle) as host:
            return await failure_of(OpenaiCompatible("teacher", f"http://{host}/v1", timeout=0.2))

    assert "no reply within 0.2 s" in str(asyncio.run(run()))


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", b'{"choices": ['),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"5\r\n{"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n", b"junk"),
        (b"no HTTP\r\n\r\n",),
        (),
    ],
)
def test_a_reply_that_breaks_off_is_a_broken_connection(pieces: tuple[bytes, ...]) -> None:
    async def run() -> Exception:
        async with listening(saying(*pieces)) as host:
            return await failure_of(OpenaiCompatible("teacher", f"http://{host}/v1"))

    failure = asyncio.run(run())
    assert isinstance(failure, RetryableError)
    assert "broke the connection" in failure.detail
    assert (failure.unreachable, failure.refused) == (False, False)


@pytest.mark.parametrize("packed", [True, False])
def test_an_endless_reply_is_cut(server: MockEndpoint, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    monkeypatch.setattr(_transport, "LARGEST_BODY", 2**20)
    body = b" " * 2**22
    answer = Answer(body=gzip.compress(body), headers={"content-encoding": "gzip"}) if packed else Answer(body=body)
    server.script(answer, reply("x" * 2**19))
    with pytest.raises(RetryableError, match="more than 1 MiB"):
        ask(OpenaiCompatible("teacher", server.url))
    assert len(ask(OpenaiCompatible("teacher", server.url)).text) == 2**19


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(server: MockEndpoint, status: int) -> None:
    moved = {"location": "http://user:word@elsewhere.example/v2/chat/completions?token=1"}
    with MockEndpoint() as elsewhere:
        server.script(Answer(status, headers=moved), Answer(status, headers={"location": elsewhere.url}))
        model = OpenaiCompatible("teacher", server.url, SecretStr(KEY))
        with pytest.raises(EndpointError, match=r"has moved to http://elsewhere\.example/v2 \(30") as caught:
            ask(model)
        with pytest.raises(EndpointError, match=elsewhere.url):
            ask(model)
        assert not elsewhere.requests
        assert not elsewhere.connections
    assert "word" not in str(caught.value)


def test_plain_http_behind_https_is_unreachable(server: MockEndpoint) -> None:
    with pytest.raises(RetryableError, match=r"can't be reached: .*SSL") as caught:
        ask(OpenaiCompatible("teacher", server.url.replace("http:", "https:")))
    assert caught.value.unreachable


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    heads: list[bytes] = []

    async def forward(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(http("200 OK", reply("through the proxy").body))

    async def run() -> Completion:
        async with listening(forward) as host:
            monkeypatch.setenv(variable, f"http://user:word@{host}")
            model = OpenaiCompatible("teacher", "http://endpoint.invalid/v1")
            try:
                return await model.chat(HELLO)
            finally:
                await model.close()

    assert asyncio.run(run()).text == "through the proxy"
    (head,) = heads
    assert head.startswith(b"POST http://endpoint.invalid/v1/chat/completions ")
    assert b"proxy-authorization: basic dxnlcjp3b3jk" in head.lower()


def test_hosts_without_a_proxy_are_asked_directly(server: MockEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.1")
    assert ask(OpenaiCompatible("teacher", server.url)).text == "fine"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_is_named_without_its_login(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    async def run() -> Exception:
        async with listening(saying(http("407 Proxy Authentication Required", b"log in"))) as host:
            monkeypatch.setenv(f"{scheme}_proxy", f"http://user:word@{host}")
            return await failure_of(OpenaiCompatible("teacher", f"{scheme}://endpoint.invalid/v1"))

    failure = asyncio.run(run())
    assert isinstance(failure, RetryableError)
    assert failure.unreachable
    assert "407" in failure.detail
    assert "word" not in failure.detail


def test_a_proxy_that_is_not_there_is_named_without_its_login(monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTP_PROXY", f"http://user:word@{host}")
    with pytest.raises(RetryableError, match=f"can't be reached: the proxy {host} doesn't answer") as caught:
        ask(OpenaiCompatible("teacher", "http://endpoint.invalid/v1"))
    assert "word" not in caught.value.detail


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:word@127.0.0.1:1080")
    with pytest.raises(EndpointError, match="socks5://, and only http") as caught:
        ask(OpenaiCompatible("teacher", "http://endpoint.invalid/v1"))
    assert "word" not in str(caught.value)


def test_a_hanging_endpoint_ends_in_time(server: MockEndpoint) -> None:
    server.script(Answer(fault=HANG))
    with pytest.raises(RetryableError, match=r"no reply within 0\.1 s"):
        ask(OpenaiCompatible("teacher", server.url, timeout=0.1))


def test_an_address_where_nobody_listens_is_unreachable() -> None:
    with pytest.raises(RetryableError, match=r"can't be reached: .*Connect") as caught:
        ask(OpenaiCompatible("teacher", f"http://127.0.0.1:{free_port()}/v1"))
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
    for _ in range(2):
        assert ask(OpenaiCompatible("teacher", server.url), response_format=SCHEMA).text == "fine"
    assert ask(OpenaiCompatible("judge", server.url), response_format=SCHEMA).text == "fine"
    assert ["response_format" in request for request in server.requests] == [True, False, False, True]


def accepting(*kinds: str) -> Callable[[Request], Answer]:
    """A server that knows these types of `response_format`."""

    def answer(request: Request) -> Answer:
        kind = request.get("response_format", {}).get("type")
        return reply("fine") if kind in (None, *kinds) else error(400, f"response_format.type: {kind} is unknown")

    return answer


def sent_formats(server: MockEndpoint) -> list[str | None]:
    return [request.get("response_format", {}).get("type") for request in server.requests]


def test_a_server_that_knows_only_json_objects_is_asked_for_them(server: MockEndpoint) -> None:
    server.default = accepting("json_object")
    model = OpenaiCompatible("teacher", server.url)
    for _ in range(2):
        assert ask(model, JSON, response_format=SCHEMA).text == "fine"
    assert ask(model, HELLO, response_format=SCHEMA).text == "fine"  # OpenAI wants the word in the conversation
    assert sent_formats(server) == ["json_schema", "json_object", "json_object", None]
    assert model.features() == {"json_schema": False, "json_object": True}


def test_requests_that_are_turned_down_together_find_out_once(server: MockEndpoint) -> None:
    server.default = accepting()
    model = OpenaiCompatible("teacher", server.url)

    async def run() -> list[Completion]:
        answers = await asyncio.gather(*(model.chat(JSON, response_format=SCHEMA) for _ in range(8)))
        await model.close()
        return answers

    assert [answer.text for answer in asyncio.run(run())] == ["fine"] * 8
    assert sent_formats(server).count("json_object") == 1
    assert sent_formats(server).count(None) == 8
    assert model.features() == {"json_schema": False, "json_object": False}


def test_what_one_process_found_out_another_can_learn(server: MockEndpoint) -> None:
    model = OpenaiCompatible("teacher", server.url)
    model.learn({"json_schema": False})
    model.learn({"json_schema": True, "json_object": True})
    assert ask(model, JSON, response_format=SCHEMA).text == "fine"
    assert ask(model, JSON, response_format=OBJECT).text == "fine"
    assert sent_formats(server) == ["json_object", "json_object"]
    assert OpenaiCompatible("judge", server.url).features() == {}


def test_a_request_with_a_lone_surrogate_is_sent(server: MockEndpoint) -> None:
    said: list[Message] = [{"role": "user", "content": "half a pair: \ud800"}]
    assert ask(OpenaiCompatible("teacher", server.url), said).text == "fine"
    assert server.requests[0]["messages"] == said


def test_a_request_that_is_no_json_fails_alone(server: MockEndpoint) -> None:
    with pytest.raises(RequestError, match="can't be written as JSON") as caught:
        ask(OpenaiCompatible("teacher", server.url), seed={1, 2})
    assert not isinstance(caught.value, RetryableError)
    assert not server.requests


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


def test_with_nothing_given_the_environment_is_asked(server: MockEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OpenaiCompatible("teacher").endpoint == OPENAI_ENDPOINT
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ask(OpenaiCompatible("teacher"))
    ask(OpenaiCompatible("teacher", api_key=SecretStr("given")))
    assert server.keys == {KEY, "given"}


def test_accounts_of_openai_are_told_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    heads: list[bytes] = []

    async def note(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head.lower())
        writer.write(http("200 OK", reply("fine").body))

    async def run(endpoint: str) -> None:
        async with listening(note) as host:
            monkeypatch.setenv("HTTP_PROXY", f"http://{host}")
            model = OpenaiCompatible("teacher", endpoint)
            await model.chat(HELLO)
            await model.close()

    asyncio.run(run("http://api.openai.com/v1"))
    asyncio.run(run("http://api.openai.com.example/v1"))
    account = [b"openai-organization: org-1" in head and b"openai-project: proj-1" in head for head in heads]
    assert account == [True, False]
    assert b"openai-" not in heads[1]
    monkeypatch.setenv("OPENAI_ORG_ID", "org\r\nx: y")
    with pytest.raises(ValueError, match="OpenAI-Organization"):
        OpenaiCompatible("teacher")


def through(make: Callable[[], AsyncOpenAI], act: Callable[[OpenaiCompatible], Awaitable[Any]], **options: Any) -> Any:
    """Lets a model act that asks through a client."""

    async def run() -> Any:
        async with make() as client:
            model = OpenaiCompatible("teacher", client=client, **options)
            result = await act(model)
            await model.close()
            assert not client.is_closed()
            return result

    return asyncio.run(run())


async def hello(model: OpenaiCompatible) -> Completion:
    return await model.chat(HELLO, temperature=0.5, top_k=5)


def test_a_client_of_the_openai_package_sends_for_a_model(server: MockEndpoint) -> None:
    from openai import AsyncOpenAI

    completion = through(lambda: AsyncOpenAI(base_url=f"{server.url}/", api_key=KEY), hello)
    assert completion == Completion(("fine",), "stop", Usage(7, 3), model="served-model")
    assert server.requests == [{"model": "teacher", "messages": HELLO, "temperature": 0.5, "top_k": 5}]
    assert server.keys == {KEY}


def test_a_client_of_azure_keeps_its_address_and_headers() -> None:
    from openai import AsyncAzureOpenAI

    heads: list[bytes] = []

    async def note(head: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(http("200 OK", reply("fine").body, "content-type: application/json"))

    async def run() -> str:
        async with (
            listening(note) as host,
            AsyncAzureOpenAI(azure_endpoint=f"http://{host}", api_key=KEY, api_version="2024-10-21") as client,
        ):
            model = OpenaiCompatible("teacher", client=client)
            assert model.endpoint == f"http://{host}/openai"
            return (await model.chat(HELLO)).text

    assert asyncio.run(run()) == "fine"
    (head,) = heads
    assert head.startswith(b"POST /openai/deployments/teacher/chat/completions?api-version=2024-10-21 ")
    assert f"api-key: {KEY}".encode() in head


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (error(500, KEY), RetryableError, "500 ***"),
        (error(429, retry_after=3), RetryableError, "429"),
        (error(400, "too long"), RequestError, "400 too long"),
        (error(401, KEY), EndpointError, "refuses the key"),
        (error(404), EndpointError, "It has: judge, teacher"),
        (Answer(fault=DROP), RetryableError, "broke the connection"),
        (Answer(fault=HANG), RetryableError, "no reply within 0.3 s"),
    ],
)
def test_failures_through_a_client_are_the_same(
    server: MockEndpoint, answer: Answer, kind: type[Exception], said: str
) -> None:
    from openai import AsyncOpenAI

    server.script(answer)
    failure = through(
        lambda: AsyncOpenAI(base_url=server.url, api_key=KEY), failure_of, timeout=0.3 if answer.fault == HANG else 30
    )
    assert isinstance(failure, kind)
    assert said in str(failure)
    assert KEY not in str(failure)
    assert len(server.requests) == 1


def test_nobody_at_the_address_of_a_client_is_unreachable() -> None:
    from openai import AsyncOpenAI

    url = f"http://127.0.0.1:{free_port()}/v1"
    failure = through(lambda: AsyncOpenAI(base_url=url, api_key=KEY), failure_of)
    assert isinstance(failure, RetryableError)
    assert failure.unreachable


def test_a_client_stays_where_it_is_and_stands_alone() -> None:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url="http://localhost:1/v1", api_key=KEY)
    with pytest.raises(TypeError, match="make it with an endpoint and a key") as caught:
        pickle.dumps(OpenaiCompatible("teacher", client=client))
    assert KEY not in str(caught.value)
    with pytest.raises(ValueError, match="a client has its own address"):
        OpenaiCompatible("teacher", "http://localhost/v1", client=client)
    with pytest.raises(ValueError, match="a client has its own address"):
        OpenaiCompatible("teacher", api_key=SecretStr(KEY), client=client)


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
