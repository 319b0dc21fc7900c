"""What a person sees: plain lines, a live line in a terminal, and figures of what models are asked."""

from __future__ import annotations

import threading
from dataclasses import asdict
from io import StringIO
from typing import Any

import pytest

from curation.engine import progress as module
from curation.engine.progress import LiveProgress, Progress, Silent, best, watching
from curation.engine.spending import DOLLAR, Tally


def figures(finished: int = 0, **counts: int) -> dict[str, Any]:
    tally = {**asdict(Tally()), **counts}
    return {"tallies": {"teacher": tally, "judge": tally}, "finished": finished, "places": {}, "rates": {}}


def test_plain_lines_are_what_a_log_file_gets() -> None:
    out = StringIO()
    progress = Progress(out)
    with progress.running():
        progress.begin("round 0  clean", 2)
        progress.advance(10)
        progress.end("round 0  clean  10 -> 8")
    assert out.getvalue() == "round 0  clean  10 -> 8\n"


def test_a_log_file_learns_now_and_then_that_models_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOG_EVERY", 0.0)
    outs = {kind: StringIO() for kind in (Progress, Silent, LiveProgress)}
    for kind, out in outs.items():
        progress = kind(out)
        progress.begin("round 1  synthesize", 1)
        progress.requests(figures())
        progress.requests(figures(requests=3))
    assert outs[Progress].getvalue().startswith("round 1  synthesize: 6 requests, ")
    assert outs[Silent].getvalue() == outs[LiveProgress].getvalue() == ""


def test_a_silent_run_says_only_what_matters() -> None:
    out = StringIO()
    progress = Silent(out)
    progress.end("a stage")
    progress.say("Rounds ended.")
    assert out.getvalue() == "Rounds ended.\n"


def test_the_live_line_shows_rows_time_left_requests_and_money() -> None:
    progress = LiveProgress(StringIO())
    progress.begin("round 1  synthesize", 4, 100)
    progress.requests(
        figures(
            finished=40,
            requests=12,
            replies=10,
            retries=2,
            rate_limited=1,
            in_flight=3,
            prompt_tokens=900,
            completion_tokens=100,
            money=DOLLAR // 8,
        )
    )
    line = progress._line()
    assert "round 1  synthesize  0/4 partitions" in line
    assert "left" in line
    for part in (
        "24 requests",
        "6 in flight",
        "20 replies",
        "4 retries",
        "2 put off",
        "1,800 tokens in, 200 out",
        "$0.25",
    ):
        assert part in line


def test_each_round_shows_its_own_requests() -> None:
    progress = LiveProgress(StringIO())
    with watching(progress, lambda: figures(requests=10), every=60):
        progress.begin("round 2  synthesize", 1)
        progress.requests(figures(requests=15))
        assert "10 requests" in progress._line()
    progress.begin("round 2  clean", 1)
    assert "requests" not in progress._line()


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


def test_the_display_is_brought_what_the_pool_knows() -> None:
    arrived = threading.Event()

    class Listening(Progress):
        def requests(self, figures: Any) -> None:
            super().requests(figures)
            arrived.set()

    progress = Listening(StringIO())
    with watching(progress, lambda: figures(requests=1), every=0.01):
        assert arrived.wait(10)
        assert progress.figures["tallies"]["teacher"]["requests"] == 1
    assert progress.figures == {}
