"""The hand-off as NeMo's data modules need it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pytest

from curation.core.records import human
from curation.exporters.nemo import Nemo

ROW = human("a", title="Rent — due?", question="May he\u2028raise it? \n", answer="No. ")


@pytest.mark.parametrize(("task", "output"), [("title", "Rent — due?"), ("qa", "No.")])
def test_lines_are_ascii_without_nulls_or_trailing_space(
    tmp_path: Path, task: Literal["title", "qa"], output: str
) -> None:
    exporter = Nemo(task)
    assert exporter.write("train", [ROW], tmp_path) == 1
    text = (tmp_path / "training.jsonl").read_bytes().decode("ascii")
    assert text.count("\n") == 1
    line = json.loads(text)
    assert list(line) == ["input", "output", "id"]
    assert line["output"] == output
    assert line["input"] == line["input"].rstrip()
    assert "QUESTION:" in line["input"]
    assert exporter.folder == f"handoff/{task}/nemo"


def test_the_title_is_not_in_the_input_that_asks_for_it(tmp_path: Path) -> None:
    Nemo("title").write("test", [ROW], tmp_path)
    assert "Rent" not in json.loads((tmp_path / "test.jsonl").read_text())["input"]


def test_what_lacks_a_text_is_left_out_and_counted(tmp_path: Path) -> None:
    rows = [ROW, human("b", question="q", answer="a"), human("c", title="t", question=" ", answer="a")]
    assert Nemo("title").write("validation", rows, tmp_path) == 1
    assert Nemo("qa", prompt="Say:").write("test", rows, tmp_path) == 2
    assert json.loads((tmp_path / "test.jsonl").read_text().splitlines()[1])["input"].startswith("Say: \n")
