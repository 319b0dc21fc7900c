"""How many requests one endpoint gets, over all workers: learned from its answers, bounded by what the plan tells.

Endpoints refuse for three reasons, and each wants another answer.

- *Too many at a time.* A window of requests in flight grows with each reply and loses a place with each refusal
  (in proportion to the share that is refused, as in DCTCP, RFC 8257). So it hovers about a cap on concurrency, and
  refusals that strike at random, at any load, leave it where it is.
- *Closed.* When most of what is sent is refused, all stop for a while, longer each time, and then one request
  tries alone (a circuit breaker, half open).
- *Too many in a while.* Where even a request that was tried alone was refused, concurrency can't be the reason.
  The rate that the endpoint has served is then kept, and felt for upwards as CUBIC (RFC 9438) does with a window:
  back to the rate that was too fast in one period, hardly further in the next, ever faster from there.

Everything is a function of what it is told: times are seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from curation.engine.rates import Learned, Quota

_START: Final = 16
"""Requests in flight at first."""
_GAIN: Final = 1 / 25
"""Places won with a reply, once the window is about right: refusals of up to 4 % don't shrink it."""
_MEMORY: Final = 15 / 16
"""What one more answer leaves of the share of troubles among those before it."""
_FEW: Final = 8
"""The window is not shrunk below this by failures, which say less than refusals."""
_LOOK_BACK: Final = (0.05, 0.5)
"""Seconds, at least and at most, over which a wall is looked for."""
_PIPE: Final = 0.1
"""Seconds for which refusals of what was sent before a change of the window may still come in."""
_FIRST_BLOCK, _LONGEST_BLOCK, _LONGEST_WISH = 0.5, 30.0, 300.0
"""Seconds of a block: the first, the longest in a row, the longest that an endpoint may ask for."""
_TIMED: Final = 2.0
"""An endpoint that names at least so many seconds is not waiting for a place: it counts by time."""


@dataclass(frozen=True)
class Limits:
    """What the plan tells of an endpoint.

    Args:
        max_in_flight: requests at a time.
        requests_per_minute: more exactly in any `period`; None where nothing is known.
        tokens_per_minute: the same for tokens, in and out.
        period: seconds for which the two count.
    """

    max_in_flight: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    period: float = 60.0


@dataclass(frozen=True)
class Signals:
    """What has happened since the last report.

    Args:
        sent: requests.
        ok: replies.
        limited: refusals that ask for patience (429, or 503 with a Retry-After).
        failed: other ends (5xx, time-outs, broken connections).
        retry_after: seconds, the longest wish among the refusals.
        tokens: that finished requests used beyond what `take` was told; less than 0 if they used fewer.
    """

    sent: int = 0
    ok: int = 0
    limited: int = 0
    failed: int = 0
    retry_after: float | None = None
    tokens: int = 0


class _Window:
    """Requests in flight: a place less for each refusal, more with each reply while it is in use.

    It grows by one with each reply until the first trouble, so it doubles in each round trip; afterwards so back to
    just below where the trouble began, and slowly from there.
    """

    def __init__(self, most: int) -> None:
        self._most = float(max(1, most))
        self.size = min(float(_START), self._most)
        self._steep_to = self._most
        self._troubles = 0.0  # their share of the latest answers
        self.in_trouble = False
        self.careful = self.size < self._most

    def hear(self, signals: Signals, wanted: int, shrinks: bool) -> bool:
        """Answers whether trouble has begun with this.

        Args:
            shrinks: whether refusals are a matter of concurrency.
        """
        answers = signals.ok + signals.limited + signals.failed
        share = (signals.limited + signals.failed / 2) / max(1, answers)
        self._troubles = share + (self._troubles - share) * _MEMORY**answers
        begins = self._troubles >= 0.2 and not self.in_trouble
        if begins:
            self._steep_to = 0.9 * self.size
            self.size *= 0.75
        self.in_trouble = begins or (self.in_trouble and self._troubles >= 0.05)
        self.careful = self.in_trouble or (self.careful and self.size < self._steep_to)
        if wanted >= self.size:
            self.size += signals.ok * (1.0 if self.size < self._steep_to and not self.in_trouble else _GAIN)
        loss = signals.limited * float(shrinks)
        if self.size > _FEW:
            loss += signals.failed / 8
        self.size = min(max(1.0, self.size - loss), self._most)
        return begins

    def halve(self) -> None:
        """The endpoint has closed: half of what was open before the trouble."""
        if not self.in_trouble:
            self._steep_to = 0.9 * self.size
        self.size = self._steep_to = max(1.0, self._steep_to / 1.8)

    def reopen(self) -> None:
        """What was before counts no more."""
        self._troubles, self.in_trouble = 0.0, False


class Pace:
    """See the module. Reports should come every 5 to 100 ms while requests are out or wait.

    Args:
        limits: what is known beforehand.
    """

    def __init__(self, limits: Limits) -> None:
        told = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}
        self._quotas = {name: Quota(limit, limits.period) for name, limit in told.items() if limit is not None}
        self._told = None if told["requests"] is None else told["requests"] / limits.period
        self._learned: Learned | None = None
        self._window = _Window(limits.max_in_flight)
        self._recent: deque[tuple[float, int, int]] = deque()  # time, sent, limited
        self._deaf_until = float("-inf")
        self._blocked_until = self._closed_at = self._wall_at = float("-inf")
        self._blocks = 0  # in a row
        self._probing = self._probe_out = False
        self._counts_by_time = False
        self._opened_at: float | None = None
        self._replies = 0  # since it was opened, or all began

    @property
    def metered(self) -> bool:
        """Whether `take` has to be asked before requests are sent. Else the places alone count.

        Also at first and while there is trouble: a place that was refused is then not used again before the refusal
        was heard of.
        """
        return bool(self._quotas) or self._learned is not None or self._probing or self._window.careful

    @property
    def rate(self) -> float | None:
        """Requests a second, told or learned; None while nothing but the places bounds them."""
        learned = None if self._learned is None else self._learned.rate
        return min((rate for rate in (self._told, learned) if rate is not None), default=None)

    def report(self, now: float, signals: Signals, wanted: int) -> None:
        """Hears what has happened since the last report.

        Args:
            wanted: requests in flight and waiting: the window grows only if they fill it.
        """
        if self._opened_at is None:
            self._opened_at = now
        self._replies += signals.ok
        if "tokens" in self._quotas:
            self._quotas["tokens"].add(now, signals.tokens)
        if now < self._blocked_until:
            self._blocked_until = max(self._blocked_until, now + _wish(signals))
        elif self._probing:
            self._hear_probe(now, signals)
        else:
            if self._window.hear(signals, wanted, shrinks=self._learned is None):
                self._recent.clear()  # what is refused from here on was sent into the smaller window
                self._deaf_until = now + _PIPE
            self._judge(now, signals)

    def places(self, now: float) -> int:
        """Requests that may be in flight, over all workers; those that are out count among them."""
        if now < self._blocked_until:
            return 0
        return 1 if self._probing else int(self._window.size)

    def take(self, now: float, requests: int, tokens: int) -> int:
        """How many of `requests`, which use about `tokens` altogether, may be sent now. They count as sent."""
        number = min(requests, self.places(now))
        sizes = {"requests": 1.0, "tokens": max(1.0, tokens / max(1, requests))}
        for name, quota in self._quotas.items():
            number = min(number, quota.room(now, sizes[name]))
        if self._learned is not None:
            number = min(number, self._learned.room(now, requests))
            self._learned.add(number)
        amounts = {"requests": number, "tokens": tokens * number // max(1, requests)}
        for name, quota in self._quotas.items():
            quota.add(now, amounts[name])
        return number

    def give_back(self, now: float, requests: int, tokens: int) -> None:
        """Takes back what was granted lately, and not sent."""
        for name, quota in self._quotas.items():
            quota.add(now, -{"requests": requests, "tokens": tokens}[name])
        if self._learned is not None:
            self._learned.add(-requests)

    def wait(self, now: float) -> float:
        """Seconds until asking again makes sense."""
        if now < self._blocked_until:
            return self._blocked_until - now
        waits = [quota.wait(now) for quota in self._quotas.values()]
        if self._learned is not None:
            waits.append(self._learned.wait(now))
        return max([0.0, *waits])

    def _judge(self, now: float, signals: Signals) -> None:
        """Whether the endpoint has closed, or a learned rate is too high."""
        learned = self._learned
        self._remember(now, signals, _LOOK_BACK[1] if learned is None else max(1.0, 8 / learned.rate))
        if signals.ok:
            self._blocks = 0
        if learned is None:
            if signals.limited and self._is_wall(now, signals):
                self._hit_wall(now, signals)
        elif learned.refuted:
            self._learned = None
        elif signals.limited and self._sum(2) >= self._sum(1) / 8:
            if learned.confirmed and self._blocks < 2:
                self._slow_down(now, signals, learned)
            else:
                self._hit_wall(now, signals)

    def _remember(self, now: float, signals: Signals, span: float) -> None:
        if (signals.sent or signals.limited) and now >= self._deaf_until:
            self._recent.append((now, signals.sent, signals.limited))
        while self._recent and self._recent[0][0] < now - span:
            self._recent.popleft()

    def _sum(self, column: int) -> float:
        return sum(entry[column] for entry in self._recent)

    def _is_wall(self, now: float, signals: Signals) -> bool:
        """Whether in any of the last moments most of what was sent was refused.

        At least 4 requests, 2 where there is trouble already; in a short moment 85 % of them, else 60 %. Where the
        endpoint names a time, and nothing but refusals was heard, one is enough.
        """
        sent = limited = 0
        for at, more_sent, more_limited in reversed(self._recent):
            sent, limited = sent + more_sent, limited + more_limited
            share = 0.85 if now - at < _LOOK_BACK[1] / 2 else 0.6
            long_enough = now - at >= _LOOK_BACK[0] or at == self._recent[0][0]
            if long_enough and limited >= (2 if self._window.in_trouble else 4) and limited >= share * sent:
                return True
        return _wish(signals) > 0 and not signals.ok and 0 < limited >= 0.6 * sent

    def _hit_wall(self, now: float, signals: Signals) -> None:
        """All stop; then one tries alone."""
        self._wall_at = now
        if self._learned is None:
            self._window.halve()
        self._probing = True
        self._counts_by_time = self._learned is not None or _wish(signals) >= _TIMED
        self._block(now, signals)

    def _slow_down(self, now: float, signals: Signals, learned: Learned) -> None:
        """A short stop, and less from there on. The same excess counts once."""
        assert self._opened_at is not None
        passed = now - self._opened_at
        if passed > learned.period / 2:
            learned.cut(self._replies / passed)
            self._opened_at, self._replies = now, 0
        self._block(now, signals)

    def _block(self, now: float, signals: Signals) -> None:
        wish = _wish(signals)
        self._blocked_until = now + max(wish, min(_FIRST_BLOCK * 2.0 ** min(self._blocks, 30), _LONGEST_BLOCK))
        self._closed_at = now + wish
        self._blocks += 1
        self._probe_out = False
        self._recent.clear()

    def _hear_probe(self, now: float, signals: Signals) -> None:
        """Only the probe counts, and not what was on its way before."""
        if signals.ok and self._probe_out:
            self._reopen(now)
        elif (signals.limited and (signals.sent or self._probe_out)) or (signals.failed and self._probe_out):
            self._counts_by_time |= signals.limited > 0
            self._block(now, signals)
        else:
            self._probe_out |= signals.sent > 0

    def _reopen(self, now: float) -> None:
        """All may go on: at a learned rate if the endpoint counts by time.

        It has served what it allows from one opening to the next. It opened between the last refusal and now.
        """
        assert self._opened_at is not None
        if self._counts_by_time:
            passed = max(0.1, (self._closed_at + now) / 2 - self._opened_at)
            self._learned = _relearned(self._learned, max(1, self._replies) / passed, passed, now - self._wall_at)
        self._opened_at, self._replies = now, 0
        self._probing, self._blocks = False, 0
        self._window.reopen()


def _relearned(before: Learned | None, rate: float, passed: float, closed: float) -> Learned:
    """A rate measured over `passed` seconds; over a short time it says little against the one before."""
    period = max(1.0, closed)
    if before is None:
        return Learned(rate, period, confirmed=False)
    period = max(period, before.period)
    return Learned(rate if passed >= period else max(rate, before.ceiling / 2), period, confirmed=True)


def _wish(signals: Signals) -> float:
    """The seconds that the endpoint asks for, within reason; 0 for none."""
    return min(max(0.0, signals.retry_after or 0.0), _LONGEST_WISH) if signals.limited else 0.0
