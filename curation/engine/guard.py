"""Stands between a run and a model: bounds the requests in flight, tries again what may pass, checks each reply.

A failure belongs to one of three kinds, and each ends differently. A request that fails alone ends as a
`RequestError`: its record goes to the ledger and the run goes on. A reply that is cut or blank is asked for again a
few times, since each try is paid. An endpoint that answers nobody ends the run as an `EndpointError`, so that an
outage never turns the rest of the records into failures: the same command goes on where this one stopped.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.endpoints import RetryableError
from curation.core.errors import EndpointError, ReplyError, RequestError
from curation.core.parse import read_scores

_REPLY_FAULTS: Final = ("cut_reply", "empty_reply")
_OUTAGE: Final = 8
"""Requests that fail for good one after another, with no reply to any other between them: an endpoint's failure."""


@dataclass
class Tally:
    """What asking has cost so far; may be read at any time, from any thread.

    Args:
        requests: sent, tries after a failure included.
        replies: arrived, those that are cut or blank included.
        journal_hits: replies that the journal held, for which nothing was sent.
        retries: of the requests, those that repeat another.
        rate_limited: of the requests, those that the endpoint put off.
        failed: requests given up.
        prompt_tokens, completion_tokens: as the endpoint counted them, over all replies.
        in_flight: sent and not answered yet.
    """

    requests: int = 0
    replies: int = 0
    journal_hits: int = 0
    retries: int = 0
    rate_limited: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    in_flight: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


class Guard(ChatModel):
    """A model that is asked with patience.

    Args:
        model: what is asked.
        max_in_flight: requests at a time. One that waits to be tried again keeps its place, which takes the
            pressure off an endpoint in trouble.
        attempts: tries of a request that fails.
        reply_attempts: tries of a request whose reply is cut or blank.
        base_delay: seconds before the second try; doubled for each further one, with jitter.
        cap: most seconds between two tries, where the endpoint names no time itself.
        patience: seconds for which an endpoint may put off everybody.
        timeout: seconds for one try; by default the model's own `timeout`.
        tally: where the costs are counted.
    """

    def __init__(
        self,
        model: ChatModel,
        max_in_flight: int = 32,
        attempts: int = 6,
        reply_attempts: int = 3,
        base_delay: float = 0.5,
        cap: float = 30.0,
        patience: float = 300.0,
        timeout: float | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.name = model.name
        self.model = model
        self.max_in_flight = max_in_flight
        self.attempts = attempts
        self.reply_attempts = reply_attempts
        self.base_delay = base_delay
        self.cap = cap
        self.patience = patience
        self.timeout = float(getattr(model, "timeout", 120.0) if timeout is None else timeout)
        self.tally = tally or Tally()
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._last_reply = self._last_contact = float("-inf")
        self._failed_in_a_row = 0
        self._broken: EndpointError | None = None

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """A whole reply.

        Raises:
            EndpointError: the endpoint refuses or answers nobody; every later call fails at once.
            RequestError: `request_failed`, `cut_reply`, `empty_reply` (with the text), or the model's own.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._places:  # a semaphore belongs to one event loop
            self._places[loop] = asyncio.Semaphore(self.max_in_flight)
        async with self._places[loop]:
            if self._broken is not None:
                raise EndpointError(str(self._broken))
            try:
                return await self._persist(messages, sampling)
            except EndpointError as error:
                self._broken = error
                raise
            except RequestError:
                self.tally.failed += 1
                raise

    async def close(self) -> None:
        """Closes the model."""
        await self.model.close()

    async def _persist(self, messages: Sequence[Message], sampling: dict[str, Any]) -> Completion:
        began = time.monotonic()
        tries: Counter[str] = Counter()
        while True:
            try:
                return await self._try_once(messages, sampling)
            except RetryableError as error:
                kind = _kind(error)
                tries[kind] += 1
                if self._is_enough(kind, tries[kind], began):
                    raise self._last_word(error, kind, began) from None
                delay = self._delay(error, tries.total())
            await asyncio.sleep(delay)
            self.tally.retries += 1

    async def _try_once(self, messages: Sequence[Message], sampling: dict[str, Any]) -> Completion:
        self.tally.requests += 1
        self.tally.in_flight += 1
        try:
            async with asyncio.timeout(self.timeout):
                completion = await self.model.chat(messages, **sampling)
        except TimeoutError:
            raise RetryableError("request_failed", f"no reply within {self.timeout:g} s") from None
        except RetryableError as error:
            self.tally.rate_limited += error.rate_limited
            if not error.unreachable:
                self._last_contact = time.monotonic()
            raise
        finally:
            self.tally.in_flight -= 1
        self._count(completion)
        _check(completion)
        return completion

    def _count(self, completion: Completion) -> None:
        self._last_reply = self._last_contact = time.monotonic()
        self._failed_in_a_row = 0
        self.tally.replies += 1
        self.tally.prompt_tokens += completion.usage.prompt_tokens
        self.tally.completion_tokens += completion.usage.completion_tokens

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


def _kind(error: RetryableError) -> str:
    if error.rate_limited:
        return "limit"
    return "reply" if error.reason in _REPLY_FAULTS else "failure"


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
