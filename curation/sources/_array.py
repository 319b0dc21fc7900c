"""Finds the elements of one big JSON array without parsing it.

The array is read once in blocks; NumPy finds quotes, escapes and brackets in each block, and what crosses a block's end
(an open string, half an escape, the depth) is carried over. Only then is each element parsed by itself, so that memory
does not depend on the file, the elements can be shared out between workers, and a malformed one costs only itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from curation.sources._files import BOM

BLOCK: Final = 1 << 20
"""Bytes read at once: small enough for the processor's cache."""

_NEWLINE, _ESCAPE, _QUOTE, _OPEN, _CLOSE, _COMMA = range(1, 7)
_KINDS: Final = bytearray(256)  # for `bytes.translate`, which is several times faster than NumPy's indexing
for _kind, _characters in enumerate((b"\n", b"\\", b'"', b"[{", b"]}", b","), start=1):
    for _character in _characters:
        _KINDS[_character] = _kind


class ArrayError(ValueError):
    """Not one whole JSON array.

    Args:
        message: what is wrong.
        line: where, from 1.
    """

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message, line)
        self.message = message
        self.line = line

    def __str__(self) -> str:
        return self.message


class Cut(NamedTuple):
    """A byte between two elements: the array's opening bracket, a comma, or its closing bracket."""

    offset: int
    line: int
    byte: int


class Scanner:
    """Finds the cuts of a JSON array in a stream of blocks.

    Args:
        inside: the stream begins after the opening bracket or a comma, not before the array.
        line: the number of the stream's first line.
    """

    def __init__(self, inside: bool = False, line: int = 1) -> None:
        self.offset = 0
        self.line = line
        self.depth = int(inside)
        self._in_string = 0
        self._held = b""

    def feed(self, block: bytes) -> list[Cut]:
        """The cuts in the next block of the stream, with offsets from the stream's beginning."""
        data = self._held + block
        base = self.offset - len(self._held)
        self.offset += len(block)
        # A backslash without its partner waits for the next block.
        odd = (len(data) - len(data.rstrip(b"\\"))) % 2
        self._held = data[len(data) - odd :]
        kinds = np.frombuffer(data.translate(_KINDS), np.uint8, len(data) - odd)
        places = np.flatnonzero(kinds.astype(bool))
        if not places.size:
            return []
        kinds = kinds[places]
        lines = self.line + np.cumsum(kinds == _NEWLINE)
        self.line = int(lines[-1])
        found = self._follow(kinds, _escaped(places, kinds))
        at = places[found].tolist()
        return [Cut(base + place, line, data[place]) for place, line in zip(at, lines[found].tolist(), strict=True)]

    def _follow(self, kinds: npt.NDArray[np.uint8], escaped: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Which of the places are cuts; carries the open string and the depth on to the next block."""
        quotes = (kinds == _QUOTE) & ~escaped
        strings = (self._in_string + np.cumsum(quotes)) & 1
        outside = strings == 0
        opens = (kinds == _OPEN) & outside
        closes = (kinds == _CLOSE) & outside
        depths = self.depth + np.cumsum(opens.astype(np.int64) - closes)
        commas = (kinds == _COMMA) & outside & (depths == 1)
        self._in_string, self.depth = int(strings[-1]), int(depths[-1])
        return np.flatnonzero(commas | (opens & (depths == 1)) | (closes & (depths == 0)))


def _escaped(places: npt.NDArray[np.intp], kinds: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which of the places follow an odd number of backslashes."""
    escapes = places[kinds == _ESCAPE]
    if not escapes.size:
        return np.zeros(len(places), dtype=bool)
    starts = np.flatnonzero(np.diff(escapes, prepend=-2) != 1)
    lengths = np.diff(starts, append=len(escapes))
    odd = lengths % 2 == 1
    after = escapes[starts[odd]] + lengths[odd]
    return np.isin(places, after, assume_unique=True)


def cuts(blocks: Iterable[bytes]) -> Iterator[Cut]:
    """The cuts of a whole file, which must be one array and nothing else: the opening bracket is the first.

    Raises:
        ArrayError: there is no array, it never ends, or something stands beside it.
    """
    scanner = Scanner()
    last: Cut | None = None
    for block in blocks:
        start, line, rest = scanner.offset, scanner.line, 0
        for cut in scanner.feed(block):
            if last is None or last.byte == _END:
                _expect_blank(block[rest : cut.offset - start], line)
            if cut.byte not in _ALLOWED[last and last.byte]:
                raise ArrayError(f"an unexpected {chr(cut.byte)!r}", cut.line)
            yield (last := cut)
            rest, line = cut.offset + 1 - start, cut.line
        if last is None or last.byte == _END:
            _expect_blank(block[rest:], line)
    if last is None:
        raise ArrayError("there is no JSON array", scanner.line)
    if last.byte != _END:
        raise ArrayError("an element never ends: the file is cut short, or lacks a bracket or a quote", last.line)


_END: Final = ord("]")
_ALLOWED: Final[dict[int | None, bytes]] = {None: b"[", ord("["): b",]", ord(","): b",]", _END: b""}


def _expect_blank(piece: bytes, line: int) -> None:
    line, rest = _located(line, piece.removeprefix(BOM))
    if rest:
        raise ArrayError("something stands beside the JSON array", line)


def elements(blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The elements of a whole file: the line on which each begins, and its bytes. Holds one element and one block.

    Raises:
        ArrayError: as `cuts`.
    """
    held = bytearray()

    def remember() -> Iterator[bytes]:
        for block in blocks:
            held.extend(block)
            yield block

    start, line = 0, 1
    for cut in cuts(remember()):
        if start:
            yield _located(line, bytes(held[: cut.offset - start]))
        del held[: cut.offset + 1 - start]
        start, line = cut.offset + 1, cut.line


def split(data: bytes, line: int) -> Iterator[tuple[int, bytes]]:
    """The elements of a piece of an array that lies between two cuts.

    Args:
        data: the piece.
        line: the number of its first line.
    """
    scanner = Scanner(inside=True, line=line)
    start = 0
    for offset in range(0, len(data), BLOCK):
        for cut in scanner.feed(data[offset : offset + BLOCK]):
            yield _located(line, data[start : cut.offset])
            start, line = cut.offset + 1, cut.line
    yield _located(line, data[start:])


def _located(line: int, raw: bytes) -> tuple[int, bytes]:
    element = raw.lstrip()
    return line + raw.count(b"\n", 0, len(raw) - len(element)), element.rstrip()
