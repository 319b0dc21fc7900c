"""HTML to readable text, by the parser of the browsers' standard (lexbor), ten times as fast as BeautifulSoup."""

from __future__ import annotations

import re
import threading
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from curation.core.nemo import Modifier

# How strongly an element parts the text before it, in it and behind it; the strongest one between two texts counts.
_CELL, _LINE, _PARAGRAPH, _PRE = 1, 2, 3, 4
_SEPARATORS: Final = ("", "\t", "\n", "\n\n", "\n\n")
_LINES: Final = (
    "address article aside caption center dd details dialog dir div dl dt fieldset figcaption footer form header "
    "hgroup legend li main menu nav ol optgroup option search section summary title tr ul"
)
_RANKS: Final[dict[str | None, int]] = {
    **dict.fromkeys(("td", "th"), _CELL),
    **dict.fromkeys(_LINES.split(), _LINE),
    **dict.fromkeys(("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "hr", "figure"), _PARAGRAPH),
    "pre": _PRE,
}
_DROPPED: Final = ["script", "style", "template"]
_MARKUP: Final = re.compile(r"<[a-zA-Z/!?]")

# NUL can't occur in the text: it is removed before parsing, and the parser reads `&#0;` as U+FFFD. So it stands for a
# line break that `<br>` asked for; and a text of NUL and a rank, put behind an element, tells a walk where that ends.
_NUL: Final = "\0"
_ENDS: Final = tuple(f"{_NUL}{rank}".encode() for rank in range(len(_SEPARATORS)))


class Html(Modifier):
    """Turns HTML into text that reads as a browser shows it.

    - Paragraphs, headings, quotations, tables and `<pre>` are parted by an empty line; list items, table rows, `<div>`
      and other blocks by a line break; the cells of a row by a tab. `<br>` breaks the line, and two leave an empty
      one. This is the layout of `innerText` (HTML standard, 3.2.7), with more elements taken for paragraphs.
    - HTML's white space and non-breaking spaces collapse to one space; inside `<pre>` they are kept as they are.
    - `<script>`, `<style>`, `<template>`, comments and attributes (a link's address, an image's `alt`) are left out.
    - Entities are decoded once: `&lt;x&gt;` is the text `<x>`. A second cleaning would take that text for a tag, so
      clean once: of HTML this can't be idempotent.

    A text without any tag keeps its own lines: only its entities are decoded, and its ends are stripped. NULs are
    removed, lone surrogates become U+FFFD, and what is not well-formed is read as the standard says, never an error.
    """

    def modify_document(self, text: str) -> str:
        """The text of a fragment, or of a whole document, of HTML."""
        text = _encodable(text.replace(_NUL, ""))
        if _MARKUP.search(text):
            return _lay_out(_page.parse(text))
        return (_page.parse(text).text() if "&" in text else text).strip()


class _Page(threading.local):
    """A document whose body is filled again and again: making a new one costs more than parsing most texts.

    What a body held before stays in its document's memory, so a document is replaced after `_CHARACTERS`.
    """

    _CHARACTERS = 65536

    def __init__(self) -> None:
        self._left = 0

    def parse(self, html: str) -> LexborNode:
        """The body with `html` in it; good until the next call."""
        if self._left <= 0:
            self._document, self._left = LexborHTMLParser(""), self._CHARACTERS
        self._left -= len(html)
        body = self._document.body
        assert body is not None  # the parser makes it up where there is none
        body.inner_html = html
        self._document.strip_tags(_DROPPED)
        return body


_page = _Page()


def _encodable(text: str) -> str:
    """Surrogate pairs joined, and lone surrogates replaced, as ftfy does."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _lay_out(body: LexborNode) -> str:
    """The runs of text between the elements that part them, each behind the strongest separator before it."""
    body.insert_child(_ENDS[_LINE])
    laid: list[str] = []
    run = ""
    separator = preformatted = 0
    for node in body.traverse(include_text=True):
        tag = node.tag
        if tag == "-text":
            text = node.text_content or ""
            if text[:1] != _NUL:
                run += text
                continue
            rank, step = int(text[1]), -1
        elif tag in _RANKS:
            rank, step = _RANKS[tag], 1
            node.insert_after(_ENDS[rank])
        else:
            if tag == "br":
                run += _NUL
            continue
        if run:
            words = _verbatim(run) if preformatted else _collapsed(run)
            if words:
                laid.append(_SEPARATORS[separator])
                laid.append(words)
                separator = 0
            run = ""
        if rank > separator:
            separator = rank
        if rank == _PRE:
            preformatted += step
    return "".join(laid[1:])


def _verbatim(run: str) -> str:
    return run.replace(_NUL, "\n").strip("\n").rstrip()


def _collapsed(run: str) -> str:
    if run.isspace():
        return ""
    # For so few characters this is faster than a regular expression, and than splitting into words.
    run = run.replace("\n", " ").replace("\xa0", " ").replace("\t", " ").replace("\r", " ").replace("\f", " ")
    while "  " in run:
        run = run.replace("  ", " ")
    if _NUL not in run:
        return run.strip()
    lines = "\n".join(line.strip() for line in run.split(_NUL))
    return re.sub("\n{3,}", "\n\n", lines).strip()
