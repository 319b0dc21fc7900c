"""What the report says of diversity and of whom the records mention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import yaml

from curation import summary
from curation.core.bias import LEAST_SCORED, Screen
from curation.core.diversity import MORE_IS_VARIED
from curation.core.records import Record, child, frame, human, seed, to_json
from curation.engine.lift import Outcome, Work
from curation.engine.store import write_json
from curation.report._diversity import GAPS, diversity, mentions
from curation.report.finished import Finished
from curation.report.page import write_report
from curation.stages.diversity import MEASURES
from tests.report.test_page import outline
from tests.run_folder import Builder, finished_run


def told(**measures: float | None) -> dict[str, Any]:
    return {
        "records": 1200,
        "texts": 1000,
        "measures": {**dict.fromkeys(MORE_IS_VARIED), **measures},
        "words": {"5": 40.0, "25": 60.0, "50": 80.4, "75": 120.0, "95": 200.0},
    }


ROUND = {
    "round": 1,
    "before": told(distinct_2=0.51, self_bleu=0.21, vendi_score=40.26),
    "new": told(distinct_2=0.31, self_bleu=0.51, vendi_score=9.0, parent_similarity=0.9),
    "after": told(distinct_2=0.41, self_bleu=0.31, vendi_score=30.0, parent_similarity=0.9),
}


def changed(root: Path, bounds: dict[str, float] | None = None, **values: Any) -> Finished:
    """The run with other contents of `run.json`, and bounds in its plan."""
    run = orjson.loads((root / "run.json").read_bytes())
    write_json(root / "run.json", {**run, **values})
    plan = yaml.safe_load((root / "plan.yaml").read_text())
    plan["rounds"]["diversity"]["bounds"] = bounds or {}
    (root / "plan.yaml").write_text(yaml.safe_dump(plan))
    return Finished.open(root)


def test_rounds_stand_with_their_bounds(tmp_path: Path) -> None:
    root = finished_run(tmp_path)
    bounds = {"self_bleu": 0.3, "distinct_2": 0.4}
    (found,) = diversity(changed(root, bounds, diversity=[ROUND]))
    rows = {row["name"]: row for row in found["measures"]}
    assert set(rows) == {"distinct_2", "self_bleu", "vendi_score", "parent_similarity"}  # what nothing was measured of
    assert not found["taken_back"]
    assert (rows["self_bleu"]["bound"], rows["self_bleu"]["passed"]) == ("≤ 0.3", True)
    assert (rows["distinct_2"]["bound"], rows["distinct_2"]["passed"]) == ("≥ 0.4", False)
    assert rows["parent_similarity"]["values"] == ["–", "0.900", "0.900"]
    page = write_report(root).read_text(encoding="utf-8")
    assert "Round 1 · past 1 of the plan’s bounds" in outline(page).text
    assert "vendi score40.39.030.0" in outline(page).text
    assert "words40 – 80 – 200" in outline(page).text
    assert "<mark>≤ 0.3</mark>" in page
    plan = (root / "plan.yaml").read_text()
    (root / "plan.yaml").write_text(plan.replace("on_breach: stop", "on_breach: take_back"))
    assert "bounds, and taken back" in outline(write_report(root).read_text(encoding="utf-8")).text


def test_a_run_that_measured_nothing_says_nothing(tmp_path: Path) -> None:
    page = outline(write_report(finished_run(tmp_path)).read_text(encoding="utf-8"))
    assert "How varied" not in page.text
    assert "Whom the records mention" not in page.text


def test_the_summary_holds_what_each_round_measured(tmp_path: Path) -> None:
    build = Builder(tmp_path)
    (tmp_path / "plan.yaml").write_text("{}")

    def work(folder: Path) -> Work:
        write_json(folder / MEASURES, {name: ROUND[name] for name in ("before", "new", "after")})
        return Outcome

    build.stage("85-diversity", 1, [frame([])], work)
    assert summary.summarize(tmp_path, build.stages, [], "done")["diversity"] == [ROUND]


def test_mentions_are_counted_in_the_dataset(tmp_path: Path) -> None:
    build = Builder(tmp_path)
    parent = human("h", question="What may she do?", answer="Much.", tags="women")
    topic = seed("s", question="she")
    made: list[Record] = []
    for number in range(2 * LEAST_SCORED):
        scores = {"rating": number % 2 + number % 4}
        text = "May a monk go?" if number % 2 else "May a muslim go?"
        made.append({**child(parent, number, 1, {"question": text}), "scores": to_json(scores)})
    dataset = [
        build.stage("70-split", 0, [frame([parent, topic])], lambda _folder: Outcome),
        build.stage("60-near", 1, [frame(made[::2]), frame(made[1::2])], lambda _folder: Outcome),
    ]
    found = summary.bias(dataset)
    screen = Screen()
    screen.add("human", "What may she do?", {})
    for row in made:
        screen.add("synthetic", row["question"], orjson.loads(row["scores"]))
    assert found == screen.result()
    assert found["records"] == {"human": 1, "synthetic": len(made)}
    assert [group["group"] for group in found["groups"]] == ["women", "Muslims"]
    assert summary.bias(dataset[:1]) is None


def group(name: str, human: int, synthetic: int, ratio: float | None, **effects: float | None) -> dict[str, Any]:
    scores = {
        attribute: {"with": 3.0, "without": 2.5, "gap": 0.5, "effect": effect, "records": 40}
        for attribute, effect in effects.items()
    }
    return {"dimension": "age", "group": name, "human": human, "synthetic": synthetic, "ratio": ratio, "scores": scores}


def test_ratios_and_the_largest_gaps_are_shown(tmp_path: Path) -> None:
    root = finished_run(tmp_path)
    many = {f"attribute_{number}": number / 100 for number in range(GAPS)}
    groups = [group("<kids>", 1200, 30, 0.25, helpful=-0.75, same=None, **many), group("elders", 1, 0, None)]
    bias = {"version": "9", "records": {"human": 5000, "synthetic": 500}, "groups": groups}
    found = mentions(changed(root, bias=bias))
    assert found is not None
    assert [gap["attribute"] for gap in found["gaps"]] == ["helpful", *sorted(many, key=many.__getitem__)[:0:-1]]
    text = outline(write_report(root).read_text(encoding="utf-8")).text
    assert "short English lists (version 9), 5,000 by people and 500 new" in text
    assert "age<kids>1,200300.25 ageelders10–" in text
    assert f"the {GAPS} largest gaps" in text
    assert "<kids>helpful403.002.50-0.75" in text
