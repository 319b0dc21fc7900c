"""One process's append-only segment of lines in a folder: what is appended is on the disk before anybody relies on it.

No two processes ever write to the same file, so a folder of segments is safe on a shared file system. Lines that come
within one iteration of an event loop are handed to the operating system by one `write` at its end, so that they
outlive this process (lines that nobody waits for, a few milliseconds later); a thread then brings them to the disk
(group commit), and lines that come while it does so share its next `fsync`. Who waits for them is told once for each
event loop, however many lines there were.

After an error nothing more goes into the segment, since what it ends with may be torn: the next line begins another
one. A segment that somebody writes is locked until it is closed or its process ends, however it ends (`is_closed`).
It appears in the folder when its lock is held, so there is no moment at which it seems to be nobody's.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import uuid4

from curation.core.errors import DiskError

SUFFIX: Final = ".jsonl"
_GATHER: Final = 0.005
"""Seconds for which lines are gathered before each `fsync`: it costs more processor time than all else of a line."""


class Written(NamedTuple):
    """Where a line is: `end` is the offset behind its line end."""

    segment: Path
    start: int
    end: int


Placed = Callable[[Written], None]


class Appender:
    """Appends to one segment at a time. Any number of threads and event loops may use it.

    Args:
        folder: created with the first line.
        what: names the folder in messages, such as `the journal`.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self.folder = folder
        self.what = what
        self._lock = threading.Lock()
        self._pending: dict[asyncio.AbstractEventLoop, list[_Line]] = {}
        self._segment: _Segment | None = None
        self._untold: OSError | None = None

    @property
    def segment(self) -> Path | None:
        """What is being written; None before the first line, and after an error or `close`."""
        segment = self._segment
        return None if segment is None else segment.path

    def append(self, line: bytes, placed: Placed | None = None) -> asyncio.Future[Written]:
        """Takes a line, with its line end; what comes back is awaited for its being on the disk.

        Args:
            placed: called in another thread once the line is on the disk and before who waits is told, also where
                nobody waits any more.

        Raises:
            DiskError: when awaited, if it can't be written.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Written] = loop.create_future()
        self._take(loop, _Line(line, waiter, placed))
        return waiter

    def write(self, line: bytes) -> None:
        """Takes a line that nobody waits for: the operating system has it `_GATHER` later, or with the next `append`.

        Raises:
            DiskError: it can't be written, or an earlier line could not that nobody waited for.
        """
        untold, self._untold = self._untold, None
        if untold is not None:
            raise self._failure(untold)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write_at_once(line)
        else:
            self._take(loop, _Line(line, None, None))

    def close(self) -> None:
        """Brings everything to the disk and closes the segment; the next line begins another one."""
        with self._lock:
            self._hand_over()
            segment = self._retire()
        if segment is not None:
            segment.thread.shutdown(wait=True)

    def _take(self, loop: asyncio.AbstractEventLoop, line: _Line) -> None:
        with self._lock:
            lines = self._pending.setdefault(loop, [])
            urgent = line.waiter is not None and not any(other.waiter is not None for other in lines[-1:])
            if urgent:
                loop.call_soon(self._flush)
            elif not lines:
                loop.call_later(_GATHER, self._flush)
            lines.append(line)

    def _flush(self) -> None:
        with self._lock:
            self._hand_over()

    def _hand_over(self) -> None:
        """Hands what all event loops have brought to the operating system."""
        if not self._pending:
            return
        lines = [line for group in self._pending.values() for line in group]
        self._pending.clear()
        try:
            segment, start = self._write(b"".join([line.data for line in lines]))
        except OSError as error:
            if any(line.waiter is None for line in lines):
                self._untold = error
            self._fail([line.waiter for line in lines if line.waiter is not None], error)
            return
        waiting = []
        for data, waiter, placed in lines:
            end = start + len(data)
            if waiter is not None:
                waiting.append(_Waiting(waiter, placed, Written(segment.path, start, end)))
            start = end
        if waiting and not segment.unsynced:
            segment.thread.submit(self._sync, segment)
        segment.unsynced += waiting

    def _write_at_once(self, line: bytes) -> None:
        with self._lock:
            self._hand_over()
            try:
                self._write(line)
            except OSError as error:
                raise self._failure(error) from error

    def _write(self, data: bytes) -> tuple[_Segment, int]:
        """The segment that got the bytes, and where they begin in it."""
        try:
            segment = self._segment = self._segment or _Segment(self.folder)
            start, rest = segment.end, memoryview(data)
            while rest:
                rest = rest[os.write(segment.file, rest) :]
        except OSError:
            self._retire()
            raise
        segment.end = start + len(data)
        return segment, start

    def _sync(self, segment: _Segment) -> None:
        time.sleep(_GATHER)
        with self._lock:
            waiting, segment.unsynced = segment.unsynced, []
        try:
            os.fsync(segment.file)
        except OSError as error:
            with self._lock:
                if segment is self._segment:
                    self._retire()
            self._fail([one.waiter for one in waiting], error)
            return
        try:
            for one in waiting:
                if one.placed is not None:
                    one.placed(one.written)
        finally:
            for loop, ours in _by_loop(waiting).items():
                _tell(loop, _set_results, ours)

    def _retire(self) -> _Segment | None:
        """Nothing more goes into the segment. It is closed after what waits to be synced."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.thread.submit(os.close, segment.file)
            segment.thread.shutdown(wait=False)
        return segment

    def _fail(self, waiters: Sequence[asyncio.Future[Written]], error: OSError) -> None:
        def fail(waiter: asyncio.Future[Written]) -> None:
            if not waiter.done():
                waiter.set_exception(self._failure(error))

        for waiter in waiters:
            _tell(waiter.get_loop(), fail, waiter)

    def _failure(self, error: OSError) -> DiskError:
        return DiskError(
            f"{self.what} {self.folder} can't be written: {error.strerror}. What it holds stays valid; make room or "
            "mend the folder, and the same command goes on from here."
        )


class _Line(NamedTuple):
    """A line that the operating system does not have yet."""

    data: bytes
    waiter: asyncio.Future[Written] | None
    placed: Placed | None


class _Waiting(NamedTuple):
    """A line on its way to the disk."""

    waiter: asyncio.Future[Written]
    placed: Placed | None
    written: Written


class _Segment:
    """A new file, whose name no other process has, and the thread that brings it to the disk.

    Its entry in the folder is on the disk too.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:12]}{SUFFIX}"
        hidden = folder / f".{name}.tmp"
        self.path = folder / name
        self.end = 0
        self.unsynced: list[_Waiting] = []
        self.file = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            with suppress(OSError):  # a file system without locks: its folder has no other protection either
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.rename(self.path)
            sync_folder(folder)
        except OSError:
            os.close(self.file)
            raise
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="append")


def is_closed(segment: Path) -> bool:
    """Whether no process writes to a segment any more; False where that can't be found out."""
    try:
        with segment.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Brings a folder's entries to the disk."""
    entries = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entries)
    finally:
        os.close(entries)


def _by_loop(waiting: Sequence[_Waiting]) -> dict[asyncio.AbstractEventLoop, list[_Waiting]]:
    found: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
    for one in waiting:
        found.setdefault(one.waiter.get_loop(), []).append(one)
    return found


def _set_results(waiting: Sequence[_Waiting]) -> None:
    for waiter, _, written in waiting:
        if not waiter.done():
            waiter.set_result(written)


def _tell(loop: asyncio.AbstractEventLoop, settle: Callable[[Any], None], value: Any) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle, value)
