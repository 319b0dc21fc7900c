"""A small OpenAI-compatible server on the loopback, for tests: scripted answers, faults, and counters.

with MockEndpoint() as server:
    server.script(error(429, retry_after=0), reply("hello"))   # one answer a request, then `server.default`
    OpenaiCompatible("teacher", server.url)
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

DROP, HANG = "drop", "hang"
Request = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What the server sends, or the fault that it commits."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    seconds: float = 0.0


def reply(
    *texts: str,
    finish_reason: str = "stop",
    logprobs: Mapping[str, float] | None = None,
    as_list: bool = False,
    seconds: float = 0.0,
) -> Answer:
    """A completion with one choice per text. `as_list` is the form of NVIDIA's hosted reward models."""
    tokens = [{"token": token, "logprob": number} for token, number in (logprobs or {}).items()]
    choices = []
    for index, text in enumerate(texts):
        message = {"role": "assistant", "content": text}
        choices.append(
            {
                "index": index,
                "finish_reason": finish_reason,
                "message": [message] if as_list else message,
                "logprobs": {"content": tokens} if tokens else None,
            }
        )
    usage = {"prompt_tokens": 7, "completion_tokens": 3 * len(texts), "total_tokens": 7 + 3 * len(texts)}
    body = {"id": "1", "object": "chat.completion", "model": "served-model", "choices": choices, "usage": usage}
    return Answer(body=json.dumps(body).encode(), headers={"content-type": "application/json"}, seconds=seconds)


def error(status: int, message: str = "scripted fault", retry_after: float | None = None, nim: bool = False) -> Answer:
    """An error in OpenAI's form, or in that of NVIDIA's gateway, which has no `error` key."""
    body = {"status": status, "title": message} if nim else {"error": {"message": message, "type": "x", "code": None}}
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Answer(status, json.dumps(body).encode(), {"content-type": "application/json", **headers})


class MockEndpoint:
    """Answers each chat request with the next scripted answer, then with `default(request)`."""

    def __init__(self, models: Sequence[str] = ("teacher", "judge")) -> None:
        self.default: Callable[[Request], Answer] = lambda _: reply("fine")
        self.models = models
        self.requests: list[Request] = []
        self.keys: set[str] = set()
        self.connections = 0
        self.peak = 0
        self._in_flight = 0
        self._script: list[Answer] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def script(self, *answers: Answer) -> None:
        """Answers for the requests to come, in their order."""
        with self._lock:
            self._script.extend(answers)

    def __enter__(self) -> MockEndpoint:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: Request, authorization: str) -> Answer:
        """Counts the request and picks its answer."""
        with self._lock:
            self.requests.append(request)
            self.keys.add(authorization.removeprefix("Bearer "))
            self._in_flight += 1
            self.peak = max(self.peak, self._in_flight)
            answer = self._script.pop(0) if self._script else None
        answer = answer or self.default(request)
        if answer.fault == HANG:
            self._stopped.wait()
        elif answer.seconds:
            self._stopped.wait(answer.seconds)
        with self._lock:
            self._in_flight -= 1
        return answer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    endpoint: MockEndpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.endpoint.connections += 1

    def do_GET(self) -> None:
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "mock"} for name in self.server.endpoint.models
        ]
        self._send(Answer(body=json.dumps({"object": "list", "data": models}).encode()))

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions":
            self._send(error(404, f"no route {self.path}"))
            return
        answer = self.server.endpoint.answer(request, self.headers.get("authorization", ""))
        if answer.fault:
            self._reset()
        else:
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"content-type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _reset(self) -> None:
        """Breaks the connection off, as a crashed server does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""
