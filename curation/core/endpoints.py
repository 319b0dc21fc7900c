"""Addresses of language models, and the failure of a request that is worth another try."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from curation.core.errors import PlanError, RequestError

KEY_VARIABLES: Final = ("NVIDIA_API_KEY", "OPENAI_API_KEY")
"""The environment variables that hold keys; the first one that is set counts."""

_ROUTES: Final = ("/chat/completions", "/completions", "/models")


class RetryableError(RequestError):
    """A request that failed in a way that may pass: the engine's guard asks again.

    Args:
        reason: the ledger's word, if it stays so.
        detail: what happened.
        retry_after: seconds that the endpoint asks to wait.
        rate_limited: the endpoint said "not so fast", which is no fault of the request.
        unreachable: nothing listens at the address, or it has no such host.
        refused: the endpoint answered with an error, so that nothing was generated and nothing is charged.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        *,
        retry_after: float | None = None,
        rate_limited: bool = False,
        unreachable: bool = False,
        refused: bool = False,
    ) -> None:
        super().__init__(reason, detail)
        self.retry_after = retry_after
        self.rate_limited = rate_limited
        self.unreachable = unreachable
        self.refused = refused


def normalize_endpoint(url: str) -> str:
    """The base address of an OpenAI-compatible API: `…/v1/chat/completions` becomes `…/v1`.

    Raises:
        PlanError: not an http(s) address, or one that carries a user, a password or a query.
    """
    url = url.strip()
    shown = _without_user(url)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise PlanError([f"endpoint '{shown}': {error}"]) from None
    if parts.scheme not in ("http", "https") or not host:
        raise PlanError(
            [f"endpoint '{shown}' is no address: it looks like https://host/v1 or http://localhost:8000/v1"]
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise PlanError([f"endpoint '{shown}' must be a plain address; a key comes from {' or '.join(KEY_VARIABLES)}"])
    path = parts.path.rstrip("/")
    for route in _ROUTES:
        path = path.removesuffix(route)
    return f"{parts.scheme}://{parts.netloc}{path.rstrip('/')}"


def _without_user(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}" if separator else url


def is_local(url: str) -> bool:
    """Whether the host is this machine or one of a private network, where an endpoint asks for no key.

    Decided from the address alone: no name is looked up.
    """
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A name without a dot is one of this network (`localhost`, a container's name).
        return bool(host) and ("." not in host or host.endswith((".localhost", ".local", ".internal", ".lan")))
    return address.is_loopback or address.is_private or address.is_link_local
