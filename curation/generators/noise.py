"""Rewrites a question as hurried people type, without any model: a LoRA model should answer untidy questions too.

Only the question changes: title and answer are what is learnt, and stay. A noiser is a plain function from a text, a
random generator and a strength to a text; it sees the text behind `_protected.mask`, so nothing that carries a fact
(numbers, citations, names, code, quotations) is ever edited, and no sentence with such a span is left out.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from curation.core.contracts import ChatModel, Generator
from curation.core.errors import RecordError
from curation.core.records import Record, rejected, seed_of
from curation.core.registry import nearest
from curation.generators._protected import MAX_CHARACTERS, is_masked, mask, unmask

Noiser = Callable[[str, random.Random, float], str]

MIN_WORDS: Final = 60
MAX_WORDS: Final = 500
"""A variant leaves these bounds only where its parent lies outside already; word-count filters of 50 to 500 follow."""


def drop(text: str, rng: random.Random, strength: float) -> str:
    """Leaves out pleasantries; what is left has `MIN_WORDS` at least."""
    parts = _SENTENCE_GAP.split(text)
    for index in reversed(range(0, len(parts), 2)):
        if _is_spare(parts, index) and rng.random() < strength:
            left = _without(parts, index)
            parts = left if len("".join(left).split()) >= MIN_WORDS else parts
    return "".join(parts)


def reorder(text: str, rng: random.Random, strength: float) -> str:
    """Puts the text's one question before its background, where the question stands by itself."""
    parts = _SENTENCE_GAP.split(text)
    asked = [index for index in range(0, len(parts), 2) if "?" in parts[index]]
    if len(asked) == 1 and _can_lead(parts, asked[0]) and rng.random() < strength:
        return "".join([parts[asked[0]], _gap_beside(parts[0][:1], rng), *_without(parts, asked[0])])
    return text


def context(text: str, rng: random.Random, strength: float) -> str:
    """Adds what people say around a question: a greeting, an apology, thanks."""
    if not _POLITE_START.match(text) and rng.random() < strength + 0.25:
        opening = rng.choice(_OPENINGS)
        if rng.random() < strength:
            opening = f"{opening} {rng.choice(_ASIDES)}"
        text = opening + _gap_beside(text[:1], rng) + text
    if not _POLITE_END.search(text) and rng.random() < strength + 0.25:
        text = text + _gap_beside(text[-1:], rng) + rng.choice(_CLOSINGS)
    return text


def contractions(text: str, rng: random.Random, strength: float) -> str:
    """Contracts `do not` to `don't`, or spells such forms out: one of the two for the whole text."""
    for pattern, replacement in rng.choice((_CONTRACT, _EXPAND)):
        text = _some(pattern, replacement, text, rng, strength + 0.25)
    return text


def typos(text: str, rng: random.Random, strength: float) -> str:
    """Misspells words of six letters and more, up to one word in six of the text at full strength.

    The slips: a neighbouring key, a letter left out or doubled, two letters swapped. Never at a word's first or last
    letter: a word keeps the shape by which it is read, and `employer` can't become `employee`.
    """
    words = [match for match in _TYPED.finditer(text) if match.group() not in _KEPT_WORDS]
    count = min(len(words), max(1, round(strength * len(text.split()) / 6)))
    pieces, end = [], 0
    for match in sorted(rng.sample(words, count), key=lambda match: match.start()):
        pieces += [text[end : match.start()], rng.choice(_SLIPS)(match.group(), rng)]
        end = match.end()
    return "".join(pieces) + text[end:]


def punctuation(text: str, rng: random.Random, strength: float) -> str:
    """Forgets commas, apostrophes of negations and full stops at line ends; never a question mark."""
    for pattern in (_COMMA, _APOSTROPHE, _LINE_END):
        text = _some(pattern, lambda _: "", text, rng, strength)
    return text


def casing(text: str, rng: random.Random, strength: float) -> str:
    """Writes all in lower case, or forgets the capitals of sentences and of `I`."""
    if rng.random() < strength / 2:
        return text.lower()
    return _some(_CAPITAL, lambda match: match.group().lower(), text, rng, strength)


def spacing(text: str, rng: random.Random, strength: float) -> str:
    """Doubles spaces between words, moves them before a comma, or forgets them after one."""
    gap = rng.choice((" , ", " ,", ","))
    text = _some(_COMMA_GAP, lambda _: gap, text, rng, strength / 2)
    return _some(_WORD_GAP, lambda _: "  ", text, rng, strength / 20)


NOISERS: Final[dict[str, Noiser]] = {
    function.__name__: function
    for function in (drop, reorder, context, contractions, typos, punctuation, casing, spacing)
}
"""By name, in the order in which they apply: sentences can be told apart only before their marks are gone."""


class Noise(Generator):
    """Untidy variants of a question, the same in every run for the same seed, record and round.

    Args:
        variants: drafts from each parent.
        strength: how much each noiser does, above 0 and at most 1.
        noisers: names of `NOISERS`; all of them by default.
        seed: of the random choices.
    """

    needs_model: ClassVar[bool] = False

    def __init__(
        self, variants: int = 1, strength: float = 0.5, noisers: Sequence[str] | None = None, seed: int = 0
    ) -> None:
        if variants < 1:
            raise ValueError(f"variants must be at least 1, not {variants}")
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
        known = list(NOISERS)
        if noisers is not None and not noisers:
            raise ValueError(f"noisers must name at least one of: {', '.join(known)}")
        for name in noisers or ():
            if name not in NOISERS:
                raise ValueError(f"no noiser is called '{name}'.{nearest(name, known)} There are: {', '.join(known)}")
        self.variants = variants
        self.strength = strength
        self.noisers = noisers
        self.seed = seed

    async def expand(self, record: Record, model: ChatModel | None) -> list[Record]:
        """Drafts that change `question`; the record's `_round` (0 without one) enters the seed.

        Raises:
            RecordError: there is no question (`empty_question`), or it is too long to be masked (`too_long`).
        """
        question = record["question"]
        if not question or not question.strip():
            raise RecordError("empty_question", "noise rewrites the question, and there is none")
        if len(question) > MAX_CHARACTERS:
            raise RecordError("too_long", f"the question has {len(question)} characters; noise takes {MAX_CHARACTERS}")
        masked, spans = mask(question)
        lineage = (self.seed, record["id"], record.get("_round", 0))
        return [self._draft(masked, spans, len(question.split()), (*lineage, index)) for index in range(self.variants)]

    def _draft(self, masked: str, spans: list[str], words: int, place: tuple[object, ...]) -> Record:
        rng = random.Random(seed_of(*place))  # noqa: S311 - the choices are to be repeatable, not secret
        bounds = range(min(words, MIN_WORDS), max(words, MAX_WORDS) + 1)
        words_in_spans = words - len(masked.split())
        text, applied = masked, []
        for name, noiser in NOISERS.items():
            if self.noisers is None or name in self.noisers:
                changed = noiser(text, rng, self.strength)
                if changed != text and len(changed.split()) + words_in_spans in bounds:
                    text = changed
                    applied.append(name)
        draft = {
            "question": unmask(text, spans),
            "strategy": "noise:" + "+".join(sorted(applied)),
            "model": None,
            "prompt_id": None,
        }
        return draft if applied else rejected(draft, "unchanged", "noise found nothing in the question to change")


# --- Sentences ------------------------------------------------------------------------------------------------------

_SENTENCE_GAP: Final = re.compile(r"((?<=[.!?…])[^\S\n]++(?![a-z\s])|(?<!\s)[^\S\n]*\n\s*)")

_ASKING: Final = re.compile(r"\?|\b(?:wonder|question|ask|asking|advi[cs]e|explain|whether|please)\b", re.I)
# About the asking, not about the case: without them the question and its answer stay what they are.
_FILLER: Final = re.compile(
    r"\b(?:thanks|thank you|cheers|grateful|in advance|sorry|apologi[sz]e|apologies|excuse|feel free|first post"
    r"|i['’]?(?: a)?m new (?:here|to this)|bear with me|hope (?:this|that|it) makes sense"
    r"|(?:help|insights?|pointers|thoughts|ideas|advice|input|suggestions)\b.*\b(?:appreciated|welcome|great|nice))\b",
    re.I,
)
# May carry the point of the question.
_PIVOT: Final = re.compile(
    r"n['’]t\b|\b(?:not|no|none|never|nothing|nobody|neither|nor|without|unless|if|except|only|but|however|although"
    r"|though|because|so|therefore|thus|hence|instead|despite|whereas|yet|must|shall|illegal|unlawful|cannot|cant)\b",
    re.I,
)
# Leans on what was said before it.
_LEANING: Final = re.compile(
    r"\b(?:he|she|it|they|them|him|his|her|hers|its|their|theirs|this|that|these|those|such|same|former|latter|both"
    r"|others?|another|either|else|similar|also|too|still|afterwards?|then|later|next|now|again|following|above|below"
    r"|here|example)\b|\A\W*(?:and|or|so|which|who|as|there|in addition)\b",
    re.I,
)


def _without(parts: list[str], index: int) -> list[str]:
    """The parts less a sentence and one of the gaps beside it; a line break stays, for what begins or ends there."""
    before = max(index - 1, 0)
    gaps = sorted(parts[before:index] + parts[index + 1 : index + 2], key=lambda gap: "\n" in gap)
    return parts[:before] + gaps[1:] + parts[index + 2 :]


def _gap_beside(edge: str, rng: random.Random) -> str:
    """A space or a line break; beside a protected span, which may be a block of code, a line break."""
    return "\n" if is_masked(edge) else rng.choice((" ", "\n"))


def _is_spare(parts: list[str], index: int) -> bool:
    sentence = parts[index]
    return (
        len(sentence) <= 80
        and bool(_FILLER.search(sentence))
        and not (is_masked(sentence) or _ASKING.search(sentence) or _PIVOT.search(sentence))
        and not _leans_back(parts, index + 2)
    )


def _can_lead(parts: list[str], index: int) -> bool:
    question = parts[index]
    return (
        index > 0
        and not _POLITE_START.match(parts[0])
        and question.endswith("?")
        and question[0].isupper()
        and len(question.split()) >= 4
        and not (_LEANING.search(question) or _PIVOT.match(question))
        and not _leans_back(parts, index + 2)
    )


def _leans_back(parts: list[str], index: int) -> bool:
    """Whether there is a sentence at `index` that may refer to the one before it."""
    return index < len(parts) and bool(_LEANING.search(parts[index]) or _PIVOT.match(parts[index]))


_OPENINGS: Final = (
    "Hi all,",
    "Hello,",
    "Hi everyone,",
    "Hello everybody,",
    "Good evening,",
    "Hey there,",
    "Hi, first post here.",
    "Hello, long time reader.",
    "Sorry if this has been asked before.",
    "Hope someone can point me in the right direction.",
    "Not sure if this is the right place to ask.",
    "Quick question from a beginner.",
)
_ASIDES: Final = (
    "I have been going round in circles with this for a while.",
    "I tried to look it up but the pages I found left me more confused.",
    "A friend told me to ask here, so please bear with me.",
    "Please excuse my wording, I am no expert at all.",
    "I could not find a clear answer anywhere.",
    "I will try to keep it short.",
    "Let me know if any details are missing.",
)
_CLOSINGS: Final = (
    "Thanks in advance!",
    "Many thanks for any help.",
    "Any pointers would be much appreciated.",
    "Thank you for reading this far.",
    "Sorry for the long post, and thanks.",
    "Grateful for any thoughts on this.",
    "Cheers, and thanks for your time.",
    "Links to further reading would be great too.",
    "I hope that makes sense, happy to add details.",
    "Thanks a lot to anyone who answers.",
)
_POLITE_START: Final = re.compile(r"\s*(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|greetings)\b", re.I)
_POLITE_END: Final = re.compile(r"\b(?:thanks|thank you|thx|cheers|grateful|appreciate\w*)\b", re.I)

# --- Words ----------------------------------------------------------------------------------------------------------


def _some(
    pattern: re.Pattern[str], rewrite: Callable[[re.Match[str]], str], text: str, rng: random.Random, share: float
) -> str:
    """Rewrites about `share` of the pattern's matches."""
    draw = rng.random
    return pattern.sub(lambda match: rewrite(match) if draw() < share else match[0], text)


_SHORT: Final = {"am": "'m", "are": "'re", "have": "'ve", "will": "'ll", "is": "'s"}
_LONG: Final = {"m": " am", "re": " are", "ve": " have", "ll": " will"}  # not `s` and `d`: they may be `has` and `had`
_SHORT_STEM: Final = {"can": "ca", "will": "wo"}
_NEGATED: Final = {"ca": "cannot", "wo": "will not"}
_AUXILIARY: Final = "do|does|did|is|are|was|were|has|have|had|would|could|should|must|need"
_CONTRACT: Final = (
    (
        re.compile(rf"\b({_AUXILIARY}|can|will) ?not\b", re.I),
        lambda match: match[1][0] + _SHORT_STEM.get(match[1].lower(), match[1])[1:] + "n't",
    ),
    (
        re.compile(
            r"\b(I(?= am)|(?:you|we|they)(?= are)|(?:he|she|it|that|there)(?= is)|(?:I|you|he|she|it|we|they)(?= will)"
            r"|(?:I|you|we|they)(?= have (?:been|had|got|made|done|seen|heard|[a-z]*[iklnrstv]ed)\b))"
            r" (am|are|is|will|have)(?= [a-z])",
            re.I,
        ),
        lambda match: match[1] + _SHORT[match[2].lower()],
    ),
)
_EXPAND: Final = (
    (
        # Not before a subject: `do not I have to pay` is nobody's English.
        re.compile(
            rf"\b({_AUXILIARY}|ca|wo)n['’]t\b(?!\s+(?:I|you|he|she|it|we|they|there|this|that|my|the|an?)\b)", re.I
        ),
        lambda match: match[1][0] + _NEGATED.get(match[1].lower(), match[1] + " not")[1:],
    ),
    (
        re.compile(
            r"\b(I(?=['’]m)|(?:you|we|they)(?=['’]re)|(?:I|you|we|they)(?=['’]ve)|\w+(?=['’]ll))['’](m|re|ve|ll)\b",
            re.I,
        ),
        lambda match: match[1] + _LONG[match[2].lower()],
    ),
)

_COMMA: Final = re.compile(r"(?<=[a-z]),(?= [a-z])")
_APOSTROPHE: Final = re.compile(r"(?<=n)['’](?=t\b)")
_LINE_END: Final = re.compile(r"(?<=[a-z])\.(?=\s*(?:\n|\Z))")
_CAPITAL: Final = re.compile(r"(?=[A-Z])(?:(?:\A|(?<=\n)|(?<=[.!?…]\s)|(?<=[.!?…]\s\s))[A-Z](?=[a-z]*\b)|\bI\b)")
_COMMA_GAP: Final = re.compile(r"(?<=[a-z]), (?=[a-z])")
_WORD_GAP: Final = re.compile(r"(?<=[a-z]) (?=[a-z])")

_TYPED: Final = re.compile(r"(?<![\w'’-])[a-z]{6,}(?![\w'’-])")  # a capital may be a name's
_KEYS_AROUND: Final = {
    key: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, key in enumerate(row)
}
# One slip away from another word (`statute` and `statue`), or a slip would blur what is allowed and what is not.
_KEPT_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "always cannot except neither nobody nothing unless without accept adopt affect appeal breach bought"
        " casual causal causes contact contract council counsel countries country county deceased desert effect"
        " employers ensure expect former hearing insure lender lessor likely losing marital martial minors morale"
        " native parent parental parents parties patent personal personnel posted prescribe proscribe persecute"
        " prosecute precede proceed refuse reuse starting stated states stating statue statute statutes tenant"
        " tenants though thought through thorough trustee united untied waiver whether",
    )
)


def _inner(word: str, rng: random.Random) -> int:
    return rng.randrange(1, len(word) - 1)


def _neighbour(word: str, rng: random.Random) -> str:
    place = _inner(word, rng)
    return word[:place] + rng.choice(_KEYS_AROUND[word[place]]) + word[place + 1 :]


def _dropped(word: str, rng: random.Random) -> str:
    place = _inner(word, rng)
    return word[:place] + word[place + 1 :]


def _doubled(word: str, rng: random.Random) -> str:
    place = _inner(word, rng)
    return word[:place] + word[place] + word[place:]


def _swapped(word: str, rng: random.Random) -> str:
    place = rng.randrange(1, len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


_SLIPS: Final = (_neighbour, _dropped, _doubled, _swapped)
