from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation.config import SemanticPlan
from curation.core.errors import DiskError
from curation.core.records import Record, frame, human
from curation.dedupers.semantic import Survey
from curation.engine.lift import Outcome
from curation.report.thresholds import Choice, cosine, write_thresholds
from tests.report.test_page import outline
from tests.run_folder import Builder

ROWS = [
    human("a", title="Fences", question="Who pays for a fence of 2 metres?", answer="Both."),
    human("b", title="Fences", question="Who pays for a fence of 3 metres?", answer="Both neighbours."),
    human("c<i>", title=None, question="Is <script>alert(1)</script> allowed & safe?", answer="No."),
    human("d", title="A title", question="Is <script>alert(2)</script> allowed & sound?", answer="Never."),
]


def choice_of(
    root: Path, rows: list[Record] = ROWS, pairs: list[tuple[Any, ...]] | None = None, **changes: Any
) -> Choice:
    """What there is to choose from in a folder: a pair at 0.981, and one at 0.963."""
    pairs = [("b", "a", 0.981234, 98), ("d", "c<i>", 0.963, 96)] if pairs is None else pairs
    counts = dict.fromkeys(range(90, 100), 0) | {90: 12345, 96: 40, 98: 1} if pairs else {95: 0}
    survey = changes.pop("survey", {})
    found = Survey(
        **{
            "records": len(rows),
            "texts": len(rows),
            "counts": counts,
            "pairs": pd.DataFrame(pairs, columns=["id", "kept_id", "similarity", "bin"]),
            "removed": {0.955: 2, 0.97: 1},
            **survey,
        }
    )
    stage = Builder(root).stage("50-exact", 0, [frame(rows[:1]), frame(rows[1:])], lambda _folder: Outcome)
    return Choice(stage, changes.pop("plan", SemanticPlan()), found, **changes)


def page_of(root: Path, **changes: Any) -> str:
    return write_thresholds(root, choice_of(root, **changes)).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(tmp_path_factory.mktemp("run"))


def test_it_lies_in_the_runs_folder_and_is_the_same_each_time(page: str, tmp_path: Path) -> None:
    choice = choice_of(tmp_path)
    assert write_thresholds(tmp_path, choice) == tmp_path / "thresholds.html"
    assert write_thresholds(tmp_path, choice).read_text(encoding="utf-8") == page


def test_it_loads_nothing_and_runs_nothing(page: str) -> None:
    found = outline(page)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in page
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [name for name, _ in found.attributes if name in ("src", "href", "srcset") or name.startswith("on")]


def test_it_wears_the_reports_style(page: str) -> None:
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert ".beside {" in style
    assert "--accent:" in style


def test_a_row_for_each_threshold_with_the_line_for_the_plan(page: str) -> None:
    text = outline(page).text
    assert "At 0.97, 1 of 4 records leave." in text
    cells = [re.findall(r"<td.*?>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", page)]
    assert cells == [
        ["0.955", "2", "2", "<code>dedup.semantic.threshold=0.955</code>", ""],
        ["0.97", "1", "3", "<code>dedup.semantic.threshold=0.97</code>", "the plan&#39;s"],
    ]
    assert "dedup.semantic.at_most=N" in text


def test_pairs_lie_beside_each_other_with_what_differs_marked_and_escaped(page: str) -> None:
    assert "Who pays for a fence of <mark>2</mark> metres?" in page
    assert "Who pays for a fence of <mark>3</mark> metres?" in page
    assert "<mark>&lt;script&gt;alert(1)&lt;/script&gt;</mark> allowed &amp; <mark>safe?</mark>" in page
    assert "c&lt;i&gt;" in page
    text = outline(page).text
    assert '<h3 class="num">0.98 to 0.99</h3><span class="num">1 of 1 pair</span>' in page
    assert '<h3 class="num">0.96 to 0.97</h3><span class="num">1 of 40 pairs</span>' in page
    assert "0.9812" in text
    assert "The same: title" in text


def test_what_the_guard_sees_is_said_of_each_pair(page: str, tmp_path: Path) -> None:
    text = outline(page).text
    assert "a contrast: their numbers differ; dedup.semantic.guard=true keeps both" in text
    pair = [human("a", question="Is beer good?", answer="A"), human("b", question="Is ale good?", answer="B")]
    other = page_of(tmp_path, rows=pair, pairs=[("b", "a", 0.95, 95)], survey={"counts": {95: 1}})
    assert "no contrast that dedup.semantic.guard would see" in outline(other).text


def test_a_plan_with_the_guard_says_that_it_keeps_both(tmp_path: Path) -> None:
    text = outline(page_of(tmp_path, plan=SemanticPlan(guard=True))).text
    assert "their numbers differ; the guard keeps both" in text
    assert "those whose words contrast stay (guard)" in text


@pytest.mark.parametrize(
    ("by", "labels"), [("answer", {"answer"}), ("both", {"question", "answer"}), ("text", {"question", "answer"})]
)
def test_what_was_compared_is_shown(by: str, labels: set[str], tmp_path: Path) -> None:
    page = page_of(tmp_path, plan=SemanticPlan.model_validate({"by": by}), pairs=[("b", "a", 0.98, 98)])
    assert set(re.findall(r'<div class="label">(\w+), ', page)) == labels


def test_the_chart_has_a_bar_for_each_hundredth_and_the_threshold(page: str) -> None:
    bars = re.findall(r'<rect class="s(\d)" .*? height="([\d.]+)"><title>(.*?)</title>', page)
    assert len(bars) == 10
    assert bars[0][2] == "0.90 to 0.91: 12,345 pairs"
    heights = [float(height) for _, height, _ in bars]
    assert heights[0] > heights[6] > heights[8] > 0  # 12,345, 40 and 1
    assert heights[1] == 0
    assert [colour for colour, _, _ in bars] == ["1"] * 7 + ["0"] * 3
    assert 'aria-label="Pairs by similarity: 12,386 pairs from 0.90 on"' in page
    assert ">threshold 0.97</text>" in page


def test_without_pairs_it_says_so(tmp_path: Path) -> None:
    page = page_of(tmp_path, pairs=[])
    text = outline(page).text
    assert "No two texts are so near." in text
    assert "<svg" not in page
    assert "Pairs about the thresholds" not in text


def test_a_threshold_below_what_was_counted_has_no_mark(tmp_path: Path) -> None:
    page = page_of(tmp_path, plan=SemanticPlan(threshold=0.8), survey={"removed": {0.8: 3}})
    assert ">threshold 0.80</text>" not in page
    assert 'class="s1"' not in page.partition("</head>")[2]


def test_what_else_there_is_to_know_of_the_records(tmp_path: Path) -> None:
    text = outline(page_of(tmp_path, planned=False, survey={"records": 3, "texts": 2})).text
    assert "1 without such a text" in text
    assert "1 with the very text of a better one, at any threshold too many" in text
    assert "the default; the plan looks for no near duplicates" in text


def test_a_folder_that_cant_be_written_is_one_message(tmp_path: Path) -> None:
    choice = choice_of(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="a file stands where a folder should"):
        write_thresholds(tmp_path / "file", choice)


def test_thresholds_have_two_decimals_or_more() -> None:
    assert [cosine(value) for value in (0.8, 0.95, 0.955, 1.0)] == ["0.80", "0.95", "0.955", "1.00"]
