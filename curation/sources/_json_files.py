"""Reads JSON Lines and JSON arrays in parallel: files are cut into spans of whole rows, which make up partitions.

How the cuts fall depends on `partition_bytes`; the rows, their order and their line numbers never do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal

import orjson

from curation.core.errors import InputError, RecordError
from curation.core.records import Record
from curation.sources import _array
from curation.sources._faults import INVALID_UTF8, LONE_SURROGATE, MALFORMED, NUL_BYTE
from curation.sources._files import BOM, InputFile, beginning, damaged, open_stream
from curation.sources._rows import SURROGATE, Place, RowReader, empty_file, marked, to_frame

if TYPE_CHECKING:
    import pandas as pd

Shape = Literal["lines", "array", "empty"]


@dataclass(frozen=True)
class Span:
    """Whole rows of one file that lie side by side.

    Args:
        file: the file.
        shape: one row per line, elements of an array, or no rows at all.
        start: offset of the first byte.
        stop: offset after the last byte; None reads a compressed file to its end.
        line: number of the first line.
    """

    file: InputFile
    shape: Shape
    start: int = 0
    stop: int | None = None
    line: int = 1

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return (self.file.path.stat().st_size if self.stop is None else self.stop) - self.start


def spans(files: Sequence[InputFile], arrays: bool, partition_bytes: int) -> Iterator[Span]:
    """Cuts files into spans of about `partition_bytes`.

    Args:
        files: the files, in the order of their rows.
        arrays: a file that begins with `[` is one JSON array, not JSON Lines.
        partition_bytes: a span ends with the row that reaches it.

    Raises:
        InputError: a file can't be read, every file is empty, or an array is broken.
    """
    beginnings = [beginning(file) for file in files]
    empty = (b"", b"[]") if arrays else (b"",)
    if all(start in empty for start in beginnings):
        raise InputError(f"there are no rows to read: {', '.join(str(file.path) for file in files)} has none")
    for file, start in zip(files, beginnings, strict=True):
        shape: Shape = "array" if arrays and start.startswith(b"[") else "lines"
        if start in empty:
            yield Span(file, "empty", 0, 0)
        elif file.compressed:
            yield Span(file, shape)
        elif shape == "array":
            yield from _array_spans(file, partition_bytes)
        else:
            yield from _line_spans(file, partition_bytes)


def _line_spans(file: InputFile, partition_bytes: int) -> Iterator[Span]:
    end = file.path.stat().st_size
    start, line = 0, 1
    with file.path.open("rb") as stream:
        while start < end:
            stream.seek(start + partition_bytes - 1)
            stream.readline()
            stop = min(stream.tell(), end)
            yield Span(file, "lines", start, stop, line)
            if stop < end:  # a file of one span, as most are, needs no counting
                stream.seek(start)
                line += sum(block.count(b"\n") for block in _blocks(stream, stop - start))
            start = stop


def _array_spans(file: InputFile, partition_bytes: int) -> Iterator[Span]:
    with file.path.open("rb") as stream:
        try:
            cuts = _array.cuts(iter(lambda: stream.read(_array.BLOCK), b""))
            begin = next(cuts)
            for cut in cuts:
                if cut.offset - begin.offset > partition_bytes or cut.byte == ord("]"):
                    yield Span(file, "array", begin.offset + 1, cut.offset, begin.line)
                    begin = cut
        except _array.ArrayError as error:
            raise _broken(file, error) from error


def _broken(file: InputFile, error: _array.ArrayError) -> InputError:
    return InputError(f"{file.path}:{error.line}: {error}. Wanted: one JSON array, or one JSON object per line")


def _blocks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (block := stream.read(min(size, _array.BLOCK))):
        size -= len(block)
        yield block


def read_part(part: Sequence[Span], reader: RowReader) -> pd.DataFrame:
    """The rows of one partition."""
    return to_frame(row for span in part for row in _rows(span, reader))


def _rows(span: Span, reader: RowReader) -> Iterator[Record]:
    if span.shape == "empty":
        yield empty_file(span.file.name)
        return
    for line, raw in _raw_rows(span):
        place = Place(span.file.name, line)
        try:
            value = parse(raw)
        except RecordError as fault:
            yield marked(fault, place, raw)
        else:
            yield reader.row(value, place, lambda raw=raw: raw)  # type: ignore[misc]  # mypy can't infer it


def _raw_rows(span: Span) -> Iterator[tuple[int, bytes]]:
    line = 0
    try:
        for line, raw in _located(span):
            yield line, raw
    except _array.ArrayError as error:
        raise _broken(span.file, error) from error
    except OSError as error:
        raise damaged(span.file, line, error) from error


def _located(span: Span) -> Iterator[tuple[int, bytes]]:
    with open_stream(span.file.path) as stream:
        if span.stop is not None:
            stream.seek(span.start)
        if span.shape == "array":
            if span.stop is None:
                yield from _array.elements(iter(lambda: stream.read(_array.BLOCK), b""))
            else:
                yield from _array.split(stream.read(span.stop - span.start), span.line)
            return
        left = float("inf") if span.stop is None else span.stop - span.start
        for line, raw in enumerate(stream, start=span.line):
            if raw.strip():
                yield line, raw
            left -= len(raw)
            if left <= 0:
                return


def parse(raw: bytes) -> object:
    """One JSON value.

    Raises:
        RecordError: what is wrong with it, by the names of `_faults`.
    """
    try:
        return orjson.loads(raw.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        raise _fault(raw, str(error)) from None


def _fault(raw: bytes, message: str) -> RecordError:
    if b"\0" in raw:
        return RecordError(NUL_BYTE, f"a NUL byte at byte {raw.index(0)} of the row")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return RecordError(INVALID_UTF8, f"byte {error.start} of the row is not UTF-8 ({error.reason})")
    try:  # the standard library's parser lets lone surrogates pass, which tells them from other faults
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        return RecordError(LONE_SURROGATE, "an escape stands for half of a surrogate pair")
    return RecordError(MALFORMED, f"not JSON ({message})")
