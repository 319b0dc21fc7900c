"""Noisers of letters and signs. They draw few random numbers and read little of the text: a draft costs microseconds.

None of them adds or removes a word, `spacing` apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from curation.generators._noisers_draws import Draws
from curation.generators._noisers_tables import MISSPELLINGS
from curation.generators._noisers_words import replace_phrases

Slip = Callable[[str, Draws], str]

TYPED_SHARE: Final = 1 / 6
"""Share of the words that `typos` and `ocr` misspell at full strength."""
_TRIES: Final = 6
"""Words drawn for each slip at most: for a short one another is drawn."""


def typos(text: str, rng: Draws, strength: float) -> str:
    """Misspells words of six letters and more, up to one word in six of the text at full strength.

    The slips: a neighbouring key, a letter left out or doubled, two letters swapped. Never at a word's first or last
    letter: a word keeps the shape by which it is read, and `employer` can't become `employee`.
    """
    return _slip(text, rng, strength, 6, _mistype)


def ocr(text: str, rng: Draws, strength: float) -> str:
    """Misreads shapes as a scanner does (`rn` as `m`, `l` as `1`, `o` as `0`), in up to one word in six."""
    return _slip(text, rng, strength, 4, _misread)


def spelling(text: str, rng: Draws, strength: float) -> str:
    """Misspells words as many people do: `recieve`, `definately`, `alot`."""
    return replace_phrases(text, MISSPELLINGS, rng, strength)


def punctuation(text: str, rng: Draws, strength: float) -> str:
    """Forgets commas, apostrophes of negations and full stops at line ends; never a question mark."""
    draw = rng.random
    return _FORGOTTEN.sub(lambda match: "" if draw() < strength else match[0], text)


def casing(text: str, rng: Draws, strength: float) -> str:
    """Writes all in lower case, or forgets the capitals of sentences and of `I`."""
    if rng.random() < strength / 2:
        return text.lower()
    draw = rng.random
    return _CAPITAL.sub(lambda match: match[0].lower() if draw() < strength else match[0], text)


def spacing(text: str, rng: Draws, strength: float) -> str:
    """Doubles one space in twenty, or moves spaces before a comma, or forgets them after one."""
    draw = rng.random
    gap = (" , ", " ,", ",")[int(draw() * 3)]
    text = _COMMA_GAP.sub(lambda match: gap if draw() < strength / 2 else match[0], text)
    for _ in range(_about(text.count(" ") * strength / 20, rng)):
        place = text.find(" ", int(draw() * len(text)))
        if 0 < place < len(text) - 1 and text[place - 1] in _LETTERS and text[place + 1] in _LETTERS:
            text = f"{text[:place]} {text[place:]}"
    return text


def _about(expected: float, rng: Draws) -> int:
    """One of the two whole numbers around `expected`, which is their mean."""
    return int(expected + rng.random())


def _slip(text: str, rng: Draws, strength: float, shortest: int, slip: Slip) -> str:
    """Lets `slip` change words drawn at random, each of them once, and at least one where there is any."""
    draw = rng.random
    tokens = text.split(" ")
    done: set[int] = set()
    missing = max(1, round(strength * len(tokens) * TYPED_SHARE))
    for _ in range(_TRIES * missing):
        place = int(draw() * len(tokens))
        token = tokens[place]
        if len(token) < shortest or place in done:
            continue
        word = token.rstrip(_MARKS)
        # Of small letters from `a` to `z` alone: a capital may be a name's.
        if len(word) >= shortest and word.islower() and word.isalpha() and word.isascii() and word not in _KEPT_WORDS:
            tokens[place] = slip(word, rng) + token[len(word) :]
            done.add(place)
            missing -= 1
            if not missing:
                break
    return " ".join(tokens) if done else _slip_anywhere(text, rng, shortest, slip)


def _slip_anywhere(text: str, rng: Draws, shortest: int, slip: Slip) -> str:
    """Changes one of all the words, for texts in which chance finds none."""
    words = [match for match in _WORD.finditer(text) if len(match[0]) >= shortest and match[0] not in _KEPT_WORDS]
    if not words:
        return text
    chosen = words[int(rng.random() * len(words))]
    return text[: chosen.start()] + slip(chosen[0], rng) + text[chosen.end() :]


def _mistype(word: str, rng: Draws) -> str:
    kind, place = divmod(int(rng.random() * 4 * (len(word) - 3)), len(word) - 3)
    place += 1
    if kind == 0:
        keys = _KEYS_AROUND[word[place]]
        return word[:place] + keys[int(rng.random() * len(keys))] + word[place + 1 :]
    if kind == 1:
        return word[:place] + word[place + 1 :]
    if kind == 2:
        return word[:place] + word[place] + word[place:]
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _misread(word: str, rng: Draws) -> str:
    for seen, read in _SHAPES_FROM[int(rng.random() * len(_SHAPES))]:
        place = word.find(seen)
        if place >= 0:
            return word[:place] + read + word[place + len(seen) :]
    return word


_MARKS: Final = ".,;:!?)"
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz")
_WORD: Final = re.compile(r"(?<![\w'’-])[a-z]+(?![\w'’-])")
# Each alternative begins with its own sign, so that the search runs from sign to sign.
_FORGOTTEN: Final = re.compile(
    r",(?<=[a-z],)(?= [a-z])|'(?<=n')(?=t\b)|’(?<=n’)(?=t\b)|\.(?<=[a-z]\.)(?=[^\S\n]*(?:\n|\Z))"
)
_CAPITAL: Final = re.compile(
    r"[A-Z](?:(?<=\A[A-Z])|(?<=\n[A-Z])|(?<=[.!?…]\s[A-Z])|(?<=[.!?…]\s\s[A-Z]))(?=[a-z]*\b)|I\b(?<=\bI)"
)
_COMMA_GAP: Final = re.compile(r", (?<=[a-z], )(?=[a-z])")

_KEY_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def _keys_around() -> dict[str, str]:
    """The keys that touch each letter's key; a row stands about half a key right of the row above it."""
    around = {}
    for row, keys in enumerate(_KEY_ROWS):
        for place, key in enumerate(keys):
            near = keys[max(place - 1, 0) : place] + keys[place + 1 : place + 2]
            if row > 0:
                near += _KEY_ROWS[row - 1][place : place + 2]
            if row < 2:
                near += _KEY_ROWS[row + 1][max(place - 1, 0) : place + 1]
            around[key] = near
    return around


_KEYS_AROUND: Final = _keys_around()
_SHAPES: Final = (
    ("rn", "m"),
    ("m", "rn"),
    ("cl", "d"),
    ("d", "cl"),
    ("l", "1"),
    ("o", "0"),
    ("vv", "w"),
    ("w", "vv"),
    ("ri", "n"),
    ("li", "h"),
    ("h", "b"),
    ("e", "c"),
    ("i", "l"),
    ("tt", "ft"),
    ("fi", "ﬁ"),
    ("nn", "rm"),
    ("s", "5"),
    ("a", "o"),
    ("u", "ii"),
    ("g", "q"),
)
_SHAPES_FROM: Final = tuple(_SHAPES[first:] + _SHAPES[:first] for first in range(len(_SHAPES)))
# One slip away from another word (`statute` and `statue`), or a slip would blur what is allowed and what is not.
_KEPT_WORDS: Final = frozenset(
    re.findall(
        r"\w+",
        "always cannot except neither nobody nothing unless without accept adopt affect appeal breach bought "
        "casual causal causes contact contract council counsel countries country county deceased desert effect "
        "employers ensure expect former hearing insure lender lessor likely losing marital martial minors morale "
        "native parent parental parents parties patent personal personnel posted prescribe proscribe persecute "
        "prosecute precede proceed refuse reuse second starting stated states stating statue statute statutes "
        "tenant tenants though thought through thorough trustee united untied waiver whether must shall may might "
        "can could should would will never none not only",
    )
)
