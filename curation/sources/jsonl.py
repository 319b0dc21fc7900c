"""JSON Lines: one object per line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from curation.sources import _json_files
from curation.sources._file_source import FileSource, pack
from curation.sources._rows import RowReader, lazy_table

if TYPE_CHECKING:
    import dask.dataframe as dd


class Jsonl(FileSource):
    """JSON Lines in `.jsonl`, `.ndjson` and `.json` files, also with `.gz` or `.zst`.

    An uncompressed file is read in parallel, a compressed one by one worker.

    Args:
        paths: files, folders (searched with all below them) and globs.
        columns: record column (`id`, `title`, `question`, `answer`, `context`, `tags`, `question_score`,
            `answer_score`) → source column, where the names differ. `question` and `answer` are required. What is not
            read into a column goes to `extra`.
        partition_bytes: a partition ends with the row that reaches it; by default it fits the input. Changes no row.
        files_per_partition: at most so many small files share a partition; by default `partition_bytes` alone decides.
        num_files: reads only the first so many files, in order of path.
    """

    suffixes = (".jsonl", ".ndjson", ".json")

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
        """See `Source.read`."""
        files = self.files()
        size = self.size_of_partitions(files)
        parts = pack(_json_files.spans(files, arrays=False, partition_bytes=size), size, self.files_per_partition)
        return lazy_table(_json_files.read_part, parts, reader=self._reader, label="read-jsonl")
