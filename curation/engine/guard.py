"""Stands between a run and a model: sends when it may, tries again what may pass, checks each reply.

A failure belongs to one of three kinds, and each ends differently. A request that fails alone ends as a
`RequestError`: its record goes to the ledger and the run goes on. A reply that is cut or blank is asked for again a
few times, since each try is paid. An endpoint that answers nobody ends the run as an `EndpointError`, so that an
outage never turns the rest of the records into failures: the same command goes on where this one stopped.

How many requests are out at a time, how fast they follow each other and what they may cost is the share's affair
(`engine/share.py`).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.endpoints import RetryableError
from curation.core.errors import EndpointError, ReplyError, RequestError
from curation.core.parse import read_scores
from curation.engine import share
from curation.engine.pace import Limits
from curation.engine.share import Share, Terms
from curation.engine.spending import Amount, Tally, most

_REPLY_FAULTS: Final = ("cut_reply", "empty_reply")
_OUTAGE: Final = 8
"""Requests that fail for good one after another, with no reply to any other between them: an endpoint's failure."""
_CHARACTERS_PER_TOKEN: Final = 4


@dataclass
class _Asked:
    """A request on its way: what is sent, what it can cost and is expected to, and when it was sent first."""

    messages: Sequence[Message]
    sampling: dict[str, Any]
    worst: Amount
    expected: int
    began: float | None = None


class Guard(ChatModel):
    """A model that is asked with patience.

    Args:
        model: what is asked.
        share: when a request may go out; by default one of its own, with `max_in_flight`.
        terms: whose limits count, and what tokens cost.
        max_in_flight: requests at a time, without a `share`.
        attempts: tries of a request that fails.
        reply_attempts: tries of a request whose reply is cut or blank.
        base_delay: seconds before the second try; doubled for each further one, with jitter.
        cap: most seconds between two tries, where the endpoint names no time itself.
        patience: seconds for which an endpoint may put off everybody.
        timeout: seconds for one try; by default the model's own `timeout`, which it then keeps itself.
        reply_tokens: bound of a reply where the request names none.
        bound_replies: sends `reply_tokens` with such requests, so that a budget can't be exceeded.
    """

    def __init__(
        self,
        model: ChatModel,
        share: Share | None = None,
        terms: Terms | None = None,
        max_in_flight: int = 32,
        attempts: int = 6,
        reply_attempts: int = 3,
        base_delay: float = 0.5,
        cap: float = 30.0,
        patience: float = 300.0,
        timeout: float | None = None,
        reply_tokens: int = 4096,
        bound_replies: bool = False,
    ) -> None:
        self.name = model.name
        self.model = model
        self.terms = terms or Terms(model.name, model.name)
        self.share = share or _own_share(self.terms.endpoint, max_in_flight)
        self.attempts = attempts
        self.reply_attempts = reply_attempts
        self.base_delay = base_delay
        self.cap = cap
        self.patience = patience
        self.timeout = timeout if timeout is not None else None if hasattr(model, "timeout") else 120.0
        self.reply_tokens = reply_tokens
        self.bound_replies = bound_replies
        self._last_reply = self._last_contact = float("-inf")
        self._failed_in_a_row = 0
        self._broken: EndpointError | None = None

    @property
    def identity(self) -> str:
        """The model's."""
        return self.model.identity

    @property
    def tally(self) -> Tally:
        """What asking this model has cost this process so far."""
        return self.share.tally(self.terms.model)

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """A whole reply.

        Raises:
            EndpointError: the endpoint refuses or answers nobody; every later call fails at once.
            RequestError: `request_failed`, `cut_reply`, `empty_reply` (with the text), `budget_spent`, or the model's.
        """
        if self.bound_replies and not (sampling.get("max_tokens") or sampling.get("max_completion_tokens")):
            sampling["max_tokens"] = self.reply_tokens
        try:
            return await self._persist(self._asked(messages, sampling))
        except EndpointError as error:
            self._broken = self._broken or error
            raise
        except RequestError:
            self.tally.failed += 1
            raise

    async def close(self) -> None:
        """Closes the model."""
        await self.model.close()

    def _asked(self, messages: Sequence[Message], sampling: dict[str, Any]) -> _Asked:
        usage = most(messages, sampling, self.reply_tokens)
        tally = self.tally
        # As long as the replies so far; before the first one, half of what it may be.
        reply = tally.completion_tokens // tally.replies if tally.replies else usage.completion_tokens // 2
        prompt = sum(len(message["content"]) for message in messages) // _CHARACTERS_PER_TOKEN
        return _Asked(messages, sampling, self.terms.price.worst(usage), prompt + reply)

    async def _persist(self, asked: _Asked) -> Completion:
        tries: Counter[str] = Counter()
        while True:
            try:
                return await self._try_once(asked, retry=tries.total() > 0)
            except RetryableError as error:
                kind = _kind(error)
                tries[kind] += 1
                began = asked.began or 0.0
                if self._is_enough(kind, tries[kind], began):
                    raise self._last_word(error, kind, began) from None
                delay = self._delay(error, tries.total())
            await asyncio.sleep(delay)

    async def _try_once(self, asked: _Asked, retry: bool) -> Completion:
        ticket = await self.share.admit(self.terms, asked.worst, asked.expected, retry)
        asked.began = asked.began or time.monotonic()
        outcome, usage = "lost", None
        try:
            if self._broken is not None:
                outcome = "unsent"
                raise EndpointError(str(self._broken))
            reply = self.model.chat(asked.messages, **asked.sampling)
            completion = await (reply if self.timeout is None else asyncio.wait_for(reply, self.timeout))
            outcome = "reply"
            usage = None if completion.usage == Usage() else completion.usage
        except TimeoutError:
            raise RetryableError("request_failed", f"no reply within {self.timeout:g} s") from None
        except RetryableError as error:
            outcome = _outcome(error)
            if not error.unreachable:
                self._last_contact = time.monotonic()
            if error.rate_limited:
                self.share.put_off(self.terms, error.retry_after)
            raise
        except (RequestError, EndpointError):
            outcome = "refused" if outcome == "lost" else outcome
            raise
        finally:
            self.share.settle(self.terms, ticket, outcome, usage, asked.expected)
        self._last_reply = self._last_contact = time.monotonic()
        self._failed_in_a_row = 0
        _check(completion)
        return completion

    def _is_enough(self, kind: str, tries: int, began: float) -> bool:
        """Being put off is no failure: it ends only when nobody has got a reply for a long time."""
        if kind == "limit":
            return time.monotonic() - max(self._last_reply, began) >= self.patience
        return tries >= (self.reply_attempts if kind == "reply" else self.attempts)

    def _last_word(self, error: RetryableError, kind: str, began: float) -> EndpointError | RequestError:
        if kind == "limit":
            return EndpointError(
                f"{self.name} has put off every request for {self.patience:g} s: {error.detail}. Ask it with fewer "
                "requests at a time, or later: the same command goes on from here."
            )
        if error.unreachable and self._last_contact < began:
            return EndpointError(f"{self.name}: {error.detail}. Is it running, and is the address right?")
        if kind == "failure":
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= _OUTAGE:
                return EndpointError(
                    f"{self.name} has failed {_OUTAGE} requests one after another, each tried {self.attempts} times; "
                    f"the last: {error.detail}. The same command goes on from here."
                )
        return RequestError(error.reason, error.detail)

    def _delay(self, error: RetryableError, tries: int) -> float:
        """Seconds until the next try: the endpoint's wish, or twice as long each time; never all at once."""
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        backoff = min(self.cap, self.base_delay * 2.0 ** min(tries - 1, 30)) * jitter
        if error.retry_after is None:
            return backoff
        return min(error.retry_after, self.patience) + self.base_delay * jitter


def _own_share(endpoint: str, max_in_flight: int) -> Share:
    return share.local({endpoint: Limits(max_in_flight)})


def _kind(error: RetryableError) -> str:
    if error.rate_limited:
        return "limit"
    return "reply" if error.reason in _REPLY_FAULTS else "failure"


def _outcome(error: RetryableError) -> str:
    """What a failure means for the bill."""
    if error.unreachable:
        return "unsent"
    if error.rate_limited:
        return "limited"
    return "refused" if error.refused else "lost"


def _check(completion: Completion) -> None:
    """Refuses a reply that is not whole.

    Scores are whole however they end: hosted reward models call them cut, and their text may be empty.
    """
    cut = completion.finish_reason == "length"
    blank = not all(text.strip() for text in completion.texts)
    if completion.finish_reason == "content_filter":
        raise RequestError("content_filter", completion.text)
    if (cut or blank) and not _is_scores(completion):
        raise RetryableError("cut_reply" if cut else "empty_reply", completion.text)


def _is_scores(completion: Completion) -> bool:
    try:
        read_scores(completion)
    except ReplyError:
        return False
    return True
