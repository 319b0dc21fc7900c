"""Noisers of words and phrases: contractions, registers, synonyms, short forms, what is misheard, and word order."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from curation.generators._noisers_draws import Draws
from curation.generators._noisers_tables import (
    ABBREVIATIONS,
    FILLERS,
    HOMOPHONES,
    REGISTERS,
    SYNONYMS,
    Phrases,
    phrases,
)

_MARKS: Final = ".,;:!?)"
_SHORT_FORMS: Final = phrases(ABBREVIATIONS)


def contractions(text: str, rng: Draws, strength: float) -> str:
    """Contracts `do not` to `don't`, or spells such forms out: one of the two for the whole text."""
    if rng.random() < 0.5:
        for pattern, replacement in _EXPAND if _APOSTROPHE.search(text) else ():
            text = _some(pattern, replacement, text, rng, strength + 0.25)
        return text
    if "not" in text or "NOT" in text:
        text = _some(_NOT, _contract_not, text, rng, strength + 0.25)
    return _some(_AFTER_PRONOUN, lambda match: _SHORT[match[1].lower()], text, rng, strength + 0.25)


def register(text: str, rng: Draws, strength: float) -> str:
    """Words of a more formal register, or of a less formal one: one of the two for the whole text."""
    return replace_phrases(text, REGISTERS[rng.random() < 0.75], rng, strength)


def synonyms(text: str, rng: Draws, strength: float) -> str:
    """Other words for the same."""
    return replace_phrases(text, SYNONYMS, rng, strength)


def abbreviations(text: str, rng: Draws, strength: float, table: Phrases = _SHORT_FORMS) -> str:
    """Short forms of the domain's words, such as `ToS` for `terms of service`."""
    return replace_phrases(text, table, rng, strength)


def speech(text: str, rng: Draws, strength: float) -> str:
    """What a dictation has: words that sound alike (`there` for `their`), and fillers, up to one in fifteen words."""
    text = replace_phrases(text, HOMOPHONES, rng, strength)
    draw = rng.random
    for _ in range(int(strength * text.count(" ") / 15 + draw())):
        place = text.find(" ", int(draw() * len(text)))
        if 0 < place < len(text) - 1 and text[place - 1] in _LETTERS and text[place + 1] in _LETTERS:
            text = f"{text[:place]} {FILLERS[int(draw() * len(FILLERS))]},{text[place:]}"
    return text


def word_order(text: str, rng: Draws, strength: float) -> str:
    """Moves an `if` or `although` clause to the other end of its sentence, and swaps pairs such as `both a and b`."""
    pattern, rewrite = ((_CLAUSE_LAST, _clause_first), (_CLAUSE_FIRST, _clause_last))[rng.random() < 0.5]
    if _MOVABLE.search(text):
        text = _some(pattern, rewrite, text, rng, strength)
    return _some(_PAIR, lambda match: f"{match[1]}{match[4]}{match[3]}{match[2]}", text, rng, strength)


def replace_phrases(text: str, table: Phrases, rng: Draws, share: float) -> str:
    """Replaces about `share` of the table's phrases that stand in the text.

    A phrase is found between blanks, with marks behind its last word alone. Its capital stays, and `a` and `an` remain
    right: where another one would be needed, the phrase stays.
    """
    # By bytes it is quickest; what is in no Latin alphabet comes out as `?`, and goes.
    keys = text.lower().encode("latin-1", "replace").translate(None, _MARKS.encode()).decode("latin-1").split(" ")
    places = [place for place, key in enumerate(keys) if key in table]
    if not places:
        return text
    tokens = text.split(" ")
    draw = rng.random
    spare: set[int] = set()
    end = 0
    for place in places:
        if place < end or draw() >= share:
            continue
        found = _phrase_at(place, tokens, keys, table)
        if found:
            length, choices = found
            chosen = choices[int(draw() * len(choices))]
            if not place or keys[place - 1] not in _ARTICLES or _begin_alike(keys[place], chosen):
                end = place + length
                if tokens[place][0].isupper():
                    chosen = chosen[0].upper() + chosen[1:]
                tokens[place] = chosen + tokens[end - 1][len(keys[end - 1]) :]
                spare.update(range(place + 1, end))
    return " ".join(token for place, token in enumerate(tokens) if place not in spare) if spare else " ".join(tokens)


def _phrase_at(place: int, tokens: list[str], keys: list[str], table: Phrases) -> tuple[int, tuple[str, ...]] | None:
    """The longest phrase that begins at a token: how many words it has, and what may stand for it."""
    for words, choices in table[keys[place]]:
        if len(words) == 1:  # as nearly all are
            if tokens[place].rstrip(_MARKS).lower() == keys[place]:
                return 1, choices
            continue
        end = place + len(words)
        if tuple(keys[place:end]) == words and (
            [token.lower() for token in tokens[place : end - 1]] == keys[place : end - 1]
            and tokens[end - 1].rstrip(_MARKS).lower() == words[-1]
        ):
            return len(words), choices
    return None


def _begin_alike(old: str, new: str) -> bool:
    """Whether the same article goes before both."""
    return (old[0] in _VOWELS) == (new[0].lower() in _VOWELS)


def _clause_first(match: re.Match[str]) -> str:
    """`Can I leave if the roof leaks?` as `If the roof leaks, can I leave?`"""
    main, conjunction, clause, mark = match.groups()
    if _HOLDS_CLAUSE.search(main) or _CONJUNCTION.search(clause):
        return match[0]
    start = main if _KEEPS_CAPITAL.match(main) else main[0].lower() + main[1:]
    return f"{conjunction.capitalize()} {clause}, {start}{mark}"


def _clause_last(match: re.Match[str]) -> str:
    """The reverse of `_clause_first`."""
    conjunction, clause, main, mark = match.groups()
    if _HOLDS_CLAUSE.search(main) or _CONJUNCTION.search(clause):
        return match[0]
    return f"{main[0].upper()}{main[1:]} {conjunction.lower()} {clause}{mark}"


def _some(
    pattern: re.Pattern[str], rewrite: Callable[[re.Match[str]], str], text: str, rng: Draws, share: float
) -> str:
    """Rewrites about `share` of the pattern's matches."""
    draw = rng.random
    return pattern.sub(lambda match: rewrite(match) if draw() < share else match[0], text)


_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz")
_ARTICLES: Final = frozenset({"a", "an"})
_VOWELS: Final = frozenset("aeiou")
_START: Final = r"(?:\A|(?<=\n)|(?<=[.!?][ ]))"
_MOVABLE: Final = re.compile(r"if |If |unless |Unless |although |Although ")
_CLAUSE_LAST: Final = re.compile(
    _START + r"([^\s.,;:!?][^.,;:!?\n]{7,120}?) (if|unless|although) ([^.,;:!?\n]{8,120})([.?])(?=\s|\Z)"
)
_CLAUSE_FIRST: Final = re.compile(
    _START + r"(If|Unless|Although) ([^.,;:!?\n]{8,120}), ([^\s.,;:!?][^.,;:!?\n]{7,120})([.?])(?=\s|\Z)"
)
# What asks for the clause, so that it can't be taken away; and what makes its reach unclear.
_HOLDS_CLAUSE: Final = re.compile(
    r"\b(?:ask\w*|wonder\w*|know\w*|see|check\w*|tell\w*|told|sure|doubt\w*|cares?|mind|matters?|depend\w*|finds?|found"
    r"|and|or|but|so|then|that|if|unless|although|because)\b|\b(?:only|even|as|what|just|especially|except)\Z",
    re.I,
)
_CONJUNCTION: Final = re.compile(r"\b(?:and|or|but|so|if|unless|although|because|then)\b", re.I)
_KEEPS_CAPITAL: Final = re.compile(r"I\b|[^A-Z]")
_NOUN: Final = r"(?:the|my|our|his|her|their|an?) (?!former|latter|first|last|other|rest|same|one)[a-z]+"
_PAIR: Final = re.compile(
    rf"(, |between |both )({_NOUN})( (?:and|or) )({_NOUN})"
    r"(?=[,.?!]| (?:are|were|have|had|do|can|will|must|should)\b)"
)

_SHORT: Final = {"am": "'m", "are": "'re", "have": "'ve", "will": "'ll", "is": "'s"}
_LONG: Final = {"m": " am", "re": " are", "ve": " have", "ll": " will"}  # not `s` and `d`: they may be `has` and `had`
_SHORT_STEM: Final = {"can": "ca", "will": "wo"}
_NEGATED: Final = {"ca": "cannot", "wo": "will not"}
_AUXILIARY: Final = "do|does|did|is|are|was|were|has|have|had|would|could|should|must|need"
_NOT: Final = re.compile(rf"\b({_AUXILIARY}|can|will) ?not\b", re.I)
_APOSTROPHE: Final = re.compile("['’]")


def _contract_not(match: re.Match[str]) -> str:
    return match[1][0] + _SHORT_STEM.get(match[1].lower(), match[1])[1:] + "n't"


def _after(verb: str, *pronouns: str) -> str:
    """The verb where it follows a pronoun: begun from the space between them, which is quick to search for."""
    found = "|".join(rf"(?<=\b{pronoun} {verb})" for pronoun in pronouns)
    return f"{verb}(?:{found})"


_AFTER_PRONOUN: Final = re.compile(
    " ("
    + "|".join(
        (
            _after("am", "I"),
            _after("are", "you", "we", "they"),
            _after("is", "he", "she", "it", "that", "there"),
            _after("will", "I", "you", "he", "she", "it", "we", "they"),
            _after("have", "I", "you", "we", "they")
            + r"(?= (?:been|had|got|made|done|seen|heard|[a-z]*[iklnrstv]ed)\b)",
        )
    )
    + ")(?= [a-z])",
    re.I,
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
