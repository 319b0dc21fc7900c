"""What goes over the wire to OpenAI-compatible endpoints and back, as bytes: requests, replies, errors, times to wait.

Real endpoints depart from the specification, so nothing is taken for granted: NVIDIA's hosted reward models send
`message` as a list, NIM's errors have no `error` key, gateways answer in HTML.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

import orjson

from curation.core.contracts import Completion, Usage
from curation.core.endpoints import RetryableError
from curation.core.errors import RequestError

LONGEST_MESSAGE: Final = 500
"""Characters of an endpoint's error message that are passed on."""

_FORMAT_REFUSED: Final = re.compile(r"response_format|json_schema|json_object|guided|structured.?output", re.IGNORECASE)
_UNKNOWN_MODEL: Final = re.compile(
    r"model_not_found|model\b.{0,200}?(?:does not exist|not found)", re.IGNORECASE | re.DOTALL
)
_ERROR_STATUS: Final = {
    "invalid_api_key": 401,
    "model_not_found": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "context_length_exceeded": 400,
    "invalid_request_error": 400,
}
"""The statuses with which OpenAI sends the codes and types of its errors."""
_MAYBE_WORKED_ON: Final = (408, 504)
_REDIRECTS: Final = (301, 302, 303, 307, 308)


class Answer(NamedTuple):
    """What came back over HTTP, whatever it is."""

    status: int
    body: bytes
    headers: Mapping[str, str]


def to_body(request: Mapping[str, Any]) -> bytes:
    """A request as JSON; characters that UTF-8 can't hold are escaped.

    Raises:
        RequestError: it holds something that JSON can't.
    """
    try:
        return orjson.dumps(request)
    except TypeError:
        pass
    try:
        return json.dumps(request, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError("bad_request", f"the request can't be written as JSON: {error}") from None


def from_body(body: bytes) -> Any:
    """JSON, also with what the standard forbids and endpoints send: NaN, lone surrogates.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is too deep.
    """
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def read_completion(body: bytes) -> Completion:
    """A reply of `/chat/completions`.

    Raises:
        RetryableError: it is not JSON, or holds no choice.
    """
    try:
        reply = from_body(body)
        choices = [choice for choice in reply["choices"] if isinstance(choice, dict)]
        model = reply.get("model")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise RetryableError("request_failed", f"the reply can't be read: {_shown(body)}") from None
    if not choices:
        raise RetryableError("request_failed", f"the reply has no choices: {_shown(body)}")
    reasons = [choice.get("finish_reason") for choice in choices]
    return Completion(
        texts=tuple(_text(choice.get("message")) for choice in choices),
        # One cut choice among several must not pass for a whole reply.
        finish_reason="length" if "length" in reasons else reasons[0],
        usage=_usage(reply.get("usage")),
        logprobs=_logprobs(choices[0].get("logprobs")),
        model=model if isinstance(model, str) else "",
    )


def _text(message: Any) -> str:
    """A message's text; a refusal in a field of its own counts as the text."""
    if isinstance(message, list):  # NVIDIA's hosted reward models
        return "".join(map(_text, message))
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, list):  # parts, of which some are text
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    if not content:
        content = message.get("refusal")
    return _well_formed(content) if isinstance(content, str) else ""


def _well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates, which no file can hold, replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    return Usage(*(_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _logprobs(logprobs: Any) -> tuple[tuple[str, float], ...] | None:
    """Tokens and their log probabilities; None where there are none, or one of them is not a finite number."""
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    try:
        pairs = tuple((_well_formed(item["token"]), float(item["logprob"])) for item in tokens or ())
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    return pairs if pairs and all(math.isfinite(number) for _, number in pairs) else None


def message_of(body: bytes) -> str:
    """What an error says, in the forms of OpenAI, NIM, vLLM and FastAPI, or the beginning of the body as it is."""
    try:
        error = from_body(body)
    except (ValueError, RecursionError):
        return _shown(body)
    if isinstance(error, dict) and isinstance(error.get("error"), dict | str):
        error = error["error"]
    if isinstance(error, dict):
        said = [error.get(name) for name in ("message", "title", "detail", "code")]
        error = "; ".join(str(part) for part in said if part)
    return str(error)[:LONGEST_MESSAGE] or _shown(body)


def _shown(body: bytes) -> str:
    return " ".join(body[:LONGEST_MESSAGE].decode("utf-8", "replace").split()) or "(empty)"


def carried_status(body: bytes) -> int | None:
    """The status of an error that came with HTTP 200, as gateways send them; None for anything else.

    An error that tells no status counts as the server's, 500.
    """
    if b'"error"' not in body and b'"status"' not in body:
        return None
    try:
        reply = from_body(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(reply, dict) or reply.get("choices"):
        return None
    error = reply.get("error")
    parts = [error, reply] if isinstance(error, dict) else [reply]
    said = [part.get(name) for part in parts for name in ("status", "status_code", "code", "type")]
    known = next((status for status in map(_error_status, said) if status), None)
    return known or (500 if error or reply.get("object") == "error" else None)


def _error_status(value: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if value.isdecimal() and len(value) == 3 else _ERROR_STATUS.get(value)
    return value if isinstance(value, int) and 400 <= value < 600 else None


def was_refused(status: int, body: bytes) -> bool:
    """Whether an error says that nothing was generated, so that nothing is charged.

    A gateway's page doesn't tell what the server behind it did, and neither does a time-out of the endpoint's own.
    """
    if status in (425, 429, 503):
        return True
    try:
        return status not in _MAYBE_WORKED_ON and isinstance(from_body(body), dict)
    except (ValueError, RecursionError):
        return False


def moved_to(answer: Answer, endpoint: str) -> str | None:
    """The base address to which a redirect of `/chat/completions` points, without a user or a query."""
    location = answer.headers.get("location")
    if answer.status not in _REDIRECTS or not location:
        return None
    parts = urlsplit(urljoin(f"{endpoint}/chat/completions", location))
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def model_names(answer: Answer) -> list[str] | None:
    """The names in a list of models, sorted; None where it is none."""
    try:
        return sorted(str(model["id"]) for model in from_body(answer.body)["data"]) if answer.status < 300 else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def refuses_format(status: int, body: bytes) -> bool:
    """Whether an endpoint says that it can't hold its model to a JSON schema."""
    return status in (400, 422, 501) and _FORMAT_REFUSED.search(message_of(body)) is not None


def unknown_model(status: int, body: bytes) -> bool:
    """Whether an endpoint says that it has no such model, or no such address."""
    return status in (404, 410) or (status == 400 and _UNKNOWN_MODEL.search(message_of(body)) is not None)


def out_of_quota(status: int, body: bytes) -> bool:
    """Whether the account has nothing left to spend, which waiting doesn't mend."""
    return status == 402 or (status == 429 and b"insufficient_quota" in body)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to wait: `Retry-After` in seconds or as a date."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
