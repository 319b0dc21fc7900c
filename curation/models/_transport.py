"""How requests reach an endpoint: over aiohttp, or through a client of the `openai` package that the caller brings.

aiohttp and orjson take about a tenth of the processor time that the `openai` package takes for the same request, which
decides how many requests a worker can have in flight. Importing this module imports aiohttp.

Whatever an endpoint answers comes back as an `Answer`. What never became an answer is a `RetryableError`: nobody there,
no reply in time, a connection that broke.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from curation.core.endpoints import RetryableError
from curation.core.errors import EndpointError
from curation.models import _wire
from curation.models._wire import Answer

if TYPE_CHECKING:
    from openai import APIConnectionError, AsyncOpenAI

LARGEST_BODY: Final = 64 * 1024 * 1024
"""Bytes of an answer, unpacked; a longer one is no reply but a fault, and memory is not for it."""

_IDLE_SECONDS: Final = 4.0  # uvicorn, under vLLM and others, hangs up after 5: a request must not meet that
_CONNECT_SECONDS: Final = 15.0
_NAME_SECONDS: Final = 300  # an address that was looked up is used so long


class Transport(Protocol):
    """A way to one endpoint, for one event loop."""

    async def post(self, request: dict[str, Any]) -> Answer:
        """Sends a request of `/chat/completions`."""

    async def models(self) -> Answer:
        """Asks for the list of models."""

    async def close(self) -> None:
        """Closes the connections that this transport opened."""


class Http(Transport):
    """aiohttp, with as many connections as there are requests, kept for the next ones.

    The guard bounds the requests in flight, so the pool doesn't. A redirect is handed over like any answer: following
    it could carry the key to another host.

    Args:
        endpoint: a normalized address.
        headers: sent with each request.
        timeout: seconds for a request from beginning to end, however it trickles.

    Raises:
        EndpointError: the environment names a proxy of a kind that can't be used.
    """

    def __init__(self, endpoint: str, headers: Mapping[str, str], timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._proxy = proxy_of(endpoint)
        self._connect_seconds = min(_CONNECT_SECONDS, timeout / 2)
        self._chat = URL(f"{endpoint}/chat/completions")
        self._models = URL(f"{endpoint}/models")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS, ttl_dns_cache=_NAME_SECONDS),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=self._connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Not `trust_env`: it looks the proxy up for each request, in a thread, which triples the processor time,
            # and sends what ~/.netrc holds for the host.
            proxy=self._proxy,
        )

    async def post(self, request: dict[str, Any]) -> Answer:
        """Sends a request of `/chat/completions`.

        Raises:
            RequestError: it can't be written as JSON.
            RetryableError: there is no answer.
        """
        return await self._send("POST", self._chat, _wire.to_body(request))

    async def models(self) -> Answer:
        """Asks for the list of models.

        Raises:
            RetryableError: there is no answer.
        """
        return await self._send("GET", self._models)

    async def close(self) -> None:
        """Closes the connections. Also right in another event loop, once that of the connections is closed."""
        await self._session.close()

    async def _send(self, method: str, url: URL, body: bytes | None = None) -> Answer:
        try:
            async with self._session.request(method, url, data=body, allow_redirects=False) as response:
                return Answer(response.status, await self._body(response), response.headers)
        except (aiohttp.ClientError, OSError) as error:
            raise self._unanswered(error) from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := await response.content.readany():
            size += len(piece)
            if size > LARGEST_BODY:
                detail = f"{self._endpoint} sent more than {LARGEST_BODY // 1024 // 1024} MiB as one answer"
                raise RetryableError("request_failed", detail)
            pieces.append(piece)
        return b"".join(pieces)

    def _unanswered(self, error: aiohttp.ClientError | OSError) -> RetryableError:
        """Tells an address where nobody answers from a connection that broke."""
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            return timed_out(self._endpoint, self._timeout)
        unreachable = isinstance(
            error,
            aiohttp.ClientConnectorError
            | aiohttp.ConnectionTimeoutError
            | aiohttp.ClientHttpProxyError
            | aiohttp.InvalidURL,
        )
        what = "can't be reached" if unreachable else "broke the connection"
        detail = f"{self._endpoint} {what}: {self._why(error)}"
        return RetryableError("request_failed", detail, unreachable=unreachable)

    def _why(self, error: aiohttp.ClientError | OSError) -> str:
        """The error in words that hold no login of a proxy."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection within {self._connect_seconds:g} s"
        through = f"the proxy {self._proxy.host}:{self._proxy.port}" if self._proxy else "a proxy"
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return f"{through} refused with {error.status} {error.message}"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return f"its certificate is not trusted: {error.certificate_error}"
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return f"{through} doesn't answer: {error.os_error}"
        why = str(error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error)
        return why.replace(str(self._proxy), through) if self._proxy else why


def proxy_of(endpoint: str) -> URL | None:
    """The proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY set for an endpoint.

    Raises:
        EndpointError: it is none that speaks HTTP.
    """
    parts = urlsplit(endpoint)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address:
        return None
    url = URL(address if "://" in address else f"http://{address}")
    if url.scheme not in ("http", "https") or not url.host:
        raise EndpointError(
            f"{endpoint} can't be asked: the environment names a proxy of the kind {url.scheme}://, and only http:// "
            "and https:// can be used. NO_PROXY names hosts that are asked without one."
        )
    return url


class Client(Transport):
    """A client that the caller made: its address, headers, connections and key are its own.

    Args:
        client: `AsyncOpenAI` or a kind of it. Trying again is the guard's affair, so it tries once.
        endpoint: what messages call it.
        timeout: seconds for a request from beginning to end.
    """

    def __init__(self, client: AsyncOpenAI, endpoint: str, timeout: float) -> None:
        self._client = client.with_options(max_retries=0)
        self._endpoint = endpoint
        self._timeout = timeout

    async def post(self, request: dict[str, Any]) -> Answer:
        """Sends a request of `/chat/completions`.

        Raises:
            EndpointError: the client can't send anything (it has no key, …).
            RetryableError: there is no answer.
        """
        asked = dict(request)
        # As `extra_body`, since endpoints know parameters that the package doesn't.
        return await self._call(
            self._client.chat.completions.with_raw_response.create,
            model=asked.pop("model"),
            messages=asked.pop("messages"),
            extra_body=asked,
        )

    async def models(self) -> Answer:
        """Asks for the list of models.

        Raises:
            EndpointError: the client can't send anything.
            RetryableError: there is no answer.
        """
        return await self._call(self._client.models.with_raw_response.list)

    async def close(self) -> None:
        """Nothing: who made the client closes it."""

    async def _call(self, call: Any, **arguments: Any) -> Answer:
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            async with asyncio.timeout(self._timeout):
                raw = await call(**arguments)
                return Answer(raw.status_code, raw.content, raw.headers)
        except APIStatusError as error:
            return Answer(error.status_code, error.response.content, error.response.headers)
        except TimeoutError:
            raise timed_out(self._endpoint, self._timeout) from None
        except APIConnectionError as error:
            raise self._unconnected(error) from None
        except OpenAIError as error:
            raise EndpointError(f"{self._endpoint} can't be asked through this client: {error}") from None

    def _unconnected(self, error: APIConnectionError) -> RetryableError:
        from openai import APITimeoutError

        # By name: the classes are those of the package's own HTTP library, whichever it uses.
        kinds = {kind.__name__ for kind in type(error.__cause__).__mro__}
        unreachable = bool(kinds & {"ConnectError", "ConnectTimeout", "UnsupportedProtocol"})
        if isinstance(error, APITimeoutError) and not unreachable:
            return timed_out(self._endpoint, self._timeout)
        what = "can't be reached" if unreachable else "broke the connection"
        detail = f"{self._endpoint} {what}: {error.__cause__ or error}"
        return RetryableError("request_failed", detail, unreachable=unreachable)


def timed_out(endpoint: str, seconds: float) -> RetryableError:
    """A request without a reply: it may have been worked on, and charged."""
    return RetryableError("request_failed", f"{endpoint} sent no reply within {seconds:g} s")
