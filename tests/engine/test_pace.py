"""The pace against simulated endpoints: a virtual clock, so nothing here waits, and a seed, so all of it repeats."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.engine.pace import Limits, Pace, Signals

REFUSAL = 0.02
"""Seconds that an answer other than a reply takes."""


@dataclass
class Verdict:
    kind: str = "ok"
    retry_after: float | None = None


class Server:
    """An endpoint that takes everything; replies take log-normal times."""

    def __init__(self, seed: int = 1, median: float = 0.2, longest: float = 3.0) -> None:
        self.random = random.Random(seed)
        self.median = median
        self.longest = longest
        self.out = 0

    def arrive(self, now: float, tokens: int) -> tuple[Verdict, float]:
        verdict = self.judge(now)
        if verdict.kind != "ok":
            return verdict, REFUSAL
        self.out += 1
        return verdict, min(self.longest, self.random.lognormvariate(math.log(self.median), 0.9))

    def judge(self, now: float) -> Verdict:
        return Verdict()


class Capped(Server):
    """Refuses what is more than a number at a time."""

    def __init__(self, cap: int, **more: float) -> None:
        super().__init__(**more)  # type: ignore[arg-type]
        self.cap = cap

    def judge(self, now: float) -> Verdict:
        return Verdict("limited" if self.out >= self.cap else "ok")


class Sliding(Server):
    """40 requests in any 6 seconds, until it takes everything."""

    def __init__(self, seed: int = 1, until: float = math.inf, names_time: bool = False) -> None:
        super().__init__(seed)
        self.until = until
        self.names_time = names_time
        self.taken: deque[float] = deque()

    def judge(self, now: float) -> Verdict:
        while self.taken and self.taken[0] <= now - 6:
            self.taken.popleft()
        if len(self.taken) >= 40 and now < self.until:
            return Verdict("limited", math.ceil(self.taken[0] + 6 - now) if self.names_time else None)
        self.taken.append(now)
        return Verdict()


class Fixed(Server):
    """40 requests in each window of 6 seconds."""

    window = -1
    taken = 0

    def judge(self, now: float) -> Verdict:
        if now // 6 != self.window:
            self.window, self.taken = int(now // 6), 0
        self.taken += 1
        return Verdict("limited" if self.taken > 40 else "ok")


class Moody(Server):
    """Refuses or fails now and then, at any load."""

    def __init__(self, refused: float, failed: float = 0.0, retry_after: float | None = None) -> None:
        super().__init__()
        self.refused = refused
        self.failed = failed
        self.retry_after = retry_after

    def judge(self, now: float) -> Verdict:
        draw = self.random.random()
        if draw < self.refused:
            return Verdict("limited", self.retry_after)
        return Verdict("failed" if draw < self.refused + self.failed else "ok")


class Away(Server):
    """Gone from 10 to 30 seconds after the start."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def judge(self, now: float) -> Verdict:
        return Verdict(self.kind if 10 <= now < 30 else "ok")


class Paced(Protocol):
    @property
    def metered(self) -> bool: ...
    def report(self, now: float, signals: Signals, wanted: int) -> None: ...
    def places(self, now: float) -> int: ...
    def take(self, now: float, requests: int, tokens: int) -> int: ...
    def give_back(self, now: float, requests: int, tokens: int) -> None: ...


class Steady:
    """The ideal that throughput is held against: so many in flight, whatever happens."""

    metered = False

    def __init__(self, places: int) -> None:
        self._places = places

    def report(self, now: float, signals: Signals, wanted: int) -> None: ...

    def places(self, now: float) -> int:
        return self._places

    def take(self, now: float, requests: int, tokens: int) -> int:
        return requests

    def give_back(self, now: float, requests: int, tokens: int) -> None: ...


@dataclass
class Worker:
    """Sends what it may, and hears what that is once in a tick."""

    waiting: deque[int]
    places: int = 0
    sends: int | None = 0
    out: int = 0
    lease: int = 0
    news: dict[str, Any] = field(default_factory=dict)

    @property
    def wanted(self) -> int:
        return self.out + len(self.waiting)


@dataclass
class Simulation:
    """Workers that ask a server for `requests` replies.

    Args:
        tick: seconds between two reports of a worker; what it may do changes only then.
        tokens: that each request uses, and that are expected of it.
        longest: seconds after which it ends anyway.
    """

    pace: Paced
    server: Server
    requests: int
    workers: int = 1
    tick: float = 0.01
    tokens: tuple[int, int] = (1, 1)
    seed: int = 3
    longest: float = math.inf

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.number = itertools.count()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.crew = [
            Worker(deque([0] * (self.requests // self.workers + (number < self.requests % self.workers))))
            for number in range(self.workers)
        ]
        self.now = 0.0
        self.sent: list[float] = []
        self.replies: list[float] = []
        self.refusals = 0
        self.places: list[tuple[float, int]] = []

    def run(self) -> Simulation:
        for number, worker in enumerate(self.crew):
            self.later(self.tick * number / self.workers, lambda worker=worker: self.report(worker))  # type: ignore[misc]
        while len(self.replies) < self.requests and self.now < self.longest:
            self.now, _, happen = heapq.heappop(self.events)
            happen()
        return self

    def later(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.number), happen))

    def report(self, worker: Worker) -> None:
        expected = self.tokens[1]
        if worker.sends:
            self.pace.give_back(self.now, worker.sends, worker.sends * expected)
        self.pace.report(self.now, Signals(**worker.news), sum(other.wanted for other in self.crew))
        worker.news = {}
        places = self.pace.places(self.now)
        self.places.append((self.now, places))
        worker.places = self.part(worker, places)
        worker.lease = max(worker.places, worker.out)
        worker.sends = None
        if self.pace.metered:
            free = max(0, min(len(worker.waiting), worker.places - worker.out))
            worker.sends = self.pace.take(self.now, free, free * expected)
        self.send(worker)
        self.later(self.tick, lambda: self.report(worker))

    def part(self, worker: Worker, places: int) -> int:
        """An even part of the places, as far as the others have let go of theirs."""
        even, rest = divmod(places, self.workers)
        asking = sum(other.wanted > even for other in self.crew)
        left = sum(max(0, even - other.wanted) for other in self.crew) + rest
        fair = even + -(-left // max(1, asking))
        taken = sum(other.lease for other in self.crew if other is not worker)
        return max(0, min(worker.wanted, fair, places - taken))

    def send(self, worker: Worker) -> None:
        while worker.waiting and worker.out < worker.places and worker.sends != 0:
            tries = worker.waiting.popleft()
            worker.out += 1
            if worker.sends is not None:
                worker.sends -= 1
            self.count(worker, "sent", 1)
            self.sent.append(self.now)
            verdict, seconds = self.server.arrive(self.now, self.tokens[0])
            self.later(seconds, lambda verdict=verdict, tries=tries: self.settle(worker, verdict, tries))  # type: ignore[misc]

    def settle(self, worker: Worker, verdict: Verdict, tries: int) -> None:
        worker.out -= 1
        self.count(worker, verdict.kind, 1)
        self.count(worker, "tokens", (self.tokens[0] if verdict.kind == "ok" else 0) - self.tokens[1])
        if verdict.kind == "ok":
            self.server.out -= 1
            self.replies.append(self.now)
        else:
            self.refusals += verdict.kind == "limited"
            pause = min(30.0, 0.5 * 2.0 ** min(tries, 10)) * self.random.uniform(0.5, 1.0)
            if verdict.retry_after is not None:
                worker.news["retry_after"] = verdict.retry_after
                pause = verdict.retry_after + self.random.uniform(0.25, 0.5)
            self.later(pause, lambda: worker.waiting.append(tries + 1))
        self.send(worker)

    @staticmethod
    def count(worker: Worker, name: str, number: int) -> None:
        worker.news[name] = worker.news.get(name, 0) + number

    def replies_per_second(self, start: float, end: float) -> float:
        return sum(start <= at < end for at in self.replies) / (end - start)


def ideal(places: int, server: Server, requests: int) -> float:
    """Seconds that it takes with so many in flight from beginning to end."""
    return Simulation(Steady(places), server, requests).run().now


def most_in_any(sends: Iterable[tuple[float, int]], period: float) -> int:
    """The largest sum of amounts in any `period` seconds."""
    window: deque[tuple[float, int]] = deque()
    total = most = 0
    for at, amount in sends:
        window.append((at, amount))
        total += amount
        while window[0][0] < at - period:
            total -= window.popleft()[1]
        most = max(most, total)
    return most


TICKS = pytest.mark.parametrize(("workers", "tick"), [(1, 0.01), (4, 0.05)], ids=["one", "four"])


@pytest.mark.parametrize("most", [64, 256])
def test_an_unlimited_endpoint_is_soon_used_to_the_full(most: int) -> None:
    pace = Pace(Limits(most))
    ran = Simulation(pace, Server(), 20_000).run()
    assert next(at for at, places in ran.places if places == most) <= 1.5  # a reply takes 0.3 s on average
    assert ideal(most, Server(), 20_000) / ran.now >= 0.97
    assert not pace.metered


@TICKS
@pytest.mark.parametrize("cap", [32, 100])
def test_it_settles_at_a_cap_on_concurrency(cap: int, workers: int, tick: float) -> None:
    pace = Pace(Limits(256))
    ran = Simulation(pace, Capped(cap), 10_000, workers, tick).run()
    assert ideal(cap, Server(), 10_000) / ran.now >= 0.9
    assert ran.refusals <= 0.05 * 10_000
    assert min(places for _, places in ran.places) > 0
    assert pace.rate is None


def test_a_cap_on_slow_replies_is_no_wall() -> None:
    ran = Simulation(Pace(Limits(64)), Capped(32, median=3, longest=60), 2_000, 4, 0.05).run()
    assert ideal(32, Server(median=3, longest=60), 2_000) / ran.now >= 0.9
    assert min(places for _, places in ran.places) > 0


@TICKS
@pytest.mark.parametrize("seed", range(4))
def test_a_rate_is_learned_with_few_refusals(seed: int, workers: int, tick: float) -> None:
    pace = Pace(Limits(64))
    ran = Simulation(pace, Sliding(seed), 400, workers, tick, seed=seed).run()
    assert ran.refusals <= 30
    assert ran.now <= 1.5 * 54
    assert pace.rate == pytest.approx(40 / 6, rel=0.5)


@TICKS
@pytest.mark.parametrize("seed", range(4))
def test_a_rate_by_fixed_windows_is_learned(seed: int, workers: int, tick: float) -> None:
    ran = Simulation(Pace(Limits(64)), Fixed(seed), 400, workers, tick, seed=seed).run()
    assert ran.refusals <= (30 if workers == 1 else 38)
    assert ran.now <= 1.5 * 54


@TICKS
def test_an_endpoint_that_names_the_time_is_believed(workers: int, tick: float) -> None:
    ran = Simulation(Pace(Limits(64)), Sliding(names_time=True), 400, workers, tick).run()
    assert ran.refusals <= 30
    assert ran.now <= 1.5 * 54


@TICKS
@pytest.mark.parametrize("server", [Sliding, Fixed])
def test_a_limit_that_is_told_is_kept(server: type[Server], workers: int, tick: float) -> None:
    pace = Pace(Limits(64, requests_per_minute=40, period=6))
    ran = Simulation(pace, server(), 400, workers, tick).run()
    assert ran.refusals == 0
    assert ran.now <= 1.3 * 54
    assert pace.rate == 40 / 6


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("failed", [0.0, 0.025])
def test_refusals_at_random_slow_nothing_down(failed: float, retry_after: float | None) -> None:
    ran = Simulation(Pace(Limits(256)), Moody(0.025, failed, retry_after), 20_000).run()
    assert ideal(256, Moody(0.025, failed), 20_000) / ran.now >= 0.9
    assert min(places for at, places in ran.places if at > 5) >= 0.8 * 256


def test_nor_where_few_are_asked_at_a_time() -> None:
    ran = Simulation(Pace(Limits(16)), Moody(0.025, 0.025), 10_000).run()
    assert ideal(16, Moody(0.025, 0.025), 10_000) / ran.now >= 0.88


def test_a_tenth_that_fails_leaves_the_window_open() -> None:
    ran = Simulation(Pace(Limits(64)), Moody(0.0, 0.1), 5_000).run()
    assert min(places for at, places in ran.places if at > 5) >= 0.5 * 64


def test_an_endpoint_that_fails_all_is_asked_less() -> None:
    ran = Simulation(Pace(Limits(64)), Moody(0.0, 1.0), 100, longest=20).run()
    assert ran.places[-1][1] <= 8


def test_one_request_at_a_time_gets_through() -> None:
    ran = Simulation(Pace(Limits(1)), Moody(0.025, retry_after=1.0), 400).run()
    assert ideal(1, Server(), 400) / ran.now >= 0.85


def test_an_endpoint_that_failed_is_used_again_at_once() -> None:
    ran = Simulation(Pace(Limits(64)), Away("failed"), 20_000, longest=60).run()
    assert ran.replies_per_second(34, 44) >= 0.9 * ran.replies_per_second(3, 10)


def test_an_endpoint_that_was_closed_is_tried_one_at_a_time() -> None:
    ran = Simulation(Pace(Limits(64)), Away("limited"), 20_000, longest=80).run()
    assert ran.refusals <= 40
    first = next(at for at in ran.replies if at > 30)
    assert first - 30 <= 20  # the block doubles, so it is no longer than the endpoint was away
    assert ran.replies_per_second(first + 1, first + 5) >= 0.2 * ran.replies_per_second(3, 10)
    assert ran.replies_per_second(first + 25, first + 35) >= 0.9 * ran.replies_per_second(3, 10)


def test_a_limit_that_disappears_is_forgotten() -> None:
    pace = Pace(Limits(64))
    ran = Simulation(pace, Sliding(until=60), 12_000).run()
    assert ran.replies_per_second(50, 60) <= 1.1 * 40 / 6
    assert ran.replies_per_second(105, 115) >= 0.9 * 64 / 0.3
    assert pace.rate is None
    assert not pace.metered


@TICKS
@pytest.mark.parametrize(("expected", "over"), [(100, 0.04), (200, 0.0), (400, 0.0)], ids=["low", "right", "high"])
def test_tokens_are_kept_though_estimates_err(expected: int, over: float, workers: int, tick: float) -> None:
    pace = Pace(Limits(64, tokens_per_minute=30_000, period=6))
    ran = Simulation(pace, Server(), 1_500, workers, tick, tokens=(200, expected)).run()
    # What is in flight and was estimated too low is not yet known.
    assert most_in_any(((at, 200) for at in ran.sent), 6) <= 30_000 * (1 + over)
    assert ran.now <= 1.3 * 1_500 * 200 / 30_000 * 6


def blocked() -> tuple[Pace, float]:
    """A pace that has just met a wall, and when."""
    pace = Pace(Limits(16))
    pace.report(0.0, Signals(sent=16), 100)
    pace.report(0.2, Signals(ok=10, sent=10), 100)
    now = 0.2
    while pace.places(now):
        now += 0.05
        pace.report(now, Signals(sent=3, limited=3), 100)
    return pace, now


def refuse_probe(pace: Pace, now: float) -> None:
    assert pace.take(now, 10, 0) == 1
    pace.report(now + 0.01, Signals(sent=1), 100)
    pace.report(now + 0.05, Signals(limited=1), 100)


def test_after_a_wall_one_tries_alone_and_waits_twice_as_long_each_time() -> None:
    pace, now = blocked()
    waits = []
    for _ in range(9):
        waits.append(pace.wait(now))
        assert pace.take(now, 10, 0) == 0
        now += pace.wait(now)
        assert pace.places(now) == 1
        assert pace.metered
        refuse_probe(pace, now)
        now += 0.05
    assert waits == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30])


def test_a_probe_that_gets_its_reply_opens_half_of_the_window() -> None:
    pace, now = blocked()
    now += pace.wait(now)
    pace.report(now, Signals(ok=6), 100)  # they were on their way before the wall
    assert pace.places(now) == 1
    pace.report(now + 0.01, Signals(sent=1), 100)
    pace.report(now + 0.2, Signals(ok=1), 100)
    assert 1 < pace.places(now + 0.2) <= 8
    assert pace.rate is None


def test_a_refusal_that_was_on_its_way_is_not_the_probes() -> None:
    pace, now = blocked()
    now += pace.wait(now)
    pace.report(now, Signals(limited=2), 100)
    assert pace.places(now) == 1


def test_a_failed_probe_says_nothing_of_a_rate() -> None:
    pace, now = blocked()
    now += pace.wait(now)
    pace.report(now + 0.01, Signals(sent=1), 100)
    pace.report(now + 0.02, Signals(failed=1), 100)
    assert pace.places(now + 0.02) == 0
    now += 0.02 + pace.wait(now + 0.02)
    pace.report(now + 0.01, Signals(sent=1), 100)
    pace.report(now + 0.2, Signals(ok=1), 100)
    assert pace.rate is None


def test_what_was_served_until_it_opened_again_is_the_rate() -> None:
    pace, now = blocked()
    now += pace.wait(now)
    refuse_probe(pace, now)
    refused = now + 0.05
    now = refused + pace.wait(refused)
    pace.report(now + 0.01, Signals(sent=1), 100)
    pace.report(now + 0.1, Signals(ok=1), 100)
    assert pace.metered
    assert pace.rate == pytest.approx(0.9 * 11 / ((refused + now + 0.1) / 2))


def test_the_only_refusal_with_a_wish_stops_all_and_one_amid_replies_does_not() -> None:
    alone = Pace(Limits(64))
    alone.report(0.0, Signals(sent=1), 1)
    alone.report(0.1, Signals(limited=1, retry_after=7.0), 1)
    assert alone.places(7.0) == 0
    assert alone.wait(0.1) == pytest.approx(7.0)
    assert alone.places(7.2) == 1
    amid = Pace(Limits(64))
    amid.report(0.0, Signals(sent=40), 100)
    amid.report(0.1, Signals(sent=40, ok=39, limited=1, retry_after=7.0), 100)
    assert amid.places(0.1) > 16


def test_a_wish_has_a_bound() -> None:
    pace = Pace(Limits(64))
    pace.report(0.0, Signals(sent=1), 1)
    pace.report(0.1, Signals(limited=1, retry_after=1e9), 1)
    assert pace.wait(0.1) == pytest.approx(300.0)


def test_the_window_grows_only_if_it_is_used() -> None:
    pace = Pace(Limits(256))
    for tick in range(100):
        pace.report(tick / 10, Signals(sent=5, ok=5), 5)
    assert pace.places(10.0) == 16


def test_requests_follow_each_other_evenly_from_the_first() -> None:
    pace = Pace(Limits(1000, requests_per_minute=80))
    pace.report(0.0, Signals(), 1000)
    granted = [pace.take(second / 10, 1, 0) for second in range(300)]
    assert granted[0] == 1
    assert 36 <= sum(granted) <= 41
    gaps = [after - before for before, after in itertools.pairwise(n for n, one in enumerate(granted) if one)]
    assert max(gaps) - min(gaps) <= 1


def test_what_is_given_back_may_be_sent_again() -> None:
    pace = Pace(Limits(64, requests_per_minute=6_000, tokens_per_minute=600_000))
    assert pace.take(0.0, 20, 2_000) == 9
    assert pace.take(0.0, 20, 2_000) == 0
    pace.give_back(0.001, 4, 400)
    assert pace.take(0.001, 20, 2_000) == 4
    assert 0 < pace.wait(0.001) < 0.1


def test_a_request_larger_than_the_limit_goes_alone() -> None:
    pace = Pace(Limits(64, tokens_per_minute=1_000))
    assert pace.take(0.0, 3, 6_000) == 1
    assert pace.take(30.0, 3, 6_000) == 0
    waited = pace.wait(30.0)
    assert pace.take(30.0 + waited, 3, 6_000) == 1


def test_less_than_one_request_in_a_minute() -> None:
    pace = Pace(Limits(64, requests_per_minute=0.5))
    assert pace.take(0.0, 5, 0) == 1
    assert pace.take(119.0, 5, 0) == 0
    assert pace.take(125.0, 5, 0) == 1


def test_a_large_limit_needs_little_memory() -> None:
    pace = Pace(Limits(10_000, requests_per_minute=1e6))
    pace.report(0.0, Signals(), 10_000)
    for tick in range(20_000):
        pace.take(tick / 200, 16, 0)
    assert len(pace._quotas["requests"]._log) <= 260


steps = st.lists(
    st.tuples(
        st.floats(0.0, 3.0),
        st.integers(0, 30),
        st.integers(1, 120),
        st.integers(0, 20),
        st.integers(0, 20),
        st.integers(0, 20),
        st.one_of(st.none(), st.floats(0.0, 5.0)),
        st.floats(0.0, 1.0),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(steps=steps, most=st.integers(1, 40), requests=st.integers(1, 60), tokens=st.integers(120, 3000))
def test_no_bound_is_ever_passed(steps: list[Any], most: int, requests: int, tokens: int) -> None:
    pace = Pace(Limits(most, requests, tokens, period=6))
    now = 0.0
    sent: list[tuple[float, int, int]] = []
    for passed, wanted, each, ok, limited, failed, wish, unsent in steps:
        now += passed
        pace.report(now, Signals(wanted, ok, limited, failed, wish), wanted)
        assert 0 <= pace.places(now) <= most
        granted = pace.take(now, wanted, wanted * each)
        assert 0 <= granted <= min(wanted, pace.places(now))
        back = int(granted * unsent)
        pace.give_back(now, back, back * each)
        sent.append((now, granted - back, (granted - back) * each))
        assert pace.wait(now) >= 0
        assert pace.rate is not None
        assert pace.rate > 0
    assert most_in_any([(at, number) for at, number, _ in sent], 6) <= requests
    assert most_in_any([(at, amount) for at, _, amount in sent], 6) <= tokens
