"""Topics to write about: one seed record each, for generators that begin with nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from curation.core.contracts import Source
from curation.core.errors import InputError, RecordError
from curation.core.pairs import normalize
from curation.core.records import DETAIL, REASON, Record, digest, seed
from curation.sources._faults import INVALID_UTF8, NUL_BYTE, WRONG_TYPE
from curation.sources._rows import CONTENT_ID, Place, dump, lazy_table, marked, to_frame

if TYPE_CHECKING:
    import dask.dataframe as dd

_IN_THE_PLAN: Final = "topics"


class Topics(Source):
    """Topics from the plan, or from a text file with one on each line; blank ones are passed over.

    A row has the origin `seed`: it is written from, and is never training data itself. It has no texts; `extra` holds
    the `topic`, and `tags` as well, without commas. Its id depends on the topic alone, so that of topics that say the
    same (`pairs.normalize`) the first one stays.

    Args:
        topics: the topics themselves.
        path: the file, in UTF-8, in their place.

    Raises:
        ValueError: not exactly one of the two is given.
    """

    def __init__(self, topics: Sequence[str] = (), path: str | None = None) -> None:
        if isinstance(topics, str):
            raise ValueError("topics is a list, such as [Docker commands]")
        if bool(topics) == (path is not None):
            raise ValueError("give either topics, a list, or path, a file with one topic on each line")
        self.topics = topics
        self.path = path

    def read(self) -> dd.DataFrame:
        """See `Source.read`: one partition, for topics are few."""
        return lazy_table(_read_part, [list(self._lines())], label="read-topics")

    def fingerprint(self) -> str:
        """A checksum of the topics."""
        return digest(*(line if isinstance(line, bytes) else repr(line) for _, line in self._lines()))

    def _lines(self) -> Iterator[tuple[Place, object]]:
        """What the plan lists, or the bytes of the file's lines, each with its place."""
        if self.path is None:
            yield from ((Place(_IN_THE_PLAN, number), topic) for number, topic in enumerate(self.topics, 1))
            return
        path = Path(self.path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"the topics in {path} can't be read: {error.strerror}") from error
        for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
            yield Place(path.name, number), line


def _read_part(lines: Sequence[tuple[Place, object]]) -> pd.DataFrame:
    return to_frame(row for place, line in lines if (row := _row(place, line)))


def _row(place: Place, line: object) -> Record | None:
    """The seed of one line; None of a blank one."""
    try:
        topic = _text(line)
    except RecordError as fault:
        return marked(fault, place, line if isinstance(line, bytes) else repr(line).encode("utf-8", "replace"))
    if not topic:
        return None
    columns = {"tags": " ".join(topic.replace(",", " ").split()) or None, "extra": dump({"topic": topic}).decode()}
    row = seed(CONTENT_ID + digest("topic", normalize(topic)), file_name=place.file_name, line=place.line, **columns)
    return {**row, REASON: None, DETAIL: None}


def _text(line: object) -> str:
    if isinstance(line, bytes):
        try:
            line = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise RecordError(INVALID_UTF8, f"the line is not UTF-8: {error.reason}") from None
    if not isinstance(line, str):
        raise RecordError(WRONG_TYPE, "a topic is a text")
    if "\0" in line:
        raise RecordError(NUL_BYTE, "the topic has a NUL character")
    return " ".join(line.split())
