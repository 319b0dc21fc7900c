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

_DELIMITERS: Final = "`\"“«'‘$"

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
# --- Tokens and names -----------------------------------------------------------------------------------------------

# Any token with a sign that prose does not have: numbers, dates, amounts, addresses, paths, identifiers, options.
_SIGN: Final = rf"\d_/\\@#=<>{{}}|$£€¥%§^~*+&{_PRIVATE}"
_TOKEN: Final = (
    rf"(?<!\S)(?:(?=[^\s{_SIGN}]*+[{_SIGN}])|(?=[^\s.]++\.\w)|(?=[^\w\s]*+[A-Z]?[a-z]++[A-Z])|(?=[^\w\s-]*+--?[A-Za-z]))"
    r"\S*[^\s.,;:!?]"
)
_NUMBERS: Final = re.findall(
    r"\w+",
    "two three ten twelve twenty twentieth thirty thirteen thirtieth thirteenth thousand twice third tenth trillion"
    " four fourteen fourth fourteenth five fifty fifteen fifth fiftieth fifteenth ffty ffteen ffth fftieth ffteenth"
    " forty six sixteen sixth sixty sixteenth seven seventeen seventh seventy seventeenth eight eighteen eighth eighty"
    " eighteenth eleven eleventh nine nineteen ninety nineteenth ninth hundred half million billion dozen",
)
# What makes `one` before it a number.
_COUNTABLE: Final = ("hundred", "thousand", "million", "billion", "dozen", "half", "third", "quarter", "fifth")
_NUMBER_WORD: Final = (
    rf"(?:one(?=[ -](?:{'|'.join(_COUNTABLE)})s?\b)|"
    + "|".join(rf"{letter}(?:{'|'.join(word[1:] for word in _NUMBERS if word[0] == letter)})" for letter in "tfsenhmbd")
    + ")"
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
# By first letters, so that a search passes most of them by at once. (`ſ` is an `s` in any case.)
_CITING_WORD: Final = "|".join(
    rf"[{letters}](?i:{'|'.join(word[1:] for word in _CITING.split('|') if word[0] in letters)})"
    for letters in ("sSſ", "aA", "pP", "rR", "cC", "nN", "tT")
)
_CITATION: Final = rf"\b(?=\w{{1,11}}+\.?[ ][\dIVXLC])(?:{_CITING_WORD})\.?[ ](?:\d\S*[^\s.,;:!?]|\d|[IVXLC]+\b)"
_ABBREVIATION: Final = r"\b(?:[A-Za-z]\.){2,}|\b(?:Mr|Mrs|Ms|Dr|Prof|St|Inc|Ltd|Co|Corp|Jr|Sr|No|Art|Sec)\."
_NAME: Final = rf"(?<!\w)(?!I\b)[{_UPPER}](?:[\w'’-]*\w)?"
_LAST: Final = rf"[\d{_PRIVATE}]+"  # glued behind another span; a private-use character must never stay in the text

# What most atoms are: a capitalised word or a number that is a token. The patterns behind this one would find the same.
_SIMPLE: Final = (
    r"(?<!\S)(?:(?:[BDEFGHJKLMOQU-Z][a-z]*+(?=[ \n])|(?!I\b)[A-Z][a-z]*+(?=[ \n](?![\dIVXLC])|[,;:!?)]++(?!\S)|\Z))"
    r"|\d++(?:[.,]\d++)*+(?=[.,;:!?]*+(?!\S)))"
)
# `14 March 2023`, `March 3rd, 2023`, `Smith v Jones [2001]`, `Department of the Treasury`, `New` before `York` in the
# next line.
_JOIN: Final = (
    r"(?:,?[ ]|,?\n(?=\w)|[ ](?:vs?\.?|of(?:[ ]the)?|for(?:[ ]the)?|and(?:[ ]the)?|d[eu]|la|van(?:[ ]de[nr])?|von)[ ])"
)
_COUNTED: Final = r"(?:\d|[IVXLC]+\b)"
_CITED: Final = rf"(?:(?!I\b){_COUNTED})"  # by a word of prose: before `I` it rarely is


def _span_pattern(plain: str, numerals: bool) -> re.Pattern[str]:
    """Finds spans, and words with a sentence's capital: their end is group 1, and a span is group 2.

    Args:
        plain: words that no span begins in. They are run over many at a time, as they are most of a text.
        numerals: whether there may be numbers in words.
    """
    kinds = (_SIMPLE, _ABBREVIATION, _CITATION, _TOKEN, *([_NUMERAL] if numerals else ()), _NAME, _LAST)
    atom = "|".join(kinds)
    next_atom = rf"(?:(?![a-z])(?:{atom}){'|' + _NUMERAL if numerals else ''})"
    # A word at the start of a sentence, with a word behind it that can't belong to the same name.
    opening = (
        r"[A-Z](?:(?<=\A.)|(?<=\n.)|(?<=[.!?][ ].))(?<!I\b)"
        + (rf"(?<!(?=(?i:{_NUMBER_WORD})\b).)" if numerals else "")
        + rf"[a-z]*+()[ ](?=[a-z]+[ ,](?!{_COUNTED}))(?!(?:vs?|of|for|and|d[eu]|la|van|von)[ ]"
        + (rf"|{_NUMBER_WORD})" if numerals else ")")
    )
    return re.compile(
        rf"(?=[a-zI])(?<!\S){plain}++|{opening}{plain}*+|"
        rf"(?=\S)(?:(?<!\w)|(?![a-z]))"  # says no at once inside a word
        rf"((?:{atom})(?:{_JOIN}{next_atom})*(?:(?<=\w)[ ](?:{_UNIT}|%))?)"
        rf"(?:[.,;:!?)]*+[ ]{plain}*+)?"
    )


_BEHIND_WORD: Final = rf"(?:['’][a-z]++)?+[.,;:!?)]*+(?:[ ]++|\n)(?!{_CITED})"
_SPAN: Final = _span_pattern(rf"(?:(?:(?!{_NUMBER_WORD}s?\b)[a-z]++|I\b){_BEHIND_WORD})", numerals=True)
# Without numbers in words it is enough to look at the end of a run of words, and at the words by its end.
_SPAN_WITHOUT_NUMERALS: Final = _span_pattern(
    rf"(?:[a-z][a-z ,;:!?)'’\n]*[ ](?!{_COUNTED})"
    rf"|(?!(?:{_CITING})\b)[a-z]++[.,;:!?)]*+[ \n]++|(?:[a-z]++|I\b){_BEHIND_WORD}"
    rf"|[a-z]++(?:[-'’][a-z]++)++[.,;:!?)]*+[ \n]++(?!{_COUNTED}))",
    numerals=False,
)
# Words of a text that tell which patterns it needs.
_TOOL_WORDS: Final = frozenset(_INLINE_TOOLS.encode().split(b"|"))
_NUMBER_WORDS: Final = frozenset((word + end).encode() for word in [*_NUMBERS, *_COUNTABLE] for end in ("", "s"))
_TELLING: Final = _TOOL_WORDS | _NUMBER_WORDS
_TO_WORDS: Final = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ") for code in range(256)
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
    words = text.encode("ascii", "replace").translate(_TO_WORDS).split()
    tells = not _TELLING.isdisjoint(words)
    has_numerals = tells and not _NUMBER_WORDS.isdisjoint(words)
    places = _names_and_tokens(text, _SPAN if has_numerals else _SPAN_WITHOUT_NUMERALS)
    others = _delimited(text, tells and not _TOOL_WORDS.isdisjoint(words))
    if terms:
        others += [match.span() for match in _pattern_of(tuple(terms)).finditer(text)]
    united = _united(text, places, others) if others else places
    few = len(united) <= len(_FEW) and (text.isascii() or not _ANY_FEW.search(text))
    pieces: list[str] = []
    spans: list[str] = []
    end = 0
    for number, (start, stop) in enumerate(united):
        pieces += (text[end:start], _FEW[number] if few else chr(_FIRST + number))
        spans.append(text[start:stop])
        end = stop
    pieces.append(text[end:])
    return "".join(pieces), spans


def _names_and_tokens(text: str, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
    """Start and end of what `pattern` finds, less the words that have a sentence's capital alone."""
    found: list[tuple[int, int]] = []
    doubtful: list[tuple[int, int]] = []
    for match in pattern.finditer(text):
        kind = match.lastindex
        if kind == 1:
            doubtful.append((match.start(), match.start(1)))
        elif kind:
            start, end = place = match.span(2)
            if start > 1 and text[start - 2].islower() and text[start - 1] == " ":  # most: within a sentence
                found.append(place)
            else:
                (doubtful if _may_be_sentence_capital(text, start, end) else found).append(place)
    words = {word for start, end in doubtful if end - start > 1 and text.count(word := text[start:end]) > 1}
    if not words:
        return found
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


def _delimited(text: str, has_tools: bool) -> list[tuple[int, int]]:
    places: list[tuple[int, int]] = []
    if any(map(text.__contains__, _DELIMITERS)):
        places += [match.span() for match in _DELIMITED.finditer(text)]
    if "\n" in text or _LINES.match(text):
        places += [match.span() for match in _LINES.finditer(text)]
    if has_tools:
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


def missing(spans: Sequence[str], text: str) -> list[str]:
    """Those of the spans that do not stand in a text as they are.

    White space may be another, and the capital of several words, or of a number, that began a sentence. A span within
    a longer number or word doesn't count: `12` does not stand in `£12.50`.
    """
    return [span for span in dict.fromkeys(spans) if not _spelt(span).search(text)]


def _spelt(span: str) -> re.Pattern[str]:
    words = span.split()
    first = words[0][0]
    may_begin_lower = first.isalpha() and (len(words) > 1 or _NUMERAL_ALONE.fullmatch(span))
    begin = rf"[{first.lower()}{first.upper()}]" if may_begin_lower else re.escape(first)
    rest = r"\s+".join(map(re.escape, [words[0][1:], *words[1:]]))
    edges = (
        r"(?<!\w)(?<![-£$€])(?<!\d[.,])" if first.isalnum() else "",
        r"(?!\w)(?![.,]\d)" if span[-1].isalnum() else "",
    )
    return re.compile(begin.join((edges[0], rest)) + edges[1])


def is_masked(text: str) -> bool:
    """Whether a placeholder is left in the text."""
    return _PLACEHOLDER.search(text) is not None
