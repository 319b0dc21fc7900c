"""The tutorial on InstructLab's taxonomy: seeds and documents in, as many records of each leaf out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from curation import rounds, summary
from curation.config import Keys, Plan, load
from curation.engine.progress import Silent
from curation.engine.run import Run
from curation.engine.store import Store
from tests.test_tutorials import WALK, plans_not_run, walk

if TYPE_CHECKING:
    from distributed import Client

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "tutorials" / "instructlab-taxonomy"
STEPS = walk.steps((TUTORIAL / "README.md").read_text(encoding="utf-8"))
LEAVES = (
    "compositional_skills/grounded/reading/who_does_what",
    "compositional_skills/writing/plain_words",
    "knowledge/services/harbour_library",
)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The tutorial's plan on a copy of its taxonomy, without embeddings: they are slow, and not what is tested."""
    shutil.copytree(TUTORIAL, tmp_path / "tutorial")
    skill = "{questions_per_context: 1, context_threshold: null}"
    return load(
        ROOT / "configs" / "taxonomy.yaml",
        [("output", str(tmp_path / "out")), ("source.arguments.path", str(tmp_path / "tutorial" / "taxonomy"))],
        [
            "dedup.semantic=null",
            "rounds.diversity=null",
            f"generation.generator.arguments={{variants: 3, question_threshold: null, skill: {skill}}}",
        ],
    )


def curate(client: Client, plan: Plan) -> tuple[rounds.Result, dict[str, Any]]:
    store = Store(plan.output)
    with store.lock():
        run = Run(store, client, Silent())
        result = rounds.curate(run, plan, Keys())
        told = summary.balance(run.stages, result.dataset, plan.rounds.balance)
    assert told is not None
    return result, told


def asked(plan: Plan) -> set[str]:
    """Every request that was ever answered."""
    segments = sorted((plan.output / "journal").glob("*.jsonl"))
    lines = [json.loads(line) for path in segments for line in path.read_text(encoding="utf-8").splitlines()]
    return {line["messages"][-1]["content"] for line in lines}


def test_every_leaf_has_its_records_and_an_edited_one_is_asked_about_alone(client: Client, plan: Plan) -> None:
    result, told = curate(client, plan)
    assert result.ended == "every group has its records"
    assert told["evenness"] == 1
    assert {group["group"]: group["records"] for group in told["groups"]} == dict.fromkeys(LEAVES, 6)
    rows = [json.loads(line) for line in (plan.output / "final" / "train.jsonl").read_text().splitlines()]
    assert Counter(row["strategy"] for row in rows) == {
        "taxonomy_skill:freeform": 6, "taxonomy_skill:grounded": 6, "taxonomy_knowledge": 6
    }  # fmt: skip
    assert {row["origin"] for row in rows} == {"synthetic"}
    for row in rows:
        assert bool(row["context"]) == (row["strategy"] != "taxonomy_skill:freeform")
        assert row["rating"] == 3
        assert ("stands_alone" in row and row["stands_alone"] is not None) == (row["kind"] == "knowledge")
    bounds = {reason for group in told["groups"] for reason in group["left"]}
    assert bounds <= {"failed_rule", "over_target", "exact_duplicate"}

    before = asked(plan)
    leaf = Path(str(plan.source.arguments["path"])) / LEAVES[1] / "qna.yaml"
    text = leaf.read_text(encoding="utf-8")
    leaf.write_text(text.replace("Please pay within fourteen days.", "You have two weeks to pay."), encoding="utf-8")
    result, told = curate(client, plan)
    assert result.ended == "every group has its records"
    assert told["evenness"] == 1
    new = asked(plan) - before
    assert new
    assert all("Say this in plain words" in request for request in new)


def test_commands_that_are_not_run_ask_real_models(monkeypatch: pytest.MonkeyPatch) -> None:
    (plan,) = plans_not_run(STEPS, monkeypatch)
    assert {model.kind for _, model in plan.generation.asked} == {"openai_compatible"}
    assert plan.source.arguments == {"path": "my-taxonomy", "chunk_tokens": 500}
    assert plan.generation.generator.spec("generator").create().variants == 10


@pytest.mark.slow
def test_a_walk_shows_what_the_page_shows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, WALK, TUTORIAL.name, tmp_path / "run"], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    for step in STEPS:
        assert (f"$ {step.code}" in done.stdout) == step.runs
