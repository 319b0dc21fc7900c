"""Parquet files, by row groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curation.core.errors import InputError
from curation.core.records import Record
from curation.sources import _arrow
from curation.sources._file_source import FileSource, pack
from curation.sources._files import InputFile
from curation.sources._rows import RowReader, empty_file, lazy_table, to_frame

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file.

    Args:
        file: the file.
        index: the group's place in the file; None stands for a file without rows.
        row: number of its first row, from 1.
        size: uncompressed bytes.
    """

    file: InputFile
    index: int | None
    row: int
    size: int


class Parquet(FileSource):
    """Parquet files; a row group is never divided between partitions.

    Args:
        paths: files, folders (searched with all below them) and globs.
        columns: record column → source column, where the names differ, as for `jsonl`.
        partition_bytes: a partition takes whole row groups up to this size (uncompressed), at least one.
        files_per_partition: at most so many small files share a partition; by default `partition_bytes` alone decides.
        num_files: reads only the first so many files, in order of path.
    """

    suffixes = (".parquet", ".pq")

    def __init__(
        self,
        paths: Sequence[str] | str,
        columns: Mapping[str, str] | None = None,
        partition_bytes: int | None = None,
        files_per_partition: int | None = None,
        num_files: int | None = None,
    ) -> None:
        super().__init__(paths, partition_bytes, files_per_partition, num_files)
        self.columns = columns
        self._reader = RowReader(columns)

    def read(self) -> dd.DataFrame:
        """See `Source.read`.

        Raises:
            InputError: also when a file lacks a column that is required or mapped.
        """
        files = self.files()
        groups = [group for file in files for group in self._groups(file)]
        if all(group.index is None for group in groups):
            raise InputError(
                f"there are no rows to read: {', '.join(str(group.file.path) for group in groups)} has none"
            )
        parts = pack(groups, self.size_of_partitions(files), self.files_per_partition)
        return lazy_table(_read_part, parts, reader=self._reader, label="read-parquet")

    def _groups(self, file: InputFile) -> list[RowGroup]:
        with _open(file) as parquet:
            _arrow.check_columns(self._reader, parquet.schema_arrow.names, str(file.path))
            groups, row = [], 1
            for index in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(index)
                groups.append(RowGroup(file, index, row, group.total_byte_size))
                row += group.num_rows
            return groups if row > 1 else [RowGroup(file, None, 0, 0)]


def _open(file: InputFile) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file.path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{file.path} is not a readable Parquet file: {error}") from error


def _read_part(part: Sequence[RowGroup], reader: RowReader) -> pd.DataFrame:
    return to_frame(row for group in part for row in _rows(group, reader))


def _rows(group: RowGroup, reader: RowReader) -> Iterator[Record]:
    import pyarrow as pa

    if group.index is None:
        yield empty_file(group.file.name)
        return
    with _open(group.file) as parquet:
        try:
            table = parquet.read_row_group(group.index)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{group.file.path}: the row group at row {group.row} is damaged: {error}") from error
        yield from _arrow.rows(table, reader, group.file.name, group.row)
