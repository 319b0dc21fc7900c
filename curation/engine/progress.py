"""What a person sees while a run works: a live display in a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO
from uuid import uuid4

if TYPE_CHECKING:
    from rich.live import Live

    from curation.engine.guard import Tally

TOPIC = "curation-requests"
"""Where workers log the figures of their requests for the driver's display."""
Totals = dict[str, dict[str, int]]
"""Figures of `guard.Tally`, by partition."""


class Progress:
    """Plain lines, one when a stage ends: what a log file or a pipe gets.

    Args:
        out: where to write; standard error by default, so that standard output stays free for results.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stderr
        self.title = ""
        self.parts = 0
        self.parts_done = 0
        self.rows = 0
        self.started = 0.0
        self.tallies: Totals = {}

    def say(self, line: str) -> None:
        """One line that stays."""
        print(line, file=self.out, flush=True)

    def begin(self, title: str, parts: int) -> None:
        """A stage starts on so many partitions."""
        self.title, self.parts, self.parts_done, self.rows = title, parts, 0, 0
        self.started = time.monotonic()
        self.tallies = {}

    def advance(self, rows: int) -> None:
        """One more partition is done, with so many rows."""
        self.parts_done += 1
        self.rows += rows

    def requests(self, event: tuple[float, dict[str, Any]]) -> None:
        """The newest request figures of a partition that asks a model: a subscriber of `TOPIC`."""
        _, message = event
        self.tallies[message["partition"]] = message["tally"]

    def end(self, line: str) -> None:
        """The stage is published."""
        self.say(line)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around the whole run."""
        yield

    def seconds_left(self) -> float | None:
        """From the partitions done so far; None while there is nothing to judge from."""
        if not self.parts_done:
            return None
        spent = time.monotonic() - self.started
        return spent / self.parts_done * (self.parts - self.parts_done)


class Silent(Progress):
    """Says nothing but what stays."""

    def end(self, line: str) -> None:
        """Nothing."""


class LiveProgress(Progress):
    """A display that renews itself in a terminal, under the lines that stay."""

    def __init__(self, out: TextIO | None = None) -> None:
        super().__init__(out)
        self.live: Live | None = None

    def say(self, line: str) -> None:
        """One line above the live display."""
        if self.live is None:
            super().say(line)
        else:
            self.live.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Shows the display while the run works."""
        from rich.console import Console
        from rich.live import Live

        with Live(
            console=Console(file=self.out), get_renderable=self._line, refresh_per_second=4, transient=True
        ) as live:
            self.live = live
            try:
                yield
            finally:
                self.live = None

    def end(self, line: str) -> None:
        """The stage is published."""
        self.say(line)
        self.title = ""

    def _line(self) -> str:
        if not self.title:
            return ""
        seconds = time.monotonic() - self.started
        line = f"{self.title}  {self.parts_done}/{self.parts} partitions, {self.rows:,} rows, {seconds:.0f} s"
        left = self.seconds_left()
        if left is not None and self.parts_done < self.parts:
            line += f", about {left:.0f} s left"
        return line + self._requests(seconds)

    def _requests(self, seconds: float) -> str:
        if not self.tallies:
            return ""
        total = Counter[str]()
        for tally in list(self.tallies.values()):
            total.update(tally)
        return (
            f"\n  {total['requests']:,} requests, {total['replies']:,} replies "
            f"({total['replies'] / max(seconds, 1e-9):.1f}/s), {total['retries']} retries, "
            f"{total['prompt_tokens'] + total['completion_tokens']:,} tokens"
        )


@contextmanager
def reporting(tally: Tally, every: float = 1.0) -> Iterator[None]:
    """On a worker: sends the figures of a partition's requests to the driver, now and then and at the end.

    Outside of a worker (in a test, say) there is nobody to send them to.
    """
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        yield
        return
    key, done = uuid4().hex, threading.Event()

    def report() -> None:
        while not done.wait(every):
            worker.log_event(TOPIC, {"partition": key, "tally": asdict(tally)})

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        worker.log_event(TOPIC, {"partition": key, "tally": asdict(tally)})


def best(quiet: bool) -> Progress:
    """The display that fits where the run was started: live in a terminal, plain lines elsewhere."""
    if quiet:
        return Silent()
    return LiveProgress() if sys.stderr.isatty() else Progress()
