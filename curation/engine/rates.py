"""Rates of requests: a quota that the plan tells, kept exactly; one that was learned, felt for upwards.

Everything is a function of what it is told: times are seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

_SLACK: Final = 0.1
"""Seconds that a bucket may save up, so that reports in ticks lose nothing."""


class Bucket:
    """Fills at `rate` to what `_SLACK` seconds bring, and at least 1; starts full, and may be in debt."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.level = self._capacity
        self.at: float | None = None

    def fill(self, now: float) -> float:
        """Answers with the seconds since the last time."""
        passed = 0.0 if self.at is None else max(0.0, now - self.at)
        self.at = now
        self.level = max(self.level, min(self._capacity, self.level + self.rate * passed))
        return passed

    def room(self, each: float) -> int:
        """How many of a size; one that is larger than the bucket needs it full, and leaves a debt."""
        return max(1, int(self.level / each + 1e-9)) if self.lacks(each) <= 0 else 0

    def lacks(self, each: float) -> float:
        """Seconds, from the last filling, until there is room for one."""
        return (min(each, self._capacity) - self.level - 1e-9) / self.rate

    @property
    def _capacity(self) -> float:
        return max(1.0, self.rate * _SLACK)


class Quota:
    """A limit for any `period` seconds, kept exactly, in any of them, and spread evenly.

    Requests follow each other evenly from the first: many endpoints count in shorter periods than they tell, or let
    requests drip. The period is taken to be 2 % and 50 ms longer, since a request that leaves later than it was
    granted may overtake another. Sends of a 256th of it are counted together, by the time of the last. Of tokens,
    what is out and was estimated too low is known only when it is done: by so much the limit may be passed.
    """

    def __init__(self, limit: float, period: float) -> None:
        self.limit, period = max(1.0, limit), period * max(1.0, 1 / limit)
        self._horizon = period * 1.02 + 0.05
        self._bucket = Bucket(self.limit / self._horizon)
        self._log: deque[tuple[float, float, int]] = deque()  # first and last time, amount
        self._used = 0
        self._each = 1.0

    def room(self, now: float, each: float) -> int:
        """How many of a size may be sent. One that is larger than the limit goes when nothing else counts."""
        self._each = each
        self._refresh(now)
        fits = int((self.limit - self._used) / each + 1e-9)
        return max(0, min(fits if self._log else max(1, fits), self._bucket.room(each)))

    def add(self, now: float, amount: int) -> None:
        """Counts as sent now; a negative amount was granted lately and not sent, or was less than expected.

        It is taken from the newest: so estimates that err to both sides cancel each other.
        """
        self._bucket.level -= amount
        self._used += amount
        if amount > 0:
            first = now
            if self._log and now - self._log[-1][0] < self._horizon / 256:
                first, _, before = self._log.pop()
                amount += before
            self._log.append((first, now, amount))
        while amount < 0 and self._log:
            first, last, there = self._log.pop()
            amount += there
            if amount > 0:
                self._log.append((first, last, amount))
        self._used -= min(0, amount)  # of what counts no more nothing can be taken

    def wait(self, now: float) -> float:
        """Seconds until there may be room for one more of the last size."""
        self._refresh(now)
        full = bool(self._log) and self.limit - self._used < self._each
        return max(self._bucket.lacks(self._each), self._log[0][1] + self._horizon - now if full else 0.0)

    def _refresh(self, now: float) -> None:
        self._bucket.fill(now)
        while self._log and self._log[0][1] <= now - self._horizon:
            self._used -= self._log.popleft()[2]


class Learned:
    """A rate that an endpoint has been found to allow, or nearly.

    Args:
        ceiling: requests a second that are about too many.
        period: seconds for which the endpoint was closed.
        confirmed: whether it has refused at a learned rate before. Else the endpoint may just have been away, and the
            rate rises eight times as fast.
    """

    def __init__(self, ceiling: float, period: float, confirmed: bool) -> None:
        self.ceiling = ceiling
        self.period = period
        self.confirmed = confirmed
        self._scale = period if confirmed else period / 8
        self._pressed = 0.0
        self._bucket = Bucket(self.rate)

    @property
    def rate(self) -> float:
        """Requests a second: the cubic of the time for which more were wanted than it allows."""
        return self.ceiling * (1 + 0.1 * (self._pressed / self._scale - 1) ** 3)

    @property
    def refuted(self) -> bool:
        """Whether the endpoint serves so much more that there is no limit any more."""
        return self.rate >= 10 * self.ceiling

    def room(self, now: float, wanted: int) -> int:
        """How many may be sent."""
        passed = self._bucket.fill(now)
        room = self._bucket.room(1.0)
        if room < wanted:
            self._pressed += min(passed, 1.0)
            self._bucket.rate = self.rate
        return room

    def add(self, amount: int) -> None:
        """Counts as sent."""
        self._bucket.level -= amount

    def cut(self, served: float) -> None:
        """This was too fast: a tenth below what was served lately, though no more than a quarter less."""
        self.ceiling, self._pressed = min(self.rate, max(0.83 * self.rate, 1.03 * served)), 0.0
        self._bucket.rate = self.rate

    def wait(self, now: float) -> float:
        """Seconds until there is room for one more."""
        self._bucket.fill(now)
        return self._bucket.lacks(1.0)
