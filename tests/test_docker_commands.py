"""The tutorial that begins with a topic: what its page shows is what happens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation import verify
from curation.config import load
from curation.engine.spending import spent
from curation.generators.open_qa import OpenQa
from curation.stages import SPENDING
from tests.test_tutorials import WALK, plans_not_run, walk

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "tutorials" / "docker-commands"
STEPS = walk.steps((TUTORIAL / "README.md").read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_plan_spells_out_what_the_page_tells_of() -> None:
    plan = load(ROOT / "configs" / "docker_commands.yaml")
    generator = plan.generation.generator.spec("generator").create()
    assert isinstance(generator, OpenQa)
    assert generator.variants == 9
    assert {model.kind for _, model in plan.generation.asked} == {"scripted"}
    assert (generator.question_threshold, generator.subtopic_threshold) == (
        OpenQa().question_threshold,
        OpenQa().subtopic_threshold,
    )


def test_commands_that_are_not_run_ask_real_models(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = plans_not_run(STEPS, monkeypatch)
    assert len(plans) == 2
    for plan in plans:
        assert {model.kind for _, model in plan.generation.asked} == {"openai_compatible"}
        assert all(model.model and model.endpoint for _, model in plan.generation.asked)
        plan.source_spec().create()
    assert plans[0].generation.generator.spec("generator").create().variants == 500


@pytest.mark.slow
def test_a_walk_shows_what_the_page_shows(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run([sys.executable, WALK, TUTORIAL.name, out], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    for step in STEPS:
        assert (f"$ {step.code}" in done.stdout) == step.runs

    assert verify.main([str(out)]) == 0
    train = pd.read_json(out / "final" / "train.jsonl", lines=True)
    assert set(train["origin"]) == {"synthetic"}
    assert Counter(train["subtopic"]) == {"Images": 3, "Containers": 2, "Volumes": 2}
    # Two lists were asked for a second time, and the reply that broke off three times.
    assert {model: tally.amount.requests for model, tally in spent(out / SPENDING).items()} == {
        "tutorial-teacher": (1 + 3 + 9) + 2 + 2,
        "tutorial-judge": 8,
    }
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "<b>1</b> are seeds to write from, and <b>7</b> new ones were written." in report

    # A seed is found out where it does not belong.
    (parent,) = set(train["parent_id"])
    path = out / "final" / "train.jsonl"
    rows = lines(path)
    rows.insert(0, {**rows[0], "id": parent, "parent_id": None, "origin": "seed", "round": 0})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    failed = {finding.check for finding in verify.verify(out) if finding.count}
    names = {check: name for name, check in verify.CHECKS.items()}
    assert {names[verify.content], names[verify.totals], names[verify.lineage]} <= failed
