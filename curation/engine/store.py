"""A run on disk: its lock, its stage folders with their manifests, and atomic publishing.

A stage is written into a hidden folder and published by one rename, with everything that belongs to it: the rows
that it hands on (`part-*.parquet`), the rows that leave (`left-*.parquet`), and the files of its decision. Whoever
finds a stage folder finds it whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO
from uuid import uuid4

import orjson

from curation.core.errors import DiskError, LockedError
from curation.core.records import digest

MANIFEST = "manifest.json"
LOCK = ".lock"
_AGAIN = "The same command goes on from where it stopped."


@dataclass(frozen=True)
class Manifest:
    """What a published folder holds and where it comes from.

    Args:
        stage: such as `clean`.
        round: 0 before anything is generated.
        signature: hash of the arguments, the code and the inputs; the same signature means the same content.
        rows_in, rows_out: `rows_in == rows_out + sum(dropped.values())`, checked before publishing.
        dropped: rows in the ledger by reason.
        files: SHA-256 of every file, by name.
        settings: plain values that the content depends on.
        notes: plain values that it does not depend on, for whoever decides whether to make it again.
        seconds: wall-clock time that it took.
    """

    stage: str
    round: int
    signature: str
    rows_in: int
    rows_out: int
    dropped: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a published folder; None where there is none, or an unreadable one."""
        try:
            return cls(**orjson.loads((folder / MANIFEST).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Stage:
    """A published stage."""

    folder: Path
    manifest: Manifest

    @property
    def parts(self) -> list[Path]:
        """The files with the rows that it hands on; within each the rows are sorted by id."""
        return [self.folder / name for name in sorted(self.manifest.files) if name.startswith("part-")]

    @property
    def left(self) -> list[Path]:
        """The files with its ledger entries."""
        return [self.folder / name for name in sorted(self.manifest.files) if name.startswith("left-")]

    @cached_property
    def digest(self) -> str:
        """A hash of the content that it hands on, whatever made it."""
        return digest(*(f"{name}:{sha}" for name, sha in sorted(self.manifest.files.items())))


class Store:
    """The output folder of a run.

    Args:
        root: made where it does not exist.

    Raises:
        DiskError: it can't be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder: the kernel frees the lock when this process ends, however it ends.

        Raises:
            LockedError: another run holds it, with its process id and host.
        """
        with writing(self.root), (self.root / LOCK).open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip() or "another process"
                raise LockedError(
                    f"{self.root} is in use by {owner}: wait until it ends, or choose another --output"
                ) from None
            _sign(file)
            yield

    @contextmanager
    def reading(self, who: str) -> Iterator[bool]:
        """Keeps runs from starting while the folder is read; whether one is at work, which is left alone.

        Args:
            who: the program that reads, as `lock` names it to whom it keeps out.
        """
        try:
            file = (self.root / LOCK).open("r+")
        except FileNotFoundError:  # no run has ever held it
            yield False
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                yield True
                return
            _sign(file, f" ({who})")
            yield False

    def stage_folder(self, name: str, round_number: int) -> Path:
        """Where a stage is published, such as `stages/round-00/20-clean`."""
        return self.root / "stages" / f"round-{round_number:02d}" / name

    def find(self, folder: Path, signature: str) -> Manifest | None:
        """The manifest of a folder that was published with this signature and still has all its files."""
        manifest = Manifest.read(folder)
        if manifest is None or manifest.signature != signature:
            return None
        return manifest if all((folder / name).is_file() for name in manifest.files) else None

    def withdraw(self, folder: Path) -> None:
        """Takes back what was published: without its manifest a folder counts as not there."""
        with writing(folder):
            (folder / MANIFEST).unlink()

    @contextmanager
    def workspace(self, folder: Path) -> Iterator[Path]:
        """An empty hidden folder beside `folder`, for `publish`; removed where it isn't published.

        Its name is never used again: a worker that has outlived its driver may still write into an earlier try's.
        """
        hidden = folder.with_name(f".{folder.name}.{uuid4().hex}.tmp")
        with writing(hidden):
            for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):
                shutil.rmtree(leftover, ignore_errors=True)
            hidden.mkdir(parents=True)
            try:
                yield hidden
            finally:
                shutil.rmtree(hidden, ignore_errors=True)

    def publish(self, workspace: Path, folder: Path, manifest: Manifest) -> Manifest:
        """Makes the workspace durable and swaps it in for `folder`; the manifest gets the files' checksums.

        Hidden files are what tries that were lost have left: they are removed.
        """
        with writing(folder):
            for stray in workspace.rglob(".*"):
                stray.unlink()
            files = [path for path in sorted(workspace.rglob("*")) if path.is_file()]
            sums = {path.relative_to(workspace).as_posix(): sha256_of(path) for path in files}
            full = Manifest(**{**asdict(manifest), "files": sums})
            write_durably(workspace / MANIFEST, _pretty(asdict(full)))
            for path in files:
                _sync(path)
            _sync(workspace)
            old = folder.with_name(f".{folder.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            if folder.exists():
                folder.rename(old)
            workspace.rename(folder)
            _sync(folder.parent)
            shutil.rmtree(old, ignore_errors=True)
        return full


def _sign(file: TextIO, more: str = "") -> None:
    """Writes into the lock who holds it."""
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}{more}")
    file.flush()


def write_durably(path: Path, data: bytes) -> None:
    """Writes a whole file or nothing: a reader never sees a part of it, not even after a power cut."""
    with writing(path):
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes readable JSON durably."""
    write_durably(path, _pretty(value))


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the system's errors about a place on disk into one message with a way out."""
    try:
        yield
    except OSError as error:
        ways_out = {
            errno.ENOSPC: f"the disk is full: free some space. {_AGAIN}",
            errno.EDQUOT: f"the disk quota is used up: free some space. {_AGAIN}",
            errno.EROFS: "the file system is read-only: choose another --output",
            errno.EACCES: "it may not be written: choose another --output, or change its permissions",
            errno.ENOTDIR: "a file stands where a folder should: choose another --output",
            errno.EEXIST: "a file stands where a folder should: choose another --output",
        }
        if error.errno in ways_out:
            raise DiskError(f"{_visible(Path(error.filename or path))}: {ways_out[error.errno]}") from error
        raise


def _visible(path: Path) -> Path:
    """The path up to where names begin that only this package knows: workspaces and temporary files."""
    hidden = [place for place in (path, *path.parents) if place.name.startswith(".") and place.suffix == ".tmp"]
    return hidden[-1].parent if hidden else path


def _pretty(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _sync(path: Path) -> None:
    """Flushes a file, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
