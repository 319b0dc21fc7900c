"""The tutorial that ends with ROUGE, and the small model and the comparison behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.finetune import compare, demo, page, tiny
from benchmarks.finetune.recipes import Handoff, parameters, read
from curation import verify
from curation.config import load
from curation.core.records import human
from tests.test_tutorials import WALK, commands, plans_not_run, walk

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "tutorials" / "law-title-lora"
STEPS = walk.steps((TUTORIAL / "README.md").read_text(encoding="utf-8"))
RECIPES = ROOT / "curation" / "exporters" / "recipes"

FIGURES: dict[str, Any] = {
    "machine": "<b>a machine",
    "task": "title",
    "examples": {"training": 3, "validation": 2, "test": 1},
    "pretraining": {
        "parameters": 1_300_000,
        "steps": 2,
        "curve": [7.5, 7.0],
        "before": {"train": 7.6, "validation": 7.6},
        "after": {"train": 6.9, "validation": 7.1},
    },
    "loss": {"base": {"validation": 6.0, "test": 6.5}, "adapter": {"validation": 5.0, "test": 5.5}},
    "rouge": {name: dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), 1.5) for name in ("base", "adapter")},
    "log": [{"step": 1, "train_loss": 6.0, "lr": 1e-3}, {"step": 2, "train_loss": 5.5, "validation_loss": 5.0}],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """What the benchmarks read of a run: three records of people, and one written from the first."""
    rows = [human(f"law-{n}", title=f"Title {n}", question="May he? " * 9, answer="No. " * 9) for n in range(3)]
    synthetic = {**rows[0], "id": "law-0-synth-1-0", "origin": "synthetic", "question": "SYNTHETIC " * 9}
    splits = {"train": [*rows[:2], synthetic], "validation": rows[2:], "test": rows[2:]}
    data = tmp_path / "run" / "handoff" / "title" / "nemo"
    for folder in (tmp_path / "run" / "final", data):
        folder.mkdir(parents=True)
    for split, some in splits.items():
        write(tmp_path / "run" / "final" / f"{split}.jsonl", some)
        examples = [{"input": row["question"].strip(), "output": row["title"], "id": row["id"]} for row in some]
        write(data / f"{'training' if split == 'train' else split}.jsonl", examples)
    return tmp_path / "run"


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def words_of(program: str) -> list[list[str]]:
    """What the page hands to a program, in the order of its commands."""
    every = [words for step in STEPS if step.kind == "sh" for words in commands(step.code)]
    return [
        words[place + 1 :] for words in every for place, word in enumerate(words) if word.rpartition("/")[2] == program
    ]


def benchmark(name: str, *words: object) -> None:
    """Runs it to its end."""
    command: list[str] = [sys.executable, "-m", f"benchmarks.finetune.{name}", *map(str, words)]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


def test_the_page_curates_by_sound_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    (real,) = plans_not_run(STEPS, monkeypatch)
    assert [task.name for task in real.tasks] == ["title"]
    assert {model.kind for _, model in real.generation.asked} == {"openai_compatible"}
    sample = load(ROOT / "configs" / "sample.yaml")
    assert not list(sample.generation.asked)  # so the page runs offline
    assert len(words_of("curation.main")) == 3


@pytest.mark.parametrize("recipe", ["hf_peft_lora.py", "eval_rouge.py", "nemo2_lora.py"])
def test_recipes_take_what_the_page_hands_them(recipe: str) -> None:
    source = (RECIPES / recipe).read_text(encoding="utf-8")
    calls = words_of(recipe)
    assert calls
    for words in calls:
        assert [word for word in words if word.startswith("--") and f'"{word}"' not in source] == []


def test_the_page_shows_the_files_that_there_are() -> None:
    (shown,) = [step.shown for step in STEPS if step.code.startswith("cd ") and step.runs]
    assert {path.name for path in RECIPES.iterdir() if path.is_file()} <= set(shown.split())


def test_the_small_model_learns_from_human_questions_and_answers_alone(run: Path) -> None:
    texts = tiny.human_texts(run, "train")
    assert len(texts) == 4
    assert not any("SYNTHETIC" in text or "Title" in text for text in texts)


def test_the_small_model_is_the_same_each_time(run: Path, tmp_path: Path) -> None:
    first, second = (tiny.make(run, tmp_path / name, "tiny", seed=3, steps=2) for name in ("a", "b"))
    assert first["parameters"] == parameters(tmp_path / "a")
    assert first == second == json.loads((tmp_path / "a" / tiny.LOG).read_text(encoding="utf-8"))
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert tiny.make(run, tmp_path / "c", "tiny", seed=4, steps=2)["curve"] != first["curve"]


def test_the_small_tokenizer_has_llamas_tokens_and_can_write_anything() -> None:
    tokenizer = tiny.make_tokenizer(["May he? No."], 300)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (tiny.BEGIN, tiny.END, tiny.PAD)
    ids = tokenizer("Zürich\u2028§ 5")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Zürich\u2028§ 5"


def test_both_arms_are_told_apart_by_who_wrote_them(run: Path) -> None:
    arms = compare.examples(Handoff(run))
    assert [row["id"] for row in arms[compare.HUMAN]] == ["law-0", "law-1"]
    assert [row["id"] for row in arms[compare.BOTH]] == ["law-0", "law-1", "law-0-synth-1-0"]
    write(run / "final" / "train.jsonl", read(run / "final" / "train.jsonl")[:2])
    write(run / "handoff" / "title" / "nemo" / "training.jsonl", arms[compare.HUMAN])
    with pytest.raises(SystemExit, match="needs human and synthetic records"):
        compare.examples(Handoff(run))


def test_an_arm_is_measured_on_the_runs_own_test_split(run: Path, tmp_path: Path) -> None:
    handoff = Handoff(run)
    compare.write_arm(handoff, tmp_path / "arm", compare.examples(handoff)[compare.HUMAN])
    arm = tmp_path / "arm" / "nemo"
    assert [row["id"] for row in read(arm / "training.jsonl")] == ["law-0", "law-1"]
    assert read(arm / "test.jsonl") == handoff.rows("test")


def test_the_comparison_tells_mean_spread_and_every_change() -> None:
    def arm(name: str, losses: list[float]) -> compare.Arm:
        rouge = dict.fromkeys(("rouge1", "rouge2", "rougeL", "rougeLsum"), 10.0)
        trained = [compare.Trained(seed, 5, 1000, {"loss": loss, **rouge}) for seed, loss in enumerate(losses)]
        return compare.Arm(name, 2, trained)

    about = {"machine": "a CPU", "model": "tiny", "parameters": 1_300_000, "task": "title", "test": 7, "tokens": 1000}
    shown = compare.table(about, 6.0, arm(compare.HUMAN, [5.0, 5.2]), arm(compare.BOTH, [5.3, 5.3]))
    assert "5.100 ± 0.141" in shown
    assert "+0.200 ± 0.141" in shown
    assert shown.splitlines()[-1] == "change of the loss with each seed: +0.300, +0.100"
    assert "a CPU" in shown
    assert "1.3 million parameters" in shown


def test_the_page_of_a_demo_shows_the_curves(tmp_path: Path) -> None:
    table = demo.table(FIGURES)
    page.write(tmp_path / page.PAGE, FIGURES, table)
    shown = (tmp_path / page.PAGE).read_text(encoding="utf-8")
    assert shown.count("<svg") == 2
    assert "validation 6 to 5" in shown
    assert "&lt;b&gt;a machine" in shown
    assert table.splitlines()[2].split()[-2:] == ["6.00", "5.00"]


def test_seeds_are_numbers(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.seeds_of("0,12") == [0, 12]
    with pytest.raises(SystemExit):
        compare.main([str(run), "--seeds", "one"])
    assert "'one' is not numbers with commas between them" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_said(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "prepare", lambda *settings: None)  # it would hold for all tests that follow
    with pytest.raises(SystemExit, match="'huge' is neither a folder nor one of tiny, small, medium"):
        compare.main([str(run), "--model", "huge", "--output", str(tmp_path)])


@pytest.mark.slow
def test_a_walk_shows_what_the_page_shows_and_the_demo_does_the_same(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = subprocess.run([sys.executable, WALK, TUTORIAL.name, out], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert verify.main([str(out / "curated")]) == 0
    benchmark("demo", "--run", out / "curated", "--output", tmp_path / "demo")

    found = json.loads((tmp_path / "demo" / "demo.json").read_text(encoding="utf-8"))
    assert found["loss"]["adapter"]["validation"] < found["loss"]["base"]["validation"]
    assert found["rouge"] == {
        name: figures
        for name, figures in json.loads((out / "rouge" / "rouge.json").read_text(encoding="utf-8")).items()
        if name in ("base", "adapter")
    }
    walked = [line["train_loss"] for line in read(out / "lora" / "log.jsonl")]
    assert [line["train_loss"] for line in found["log"]] == walked
    assert (tmp_path / "demo" / page.PAGE).exists()

    short = ["--tokens", 5000, "--pretraining-steps", 5, "--seeds", "0,1", "--rows", 4]
    benchmark("compare", out / "curated", "--output", tmp_path / "compare", *short)
    arms = json.loads((tmp_path / "compare" / "compare.json").read_text(encoding="utf-8"))["arms"]
    assert [(arm["name"], arm["examples"]) for arm in arms] == [(compare.HUMAN, 95), (compare.BOTH, 139)]
    for arm in arms:
        assert [one["seed"] for one in arm["trained"]] == [0, 1]
        assert all(5000 <= one["tokens"] < 5000 + 16 * 400 for one in arm["trained"])
