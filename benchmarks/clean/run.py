"""Cleaning and filtering against the tutorial's steps, on one core: `python -m benchmarks.clean.run [--rows N]`.

The records are the shared StackExchange questions with their best answers, repeated to `--rows`. Both sides start from
the same frame in memory and are measured in CPU seconds of this process, in turns, so that what else the machine does
hits both. The medians of `--rounds` turns are compared. Nothing is timed before both have agreed on the results.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
from bs4 import BeautifulSoup
from nemo_curator.filters import WordCountFilter
from nemo_curator.modifiers import UnicodeReformatter

from curation.core.records import frame, human
from curation.engine.onepass import FILTER, MODIFIER, Step, clean_partition, schedule
from curation.filters.low_score import LowScore
from curation.modifiers.html import Html
from curation.modifiers.unicode import Unicode

DATA = Path(os.environ.get("CURATION_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
TEXTS = ("title", "question", "answer")
SCORES = ("question_score", "answer_score")
WORDS = WordCountFilter(min_words=50, max_words=500)
SPACES = re.compile(r"\s+")


def records(count: int) -> pd.DataFrame:
    """Answered questions with their best answers, again and again until there are `count`."""
    rows = [row for path in sorted((DATA / "stackexchange").glob("*.json")) for row in orjson.loads(path.read_bytes())]
    answered = itertools.cycle([row for row in rows if row["answers"]])
    picked = [
        (row, max(row["answers"], key=lambda answer: answer["score"])) for row in itertools.islice(answered, count)
    ]
    return frame(
        human(
            str(number),
            title=row["question_title"],
            question=row["question_body"],
            answer=best["body"],
            question_score=float(row["score"]),
            answer_score=float(best["score"]),
        )
        for number, (row, best) in enumerate(picked)
    )


def steps(html: Any, unicode: Any) -> list[Step]:
    """The steps of `configs/law.yaml`."""
    return [
        Step(MODIFIER, html, TEXTS, "Html()"),
        Step(MODIFIER, unicode, TEXTS, "Unicode()"),
        Step(FILTER, WORDS, ("question", "answer"), "WordCountFilter(min_words=50, max_words=500)"),
        Step(FILTER, LowScore(minimum=0), SCORES, "LowScore(minimum=0)"),
    ]


def beautiful(html: str) -> str:
    """The tutorial's cleaning of HTML."""
    return SPACES.sub(" ", BeautifulSoup(html, "lxml").get_text()).strip()


def tutorial(table: pd.DataFrame, html: Callable[[str], str] = beautiful, times: int = 1) -> pd.DataFrame:
    """Every step over every row, and only then the filters, as the tutorial's lazy table has it."""
    cleaned = table.copy(deep=False)
    for modify in [html] * times + [UnicodeReformatter().modify_document]:
        for field in TEXTS:
            cleaned[field] = cleaned[field].apply(modify)
    keep = pd.Series(True, index=cleaned.index)
    for field in ("question", "answer"):
        keep &= cleaned[field].apply(WORDS.score_document).apply(WORDS.keep_document)
    for field in SCORES:
        keep &= cleaned[field].apply(lambda score: score >= 0)
    return cleaned[keep]


def ours(table: pd.DataFrame) -> pd.DataFrame:
    """The same work in one pass."""
    return clean_partition(schedule(steps(Html(), Unicode())), table)[0]


def agree(table: pd.DataFrame) -> None:
    """Same components, same rows and texts; and the Unicode modifier's result is UnicodeReformatter's."""
    expected = tutorial(table, html=Html().modify_document)
    got = ours(table)
    assert got["id"].tolist() == expected["id"].tolist(), "other rows are kept"
    for field in TEXTS:
        assert got[field].tolist() == expected[field].tolist(), f"another {field}"
    print(f"both keep the same {len(got):,} of {len(table):,} rows, with the same texts")


def compare(name: str, one: Callable[[], object], other: Callable[[], object], rows: int, rounds: int) -> None:
    """Prints the median CPU seconds of both, run in turns, and their ratio."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, taken in zip((one, other), seconds, strict=True):
            started = time.process_time()
            run()
            taken.append(time.process_time() - started)
    theirs, mine = map(statistics.median, seconds)
    print(
        f"{name:<42} {theirs:8.2f} {mine:8.2f} {rows / theirs:12,.0f} {rows / mine:12,.0f} {theirs / mine:7.1f}x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not (DATA / "stackexchange").is_dir():
        raise SystemExit(f"the shared data is not here: {DATA} (set CURATION_SHARED_DATA to its folder)")

    table = records(options.rows)
    agree(table)
    columns = {field: table[field] for field in TEXTS}
    bodies = [*table["question"], *table["answer"]]
    cleaned = [text for field in TEXTS for text in map(Html().modify_document, columns[field])]
    beyond_ascii = [text for text in cleaned if not text.isascii()]

    def each(function: Callable[[str], str], texts: list[str]) -> Callable[[], object]:
        return lambda: [function(text) for text in texts]

    html, unicode = Html().modify_document, Unicode().modify_document
    reformat = UnicodeReformatter().modify_document
    every = [text for column in columns.values() for text in column]
    print(f"{'':<42} {'CPU s':>8} {'CPU s':>8} {'per CPU s':>12} {'per CPU s':>12}")
    print(f"{'':<42} {'tutorial':>8} {'ours':>8} {'tutorial':>12} {'ours':>12} {'ratio':>8}")
    count, turns = options.rows, options.rounds
    compare("all steps, HTML cleaned once (rows)", lambda: tutorial(table), lambda: ours(table), count, turns)
    compare("all steps, HTML cleaned twice (rows)", lambda: tutorial(table, times=2), lambda: ours(table), count, turns)
    compare("HTML, all three fields (texts)", each(beautiful, every), each(html, every), len(every), turns)
    compare("HTML, questions and answers (texts)", each(beautiful, bodies), each(html, bodies), len(bodies), turns)
    compare("Unicode, all three fields (texts)", each(reformat, cleaned), each(unicode, cleaned), len(cleaned), turns)
    some = len(beyond_ascii)
    compare("Unicode, not ASCII (texts)", each(reformat, beyond_ascii), each(unicode, beyond_ascii), some, turns)


if __name__ == "__main__":
    main()
