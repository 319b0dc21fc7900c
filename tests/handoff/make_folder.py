"""A small hand-off folder, and a Llama of random weights with Llama 3.1's tokens, for all who read them.

python -m tests.handoff.make_folder FOLDER
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from curation.core.contracts import Exported
from curation.core.records import human
from curation.exporters.handoff import Handoff

COUNTS = {"train": 48, "validation": 8, "test": 8}
SEQ_LENGTH = 160
SPECIAL = [
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|finetune_right_pad_id|>",
]
_THINGS = ["lease", "deposit", "fence", "will", "debt", "dog", "roof", "car"]
_ACTS = ["end", "sell", "share", "move", "keep", "mend", "lend", "name"]


def pairs() -> Iterator[tuple[str, str]]:
    """Questions with titles that follow from them; one has letters beyond ASCII and a line separator."""
    yield "May my landlord — in Zürich —\u2028end the lease in May?", "End the lease — Zürich"
    for thing in _THINGS:
        for act in _ACTS:
            yield f"My brother and I own a {thing}. May he {act} the {thing}?", f"{act.title()} the {thing}"


def _mixed() -> list[tuple[str, str]]:
    """The pairs in an order that gives each split some of every thing and act."""
    first, *others = pairs()
    return [first, *sorted(others, key=lambda pair: hashlib.sha256(pair[0].encode()).hexdigest())]


def write_handoff(folder: Path, tokenizer: Path | None = None) -> Path:
    """The hand-off folder of the task `title`, as the exporter writes it at the end of a run."""
    exporter = Handoff("title", tokenizer=str(tokenizer) if tokenizer else None, max_tokens=SEQ_LENGTH)
    folder.mkdir(parents=True)
    left = iter(_mixed())
    for split, count in COUNTS.items():
        texts = [next(left) for _ in range(count)]
        rows = [human(f"{split}-{at}", question=asked, title=title) for at, (asked, title) in enumerate(texts)]
        assert not exporter.refuse(rows)
        exporter.write(split, rows, folder)
    exporter.finish(folder, Exported(counts={split: {"human": count} for split, count in COUNTS.items()}))
    return folder


def write_model(folder: Path) -> Path:
    """A causal Llama with two layers, and a byte-level tokenizer that begins each text with `<|begin_of_text|>`."""
    import torch
    from tokenizers import (  # type: ignore[import-untyped]
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
        trainers,
    )
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    texts = [text for pair in pairs() for text in pair]
    tokenizer.train_from_iterator([Handoff("title").prompt, "system user assistant QUESTION: TITLE:", *texts], trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<|begin_of_text|> $A", None, [("<|begin_of_text|>", 0)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", extra_special_tokens={}
    )
    wrapped.chat_template = stock_template()
    wrapped.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        max_position_embeddings=512,
        initializer_range=0.2,  # the head is frozen: with smaller weights no adapter could make it sure of a token
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_all(folder: Path) -> Path:
    """`handoff/` and `model/`."""
    write_handoff(folder / "handoff", tokenizer=write_model(folder / "model"))
    return folder


def stock_template() -> str:
    """A model's own template: the same text as that of the recipes, without the marks around the assistant's turn."""
    import curation.exporters

    path = Path(curation.exporters.__file__).parent / "recipes" / "llama31_chat_template_generation.jinja"
    text = path.read_text(encoding="utf-8")
    return text.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
