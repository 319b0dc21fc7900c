"""The different texts of all records, and where their vectors are: embedded by the workers, each text once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.encoder import Encoder
from curation.core.errors import CurationError
from curation.core.pairs import COMPARED, compared_texts, normalize
from curation.core.vectors import VectorCache, hash_of

_TEXTS_PER_FILE: Final = 1024  # what is lost at most of a worker's embeddings when it is killed


@dataclass(frozen=True)
class Hashes:
    """Of each compared text the hash of its normal form, as columns `key_0`, …, and its own, as columns `raw_0`, …"""

    by: str

    def __call__(self, rows: pd.DataFrame) -> pd.DataFrame:
        columns = compared_texts(rows, self.by)
        silent = np.array([not any(text.strip() for text in row) for row in zip(*columns, strict=True)], dtype=bool)
        found = {}
        for number, column in enumerate(columns):
            keys = pd.Series([hash_of(normalize(text)) for text in column], dtype=object)
            found[f"key_{number}"] = keys.where(~silent, None)
            found[f"raw_{number}"] = pd.Series([hash_of(text) for text in column], dtype=object)
        return pd.DataFrame(found)


def keys_of(by: str) -> list[str]:
    """The names of the columns with which texts are equal."""
    return [f"key_{number}" for number in range(len(COMPARED[by]))]


def different_texts(records: pd.DataFrame, by: str) -> pd.DataFrame:
    """A row for each text, or pair of texts, that differs from all others after normalisation; its best record's.

    Args:
        records: as `_members.members` finds them with `Hashes`.
        by: see `COMPARED`.

    Returns:
        Columns `key_…`, `raw_…`, `id`, `rank`, `partition` and `row` of the best record, and `new`, whether any record
        of this text is.
    """
    best = records.sort_values("rank").drop_duplicates(keys_of(by)).drop(columns="new")
    new = records.groupby(keys_of(by))["new"].any().reset_index()
    return best.merge(new, on=keys_of(by), validate="1:1")


@contextmanager
def folder_of(cache: str | None) -> Iterator[str]:
    """The cache, or a folder that lasts as long as the work."""
    if cache is not None:
        yield cache
        return
    with TemporaryDirectory(prefix="curation-embeddings-") as folder:
        yield folder


@dataclass(frozen=True)
class Library:
    """Where texts are embedded to.

    Args:
        partitions: the tables' partitions, which hold the texts.
        by: see `COMPARED`.
        folder: of the cache, which all workers see.
    """

    partitions: Sequence[Any]
    by: str
    folder: str

    def located(self, texts: pd.DataFrame, encoder: Encoder) -> pd.DataFrame:
        """The texts with their vectors' files and rows, which are made where the cache lacks them.

        Args:
            texts: see `different_texts`.
            encoder: whose vectors.

        Returns:
            `texts` with the columns `file_0`, `row_0`, …; new ones first, then as they lie in files.

        Raises:
            CurationError: the workers' files can't be seen here.
        """
        import dask

        cache = VectorCache(self.folder, encoder.fingerprint)
        missing = self._missing(texts, cache)
        embed = dask.delayed(_embed)
        dask.compute(
            *(
                embed(self.partitions[number], self.by, *_sorted(part), encoder, cache)
                for number, part in missing.groupby("partition")
            )
        )
        return self._placed(texts, cache)

    def located_by_crossfit(self, texts: pd.DataFrame, encoder: Encoder) -> pd.DataFrame:
        """As `located`, with the vectors of NeMo Curator's own embedder."""
        import dask
        import dask.dataframe as dd

        from curation.dedupers._crossfit import crossfit_fingerprint, encode_with_crossfit

        pooling = encoder.pooling or "mean"
        cache = VectorCache(self.folder, crossfit_fingerprint(encoder.fingerprint, pooling))
        missing = self._missing(texts, cache)
        if len(missing):
            read = dask.delayed(_texts_of)
            parts = [
                read(self.partitions[number], self.by, *_sorted(part)) for number, part in missing.groupby("partition")
            ]
            meta = pd.DataFrame({"hash": pd.Series(dtype=object), "text": pd.Series(dtype=object)})
            frame = dd.from_delayed(parts, meta=meta, verify_meta=False)
            encode_with_crossfit(frame, cache, str(encoder.folder), pooling)
        return self._placed(texts, cache)

    def _placed(self, texts: pd.DataFrame, cache: VectorCache) -> pd.DataFrame:
        index = cache.index()
        places = {}
        for number in range(len(COMPARED[self.by])):
            found = index.reindex(texts[f"raw_{number}"])
            missing = int(found["file"].isna().sum())
            if missing:
                raise CurationError(
                    f"{cache.folder}: {missing} of {len(texts)} embeddings that the workers wrote can't be found here: "
                    "the folder must be on a file system that this machine and all workers share"
                )
            places[f"file_{number}"] = found["file"].to_numpy(dtype=object)
            places[f"row_{number}"] = found["row"].to_numpy(dtype=np.int64)
        with_places = texts.assign(**places)
        order = ["new", "file_0", "row_0", "rank"]  # so that a block lies in few files
        return with_places.sort_values(order, ascending=[False, True, True, True], ignore_index=True)

    def texts(self, chosen: pd.DataFrame) -> list[tuple[str, ...]]:
        """The compared texts themselves, in the order of `chosen` (columns `partition` and `row`)."""
        import dask

        groups = list(chosen.groupby("partition")["row"])
        places = list(chosen.groupby("partition").indices.values())
        task = dask.delayed(_texts_in)
        found = dask.compute(*(task(self.partitions[number], rows.to_numpy(), self.by) for number, rows in groups))
        result: list[tuple[str, ...]] = [()] * len(chosen)
        for where, texts in zip(places, found, strict=True):
            for place, text in zip(where.tolist(), texts, strict=True):
                result[place] = text
        return result

    def _missing(self, texts: pd.DataFrame, cache: VectorCache) -> pd.DataFrame:
        """Where the texts are that the cache lacks, each once: columns `partition`, `row`, `column`, `hash`."""
        columns = [
            texts[["partition", "row"]].assign(column=number, hash=texts[f"raw_{number}"])
            for number in range(len(COMPARED[self.by]))
        ]
        wanted = pd.concat(columns, ignore_index=True).drop_duplicates("hash")
        return wanted[~wanted["hash"].isin(cache.index().index)]


def _texts_in(rows: pd.DataFrame, places: npt.NDArray[np.int64], by: str) -> list[tuple[str, ...]]:
    return list(zip(*compared_texts(rows.iloc[places], by), strict=True))


def _sorted(part: pd.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    ordered = part.sort_values(["column", "row"])
    return ordered["column"].to_numpy(), ordered["row"].to_numpy()


def _texts_of(
    rows: pd.DataFrame, by: str, columns: npt.NDArray[np.int64], places: npt.NDArray[np.int64]
) -> pd.DataFrame:
    """Chosen texts of one partition, as columns `hash` and `text`."""
    compared = compared_texts(rows, by)
    texts = [compared[column][place] for column, place in zip(columns, places, strict=True)]
    return pd.DataFrame({"hash": [hash_of(text) for text in texts], "text": texts}, dtype=object)


def _embed(
    rows: pd.DataFrame,
    by: str,
    columns: npt.NDArray[np.int64],
    places: npt.NDArray[np.int64],
    encoder: Encoder,
    cache: VectorCache,
) -> None:
    """Embeds chosen texts of one partition, and writes them to the cache as it goes."""
    texts = _texts_of(rows, by, columns, places)["text"].tolist()
    for start in range(0, len(texts), _TEXTS_PER_FILE):
        batch = texts[start : start + _TEXTS_PER_FILE]
        hashes = [hash_of(text) for text in batch]
        if not cache.holds(hashes):  # a task that runs again goes on where it was killed
            cache.add(hashes, encoder.encode(batch))
