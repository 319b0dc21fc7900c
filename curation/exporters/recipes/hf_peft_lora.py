"""LoRA with transformers and peft, on the examples of this folder: plain enough to read, and to change.

Needs: pip install torch "transformers>=4.57,<5" peft; the model's folder; a GPU with 40 GB for a model of 8 billion
       parameters, or a CPU for a small one.
Run:   python hf_peft_lora.py --model /models/Llama-3.1-8B-Instruct

Only the answer's tokens, and the one that ends it, are learned. OUTPUT/adapter is what `peft` loads, OUTPUT/log.jsonl
has a line for each step and each validation. A run that was stopped goes on from OUTPUT/checkpoint.pt when it is
started with the same settings, and comes to the same adapter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's sums come out the same each time

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
FACTS = json.loads((HERE / "facts.json").read_text(encoding="utf-8"))
TEMPLATE = HERE / "llama31_chat_template_generation.jinja"
IGNORED = -100  # a label without loss


@dataclass(frozen=True)
class Example:
    """Token ids of what the model is asked, and of what it shall answer."""

    prompt: list[int]
    answer: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model and its tokenizer")
    parser.add_argument("--data", type=Path, default=HERE.parent, help="folder with chat/ and nemo/")
    parser.add_argument("--form", choices=["chat", "nemo"], default="chat", help="chats, or prompts that are continued")
    parser.add_argument("--output", type=Path, default=Path("hf_peft_lora"), help="folder to write")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-4, help="highest learning rate, after the first steps")
    parser.add_argument("--batch", type=int, default=32, help="examples for one step")
    parser.add_argument("--micro-batch", type=int, default=1, help="examples that are in memory at once")
    parser.add_argument("--seq-length", type=int, default=FACTS["seq_length"], help="most tokens of an example")
    parser.add_argument("--validate-every", type=int, default=100, help="steps")
    parser.add_argument("--validation-rows", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1234)
    return parser.parse_args()


def load_tokenizer(folder: Path) -> Any:
    """The model's tokenizer, with the template beside this file if it knows Llama's turns, and with a token to pad."""
    if not folder.is_dir():
        sys.exit(f"--model: {folder} is not a folder; nothing is downloaded here")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except ValueError as error:
        sys.exit(f"{folder}: {error} If transformers 5 saved this tokenizer, take the one that came with the model.")
    known = tokenizer.get_vocab()
    if "<|start_header_id|>" in known:
        tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    if tokenizer.pad_token is None:
        spare = "<|finetune_right_pad_id|>"
        tokenizer.pad_token = spare if spare in known else tokenizer.eos_token
    return tokenizer


def prompt_of(row: dict[str, Any], tokenizer: Any) -> list[int]:
    """What the model is asked, up to where its answer begins."""
    if "messages" in row:
        *asked, _ = row["messages"]
        return list(tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)["input_ids"])
    return list(tokenizer(row["input"])["input_ids"])


def example_of(row: dict[str, Any], tokenizer: Any) -> Example:
    """The answer of a chat is what the template adds to the prompt; that of a prompt begins with a space."""
    prompt = prompt_of(row, tokenizer)
    if "messages" not in row:
        answer = tokenizer(" " + row["output"], add_special_tokens=False)["input_ids"]
        return Example(prompt, [*answer, tokenizer.eos_token_id])
    whole = list(tokenizer.apply_chat_template(row["messages"], return_dict=True)["input_ids"])
    if whole[: len(prompt)] != prompt:
        sys.exit("the chat template writes an answered chat otherwise than an open one: its answer can't be told apart")
    return Example(prompt, whole[len(prompt) :])


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def examples_of(args: argparse.Namespace, split: str, tokenizer: Any) -> list[Example]:
    """The examples that fit; of those that don't, nothing is cut: a prompt without its end teaches nothing."""
    path = args.data / args.form / f"{split}.jsonl"
    every = [example_of(row, tokenizer) for row in read(path)]
    fitting = [example for example in every if len(example) <= args.seq_length]
    if left := len(every) - len(fitting):
        print(f"{path}: {left} of {len(every)} examples have more than {args.seq_length} tokens and are left out")
    return fitting


def batch_of(examples: list[Example], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Examples side by side, padded on the right. Padding is told by its place, not by its token: that may be EOS."""
    width = max(map(len, examples))
    tokens = [[*one.prompt, *one.answer, *[pad] * (width - len(one))] for one in examples]
    labels = [[*[IGNORED] * len(one.prompt), *one.answer, *[IGNORED] * (width - len(one))] for one in examples]
    seen = [[1] * len(one) + [0] * (width - len(one)) for one in examples]
    columns = {"input_ids": tokens, "labels": labels, "attention_mask": seen}
    return {name: torch.tensor(column, device=device) for name, column in columns.items()}


def loss_sum(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The losses of all answers' tokens, added up."""
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    return torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED, reduction="sum"
    )


def pieces(examples: list[Example], size: int) -> Iterator[list[Example]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


def chosen(examples: list[Example], step: int, args: argparse.Namespace) -> list[Example]:
    """The examples of a step: in each pass over the data they come in another order, which the seed alone decides."""
    places = range((step - 1) * args.batch, step * args.batch)
    orders = {
        turn: random.Random(f"{args.seed} {turn}").sample(range(len(examples)), len(examples))  # noqa: S311
        for turn in {place // len(examples) for place in places}
    }
    return [examples[orders[place // len(examples)][place % len(examples)]] for place in places]


def rate_at(step: int, args: argparse.Namespace) -> float:
    """Rises over the first steps (50, or a tenth of a short run), then falls to zero along a cosine."""
    rising = min(50, math.ceil(args.steps / 10))
    if step <= rising:
        return float(args.lr * step / rising)
    return float(args.lr * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, args.steps - rising))))


@torch.no_grad()
def validate(model: Any, examples: list[Example], args: argparse.Namespace, pad: int) -> float:
    model.eval()
    losses = [float(loss_sum(model, batch_of(some, pad, model.device))) for some in pieces(examples, args.micro_batch)]
    model.train()
    return sum(losses) / sum(len(example.answer) for example in examples)


def train_step(model: Any, optimizer: Any, some: list[Example], args: argparse.Namespace, pad: int) -> float:
    """One step on all examples of a batch; each of their tokens counts alike, whichever piece it came in."""
    tokens = sum(len(example.answer) for example in some)
    total = 0.0
    for piece in pieces(some, args.micro_batch):
        loss = loss_sum(model, batch_of(piece, pad, model.device)) / tokens
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return total


def settings_of(args: argparse.Namespace) -> dict[str, str]:
    """What a run that goes on must have in common with the one that was stopped."""
    names = ["form", "steps", "rank", "alpha", "lr", "batch", "seq_length", "seed"]
    settings = {name: str(getattr(args, name)) for name in names}
    data = hashlib.sha256((args.data / args.form / "training.jsonl").read_bytes())
    model = hashlib.sha256((args.model / "config.json").read_bytes())
    for path in sorted(args.model.glob("*.safetensors")):  # of gigabytes, the beginning tells one model from another
        with path.open("rb") as file:
            model.update(file.read(1 << 20))
    return settings | {"model": model.hexdigest(), "data": data.hexdigest()}


def save(path: Path, step: int, model: Any, optimizer: Any, args: argparse.Namespace) -> None:
    """Written whole or not at all: the file is renamed when it is complete."""
    state = {
        "step": step,
        "settings": settings_of(args),
        "adapter": get_peft_model_state_dict(model),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def resume(path: Path, model: Any, optimizer: Any, args: argparse.Namespace) -> int:
    """The step after which the stopped run's last checkpoint was written; 0 without one."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location=model.device, weights_only=True)
    if state["settings"] != settings_of(args):
        sys.exit(f"{path} is of a run with other settings: {state['settings']}; choose another --output")
    set_peft_model_state_dict(model, state["adapter"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def kept_lines(path: Path, step: int) -> list[str]:
    """The log as it was when the checkpoint was written."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]


def load_model(args: argparse.Namespace) -> Any:
    """The frozen model with an adapter beside each linear layer of its blocks."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    base = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, local_files_only=True).to(device)
    config = LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def main() -> None:
    args = flags()
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    tokenizer = load_tokenizer(args.model)
    train = examples_of(args, "training", tokenizer)
    validation = examples_of(args, "validation", tokenizer)[: args.validation_rows]
    if not train:
        sys.exit(f"{args.data / args.form}: there is nothing to train on")
    model = load_model(args)
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad], lr=args.lr, betas=(0.9, 0.98)
    )
    args.output.mkdir(parents=True, exist_ok=True)
    checkpoint, log = args.output / "checkpoint.pt", args.output / "log.jsonl"
    done = resume(checkpoint, model, optimizer, args)
    lines = kept_lines(log, done)
    with log.open("w", encoding="utf-8", buffering=1) as out:
        out.writelines(lines)
        model.train()
        for step in range(done + 1, args.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step, args)
            loss = train_step(model, optimizer, chosen(train, step, args), args, tokenizer.pad_token_id)
            line = {"step": step, "train_loss": round(loss, 6), "lr": rate_at(step, args)}
            if step % args.validate_every == 0 or step == args.steps:
                if validation:
                    line["validation_loss"] = round(validate(model, validation, args, tokenizer.pad_token_id), 6)
                save(checkpoint, step, model, optimizer, args)
                print(json.dumps(line))
            out.write(json.dumps(line) + "\n")
    model.save_pretrained(args.output / "adapter")
    tokenizer.save_pretrained(args.output / "adapter")


if __name__ == "__main__":
    main()
