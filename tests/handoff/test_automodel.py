"""NeMo Automodel reads the folder as its recipe says, and learns from the answers alone. It trains on GPUs only."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nemo_automodel", reason="`make test-handoff` runs this file")

from nemo_automodel.components.config.loader import load_yaml_config
from nemo_automodel.components.datasets.llm.chat_dataset import ChatDataset
from nemo_automodel.components.datasets.llm.column_mapped_text_instruction_dataset import (
    ColumnMappedTextInstructionDataset,
)
from transformers import AutoTokenizer

pytestmark = pytest.mark.slow


@pytest.fixture
def config(handoff: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The recipe, as `automodel` reads it in the folder of the recipes."""
    monkeypatch.chdir(handoff / "recipes")
    monkeypatch.setenv("MODEL", str(model))
    return load_yaml_config("automodel_lora.yaml")


@pytest.fixture
def tokenizer(model: Path) -> Any:
    return AutoTokenizer.from_pretrained(model)


def learned(row: dict[str, Any], tokenizer: Any) -> str:
    """The text that has loss; the labels are moved by one already."""
    return str(tokenizer.decode([label for label in row["labels"] if label != -100]))


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def built(config: Any, name: str) -> tuple[Any, Any]:
    from nemo_automodel.recipes.llm.train_ft import _build_tokenizer

    arguments, tokenizer = _build_tokenizer(config.model, config.get(name))
    return config.get(name).instantiate(**arguments), tokenizer


def test_the_recipe_learns_each_answer_and_nothing_else(config: Any, handoff: Path) -> None:
    for split, name in (("training", "dataset"), ("validation", "validation_dataset")):
        data, tokenizer = built(config, name)
        rows = rows_of(handoff / "chat" / f"{split}.jsonl")
        answers = [row["messages"][-1]["content"] for row in rows]
        assert [learned(data[at], tokenizer) for at in range(len(data))] == [f"{text}<|eot_id|>" for text in answers]


@pytest.mark.parametrize("remedy", ["none", "flag", "template"])
def test_a_template_without_marks_teaches_the_header_too(handoff: Path, tokenizer: Any, remedy: str) -> None:
    template = handoff / "recipes" / "llama31_chat_template_generation.jinja"
    data = ChatDataset(
        str(handoff / "chat" / "training.jsonl"),
        tokenizer,
        chat_template=str(template) if remedy == "template" else None,
        mask_generation_prompt=remedy == "flag",
    )
    answer = rows_of(handoff / "chat" / "training.jsonl")[0]["messages"][-1]["content"]
    header = "<|start_header_id|>assistant<|end_header_id|>\n\n" if remedy == "none" else ""
    assert learned(data[0], tokenizer) == f"{header}{answer}<|eot_id|>"


def test_the_recipe_pads_with_a_token_that_means_nothing_else(config: Any, tokenizer: Any, handoff: Path) -> None:
    bare = ChatDataset(str(handoff / "chat" / "training.jsonl"), tokenizer)
    assert bare.pad_token_id == tokenizer.eos_token_id, "what the recipe prevents"
    data, own = built(config, "dataset")
    assert data.pad_token_id == own.convert_tokens_to_ids("<|finetune_right_pad_id|>")


def test_columns_without_a_template_never_teach_to_end(handoff: Path, tokenizer: Any) -> None:
    """Why the recipe reads chats, and not the columns of `nemo/`."""
    tokenizer.chat_template = None
    data = ColumnMappedTextInstructionDataset(
        str(handoff / "nemo" / "training.jsonl"), {"question": "input", "answer": "output"}, tokenizer
    )
    assert "<|eot_id|>" not in learned(data[0], tokenizer)


def test_a_line_separator_must_be_escaped(handoff: Path, tokenizer: Any) -> None:
    path = handoff / "chat" / "training.jsonl"
    rows = rows_of(path)
    assert any("\u2028" in row["messages"][1]["content"] for row in rows)
    assert len(ChatDataset(str(path), tokenizer)) == len(rows)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(json.JSONDecodeError):
        ChatDataset(str(path), tokenizer)


def test_the_recipe_adapts_the_blocks_and_not_the_head(config: Any, model: Path) -> None:
    from nemo_automodel.components._peft.lora import apply_lora_to_linear_modules
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model)
    apply_lora_to_linear_modules(network, config.peft.instantiate())
    adapted = {re.sub(r"\d+", "N", name) for name, weight in network.named_parameters() if weight.requires_grad}
    layers = [*(f"self_attn.{one}_proj" for one in "qkvo"), *(f"mlp.{one}_proj" for one in ("gate", "up", "down"))]
    assert adapted == {f"model.layers.N.{layer}.lora_{side}.weight" for layer in layers for side in "AB"}
    assert config.peft.dim == 32
    assert network.model.layers[0].self_attn.q_proj.lora_A.weight.shape[0] == 32


def test_the_recipe_is_the_one_that_automodel_starts(config: Any) -> None:
    from nemo_automodel.cli.utils import resolve_recipe_name

    assert resolve_recipe_name(config.recipe).endswith("TrainFinetuneRecipeForNextTokenPrediction")
    assert config.dataloader.collate_fn.__name__ == "default_collater"
    assert config.loss_fn.instantiate() is not None
