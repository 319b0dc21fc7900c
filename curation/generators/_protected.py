"""Finds what a rewording must not touch: code, numbers, addresses, citations, quotations and names.

`mask` takes such spans out of a text and leaves one placeholder character for each, so that whatever then edits
the text can't reach them; `unmask` puts them back. A placeholder is a private-use code point: neither a letter nor
white space, so patterns over words and spaces pass it by.
"""

from __future__ import annotations

import re
from typing import Final

MAX_CHARACTERS: Final = 100_000
"""Longest text that `mask` takes: there are more placeholders than that, so each span has one of its own."""

_FIRST: Final = 0xF0000
_PLACEHOLDERS: Final = "\U000f0000-\U0010fffd"
_PRIVATE: Final = f"\ue000-\uf8ff{_PLACEHOLDERS}"
_UPPER: Final = "A-Z" + "".join(chr(code) for code in range(0xC0, 0x588) if chr(code).isupper())
_TAIL: Final = r"(?:\S*[^\s.,;:!?])?"  # what hangs on a span up to the end of its token: `"a"-b`, `'x'(1)`

_CODE: Final = r"```.*?```|`[^`\n]+`" + _TAIL + r"|(?:(?<![^\n])(?:[ ]{4}|\t)[^\n]*\n?)+(?<!\n)"
_QUOTED: Final = (
    r"(?=[\"“«'‘$])"  # says no at once to any other character
    r'(?:(?<![\w"])"(?=\S)[^"]{1,2000}(?<=\S)"(?!\w)|“[^”]{1,2000}”|«[^»]{1,2000}»'
    r"|(?<!\w)['‘](?=\S)(?:[^'’\n]|(?<=\w)['’](?=\w)){1,500}(?<=\S)['’](?!\w)"
    r"|\$(?=\S)[^$\n]{1,200}(?<=\S)\$(?!\d))" + _TAIL
)
# Any token with a sign that prose does not have: numbers, dates, amounts, addresses, paths, identifiers.
_SIGN: Final = rf"\d_/\\@#=<>{{}}|$£€¥%§^~*+&{_PRIVATE}"
_TOKEN: Final = (
    rf"(?<!\S)(?:(?=[^\s{_SIGN}]*+[{_SIGN}])|(?=[^\s.]++\.\w)|(?=[^\w\s]*+[A-Z]?[a-z]++[A-Z]))\S*[^\s.,;:!?]"
)
_NUMERAL: Final = (
    r"\b(?=[tfsenhmbdTFSENHMBD])(?i:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty"
    r"|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|dozen|half|twice)"
    r"(?:[- ](?i:hundred|thousand|million|billion))?\b"
)
_UNIT: Final = (
    r"(?i:percent|per[ ]cent|seconds?|minutes?|hours?|days?|weeks?|months?|years?|pounds?|dollars?|euros?|pence|cents?"
    r"|hundred|thousand|million|billion|miles?|feet|inches|metres?|meters?|km|kg|grams?|litres?|liters?|am|pm)\b"
)
_CITATION: Final = (
    r"\b(?=\w{1,11}+\.?[ ][\dIVXLC])(?i:ss?|sec|sect|sections?|arts?|articles?|paras?|paragraphs?|regs?|regulations?"
    r"|rules?|rr?|ch|chapters?|cl|clauses?|nos?|pp?|parts?|pt|schedules?|titles?)\.?[ ]"
    r"(?:\d\S*[^\s.,;:!?]|\d|[IVXLC]+\b)"
)
_ABBREVIATION: Final = r"\b(?:[A-Za-z]\.){2,}|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Inc|Ltd|Co|Corp|Jr|Sr|No|Art|Sec)\."
_NAME: Final = rf"(?<!\w)(?!I\b)[{_UPPER}](?:[\w'’-]*\w)?"
_LAST: Final = rf"[\d{_PRIVATE}]+"  # glued behind another span; a private-use character must never stay in the text

_ATOM: Final = "|".join((_ABBREVIATION, _CITATION, _TOKEN, _NUMERAL, _NAME, _LAST))
_JOIN: Final = r"(?:,?[ ]|[ ]vs?\.?[ ])"  # `14 March 2023`, `March 3rd, 2023`, `Smith v Jones [2001]`
_SPAN: Final = re.compile(
    rf"(?:(?<!\w)|(?![a-z]))"  # says no at once inside a word, where most positions of a text are
    rf"(?:{_CODE}|{_QUOTED}|(?:{_ATOM})(?:{_JOIN}(?:{_ATOM}))*(?:(?<=\w)[ ](?:{_UNIT}|%))?)",
    re.DOTALL,
)
_SENTENCE_START: Final = re.compile(r"(?:\A\s*|[.!?:…][\"”’')\]]*\s+|\n\s*)[\"“‘'(\[]*")
_ONE_WORD: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|['’-])*")
_PLACEHOLDER: Final = re.compile(f"[{_PLACEHOLDERS}]")


def mask(text: str) -> tuple[str, list[str]]:
    """The text with a placeholder for each protected span, and the spans in their order.

    Protected are: code (in backticks, or lines indented by four spaces or a tab), quotations, formulas between dollar
    signs, every token with a digit or a sign that prose lacks (amounts, dates, addresses, paths, identifiers),
    numbers in words, quantities with their unit, citations, abbreviations with inner dots, and capitalised words.
    A capitalised word at the start of a sentence is protected only if it is more than a sentence's capital: in a row
    with another name, all in capitals, or capitalised inside a sentence elsewhere in the text.

    Args:
        text: at most `MAX_CHARACTERS` characters.
    """
    found = [(match.start(), match.group()) for match in _SPAN.finditer(text)]
    starts = {match.end() for match in _SENTENCE_START.finditer(text)}
    names = {word for start, span in found if start not in starts for word in span.split() if len(word) > 1}
    pieces: list[str] = []
    spans: list[str] = []
    end = 0
    for start, span in found:
        if start in starts and span not in names and _is_sentence_capital(span):
            continue
        pieces += (text[end:start], chr(_FIRST + len(spans)))
        spans.append(span)
        end = start + len(span)
    return "".join(pieces) + text[end:], spans


def _is_sentence_capital(span: str) -> bool:
    return _ONE_WORD.fullmatch(span) is not None and span[1:] == span[1:].lower()


def unmask(text: str, spans: list[str]) -> str:
    """The text with its spans back in the places of their placeholders, wherever these have been moved to."""
    return _PLACEHOLDER.sub(lambda match: spans[ord(match.group()) - _FIRST], text)


def is_masked(text: str) -> bool:
    """Whether a placeholder is left in the text."""
    return _PLACEHOLDER.search(text) is not None
