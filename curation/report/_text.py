"""Texts of the dataset as a page shows them: cut to a length, escaped, with changed words marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from markupsafe import Markup, escape

CONTEXT = 8
"""Unchanged words that stay on either side of a change."""
MAX_WORDS = 400
"""Words of a text that are compared: the comparison's time grows with their product."""
SHOWN_WORDS = 110

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def shown(text: object, limit: int = 220) -> str:
    """`text` on one line, at most `limit` characters of it, control characters replaced."""
    line = " ".join(_CONTROL.sub("\ufffd", "" if text is None else str(text)[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def compare(old: str | None, new: str | None) -> tuple[Markup, Markup] | None:
    """Both texts with the words that differ in `<mark>`, long unchanged stretches left out; None if they are equal."""
    before, after = _words(old), _words(new)
    if before == after:
        return None
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    left = [(tag != "equal", before[start:end]) for tag, start, end, _, _ in changes]
    right = [(tag != "equal", after[start:end]) for tag, _, _, start, end in changes]
    return _marked(left), _marked(right)


def _words(text: str | None) -> list[str]:
    return _CONTROL.sub("\ufffd", text or "").split()[:MAX_WORDS]


def _marked(pieces: list[tuple[bool, list[str]]]) -> Markup:
    """The pieces as one text, up to `SHOWN_WORDS` words."""
    room = SHOWN_WORDS
    out: list[Markup] = []
    for place, (changed, words) in enumerate(pieces):
        if not words:
            continue
        kept = words if changed else list(_around(words, place > 0, place < len(pieces) - 1))
        text = escape(" ".join(kept[:room]))
        out.append(Markup("<mark>{}</mark>").format(text) if changed else text)
        room -= len(kept)
        if room <= 0:
            out.append(Markup("…"))
            break
    return Markup(" ").join(out)


def _around(words: list[str], after_change: bool, before_change: bool) -> Iterator[str]:
    """The words of an unchanged stretch that are next to a change."""
    head = CONTEXT if after_change else 0
    tail = CONTEXT if before_change else 0
    if len(words) <= head + tail + 2:
        yield from words
        return
    yield from words[:head]
    yield "…"
    yield from words[len(words) - tail :]
