"""Rewrites a question with a teacher as other people would ask it: with circumstances, as a persona, in a register.

What `noise` does by rules, on the scale of whole texts. The answer is what is learnt, and stays. So what carries a fact
(`_protected.mask` finds it: numbers, dates, addresses, citations, code, quotations, names, the plan's terms) must come
back as it was, and a draft that has lost any of it is not used.
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar, Final

import orjson

from curation.core.contracts import ChatModel, Generator, Message
from curation.core.errors import RecordError, ReplyError
from curation.core.parse import is_refusal, read_variants
from curation.core.records import Record, digest, rejected, seed_of, to_json, unit_interval
from curation.core.registry import nearest
from curation.generators._noise_model_prompts import NOISERS, PERSONAS, STYLES, TABLE, TASK, TITLE
from curation.generators._noisers_arguments import check_words
from curation.generators._protected import MAX_CHARACTERS, mask, missing
from curation.generators._requests import request_seed, tokens_at_most

_TRIES: Final = 2
"""How often a draft that can't be used is paid for."""

_ADDED_TOKENS: Final = 384
"""Of the circumstances and asides that a reply adds, and of the JSON around it."""


@dataclass(frozen=True)
class _Wish:
    """What is wanted of one variant: a noiser, and whom or what it was drawn for."""

    noiser: str
    chosen: dict[str, str]
    index: int


class NoiseModel(Generator):
    """Variants of a question in the words of other people.

    Args:
        variants: drafts from each parent, each from a request of its own.
        noisers: names of `NOISERS`, one of which is drawn for each variant; or a weight, 0 or more, for each name.
        personas: descriptions of people who ask, in place of the built-in ones; a parent's variants go through them in
            their order, from one drawn at random.
        styles: descriptions of registers, likewise.
        titles: whether the title is written anew as well.
        temperature, top_p: how freely the teacher writes.
        max_tokens: the least bound of a reply; a long question raises it.
        terms: words and names of the domain that must stay, whatever their case.
        seed: of the draws and the requests, with the record's id and its `_round` (0 without one).
    """

    needs_model: ClassVar[bool] = True

    def __init__(
        self,
        variants: int = 1,
        noisers: Sequence[str] | Mapping[str, float] = tuple(NOISERS),
        personas: Sequence[str] | None = None,
        styles: Sequence[str] | None = None,
        titles: bool = False,
        temperature: float = 0.8,
        top_p: float = 0.95,
        max_tokens: int = 1024,
        terms: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        if variants < 1:
            raise ValueError(f"variants must be at least 1, not {variants}")
        for name, words in (("personas", personas), ("styles", styles)):
            if words is not None:
                check_words(name, words)
                if not words:
                    raise ValueError(f"{name} must have at least one entry")
        check_words("terms", terms)
        self.variants = variants
        self.noisers = noisers
        self.personas = personas
        self.styles = styles
        self.titles = titles
        self.temperature = temperature
        self.top_p = top_p
        self.max_tokens = max_tokens
        self.terms = terms
        self.seed = seed
        self._weights = _weights(noisers)
        self._tables = {"persona": personas or PERSONAS, "style": styles or STYLES}
        self._fields = ("title", "question") if titles else ("question",)

    @property
    def prompt_id(self) -> str:
        """Of all prompts: those with the same id differ by their noiser, its persona or style, and their record."""
        return digest(TASK.template, TITLE, *NOISERS.values())

    async def expand(self, record: Record, model: ChatModel | None) -> list[Record]:
        """Exactly `variants` drafts with a new `question`; those that can't be used are marked for the ledger.

        Their reasons, with the reply's text: `changed_span` (something protected is gone), `unchanged`,
        `unreadable_reply`, each after a second try; `refusal`; or that of a request that failed. The noiser that was
        drawn is in `strategy`, and whom or what it was drawn for in `extra` under `noise`.

        Raises:
            RecordError: there is no question (`empty_question`), or it is too long to be masked (`too_long`).
        """
        assert model is not None
        question = record["question"] or ""
        if not question.strip():
            raise RecordError("empty_question", "noise_model rewrites the question, and there is none")
        if len(question) > MAX_CHARACTERS:
            raise RecordError("too_long", f"the question has {len(question)} characters; at most {MAX_CHARACTERS} go")
        spans = list(dict.fromkeys(filter(None, map(str.strip, mask(question, self.terms)[1]))))
        wishes = [self._wish(record, index) for index in range(self.variants)]
        return list(await asyncio.gather(*(self._draft(wish, spans, record, model) for wish in wishes)))

    async def _draft(self, wish: _Wish, spans: Sequence[str], record: Record, model: ChatModel) -> Record:
        labels = self._labels(wish, record, model)
        messages = self.messages_for(record, wish.noiser, wish.chosen, spans)
        text, reason = "", ""
        for attempt in range(_TRIES):
            try:
                text = (await model.chat(messages, **self.sampling_for(record, wish.index, attempt))).text
            except RecordError as error:
                return rejected(labels, error.reason, error.detail)
            texts, reason = self._read(text, spans, record)
            if not reason:
                return {**labels, **texts}
            if reason == "refusal":
                break
        return rejected({**dict.fromkeys(self._fields), **labels}, reason, text)

    def _read(self, text: str, spans: Sequence[str], record: Record) -> tuple[dict[str, str], str]:
        """The reply's texts, and why they can't be used (nothing where they can)."""
        try:
            (texts,) = read_variants(text, self._fields, 1)
        except ReplyError:
            return {}, "refusal" if is_refusal(text) else "unreadable_reply"
        question = texts["question"]
        if is_refusal(question) and not is_refusal(record["question"]):
            return texts, "refusal"
        if question.split() == record["question"].split():
            return texts, "unchanged"
        return texts, "changed_span" if missing(spans, question) else ""

    def _wish(self, record: Record, index: int) -> _Wish:
        place = (self.seed, record["id"], record.get("_round", 0))
        *bounds, total = accumulate(self._weights.values())
        noiser = list(self._weights)[bisect(bounds, unit_interval(*place, "noiser", index) * total)]
        table = self._tables.get(noiser)
        # One after the other: variants of a parent are of different people as long as there are enough.
        chosen = {noiser: table[(seed_of(*place, noiser) + index) % len(table)]} if table else {}
        return _Wish(noiser, chosen, index)

    def _labels(self, wish: _Wish, record: Record, model: ChatModel) -> Record:
        own = {"persona": self.personas, "style": self.styles}.get(wish.noiser)
        drawn = {"noiser": wish.noiser, **wish.chosen}
        if wish.chosen:
            drawn["table"] = "plan" if own else str(TABLE)
        return {
            "strategy": f"noise_model:{wish.noiser}",
            "model": model.name,
            "prompt_id": self.prompt_id,
            "extra": to_json({**orjson.loads(record["extra"] or "{}"), "noise": to_json(drawn)}),
        }

    def messages_for(
        self, record: Record, noiser: str, chosen: Mapping[str, str], spans: Sequence[str]
    ) -> list[Message]:
        """The conversation that asks for one variant, whose texts are never read as a template."""
        form = "{" + ", ".join(f'"{name}": "…"' for name in self._fields) + "}"
        task = TASK.substitute(what=NOISERS[noiser], title=TITLE if self.titles else "", form=form)
        texts = {name: record[name] for name in ("title", "question", "answer") if (record[name] or "").strip()}
        material = {**texts, **chosen, "keep": list(spans)}
        return [{"role": "user", "content": task + json.dumps(material, ensure_ascii=False, indent=1)}]

    def sampling_for(self, record: Record, index: int, attempt: int = 0) -> dict[str, Any]:
        """How to sample: a seed of its own for each record, variant and attempt, and room for any likely reply."""
        texts = [record[name] or "" for name in self._fields]
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": max(self.max_tokens, tokens_at_most(*texts) + _ADDED_TOKENS),
            "seed": request_seed(self.seed, record, index, attempt),
            "response_format": _reply_format(self._fields),
        }


def _weights(noisers: Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    """Each noiser's weight, above 0, in the order of `NOISERS`, so that the plan's order changes nothing."""
    names = [noisers] if isinstance(noisers, str) else list(noisers)
    for name in names:
        if name not in NOISERS:
            raise ValueError(
                f"no noiser is called '{name}'.{nearest(name, [*NOISERS])} There are: {', '.join(NOISERS)}"
            )
    weights = dict(noisers) if isinstance(noisers, Mapping) else dict.fromkeys(names, 1.0)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"the weight of noiser '{name}' must be a number of 0 or more, not {weight!r}")
    if not any(weights.values()):
        raise ValueError(f"noisers must give a weight above 0 to at least one of: {', '.join(NOISERS)}")
    return {name: weights[name] for name in NOISERS if weights.get(name)}


def _reply_format(fields: Sequence[str]) -> dict[str, Any]:
    properties = {name: {"type": "string"} for name in fields}
    schema = {"type": "object", "properties": properties, "required": list(fields), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "question", "strict": True, "schema": schema}}
