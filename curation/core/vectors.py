"""Embeddings on disk, by the hash of their text: computed once, shared by all workers, rounds and checks of a run.

`folder/<fingerprint>/<hash of the hashes>.arrow` holds up to a few thousand vectors as one Arrow record batch with
the columns `hash` and `vector`, readable without this package and mapped into memory instead of read. Files appear by
an atomic rename, so any number of processes may write at once.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from curation.core.errors import CurationError, DiskError
from curation.core.records import digest

Vectors: TypeAlias = npt.NDArray[np.float32]


def hash_of(text: str) -> str:
    """The name of a text's vector: 32 hexadecimal digits."""
    return digest(text)


class VectorCache:
    """The vectors of one encoder.

    Args:
        folder: the cache, of all encoders.
        fingerprint: the encoder's (`Encoder.fingerprint`), so that vectors of different encoders never meet.
    """

    def __init__(self, folder: str | Path, fingerprint: str) -> None:
        self.folder = Path(folder)
        self.fingerprint = fingerprint

    def path_of(self, hashes: Sequence[str]) -> Path:
        """The file that holds the vectors of exactly these texts."""
        return self.folder / self.fingerprint / f"{digest(*hashes)}.arrow"

    def add(self, hashes: Sequence[str], vectors: Vectors) -> None:
        """Writes one file: all of it or nothing.

        Args:
            hashes: `hash_of` each text.
            vectors: shape (texts, dimensions).

        Raises:
            DiskError: the cache can't be written.
        """
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        table = pa.table({"hash": pa.array(hashes, pa.string()), "vector": values})
        path = self.path_of(hashes)
        temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            os.replace(temporary, path)  # noqa: PTH105 - names the call whose atomicity counts
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise DiskError(f"{self.folder}: embeddings can't be written: {error.strerror or error}") from error

    def index(self) -> pd.DataFrame:
        """Where each text's vector is: columns `file` (path) and `row`, by `hash`. Unreadable files don't count."""
        found = []
        for path in sorted((self.folder / self.fingerprint).glob("*.arrow")):
            table = _mapped(path)
            if table is not None:
                hashes = table.column("hash").to_pandas()
                found.append(pd.DataFrame({"hash": hashes, "file": str(path), "row": np.arange(len(hashes))}))
        if not found:
            return pd.DataFrame({"file": [], "row": []}, index=pd.Index([], name="hash", dtype=object))
        return pd.concat(found, ignore_index=True).drop_duplicates("hash").set_index("hash")

    def holds(self, hashes: Sequence[str]) -> bool:
        """Whether the file of exactly these texts is there and readable."""
        return _mapped(self.path_of(hashes)) is not None


def take(files: npt.NDArray[np.object_], rows: npt.NDArray[np.int64]) -> Vectors:
    """Vectors by file and row, as `VectorCache.index` names them; shape (len(files), dimensions)."""
    parts: list[tuple[npt.NDArray[np.intp], Vectors]] = []
    for file, places in pd.Series(files).groupby(files, sort=False).indices.items():
        parts.append((places, _vectors_in(Path(file))[rows[places]]))
    result = np.empty((len(files), parts[0][1].shape[1] if parts else 0), dtype=np.float32)
    for places, vectors in parts:
        result[places] = vectors
    return result


def load_vectors(cache: str | Path, fingerprint: str, hashes: Sequence[str]) -> Vectors:
    """The vectors of texts, in order, as float32 of shape (len(hashes), dimensions).

    Args:
        cache: a run's folder of embeddings.
        fingerprint: `Encoder.fingerprint`.
        hashes: `hash_of` each text.

    Raises:
        CurationError: some are not there.
    """
    places = VectorCache(cache, fingerprint).index().reindex(hashes)
    missing = int(places["file"].isna().sum())
    if missing:
        raise CurationError(f"{cache}: {missing} of {len(hashes)} embeddings are missing for encoder {fingerprint}")
    return take(places["file"].to_numpy(dtype=object), places["row"].to_numpy(dtype=np.int64))


@lru_cache(maxsize=4096)
def _vectors_in(path: Path) -> Vectors:
    """All vectors of a file, which stay on disk until they are looked at."""
    table = _mapped(path)
    if table is None:
        raise CurationError(f"{path}: embeddings have vanished or are damaged while in use; start again")
    chunk = table.column("vector").combine_chunks()
    vectors: Vectors = chunk.flatten().to_numpy().reshape(len(chunk), -1)
    return vectors


def _mapped(path: Path) -> pa.Table | None:
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowInvalid):
        return None
