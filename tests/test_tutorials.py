"""The tutorials: what their pages show is what happens."""

from __future__ import annotations

import asyncio
import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from curation import main as command
from curation import verify
from curation.config import Keys, Plan, load
from curation.core.records import REASON, Record, child, human
from curation.core.rules import Rule
from curation.sources.sample import SAMPLE
from curation.stages._asking import model_of

ROOT = Path(__file__).parents[1]
WALK = ROOT / "tutorials" / "walk.py"
PEFT = ROOT / "tutorials" / "peft-curation-with-sdg"
README = (PEFT / "README.md").read_text(encoding="utf-8")


def _walk() -> Any:
    spec = importlib.util.spec_from_file_location("tutorial_walk", WALK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


walk = _walk()
STEPS = walk.steps(README)


def commands(code: str) -> list[list[str]]:
    """The words of each command of a block."""
    return [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def plans_not_run(steps: Iterable[Any], monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans of the commands that a page shows without running them."""
    from curation import job

    plans: list[Plan] = []

    def run(plan: Plan, keys: Keys, dry: bool, quiet: bool) -> int:
        plans.append(plan)
        return 0

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(job, "run", run)
    for step in steps:
        for words in [] if step.runs else commands(step.code):
            if words[:3] == ["python", "-m", "curation.main"]:
                assert command.main(words[3:]) == 0, step.code
    return plans


def test_the_walk_knows_every_block_of_the_page() -> None:
    shown = [step for step in STEPS if step.shown]
    assert README.count("```") == 2 * (len(STEPS) + len(shown))
    assert {step.note.partition(":")[0] for step in STEPS} == {"", "not run", "Ctrl-C after"}
    assert all(step.shown for step in STEPS if step.runs)


def test_commands_that_are_not_run_make_sound_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = plans_not_run(STEPS, monkeypatch)
    assert len(plans) == 3
    assert all(plan.generation.teacher.kind == "openai_compatible" for plan in plans)


@pytest.mark.parametrize(
    ("shown", "said", "untrue"),
    [
        ("a  [1.0 s]\n…\nc\n", "a [2.5 s]\nb\nc\n", []),
        ("at 127.0.0.1:1, 0.99…\n", "at 127.0.0.1:2, 0.9954\n", []),
        ("^C\nstopped\n", "stopped\n", []),
        ("3 -> 2\n", "3 -> 3\n", ["3 -> 2"]),
        ("b\na\n", "a\nb\n", ["a"]),
        ("a\n", "a and more\n", ["a"]),
    ],
)
def test_the_walk_sees_what_is_shown_and_not_so(shown: str, said: str, untrue: Sequence[str]) -> None:
    assert list(walk.untrue(shown, said)) == untrue


async def outcome(plan: Plan, parent: Record) -> str:
    """What becomes of a parent's variant, without the engine around the models: a reason, a clause, or `kept`."""
    generator = plan.generation.generator.spec("generator").create()
    (critic,) = (one.create() for one in plan.generation.panel)
    assert plan.generation.drop is not None
    (draft,) = await generator.expand(parent, model_of(plan.generation.teacher, None))
    if REASON in draft:
        return str(draft[REASON])
    assert all(50 <= len(draft[field].split()) <= 500 for field in ("question", "answer")), draft["title"]
    scores = await critic.judge(child(parent, 0, 1, draft), parent, model_of(plan.generation.judge_model, None))
    return Rule.parse(plan.generation.drop).failing(scores) or "kept"


def test_the_scripts_answer_for_records_of_the_sample_as_the_page_says() -> None:
    plan = load(PEFT / "plan.yaml")
    sample = pd.read_json(SAMPLE, lines=True)
    outcomes = []
    for rule in plan.generation.teacher.arguments["rules"]:
        fits = ('"title": "' + sample["title"]).str.contains(rule["match"])
        row = sample[fits].iloc[0]
        texts = {name: row[name] for name in ("title", "question", "answer")}
        outcomes.append(asyncio.run(outcome(plan, human(row["id"], **texts))))
    # The reply that broke off: the engine, not the generator, sees that it did.
    assert sorted(outcomes) == ["helpfulness < 3", *["kept"] * 7, "refusal", "unreadable_reply"]


@pytest.mark.slow
def test_a_walk_shows_what_the_page_shows(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run([sys.executable, WALK, PEFT.name, out], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    for step in STEPS:
        assert (f"$ {step.code}" in done.stdout) == step.runs

    assert verify.main([str(out)]) == 0
    train = pd.read_json(out / "final" / "train.jsonl", lines=True).set_index("id")
    made = train[train["origin"] == "synthetic"]
    assert len(made) == 5
    assert made["parent_id"].isin(train.index[train["origin"] == "human"]).all()
    assert (made["root_id"] == made["parent_id"]).all()
    assert set(made["model"]) == {"tutorial-teacher"}
    assert (made["helpfulness"] >= 3.4).all()
    ledger = pd.concat([pd.read_parquet(path) for path in sorted((out / "ledger").glob("round-0[12]-*.parquet"))])
    assert ledger["reason"].value_counts().to_dict() == {
        "failed_rule": 2, "refusal": 1, "cut_reply": 1, "near_duplicate": 1,
    }  # fmt: skip
