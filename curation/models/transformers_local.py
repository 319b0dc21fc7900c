"""A language model whose weights lie in a folder: transformers runs it in the workers, and no endpoint is asked.

A row draws its tokens from noise of its own, which follows from the conversation and the seed. So its reply does not
depend on the rows beside it, but for the rounding of the network's sums: another shape of a batch moves a logit in its
last bits, which changes a token where two are as good as equal. With 16-bit weights that is to be expected. A CPU and a
GPU draw different noise.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from curation.core.contracts import Completion, Message, Usage
from curation.core.errors import EndpointError, RequestError
from curation.core.records import seed_of
from curation.models._batches import LocalModel, Network, Row, Weights, load

if TYPE_CHECKING:
    import torch

PLAIN: Final = "plain"

_PLAIN_TEMPLATE: Final = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
_PLAIN_STOP: Final = "\n\nUser:"
_IGNORED: Final = {"response_format"}
_COLD: Final = 1e-5
_MARGIN: Final = 8
"""Tokens that are looked at beyond a stop string's own: some yield no text, some begin before it."""


class TransformersLocal(LocalModel):
    """Answers with a causal language model that this process runs, many requests at a time.

    Requests that wait are run together, those of like length first, so `max_in_flight` is best twice `batch_size` or
    more; a plan's `timeout` holds from the time a request begins to wait. The model must fit into one device.

    Args:
        path: a folder with `config.json`, `*.safetensors` and a tokenizer, or a name on the Hugging Face hub.
        device: `cpu`, `gpu`, or `auto`: the first GPU that this process sees, and the CPU where it sees none.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: float32 on a CPU, and on a GPU what is stored.
        batch_size: most replies at a time.
        batch_tokens: most tokens at a time: replies times the longest prompt and reply among them. Lower it where the
            memory is short.
        max_tokens: longest reply where the request names none.
        chat_template: how a conversation becomes a text: a Jinja template instead of the tokenizer's own, or `plain`
            for a model that never learned one: lines of `User:` and `Assistant:`, the reply ending before `User:`.
        name: what the lineage calls it; by default the folder's name.

    Raises:
        InputError: no such folder, or one without a causal language model.
        ValueError: an argument that can't be.
    """

    auto_class: ClassVar[str] = "AutoModelForCausalLM"

    def __init__(
        self,
        path: str,
        device: str = "auto",
        dtype: str = "auto",
        batch_size: int = 16,
        batch_tokens: int = 32768,
        max_tokens: int = 1024,
        chat_template: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(path, device, dtype, batch_size, batch_tokens, name)
        if max_tokens < 1:
            raise ValueError(f"max_tokens is at least 1, not {max_tokens}")
        if chat_template not in (None, PLAIN) and "{" not in str(chat_template):
            raise ValueError(f"chat_template is '{PLAIN}' or the text of a Jinja template, not '{chat_template}'")
        self.max_tokens = max_tokens
        self.chat_template = chat_template

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """A reply, the same one for the same request.

        Args:
            messages: the conversation so far.
            sampling: `max_tokens`, `temperature` (1), `top_p` (1), `top_k` (all), `n` (1), `seed`, `stop`, with what
                OpenAI's API takes where they are missing; of the model's `generation_config.json` the ids that end a
                reply count alone. Temperature 0 takes the likeliest token. Without a `seed` the conversation is the
                seed. `response_format` is ignored. A reply that fills the model's context ends as `length`.

        Raises:
            EndpointError: the weights can't be loaded, there is no chat template, or `sampling` has another name.
            RequestError: `bad_request`: too long, a number out of range, roles that the template does not know.
        """
        sampled = Sampling.of(sampling, self.max_tokens)
        said = tuple((message["role"], message["content"]) for message in messages)
        asked = (Prompt(said, self.chat_template, sampled, choice) for choice in range(sampled.n))
        replies: list[Reply] = await asyncio.gather(*map(self._ask, asked))
        return Completion(
            tuple(reply.text for reply in replies),
            replies[0].finish_reason,
            Usage(replies[0].prompt_tokens, sum(reply.completion_tokens for reply in replies)),
            model=self.name,
        )


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; `temperature` 0 draws none, `top_k` 0 and `top_p` 1 leave all of them in."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    n: int = 1
    seed: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def draws(self) -> bool:
        """Whether the temperature is not as good as 0: logits that are divided by less would be infinite."""
        return self.temperature > _COLD

    @classmethod
    def of(cls, sampling: Mapping[str, Any], max_tokens: int) -> Sampling:
        """What a request says, in OpenAI's names; None is not said.

        Raises:
            EndpointError: a name that is not known here, so that no request would get what it asks for.
            RequestError: `bad_request`: a value that can't be.
        """
        said = {name: value for name, value in sampling.items() if value is not None and name not in _IGNORED}
        bound = said.pop("max_completion_tokens", max_tokens)
        unknown = sorted(said.keys() - cls.__dataclass_fields__.keys())
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise EndpointError(f"transformers_local knows no sampling '{unknown[0]}'; it knows {known}")
        stop = said.pop("stop", ())
        try:
            sampled = cls(**{"max_tokens": bound, **said}, stop=(stop,) if isinstance(stop, str) else tuple(stop))
            sampled._check()
        except (TypeError, ValueError) as error:
            raise RequestError("bad_request", f"{error}") from None
        return sampled

    def _check(self) -> None:
        bounds = {"max_tokens": (1, math.inf), "temperature": (0, 100), "top_p": (0, 1), "top_k": (-1, math.inf)}
        for name, (low, high) in {**bounds, "n": (1, math.inf)}.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is from {low} to {high}, not {value}")
            if name in ("max_tokens", "top_k", "n") and not isinstance(value, int):
                raise ValueError(f"{name} is a whole number, not {value}")
        if not all(isinstance(text, str) and text for text in self.stop):
            raise ValueError("stop is a text, or a list of texts, none of them empty")


@dataclass(frozen=True)
class Prompt:
    """One reply that is asked for.

    Args:
        said: (role, content) of each message.
        template: as `TransformersLocal` takes it.
        choice: its number among the request's.
    """

    said: tuple[tuple[str, str], ...]
    template: str | None
    sampling: Sampling
    choice: int

    @property
    def seed(self) -> int:
        """Of this reply's random numbers: 64 bits."""
        return seed_of(self.sampling.seed, self.choice, *(part for message in self.said for part in message))

    @property
    def stop(self) -> tuple[str, ...]:
        """What ends the reply and is not part of it."""
        return (*self.sampling.stop, _PLAIN_STOP) if self.template == PLAIN else self.sampling.stop


@dataclass(frozen=True)
class Reply:
    """One text, why it ends, and what it cost."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class _Teacher(Network[Prompt, Reply]):
    """A causal language model and its tokenizer."""

    def __init__(self, weights: Weights) -> None:
        self.loaded = load(weights)
        network, tokenizer = self.loaded.network, self.loaded.tokenizer
        limit = getattr(network.config.get_text_config(), "max_position_embeddings", None)
        self.positions = int(limit or tokenizer.model_max_length)
        ends = network.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        self.ends = frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])

    def encode(self, row: Row[Prompt, Reply]) -> None:
        """The conversation's tokens; the reply has what they leave of the context."""
        tokens = self._tokens(row.asked)
        row.room = min(row.asked.sampling.max_tokens, self.positions - len(tokens))
        if not tokens or row.room < 1:
            raise RequestError(
                "bad_request", f"the prompt has {len(tokens)} tokens; the model takes {self.positions} with the reply"
            )
        row.inputs = {"input_ids": tokens}

    def _tokens(self, prompt: Prompt) -> list[int]:
        from jinja2 import TemplateError

        tokenizer, plain = self.loaded.tokenizer, prompt.template == PLAIN
        template = _PLAIN_TEMPLATE if plain else prompt.template or tokenizer.chat_template
        if template is None:
            raise EndpointError(
                f"the tokenizer in {self.loaded.folder} has no chat template: it is likely a base model. Take the one "
                f"that was trained on conversations, or set the argument chat_template to a Jinja template or to "
                f"'{PLAIN}', which writes lines of 'User:' and 'Assistant:'."
            )
        said = [{"role": role, "content": content} for role, content in prompt.said]
        try:
            text = tokenizer.apply_chat_template(
                said, chat_template=prompt.template and template, tokenize=False, add_generation_prompt=True
            )
            # A template writes the special tokens itself; the plain one knows none.
            tokens: list[int] = tokenizer(text, add_special_tokens=plain, verbose=False)["input_ids"]
        except (TemplateError, TypeError, ValueError) as error:
            raise RequestError("bad_request", f"the tokenizer refuses the conversation: {error}") from None
        return tokens

    def run(self, rows: Sequence[Row[Prompt, Reply]]) -> None:
        """Writes the replies, each handed over as soon as it is finished."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

        prompts = [row.inputs["input_ids"] for row in rows]
        fill = self.loaded.tokenizer.pad_token_id or 0
        config = GenerationConfig(max_new_tokens=max(row.room for row in rows), do_sample=False, pad_token_id=fill)
        draws = any(row.asked.sampling.draws for row in rows)
        with torch.inference_mode():
            self.loaded.network.generate(
                input_ids=self.loaded.padded(prompts, fill, left=True),
                attention_mask=self.loaded.padded([[1] * len(prompt) for prompt in prompts], 0, left=True),
                generation_config=config,
                use_model_defaults=False,
                logits_processor=LogitsProcessorList([_Sampler(rows, self.loaded.device)] if draws else []),
                stopping_criteria=StoppingCriteriaList([_Writing(rows, self.loaded.tokenizer, self.ends)]),
            )


class _Sampler:
    """Draws the next token of each row by the row's own rules and numbers; leaves rows of temperature 0 alone."""

    def __init__(self, rows: Sequence[Row[Prompt, Reply]], device: str) -> None:
        import torch

        drawn = [(number, row) for number, row in enumerate(rows) if row.asked.sampling.draws]
        how = [row.asked.sampling for _, row in drawn]
        self._rows = torch.tensor([number for number, _ in drawn], device=device)
        self._temperature = torch.tensor([[one.temperature] for one in how], device=device)
        self._top_k = torch.tensor([[one.top_k if one.top_k > 0 else 2**31] for one in how], device=device)
        self._top_p = torch.tensor([[one.top_p if one.top_p < 1 else 2.0] for one in how], device=device)
        self._cuts = any(one.top_k > 0 or one.top_p < 1 for one in how)
        self._generators = [torch.Generator(device).manual_seed(row.asked.seed) for _, row in drawn]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Adds noise to the rows that draw, so that the highest score of a row is the token drawn; shape as `scores`.

        The maximum of logits with Gumbel noise is distributed as their softmax (Gumbel, 1954). Unlike a sum of
        probabilities that is compared with one number, it carries no rounding from one token to the next.
        """
        import torch

        logits = scores[self._rows] / self._temperature
        if self._cuts:
            logits = self._cut(logits)
        noise = [torch.empty_like(logits[0]).exponential_(generator=generator) for generator in self._generators]
        scores[self._rows] = logits - torch.stack(noise).log()
        return scores

    def _cut(self, logits: torch.Tensor) -> torch.Tensor:
        """Leaves the `top_k` likeliest tokens, and of these the fewest that have `top_p` of the probability."""
        import torch

        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        ranks = torch.arange(ordered.shape[-1], device=ordered.device)
        ordered = ordered.masked_fill(ranks >= self._top_k, -math.inf)
        shares = ordered.softmax(-1)
        ordered = ordered.masked_fill((shares.cumsum(-1) - shares >= self._top_p) & (ranks > 0), -math.inf)
        return torch.empty_like(logits).scatter_(-1, order, ordered)


class _Writing:
    """Follows the rows of a batch token by token, and tells which of them are finished."""

    def __init__(self, rows: Sequence[Row[Prompt, Reply]], tokenizer: Any, ends: frozenset[int]) -> None:
        self._rows = rows
        self._tokenizer = tokenizer
        self._ends = ends
        self._written: list[list[int]] = [[] for _ in rows]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        """Which rows need no further token; shape (rows,)."""
        import torch

        for row, written, token in zip(self._rows, self._written, input_ids[:, -1].tolist(), strict=True):
            if not row.future.done():
                written.append(token)
                self._answer_if_finished(row, written)
        return torch.tensor([row.future.done() for row in self._rows], device=input_ids.device)

    def _answer_if_finished(self, row: Row[Prompt, Reply], written: list[int]) -> None:
        ended = written[-1] in self._ends
        full = len(written) == row.room
        if not (ended or full or self._stops(row.asked.stop, written)):
            return
        text = self._decoded(written[:-1] if ended else written)
        stop = min((place for place in map(text.find, row.asked.stop) if place >= 0), default=None)
        if stop is None and not (ended or full):
            return
        reason = "length" if stop is None and not ended else "stop"
        row.answer(Reply(text[:stop], reason, row.length, len(written)))

    def _stops(self, stop: tuple[str, ...], written: list[int]) -> bool:
        """Whether the last tokens hold a stop string; all of them, at each step, would take long to look through."""
        if not stop:
            return False
        tail = self._decoded(written[-max(len(text.encode()) for text in stop) - _MARGIN :])
        return any(text in tail for text in stop)

    def _decoded(self, tokens: list[int]) -> str:
        text = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)


TransformersLocal.network = _Teacher
