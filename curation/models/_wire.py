"""What OpenAI-compatible endpoints send back, read from the bytes: replies, errors, times to wait.

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
from typing import Any, Final

from curation.core.contracts import Completion, Usage
from curation.core.endpoints import RetryableError

LONGEST_MESSAGE: Final = 500
"""Characters of an endpoint's error message that are passed on."""

_FORMAT_REFUSED: Final = re.compile(r"response_format|json_schema|json_object|guided|structured.?output", re.IGNORECASE)
_UNKNOWN_MODEL: Final = re.compile(
    r"model_not_found|model\b.{0,200}?(?:does not exist|not found)", re.IGNORECASE | re.DOTALL
)


def read_completion(body: bytes) -> Completion:
    """A reply of `/chat/completions`.

    Raises:
        RetryableError: it is not JSON, or holds no choice.
    """
    try:
        reply = json.loads(body)
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
        error = json.loads(body)
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
