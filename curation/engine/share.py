"""A process's part of what a run may do at its endpoints: lets requests out, and tells the pool how they ended.

`admit` lets a request out when there is a place in flight, the rate allows it, and its most fits what the budget has
left; until then it waits in line. A place belongs to a request from there to `settle`, and to no one in between: a
request that waits before its next try stands in line again, so that a slow reply or a pause delays nobody else.

Everything here happens in one event loop (`engine/lift.py` has one for each process).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from curation.core.contracts import Usage
from curation.core.errors import CurationError, RequestError
from curation.engine.pace import Limits
from curation.engine.pool import OP, Allowance, Demand, Pool
from curation.engine.spending import Amount, Budget, Price, Spending, Tally, Ticket

if TYPE_CHECKING:
    from distributed import Worker

Exchange = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Sends a report to the pool and brings its answer."""

_IDLE_TICK: Final = 0.1
"""Seconds between two reports while nobody waits."""
_SHORTEST: Final = 0.005
"""Seconds between two reports of a share that could do more than it may."""


class StoppedError(CurationError):
    """The run has ended while this request stood in line."""


@dataclass(frozen=True)
class Terms:
    """How a model is asked and what it costs.

    Args:
        endpoint: whose limits count; several models may have one.
        model: what the figures and the log call it.
        price: of its tokens.
    """

    endpoint: str
    model: str
    price: Price = field(default_factory=Price)


@dataclass(eq=False)
class _Waiter:
    worst: Amount
    expected: int
    let_out: asyncio.Future[None]


@dataclass
class _Line:
    """Who stands in line at one endpoint, and what has happened there since the last report."""

    allowance: Allowance = field(default_factory=Allowance)
    sends: int | None = 0
    in_flight: int = 0
    waiting: deque[_Waiter] = field(default_factory=deque)
    expected: int = 0
    news: dict[str, Any] = field(default_factory=dict)

    def add(self, waiter: _Waiter) -> None:
        self.waiting.append(waiter)
        self.expected += waiter.expected

    def drop_first(self) -> _Waiter:
        waiter = self.waiting.popleft()
        self.expected -= waiter.expected
        return waiter

    def count(self, name: str, number: int = 1) -> None:
        self.news[name] = self.news.get(name, 0) + number

    def demand(self) -> Demand:
        """The report, with which the sends that were not made go back."""
        unused = self.sends or 0
        per_send = self.expected // max(1, len(self.waiting))
        self.sends = self.sends and 0
        news, self.news = self.news, {}
        return Demand(
            in_flight=self.in_flight,
            waiting=len(self.waiting),
            tokens=self.expected,
            unused=unused,
            unused_tokens=unused * per_send,
            **news,
        )

    def allow(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.sends = allowance.sends

    @property
    def starves(self) -> bool:
        """Whether somebody waits who may not be sent though there is a place, or there is no place at all."""
        return bool(self.waiting) and (self.in_flight < self.allowance.places or not self.allowance.places)


class Share:
    """See the module.

    Args:
        exchange: brings a report to the pool.
        spending: the log of what is spent; None keeps none.
        bounded: whether there is a budget.

    Attributes:
        finished: records that are done, for the display.
    """

    def __init__(self, exchange: Exchange, spending: Spending | None = None, bounded: bool = False) -> None:
        self._exchange = exchange
        self._spending = spending
        self._bounded = bounded
        self._lines: dict[str, _Line] = {}
        self._tallies: dict[str, Tally] = {}
        self._credit = self._held = self._spent = Amount()
        self._last_room: Amount | None = None
        self.finished = 0
        self._wake: asyncio.Event | None = None
        self._keeper: asyncio.Task[None] | None = None

    def tally(self, model: str) -> Tally:
        """The figures of one model in this process."""
        return self._tallies.setdefault(model, Tally())

    async def admit(self, terms: Terms, worst: Amount, expected: int, retry: bool = False) -> Ticket:
        """Waits until a request may be sent.

        Args:
            worst: the most that it can cost.
            expected: tokens that it will use, more or less.
            retry: whether it repeats another.

        Raises:
            RequestError: `budget_spent`: its most does not fit any more.
            StoppedError: the run is over.
        """
        if self._last_room is not None and not worst.fits(self._last_room):
            raise _budget_spent()
        line = self._lines.setdefault(terms.endpoint, _Line())
        waiter = _Waiter(worst, expected, asyncio.get_running_loop().create_future())
        line.add(waiter)
        self._let_out(line)
        if not waiter.let_out.done():
            self._keep_up(urgent=len(line.waiting) == 1)
        try:
            await waiter.let_out
            ticket = Ticket(0, terms.model, worst, retry)
            if self._spending is not None:
                ticket = await self._spending.open(terms.model, worst, retry)
        except BaseException:
            self._leave(line, waiter)
            raise
        tally = self.tally(terms.model)
        tally.requests += 1
        tally.in_flight += 1
        tally.retries += retry
        return ticket

    def settle(self, terms: Terms, ticket: Ticket, outcome: str, usage: Usage | None, expected: int) -> None:
        """Gives the place back and says what became of the request.

        Args:
            outcome: `reply`; `limited` (put off); `refused` (an error, nothing generated); `lost` (nobody knows);
                `unsent`.
            usage: of a reply, as the endpoint counted it; None where it does not say.
        """
        line, tally = self._lines[terms.endpoint], self.tally(terms.model)
        line.in_flight -= 1
        tally.in_flight -= 1
        doubtful = outcome == "lost" or (outcome == "reply" and usage is None)
        usage = usage or Usage()
        cost = terms.price.worst(usage) if outcome == "reply" and not doubtful else Amount(int(outcome != "unsent"))
        cost = ticket.worst if doubtful else cost
        tally.requests -= outcome == "unsent"
        tally.replies += outcome == "reply"
        tally.rate_limited += outcome == "limited"
        tally.prompt_tokens += usage.prompt_tokens
        tally.completion_tokens += usage.completion_tokens
        tally.unsettled_tokens += ticket.worst.tokens if doubtful else 0
        tally.money += cost.money
        if self._bounded:
            self._held -= ticket.worst
            self._spent += cost
            self._credit += ticket.worst - cost if cost.fits(ticket.worst) else Amount()
        if self._spending is not None:
            self._spending.close(ticket, outcome, usage, cost.money, ticket.worst.tokens if doubtful else 0)
        line.count({"reply": "ok", "limited": "limited"}.get(outcome, "failed"))
        line.count("correction", cost.tokens - expected)
        self._let_out(line)

    def put_off(self, terms: Terms, seconds: float | None) -> None:
        """An endpoint has said "not so fast", perhaps with a wish: the pool hears of it at once."""
        line = self._lines[terms.endpoint]
        if seconds is not None:
            line.news["retry_after"] = max(seconds, line.news.get("retry_after", 0.0))
        self._keep_up(urgent=True)

    def close(self) -> None:
        """Closes this process's segment of the log."""
        if self._spending is not None:
            self._spending.shut()

    def _let_out(self, line: _Line) -> None:
        """As many as may go, in the order in which they came."""
        while line.waiting and line.in_flight < line.allowance.places and line.sends != 0:
            waiter = line.waiting[0]
            if waiter.let_out.done():  # given up; it has not left the line yet
                line.drop_first()
                continue
            if self._bounded:
                if not waiter.worst.fits(self._credit):
                    break
                self._credit -= waiter.worst
                self._held += waiter.worst
            line.drop_first()
            line.in_flight += 1
            line.count("sent")
            if line.sends is not None:
                line.sends -= 1
            waiter.let_out.set_result(None)

    def _leave(self, line: _Line, waiter: _Waiter) -> None:
        """Somebody who stood in line, or had just been let out, is gone."""
        if waiter in line.waiting:
            line.waiting.remove(waiter)
            line.expected -= waiter.expected
        elif waiter.let_out.done() and not waiter.let_out.cancelled() and waiter.let_out.exception() is None:
            line.in_flight -= 1
            if self._bounded:
                self._held -= waiter.worst
                self._credit += waiter.worst
            self._let_out(line)

    def _keep_up(self, urgent: bool) -> None:
        """Reports until nobody asks any more; what is urgent is told at once."""
        if self._keeper is None or self._keeper.done():
            self._wake = asyncio.Event()
            self._keeper = asyncio.create_task(self._report_until_idle())
        elif urgent and self._wake is not None:
            self._wake.set()

    async def _report_until_idle(self) -> None:
        try:
            while True:
                idle = not any(line.waiting or line.in_flight for line in self._lines.values())
                tick = await self._report()
                if idle and not any(line.waiting or line.in_flight for line in self._lines.values()):
                    return
                await self._pause(tick)
        except Exception as error:  # the pool can't be reached: whoever stands in line hears why
            self._send_home(error if isinstance(error, CurationError) else _unreachable(error))

    async def _report(self) -> float:
        """One exchange with the pool; answers with the seconds until the next."""
        # Sums over all that wait are made only where somebody counts them.
        lines = self._lines.values() if self._bounded else ()
        waiting = [waiter.worst for line in lines for waiter in line.waiting]
        first = waiting[0] if waiting else Amount()
        spent, self._spent = self._spent, Amount()
        self._credit = Amount()  # goes back with this report; the answer brings what is needed now
        answer = await self._exchange(
            {
                "endpoints": {endpoint: asdict(line.demand()) for endpoint, line in self._lines.items()},
                "spent": list(asdict(spent).values()),
                "held": list(asdict(self._held).values()),
                "first": list(asdict(first).values()),
                "all": list(asdict(sum(waiting, Amount())).values()),
                "finished": self.finished,
                "tallies": {model: asdict(tally) for model, tally in self._tallies.items()},
            }
        )
        if answer["stopped"]:
            raise StoppedError("the run has ended")
        self._take(answer)
        return self._tick(float(answer["tick"]))

    def _take(self, answer: Mapping[str, Any]) -> None:
        self._credit += Amount(*answer.get("credit", (0, 0, 0)))
        if answer.get("last_room"):
            self._last_room = Amount(*answer["last_room"])
        for endpoint, allowance in answer["endpoints"].items():
            self._lines[endpoint].allow(Allowance(**allowance))
        for line in self._lines.values():
            if self._last_room is not None:
                self._refuse(line, self._last_room)
            self._let_out(line)

    def _refuse(self, line: _Line, room: Amount) -> None:
        """Sends away all for whom there will never be room."""
        for _ in range(len(line.waiting)):
            waiter = line.drop_first()
            if waiter.worst.fits(room):
                line.add(waiter)
            elif not waiter.let_out.done():
                waiter.let_out.set_exception(_budget_spent())

    def _tick(self, tick: float) -> float:
        ticks = [
            max(_SHORTEST, line.allowance.wait) if line.starves else tick
            for line in self._lines.values()
            if line.waiting
        ]
        return min([*ticks, 1.0]) if ticks else max(tick, _IDLE_TICK)

    async def _pause(self, seconds: float) -> None:
        assert self._wake is not None
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    def _send_home(self, error: CurationError) -> None:
        for line in self._lines.values():
            for waiter in line.waiting:
                if not waiter.let_out.done():
                    waiter.let_out.set_exception(error)
            line.waiting.clear()
            line.expected = 0


def _budget_spent() -> RequestError:
    return RequestError("budget_spent", "what the run may spend is used up")


def _unreachable(error: Exception) -> CurationError:
    return CurationError(f"the cluster's scheduler does not answer any more ({error!r}); the same command goes on")


def local(limits: Mapping[str, Limits], budget: Amount | None = None, spending: Spending | None = None) -> Share:
    """A share of a pool of its own: for one process that asks alone."""
    pool = Pool(limits, budget)

    async def exchange(report: dict[str, Any]) -> dict[str, Any]:
        return pool.exchange("alone", None, report, time.monotonic())

    return Share(exchange, spending, bounded=budget is not None)


_shares: dict[str, Share] = {}


def of_worker(worker: Worker, pool: str, folder: Path, budget: Budget) -> Share:
    """This worker process's share of a pool that the driver has registered.

    Args:
        pool: its name.
        folder: where the log of what is spent lies.
    """
    if pool not in _shares:
        name = uuid4().hex

        async def exchange(report: dict[str, Any]) -> dict[str, Any]:
            call = getattr(worker.scheduler, OP)
            asked = call(name=pool, what="exchange", member=name, address=worker.address, report=report)
            future = asyncio.run_coroutine_threadsafe(_answer(asked), worker.loop.asyncio_loop)
            return await asyncio.wrap_future(future)

        _shares[pool] = Share(exchange, Spending(folder, durable=budget.bounded), bounded=budget.bounded)
    return _shares[pool]


def forget(pool: str) -> None:
    """On a worker: the run is over."""
    share = _shares.pop(pool, None)
    if share is not None:
        share.close()


async def _answer(asked: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return await asked
