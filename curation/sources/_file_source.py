"""What sources of files have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from curation.core.contracts import Source
from curation.sources._files import InputFile, find_files, fingerprint

_SMALLEST, _LARGEST = 1 << 20, 64 << 20
_PARTITIONS = 64
"""Into which an input is cut if it is neither small nor large: enough for several workers, few enough to handle."""


class FileSource(Source):
    """Files, folders and globs, in partitions of a bounded size.

    Args:
        paths: files, folders (searched with all below them) and globs.
        partition_bytes: a partition ends with the row that reaches it; by default `fitting` the input. Changes no row.
        files_per_partition: at most so many small files share a partition; by default `partition_bytes` alone decides.
        num_files: reads only the first so many files, in order of path.
    """

    suffixes: tuple[str, ...]
    """Which files of a folder are read."""

    def __init__(
        self,
        paths: Sequence[str] | str,
        partition_bytes: int | None = None,
        files_per_partition: int | None = None,
        num_files: int | None = None,
    ) -> None:
        limits = {
            "partition_bytes": partition_bytes,
            "files_per_partition": files_per_partition,
            "num_files": num_files,
        }
        for name, limit in limits.items():
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, not {limit}")
        self.paths = [paths] if isinstance(paths, str) else list(paths)
        self.partition_bytes = partition_bytes
        self.files_per_partition = files_per_partition
        self.num_files = num_files

    def files(self) -> list[InputFile]:
        """The files to read.

        Raises:
            InputError: a path stands for none.
        """
        return find_files(self.paths, self.suffixes, self.num_files)

    def size_of_partitions(self, files: Sequence[InputFile]) -> int:
        """In bytes."""
        return self.partition_bytes or fitting(sum(file.path.stat().st_size for file in files))

    def fingerprint(self) -> str:
        """Changes with the files' names, sizes and modification times."""
        return fingerprint(self.files())


def fitting(size: int) -> int:
    """The bytes of a partition for an input of `size` bytes: a few thousand records already keep many workers busy."""
    return min(_LARGEST, max(_SMALLEST, size // _PARTITIONS))


class Piece(Protocol):
    """A run of neighbouring rows of one file."""

    @property
    def file(self) -> InputFile:
        """The file."""

    @property
    def size(self) -> int:
        """Bytes."""


PieceT = TypeVar("PieceT", bound=Piece)


def pack(pieces: Iterable[PieceT], partition_bytes: int, files_per_partition: int | None) -> list[tuple[PieceT, ...]]:
    """Puts neighbouring pieces into one partition, up to both limits; at least one in each."""
    parts: list[list[PieceT]] = []
    size = 0
    for piece in pieces:
        size += piece.size
        names = {other.file.name for other in parts[-1]} if parts else set()
        crowded = files_per_partition is not None and len(names | {piece.file.name}) > files_per_partition
        if not parts or crowded or size > partition_bytes:
            parts.append([])
            size = piece.size
        parts[-1].append(piece)
    return [tuple(part) for part in parts]
