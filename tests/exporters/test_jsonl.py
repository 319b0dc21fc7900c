"""The final files: every column, scores and extras unfolded."""

from __future__ import annotations

import json
from pathlib import Path

from curation.core.records import human
from curation.exporters.jsonl import Jsonl


def test_every_record_is_a_line_with_all_its_columns(tmp_path: Path) -> None:
    row = human(
        "a", question="q\u2028?", scores='{"helpfulness": 3.5}', extra='{"license": "CC", "id": 7, "zip": "007"}'
    )
    exporter = Jsonl()
    assert exporter.write("train", [row], tmp_path) == 1
    assert exporter.write("train", [human("b")], tmp_path) == 1
    first, second = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert (first["id"], first["source_id"], first["helpfulness"], first["license"]) == ("a", 7, 3.5, "CC")
    assert first["zip"] == "007"
    assert first["question"] == "q\u2028?"
    assert "scores" not in first
    assert second["parent_id"] is None


def test_an_empty_split_has_its_file(tmp_path: Path) -> None:
    assert Jsonl().write("test", [], tmp_path) == 0
    assert (tmp_path / "test.jsonl").read_bytes() == b""
