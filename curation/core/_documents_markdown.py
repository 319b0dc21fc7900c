"""Markdown to blocks: headings, fenced code, pipe tables, lists and paragraphs, each with its headings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from curation.core._documents_blocks import Block, Outline

_HEADING: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_DASHES: Final = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_ITEM: Final = re.compile(r"\s*([-*+]|\d{1,9}[.)])[ \t]+\S")
_RULE: Final = re.compile(r" {0,3}([-*_])[ \t]*(\1[ \t]*){2,}$")


def parse_markdown(text: str) -> list[Block]:
    """All blocks, in order. Front matter, rules and blank lines are none."""
    lines = text.removeprefix("\ufeff").splitlines()
    return _Parser(lines).blocks(_after_front_matter(lines))


def _after_front_matter(lines: Sequence[str]) -> int:
    if not lines or lines[0].rstrip() != "---":
        return 0
    return next((place + 1 for place, line in enumerate(lines) if place and line.rstrip() in ("---", "...")), 0)


class _Parser:
    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.outline = Outline()
        self.found: list[Block] = []

    def blocks(self, start: int) -> list[Block]:
        """Reads one block after the other."""
        place = start
        while place < len(self.lines):
            line = self.lines[place]
            if not line.strip() or _RULE.match(line):
                place += 1
            elif heading := _HEADING.match(line):
                self._heading(len(heading[1]), heading[2] or "")
                place += 1
            else:
                place = self._block(place)
        return self.found

    def _block(self, start: int) -> int:
        """A block that may have several lines; answers with the place after it."""
        if fence := _FENCE.match(self.lines[start]):
            return self._take("code", start, self._end_of_code(start, fence[1]))
        if self._table_begins(start):
            return self._take("table", start, self._end_of_rows(start + 2))
        if _ITEM.match(self.lines[start]):
            return self._take("list", start, self._end_of_list(start + 1))
        end = start + 1
        while end < len(self.lines) and not self._interrupts(end):
            if underline := _UNDERLINE.match(self.lines[end]):
                self._heading(1 if underline[1][0] == "=" else 2, " ".join(map(str.strip, self.lines[start:end])))
                return end + 1
            end += 1
        return self._take("paragraph", start, end)

    def _interrupts(self, place: int) -> bool:
        line = self.lines[place]
        return (
            not line.strip()
            or bool(_HEADING.match(line) or _FENCE.match(line) or _ITEM.match(line))
            or self._table_begins(place)
        )

    def _table_begins(self, place: int) -> bool:
        if "|" not in self.lines[place] or place + 1 >= len(self.lines):
            return False
        dashes = self.lines[place + 1]
        return "-" in dashes and "|" in dashes and bool(_DASHES.match(dashes))

    def _end_of_rows(self, place: int) -> int:
        while place < len(self.lines) and "|" in self.lines[place]:
            place += 1
        return place

    def _end_of_code(self, start: int, fence: str) -> int:
        for place in range(start + 1, len(self.lines)):
            line = self.lines[place].strip()
            if len(line) >= len(fence) and not line.strip(fence[0]):
                return place + 1
        return len(self.lines)

    def _end_of_list(self, place: int) -> int:
        """A blank line ends a list, unless an item or an indented line follows it."""
        while place < len(self.lines):
            line = self.lines[place]
            after = self.lines[place + 1] if place + 1 < len(self.lines) else ""
            goes_on = bool(_ITEM.match(after)) or (after[:2].isspace() and bool(after.strip()))
            if _HEADING.match(line) or (not line.strip() and not goes_on):
                break
            place += 1
        return place

    def _heading(self, level: int, title: str) -> None:
        if title.strip():
            self.outline.enter(level, title.strip())
            self.found.append(Block("heading", title.strip(), self.outline.path))

    def _take(self, kind: Literal["paragraph", "list", "code", "table"], start: int, end: int) -> int:
        text = "\n".join(line.rstrip() for line in self.lines[start:end]).strip("\n")
        self.found.append(Block(kind, text if kind == "code" else text.strip(), self.outline.path))
        return end
