"""What a person sees while a run works: a live display in a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from curation.engine.spending import DOLLAR

if TYPE_CHECKING:
    from rich.live import Live

Figures = Mapping[str, Any]
"""`pool.Pool.figures`: what was asked of models, how many records are done."""

_LOG_EVERY = 60.0
"""Seconds between two lines about requests where there is no live display."""


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
        self.rows_expected = 0
        self.started = 0.0
        self.figures: Figures = {}
        self.before: Figures = {}
        self._logged = 0.0

    def say(self, line: str) -> None:
        """One line that stays."""
        print(line, file=self.out, flush=True)

    def begin(self, title: str, parts: int, rows: int = 0) -> None:
        """A stage starts on so many partitions, of so many rows altogether."""
        self.title, self.parts, self.parts_done, self.rows, self.rows_expected = title, parts, 0, 0, rows
        self.started = self._logged = time.monotonic()
        self.figures = {}

    def advance(self, rows: int) -> None:
        """One more partition is done, with so many rows."""
        self.parts_done += 1
        self.rows += rows

    def requests(self, figures: Figures) -> None:
        """The newest figures of what is asked of models; a line now and then."""
        self.figures = figures
        if self.asks and time.monotonic() - self._logged >= _LOG_EVERY:
            self._logged = time.monotonic()
            self.log(f"{self.title}: {self.asked()}")

    def log(self, line: str) -> None:
        """A line that only says that the run is alive."""
        self.say(line)

    @property
    def asks(self) -> bool:
        """Whether this stage has asked a model."""
        return self._count("requests") + self._count("journal_hits") > 0

    def asked(self) -> str:
        """What this stage has asked of models so far, in two lines."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        replies, money = self._count("replies"), self._count("money")
        asked = [
            f"{self._count('requests'):,} requests",
            f"{self._count('in_flight'):,} in flight",
            f"{replies:,} replies ({replies / seconds:.1f}/s)",
        ]
        more = [
            f"{self._count('prompt_tokens'):,} tokens in, {self._count('completion_tokens'):,} out",
            f"${money / DOLLAR:,.2f}" if money else "",
            f"{self._count('retries'):,} retries",
            f"{self._count('rate_limited'):,} put off" if self._count("rate_limited") else "",
            f"{self._count('journal_hits'):,} from the journal" if self._count("journal_hits") else "",
        ]
        return "\n  ".join(", ".join(part for part in parts if part) for parts in (asked, more))

    def _count(self, name: str) -> int:
        """A figure of this stage: what was there when it began is not its own, but for what is in flight."""
        now, before = (
            sum(int(tally[name]) for tally in figures.get("tallies", {}).values())
            for figures in (self.figures, self.before)
        )
        return now if name == "in_flight" else now - before

    def end(self, line: str) -> None:
        """The stage is published."""
        self.say(line)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around the whole run."""
        yield

    def seconds_left(self) -> float | None:
        """From the records, or else the partitions, done so far; None while there is nothing to judge from."""
        finished = self.figures.get("finished", 0) - self.before.get("finished", 0)
        done, whole = (finished, self.rows_expected) if finished else (self.parts_done, self.parts)
        if not done:
            return None
        return (time.monotonic() - self.started) / done * max(0, whole - done)


class Silent(Progress):
    """Says nothing but what stays."""

    def log(self, line: str) -> None:
        """Nothing."""

    def end(self, line: str) -> None:
        """Nothing."""


class LiveProgress(Progress):
    """A display that renews itself in a terminal, under the lines that stay."""

    def __init__(self, out: TextIO | None = None) -> None:
        super().__init__(out)
        self.live: Live | None = None

    def log(self, line: str) -> None:
        """Nothing: the display shows it."""

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
        return f"{line}\n  {self.asked()}" if self.asks else line


@contextmanager
def watching(progress: Progress, figures: Callable[[], Figures], every: float = 1.0) -> Iterator[None]:
    """Brings the display the figures of requests while a stage asks models."""
    done = threading.Event()
    progress.before = figures()

    def watch() -> None:
        while not done.wait(every):
            with suppress(OSError):  # the scheduler is gone: the run will say so
                progress.requests(figures())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        progress.figures = {}


def best(quiet: bool) -> Progress:
    """The display that fits where the run was started: live in a terminal, plain lines elsewhere."""
    if quiet:
        return Silent()
    return LiveProgress() if sys.stderr.isatty() else Progress()
