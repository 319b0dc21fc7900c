"""Noisers of whole sentences: what is said around a question, its order, and the order of a context's sentences."""

from __future__ import annotations

import re
from typing import Final

from curation.generators._noisers_draws import Draws
from curation.generators._protected import is_masked

MIN_WORDS: Final = 60
"""A question that is cut keeps as many words; word-count filters of 50 to 500 follow."""


def drop(text: str, rng: Draws, strength: float) -> str:
    """Leaves out pleasantries; what is left has `MIN_WORDS` at least."""
    parts = _SENTENCE_GAP.split(text)
    for index in reversed(range(0, len(parts), 2)):
        if _is_spare(parts, index) and rng.random() < strength:
            left = _without(parts, index)
            parts = left if len("".join(left).split()) >= MIN_WORDS else parts
    return "".join(parts)


def reorder(text: str, rng: Draws, strength: float) -> str:
    """Puts the text's one question before its background, where the question stands by itself."""
    parts = _SENTENCE_GAP.split(text)
    asked = [index for index in range(0, len(parts), 2) if "?" in parts[index]]
    if len(asked) == 1 and _can_lead(parts, asked[0]) and rng.random() < strength:
        return "".join([parts[asked[0]], _gap_beside(parts[0][:1], rng), *_without(parts, asked[0])])
    return text


def context(text: str, rng: Draws, strength: float) -> str:
    """Adds what people say around a question: a greeting, an apology, thanks."""
    if not _POLITE_START.match(text) and rng.random() < strength + 0.25:
        opening = rng.choice(_OPENINGS)
        if rng.random() < strength:
            opening = f"{opening} {rng.choice(_ASIDES)}"
        text = opening + _gap_beside(text[:1], rng) + text
    if not _POLITE_END.search(text) and rng.random() < strength + 0.25:
        text = text + _gap_beside(text[-1:], rng) + rng.choice(_CLOSINGS)
    return text


def context_shuffle(text: str, rng: Draws, strength: float, answer: str) -> str:  # noqa: ARG001
    """Puts sentences of the context, up to all of them at full strength, into another order."""
    parts = _SENTENCE_GAP.split(text)
    chosen = [index for index in range(0, len(parts), 2) if _can_move(parts[index]) and rng.random() < strength]
    shuffled = list(parts)
    for place, index in zip(chosen, rng.shuffled(chosen), strict=True):
        shuffled[place] = parts[index]
    return "".join(shuffled)


def context_drop(text: str, rng: Draws, strength: float, answer: str) -> str:
    """Leaves out sentences of the context, up to half of them, that hold nothing which the answer may rest on.

    These stay: sentences with a protected span, and those that share a word of five letters or more with the answer.
    """
    parts = _SENTENCE_GAP.split(text)
    needed = set(_LONG_WORD.findall(answer.lower()))
    most = (len(parts) + 1) // 4
    for index in reversed(range(0, len(parts), 2)):
        spare = not is_masked(parts[index]) and needed.isdisjoint(_LONG_WORD.findall(parts[index].lower()))
        if spare and most and rng.random() < strength:
            parts = _without(parts, index)
            most -= 1
    return "".join(parts)


def _can_move(sentence: str) -> bool:
    """Whether a sentence ends as one: a span that stands alone may be a block of code, and needs its own lines."""
    return len(sentence) > 1 and sentence[-1] in ".!?…"


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


_LONG_WORD: Final = re.compile(r"[^\W\d_]{5,}")


def _without(parts: list[str], index: int) -> list[str]:
    """The parts less a sentence and one of the gaps beside it; a line break stays, for what begins or ends there."""
    before = max(index - 1, 0)
    gaps = sorted(parts[before:index] + parts[index + 1 : index + 2], key=lambda gap: "\n" in gap)
    return parts[:before] + gaps[1:] + parts[index + 2 :]


def _gap_beside(edge: str, rng: Draws) -> str:
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
