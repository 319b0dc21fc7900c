"""Finds input files, opens them, and says what is wrong with a path."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from curation.core.errors import InputError
from curation.core.records import digest

COMPRESSIONS = (".gz", ".zst")
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class InputFile:
    """One file of a source.

    Args:
        path: where it lies.
        name: its path below the deepest folder that all files of the source share: unique among them, and the
            same wherever that folder lies.
    """

    path: Path
    name: str

    @property
    def compressed(self) -> bool:
        """Whether it must be read from the start, so that it makes one partition."""
        return self.path.suffix in COMPRESSIONS


def find_files(paths: Sequence[str], suffixes: tuple[str, ...], limit: int | None = None) -> list[InputFile]:
    """The files that `paths` stand for, sorted by path, each once.

    Args:
        paths: files (with any suffix), folders (searched with all below them) and globs (`**` goes any depth).
        suffixes: which files of a folder count, before a suffix of `COMPRESSIONS`.
        limit: only the first so many.

    Raises:
        InputError: a path is missing, unreadable, or stands for no file.
    """
    if not paths:
        raise InputError("no input is named: pass --input PATH (files, folders or globs)")
    files = {Path(os.path.normpath(file.absolute())) for path in paths for file in _expand(path, suffixes)}
    chosen = sorted(files)[:limit]
    shared = os.path.commonpath([file.parent for file in chosen])
    return [InputFile(file, file.relative_to(shared).as_posix()) for file in chosen]


def _expand(path: str, suffixes: tuple[str, ...]) -> Iterator[Path]:
    if Path(path).is_dir():
        files = list(_walk(path, suffixes))
        if not files:
            raise InputError(
                f"the folder {path} has no file that ends in {', '.join(suffixes)} (or these and .gz, .zst)"
            )
        yield from files
    elif Path(path).exists():
        yield Path(path)
    elif glob.has_magic(path):
        matches = [file for file in map(Path, glob.glob(path, recursive=True)) if file.is_file()]  # noqa: PTH207
        if not matches:
            raise InputError(f"no file matches {path} (seen from {Path.cwd()}): correct the pattern, or quote it")
        yield from matches
    else:
        raise InputError(f"there is no {path} (seen from {Path.cwd()}): correct the path in --input")


def _walk(folder: str, suffixes: tuple[str, ...]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:  # os.walk would pass over what it may not read
        raise InputError(f"the folder {error.filename} can't be read: {error.strerror}") from error

    endings = tuple(suffix + compression for suffix in suffixes for compression in ("", *COMPRESSIONS))
    for where, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in files if name.endswith(endings) and not name.startswith("."))


def open_stream(path: Path) -> IO[bytes]:
    """The file's bytes, decompressed by its suffix.

    Raises:
        InputError: it can't be opened.
    """
    try:
        if path.suffix not in COMPRESSIONS:
            return path.open("rb")
        import pyarrow as pa  # unlike zstandard's and gzip's readers in one respect: a truncated file is an error

        return io.BufferedReader(pa.input_stream(str(path), compression="detect"), 1 << 20)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def beginning(file: InputFile) -> bytes:
    """The first two bytes of the file that are not blank: fewer in an empty file.

    Raises:
        InputError: the file is unreadable or damaged.
    """
    start = b""
    with open_stream(file.path) as stream:
        try:
            while len(start) < 2 and (block := stream.read(4096)):
                start += b"".join(block.removeprefix(BOM).split())[:2]
        except OSError as error:
            raise damaged(file, 0, error) from error
    return start[:2]


def damaged(file: InputFile, line: int, error: OSError) -> InputError:
    """What to say of a compressed file that breaks off."""
    return InputError(f"{file.path} is damaged or cut short after line {line} ({error}): fetch or compress it again")


def fingerprint(files: Sequence[InputFile]) -> str:
    """Changes when a file is renamed, resized or rewritten; not when the folder moves."""
    stats = [(file.name, file.path.stat()) for file in files]
    return digest(*(part for name, stat in stats for part in (name, stat.st_size, stat.st_mtime_ns)))
