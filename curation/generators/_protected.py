"""Finds what a rewording must not touch: code, numbers, addresses, citations, quotations and names.

`mask` takes such spans out of a text and leaves one placeholder character for each, so that whatever then edits
the text can't reach them; `unmask` puts them back. A placeholder is a control character, or a private-use code point
where there are many spans: neither a letter nor white space, so patterns over words and spaces pass it by.

Several patterns are searched for, each by itself, and spans that overlap are one span. So no pattern can hide another
one's match, and a span that is too long costs a little noise but never a fact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

MAX_CHARACTERS: Final = 100_000
"""Longest text that `mask` takes: there are more placeholders than that, so each span has one of its own."""

# Control characters that are no white space: a text in Latin letters stays one byte a character, and quick to edit.
_FEW: Final = "".join(chr(code) for code in range(0x80, 0xA0) if code != 0x85)
_FIRST: Final = 0xF0000
_PLACEHOLDERS: Final = f"{_FEW}\U000f0000-\U0010fffd"
_PRIVATE: Final = f"\ue000-\uf8ff{_PLACEHOLDERS}"
_UPPER: Final = "A-Z" + "".join(chr(code) for code in range(0xC0, 0x588) if chr(code).isupper())

# --- Quotations, formulas and code ----------------------------------------------------------------------------------

_TAIL: Final = r"(?:\S*[^\s.,;:!?])?"  # what hangs on a span up to the end of its token: `"a"-b`, `'x'(1)`
# Each alternative begins with its own character, which lets the search skip all other characters. A fence that is never
# closed reaches to the end of the text.
_DELIMITED: Final = re.compile(
    r"```.*?(?:```|\Z)"
    r"|``[^\n]{1,1000}?``" + _TAIL + r"|`[^`\n]{1,1000}`" + _TAIL + r'|"(?<![\w"]")(?=\S)[^"]{1,2000}(?<=\S)"(?!\w)'
    + _TAIL + r"|“[^”]{1,2000}”" + _TAIL + r"|«[^»]{1,2000}»" + _TAIL
    + r"|'(?<!\w')(?=\S)(?:[^'’\n]|(?<=\w)['’](?=\w)){1,500}(?<=\S)['’](?!\w)" + _TAIL
    + r"|‘(?<!\w‘)(?=\S)(?:[^'’\n]|(?<=\w)['’](?=\w)){1,500}(?<=\S)['’](?!\w)" + _TAIL
    + r"|\$(?=\S)[^$\n]{1,200}(?<=\S)\$(?!\d)" + _TAIL,
    re.DOTALL,
)  # fmt: skip

_INLINE_TOOLS: Final = (
    r"systemctl|apt-get|kubectl|docker|cargo|chmod|chown|conda|mkdir|rmdir|rsync|bash|brew|curl|"
    r"grep|pip3|sudo|wget|yarn|apt|dnf|git|npm|npx|pip|scp|sed|ssh|tar|yum|cd|cp|ls|mv|rm"
)
_LINE_TOOLS: Final = rf"{_INLINE_TOOLS}|cat|echo|export|java|node|python3?|sh"  # words of prose, inside a line
_SUBCOMMANDS: Final = (
    r"systemctl|uninstall|checkout|apt-get|install|restart|upgrade|commit|create|delete|rebase|"
    r"remove|status|update|apply|build|clone|merge|reset|start|exec|init|list|logs|pull|push|"
    r"show|stop|test|add|apt|get|run"
)
_LINES: Final = re.compile(
    r"^(?:"
    r"(?:[ ]{4}|\t)[^\n]*(?:\n(?:[ ]{4}|\t)[^\n]*)*"  # indented code
    r"|~~~.*?(?:\n~~~|\Z)"
    r"|[ ]{0,3}(?:>|\#{1,6}[ ]"  # quoted lines, headings
    r"|(?:\$|>>>|\.\.\.|PS\b[^>\n]{0,200}>|[A-Z]:\\[^>\n]{0,200}>|[\w.-]+@[\w.-]+:\S*[$\#])[ ])[^\n]*"  # prompts
    rf"|(?:{_LINE_TOOLS})[ ]+[^\n]*"
    r")",
    re.DOTALL | re.MULTILINE,
)  # fmt: skip
_COMMAND: Final = re.compile(
    rf"(?<![\w-])(?:{_INLINE_TOOLS})"
    rf"(?:[ ]+(?:-\S+|(?:{_SUBCOMMANDS})\b|[^\s,;`]*[/\\=~*][^\s,;`]*))+"
    r"(?:[ ]+(?![|&<>])[^\s,;`]*[^\s.,;:!?])?(?:[ ]+(?:\|\|?|&&?|>>?|<)[ ]+[^\s,;`]+(?:[ ]+[^\s,;`]*[^\s.,;:!?])?)*"
)
_TOOLS: Final = frozenset(_INLINE_TOOLS.encode().split(b"|"))
_TO_WORDS: Final = bytes(code if chr(code).isalnum() or code == ord("-") else ord(" ") for code in range(256))

# --- Tokens and names -----------------------------------------------------------------------------------------------

# Any token with a sign that prose does not have: numbers, dates, amounts, addresses, paths, identifiers, options.
_SIGN: Final = rf"\d_/\\@#=<>{{}}|$£€¥%§^~*+&{_PRIVATE}"
_TOKEN: Final = (
    rf"(?<!\S)(?:(?=[^\s{_SIGN}]*+[{_SIGN}])|(?=[^\s.]++\.\w)|(?=[^\w\s]*+[A-Z]?[a-z]++[A-Z])|(?=[^\w\s-]*+--?[A-Za-z]))"
    r"\S*[^\s.,;:!?]"
)
_NUMBER_WORD: Final = (
    r"(?:one(?=[ -](?:hundred|thousand|million|billion|dozen|half|third|quarter|fifth)s?\b)"
    r"|t(?:wo|hree|en|welve|went(?:y|ieth)|hirt(?:y|een|ieth|eenth)|housand|wice|hird|enth|rillion)"
    r"|f(?:our(?:teen|th|teenth)?|ive|i?ft(?:y|een|h|ieth|eenth)|orty|ifteen(?:th)?)"
    r"|s(?:ix(?:teen|th|ty|teenth)?|even(?:teen|th|ty|teenth)?)"
    r"|e(?:ight(?:een|h|y|eenth)?|leven(?:th)?)|n(?:ine(?:teen|ty|teenth)?|inth)"
    r"|h(?:undred|alf)|million|billion|dozen)"
)
_NUMERAL: Final = (
    rf"\b{_NUMBER_WORD}(?:-(?:one|two|three|four|five|six|seven|eight|nine|first|second|third|fourth|fifth|sixth|seventh"
    r"|eighth|ninth))?(?:[- ](?:hundred|thousand|million|billion))?(?:s\b|\b)"
)
_UNIT: Final = (
    r"(?:percent|per[ ]cent|seconds?|minutes?|hours?|days?|weeks?|months?|years?|pounds?|dollars?|euros?|pence|cents?"
    r"|hundred|thousand|million|billion|miles?|feet|inches|metres?|meters?|km|kg|grams?|litres?|liters?|am|pm)\b"
)
_CITING: Final = (
    "s|ss|sec|sect|section|sections|art|arts|article|articles|para|paras|paragraph|paragraphs|reg|regs|regulation"
    "|regulations|rule|rules|r|rr|ch|chapter|chapters|cl|clause|clauses|no|nos|p|pp|part|parts|pt|schedule|schedules"
    "|title|titles"
)
_CITATION: Final = rf"\b(?=\w{{1,11}}+\.?[ ][\dIVXLC])(?i:{_CITING})\.?[ ](?:\d\S*[^\s.,;:!?]|\d|[IVXLC]+\b)"
_ABBREVIATION: Final = r"\b(?:[A-Za-z]\.){2,}|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Inc|Ltd|Co|Corp|Jr|Sr|No|Art|Sec)\."
_NAME: Final = rf"(?<!\w)(?!I\b)[{_UPPER}](?:[\w'’-]*\w)?"
_LAST: Final = rf"[\d{_PRIVATE}]+"  # glued behind another span; a private-use character must never stay in the text

_ATOM: Final = "|".join((_ABBREVIATION, _CITATION, _TOKEN, _NUMERAL, _NAME, _LAST))
# `14 March 2023`, `March 3rd, 2023`, `Smith v Jones [2001]`, `Department of the Treasury`, `New` before `York` in the
# next line.
_JOIN: Final = (
    r"(?:,?[ ]|,?\n(?=\w)|[ ](?:vs?\.?|of(?:[ ]the)?|for(?:[ ]the)?|and(?:[ ]the)?|d[eu]|la|van(?:[ ]de[nr])?|von)[ ])"
)
# Words that nothing above can begin in are run over first, many at a time: they are most of a text. A word before a
# number may cite it; before `I` it rarely does.
_NOT_CITED: Final = "".join(rf"(?<!\b{word}[ ])(?<!\b{word}\.[ ])" for word in _CITING.split("|"))
_PLAIN: Final = (
    rf"(?:(?:(?!{_NUMBER_WORD}s?\b)[a-z]++|I\b{_NOT_CITED.replace('[ ])', '[ ]I)')})(?:['’][a-z]++)?+[.,;:!?)]*+"
    r"(?:[ ]++|\n)(?!\d|(?!I\b)[IVXLC]+\b))"
)
# A word at the start of a sentence, with a word behind it that can't belong to the same name.
_OPENING: Final = (
    r"(?:\A|(?<=\n)|(?<=[.!?][ ]))(?!I\b)"
    rf"(?!(?i:{_NUMBER_WORD})\b)([A-Z][a-z]*+)[ ](?=[a-z]+[ ,](?!\d|[IVXLC]+\b))"
    rf"(?!(?:vs?|of|for|and|d[eu]|la|van|von)[ ]|{_NUMBER_WORD})"
)
_SPAN: Final = re.compile(
    rf"(?<!\S){_PLAIN}++|{_OPENING}{_PLAIN}*+|"
    rf"(?:(?<!\w)|(?![a-z]))"  # says no at once inside a word
    rf"((?:{_ATOM})(?:{_JOIN}(?:(?![a-z])(?:{_ATOM})|{_NUMERAL}))*(?:(?<=\w)[ ](?:{_UNIT}|%))?)"
    rf"(?:[.,;:!?)]*+[ ]{_PLAIN}*+)?"
)
_SENTENCE_END: Final = re.compile(r"[.!?:…][\"”’')\]]*\Z")
_OPENERS: Final = "\"“‘'(["
_SENTENCE_CAPITAL: Final = re.compile(r"[^\W\d_](?:[^\W\d_]|['’-])*")
_NUMERAL_ALONE: Final = re.compile(_NUMERAL, re.IGNORECASE)
_ANY_FEW: Final = re.compile(f"[{_FEW}]")
_PLACEHOLDER: Final = re.compile(f"[{_PLACEHOLDERS}]")


def mask(text: str, terms: Sequence[str] = ()) -> tuple[str, list[str]]:
    """The text with a placeholder for each protected span, and the spans in their order.

    Protected are: code (fenced, in backticks, in lines indented by four spaces or a tab, after a shell's prompt, or a
    command with its options), quotations and quoted lines, headings, formulas between dollar signs, every token with a
    digit or a sign that prose lacks (amounts, dates, addresses, paths, identifiers), numbers in words, quantities with
    their unit, citations, abbreviations with inner dots, capitalised words, and `terms`.
    A capitalised word at the start of a sentence is protected only if it is more than a sentence's capital: in a row
    with another name, all in capitals, a number, or capitalised inside a sentence elsewhere in the text.

    Args:
        text: at most `MAX_CHARACTERS` characters.
        terms: words of the domain that are always left as they are, in any case and with any white space inside.
    """
    places = _names_and_tokens(text)
    others = _delimited(text)
    if terms:
        others += [match.span() for match in _pattern_of(tuple(terms)).finditer(text)]
    united = _united(text, places, others) if others else places
    few = len(united) <= len(_FEW) and (text.isascii() or not _ANY_FEW.search(text))
    pieces: list[str] = []
    end = 0
    for number, (start, stop) in enumerate(united):
        pieces += (text[end:start], _FEW[number] if few else chr(_FIRST + number))
        end = stop
    pieces.append(text[end:])
    return "".join(pieces), [text[start:stop] for start, stop in united]


def _names_and_tokens(text: str) -> list[tuple[int, int]]:
    """Start and end of what `_SPAN` finds, less the words that have a sentence's capital alone."""
    found: list[tuple[int, int]] = []
    doubtful: list[tuple[int, int]] = []
    for match in _SPAN.finditer(text):
        if match.lastindex == 1:
            doubtful.append(match.span(1))
        elif match.lastindex:
            place = match.span(2)
            (doubtful if _may_be_sentence_capital(text, *place) else found).append(place)
    words = {text[start:end] for start, end in doubtful if end - start > 1}
    names: set[str] = set()
    for start, end in found:
        inside = words.intersection(text[start:end].split())
        if inside and not _starts_sentence(text, start):
            names |= inside
    return sorted(found + [place for place in doubtful if text[slice(*place)] in names]) if names else found


def _may_be_sentence_capital(text: str, start: int, end: int) -> bool:
    word = text[start:end]
    return (
        text[start].isupper()
        and word[1:] == word[1:].lower()
        and _SENTENCE_CAPITAL.fullmatch(word) is not None
        and _starts_sentence(text, start)
        and not _NUMERAL_ALONE.fullmatch(word)
    )


def _starts_sentence(text: str, start: int) -> bool:
    before = text[max(start - 16, 0) : start].rstrip(_OPENERS)
    stripped = before.rstrip()
    if not stripped:
        return start <= 16 or "\n" in before
    return len(stripped) < len(before) and ("\n" in before[len(stripped) :] or bool(_SENTENCE_END.search(stripped)))


def _delimited(text: str) -> list[tuple[int, int]]:
    places = [match.span() for match in _DELIMITED.finditer(text)]
    if "\n" in text or _LINES.match(text):
        places += [match.span() for match in _LINES.finditer(text)]
    if not _TOOLS.isdisjoint(text.encode("ascii", "replace").translate(_TO_WORDS).split()):
        places += [match.span() for match in _COMMAND.finditer(text)]
    return places


@lru_cache(maxsize=16)
def _pattern_of(terms: tuple[str, ...]) -> re.Pattern[str]:
    """Of whole terms, the longest first, with any white space where a term has some."""
    spelt = (r"\s+".join(map(re.escape, term.split())) for term in sorted(terms, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{'|'.join(spelt)})(?!\w)", re.IGNORECASE)


def _united(text: str, places: list[tuple[int, int]], others: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Both lists in their order, with those that overlap as one.

    What reaches from one of `others`, which may be a block of lines, to the next line is parted between the lines, so
    that the block has its lines to itself.
    """
    ends = {end for _, end in others}
    united: list[tuple[int, int]] = []
    last = 0
    for start, end in sorted(places + others, key=lambda place: (place[0], -place[1])):
        if start >= last:
            united.append((start, end))
        elif end > last and last in ends and text[last] == "\n":
            united.append((last + 1, end))
        elif end > last:
            united[-1] = (united[-1][0], end)
        last = max(last, end)
    return united


def unmask(text: str, spans: list[str]) -> str:
    """The text with its spans back in the places of their placeholders, wherever these have been moved to."""
    if _FEW[0] in text:  # `mask` uses these where no span has one of them
        for placeholder, span in zip(_FEW, spans, strict=False):
            text = text.replace(placeholder, span)
        return text
    return _PLACEHOLDER.sub(lambda match: spans[ord(match[0]) - _FIRST], text) if spans else text


def is_masked(text: str) -> bool:
    """Whether a placeholder is left in the text."""
    return _PLACEHOLDER.search(text) is not None
