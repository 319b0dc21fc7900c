"""Instructions and responses: all that were written, and those that were kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curation.core.records import Record, child, human
from curation.exporters.instructions import FILTERED, RAW, Instructions

PARENT = human("topic-1", group_id="topic-1", split="train")


def record(index: int, **columns: Any) -> Record:
    draft = {"title": None, "question": f"q{index}?", "answer": f"Answer {index}."}
    return child(PARENT, index, 1, {**draft, **columns})


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_what_was_kept_is_in_both_files_and_what_left_in_one(tmp_path: Path) -> None:
    exporter = Instructions()
    assert exporter.write("train", [], tmp_path) == 0
    assert exporter.write("train", [record(0), record(1, title="Title")], tmp_path) == 2
    exporter.write_left([record(2), record(3, answer=None), record(4, question=None)], tmp_path)
    kept = [
        {"instruction": "q0?", "response": "Answer 0."},
        {"instruction": "Title\n\nq1?", "response": "Answer 1."},
    ]
    assert lines(tmp_path / FILTERED) == kept
    assert lines(tmp_path / RAW) == [*kept, {"instruction": "q2?", "response": "Answer 2."}]


def test_both_files_are_there_without_a_record(tmp_path: Path) -> None:
    Instructions().write("test", [], tmp_path)
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == [b"", b""]
    assert {path.name for path in tmp_path.iterdir()} == {RAW, FILTERED}


def test_what_people_wrote_is_left_out(tmp_path: Path) -> None:
    assert Instructions().write("train", [human("law-1", question="q?", answer="a"), record(0)], tmp_path) == 1
    assert lines(tmp_path / FILTERED) == [{"instruction": "q0?", "response": "Answer 0."}]


def test_a_line_is_a_line_for_every_reader(tmp_path: Path) -> None:
    row = record(0, question="a\u2028b\n", answer=" é\u0085\n```\nx\n``` ")
    Instructions().write("train", [row], tmp_path)
    content = (tmp_path / RAW).read_bytes()
    assert content.isascii()
    assert content.count(b"\n") == 1
    assert lines(tmp_path / RAW) == [{"instruction": "a\u2028b", "response": "é\u0085\n```\nx\n```"}]
