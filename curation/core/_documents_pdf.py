"""PDF to blocks: ruled tables, and lines of text in reading order, whose sizes tell headings from paragraphs."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from curation.core._documents_blocks import Block, DocumentFault, Outline, markdown_table
from curation.core._documents_order import in_reading_order
from curation.core.errors import MissingPackageError

_MARGIN: Final = 0.1
"""Share of a page's height, above and below, in which running headers and footers stand."""
_LARGER: Final = 1.12
"""A heading's size over the body's: smaller differences are those of fonts."""
_SMALLER: Final = 0.9
"""A caption's size over the body's, at most."""
_LONGEST_HEADING: Final = 150  # characters
_NEW_PARAGRAPH: Final = 1.35
"""Distance of two lines over the usual one from which on a paragraph ends."""
_LIGATURES: Final = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xA0: " ", 0xAD: "-"}
_UNKNOWN: Final = re.compile(r"\(cid:\d+\)")
_END: Final = re.compile(r"[.!?:][\"'”’)]*(\[[^\]]{1,4}\]|[*†‡])*$")
"""How a sentence ends, with the marks of its notes."""
_BULLET: Final = re.compile(r"([•‣▪◦●–-]|\d{1,3}[.)])\s+\S")


@dataclass(frozen=True)
class Line:
    """A line of text, or a table, with its place on the page in points from the top left.

    Args:
        size: the usual size of its letters, in points.
        bold: whether all of it is.
        table: whether `text` is a table in Markdown.
    """

    text: str
    x0: float
    top: float
    x1: float
    bottom: float
    size: float
    bold: bool
    page: int
    table: bool = False


def parse_pdf(path: Path, name: str) -> tuple[list[Block], list[DocumentFault]]:
    """All blocks of a PDF in reading order, and the pages without a text that can be read.

    Raises:
        MissingPackageError: pdfplumber is not installed.
    """
    try:
        import pdfplumber
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"{name} needs the package pdfplumber: install it with pip install 'curation[taxonomy]'"
        ) from error
    pages: list[list[Line]] = []
    faults: list[DocumentFault] = []
    heights: list[float] = []
    try:
        with pdfplumber.open(path, laparams={}) as document:
            for page in document.pages:
                lines = _lines(page)
                faults += [DocumentFault(name, page.page_number, wrong) for wrong in _unreadable(page, lines)]
                pages.append(lines)
                heights.append(float(page.height))
                page.close()
    except Exception as error:  # the readers of PDF raise whatever a broken file leads them to
        reason = str(error) or type(error).__name__
        return [], [DocumentFault(name, 0, f"the PDF can't be read (damaged or encrypted?): {reason}")]
    return list(_blocks(_without_running(pages, heights))), faults


def _unreadable(page: Any, lines: Sequence[Line]) -> Iterator[str]:
    text = "".join(line.text for line in lines)
    if not text.strip():
        seen = "a picture but no text: it is a scan, which OCR must read first" if page.images else "no text"
        yield f"the page has {seen}"
    elif len("".join(_UNKNOWN.findall(text))) > len(text) / 3:
        yield "the page's fonts don't say which letters they hold: OCR must read it"


def _lines(page: Any) -> list[Line]:
    tables = [(table, rows) for table in page.find_tables() if (rows := _cells(table))]
    found: list[Line] = []
    for table, rows in tables:
        x0, top, x1, bottom = map(float, table.bbox)
        found.append(
            Line(markdown_table(rows), x0, top, x1, bottom, 0.0, bold=False, page=page.page_number, table=True)
        )
    boxes = [tuple(map(float, table.bbox)) for table, _ in tables]
    found += [line for item in _text_lines(page.layout) if (line := _line(item, page, boxes))]
    return in_reading_order(found)


def _cells(table: Any) -> list[list[str]]:
    """The rows of a true table; none for frames and rules that only look like one."""
    rows = [[(cell or "").translate(_LIGATURES) for cell in row] for row in table.extract()]
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    columns = [column for column in zip(*rows, strict=False) if any(cell.strip() for cell in column)]
    if len(rows) < 2 or len(columns) < 2:
        return []
    filled = sum(bool(cell.strip()) for column in columns for cell in column)
    return [list(row) for row in zip(*columns, strict=True)] if filled * 2 > len(rows) * len(columns) else []


def _text_lines(item: Any) -> Iterator[Any]:
    from pdfminer.layout import LTContainer, LTTextLine

    for part in item:
        if isinstance(part, LTTextLine):
            yield part
        elif isinstance(part, LTContainer):
            yield from _text_lines(part)


def _line(item: Any, page: Any, tables: Sequence[tuple[float, ...]]) -> Line | None:
    """What of a line stands in no table."""
    from pdfminer.layout import LTChar

    height = float(page.height)
    kept = [part for part in item if not isinstance(part, LTChar) or not _inside(part, height, tables)]
    letters = [part for part in kept if isinstance(part, LTChar) and part.get_text().strip()]
    text = " ".join("".join(part.get_text() for part in kept).translate(_LIGATURES).split())
    if not letters or not text:
        return None
    return Line(
        text,
        min(letter.x0 for letter in letters),
        height - max(letter.y1 for letter in letters),
        max(letter.x1 for letter in letters),
        height - min(letter.y0 for letter in letters),
        size=round(statistics.median_high(letter.size for letter in letters) * 2) / 2,
        bold=all("bold" in letter.fontname.lower() for letter in letters),
        page=page.page_number,
    )


def _inside(letter: Any, height: float, tables: Sequence[tuple[float, ...]]) -> bool:
    x, y = (letter.x0 + letter.x1) / 2, height - (letter.y0 + letter.y1) / 2
    return any(x0 <= x <= x1 and top <= y <= bottom for x0, top, x1, bottom in tables)


def _without_running(pages: Sequence[Sequence[Line]], heights: Sequence[float]) -> list[Line]:
    """All lines but headers and footers: what stands at one height of most pages' margins, whatever its numbers."""

    def mark(line: Line, height: float) -> tuple[str, int] | None:
        if line.table or (height * _MARGIN < line.bottom and line.top < height * (1 - _MARGIN)):
            return None
        return re.sub(r"\d+", "#", line.text), round(line.top / 4)

    marks = [{mark(line, height) for line in page} for page, height in zip(pages, heights, strict=True)]
    counts = Counter(key for found in marks for key in found if key)
    running = {key for key, count in counts.items() if count >= max(2, len(pages) / 2)}
    return [
        line for page, height in zip(pages, heights, strict=True) for line in page if mark(line, height) not in running
    ]


def _blocks(lines: Sequence[Line]) -> Iterator[Block]:
    texts = [line for line in lines if not line.table]
    sizes = Counter[float]()
    for line in texts:
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0] if sizes else 0.0
    levels = {size: level for level, size in enumerate(_heading_sizes(texts, body), start=1)}
    outline, step = Outline(), _usual_step(texts)
    for group in _paragraphs(lines, body, step):
        first, text = group[0], _joined(group)
        if first.table:
            yield Block("table", first.text, outline.path, first.page)
        elif _is_heading(first, body) and len(text) <= _LONGEST_HEADING:
            outline.enter(levels[first.size], text)
            yield Block("heading", text, outline.path, first.page)
        else:
            yield Block("list" if _BULLET.match(text) else "paragraph", text, outline.path, first.page)


def _heading_sizes(lines: Sequence[Line], body: float) -> list[float]:
    return sorted({line.size for line in lines if _is_heading(line, body)}, reverse=True)


def _is_heading(line: Line, body: float) -> bool:
    """Larger than the body; or as large but bold, on a line of its own that is no sentence."""
    if line.table or not any(letter.isalpha() for letter in line.text):
        return False
    alone = line.bold and line.size >= body and len(line.text) <= 80 and not line.text.endswith((".", ",", ":", ";"))
    return line.size >= body * _LARGER or alone


def _usual_step(lines: Sequence[Line]) -> float:
    """The distance of a paragraph's lines, over their size."""
    steps = [
        (after.top - line.top) / line.size
        for line, after in pairwise(lines)
        if line.page == after.page and line.size == after.size and 0 < after.top - line.top < 2.5 * line.size
    ]
    return statistics.median(steps) if steps else 1.2


def _paragraphs(lines: Sequence[Line], body: float, step: float) -> Iterator[list[Line]]:
    """Lines that belong together; what stands in the midst of a sentence (a caption, a table) comes after it."""
    group: list[Line] = []
    aside: list[Line] = []
    for line in lines:
        if group and _stands_between(group, line, body):
            aside.append(line)
        elif group and not _goes_on(group, line, body, step):
            yield group
            yield from _paragraphs(aside, body, step)
            group, aside = [line], []
        else:
            group.append(line)
    if group:
        yield group
        yield from _paragraphs(aside, body, step)


def _stands_between(group: Sequence[Line], line: Line, body: float) -> bool:
    last = group[-1]
    inside = not last.table and not _is_heading(last, body) and last.size >= body * _SMALLER
    small = line.table or (line.size < body * _SMALLER and not _same_row(last, line))
    return inside and small and not _END.search(last.text)


def _goes_on(group: Sequence[Line], line: Line, body: float, step: float) -> bool:
    last = group[-1]
    if last.table or line.table:
        return False
    if _is_heading(last, body) or _is_heading(line, body):
        near = line.page == last.page and line.top - last.top <= step * _NEW_PARAGRAPH * last.size
        return near and _is_heading(last, body) and _is_heading(line, body) and last.size == line.size
    if line.page != last.page or line.top < last.top - last.size:  # the next column or page
        alike = abs(line.size - last.size) <= 0.1 * last.size
        return alike and not _END.search(last.text) and not _BULLET.match(line.text)
    if _same_row(last, line):
        return True
    indented = line.x0 - last.x0 > 0.8 * line.size and last.x0 <= group[0].x0 + 1
    hanging = bool(_BULLET.match(group[0].text)) or line.size < last.size * 0.9
    far = line.top - last.top > step * _NEW_PARAGRAPH * max(last.size, line.size)
    return not far and not _BULLET.match(line.text) and (hanging or not indented)


def _same_row(line: Line, other: Line) -> bool:
    """Whether `other` goes on where `line` stops: a note's number, or a word after a wide blank."""
    overlap = min(line.bottom, other.bottom) - max(line.top, other.top)
    near = other.x0 - line.x1 < 1.5 * max(line.size, other.size)
    return near and overlap > 0.5 * min(line.bottom - line.top, other.bottom - other.top)


def _joined(group: Sequence[Line]) -> str:
    """The lines as one text; a word that a hyphen divides is put together again."""
    text = group[0].text
    for line in group[1:]:
        divided = re.search(r"[^\W\d_]{2}-$", text) and line.text[:1].islower()
        text = text[:-1] + line.text if divided else f"{text} {line.text}"
    return text
