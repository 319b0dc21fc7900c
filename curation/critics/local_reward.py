"""Scores a record with a reward model whose weights lie in a folder: no endpoint is asked."""

from __future__ import annotations

from typing import ClassVar

from curation.critics.reward import Reward


class LocalReward(Reward):
    """`reward`, from a folder with a Hugging Face sequence classifier: its scores, and what it shows the model.

    Args:
        path: the folder with `config.json`, `*.safetensors` and a tokenizer. One label yields `reward`; five labels
            that are called as HelpSteer's attributes yield these.
        device: `cpu`, `gpu`, or `auto`: a GPU where there is one.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`.
        batch_size: most conversations at a time.
        batch_tokens: most tokens at a time: conversations times the longest of them.
    """

    asks: ClassVar[str | None] = "transformers_reward"

    def __init__(
        self,
        path: str,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 16,
        batch_tokens: int = 32768,
    ) -> None:
        self.path = path
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
