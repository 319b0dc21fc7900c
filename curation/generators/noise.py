"""Rewrites a question as hurried people type, without any model: a LoRA model should answer untidy questions too.

Only the question changes, and the context where the plan says so: title and answer are what is learnt, and stay. A
noiser is a plain function from a text, random draws and a strength to a text; it sees the text behind
`_protected.mask`, so nothing that carries a fact (numbers, citations, names, code, quotations, the plan's terms) is
ever edited, and no sentence with such a span is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final

from curation.core.contracts import ChatModel, Generator
from curation.core.errors import RecordError
from curation.core.records import Record, rejected, seed_of
from curation.core.registry import nearest
from curation.generators._noisers_arguments import check_words
from curation.generators._noisers_characters import casing, ocr, punctuation, spacing, spelling, typos
from curation.generators._noisers_draws import Draws
from curation.generators._noisers_sentences import MIN_WORDS, context, context_drop, context_shuffle, drop, reorder
from curation.generators._noisers_tables import ABBREVIATIONS, phrases
from curation.generators._noisers_words import abbreviations as shorten
from curation.generators._noisers_words import contractions, register, speech, synonyms, word_order
from curation.generators._protected import MAX_CHARACTERS, mask, unmask

Noiser = Callable[[str, Draws, float], str]
Variant = tuple[str, list[str]]
ContextNoiser = Callable[[str, Draws, float, str], str]

MAX_WORDS: Final = 500
"""A variant leaves the bounds `MIN_WORDS` and `MAX_WORDS` only where its parent lies outside already."""

NOISERS: Final[dict[str, Noiser]] = {
    "drop": drop,
    "reorder": reorder,
    "word_order": word_order,
    "context": context,
    "contractions": contractions,
    "register": register,
    "synonyms": synonyms,
    "abbreviations": shorten,
    "speech": speech,
    "spelling": spelling,
    "typos": typos,
    "ocr": ocr,
    "punctuation": punctuation,
    "casing": casing,
    "spacing": spacing,
}
"""Of the question, by name, in the order in which they apply: sentences can be told apart only before their marks are
gone, and phrases before their words are misspelt."""

CONTEXT_NOISERS: Final[dict[str, ContextNoiser]] = {"context_drop": context_drop, "context_shuffle": context_shuffle}
"""Of the record's `context`, in their order; their last argument is the answer, which the context has to ground."""

DEFAULTS: Final = {
    **dict.fromkeys(("drop", "reorder", "context", "contractions", "typos", "punctuation", "casing", "spacing"), 1.0),
    **dict.fromkeys(("word_order", "register", "synonyms", "abbreviations", "spelling"), 0.5),
}
"""What applies where the plan names no noisers: what people do who type; as shares of `strength`."""

_SHORT: Final = 40
_KEEPS_WORDS: Final = frozenset({"typos", "ocr", "punctuation", "casing"})  # the number of words stays
# As many spaces, as many words.
_OF_PHRASES: Final = frozenset({"contractions", "register", "synonyms", "abbreviations", "spelling"})


class Noise(Generator):
    """Untidy variants of a question, the same in every run for the same seed, record and round.

    Args:
        variants: drafts from each parent.
        strength: how much each noiser does, above 0 and at most 1.
        noisers: names of `NOISERS` and `CONTEXT_NOISERS`, which apply with `strength`; or a rate from 0 to 1 for each
            name, in place of `strength`. By default those of `DEFAULTS`.
        seed: of the random choices.
        terms: words and names of the domain that are always left as they are, whatever their case.
        abbreviations: short forms by phrase, beside those of the noiser `abbreviations` and in place of its own.
    """

    needs_model: ClassVar[bool] = False

    def __init__(
        self,
        variants: int = 1,
        strength: float = 0.5,
        noisers: Sequence[str] | Mapping[str, float] | None = None,
        seed: int = 0,
        terms: Sequence[str] = (),
        abbreviations: Mapping[str, str] | None = None,
    ) -> None:
        if variants < 1:
            raise ValueError(f"variants must be at least 1, not {variants}")
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
        _check_noisers(noisers)
        check_words("terms", terms)
        check_words("abbreviations", [*(abbreviations or {}).keys(), *(abbreviations or {}).values()])
        self.variants = variants
        self.strength = strength
        self.noisers = noisers
        self.seed = seed
        self.terms = terms
        self.abbreviations = abbreviations
        rates = {name: rate for name, rate in _rates(noisers, strength).items() if rate}
        noise: dict[str, Noiser] = dict(NOISERS)
        if abbreviations:
            own = {phrase.lower(): short for phrase, short in abbreviations.items()}
            noise["abbreviations"] = partial(shorten, table=phrases({**ABBREVIATIONS, **own}))
        self._question_noisers = [(name, run, rates[name]) for name, run in noise.items() if name in rates]
        self._context_noisers = [(name, run, rates[name]) for name, run in CONTEXT_NOISERS.items() if name in rates]

    async def expand(self, record: Record, model: ChatModel | None) -> list[Record]:
        """Drafts that change `question`, or `context`; the record's `_round` (0 without one) enters the seed.

        Raises:
            RecordError: there is no question (`empty_question`), or a text is too long to be masked (`too_long`).
        """
        question = record["question"]
        if not question or not question.strip():
            raise RecordError("empty_question", "noise rewrites the question, and there is none")
        place = (self.seed, record["id"], record.get("_round", 0))
        drawn = [Draws(seed_of(*place, index)) for index in range(self.variants)]
        questions = self._questions(question, drawn)
        if not self._context_noisers or not (record["context"] or "").strip():
            return [_draft({"question": variant}) for variant in questions]
        contexts = self._contexts(record["context"], drawn, record["answer"] or "")
        return [_draft({"question": one, "context": other}) for one, other in zip(questions, contexts, strict=True)]

    def _questions(self, text: str, drawn: Sequence[Draws]) -> list[Variant]:
        """For each generator of random numbers, a variant of the question and the noisers that changed it."""
        masked, spans = _masked("question", text, self.terms)
        outside = 0  # words outside of spans; counted only where their number may change
        variants = []
        for rng in drawn:
            variant, applied = masked, []
            for name, noiser, rate in self._question_noisers:
                changed = noiser(variant, rng, rate)
                if changed == variant:
                    continue
                if name not in _KEEPS_WORDS and not (
                    name in _OF_PHRASES and changed.count(" ") == variant.count(" ") and variant is masked
                ):
                    outside = outside or len(masked.split())
                    more = len(changed.split()) - outside
                    if more and not _keeps_length(text, more):
                        continue
                variant = changed
                applied.append(name)
            variants.append((unmask(variant, spans), applied))
        return variants

    def _contexts(self, text: str, drawn: Sequence[Draws], answer: str) -> list[Variant]:
        masked, spans = _masked("context", text, self.terms)
        variants = []
        for rng in drawn:
            variant, applied = masked, []
            for name, noiser, rate in self._context_noisers:
                changed = noiser(variant, rng, rate, answer)
                if changed != variant:
                    variant = changed
                    applied.append(name)
            variants.append((unmask(variant, spans), applied))
        return variants


def _draft(variants: Mapping[str, Variant]) -> Record:
    applied = sorted([name for _, names in variants.values() for name in names])
    draft = {
        **{column: text for column, (text, _) in variants.items()},
        "strategy": "noise:" + "+".join(applied),
        "model": None,
        "prompt_id": None,
    }
    return draft if applied else rejected(draft, "unchanged", "noise found nothing in the record to change")


def _keeps_length(text: str, more: int) -> bool:
    """Whether a filter of lengths keeps a variant with so many words more than its parent, or fewer.

    Nothing holds a question of less than `_SHORT` words from becoming shorter: such a filter has let none through.
    """
    words = len(text.split())
    least = min(words, MIN_WORDS) if words >= _SHORT else 1
    return least <= words + more <= max(words, MAX_WORDS)


def _masked(column: str, text: str, terms: Sequence[str]) -> tuple[str, list[str]]:
    if len(text) > MAX_CHARACTERS:
        raise RecordError("too_long", f"the {column} has {len(text)} characters; noise takes {MAX_CHARACTERS}")
    return mask(text, terms)


def _rates(noisers: Sequence[str] | Mapping[str, float] | None, strength: float) -> dict[str, float]:
    if noisers is None:
        return {name: share * strength for name, share in DEFAULTS.items()}
    return dict(noisers) if isinstance(noisers, Mapping) else dict.fromkeys(noisers, strength)


def _check_noisers(noisers: Sequence[str] | Mapping[str, float] | None) -> None:
    known = [*NOISERS, *CONTEXT_NOISERS]
    if noisers is not None and not noisers:
        raise ValueError(f"noisers must name at least one of: {', '.join(known)}")
    for name in noisers or ():
        if name not in known:
            raise ValueError(f"no noiser is called '{name}'.{nearest(name, known)} There are: {', '.join(known)}")
    if isinstance(noisers, Mapping):
        for name, rate in noisers.items():
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
                raise ValueError(f"the rate of noiser '{name}' must be a number from 0 to 1, not {rate!r}")
        if not any(noisers.values()):
            raise ValueError("noisers must give at least one of them a rate above 0")
