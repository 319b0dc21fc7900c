"""Where each key's line is, for tens of millions of keys.

In memory an `Index` is a small dictionary of what came last and a few sorted runs of arrays, 28 bytes an entry: when
the dictionary is full it becomes a run, and runs of like size are merged (a log-structured merge tree). A lookup is
a binary search in each run.

On disk an index is one run, four arrays in a folder of their own, and `index.json`, which names that folder and tells
up to where each segment is covered. The arrays are mapped, not read: processes of one machine share their pages, and
opening an index takes milliseconds whatever its size. `index.json` is replaced by one rename when everything that it
names is on the disk. It is a cache: `load` answers with None where anything about it is amiss, and whoever follows
one of its entries checks that the line there has the key.
"""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import orjson

from curation.engine.append import sync_folder
from curation.engine.store import write_durably

MANIFEST: Final = "index.json"
KEY_SIZE: Final = 16
"""Bytes of a key."""

Place = tuple[int, int]
"""A segment's number, and the offset of a line in it."""

Unsigned = npt.NDArray[np.unsignedinteger[Any]]

_TAIL: Final = 1 << 16
"""Entries of the dictionary (about 200 bytes each) before it becomes a run."""
_RATIO: Final = 4
"""A run stays unmerged while it is so many times as large as the next younger one."""
_TYPES: Final = {"high": np.uint64, "low": np.uint64, "segment": np.uint32, "offset": np.uint64}


@dataclass(frozen=True)
class Run:
    """Entries sorted by the first half of their keys; no key is there twice.

    Args:
        high, low: the halves of the keys as big-endian numbers, uint64.
        segment, offset: their places, uint32 and uint64.
    """

    high: Unsigned
    low: Unsigned
    segment: Unsigned
    offset: Unsigned

    @classmethod
    def of(cls, places: Mapping[bytes, Place]) -> Run:
        """Of keys of `KEY_SIZE` bytes."""
        halves = np.frombuffer(b"".join(places), dtype=">u8").reshape(-1, 2).astype(np.uint64)
        segments = np.fromiter((segment for segment, _ in places.values()), np.uint32, len(places))
        offsets = np.fromiter((offset for _, offset in places.values()), np.uint64, len(places))
        return cls.merged((cls(halves[:, 0], halves[:, 1], segments, offsets),))

    @classmethod
    def merged(cls, runs: Sequence[Run]) -> Run:
        """Of runs that have no key in common. One column after the other, since they may be large."""
        order = np.argsort(np.concatenate([run.high for run in runs]), kind="stable")  # merges what is sorted
        return cls(*(np.concatenate([getattr(run, name) for run in runs])[order] for name in _TYPES))

    def __len__(self) -> int:
        return len(self.high)

    def find(self, high: np.uint64, low: np.uint64) -> Place | None:
        """The place of a key."""
        at = int(self.high.searchsorted(high))
        while at < len(self.high) and self.high[at] == high:
            if self.low[at] == low:
                return int(self.segment[at]), int(self.offset[at])
            at += 1
        return None

    def key(self, at: int) -> bytes:
        """The key of the entry at a position."""
        return int(self.high[at]).to_bytes(8) + int(self.low[at]).to_bytes(8)


class Index:
    """Places by key. One thread at a time may add; any number may look up meanwhile, without waiting.

    Args:
        base: entries to begin with; never copied, so that a mapped run stays shared.
    """

    def __init__(self, base: Run | None = None) -> None:
        self._base = () if base is None else (base,)
        self._grown: tuple[tuple[Run, ...], dict[bytes, Place]] = ((), {})  # replaced together

    def __len__(self) -> int:
        grown, tail = self._grown
        return sum(map(len, self._base + grown)) + len(tail)

    def find(self, key: bytes) -> Place | None:
        """The place of a key of `KEY_SIZE` bytes."""
        grown, tail = self._grown
        place = tail.get(key)
        if place is None:
            high, low = np.uint64(int.from_bytes(key[:8])), np.uint64(int.from_bytes(key[8:]))
            for run in self._base + grown:
                place = run.find(high, low)
                if place is not None:
                    break
        return place

    def add(self, key: bytes, place: Place) -> bool:
        """Adds a key; False where it is there already, which changes nothing."""
        if self.find(key) is not None:
            return False
        grown, tail = self._grown
        tail[key] = place
        if len(tail) >= _TAIL:
            self._grown = (_with(grown, Run.of(tail)), {})
        return True

    def whole(self) -> Run:
        """All entries in one run."""
        grown, tail = self._grown
        runs = self._base + grown + ((Run.of(tail),) if tail else ())
        return runs[0] if len(runs) == 1 else Run.merged(runs or (Run.of({}),))


def _with(runs: tuple[Run, ...], youngest: Run) -> tuple[Run, ...]:
    older = list(runs)
    while older and len(older[-1]) < _RATIO * len(youngest):
        youngest = Run.merged((older.pop(), youngest))
    return (*older, youngest)


@dataclass
class Covered:
    """How far an index knows a segment.

    Args:
        name: of its file.
        read: up to here, in bytes, its lines are in the index.
        live: bytes of the lines that count; the others are damaged, or not the first with their key.
    """

    name: str
    read: int = 0
    live: int = 0


@dataclass(frozen=True)
class Saved:
    """An index as it is kept on disk.

    Args:
        segments: by the numbers that `run` uses.
        totals: plain figures that go with the entries, by a name and their own names.
    """

    run: Run
    segments: list[Covered]
    totals: dict[str, dict[str, int]]

    def save(self, folder: Path) -> None:
        """Replaces the folder's index durably, and removes the one before it."""
        arrays = folder / f"index-{uuid4().hex[:12]}"
        arrays.mkdir()
        for name in _TYPES:
            with (arrays / f"{name}.npy").open("wb") as file:
                np.save(file, getattr(self.run, name))
                file.flush()
                os.fsync(file.fileno())
        sync_folder(arrays)
        manifest = {
            "arrays": arrays.name,
            "entries": len(self.run),
            "checksums": _checksums(self.run),
            "segments": [asdict(segment) for segment in self.segments],
            "totals": self.totals,
        }
        sync_folder(folder)
        write_durably(folder / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        sync_folder(folder)
        _remove_arrays(folder, but=arrays.name)


def load(folder: Path, sizes: Mapping[str, int], check: bool = False) -> Saved | None:
    """The folder's index, its arrays mapped; None where there is none, or where it isn't true of the segments.

    Args:
        sizes: bytes of each segment that is there, by name.
        check: whether to read all of it and compare it with its checksums.
    """
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        run = _mapped(folder / manifest["arrays"])
        saved = Saved(run, [Covered(**segment) for segment in manifest["segments"]], manifest["totals"])
        whole = all(len(getattr(run, name)) == manifest["entries"] for name in _TYPES)
        if not whole or (check and manifest["checksums"] != _checksums(run)):
            return None
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return saved if covers(saved.segments, sizes) else None


def covers(segments: Collection[Covered], sizes: Mapping[str, int]) -> bool:
    """Whether all segments are still there, and none has become shorter than what was read of it."""
    return all(sizes.get(segment.name, -1) >= segment.read for segment in segments)


def discard(folder: Path) -> None:
    """Removes the folder's index; who has it open keeps it."""
    (folder / MANIFEST).unlink(missing_ok=True)
    _remove_arrays(folder)


def _mapped(folder: Path) -> Run:
    arrays = {}
    for name, kind in _TYPES.items():
        array = np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
        if array.dtype != kind or array.ndim != 1:
            raise ValueError(f"{name} is of another type")
        arrays[name] = array
    return Run(**arrays)


def _checksums(run: Run) -> dict[str, int]:
    return {name: zlib.crc32(getattr(run, name).data) for name in _TYPES}


def _remove_arrays(folder: Path, but: str = "") -> None:
    for arrays in folder.glob("index-*"):
        if arrays.name != but:
            shutil.rmtree(arrays, ignore_errors=True)
