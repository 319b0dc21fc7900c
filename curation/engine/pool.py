"""What all processes of a cluster share while they ask models: places in flight, rates, the budget.

The pool lives in the process of Dask's scheduler, beside nobody's work, and lasts as long as a run. Each worker
process holds a *share* of it (`engine/share.py`) and tells every few milliseconds, while it asks, what has happened
and what it needs; the answer is what it may do until the next time. What a process has been given and no longer
needs goes back with its next report, and what one that was lost had been given is never given twice: the places are
free again, its part of the budget counts as spent until the next try has read the log.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from curation.engine.pace import Limits, Pace, Signals
from curation.engine.spending import Amount, Tally

if TYPE_CHECKING:
    from distributed import Client

OP = "curation_pool"
"""The scheduler's handler that shares and the driver call."""

_TICK = 0.025
"""Seconds between two reports of a share that works."""
_REPORTS_PER_SECOND = 400
"""Reports that the scheduler's process takes from all shares together, so that it stays free for its own work."""


@dataclass(frozen=True)
class Demand:
    """What a share tells about one endpoint; counts are since its last report.

    Args:
        in_flight: requests that are out.
        waiting: requests that would like to be.
        tokens: that the waiting ones are expected to use altogether.
        unused: sends that were granted and not made; they go back.
        unused_tokens: the tokens that these were granted.
        sent, ok, limited, failed, retry_after: as in `pace.Signals`.
        correction: tokens that finished requests used beyond what was expected of them.
    """

    in_flight: int = 0
    waiting: int = 0
    tokens: int = 0
    unused: int = 0
    unused_tokens: int = 0
    sent: int = 0
    ok: int = 0
    limited: int = 0
    failed: int = 0
    retry_after: float | None = None
    correction: int = 0


@dataclass(frozen=True)
class Allowance:
    """What a share may do at one endpoint until its next report.

    Args:
        places: requests in flight.
        sends: requests to send; None while only the places count.
        wait: seconds after which asking again makes sense, where nothing may be sent.
    """

    places: int = 0
    sends: int | None = None
    wait: float = 0.0


@dataclass
class _Member:
    """A process that holds a share."""

    address: str | None
    leases: dict[str, int] = field(default_factory=dict)
    demands: dict[str, int] = field(default_factory=dict)
    granted: Amount = field(default_factory=Amount)
    tallies: dict[str, Tally] = field(default_factory=dict)
    finished: int = 0


class Pool:
    """See the module.

    Args:
        limits: by endpoint.
        budget: what may still be spent; None where there is no bound.
    """

    def __init__(self, limits: Mapping[str, Limits], budget: Amount | None = None) -> None:
        self.limits = dict(limits)
        self._paces = {endpoint: Pace(bounds) for endpoint, bounds in limits.items()}
        self._room = budget
        self._members: dict[str, _Member] = {}
        self._gone: dict[str, Tally] = {}
        self._finished = 0
        self._stopped = False

    def exchange(self, member: str, address: str | None, report: Mapping[str, Any], now: float) -> dict[str, Any]:
        """Takes a share's report and answers with what it may do.

        Args:
            member: the share's name.
            address: of the Dask worker that it belongs to.
            report: `endpoints` (of `Demand` as a dictionary), `spent`, `held`, `first`, `all` (amounts: what requests
                have cost since the last report, may cost that are out, the first one waiting, all that wait), and
                `tallies` by model and `finished` (records) of this share so far.

        Returns:
            `endpoints` (of `Allowance`), `tick` (seconds until the next report), and where there is a budget
            `credit` (an amount); `last_room` too (all that will ever be left) once that is too little for the first one
            waiting.
        """
        known = self._members.setdefault(member, _Member(address))
        known.finished = report["finished"]
        known.tallies = {model: Tally(**figures) for model, figures in report["tallies"].items()}
        allowances = {
            endpoint: self._allow(known, endpoint, Demand(**demand), now)
            for endpoint, demand in report["endpoints"].items()
        }
        answer = {
            "endpoints": {endpoint: asdict(allowance) for endpoint, allowance in allowances.items()},
            "tick": max(_TICK, len(self._members) / _REPORTS_PER_SECOND),
            "stopped": self._stopped,
        }
        return answer | self._lend(known, report)

    def lose(self, address: str) -> None:
        """A worker is gone: its places are free; what it had been given to spend is counted as spent."""
        for name, member in list(self._members.items()):
            if member.address == address:
                for model, tally in member.tallies.items():
                    tally.in_flight = 0
                    self._gone[model] = self._gone.get(model, Tally()) + tally
                self._finished += member.finished
                del self._members[name]

    def tallies(self) -> dict[str, Tally]:
        """What was asked since the pool was made, by model."""
        totals = dict(self._gone)
        for member in self._members.values():
            for model, tally in member.tallies.items():
                totals[model] = totals.get(model, Tally()) + tally
        return totals

    def figures(self, now: float) -> dict[str, Any]:
        """What the display shows: `tallies` by model, by endpoint the `places` and the `rates`, records `finished`."""
        return {
            "finished": self._finished + sum(member.finished for member in self._members.values()),
            "tallies": {model: asdict(tally) for model, tally in self.tallies().items()},
            "places": {endpoint: pace.places(now) for endpoint, pace in self._paces.items()},
            "rates": {endpoint: pace.rate for endpoint, pace in self._paces.items()},
        }

    def stop(self) -> None:
        """The run is over: whoever still asks is told so."""
        self._stopped = True

    def _allow(self, member: _Member, endpoint: str, demand: Demand, now: float) -> Allowance:
        pace = self._paces[endpoint]
        if demand.unused:
            pace.give_back(now, demand.unused, demand.unused_tokens)
        wanted = demand.in_flight + demand.waiting
        member.demands[endpoint] = wanted
        everybody = sum(other.demands.get(endpoint, 0) for other in self._members.values())
        pace.report(now, _signals(demand), everybody)
        member.leases[endpoint] = max(0, demand.in_flight)  # until it is told otherwise it holds what is out
        places = self._places_for(member, endpoint, pace.places(now))
        member.leases[endpoint] = max(places, demand.in_flight)
        if not pace.metered:
            return Allowance(places, None, 0.0 if places else pace.wait(now))
        free = max(0, min(demand.waiting, places - demand.in_flight))
        tokens = demand.tokens * free // max(1, demand.waiting)
        sends = pace.take(now, free, tokens) if free else 0
        return Allowance(places, sends, 0.0 if sends else pace.wait(now))

    def _places_for(self, member: _Member, endpoint: str, places: int) -> int:
        """The member's part of the places: an even one, as far as others don't leave theirs, and what is free."""
        demands = sorted(other.demands.get(endpoint, 0) for other in self._members.values())
        fair = min(member.demands[endpoint], _even(demands, places))
        taken = sum(other.leases.get(endpoint, 0) for other in self._others(member))
        return max(0, min(fair, places - taken))

    def _lend(self, member: _Member, report: Mapping[str, Any]) -> dict[str, Any]:
        """Room for requests at their most: for all that wait, or at least for the first."""
        if self._room is None:
            return {}
        held, first, whole = (Amount(*report[name]) for name in ("held", "first", "all"))
        self._room = self._room + member.granted - Amount(*report["spent"]) - held
        credit = whole if whole.fits(self._room) else first if first.fits(self._room) else Amount()
        self._room -= credit
        member.granted = held + credit
        # What is out may turn out cheaper than its most, and what others were given may come back.
        hope = held != Amount() or any(other.granted != Amount() for other in self._others(member))
        nothing_left = credit == Amount() != first and not hope
        answer = {"credit": list(asdict(credit).values())}
        return answer | ({"last_room": list(asdict(self._room).values())} if nothing_left else {})

    def _others(self, member: _Member) -> list[_Member]:
        return [other for other in self._members.values() if other is not member]


def _signals(demand: Demand) -> Signals:
    return Signals(
        sent=demand.sent,
        ok=demand.ok,
        limited=demand.limited,
        failed=demand.failed,
        retry_after=demand.retry_after,
        tokens=demand.correction,
    )


def _even(demands: Sequence[int], places: int) -> int:
    """The most that one may get of `places` if all get what they want up to that; `demands` ascending.

    Rounded up, so that no place is left over; that no more than all are given out is the caller's affair.
    """
    left = places
    for position, demand in enumerate(demands):
        even = -(-left // (len(demands) - position))
        if demand > even:
            return even
        left -= demand
    return places


def register(client: Client, name: str, pool: Pool) -> None:
    """Brings the pool to the cluster's scheduler, where shares and the driver find it by its name."""
    from distributed.diagnostics.plugin import SchedulerPlugin

    class PoolPlugin(SchedulerPlugin):  # type: ignore[misc]  # Dask is untyped
        """Holds the pool as long as the run lasts; hears of workers that are lost."""

        async def start(self, scheduler: Any) -> None:
            pools = scheduler.__dict__.setdefault("curation_pools", {})
            pools[name] = pool
            scheduler.handlers[OP] = _Desk(pools).serve

        def remove_worker(self, scheduler: Any, worker: str, **_more: Any) -> None:
            pool.lose(worker)

    client.register_plugin(PoolPlugin(), name=f"{OP}-{name}")


def ask(client: Client, name: str, what: str) -> dict[str, Any]:
    """From the driver: `figures`, or `close`, after which the pool is gone and its shares are told to stop."""
    answer: dict[str, Any] = client.sync(getattr(client.scheduler, OP), name=name, what=what)
    return answer


class _Desk:
    """The scheduler's handler, for the pools of all runs that it serves."""

    def __init__(self, pools: dict[str, Pool]) -> None:
        self._pools = pools

    async def serve(
        self,
        name: str,
        what: str,
        member: str = "",
        address: str | None = None,
        report: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Answers one message; a run that is over has no pool any more."""
        pool = self._pools.get(name)
        now = time.monotonic()
        if pool is None:
            return {"stopped": True, "endpoints": {}, "tick": 1.0}
        if what == "exchange":
            assert report is not None
            return pool.exchange(member, address, report, now)
        if what == "close":
            pool.stop()
            del self._pools[name]
            return {}
        return pool.figures(now)
