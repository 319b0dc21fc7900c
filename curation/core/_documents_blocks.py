"""What documents are made of, whatever format they came in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Block:
    """A piece of a document that belongs together.

    Args:
        kind: `heading`, `paragraph`, `list`, `code`, or `table` (always in Markdown's form: a header row, a row of
            dashes, then rows, one line each).
        text: its text; of a heading, without the marks.
        headings: those above it, the outermost first; of a heading, with itself.
        page: from 1; 0 where the format has no pages.
    """

    kind: Literal["heading", "paragraph", "list", "code", "table"]
    text: str
    headings: tuple[str, ...] = ()
    page: int = 0


@dataclass(frozen=True)
class DocumentFault:
    """Something of a document that could not be read.

    Args:
        file_name: below the checkout; or the pattern that names no file.
        page: from 1; 0 for the whole file.
        detail: what is wrong, in words.
        missing: whether there is no such file at all.
    """

    file_name: str
    page: int
    detail: str
    missing: bool = False

    def __str__(self) -> str:
        page = f" page {self.page}" if self.page else ""
        return f"{self.file_name}{page}: {self.detail}"


class Outline:
    """The headings above the place that has been reached."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, title: str) -> None:
        """A heading of this level (1 is the highest) ends all of its own level and below."""
        self._open = [(other, text) for other, text in self._open if other < level] + [(level, title)]

    @property
    def path(self) -> tuple[str, ...]:
        """The outermost first."""
        return tuple(title for _, title in self._open)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as Markdown: the first row is the header; short rows are filled up."""
    width = max(map(len, rows))
    lines = ["| " + " | ".join(_cell(cell) for cell in [*row, *[""] * (width - len(row))]) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * width, *lines[1:]])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
