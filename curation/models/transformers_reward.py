"""A reward model whose weights lie in a folder: a sequence classifier that gives numbers to a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from curation.core.contracts import Completion, Message, Usage
from curation.core.errors import EndpointError, RequestError
from curation.core.parse import REWARD_ATTRIBUTES
from curation.models._batches import LocalModel, Network, Row, Weights, load

_REWARD: Final = ("reward",)
_SPARE_POSITIONS: Final = 2
"""RoBERTa's kin keep so many positions for themselves."""


class TransformersReward(LocalModel):
    """Scores conversations that end with an assistant's message, many at a time.

    A classifier with one label yields `reward`; one whose five labels are HelpSteer's attributes yields these. What
    the network says is handed over unrounded. The conversations of a batch don't see each other, but another shape of
    the batch rounds a number otherwise in its last bits.

    Args:
        path: a folder with `config.json`, `*.safetensors` and a tokenizer, or a name on the Hugging Face hub.
        device: `cpu`, `gpu`, or `auto`: the first GPU that this process sees, and the CPU where it sees none.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: float32 on a CPU, and on a GPU what is stored.
        batch_size: most conversations at a time.
        batch_tokens: most tokens at a time: conversations times the longest of them.
        name: what the lineage calls it; by default the folder's name.

    Raises:
        InputError: no such folder, or one without a sequence classifier.
        ValueError: an argument that can't be.
    """

    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"

    def __init__(
        self,
        path: str,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 16,
        batch_tokens: int = 32768,
        name: str | None = None,
    ) -> None:
        super().__init__(path, device, dtype, batch_size, batch_tokens, name)

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """The scores, as `core.parse.read_scores` reads them: as text, and as log probabilities by name.

        Args:
            messages: a conversation whose last message is the assistant's. A tokenizer with a chat template gets it
                whole; another one gets a pair of texts: what was said before, and the assistant's message.
            sampling: without meaning here.

        Raises:
            EndpointError: the weights can't be loaded, or their labels are not those of a reward model.
            RequestError: `bad_request`: too long, or no assistant's message at its end.
        """
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise RequestError("bad_request", "a reward model scores the assistant's message that ends a conversation")
        rated: Rating = await self._ask(tuple((message["role"], message["content"]) for message in messages))
        text = ",".join(f"{name}:{number!r}" for name, number in rated.scores)
        return Completion((text,), "stop", Usage(rated.tokens), rated.scores, self.name)


Said = tuple[tuple[str, str], ...]
"""(role, content) of each message."""


@dataclass(frozen=True)
class Rating:
    """The numbers of a conversation by name, and its length."""

    scores: tuple[tuple[str, float], ...]
    tokens: int


def score_names(labels: Mapping[int, str]) -> tuple[str, ...]:
    """What a classifier's numbers are, by its labels.

    Raises:
        EndpointError: neither one label, nor HelpSteer's five.
    """
    names = tuple(str(labels[number]).strip().lower() for number in sorted(labels))
    if len(names) == 1:
        return _REWARD
    if sorted(names) == sorted(REWARD_ATTRIBUTES):
        return names
    raise EndpointError(
        f"a reward model has one label, or the labels {', '.join(REWARD_ATTRIBUTES)} (id2label in its config.json); "
        f"this classifier has {', '.join(names)}"
    )


class _Judge(Network[Said, Rating]):
    """A sequence classifier and its tokenizer."""

    def __init__(self, weights: Weights) -> None:
        self.loaded = load(weights)
        config, tokenizer = self.loaded.network.config, self.loaded.tokenizer
        self.names = score_names(config.id2label)
        known = getattr(config.get_text_config(), "max_position_embeddings", None)
        spare = 0 if tokenizer.chat_template else _SPARE_POSITIONS  # only decoders have one
        self.positions = min(tokenizer.model_max_length, known - spare if known else tokenizer.model_max_length)

    def encode(self, row: Row[Said, Rating]) -> None:
        """The conversation's tokens, all of them."""
        from jinja2 import TemplateError

        tokenizer = self.loaded.tokenizer
        try:
            if tokenizer.chat_template:
                said = [{"role": role, "content": content} for role, content in row.asked]
                text = tokenizer.apply_chat_template(said, tokenize=False)
                inputs = tokenizer(text, add_special_tokens=False, verbose=False)
            else:
                before = "\n\n".join(content for _, content in row.asked[:-1])
                inputs = tokenizer(before, row.asked[-1][1], verbose=False)
        except (TemplateError, TypeError, ValueError) as error:
            raise RequestError("bad_request", f"the tokenizer refuses the conversation: {error}") from None
        length = len(inputs["input_ids"])
        if not 0 < length <= self.positions:
            raise RequestError("bad_request", f"the conversation has {length} tokens; the model takes {self.positions}")
        row.inputs = dict(inputs)

    def run(self, rows: Sequence[Row[Said, Rating]]) -> None:
        """Scores a batch."""
        import torch

        # A decoder looks for its last token by the padding token; without one it can't tell in a batch which it is.
        if self.loaded.network.config.pad_token_id is None and len(rows) > 1:
            for row in rows:
                self.run([row])
            return
        fills = {"input_ids": self.loaded.network.config.pad_token_id or 0}
        with torch.inference_mode():
            logits = self.loaded.network(
                **{
                    name: self.loaded.padded([row.inputs[name] for row in rows], fills.get(name, 0), left=False)
                    for name in rows[0].inputs
                }
            ).logits
        for row, numbers in zip(rows, logits.double().tolist(), strict=True):
            row.answer(Rating(tuple(zip(self.names, numbers, strict=True)), row.length))


TransformersReward.network = _Judge
