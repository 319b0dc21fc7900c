"""Any endpoint that speaks OpenAI's chat API: NVIDIA's, OpenAI's, vLLM, NIM, Ollama, llama.cpp, …"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import WeakKeyDictionary

from pydantic import SecretStr

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.endpoints import KEY_VARIABLES, RetryableError, normalize_endpoint
from curation.core.errors import EndpointError, RequestError
from curation.models import _wire

if TYPE_CHECKING:
    from openai import APIConnectionError, AsyncOpenAI

_NO_KEY = "no-key-needed"  # the openai package insists on one
_LISTING_SECONDS = 5.0
_LISTED_MODELS = 20


class OpenaiCompatible(ChatModel):
    """Asks an endpoint through the `openai` package, once: trying again is the guard's affair.

    Args:
        model: the name by which the endpoint knows it.
        endpoint: its address, `https://host/v1`; `…/chat/completions` at its end is understood.
        api_key: sent to that address and nowhere else; None for endpoints that ask for none.
        timeout: seconds for a request from beginning to end.

    Raises:
        PlanError: the endpoint is no address.
        ValueError: the key can't be a key.
    """

    _formatless: ClassVar[set[tuple[str, str]]] = set()
    """(endpoint, model) pairs of this process that turned `response_format` down."""

    def __init__(self, model: str, endpoint: str, api_key: SecretStr | None = None, timeout: float = 120.0) -> None:
        self.name = model
        self.model = model
        self.endpoint = normalize_endpoint(endpoint)
        self.api_key = api_key
        self.timeout = timeout
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncOpenAI] = WeakKeyDictionary()
        if not (self._key.isascii() and self._key.isprintable()):
            raise ValueError(
                "the API key has characters that no key has (a line end, a space, a letter with an accent)"
            )

    @property
    def _key(self) -> str:
        return self.api_key.get_secret_value().strip() if self.api_key else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, endpoint={self.endpoint!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the open clients, which belong to this process."""
        return {name: value for name, value in self.__dict__.items() if name != "_clients"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _clients=WeakKeyDictionary())

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """Sends the request as it is; where the endpoint knows no `response_format`, once more without it.

        Raises:
            EndpointError: a wrong key, an unknown model or address, nothing left to spend.
            RetryableError: too many requests, an error of the server, no reply in time, a reply that can't be read.
            RequestError: this request is refused (too long, a wrong parameter).
        """
        asked = {name: value for name, value in sampling.items() if value is not None}
        if (self.endpoint, self.model) in self._formatless:
            asked.pop("response_format", None)
        status, body, headers = await self._post(messages, asked)
        if "response_format" in asked and _wire.refuses_format(status, body):
            self._formatless.add((self.endpoint, self.model))
            del asked["response_format"]
            status, body, headers = await self._post(messages, asked)
        if status < 300:
            return _wire.read_completion(body)
        raise await self._failure(status, body, headers)

    async def close(self) -> None:
        """Closes the connections that this event loop opened."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def _client(self) -> AsyncOpenAI:
        """The running loop's client: connections don't outlive the loop that opened them."""
        from openai import AsyncOpenAI

        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = AsyncOpenAI(
                api_key=self._key or _NO_KEY, base_url=self.endpoint, timeout=self.timeout, max_retries=0
            )
        return self._clients[loop]

    async def _post(self, messages: Sequence[Message], asked: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of the answer, whatever it is: the package's own types can't hold all of them."""
        from openai import APIConnectionError, APIStatusError

        create = self._client().chat.completions.with_raw_response.create
        try:
            async with asyncio.timeout(self.timeout):
                # As `extra_body`, since endpoints know parameters that the package doesn't.
                raw = await create(model=self.model, messages=cast(Any, messages), extra_body=asked)
                return raw.status_code, raw.content, dict(raw.headers)
        except APIStatusError as error:
            return error.status_code, error.response.content, dict(error.response.headers)
        except TimeoutError:
            raise self._timed_out() from None
        except APIConnectionError as error:
            raise self._unconnected(error) from None

    def _timed_out(self) -> RetryableError:
        return RetryableError("request_failed", f"{self.endpoint} sent no reply within {self.timeout:g} s")

    def _unconnected(self, error: APIConnectionError) -> RetryableError:
        """Tells an address where nobody answers from a connection that broke."""
        from openai import APITimeoutError

        # By name: the classes are those of the package's own HTTP library, whichever it uses.
        kinds = {kind.__name__ for kind in type(error.__cause__).__mro__}
        unreachable = bool(kinds & {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"})
        if isinstance(error, APITimeoutError) and not unreachable:
            return self._timed_out()
        what = "can't be reached" if unreachable else "broke the connection"
        detail = f"{self.endpoint} {what}: {error.__cause__ or error}"
        return RetryableError("request_failed", detail, unreachable=unreachable)

    async def _failure(self, status: int, body: bytes, headers: dict[str, str]) -> EndpointError | RequestError:
        """What an answer that is no reply means."""
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
        if status >= 500 or status in (408, 409, 425, 429):
            wait = _wire.retry_after(headers)
            limited = status == 429 or (status == 503 and wait is not None)
            return RetryableError("request_failed", said, retry_after=wait, rate_limited=limited)
        return RequestError("bad_request", said)

    async def _listing(self) -> str:
        """The names that could have been meant, where the endpoint tells them."""
        from openai import OpenAIError

        try:
            async with asyncio.timeout(_LISTING_SECONDS):
                page = await self._client().models.list()
                names = sorted(model.id for model in page.data)
        except (OpenAIError, TimeoutError, AttributeError, TypeError, ValueError):
            return "Is the address right? It often ends in /v1."
        more = f" and {len(names) - _LISTED_MODELS} more" if len(names) > _LISTED_MODELS else ""
        return f"It has: {', '.join(names[:_LISTED_MODELS])}{more}." if names else "It lists no models."

    def _without_key(self, body: bytes) -> bytes:
        """Some servers quote the key that they refuse."""
        return body.replace(self._key.encode(), b"***") if self._key else body
