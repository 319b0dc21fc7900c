"""Any endpoint that speaks OpenAI's chat API: NVIDIA's, OpenAI's, vLLM, NIM, Ollama, llama.cpp, …"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.endpoints import KEY_VARIABLES, RetryableError, normalize_endpoint
from curation.core.errors import EndpointError, RequestError
from curation.models import _wire
from curation.models._wire import Answer

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from curation.models._transport import Transport

OPENAI_ENDPOINT: Final = "https://api.openai.com/v1"

_ACCOUNT: Final = {"OPENAI_ORG_ID": "OpenAI-Organization", "OPENAI_PROJECT_ID": "OpenAI-Project"}
"""Environment variables and the headers that carry them, to OpenAI's own host alone."""
_LISTING_SECONDS = 5.0
_LISTED_MODELS = 20


class OpenaiCompatible(ChatModel):
    """Asks an endpoint, once: trying again is the guard's affair.

    Requests go over connections of its own, or through a `client` that the caller made with the `openai` package. Such
    a model stays in the process and the event loop of its client: it can't be pickled, so a run on workers takes an
    endpoint instead. It doesn't close the client.

    Where neither an endpoint nor a client is given, the environment names them as it does for the `openai` package:
    OPENAI_BASE_URL (or else OpenAI's own address), and OPENAI_API_KEY where no key is given. To an endpoint that is
    given, no key of the environment is sent.

    Args:
        model: the name by which the endpoint knows it.
        endpoint: its address, `https://host/v1`; `…/chat/completions` at its end is understood.
        api_key: sent to that address and nowhere else; None for endpoints that ask for none.
        timeout: seconds for a request from beginning to end, also through a client.
        client: `AsyncOpenAI`, `AsyncAzureOpenAI`, … instead of an endpoint and a key.

    Raises:
        PlanError: the endpoint is no address.
        ValueError: the key can't be a key; a client is given beside an endpoint or a key.
    """

    _known: ClassVar[dict[tuple[str, str], dict[str, bool]]] = {}
    """By (endpoint, model): which types of `response_format` this process saw accepted or turned down."""

    def __init__(
        self,
        model: str,
        endpoint: str | None = None,
        api_key: SecretStr | None = None,
        timeout: float = 120.0,
        client: AsyncOpenAI | None = None,
    ) -> None:
        if client is not None and (endpoint or api_key):
            raise ValueError("a client has its own address and key: give a client, or an endpoint and a key")
        if client is not None:
            endpoint = str(client.base_url)
        elif endpoint is None:
            endpoint = os.environ.get("OPENAI_BASE_URL") or OPENAI_ENDPOINT
            api_key = api_key or SecretStr(os.environ.get("OPENAI_API_KEY", ""))
        self.name = model
        self.model = model
        self.endpoint = normalize_endpoint(endpoint)
        self.api_key = api_key
        self.timeout = timeout
        self.client = client
        self._account = _account(self.endpoint)
        self._transports: dict[asyncio.AbstractEventLoop, tuple[Transport, asyncio.Lock]] = {}
        if client is None:
            _check_header("the API key", self._key)

    @property
    def _key(self) -> str:
        if self.client is not None:
            return self.client.api_key or ""
        return self.api_key.get_secret_value().strip() if self.api_key else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, endpoint={self.endpoint!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open connections, which belong to this process.

        Raises:
            TypeError: it asks through a client.
        """
        if self.client is not None:
            raise TypeError(
                f"{self!r} asks through a client, whose connections belong to this process: to send the model to "
                "workers, make it with an endpoint and a key"
            )
        return {name: value for name, value in self.__dict__.items() if name != "_transports"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _transports={})

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """Sends the request as it is; where the endpoint turns its `response_format` down, once more with less.

        Less than a JSON schema is `json_object`, where the conversation speaks of JSON (OpenAI demands that), and then
        no format at all. What an endpoint turns down is never sent to it again by this process.

        Raises:
            EndpointError: a wrong key, an unknown model or address, nothing left to spend.
            RetryableError: too many requests, an error of the server, no reply in time, a reply that can't be read.
            RequestError: this request is refused (too long, a wrong parameter).
        """
        request: dict[str, Any] = {"model": self.model, "messages": messages}
        request.update((name, value) for name, value in sampling.items() if value is not None)
        wanted = request.pop("response_format", None)
        answer = await self._ask(request, wanted) if wanted is not None else await self._post(request)
        if answer.status < 300:
            return _wire.read_completion(answer.body)
        raise await self._failure(answer)

    async def close(self) -> None:
        """Closes the connections that this event loop opened; a client is left open."""
        opened = self._transports.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened[0].close()

    def features(self) -> dict[str, bool]:
        """Which types of `response_format` (`json_schema`, `json_object`) the endpoint is known to accept or not."""
        return dict(self._known.get((self.endpoint, self.model), {}))

    def learn(self, features: Mapping[str, bool]) -> None:
        """Takes over what another process found out; a type that was turned down stays so."""
        known = self._known.setdefault((self.endpoint, self.model), {})
        for kind, works in features.items():
            known[kind] = works and known.get(kind, True)

    async def _ask(self, request: dict[str, Any], wanted: Any) -> Answer:
        """Sends the request with the most of what is wanted that the endpoint takes."""
        form = self._form(request, wanted)
        answer = await self._post_formed(request, form)
        while form is not None and _wire.refuses_format(answer.status, answer.body):
            form, answer = await self._ask_for_less(request, wanted)
        return answer

    async def _ask_for_less(self, request: dict[str, Any], wanted: Any) -> tuple[Any, Answer]:
        """Of requests that were turned down together, one alone tries what nobody has tried yet."""
        _, trying = await self._opened()
        async with trying:
            form = self._form(request, wanted)
            if form is not None and _kind(form) not in self.features():
                return form, await self._post_formed(request, form)
        return form, await self._post_formed(request, form)

    def _form(self, request: dict[str, Any], wanted: Any) -> Any:
        """The first format that isn't known to be turned down, or None."""
        features = self.features()
        forms = [wanted]
        if _kind(wanted) == "json_schema" and not features.get("json_schema", True) and _speaks_of_json(request):
            forms.append({"type": "json_object"})
        return next((form for form in forms if features.get(_kind(form), True)), None)

    async def _post_formed(self, request: dict[str, Any], form: Any) -> Answer:
        if form is None:
            return await self._post(request)
        answer = await self._post({**request, "response_format": form})
        if answer.status < 300:
            self.learn({_kind(form): True})
        elif _wire.refuses_format(answer.status, answer.body):
            self.learn({_kind(form): False})
        return answer

    async def _post(self, request: dict[str, Any]) -> Answer:
        transport, _ = await self._opened()
        answer = await transport.post(request)
        if answer.status < 300 and (status := _wire.carried_status(answer.body)):
            return answer._replace(status=status)
        return answer

    async def _opened(self) -> tuple[Transport, asyncio.Lock]:
        """The running loop's transport, since connections don't outlive their loop, and its lock for trying formats."""
        loop = asyncio.get_running_loop()
        if loop not in self._transports:
            ended = [other for other in list(self._transports) if other.is_closed()]
            left = [self._transports.pop(other) for other in ended]
            self._transports[loop] = (self._transport(), asyncio.Lock())
            for transport, _ in left:
                await transport.close()
        return self._transports[loop]

    def _transport(self) -> Transport:
        from curation.models import _transport

        if self.client is not None:
            return _transport.Client(self.client, self.endpoint, self.timeout)
        headers = {"Content-Type": "application/json", "Accept": "application/json", **self._account}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        return _transport.Http(self.endpoint, headers, self.timeout)

    async def _failure(self, answer: Answer) -> EndpointError | RequestError:
        """What an answer that is no reply means."""
        status, body = answer.status, answer.body
        said = f"{status} {_wire.message_of(self._without_key(body))}"
        if status in (401, 403):
            return EndpointError(
                f"{self.endpoint} refuses the key for {self.model}: {said}. A key is read from the environment "
                f"variables {' and '.join(KEY_VARIABLES)}."
            )
        if _wire.out_of_quota(status, body):
            return EndpointError(f"{self.endpoint} has nothing left to spend for {self.model}: {said}")
        if _wire.unknown_model(status, body):
            return EndpointError(f"{self.endpoint} has no model {self.model}: {said}. {await self._listing()}")
        if address := _wire.moved_to(answer, self.endpoint):
            return EndpointError(
                f"{self.endpoint} has moved to {address} ({status}). Nothing is sent there unasked: if you trust it, "
                "make it the endpoint."
            )
        if status >= 500 or status in (407, 408, 409, 425, 429):
            return self._passing(answer, said)
        return RequestError("bad_request", said)

    def _passing(self, answer: Answer, said: str) -> RetryableError:
        wait = _wire.retry_after(answer.headers)
        return RetryableError(
            "request_failed",
            said,
            retry_after=wait,
            rate_limited=answer.status == 429 or (answer.status == 503 and wait is not None),
            unreachable=answer.status == 407,  # the proxy's own answer: the endpoint has heard nothing
            refused=_wire.was_refused(answer.status, answer.body),
        )

    async def _listing(self) -> str:
        """The names that could have been meant, where the endpoint tells them."""
        try:
            async with asyncio.timeout(_LISTING_SECONDS):
                transport, _ = await self._opened()
                names = _wire.model_names(await transport.models())
        except (TimeoutError, RequestError, EndpointError):
            names = None
        if names is None:
            return "Is the address right? It often ends in /v1."
        more = f" and {len(names) - _LISTED_MODELS} more" if len(names) > _LISTED_MODELS else ""
        return f"It has: {', '.join(names[:_LISTED_MODELS])}{more}." if names else "It lists no models."

    def _without_key(self, body: bytes) -> bytes:
        """Some servers quote the key that they refuse."""
        return body.replace(self._key.encode(), b"***") if self._key else body


def _account(endpoint: str) -> dict[str, str]:
    """The headers that name an account of OpenAI's to OpenAI."""
    if urlsplit(endpoint).hostname != urlsplit(OPENAI_ENDPOINT).hostname:
        return {}
    headers = {header: os.environ.get(variable, "").strip() for variable, header in _ACCOUNT.items()}
    for header, value in headers.items():
        _check_header(header, value)
    return {header: value for header, value in headers.items() if value}


def _check_header(what: str, value: str) -> None:
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"{what} has characters that no key has (a line end, a space, a letter with an accent)")


def _kind(form: Any) -> str:
    return str(form.get("type")) if isinstance(form, Mapping) else str(form)


def _speaks_of_json(request: Mapping[str, Any]) -> bool:
    return any("json" in str(message.get("content")).lower() for message in request["messages"])
