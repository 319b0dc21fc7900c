"""From a source's objects to the rows of a table: column mapping, type checks, ids, and the marks of bad rows."""

from __future__ import annotations

import base64
import datetime
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import pandas as pd

from curation.core.errors import RecordError
from curation.core.records import COLUMNS, DETAIL, REASON, Record, digest, frame, human, rejected
from curation.core.registry import nearest
from curation.sources._faults import EMPTY_FILE, EMPTY_RECORD, LONE_SURROGATE, MISSING_COLUMN, NUL_BYTE, WRONG_TYPE

if TYPE_CHECKING:
    import dask.dataframe as dd

CONTENT_ID: Final = "content-"
"""How the id of a row begins that has no id of its own: the rest is a hash of its texts, so that two rows with the same
such id are copies of one another."""

_EXCERPT = 500  # characters of the raw row that a detail quotes
SURROGATE: Final = re.compile("[\ud800-\udfff]")
_REQUIRED = ("question", "answer")


@dataclass(frozen=True)
class Place:
    """Where a row begins.

    Args:
        file_name: as `InputFile.name`.
        line: from 1; in Parquet and in datasets the row's number; 0 for a file without rows.
    """

    file_name: str
    line: int

    def __str__(self) -> str:
        return f"{self.file_name}:{self.line}"


class RowReader:
    """Reads objects that have one key per column.

    Args:
        columns: record column → source column, where the names differ.

    Raises:
        ValueError: a key of `columns` is not a column that a source can set.
    """

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        for name in columns or ():
            if name not in _READ:
                known = list(_READ)
                raise ValueError(
                    f"columns: a source can't set '{name}'.{nearest(name, known)} It sets: {', '.join(known)}"
                )
        self.mapped = dict(columns or {})
        self.sources = {name: self.mapped.get(name, name) for name in _READ}

    def row(self, value: object, place: Place, raw: Callable[[], bytes]) -> Record:
        """The row of one object; a bad one is marked, with as much of it as could be read.

        Args:
            value: what stands at `place`.
            raw: its bytes, asked for only if they must be quoted.
        """
        if not isinstance(value, dict):
            return marked(RecordError(WRONG_TYPE, f"{_kind(value)} where an object belongs"), place, raw())
        prepared, fault = self.prepare(value)
        columns, first_fault = self._columns(prepared)
        fault = fault or first_fault
        key = columns.pop("id")
        if fault is not None:
            return marked(fault, place, raw(), None if key is None else self.identify(key, place), columns)
        identifier = content_id(columns) if key is None else self.identify(key, place)
        row = human(identifier, file_name=place.file_name, line=place.line, **columns)
        return {**row, REASON: None, DETAIL: None}

    def prepare(self, value: dict[str, Any]) -> tuple[dict[str, Any], RecordError | None]:
        """The object with one key per column, and what is wrong with it: for sources that nest their columns."""
        return value, None

    def identify(self, key: str, place: Place) -> str:
        """The record's id, from the source's."""
        return key

    def _columns(self, value: Mapping[str, Any]) -> tuple[Record, RecordError | None]:
        columns: Record = {}
        faults: list[RecordError] = []
        for name, source in self.sources.items():
            try:
                columns[name] = self._column(name, source, value)
            except RecordError as fault:
                columns[name] = None
                faults.append(fault)
        taken = set(self.sources.values())
        extra = {key: item for key, item in value.items() if key not in taken}
        columns["extra"] = dump(extra).decode()
        if _has_nul(extra):
            faults.append(RecordError(NUL_BYTE, "a NUL character in one of the other columns"))
        return columns, faults[0] if faults else None

    def _column(self, name: str, source: str, value: Mapping[str, Any]) -> Any:
        item = value.get(source)
        if item is None:
            if name in _REQUIRED or (name in self.mapped and name == "id"):
                state = "is null" if source in value else "is missing"
                raise RecordError(MISSING_COLUMN, f"'{source}' {state}; there are: {', '.join(value) or 'none'}")
            return None
        result = _READ[name](item, source)
        if name in _REQUIRED and not result.strip():
            raise RecordError(EMPTY_RECORD, f"'{source}' is blank")
        return result


def marked(
    fault: RecordError, place: Place, raw: bytes, identifier: str | None = None, columns: Record | None = None
) -> Record:
    """A row for the ledger: its detail names file and line and quotes the raw row."""
    quoted = raw.strip().decode("utf-8", "backslashreplace")[:_EXCERPT].replace("\0", "\\x00")
    identifier = identifier or f"{place.file_name}#L{place.line}"
    row = human(identifier, file_name=place.file_name, line=place.line, **(columns or {}))
    return rejected(row, fault.reason, f"{place}: {fault.detail}" + (f": {quoted}" if quoted else ""))


def empty_file(name: str) -> Record:
    """The row that stands for a file without rows."""
    return marked(RecordError(EMPTY_FILE, "the file has no rows"), Place(name, 0), b"")


def content_id(columns: Mapping[str, Any]) -> str:
    """The id of a row that has none: the same for the same texts, whatever file they stand in."""
    return CONTENT_ID + digest(*(columns[name] or "" for name in ("title", "question", "answer")))


def dump(value: Any) -> bytes:
    """Canonical JSON of any value that JSON, Parquet or Arrow can hold."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS)


def to_frame(rows: Iterable[Record]) -> pd.DataFrame:
    """Rows as the table that every source answers with: the columns of `SCHEMA`, `REASON` and `DETAIL`."""
    return frame(rows, (*COLUMNS, REASON, DETAIL)).astype({"round": "int32", "line": "int64"})


def lazy_table(read: Callable[..., pd.DataFrame], parts: Sequence[Any], **arguments: Any) -> dd.DataFrame:
    """One partition for each of `parts`, in their order: `read(part, **arguments)`."""
    import dask.dataframe as dd

    return dd.from_map(read, parts, meta=to_frame([]), **arguments)


def _text(item: object, source: str) -> str:
    if not isinstance(item, str):
        raise RecordError(WRONG_TYPE, f"'{source}' is {_kind(item)}, not a text")
    if "\0" in item:
        raise RecordError(NUL_BYTE, f"'{source}' has a NUL character")
    if SURROGATE.search(item):
        raise RecordError(LONE_SURROGATE, f"'{source}' has half of a surrogate pair")
    return item


def _identifier(item: object, source: str) -> str | None:
    if isinstance(item, int) and not isinstance(item, bool):
        return str(item)
    if not isinstance(item, str):
        raise RecordError(WRONG_TYPE, f"'{source}' is {_kind(item)}, neither a text nor a whole number")
    return _text(item, source) or None


def _tags(item: object, source: str) -> str | None:
    items = item if isinstance(item, list) else [item]
    tags = {tag.strip() for part in items for tag in _text(part, source).split(",")}
    return ",".join(sorted(tags - {""})) or None


def _number(item: object, source: str) -> float:
    try:
        number = math.nan if isinstance(item, bool) else float(item)  # type: ignore[arg-type]  # refused below
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RecordError(WRONG_TYPE, f"'{source}' is {_kind(item)}, not a number")
    return number


_READ: Final[dict[str, Callable[[object, str], Any]]] = {
    "id": _identifier,
    "title": _text,
    "question": _text,
    "answer": _text,
    "context": _text,
    "tags": _tags,
    "question_score": _number,
    "answer_score": _number,
}


def _kind(value: object) -> str:
    for kind, name in _KINDS:
        if isinstance(value, kind):
            return name
    return f"a {type(value).__name__}"


_KINDS: Final = (
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "an object"),
    (type(None), "null"),
)


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _plain(value: object) -> str:
    """What orjson doesn't know: bytes as base64, times as ISO 8601, decimals with all their digits."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
