"""From a piece of a document to questions and answers that rest on it alone."""

from __future__ import annotations

from string import Template
from typing import Any, ClassVar, Final

import orjson

from curation.core.contracts import ChatModel
from curation.core.errors import RecordError, ReplyError
from curation.core.parse import is_refusal, read_variants
from curation.core.records import Record
from curation.generators._lists import Distinct, Listing, fill, is_sound
from curation.generators._taxonomy_writer import (
    KNOWLEDGE,
    MATERIAL,
    Material,
    TaxonomyWriter,
    kind_of,
    list_bounds,
    lost,
    room,
)

_PAIRS: Final = Template(
    """\
You write questions and answers from which an assistant learns what a document says. "document" is a piece of it; \
"domain", "outline" and "headings" tell where it belongs, and "example" shows, on a piece of its own, what kind of \
questions and answers is wanted. Write exactly $count questions on "document", each with its answer.

- All that a question takes for granted and all that an answer says stands in "document". Use nothing that you know \
from elsewhere, not even where it is true, and nothing of the example's own matter.
- The questions ask for different things, and together for all that matters in the piece: what and who, when and how \
many, how and why. Two that differ in wording alone count as one. Where the piece does not hold enough for as many, \
write fewer.
- Each question can be understood by somebody who has never seen the document: it calls what it is about by its full \
name, and speaks of no document, text, passage, section, figure or author that is not named.
- Each answer is complete, in whole sentences, as detailed as the piece allows, and speaks of no document either.
- They are in the language of the document.
"""
    + MATERIAL
    + """
Reply with one JSON object and nothing else, in this form:
{"pairs": [{"question": "…", "answer": "…"}]}

"""
)
_FIELDS: Final = ("question", "answer")
_PAIR: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in _FIELDS},
    "required": list(_FIELDS),
    "additionalProperties": False,
}
_PAIR_TOKENS: Final = 256
"""Room for a pair whose examples are short."""
_MOST_PAIRS: Final = 1000
"""Of one reply."""
_ABOUT: Final = ("domain", "document_outline", "headings")


class KnowledgeWriter(TaxonomyWriter):
    """See `TaxonomyKnowledge`."""

    templates: ClassVar[tuple[Template, ...]] = (_PAIRS,)

    def __init__(
        self,
        variants: int = 10,
        max_calls: int = 3,
        question_threshold: float | None = 0.95,
        encoder: str = "embedded",
        temperature: float = 0.7,
        top_p: float = 0.95,
        max_tokens: int = 2048,
        seed: int = 0,
    ) -> None:
        super().__init__(variants, max_calls, question_threshold, encoder, temperature, top_p, max_tokens, seed)

    async def expand(self, record: Record, model: ChatModel | None) -> list[Record]:
        """Exactly `variants` drafts; those that were not written are marked for the ledger.

        Their reasons: `echo` (an example's question was offered again), `missing_variant` (fewer than asked for, after
        `max_calls`), `refusal`, `unreadable_reply`, or that of a request that failed.

        Raises:
            RecordError: `no_leaf`, `wrong_kind` or `missing_text`: the record is no piece of a leaf's document.
        """
        assert model is not None
        piece = piece_of(record)
        draft = {**self.draft(record, model, "taxonomy_knowledge"), "context": record["context"]}
        listing = self._listing(piece)
        answers = await self._fill(listing, record, model)
        drafts: list[Record] = [{**draft, "question": one, "answer": answers[one]} for one in listing.items]
        return drafts + lost(draft, listing.lacks, listing.missing)

    async def rehearse(self, record: Record, model: ChatModel | None) -> list[Record]:
        """See `Generator.rehearse`: one request, whose reply the drafts share."""
        assert model is not None
        try:
            piece = piece_of(record)
        except RecordError:
            return []
        await self._fill(self._listing(piece), record, model)
        pair = piece["example"]["pairs"][0]
        answer = "." * (4 * self._bounds(piece, self.variants)["max_tokens"] // self.variants)
        draft = {**self.draft(record, model, "taxonomy_knowledge"), "context": record["context"]}
        return [{**draft, "question": pair["question"], "answer": answer}] * self.variants

    def _listing(self, piece: Material) -> Listing:
        return Listing(self.variants, piece, known=tuple(pair["question"] for pair in piece["example"]["pairs"]))

    async def _fill(self, listing: Listing, record: Record, model: ChatModel) -> dict[str, str]:
        """The answers to the questions that the list holds then, and to others."""
        answers: dict[str, str] = {}

        async def ask(one: Listing, turn: int) -> str:
            return await self.asked(_PAIRS, one, turn, record, model, self._bounds(one.about, one.missing))

        def read(text: str) -> list[str]:
            pairs = [pair for pair in _pairs_in(text) if is_sound(pair["answer"]) and not is_refusal(pair["answer"])]
            for pair in pairs:
                answers.setdefault(pair["question"], pair["answer"])
            return [pair["question"] for pair in pairs]

        await fill([listing], Distinct(self.question_threshold, self.encoder), ask, self.max_calls, read)
        return answers

    def _bounds(self, piece: Material, count: int) -> dict[str, Any]:
        longest = max(room(pair["question"], pair["answer"]) for pair in piece["example"]["pairs"])
        bounds = list_bounds("pairs", _PAIR, max(_PAIR_TOKENS, longest), count)
        return {**bounds, "max_tokens": max(self.max_tokens, bounds["max_tokens"])}


def piece_of(record: Record) -> Material:
    """What a teacher is told of a piece of a document: where it belongs, `document`, and `example`.

    Raises:
        RecordError: see `KnowledgeWriter.expand`.
    """
    if kind_of(record) != KNOWLEDGE:
        raise RecordError("wrong_kind", "a skill is no knowledge: the generator 'taxonomy' writes from both")
    extra = orjson.loads(record["extra"])
    example = extra.get("example") or {}
    pairs = [{name: pair[name] for name in _FIELDS} for pair in example.get("pairs") or ()]
    if not (record["context"] or "").strip() or not pairs:
        raise RecordError("missing_text", "knowledge is written from a piece of a document, with an example")
    about = {name.removeprefix("document_"): extra[name] for name in _ABOUT if extra.get(name)}
    return {**about, "document": record["context"], "example": {"context": example.get("context"), "pairs": pairs}}


def _pairs_in(text: str) -> list[dict[str, str]]:
    try:
        return read_variants(text, _FIELDS, _MOST_PAIRS)
    except ReplyError:
        if is_refusal(text):
            raise ReplyError("refusal", text) from None
        raise
