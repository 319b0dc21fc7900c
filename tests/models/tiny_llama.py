"""Llamas of random weights that read and write characters, so that tests can load a model from a folder in no time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

from curation.models._batches import LocalModel

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'wizard' %}{{ raise_exception('no wizards') }}{% endif %}"
    "<s>{{ message.role }}:{{ message.content }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<s>assistant:{% endif %}"
)
CONTEXT = 256


def _write_tokenizer(folder: Path, template: str | None) -> Any:
    """A printable ASCII character is a token; all others are unknown. Texts without a template begin with `<s>`."""
    from tokenizers import (  # type: ignore[import-untyped]
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    vocabulary = {chr(code): code - 32 for code in range(32, 127)} | {"\n": 95, "<unk>": 96, "<s>": 97}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A $B", [("<s>", 97)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        chat_template=template,
    )
    wrapped.save_pretrained(folder)
    return wrapped


def _config(tokenizer: Any, **more: Any) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **more,
    )


def write_tiny_llama(folder: Path, template: str | None = TEMPLATE, ends: list[int] | None = None) -> Path:
    """Saves a causal Llama with two layers and a context of `CONTEXT` characters.

    Args:
        folder: is made.
        template: the tokenizer's chat template.
        ends: ids that end a reply, instead of the tokenizer's own.
    """
    import torch
    from transformers import LlamaForCausalLM

    tokenizer = _write_tokenizer(folder, template)
    torch.manual_seed(7)
    network = LlamaForCausalLM(_config(tokenizer))
    if ends is not None:
        network.generation_config.eos_token_id = ends
    network.save_pretrained(folder)
    return folder


def write_tiny_classifier(
    folder: Path, labels: list[str], template: str | None = TEMPLATE, padding: bool = True
) -> Path:
    """Saves a Llama with a number for each label; without `padding` its configuration names no padding token."""
    import torch
    from transformers import LlamaForSequenceClassification

    tokenizer = _write_tokenizer(folder, template)
    torch.manual_seed(7)
    names = dict(enumerate(labels))
    pad = tokenizer.pad_token_id if padding else None
    config = _config(tokenizer, id2label=names, label2id={name: key for key, name in names.items()}, pad_token_id=pad)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return folder


def together(model: LocalModel, chats: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The replies, or the errors, of requests that are all there before a batch begins."""

    async def all_of_them() -> list[Any]:
        tasks = [asyncio.ensure_future(chat) for chat in chats]
        with model._batcher()._changed:
            for _ in range(4):  # a request passes through a few tasks until it waits
                await asyncio.sleep(0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(all_of_them())
