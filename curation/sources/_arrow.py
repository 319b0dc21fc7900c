"""Rows from Arrow tables: what Parquet files and Hugging Face datasets share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from curation.core.errors import InputError, RecordError
from curation.core.records import Record
from curation.core.registry import nearest
from curation.sources._faults import INVALID_UTF8
from curation.sources._rows import Place, RowReader, dump, marked


def check_columns(reader: RowReader, names: list[str], where: str) -> None:
    """Refuses a table that lacks a column, rather than each of its rows.

    Raises:
        InputError: a required or a mapped column is missing; names those that exist and the nearest spelling.
    """
    for column, source in reader.sources.items():
        if source not in names and (column in ("question", "answer") or column in reader.mapped):
            raise InputError(
                f"{where} has no column '{source}' for the record's {column}.{nearest(source, names)} It has: "
                f"{', '.join(names)}. Name the column in the source's argument columns: {{{column}: NAME}}"
            )


def rows(table: Any, reader: RowReader, name: str, first: int) -> Iterator[Record]:
    """The rows of a `pyarrow.Table`, of which the first is number `first` of `name`."""
    for number, value in enumerate(_values(table), start=first):
        place = Place(name, number)
        if isinstance(value, RecordError):
            yield marked(value, place, b"")
        else:
            yield reader.row(value, place, lambda value=value: dump(value))  # type: ignore[misc]  # mypy can't infer it


def _values(table: Any) -> Iterator[dict[str, Any] | RecordError]:
    """Arrow decodes text when it is taken out: one bad byte fails a whole column, so then each row is taken alone."""
    try:
        yield from table.to_pylist()
    except UnicodeDecodeError:
        yield from (_value(table.slice(index, 1)) for index in range(table.num_rows))


def _value(row: Any) -> dict[str, Any] | RecordError:
    try:
        value: dict[str, Any] = row.to_pylist()[0]
    except UnicodeDecodeError as error:
        return RecordError(INVALID_UTF8, f"a text is not UTF-8 ({error.reason}): {error.object!r:.500}")
    return value
