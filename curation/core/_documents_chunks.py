"""Blocks to chunks: as many whole sentences, lines and table rows as fit, under the headings they stand below."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from curation.core._documents_blocks import Block

_SENTENCE: Final = re.compile(r"(?<=[.!?])[\"”’)\]]*\s+(?=[\"“‘(\[]*[^\W_a-z])")
_WORD: Final = re.compile(r"\w+|[^\w\s]")
Count = Callable[[str], int]


@dataclass(frozen=True)
class Chunk:
    """A piece of a document.

    Args:
        document: the document's name.
        index: its place among the document's chunks, from 0.
        headings: those above its first sentence, the outermost first.
        text: its headings, as Markdown, then its blocks.
        tokens: of `text`.
        page: on which it begins, from 1; 0 where the format has no pages.
    """

    document: str
    index: int
    headings: tuple[str, ...]
    text: str
    tokens: int
    page: int


@dataclass(frozen=True)
class _Unit:
    """What is never divided.

    Args:
        block: the number of its block: units of one block are joined by `glue`.
        header: what a table's rows repeat in every chunk.
        repeats: whether the next chunk may begin with it again.
    """

    text: str
    block: int
    headings: tuple[str, ...]
    page: int
    glue: str
    header: str = ""
    repeats: bool = False


def count_words(text: str) -> int:
    """Words and marks: near the tokens of most models."""
    return len(_WORD.findall(text))


def pack(name: str, blocks: Sequence[Block], tokens: int, overlap: int, count: Count) -> list[Chunk]:
    """See `documents.chunks`."""
    packer = _Packer(name, tokens, overlap, count)
    for number, block in enumerate(blocks):
        if block.kind != "heading":
            packer.add(list(_units(block, number, packer)))
    packer.close(None)
    return packer.done


class _Packer:
    def __init__(self, name: str, tokens: int, overlap: int, count: Count) -> None:
        self.name, self.tokens, self.overlap, self.count = name, tokens, overlap, count
        self.done: list[Chunk] = []
        self.units: list[_Unit] = []
        self.fresh = 0  # units that no earlier chunk has

    def fits(self, units: Sequence[_Unit]) -> bool:
        """Whether these make one chunk."""
        return self.count(_render(units)) <= self.tokens

    def add(self, block: Sequence[_Unit]) -> None:
        """A block that fits only a chunk of its own begins one, unless it would leave the present one half empty."""
        if self.fresh and not self.fits([*self.units, *block]):
            table = bool(block[0].header)
            half = self.count(_render(self.units)) * 2 >= self.tokens
            if (table or half) and self.fits(block):
                self.close(block[0])
        for unit in block:
            if self.fresh and (self._section_ends(unit) or not self.fits([*self.units, unit])):
                self.close(unit)
            if not self.fresh and not self.fits([*self.units, unit]):
                self.units = []  # what was repeated leaves no room for what is new
            self.units.append(unit)
            self.fresh += 1

    def _section_ends(self, unit: _Unit) -> bool:
        """A new section begins a new chunk, unless the present one is small."""
        return unit.headings != self.units[-1].headings and self.count(_render(self.units)) * 2 >= self.tokens

    def close(self, following: _Unit | None) -> None:
        """Ends the chunk; the next begins with the last sentences of this one, if they stand in one section."""
        if not self.fresh:
            return
        text = _render(self.units)
        first = self.units[0]
        self.done.append(Chunk(self.name, len(self.done), first.headings, text, self.count(text), first.page))
        kept: list[_Unit] = []
        for unit in reversed(self.units):
            same = following is not None and unit.headings == following.headings
            if not same or not unit.repeats or self.count(_body([unit, *kept])) > self.overlap:
                break
            kept.insert(0, unit)
        self.units = kept if len(kept) < len(self.units) else []
        self.fresh = 0


def _units(block: Block, number: int, packer: _Packer) -> Iterator[_Unit]:
    if block.kind == "table":
        header, dashes, *rows = block.text.split("\n")
        for row in rows or [""]:
            yield _Unit(row, number, block.headings, block.page, "\n", f"{header}\n{dashes}")
        return
    sentences = block.kind == "paragraph"
    glue = " " if sentences else "\n"
    for text in _SENTENCE.split(block.text) if sentences else block.text.split("\n"):
        whole = _Unit(text, number, block.headings, block.page, glue, repeats=sentences)
        if packer.fits([whole]):
            yield whole
        else:
            for piece in _divided(text, lambda part: packer.fits([_Unit(part, number, block.headings, 0, glue)])):
                yield _Unit(piece, number, block.headings, block.page, " ")


def _divided(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Pieces of a sentence that is too long alone: between words where there are any, else anywhere."""
    if fits(text) or len(text) < 2:
        yield text
        return
    middle = len(text) // 2
    space = min((place.start() for place in re.finditer(r"\s", text)), key=lambda at: abs(at - middle), default=middle)
    space = space if 0 < space < len(text) - 1 else middle
    for half in (text[:space].rstrip(), text[space:].lstrip()):
        yield from _divided(half, fits) if half else ()


def _render(units: Sequence[_Unit]) -> str:
    """The headings above the first unit, then all units, with the headings that come between them."""
    if not units:
        return ""
    parts: list[str] = []
    above: tuple[str, ...] = ()
    start = 0
    for place in range(1, len(units) + 1):
        if place == len(units) or units[place].headings != units[start].headings:
            parts += [*_titles(above, units[start].headings), _body(units[start:place])]
            above, start = units[start].headings, place
    return "\n\n".join(parts)


def _titles(above: tuple[str, ...], headings: tuple[str, ...]) -> list[str]:
    """Those of `headings` that `above` has not brought yet."""
    shared = next((n for n, pair in enumerate(zip(above, headings, strict=False)) if pair[0] != pair[1]), None)
    known = min(len(above), len(headings)) if shared is None else shared
    return [f"{'#' * min(level, 6)} {title}" for level, title in enumerate(headings, start=1) if level > known]


def _body(units: Sequence[_Unit]) -> str:
    text = ""
    for place, unit in enumerate(units):
        begins = place == 0 or units[place - 1].block != unit.block
        lead = f"{unit.header}\n{unit.text}".rstrip() if begins and unit.header else unit.text
        text += lead if place == 0 else ("\n\n" if begins else unit.glue) + lead
    return text
