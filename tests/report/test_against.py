from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from curation import summary
from curation.config import Plan, dump
from curation.core.records import frame, human
from curation.engine.lift import Outcome, Work
from curation.engine.store import write_durably, write_json
from curation.job import collect_ledger
from curation.report._against import MATCHES_FILE, comparison
from curation.report.finished import Finished
from curation.report.page import write_report
from curation.stages._remove import Remove, write_verdicts
from tests.report.test_page import outline
from tests.run_folder import Builder, finished_run

FOUND = [
    ("a", "exact", "one.jsonl:1", 1.0, "one.jsonl"),
    ("a", "ngram", "one.jsonl:1", 0.4, "one.jsonl"),
    ("b", "ngram", "one.jsonl:1", 0.1, "one.jsonl"),
    ("c", "near", "two.jsonl:1", 0.98, "two.jsonl"),
]


def keep(rows: pd.DataFrame) -> Outcome:
    return Outcome(rows)


def compared(root: Path) -> Finished:
    """A run of four records, of which three match two files of three records."""
    build = Builder(root)
    places = [("one.jsonl", 1), ("one.jsonl", 2), ("two.jsonl", 1)]
    others = [human(f"{name}:{line}", question=f"{name} <{line}>?", file_name=name) for name, line in places]
    build.stage("05-reference", 0, [frame(others)], lambda _folder: keep)

    def decide(folder: Path) -> Work:
        matches = pd.DataFrame(FOUND, columns=["id", "check", "kept_id", "similarity", "file"])
        matches.assign(detail=matches["check"] + ": words").to_parquet(folder / MATCHES_FILE)
        verdicts = matches.drop_duplicates("id")[["id", "kept_id", "similarity"]].assign(reason="contaminated")
        return Remove("against", 0, write_verdicts(folder, verdicts))

    settings: dict[str, Any] = {"exact": True, "ngram": 13, "threshold": 0.97}
    rows = frame(human(name, title=f"Title {name}", question="What?", answer="So.") for name in "abcd")
    build.stage("45-against", 0, [rows], decide, settings)
    collect_ledger(build.store, build.stages)
    write_durably(root / "plan.yaml", dump(Plan()).encode())
    write_json(root / "run.json", summary.summarize(root, build.stages, [], "done"))
    return Finished.open(root)


def test_matches_are_counted_by_file_and_check(tmp_path: Path) -> None:
    found = comparison(compared(tmp_path))
    assert found is not None
    assert found["records"] == 3
    assert found["files"] == [
        {"name": "one.jsonl", "rows": 2, "counts": [1, 2, 0], "found": 1},
        {"name": "two.jsonl", "rows": 1, "counts": [0, 0, 1], "found": 1},
    ]
    assert [(check["means"], check["count"]) for check in found["checks"]] == [
        ("the same question", 1),
        ("a run of words in common", 2),
        ("nearly the same meaning", 1),
    ]


def test_both_records_of_an_example_are_shown(tmp_path: Path) -> None:
    found = comparison(compared(tmp_path))
    assert found is not None
    (example,) = found["checks"][2]["examples"]
    assert (example["text"], example["other"], example["detail"]) == ("Title c: What?", "two.jsonl <1>?", "near: words")


def page_of(root: Path) -> str:
    return outline(write_report(root).read_text(encoding="utf-8")).text


def test_the_page_tells_it(tmp_path: Path) -> None:
    text = page_of(compared(tmp_path).root)
    assert "3 records said what a record of the other set says, and left." in text
    assert "one.jsonl21201" in text
    assert "two.jsonl10011" in text
    assert "similarity 0.980 to “two.jsonl <1>?”" in text
    assert "contaminated · it says what a record of the other set says" in text
    assert "to the other set’s “one.jsonl <1>?”" in text


def test_the_page_tells_that_nothing_matched(tmp_path: Path) -> None:
    text = page_of(finished_run(tmp_path))
    assert "No record says what a record of the other set says." in text
    assert "bench.jsonl2000" in text


def test_a_run_without_another_set_has_nothing_to_tell(tmp_path: Path) -> None:
    done = compared(tmp_path)
    done.run["stages"] = [entry for entry in done.run["stages"] if entry["stage"] != "against"]
    assert comparison(Finished(done.root, done.run, done.plan_text)) is None
