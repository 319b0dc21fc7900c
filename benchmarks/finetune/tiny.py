"""A small Llama made on the spot: `python -m benchmarks.finetune.tiny RUN --output MODEL [--size tiny] [--steps N]`.

Random weights, and a byte-level BPE tokenizer of its own with the special tokens of Llama 3.1. Both learn from the
questions and answers of people in the train split, and from nothing else: no title, no synthetic record, no other
split. MODEL is a folder as transformers saves it, so every recipe takes it in the place of a real model. It speaks no
better than a minute of training allows; it stands for the steps, not for their outcome.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

BEGIN, END, PAD = "<|begin_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"
SPECIAL: Final = [
    BEGIN,
    "<|end_of_text|>",
    PAD,
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    END,
    "<|python_tag|>",
]
LOG: Final = "pretraining.json"
_CONTEXT: Final = 1024


@dataclass(frozen=True)
class Size:
    """A Llama's shape, and how it is trained.

    Args:
        vocabulary: tokens at most.
        width: of the hidden states; a head has 32 or 64 of it.
        layers, heads, steps: how many.
        rate: the highest learning rate.
        length, batch: tokens of a piece of text, and pieces of a step.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    steps: int
    rate: float
    length: int = 128
    batch: int = 16


SIZES: Final = {
    "tiny": Size(vocabulary=2000, width=128, layers=4, heads=4, steps=150, rate=3e-3),
    "small": Size(vocabulary=8000, width=512, layers=8, heads=8, steps=1000, rate=1e-3, length=256),
    "medium": Size(vocabulary=16000, width=768, layers=12, heads=12, steps=2000, rate=6e-4, length=512),
}
"""About 1.3, 33 and 110 million parameters."""


def main() -> int:
    """Makes the model, and prints how its loss fell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a curated run")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--steps", type=int, help="of the training; some for each size by default")
    parser.add_argument("--seed", type=int, default=1234)
    options = parser.parse_args()
    made = make(options.run, options.output, options.size, options.seed, options.steps)
    print(f"{made['parameters'] / 1e6:.1f} million parameters, {made['vocabulary']:,} tokens, {made['steps']} steps")
    for name in ("train", "validation"):
        print(f"loss a token, {name:<10} {made['before'][name]:6.3f} -> {made['after'][name]:6.3f}")
    return 0


def make(run: Path, folder: Path, size: str, seed: int, steps: int | None = None) -> dict[str, Any]:
    """Writes the model and its tokenizer to `folder`.

    Args:
        run: a curated run.
        size: a name in `SIZES`.
        steps: of the training; the size's own by default.

    Returns:
        `parameters`, `vocabulary`, `steps`, `before` and `after` (nats a token of `train` and `validation`), `curve`
        (the loss of each step); the same is in `pretraining.json` beside the model.
    """
    import torch
    from transformers import LlamaForCausalLM

    shape = SIZES[size]
    texts = {split: human_texts(run, split) for split in ("train", "validation")}
    tokenizer = make_tokenizer(texts["train"], shape.vocabulary)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config_of(shape, tokenizer)).to("cuda" if torch.cuda.is_available() else "cpu")
    streams = {split: stream_of(some, tokenizer) for split, some in texts.items()}
    steps = shape.steps if steps is None else steps
    before = {split: loss_of(model, stream, shape) for split, stream in streams.items()}
    curve = train(model, streams["train"], shape, steps)
    after = {split: loss_of(model, stream, shape) for split, stream in streams.items()}
    made = {
        "size": size,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "vocabulary": len(tokenizer),
        "seed": seed,
        "steps": steps,
        "shape": asdict(shape),
        "before": before,
        "after": after,
        "curve": curve,
    }
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / LOG).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return made


def human_texts(run: Path, split: str) -> list[str]:
    """Questions and answers that people wrote, in the order of the file."""
    with (run / "final" / f"{split}.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row[name] for row in rows if row["origin"] == "human" for name in ("question", "answer") if row[name]]


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Byte-level BPE, which can write any text, and begins each with the token that Llama begins with."""
    from tokenizers import (  # type: ignore[import-untyped]
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(f"{BEGIN} $A", None, [(BEGIN, SPECIAL.index(BEGIN))])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, pad_token=PAD)


def config_of(shape: Size, tokenizer: Any) -> Any:
    """A Llama whose head shares no weights with its embeddings, as in Llama 3.1 8B."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        intermediate_size=3 * shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2,
        max_position_embeddings=_CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def stream_of(texts: Iterable[str], tokenizer: Any) -> Any:
    """All texts as one tensor of tokens, each between the token that begins and the one that ends it."""
    import torch

    every = [token for text in texts for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]]
    return torch.tensor(every)


def train(model: Any, stream: Any, shape: Size, steps: int) -> list[float]:
    """Next tokens of random pieces of the stream; answers with the loss of each step, in nats a token."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=shape.rate, betas=(0.9, 0.95), weight_decay=0.1)
    last = max(1, len(stream) - shape.length)
    losses = []
    model.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = shape.rate * min(1.0, (step + 1) / 20, 0.05 + _cosine(step / steps))
        starts = torch.randint(last, (shape.batch,)).tolist()
        batch = torch.stack([stream[start : start + shape.length] for start in starts]).to(model.device)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(float(loss.detach()), 4))
    return losses


def loss_of(model: Any, stream: Any, shape: Size) -> float | None:
    """The mean loss over the pieces of a stream, in nats a token; None where it is shorter than one."""
    import torch

    pieces = stream[: len(stream) // shape.length * shape.length].view(-1, shape.length)
    if not len(pieces):
        return None
    model.eval()
    with torch.no_grad():
        batches = [piece.to(model.device) for piece in pieces.split(shape.batch)]
        losses = [float(model(input_ids=batch, labels=batch).loss) * len(batch) for batch in batches]
    return round(sum(losses) / len(pieces), 4)


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


if __name__ == "__main__":
    sys.exit(main())
