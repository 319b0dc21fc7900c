"""Pairs of questions that are known to be duplicates, or known not to be, made from the shared StackExchange data.

A question is a real title, with the body's first words below it for every second one. What is done to it is written
down in `CLASSES`; the rules of this file make the other text of a pair, so a label needs no reader. Questions of one
site are for choosing thresholds (`tune`), those of another for judging them (`judge`).
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Final

DATA = Path(os.environ.get("CURATION_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PARTS: Final[Mapping[str, tuple[str, ...]]] = {"tune": ("beer", "coffee"), "judge": ("matheducators",)}
PER_CLASS: Final = 60  # pairs of each class and part, where the data has so many
_BODY_WORDS: Final = 60
_TAG: Final = re.compile(r"<[^>]*>")
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_NUMBER: Final = re.compile(r"(?<![\w.,])\d+(?![\w,]|\.\d)")


@dataclass(frozen=True)
class Question:
    """One of a site's, as text, with its tags."""

    text: str
    tags: frozenset[str]


@dataclass(frozen=True)
class Pair:
    """Two texts, and what is known of them."""

    first: str
    second: str
    kind: str
    part: str

    @property
    def duplicate(self) -> bool:
        return CLASSES[self.kind]


CLASSES: Final[Mapping[str, bool]] = {  # whether a pair of this kind is a duplicate
    "case or punctuation edit": True,
    "one typo": True,
    "light paraphrase": True,
    "number changed": False,
    "entity swapped": False,
    "polarity flipped": False,
    "arguments swapped": False,
    "same topic, other question": False,
    "unrelated": False,
}


def questions(part: str) -> list[Question]:
    """A part's questions in the order of the data.

    Raises:
        SystemExit: the shared data is not here.
    """
    found = []
    for number, row in enumerate(row for site in PARTS[part] for row in _rows(site)):
        body = " ".join(unescape(_TAG.sub(" ", row["question_body"])).split()[:_BODY_WORDS])
        title = unescape(row["question_title"])
        found.append(Question(f"{title}\n{body}" if number % 2 else title, frozenset(row["tags"])))
    return found


def _rows(site: str) -> list[dict[str, str]]:
    path = DATA / "stackexchange" / f"{site}.json"
    try:
        rows: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SystemExit(f"the shared data is not here: {path} (set CURATION_SHARED_DATA to its folder)") from None
    return rows


def labelled(part: str, seed: int = 7, per_class: int = PER_CLASS) -> list[Pair]:
    """The pairs of a part, always the same ones for a seed, class by class."""
    asked = questions(part)
    edits: dict[str, Callable[[str, random.Random], str | None]] = {
        "case or punctuation edit": _edited,
        "one typo": _with_typo,
        "light paraphrase": _paraphrased,
        "number changed": _renumbered,
        "entity swapped": partial(_replaced, table=_both_ways(_ENTITIES[part])),
        "polarity flipped": _flipped,
        "arguments swapped": _exchanged,
    }
    pairs = []
    for kind in CLASSES:
        rng = random.Random(f"{seed} {part} {kind}")
        chosen = rng.sample(asked, len(asked))
        made = _others(kind, chosen, asked, rng) if kind not in edits else _changed(edits[kind], chosen, rng)
        pairs += [Pair(first, second, kind, part) for first, second in islice(made, per_class)]
    return pairs


def _changed(
    edit: Callable[[str, random.Random], str | None], chosen: Iterable[Question], rng: random.Random
) -> Iterator[tuple[str, str]]:
    for question in chosen:
        other = edit(question.text, rng)
        if other is not None and other != question.text:
            yield question.text, other


def _others(
    kind: str, chosen: Iterable[Question], asked: Sequence[Question], rng: random.Random
) -> Iterator[tuple[str, str]]:
    for question in chosen:
        if kind == "unrelated":
            apart = [other for other in asked if not other.tags & question.tags]
            yield question.text, rng.choice(apart).text
        else:
            yield question.text, max(asked, key=partial(_nearness, question)).text


def _nearness(question: Question, other: Question) -> tuple[int, float]:
    """How much two questions have in common: tags, then words of their titles; a question is not near to itself."""
    if other is question:
        return -1, 0.0
    mine, theirs = ({word.lower() for word in _WORD.findall(each.text.split("\n")[0])} for each in (question, other))
    return len(question.tags & other.tags), len(mine & theirs) / max(1, len(mine | theirs))


def _edited(text: str, rng: random.Random) -> str:
    """Other case, or other sentence marks."""
    edits: list[Callable[[str], str]] = [
        str.lower,
        str.upper,
        lambda old: old.replace("?", ""),
        lambda old: old.replace(",", "").replace(".", " ") if not re.search(r"\d[.,]\d", old) else old.lower(),
        lambda old: old.replace("'", "’").replace('"', "”").rstrip("?.") + " ?",
        lambda old: old.replace("?", "??").replace(". ", "… "),
    ]
    return rng.choice(edits)(text)


def _with_typo(text: str, rng: random.Random) -> str | None:
    """One letter of one word of five or more is left out, doubled, exchanged with the next, or another."""
    words = [match for match in _WORD.finditer(text.split("\n")[0]) if len(match[0]) >= 5]
    if not words:
        return None
    at = rng.randrange((match := rng.choice(words)).start() + 1, match.end() - 1)
    kinds = (text[at] * 2, "", text[at + 1] + text[at], rng.choice("aeinrst"))
    typed = rng.choice(kinds)
    return text[:at] + typed + text[at + (2 if len(typed) == 2 and typed[0] != text[at] else 1) :]


def _both_ways(table: Mapping[str, str]) -> dict[str, str]:
    return {**{new: old for old, new in table.items()}, **table}


_SAME: Final[Mapping[str, str]] = {
    "how do i": "how can I", "how can i": "how do I", "how should i": "what is the best way to", "what is": "what's",
    "what's": "what is", "don't": "do not", "doesn't": "does not", "can't": "cannot", "isn't": "is not",
    "it's": "it is", "i'm": "I am", "i've": "I have", "is there a": "does there exist a",
    "are there any": "do you know any", "why do": "for what reason do", "why does": "for what reason does",
    "is it possible to": "can one", "difference between": "distinction between",
    "way to": "method to", "ways to": "methods to", "make": "produce", "student": "pupil", "students": "pupils",
    "buy": "purchase", "affect": "influence", "help": "assist", "need": "require", "explain": "clarify",
    "show": "demonstrate", "big": "large", "many": "numerous", "important": "essential", "examples": "instances",
    "example": "instance", "course": "class", "courses": "classes", "store": "keep", "should i": "ought I to",
    "kind of": "type of", "types of": "kinds of", "often": "frequently", "quickly": "rapidly",
}  # fmt: skip
_COUNTED: Final = dict(
    zip(
        map(str, range(2, 13)),
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
        strict=True,
    )
)
_SPELLED: Final = _COUNTED | {word: digits for digits, word in _COUNTED.items()}
_POLITE: Final = ("Could you tell me: {}", "I would like to know: {}", "{} Thanks in advance.", "Quick question: {}")
_ENTITIES: Final[Mapping[str, Mapping[str, str]]] = {
    "tune": {
        "beer": "wine", "coffee": "tea", "espresso": "filter coffee", "stout": "lager", "ipa": "porter",
        "bottle": "keg", "bottles": "cans", "arabica": "robusta", "aeropress": "chemex", "germany": "belgium",
        "french press": "moka pot", "milk": "sugar", "yeast": "hops", "whiskey": "rum", "cider": "mead",
    },
    "judge": {
        "calculus": "geometry", "algebra": "topology", "integrals": "derivatives", "integral": "derivative",
        "statistics": "number theory", "probability": "combinatorics", "high school": "university",
        "exam": "lecture", "exams": "lectures", "homework": "seminar", "proofs": "definitions", "proof": "definition",
        "fractions": "vectors", "textbook": "blog", "textbooks": "blogs", "sine": "logarithm", "limits": "matrices",
    },
}  # fmt: skip
_POLES: Final[Mapping[str, str]] = {
    "is": "is not", "are": "are not", "can": "cannot", "does": "doesn't", "do": "don't", "should": "should not",
    "with": "without", "more": "less", "before": "after", "best": "worst", "good": "bad", "high": "low",
    "increase": "decrease", "better": "worse", "hot": "cold", "long": "short", "possible": "impossible",
    "necessary": "unnecessary", "always": "never", "legal": "illegal", "first": "last", "easy": "hard",
    "advantages": "disadvantages", "allowed": "forbidden", "safe": "unsafe", "correct": "incorrect", "large": "small",
    # words that no table of contrast.py has
    "encourage": "discourage", "help": "hinder", "success": "failure", "successful": "failed", "useful": "useless",
    "include": "exclude", "motivate": "bore", "understand": "misunderstand", "improve": "worsen", "interesting": "dull",
    "advanced": "elementary", "modern": "traditional", "fresh": "stale", "well": "badly", "start": "avoid",
    "rigorous": "sloppy", "popular": "unpopular", "experienced": "inexperienced", "formal": "informal",
}  # fmt: skip
_ABOUT: Final = (
    "to", "from", "before", "after", "than", "into", "over", "for", "of", "in", "on", "without", "affects", "causes",
    "replaces", "uses", "with", "as", "explains", "motivates", "beats",
)  # fmt: skip
_SWAP: Final = re.compile(rf"\b([^\W\d_]{{4,}}) ({'|'.join(_ABOUT)}) ((?:a |an |the )?)([^\W\d_]{{4,}})\b")
_FUNCTION_WORDS: Final = {
    "what", "which", "when", "where", "there", "these", "those", "this", "that", "they", "them", "your", "with",
    "without", "from", "into", "over", "before", "after", "than", "have", "does", "should", "would", "could", "about",
    "some", "most", "more", "much", "many", "very", "just", "only", "like", "because", "while", "between",
}  # fmt: skip


def _paraphrased(text: str, rng: random.Random) -> str | None:
    """Words or turns of the same meaning, a polite frame, a clause moved to the front, or a number as a word."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(_POLITE).format(text)
    if kind < 0.35:
        return _fronted(text)
    if kind < 0.5:
        return _spelled(text)
    once = _replaced(text, rng, _SAME)
    twice = _replaced(once, rng, _SAME) if once and rng.random() < 0.5 else None
    return twice if twice != text and twice else once


def _fronted(text: str) -> str | None:
    """The title's last phrase of place, time or purpose goes before the question: `In class, how do I …?`"""
    title, line, body = text.partition("\n")
    match = re.fullmatch(
        r"((?:How|What|Why|When|Should|Can|Is|Are|Do|Does)\b.{12,}) ((?:in|for|at|on|during) .{3,40})\?", title
    )
    if match is None or "," in title:
        return None
    return f"{match[2].capitalize()}, {match[1][0].lower()}{match[1][1:]}?{line}{body}"


def _spelled(text: str) -> str | None:
    """The first number from two to twelve as a word, or such a word as a number."""
    for match in re.finditer(r"(?<![\w.,^/$-])(?:\d+|[a-z]+)(?![\w^/$-]|[.,]\d)", text):
        if match[0] in _SPELLED:
            return text[: match.start()] + _SPELLED[match[0]] + text[match.end() :]
    return None


def _replaced(text: str, rng: random.Random, table: Mapping[str, str]) -> str | None:
    """One key of the table, where it first stands as a whole word, becomes its value."""
    keys = [key for key in table if re.search(rf"(?<![\w']){re.escape(key)}(?![\w'])", text, re.IGNORECASE)]
    if not keys:
        return None
    key = rng.choice(keys)
    return re.sub(
        rf"(?<![\w']){re.escape(key)}(?![\w'])",
        lambda match: table[key].capitalize() if match[0][0].isupper() else table[key],
        text,
        count=1,
        flags=re.IGNORECASE,
    )


def _flipped(text: str, rng: random.Random) -> str | None:
    return _replaced(text, rng, _POLES)


def _renumbered(text: str, rng: random.Random) -> str | None:
    """One number becomes another."""
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    match = rng.choice(found)
    number = int(match[0])
    new = rng.choice([value for value in (number + 1, number + 2, number * 2, number * 10) if value != number])
    return text[: match.start()] + str(new) + text[match.end() :]


def _exchanged(text: str, rng: random.Random) -> str | None:
    """What stands before and after a preposition or a verb changes places."""
    found = [
        match
        for match in _SWAP.finditer(text)
        if match[1].lower() != match[4].lower() and not {match[1].lower(), match[4].lower()} & _FUNCTION_WORDS
    ]
    if not found:
        return None
    match = rng.choice(found)
    return f"{text[: match.start()]}{match[4]} {match[2]} {match[3]}{match[1]}{text[match.end() :]}"
