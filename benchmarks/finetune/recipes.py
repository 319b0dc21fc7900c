"""Runs the recipes of a hand-off folder, as its users would, and measures losses with their own functions."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import runpy
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TRAIN: Final = "hf_peft_lora"
EVALUATE: Final = "eval_rouge"
METRICS: Final = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@dataclass(frozen=True)
class Handoff:
    """A task's folder of a curated run.

    Args:
        run: the run's folder.
        task: such as `title`.
        form: `nemo`, prompts that are continued, or `chat`.
    """

    run: Path
    task: str = "title"
    form: str = "nemo"

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        return self.run / "handoff" / self.task

    def rows(self, split: str) -> list[dict[str, Any]]:
        """The examples of `training`, `validation` or `test`."""
        return read(self.folder / self.form / f"{split}.jsonl")

    def recipe(self, name: str, **flags: object) -> None:
        """Runs a recipe to its end, here: a process of its own would spend most of a short run on imports.

        Args:
            name: of its file, without `.py`.
            flags: its command line; `micro_batch=4` is `--micro-batch 4`.
        """
        words = [word for flag, value in flags.items() for word in (f"--{flag.replace('_', '-')}", str(value))]
        script = self.folder / "recipes" / f"{name}.py"
        with _as_command([str(script), "--form", self.form, *words]):
            runpy.run_path(str(script), run_name="__main__")

    def losses(self, model: Path, adapter: Path | None, splits: tuple[str, ...]) -> dict[str, float]:
        """The mean loss over the answers' tokens of all examples of some splits, in nats, as the recipe counts it."""
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        recipe = self.module()
        device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        loaded: Any = AutoModelForCausalLM.from_pretrained(model, dtype=dtype, local_files_only=True).to(device)
        if adapter:
            loaded = PeftModel.from_pretrained(loaded, adapter)
        tokenizer = recipe.load_tokenizer(model)
        settings = Namespace(data=self.folder, form=self.form, seq_length=recipe.FACTS["seq_length"], micro_batch=4)
        found = {}
        for split in splits:
            examples = recipe.examples_of(settings, split, tokenizer)
            found[split] = round(recipe.validate(loaded, examples, settings, tokenizer.pad_token_id), 4)
        return found

    def module(self) -> Any:
        """The training recipe, for its functions."""
        script = self.folder / "recipes" / f"{TRAIN}.py"
        spec = importlib.util.spec_from_file_location(TRAIN, script)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        with _as_command([str(script)]):
            sys.modules[TRAIN] = module  # its dataclass looks itself up
            spec.loader.exec_module(module)
        return module


def prepare(device: str, threads: int) -> None:
    """Sets what decides where torch computes, and in which order it adds up; call it before anything of torch is used.

    Args:
        device: `cpu` or `gpu`.
        threads: of the CPU: with another number, sums come out otherwise in their last bits.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(threads)
    if device == "gpu" and not torch.cuda.is_available():
        sys.exit("--device gpu: torch finds no CUDA device here; use --device cpu")


def machine() -> str:
    """What computes, in words: figures of another machine may differ."""
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, bfloat16, torch {torch.__version__}"
    threads = torch.get_num_threads()
    on = f"{threads} thread{'s' if threads > 1 else ''} of {os.cpu_count()} cores"
    return f"CPU {platform.machine()}, {on}, float32, torch {torch.__version__}"


def parameters(model: Path) -> int:
    """How many a model has, embeddings and head counted; its weights are not read for it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model, local_files_only=True))
    return sum(weight.numel() for weight in shape.parameters())


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def rouge_of(folder: Path) -> Mapping[str, Mapping[str, float]]:
    """What `eval_rouge` wrote: metrics in percent, of `base` and `adapter`."""
    figures: dict[str, Any] = json.loads((folder / "rouge.json").read_text(encoding="utf-8"))
    return {name: figures[name] for name in ("base", "adapter")}


@contextmanager
def _as_command(words: list[str]) -> Iterator[None]:
    """Python's state as a script finds it: its arguments, and its folder first on the path."""
    argv, path = sys.argv, list(sys.path)
    sys.argv, sys.path = words, [str(Path(words[0]).parent), *path]
    sys.modules.pop(TRAIN, None)  # that of another folder has other facts
    try:
        yield
    finally:
        sys.argv, sys.path = argv, path
        sys.modules.pop(TRAIN, None)
