"""What a person sees: plain lines, a live line in a terminal, and figures that come from the workers."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from curation.engine.guard import Tally
from curation.engine.progress import TOPIC, LiveProgress, Progress, Silent, best, reporting

if TYPE_CHECKING:
    from distributed import Client


def test_plain_lines_are_what_a_log_file_gets() -> None:
    out = StringIO()
    progress = Progress(out)
    with progress.running():
        progress.begin("round 0  clean", 2)
        progress.advance(10)
        progress.end("round 0  clean  10 -> 8")
    assert out.getvalue() == "round 0  clean  10 -> 8\n"


def test_a_silent_run_says_only_what_matters() -> None:
    out = StringIO()
    progress = Silent(out)
    progress.end("a stage")
    progress.say("Rounds ended.")
    assert out.getvalue() == "Rounds ended.\n"


def test_the_live_line_shows_rows_time_left_and_requests() -> None:
    progress = LiveProgress(StringIO())
    progress.begin("round 1  synthesize", 4)
    progress.advance(25)
    tally = {"requests": 12, "replies": 10, "retries": 2, "prompt_tokens": 900, "completion_tokens": 100}
    for partition in ("a", "b"):
        progress.requests((0.0, {"partition": partition, "tally": tally}))
    line = progress._line()
    assert "round 1  synthesize  1/4 partitions, 25 rows" in line
    assert "left" in line
    assert "24 requests, 20 replies" in line
    assert "4 retries, 2,000 tokens" in line


def test_nothing_runs_nothing_shows() -> None:
    out = StringIO()
    progress = LiveProgress(out)
    with progress.running():
        assert progress._line() == ""
        progress.say("[bold]not markup[/bold]")
    assert "[bold]not markup[/bold]" in out.getvalue()


def test_the_display_fits_where_the_run_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(best(quiet=True)) is Silent
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert type(best(quiet=False)) is LiveProgress
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert type(best(quiet=False)) is Progress


def ask() -> None:
    tally = Tally()
    with reporting(tally, every=0.01):
        tally.requests += 3


def test_figures_travel_from_a_worker_to_the_driver(client: Client) -> None:
    import threading

    arrived = threading.Event()
    seen: list[Any] = []

    def listen(event: Any) -> None:
        seen.append(event)
        if event[1]["tally"]["requests"] == 3:
            arrived.set()

    client.subscribe_topic(TOPIC, listen)
    client.submit(ask, pure=False).result()
    assert arrived.wait(10), seen
    client.unsubscribe_topic(TOPIC)


def test_outside_of_a_worker_nobody_is_told() -> None:
    ask()
