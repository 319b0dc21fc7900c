"""The recipes of a hand-off folder: complete, movable, and Llama's format to the letter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.exporters._recipes import RecipeFacts, write_recipes

FACTS = RecipeFacts(
    task="title",
    model="meta-llama/Llama-3.1-8B-Instruct",
    prompt="Write a title — «short».",
    seq_length=1536,
    counts={"training": 3, "validation": 2, "test": 1},
    max_tokens=1200,
)
NAMES = [
    "automodel_lora.yaml",
    "bridge.sh",
    "eval_rouge.py",
    "facts.json",
    "hf_peft_lora.py",
    "llama31_chat_template_generation.jinja",
    "nemo2_lora.py",
]
TEMPLATE = "llama31_chat_template_generation.jinja"


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """The recipes of a folder whose data is one line each."""
    for form in ("chat", "nemo"):
        (tmp_path / form).mkdir()
        (tmp_path / form / "training.jsonl").write_text("{}\n")
    assert [path.name for path in write_recipes(tmp_path, FACTS)] == NAMES
    return tmp_path / "recipes"


def test_all_are_written_alike_and_filled(recipes: Path, tmp_path: Path) -> None:
    again = write_recipes(tmp_path / "again", FACTS)
    assert [path.read_bytes() for path in again] == [(recipes / path.name).read_bytes() for path in again]
    for path in again:
        assert "@{" not in path.read_text(encoding="utf-8")
        assert str(tmp_path) not in path.read_text(encoding="utf-8")
    assert json.loads((recipes / "facts.json").read_bytes().decode("ascii")) == {
        "task": "title",
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "prompt": "Write a title — «short».",
        "seq_length": 1536,
        "counts": {"training": 3, "validation": 2, "test": 1},
        "max_tokens": 1200,
    }


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith((".json", ".jinja"))])
def test_each_says_what_it_needs_and_how_it_is_started(recipes: Path, name: str) -> None:
    head = "".join((recipes / name).read_text(encoding="utf-8").splitlines(keepends=True)[:12])
    assert "Needs:" in head
    assert "Run" in head
    assert name in head


def test_automodels_recipe_finds_the_data_beside_it(recipes: Path) -> None:
    recipe = yaml.safe_load((recipes / "automodel_lora.yaml").read_text(encoding="utf-8"))
    for name, split in {"dataset": "training", "validation_dataset": "validation"}.items():
        data = recipe[name]
        assert (recipes / data["path_or_dataset_id"]).resolve() == recipes.parent / "chat" / f"{split}.jsonl"
        assert (recipes / data["chat_template"]).exists()
        assert data["seq_length"] == 1536
        assert data["mask_generation_prompt"] is True
        assert data["tokenizer"]["pad_token"] == "<|finetune_right_pad_id|>"


@pytest.fixture
def started(recipes: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Starts bridge.sh, with a python that prints its arguments, from another folder and after a move."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tools / "python").chmod(0o755)

    def start(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{tools}:{os.environ['PATH']}", **variables}
        command = ["bash", str(tmp_path / "moved here" / "recipes" / "bridge.sh"), *words]
        return subprocess.run(command, cwd=tools, env=environment, capture_output=True, text=True, check=False)

    shutil.copytree(recipes.parent / "nemo", tmp_path / "moved here" / "nemo")
    shutil.copytree(recipes, tmp_path / "moved here" / "recipes")
    return start


def test_bridge_is_started_on_the_data_beside_it(
    started: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    data = tmp_path / "moved here" / "nemo"
    stale, fresh = data / "training.jsonl.idx.npy", data / "validation.jsonl.idx.npy"
    for age, path in ((-1, stale), (1, fresh)):
        path.touch()
        made = (data / "training.jsonl").stat().st_mtime_ns + age * 1_000_000_000
        os.utime(path, ns=(made, made))
    done = started("train.train_iters=5", BRIDGE="/opt/bridge", MODEL="/models/my llama")
    words = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert words[3] == "/opt/bridge/scripts/training/run_recipe.py"
    assert f"dataset.dataset_root={data}" in words
    assert "checkpoint.pretrained_checkpoint=/models/my llama" in words
    assert {"dataset.seq_length=1536", "model.seq_length=1536", "peft.dim=32"} <= set(words)
    assert words[-1] == "train.train_iters=5"
    assert not stale.exists(), "an index of an earlier run would be read in the place of the data"
    assert fresh.exists()


def test_bridge_says_what_is_missing(started: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = started(BRIDGE="/opt/bridge")
    assert done.returncode != 0
    assert "set MODEL" in done.stderr


def rendered(recipes: Path, messages: list[dict[str, str]], **more: Any) -> tuple[str, list[str]]:
    """The text of a chat, and its parts within the marks, as transformers finds them."""
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, marked = render_jinja_template(
        conversations=[messages],
        chat_template=(recipes / TEMPLATE).read_text(encoding="utf-8"),
        bos_token="<|begin_of_text|>",
        return_assistant_tokens_mask=True,
        **more,
    )
    return texts[0], [texts[0][start:end] for start, end in marked[0]]


def turn(role: str, text: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


DATES = "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"


def test_the_template_is_llamas_and_marks_the_answers(recipes: Path) -> None:
    system, user = {"role": "system", "content": " Be brief. "}, {"role": "user", "content": "{{ 1 }}\n"}
    answers = [{"role": "assistant", "content": text} for text in ("No.", " Yes. ")]
    text, marked = rendered(recipes, [system, user, answers[0], user, answers[1]])
    assert text == "<|begin_of_text|>" + "".join(
        [
            turn("system", DATES + "Be brief."),
            turn("user", "{{ 1 }}"),
            turn("assistant", "No."),
            turn("user", "{{ 1 }}"),
            turn("assistant", "Yes."),
        ]
    )
    assert marked == ["No.<|eot_id|>", "Yes.<|eot_id|>"]


def test_the_template_opens_the_answers_turn(recipes: Path) -> None:
    user = {"role": "user", "content": "May he?"}
    text, marked = rendered(recipes, [user], add_generation_prompt=True, date_string="1 May 2026")
    dates = DATES.replace("26 Jul 2024", "1 May 2026")
    opened = "<|start_header_id|>assistant<|end_header_id|>\n\n"
    assert text == f"<|begin_of_text|>{turn('system', dates)}{turn('user', 'May he?')}{opened}"
    assert marked == []
