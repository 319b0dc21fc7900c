"""The recipe of transformers and peft trains a small Llama on the folder, and what it learned is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("peft")
pytest.importorskip("rouge_score")

pytestmark = pytest.mark.slow
QUICK = ["--steps", "60", "--batch", "8", "--micro-batch", "4", "--lr", "3e-3", "--rank", "8"]
Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start(handoff: Path, model: Path, tmp_path: Path) -> Start:
    """Starts a recipe of the folder on the model, in another folder."""

    def starter(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(handoff / "recipes" / name), "--model", str(model), *words],
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    return starter


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights_of(folder: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("form", ["chat", "nemo"])
def test_the_loss_falls_and_the_titles_become_alike(start: Start, tmp_path: Path, form: str) -> None:
    done = start("hf_peft_lora.py", "--form", form, "--output", "tuned", *QUICK)
    assert done.returncode == 0, done.stderr
    log = log_of(tmp_path / "tuned")
    assert [line["step"] for line in log] == list(range(1, 61))
    validation = [line["validation_loss"] for line in log if "validation_loss" in line]
    assert len(validation) == 1
    assert validation[0] < log[0]["train_loss"] / 3
    adapter = str(tmp_path / "tuned" / "adapter")
    done = start("eval_rouge.py", "--form", form, "--adapter", adapter, "--max-new-tokens", "16", "--rows", "5")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "eval_rouge" / "rouge.json").read_text())
    assert (report["task"], report["rows"]) == ("title", 5)
    assert set(report["base"]) == {"rouge1", "rouge2", "rougeL", "rougeLsum"}
    assert report["adapter"]["rouge1"] > report["base"]["rouge1"] + 20
    predictions = (tmp_path / "eval_rouge" / "predictions.jsonl").read_text().splitlines()
    assert [list(json.loads(line)) for line in predictions] == [["id", "expected", "base", "adapter"]] * 5
    assert "adapter" in done.stdout


def test_a_stopped_run_goes_on_to_the_same_adapter(start: Start, tmp_path: Path, handoff: Path) -> None:
    import torch

    short = ["--steps", "12", "--batch", "4", "--validate-every", "4", "--rank", "4"]
    assert start("hf_peft_lora.py", "--output", "whole", *short).returncode == 0
    stopped = tmp_path / "recipe.py"
    text = (handoff / "recipes" / "hf_peft_lora.py").read_text()
    cut = text.replace(
        "            loss = train_step(",
        "            if step == 7: sys.exit('stopped')\n            loss = train_step(",
    )
    assert cut != text
    (handoff / "recipes" / stopped.name).write_text(cut)
    assert "stopped" in start(stopped.name, "--output", "parts", *short).stderr
    assert [line["step"] for line in log_of(tmp_path / "parts")] == [1, 2, 3, 4, 5, 6]
    done = start("hf_peft_lora.py", "--output", "parts", *short)
    assert done.returncode == 0, done.stderr
    assert log_of(tmp_path / "parts") == log_of(tmp_path / "whole")
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

    other = start("hf_peft_lora.py", "--output", "parts", *short, "--lr", "0.5")
    assert other.returncode != 0
    assert "other settings" in other.stderr


def test_examples_beyond_the_length_are_left_out_and_counted(start: Start) -> None:
    done = start("hf_peft_lora.py", "--steps", "1", "--batch", "2", "--seq-length", "127", "--output", "cut")
    assert done.returncode == 0, done.stderr
    assert "training.jsonl: 1 of 48 examples have more than 127 tokens and are left out" in done.stdout
    nothing = start("hf_peft_lora.py", "--steps", "1", "--seq-length", "9")
    assert nothing.returncode != 0
    assert "nothing to train on" in nothing.stderr


def test_a_model_that_is_not_there_is_not_fetched(start: Start) -> None:
    done = start("hf_peft_lora.py", "--model", "meta-llama/Llama-3.1-8B-Instruct")
    assert done.returncode != 0
    assert "nothing is downloaded" in done.stderr


@pytest.mark.parametrize("form", ["chat", "nemo"])
def test_the_answer_alone_has_labels(handoff: Path, model: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Padding is told by its place: a tokenizer that pads with the token that ends an answer still teaches to end."""
    import torch

    monkeypatch.syspath_prepend(handoff / "recipes")
    monkeypatch.delitem(sys.modules, "hf_peft_lora", raising=False)
    import hf_peft_lora as recipe

    tokenizer = recipe.load_tokenizer(model)
    assert tokenizer.pad_token == "<|finetune_right_pad_id|>"
    rows = recipe.read(handoff / form / "training.jsonl")[:4]
    examples = [recipe.example_of(row, tokenizer) for row in rows]
    batch = recipe.batch_of(examples, tokenizer.eos_token_id, torch.device("cpu"))
    answers = [row["messages"][-1]["content"] if form == "chat" else " " + row["output"] for row in rows]
    for labels, seen, example, answer in zip(batch["labels"], batch["attention_mask"], examples, answers, strict=True):
        assert tokenizer.decode(labels[labels != -100]) == f"{answer}<|eot_id|>"
        assert int(seen.sum()) == len(example)
    monkeypatch.delitem(sys.modules, "hf_peft_lora")


def test_the_card_names_both_forms_and_all_splits(handoff: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    for form, columns in {"chat": ["messages", "id"], "nemo": ["input", "output", "id"]}.items():
        loaded = datasets.load_dataset(str(handoff), form, cache_dir=str(tmp_path / "cache"))
        assert {name: len(rows) for name, rows in loaded.items()} == {"train": 48, "validation": 8, "test": 8}
        assert loaded["train"].column_names == columns
