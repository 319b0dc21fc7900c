"""Reads lists that are written as lines: numbered, lettered or bulleted items, bold titles, plain lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Final, NamedTuple

from curation.core._parse_text import closes, declines, fences, outer_fence, outside

NUMBER: Final = re.compile(
    r"(?:\#{1,6}[ \t]+)?(?P<bold>\*\*)?(?:"
    r"(?i:sub-?topic|topic|question|item|instruction|prompt|task|idea|q)[ \t]?\#?\d{1,3}"
    r"(?:(?P<closed>\*\*)?(?:[ \t]*[:.)]|[ \t]+[-–—](?=\s))|(?=[ \t]*(?:\*\*)?[ \t]*\Z))"
    r"|\(\d{1,3}\)|\d{1,3}(?:\.\)|\)|\.(?=\s|\Z|[*\"“'‘`(\[]|[^\W\da-z_])|:(?=\s)|[、．]|[ \t]*[-–—](?=\s))"
    r"|\#\d{1,3}[:.)]?(?=\s)|\d\uFE0F?\u20E3)(?P<end>\*\*)?"
)
_LETTER: Final = re.compile(r"(?P<bold>\*\*)?\(?(?P<ordinal>[A-Za-z]|[ivxIVX]{2,5})[.)](?P<end>\*\*)?(?=[ \t]+\S)")
_BULLET: Final = re.compile(r"(?P<glyph>[-+*–—](?=\s|\Z)|[•‣◦▪●·])[ \t]*(?:\[[ xX]\][ \t]+)?")
_BOLD_TITLE: Final = re.compile(r"\*\*(?=[^\s*])(?P<title>(?:[^*\n]|\*(?!\*))+)\*\*")
_RULE: Final = re.compile(r"(?:[-*_][ \t]*){3,}|=+")
_HEADING: Final = re.compile(r"#{1,6}[ \t]")
_GROUP_TITLE: Final = re.compile(r"\*\*[^*\n]+\*\*:?|.*:(?:\*\*)?")
_ROMAN: Final = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii", "xiii", "xiv", "xv")
_LIST_FENCES: Final = {"", "text", "txt", "plaintext", "plain", "markdown", "md", "list"}

_CODE_OR_BOLD: Final = re.compile(
    r"(?P<code>```.*?(?:```|\Z)|`[^`\n]*`)"
    r"|(?<![\w*])\*\*(?=[^\s*])(?P<bold>(?:[^*\n`]|\*(?!\*)|`[^`\n]*`)+?)(?<=\S)\*\*(?![\w*])",
    re.DOTALL,
)
_ITALIC: Final = re.compile(r"\*([^*\s](?:[^*\n]*[^*\s])?)\*")
_QUOTED: Final = re.compile(r"(?:\"([^\"]+)\"|“([^“”]+)”|«([^«»]+)»|'([^']+)'|‘([^‘’]+)’|„([^„“”]+)[“”]),?")
_SEPARATOR: Final = re.compile(r":\s|\s[-–—]\s")
_SENTENCE_BREAK: Final = re.compile(r"(?<![.\s]\w)[.!?]\s+[^\W\d_a-z]")  # not behind `e.g.`
_INTRODUCTION: Final = re.compile(r"\A.*?:(?:\*\*)?[ \t\r]*\n", re.DOTALL)
_LONGEST_PLAIN: Final = 300


class Item(NamedTuple):
    """An item's title and its whole text, both without markup."""

    title: str
    text: str


class _Line(NamedTuple):
    """A line: its kind (number, letter, bullet, bold; code, heading, rule; or none), its marker, and the rest of it."""

    raw: str
    indent: int
    kind: str = ""
    mark: str = ""
    rest: str = ""


@dataclass
class _Entry:
    """The lines of an item as they were written, and at which of them paragraphs begin that may not be its own."""

    mark: str
    lines: list[str]
    loose: int | None = None
    fenced: set[int] = field(default_factory=set)


def written_items(said: str) -> list[Item]:
    """The items of a list of lines; none where there is no list, or what stands before it declines."""
    text = _region(said)
    lines = _lines(text)
    is_top = _top(lines)
    if is_top is None:
        return _plain_items(text)
    first = next(place for place, line in enumerate(lines) if is_top(line))
    introduction = said.partition(text)[0] + "\n".join(line.raw for line in lines[:first])
    if declines(introduction):
        return []
    entries = _entries(lines[first:], is_top)
    return [item_of("\n".join(lines)) for lines in _own_lines(entries, lines[first].kind)]


def _region(said: str) -> str:
    """The reply, or the content of the one fence that holds all of its list."""
    outer = outer_fence(said)
    blocks = fences(said)
    for candidates in ([outer] if outer else [], blocks):
        inside = [block for block in candidates if _is_list(said[block.inner : block.inner_end])]
        if len(inside) == 1 and inside[0].info in _LIST_FENCES and not _is_list(outside(said, candidates)):
            return said[inside[0].inner : inside[0].inner_end]
    return said


def _is_list(text: str) -> bool:
    return any(read_line(raw).kind in {"number", "bullet"} for raw in text.split("\n"))


def _lines(text: str) -> list[_Line]:
    """The lines of a text; those in fences have the kind `code`."""
    lines: list[_Line] = []
    blocks = iter(fences(text))
    block = next(blocks, None)
    position = 0
    for raw in text.split("\n"):
        while block and position > block.end:
            block = next(blocks, None)
        in_fence = block is not None and block.start <= position <= block.end
        lines.append(_Line(raw, _indent(raw), "code") if in_fence else read_line(raw))
        position += len(raw) + 1
    return lines


def _indent(raw: str) -> int:
    expanded = raw.expandtabs(4)
    return len(expanded) - len(expanded.lstrip())


def read_line(raw: str) -> _Line:
    """A line with its marker taken off; a number behind a bullet (`- 1. …`) goes with it."""
    indent, content = _indent(raw), raw.strip()
    if _RULE.fullmatch(content):
        return _Line(raw, indent, "rule")
    bullet = _BULLET.match(content)
    rest = content[bullet.end() :] if bullet else content
    number = NUMBER.match(rest)
    if number:
        rest = after_marker(number, rest)
    if bullet:
        return _Line(raw, indent, "bullet", "-" if bullet["glyph"] in "-–—" else bullet["glyph"], rest)
    if number:
        return _Line(raw, indent, "number", "".join(filter(str.isdecimal, number[0])), rest)
    if letter := _LETTER.match(content):
        return _Line(raw, indent, "letter", letter["ordinal"].lower(), after_marker(letter, content))
    if _HEADING.match(content):
        return _Line(raw, indent, "heading")
    return _Line(raw, indent, "bold", "", content) if _BOLD_TITLE.match(content) else _Line(raw, indent)


def after_marker(mark: re.Match[str], text: str) -> str:
    """What follows a marker; type that was bold before the marker stays bold after it: `**1. Title** – …`."""
    rest = text[mark.end() :].strip()
    is_closed = mark["end"] or mark.groupdict().get("closed")
    if mark["bold"] and not is_closed:
        return f"**{rest}" if rest.strip("*") else ""
    return f"**{rest}" if mark["end"] and not mark["bold"] and not mark.groupdict().get("closed") else rest


def _top(lines: Sequence[_Line]) -> Callable[[_Line], bool] | None:
    """Which lines begin an item: those of the leftmost kind of marker, numbers before letters before bullets.

    One column is not a level: numbers of one and two digits are often aligned on their right.
    """
    leftmost: list[tuple[int, int, str, str]] = []
    for rank, kind in enumerate(("number", "letter", "bullet")):
        marked = [line for line in lines if line.kind == kind and line.rest]
        marked = marked or [line for line in lines if line.kind == kind]
        if marked and (kind != "letter" or _counts_up(marked)):
            line = min(marked, key=lambda line: line.indent)
            leftmost.append((line.indent // 2, rank, kind, line.mark if kind == "bullet" else ""))
    if not leftmost:
        return _top_of_titles(lines)
    _, _, kind, mark = min(leftmost)
    indent = min(line.indent for line in lines if line.kind == kind) + 1
    return lambda line: line.kind == kind and line.indent <= indent and (not mark or line.mark == mark)


def _top_of_titles(lines: Sequence[_Line]) -> Callable[[_Line], bool] | None:
    """Bold titles are items where the first of them follows a line that ends with a colon."""
    spoken_lines = [line for line in lines if line.raw.strip()]
    first = next((place for place, line in enumerate(spoken_lines) if line.kind == "bold"), 0)
    is_announced = first > 0 and spoken_lines[first - 1].raw.rstrip(" \t\r*").endswith(":")
    return (lambda line: line.kind == "bold" and line.indent < 2) if is_announced else None


def _counts_up(lines: Sequence[_Line]) -> bool:
    """Whether letters are a, b, c … or i, ii, iii …: at least two, and none left out."""
    indent = min(line.indent for line in lines)
    marks = [line.mark for line in lines if line.indent == indent]
    alphabet = [chr(ord("a") + place) for place in range(26)]
    return len(marks) > 1 and any(marks == list(series[: len(marks)]) for series in (alphabet, list(_ROMAN)))


def _entries(lines: Sequence[_Line], is_top: Callable[[_Line], bool]) -> list[_Entry]:
    """The lines from one marker to the next; headings and rules end an item."""
    entries: list[_Entry] = []
    base, is_open, after_blank = lines[0].indent + 1, False, False
    for line in lines:
        if is_top(line):
            entries.append(_Entry(line.mark, [line.rest]))
            is_open = True
        elif line.kind in {"heading", "rule"} and line.indent <= base:
            is_open = False
        elif is_open:
            entry = entries[-1]
            if line.kind == "code":
                entry.fenced.add(len(entry.lines))
            if after_blank and line.raw.strip() and line.indent <= base and entry.loose is None:
                entry.loose = len(entry.lines)
            entry.lines.append(line.raw)
        after_blank = not line.raw.strip()
    return entries


def _own_lines(entries: Sequence[_Entry], kind: str) -> Iterator[list[str]]:
    """The lines of each item, without titles of groups and without the chatter after the last one.

    A paragraph at the margin is an item's own where the next number goes on counting. After the last number, before a
    count that starts anew, and after a bullet, it is so only where the earlier items have paragraphs as well.
    """
    have_paragraphs = kind == "bullet" and all(entry.loose for entry in entries[:-1]) and len(entries) > 1
    for place, entry in enumerate(entries):
        end = len(entry.lines)
        is_last = place + 1 == len(entries) or (kind == "number" and int(entries[place + 1].mark) < int(entry.mark))
        if (is_last or kind == "bullet") and entry.loose and not have_paragraphs:
            end = entry.loose
        if is_last:
            end = _without_closing(entry, end)
        while end > 1 and end - 1 not in entry.fenced and _is_no_content(entry.lines[end - 1], kind):
            end -= 1
        have_paragraphs = have_paragraphs or (entry.loose is not None and end > entry.loose)
        yield entry.lines[:end]


def _without_closing(entry: _Entry, end: int) -> int:
    return next((p for p in range(1, end) if p not in entry.fenced and closes(entry.lines[p])), end)


def _is_no_content(raw: str, kind: str) -> bool:
    """Whether a line at the end of an item is blank, or the title of the group that follows."""
    line = raw.strip()
    is_title = kind != "bold" and raw[:1].strip() != "" and _GROUP_TITLE.fullmatch(line) is not None
    return not line or is_title


def _plain_items(text: str) -> list[Item]:
    """Two or more lines after one that ends with a colon, each of them short and at most a sentence."""
    if (block := outer_fence(text)) and block.info in _LIST_FENCES:
        text = text[: block.start] + text[block.inner : block.inner_end]
    introduction = _INTRODUCTION.match(text)
    if introduction is None or declines(introduction[0]):
        return []
    lines = [line.strip() for line in text[introduction.end() :].split("\n")]
    while lines and not lines[0]:
        lines.pop(0)
    if len(lines) > 1 and lines[1] and "" in lines:
        lines = lines[: lines.index("")]
    end = next((place for place, line in enumerate(lines) if closes(line)), len(lines))
    items = [line for line in lines[:end] if line]
    return [item_of(line) for line in items] if len(items) > 1 and all(map(_is_plain_item, items)) else []


def _is_plain_item(line: str) -> bool:
    is_short = len(line) <= _LONGEST_PLAIN and not line.endswith(":")
    return is_short and not line.startswith(("|", "<", "{", "[", "`", "#", ">")) and not _SENTENCE_BREAK.search(line)


def item_of(raw: str) -> Item:
    """An item from its lines: those after the first are moved to the margin together."""
    first, newline, rest = raw.partition("\n")
    written = (first.strip() + newline + dedent(rest)).strip()
    bold = _BOLD_TITLE.match(written)
    text = bare(written)
    title = bold["title"] if bold else _SEPARATOR.split(text.partition("\n")[0], maxsplit=1)[0]
    return Item(bare(title.strip(" \t:")), text)


def bare(text: str) -> str:
    """A text without bold type, without the italics or the quotes around all of it, and without spaces at line ends."""
    text = _CODE_OR_BOLD.sub(lambda match: match["code"] or match["bold"], text)
    text = "\n".join(line.rstrip() for line in text.strip().split("\n"))
    if quoted := _QUOTED.fullmatch(text):
        text = next(filter(None, quoted.groups())).strip()
    if italic := _ITALIC.fullmatch(text):
        text = italic[1]
    return text
