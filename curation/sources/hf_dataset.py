"""A dataset of Hugging Face: a saved folder, or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.core.contracts import Source
from curation.core.errors import InputError
from curation.core.records import digest
from curation.core.registry import nearest
from curation.sources import _arrow
from curation.sources._file_source import fitting
from curation.sources._rows import RowReader, lazy_table, to_frame

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd


class HfDataset(Source):
    """A folder that `save_to_disk` wrote, or what `datasets.load_dataset` takes; rows are mapped, never all in memory.

    Args:
        path: the folder, or the name on the hub (which is downloaded once, to the cache of `datasets`).
        split: which split of it.
        columns: record column → source column, where the names differ, as for `jsonl`.
        partition_bytes: about how large a partition is; by default it fits the input. Changes no row.
    """

    def __init__(
        self,
        path: str,
        split: str = "train",
        columns: Mapping[str, str] | None = None,
        partition_bytes: int | None = None,
    ) -> None:
        if partition_bytes is not None and partition_bytes < 1:
            raise ValueError(f"partition_bytes must be at least 1, not {partition_bytes}")
        self.path = path
        self.split = split
        self.columns = columns
        self.partition_bytes = partition_bytes
        self._reader = RowReader(columns)

    def read(self) -> dd.DataFrame:
        """See `Source.read`."""
        dataset = _open(self.path, self.split)
        where = f"{self.path} ({self.split})"
        if not len(dataset):
            raise InputError(f"{where} has no rows")
        _arrow.check_columns(self._reader, dataset.column_names, where)
        size = self.partition_bytes or fitting(dataset.data.nbytes)
        rows = max(1, size * len(dataset) // max(1, dataset.data.nbytes))
        starts = range(0, len(dataset), rows)
        return lazy_table(
            _read_rows,
            starts,
            count=rows,
            path=self.path,
            split=self.split,
            reader=self._reader,
            label="read-hf-dataset",
        )

    def fingerprint(self) -> str:
        """The dataset's own fingerprint."""
        return digest(_open(self.path, self.split)._fingerprint)


def _open(path: str, split: str) -> Any:
    import datasets

    saved = any((Path(path) / name).exists() for name in ("state.json", "dataset_dict.json"))
    try:
        dataset = datasets.load_from_disk(path) if saved else datasets.load_dataset(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the dataset {path} can't be opened ({error}): give a folder of save_to_disk or a name on the hub; "
            "without a network, download it elsewhere and give its folder"
        ) from error
    if not isinstance(dataset, datasets.DatasetDict):
        return dataset
    if split not in dataset:
        known = list(dataset)
        raise InputError(
            f"the dataset {path} has no split '{split}'.{nearest(split, known)} It has: {', '.join(known)}"
        )
    return dataset[split]


def _read_rows(start: int, count: int, path: str, split: str, reader: RowReader) -> pd.DataFrame:
    dataset = _open(path, split).with_format("arrow")
    table = dataset[start : start + count]
    return to_frame(_arrow.rows(table, reader, Path(path).name, start + 1))
