"""Every model reply, kept as it arrives and keyed by its request, so that nothing is ever paid for twice.

A journal is a folder of append-only segments, JSON lines, one writer each: no two processes ever write to the same
file, so it is safe on a shared file system. A line counts once its line end is there; a line that a crash has torn
is passed over, and nothing is ever appended behind it, since every writer begins a segment of its own. `put` returns
when the line is on the disk (`fsync`); puts that come during an `fsync` share the next one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.errors import DiskError
from curation.core.records import digest, to_json
from curation.engine.guard import Tally

Place = tuple[Path, int]
"""A segment, and the offset of a line in it."""


class Journal:
    """The journal in a folder. Cheap to make and to pickle: handles of one folder share their state in a process.

    Args:
        folder: created with the first reply.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.refresh()

    def __reduce__(self) -> tuple[type[Journal], tuple[Path]]:
        return type(self), (self.folder,)

    @staticmethod
    def key(messages: Sequence[Message], sampling: Mapping[str, Any], model: str, sample_index: int = 0) -> str:
        """The request's identity: everything that the reply depends on, and nothing else (no address, no key).

        Args:
            sample_index: tells apart several replies that are wanted for one request.
        """
        asked = {name: value for name, value in sampling.items() if value is not None}
        request = {"messages": list(messages), "model": model, "sampling": asked, "sample_index": sample_index}
        return digest(to_json(request))

    def get(self, key: str) -> Completion | None:
        """The reply to a request, where the journal holds one."""
        place = self._state.places.get(key)
        if place is None:
            return None
        segment, offset = place
        try:
            with segment.open("rb") as lines:
                lines.seek(offset)
                return _completion_of(lines.readline())
        except OSError as error:
            raise DiskError(f"the journal {segment} can't be read any more: {error.strerror}") from error

    async def put(
        self, key: str, messages: Sequence[Message], sampling: Mapping[str, Any], model: str, completion: Completion
    ) -> None:
        """Keeps a reply; it is on the disk when this returns.

        Raises:
            DiskError: it can't be written.
        """
        line = {
            "key": key,
            "model": model,
            "messages": list(messages),
            "sampling": dict(sampling),
            "completion": completion.to_dict(),
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        written = self._state.write(key, to_json(line).encode() + b"\n")
        await asyncio.shield(asyncio.wrap_future(written))

    def claim(self, key: str) -> tuple[Future[Completion], bool]:
        """The one request in flight for `key` in this process, and whether the caller is the one to send it.

        Who sends it sets the future's result or exception and then calls `release`.
        """
        return self._state.claim(key)

    def release(self, key: str) -> None:
        """The request for `key` is over."""
        self._state.flights.pop(key, None)

    def refresh(self) -> None:
        """Learns what other processes have written since the last time."""
        self._state.refresh()

    def __len__(self) -> int:
        return len(self._state.places)

    def close(self) -> None:
        """Closes this process's segment; the next reply begins another one."""
        self._state.close()

    @property
    def _state(self) -> _State:
        return _state_of(self.folder)


class Journaled(ChatModel):
    """A model whose replies are kept: what the journal holds is not asked for again.

    Equal requests that are made at the same time anywhere in this process are sent once. Failures are not kept.

    Args:
        model: asked for what the journal lacks; best a `Guard`, so that only whole replies are kept.
        journal: where replies are kept.
        tally: counts `journal_hits`.
    """

    def __init__(self, model: ChatModel, journal: Journal, tally: Tally | None = None) -> None:
        self.name = model.name
        self.model = model
        self.journal = journal
        self.tally = tally or Tally()

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """The kept reply, or the model's, which is on the disk before it is handed over."""
        key = self.journal.key(messages, sampling, self.name)
        while True:
            kept = self.journal.get(key)
            if kept is not None:
                self.tally.journal_hits += 1
                return kept
            flight, mine = self.journal.claim(key)
            if mine:
                return await self._ask(key, flight, messages, sampling)
            try:
                return await asyncio.shield(asyncio.wrap_future(flight))
            except _AbandonedError:
                continue  # who was asking has been cancelled

    async def close(self) -> None:
        """Closes the model. The journal stays open for the other partitions of this process."""
        await self.model.close()

    async def _ask(
        self, key: str, flight: Future[Completion], messages: Sequence[Message], sampling: dict[str, Any]
    ) -> Completion:
        try:
            # Another thread may have finished between this one's look and its claim.
            completion = self.journal.get(key)
            if completion is None:
                completion = await self.model.chat(messages, **sampling)
                await self.journal.put(key, messages, sampling, self.name, completion)
        except BaseException as error:
            flight.set_exception(error if isinstance(error, Exception) else _AbandonedError())
            raise
        finally:
            self.journal.release(key)
        flight.set_result(completion)
        return completion


class _AbandonedError(Exception):
    """The request was cancelled before its reply was there."""


class _State:
    """One folder's index, writer and requests in flight, for all threads of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places: dict[str, Place] = {}
        self.flights: dict[str, Future[Completion]] = {}
        self._read_up_to: dict[Path, int] = {}
        self._writer: _Writer | None = None
        self._lock = threading.Lock()

    def claim(self, key: str) -> tuple[Future[Completion], bool]:
        with self._lock:
            mine = key not in self.flights
            if mine:
                self.flights[key] = Future()
            return self.flights[key], mine

    def write(self, key: str, line: bytes) -> Future[None]:
        with self._lock:
            if self._writer is None:
                self._writer = _Writer(self)
            return self._writer.write(key, line)

    def close(self) -> None:
        with self._lock:
            self._close_writer()

    def appended(self, lines: Sequence[_Line]) -> None:
        """Told by the writer what is now on the disk."""
        for line in lines:
            self.places.setdefault(line.key, (line.segment, line.start))
            self._read_up_to[line.segment] = line.end

    def refresh(self) -> None:
        """Reads what is new in the segments, in the order of their names: the first reply to a request counts."""
        with self._lock:
            try:
                segments = sorted(self.folder.glob("*.jsonl"))
                if not self._read_up_to.keys() <= set(segments):
                    self._forget()
                for segment in segments:
                    self._index(segment)
            except OSError as error:
                raise DiskError(f"the journal {self.folder} can't be read: {error.strerror}") from error

    def _forget(self) -> None:
        """Somebody has removed a segment: what is known of the folder is no longer true."""
        self._close_writer()
        self.places.clear()
        self._read_up_to.clear()

    def _close_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _index(self, segment: Path) -> None:
        offset = self._read_up_to.get(segment, 0)
        if segment.stat().st_size == offset:
            return
        for start, line in _whole_lines(segment, offset):
            key = _key_of(line)
            if key is not None:
                self.places.setdefault(key, (segment, start))
            offset = start + len(line)
        self._read_up_to[segment] = offset


class _Writer:
    """This process's segment. A line is handed to the operating system at once, so that it outlives this process;
    a thread then brings it to the disk, and lines that come while it does so share its next `fsync`."""

    def __init__(self, state: _State) -> None:
        self._state = state
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._lock = threading.Lock()
        self._file: int | None = None
        self._segment = Path()
        self._end = 0
        self._unsynced: dict[int, list[_Line]] = {}

    def write(self, key: str, line: bytes) -> Future[None]:
        written: Future[None] = Future()
        with self._lock:
            try:
                file = self._file = self._create() if self._file is None else self._file
                _write_all(file, line)
            except OSError as error:
                self._retire()
                written.set_exception(self._failure(error))
                return written
            group = self._unsynced.setdefault(file, [])
            group.append(_Line(key, self._segment, self._end, self._end + len(line), written))
            self._end += len(line)
            if len(group) == 1:
                self._thread.submit(self._sync, file)
        return written

    def close(self) -> None:
        with self._lock:
            self._retire()
        self._thread.shutdown(wait=True)

    def _sync(self, file: int) -> None:
        with self._lock:
            group = self._unsynced.pop(file)
        try:
            os.fsync(file)
        except OSError as error:
            with self._lock:
                if file == self._file:
                    self._retire()
            for line in group:
                line.written.set_exception(self._failure(error))
            return
        self._state.appended(group)
        for line in group:
            line.written.set_result(None)

    def _create(self) -> int:
        """A new segment, whose name no other process has; its entry in the folder is on the disk too."""
        folder = self._state.folder
        folder.mkdir(parents=True, exist_ok=True)
        self._segment = folder / f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:12]}.jsonl"
        self._end = 0
        file = os.open(self._segment, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
        return file

    def _retire(self) -> None:
        """Nothing more goes into the segment: what it ends with may be torn. Closed after what waits to be synced."""
        file, self._file = self._file, None
        if file is not None:
            self._thread.submit(os.close, file)

    def _failure(self, error: OSError) -> DiskError:
        return DiskError(
            f"the journal {self._state.folder} can't be written: {error.strerror}. What it holds stays valid; make "
            "room or mend the folder, and the same command goes on from here."
        )


@dataclass(frozen=True)
class _Line:
    """A line on its way to the disk: where it begins and ends, and who waits for it."""

    key: str
    segment: Path
    start: int
    end: int
    written: Future[None]


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


_states: dict[tuple[int, Path], _State] = {}
_states_lock = threading.Lock()


def _state_of(folder: Path) -> _State:
    """This process's state of a folder; a forked process has none of its parent's."""
    name = (os.getpid(), folder.absolute())
    with _states_lock:
        if name not in _states:
            _states[name] = _State(name[1])
        return _states[name]


def _whole_lines(segment: Path, offset: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line that has its end."""
    with segment.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            yield offset, line
            offset += len(line)


def _key_of(line: bytes) -> str | None:
    """The key of a line; None where it is damaged."""
    try:
        value = orjson.loads(line)
        Completion.from_dict(value["completion"])
        key = value["key"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return key if isinstance(key, str) else None


def _completion_of(line: bytes) -> Completion:
    return Completion.from_dict(orjson.loads(line)["completion"])
