"""What a run has paid, request by request, on disk: what a budget is measured against, also after a crash.

Before a request is sent, the most that it can cost is written down; when its end is known, what it did cost. A
request whose end nobody saw (the process was killed, the connection broke) counts with the most that it can have
cost. So the sum over the log is never less than what the endpoints have counted.

The log is a folder of append-only segments, JSON lines, one writer each, like the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from curation.core.contracts import Message, Usage
from curation.engine.append import Appender
from curation.engine.store import write_durably, writing

DOLLAR: Final = 1_000_000_000
"""Money is counted in whole billionths of a dollar, so that sums are exact."""

_UNLIMITED: Final = 1 << 62
_MESSAGE_OVERHEAD: Final = 32
"""Tokens that a chat template may put around one message."""
_REQUEST_OVERHEAD: Final = 128
"""Tokens that it may put around all of them, such as a default system prompt."""


@dataclass(frozen=True)
class Amount:
    """What requests cost, or may cost.

    Args:
        requests: sent, each try of one counted.
        tokens: in and out.
        money: in billionths of a dollar.
    """

    requests: int = 0
    tokens: int = 0
    money: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.requests + other.requests, self.tokens + other.tokens, self.money + other.money)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.requests - other.requests, self.tokens - other.tokens, self.money - other.money)

    def fits(self, room: Amount) -> bool:
        """Whether there is room for it."""
        return self.requests <= room.requests and self.tokens <= room.tokens and self.money <= room.money


@dataclass(frozen=True)
class Budget:
    """What a run may cost over all its tries; None is no bound.

    Args:
        requests: sent to endpoints.
        tokens: in and out.
        dollars: by the prices of the plan.
    """

    requests: int | None = None
    tokens: int | None = None
    dollars: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return self != Budget()

    @property
    def counts_tokens(self) -> bool:
        """Whether the length of replies matters, so that no request may leave it open."""
        return self.tokens is not None or self.dollars is not None

    @property
    def amount(self) -> Amount:
        """The bounds as an amount; what has no bound is a number that nobody reaches."""
        money = None if self.dollars is None else int(self.dollars * DOLLAR)
        return Amount(*(_UNLIMITED if bound is None else bound for bound in (self.requests, self.tokens, money)))


@dataclass(frozen=True)
class Price:
    """Of a model, in dollars for a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def of(self, usage: Usage) -> int:
        """In billionths of a dollar, rounded up."""
        dollars = self.prompt * usage.prompt_tokens + self.completion * usage.completion_tokens
        return -int(-dollars * DOLLAR // 1_000_000)

    def worst(self, usage: Usage) -> Amount:
        """One request of this usage."""
        return Amount(1, usage.prompt_tokens + usage.completion_tokens, self.of(usage))


def most(messages: Sequence[Message], sampling: Mapping[str, Any], reply_tokens: int) -> Usage:
    """The most tokens that a request can use.

    A token is at least one byte of UTF-8, in every tokenizer that is in use. What the endpoint's template adds is
    not known here: `_MESSAGE_OVERHEAD` and `_REQUEST_OVERHEAD` leave room for it.

    Args:
        reply_tokens: the bound of a reply where the request names none.
    """
    text = sum(len(message["content"].encode("utf-8", "surrogatepass")) for message in messages)
    prompt = text + _MESSAGE_OVERHEAD * len(messages) + _REQUEST_OVERHEAD
    completion = int(sampling.get("max_tokens") or sampling.get("max_completion_tokens") or reply_tokens)
    return Usage(prompt, completion * int(sampling.get("n") or 1))


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
        unsettled_tokens: of requests whose end nobody saw: the most that they can have cost.
        money: in billionths of a dollar, unsettled requests at their most.
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
    unsettled_tokens: int = 0
    money: int = 0
    in_flight: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, name) + getattr(other, name) for name in _FIGURES))

    @property
    def amount(self) -> Amount:
        """What counts against a budget."""
        return Amount(self.requests, self.prompt_tokens + self.completion_tokens + self.unsettled_tokens, self.money)


_FIGURES: Final = tuple(field.name for field in fields(Tally))
_KEPT: Final = tuple(name for name in _FIGURES if name not in ("journal_hits", "in_flight", "failed"))
"""The figures that make sense over several tries of a run, and that the log knows."""


@dataclass(frozen=True)
class Ticket:
    """A request that is about to be sent: its number in this process's segment, and the most that it can cost."""

    number: int
    model: str
    worst: Amount
    retry: bool


class Spending:
    """The log in a folder. One for each process: its segment is its own.

    Args:
        folder: made with the first request.
        durable: whether `open` waits for the disk. Without, what a crash of the machine (not of a process) leaves
            open may be missing; a budget needs it.
    """

    def __init__(self, folder: Path, durable: bool) -> None:
        self.folder = folder
        self.durable = durable
        self._log = Appender(folder, "the log of what was spent")
        self._numbers = count()
        self._segment = uuid4().hex[:12]

    async def open(self, model: str, worst: Amount, retry: bool = False) -> Ticket:
        """Writes down a request before it is sent.

        Raises:
            DiskError: it can't be written.
        """
        ticket = Ticket(next(self._numbers), model, worst, retry)
        line = _line(ticket, self._segment, {"open": [worst.tokens, worst.money], "retry": int(retry)})
        if self.durable:
            await self._log.append(line)
        else:
            self._log.write(line)
        return ticket

    def close(self, ticket: Ticket, outcome: str, usage: Usage, money: int, unsettled: int = 0) -> None:
        """Writes down how a request ended.

        Args:
            outcome: `reply`, `limited`, `refused`, `lost` or `unsent`.
            unsettled: tokens that it may have cost, where the endpoint did not say.
        """
        spent = [usage.prompt_tokens, usage.completion_tokens, unsettled, money]
        self._log.write(_line(ticket, self._segment, {"close": outcome, "spent": spent}))

    def shut(self) -> None:
        """Closes this process's segment."""
        self._log.close()


def _line(ticket: Ticket, segment: str, rest: dict[str, Any]) -> bytes:
    return orjson.dumps({"id": f"{segment}-{ticket.number}", "model": ticket.model, **rest}) + b"\n"


def spent(folder: Path) -> dict[str, Tally]:
    """What was paid so far, by model: every request that a segment tells of."""
    totals: dict[str, Tally] = {}
    opened: dict[str, tuple[str, Amount]] = {}
    segments = sorted(folder.glob("*.jsonl"))
    folded = {name for segment in segments for name in _folded(segment)}
    for segment in segments:
        if segment.name not in folded:
            for entry in _entries(segment):
                _account(entry, totals, opened)
    for model, worst in opened.values():
        totals[model] = totals[model] + Tally(unsettled_tokens=worst.tokens, money=worst.money)
    return dict(sorted(totals.items()))


def fold(folder: Path) -> dict[str, Tally]:
    """`spent`, and the segments replaced by their sum. Only while nobody writes: the driver, at the start of a run."""
    totals = spent(folder)
    segments = sorted(folder.glob("*.jsonl"))
    if len(segments) > 1:
        kept = {model: {name: getattr(tally, name) for name in _KEPT} for model, tally in totals.items()}
        line = orjson.dumps({"sum": kept, "of": [segment.name for segment in segments]}) + b"\n"
        with writing(folder):
            write_durably(folder / f"sum-{uuid4().hex[:12]}.jsonl", line)
            for segment in segments:
                segment.unlink()
    return totals


def _folded(segment: Path) -> Iterator[str]:
    """The segments that a sum stands for: a crash may have left them beside it."""
    if segment.name.startswith("sum-"):
        for entry in _entries(segment):
            yield from entry.get("of", ())


def _entries(segment: Path) -> Iterator[dict[str, Any]]:
    with segment.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):  # or else the last one, torn when its process was killed
                yield orjson.loads(line)


def _account(entry: Mapping[str, Any], totals: dict[str, Tally], opened: dict[str, tuple[str, Amount]]) -> None:
    if "sum" in entry:
        for model, figures in entry["sum"].items():
            totals[model] = totals.get(model, Tally()) + Tally(**figures)
        return
    model = entry["model"]
    tally = totals.get(model, Tally())
    if "open" in entry:
        tokens, money = entry["open"]
        opened[entry["id"]] = (model, Amount(1, tokens, money))
        totals[model] = tally + Tally(requests=1, retries=entry["retry"])
        return
    opened.pop(entry["id"], None)
    prompt, completion, unsettled, money = entry["spent"]
    totals[model] = tally + Tally(
        requests=-int(entry["close"] == "unsent"),
        replies=int(entry["close"] == "reply"),
        rate_limited=int(entry["close"] == "limited"),
        prompt_tokens=prompt,
        completion_tokens=completion,
        unsettled_tokens=unsettled,
        money=money,
    )


def shown(tally: Tally) -> dict[str, Any]:
    """The figures for `run.json`: money in dollars."""
    figures = asdict(tally)
    figures["dollars"] = round(figures.pop("money") / DOLLAR, 6)
    return {name: value for name, value in figures.items() if name in _KEPT or name == "dollars"}
