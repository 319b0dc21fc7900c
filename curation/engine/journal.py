"""Every model reply, kept as it arrives and keyed by its request, so that nothing is ever paid for twice.

A journal is a folder of append-only segments, JSON lines, one writer each (`engine/append.py`): no two processes ever
write to the same file, so it is safe on a shared file system. A line counts once its line end is there; a line that a
crash has torn is passed over, and nothing is ever appended behind it, since every writer begins a segment of its own.
`put` returns when the line is on the disk; puts that come at the same time share its `fsync`. Of several replies to
one request the first counts: segments are read in the order of their names.

Where each key's line is stands in an index (`engine/index.py`), which is saved beside the segments: a journal of
millions of replies is opened without reading it, but for what came after the index was saved. Before a run begins,
`compact` brings the index up to date and joins segments that are small and many, or hold much that does not count.
It never changes a reply: what it writes is hidden until it is on the disk, then appears under names that come before
all others, and only then what it replaces is removed. So wherever it is stopped, each line that counts is in a
segment, at worst in two. The index is a cache: one that is missing, stale or damaged is made again from the segments.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, NamedTuple
from uuid import uuid4

import numpy as np
import orjson

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.errors import DiskError
from curation.core.records import digest, to_json
from curation.engine.append import SUFFIX, Appender, Written, is_closed, sync_folder
from curation.engine.index import KEY_SIZE, Covered, Index, Run, Saved, covers, discard, load
from curation.engine.spending import Tally
from curation.engine.store import writing

_MANY: Final = 32
"""Small segments that are not worth joining yet."""
_SMALL: Final = 64 << 20
"""Bytes of a segment that is not small any more."""
_LARGE: Final = 1 << 30
"""Bytes after which joining begins another segment."""
_WASTE: Final = 0.1
"""Share of a segment, damaged lines and later replies to a request, that is worth rewriting it."""


class Journal:
    """The journal in a folder. Cheap to make and to pickle: handles of one folder share their state in a process.

    Args:
        folder: created with the first reply.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self._state = _state_of(self.folder)
        self.refresh()

    def __reduce__(self) -> tuple[type[Journal], tuple[Path]]:
        return type(self), (self.folder,)

    @staticmethod
    def key(messages: Sequence[Message], sampling: Mapping[str, Any], model: str, sample_index: int = 0) -> str:
        """The request's identity: everything that the reply depends on, and nothing else (no address, no key).

        Args:
            sample_index: tells apart several replies that are wanted for one request.

        Returns:
            32 hexadecimal characters.
        """
        asked = {name: value for name, value in sampling.items() if value is not None}
        request = {"messages": list(messages), "model": model, "sampling": asked, "sample_index": sample_index}
        return digest(to_json(request))

    def get(self, key: str) -> Completion | None:
        """The reply to a request, where the journal holds one."""
        try:
            return self._state.find(key)
        except OSError as error:
            raise DiskError(f"the journal {error.filename} can't be read any more: {error.strerror}") from error

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
            "completion": {**vars(completion), "usage": vars(completion.usage)},
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        await self._state.append(_Entry(bytes.fromhex(key), model, completion), to_json(line).encode() + b"\n")

    def claim(self, key: str) -> tuple[Flight, bool]:
        """The one request in flight for `key` in this process, and whether the caller is the one to send it.

        Who sends it must `land` it.
        """
        mine = Flight()
        flight = self._state.flights.setdefault(key, mine)
        return flight, flight is mine

    def outcome(self, flight: Flight) -> Future[Completion] | None:
        """What becomes of somebody else's request; None where it has landed already."""
        with self._state.lock:
            if not flight.landed:
                flight.outcome = flight.outcome or Future()
            return flight.outcome

    def land(self, key: str, flight: Flight, end: Completion | Exception) -> None:
        """The request for `key` is over: who waits for it is told."""
        with self._state.lock:
            flight.landed = True
            self._state.flights.pop(key, None)
        if flight.outcome is None:
            return
        if isinstance(end, Exception):
            flight.outcome.set_exception(end)
        else:
            flight.outcome.set_result(end)

    def refresh(self) -> None:
        """Learns what other processes have written since the last time."""
        self._state.refresh()

    def compact(self) -> None:
        """Saves the index of all segments, and joins those that are small and many or hold much that does not count.

        For the driver at the start of a run, while it holds the lock of the output folder, so that no writer is
        alive. A process that a lost driver has left behind loses nothing: what it still writes is left as it is.

        Raises:
            DiskError: it can't be written; the journal is as good as it was.
        """
        self._state.compact()

    def totals(self) -> dict[str, dict[str, int]]:
        """By model: `replies`, `prompt_tokens` and `completion_tokens` of all replies that count."""
        return self._state.known.totals_by_model()

    def __len__(self) -> int:
        return len(self._state.known.index)

    def close(self) -> None:
        """Closes this process's segment; the next reply begins another one."""
        self._state.close()


class Flight:
    """A request that is out; what becomes of it is kept for whoever else wants its reply."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = False
        self.outcome: Future[Completion] | None = None


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
        self._identity = model.identity
        self.tally = tally or Tally()

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """The kept reply, or the model's, which is on the disk before it is handed over."""
        key = self.journal.key(messages, sampling, self._identity)
        while True:
            flight, mine = self.journal.claim(key)
            if mine:
                return await self._answer(key, flight, messages, sampling)
            outcome = self.journal.outcome(flight)
            if outcome is None:
                continue
            try:
                return await asyncio.shield(asyncio.wrap_future(outcome))
            except _AbandonedError:
                continue  # who was asking has been cancelled

    async def close(self) -> None:
        """Closes the model. The journal stays open for the other partitions of this process."""
        await self.model.close()

    async def _answer(
        self, key: str, flight: Flight, messages: Sequence[Message], sampling: dict[str, Any]
    ) -> Completion:
        end: Completion | Exception = _AbandonedError()
        try:
            completion = self.journal.get(key)
            if completion is not None:
                self.tally.journal_hits += 1
            else:
                completion = await self.model.chat(messages, **sampling)
                await self.journal.put(key, messages, sampling, self.name, completion)
            end = completion
        except Exception as error:
            end = error
            raise
        finally:
            self.journal.land(key, flight, end)
        return completion


class _AbandonedError(Exception):
    """The request was cancelled before its reply was there."""


class _StaleError(DiskError):
    """The index says of a line what isn't true."""


class _Entry(NamedTuple):
    """What a line holds; the key as bytes."""

    key: bytes
    model: str
    completion: Completion


class _State:
    """One folder's index, writer and requests in flight, for all threads of one process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flights: dict[str, Flight] = {}
        self.known = _Known(folder, None)
        self._appender = Appender(folder, "the journal")
        self.lock = threading.Lock()

    def append(self, entry: _Entry, line: bytes) -> asyncio.Future[Written]:
        return self._appender.append(line, partial(self._placed, entry))

    def find(self, key: str) -> Completion | None:
        number, known = bytes.fromhex(key), self.known
        try:
            return known.find(number)
        except FileNotFoundError:  # another process has joined segments
            self.refresh()
        except _StaleError:
            self._rebuild(known)
        return self.known.find(number)

    def close(self) -> None:
        with self.lock:
            self._appender.close()

    def refresh(self) -> None:
        with self.lock, _reading(self.folder):
            sizes = _sizes(self.folder)
            if self.known.segments and covers(self.known.segments, sizes):
                self._read_others(self.known)
            else:  # the first time, or somebody has removed a segment
                self._renew(load(self.folder, sizes))

    def compact(self) -> None:
        with self.lock, writing(self.folder):
            self._appender.close()
            for leftover in self.folder.glob(".*.tmp"):
                leftover.unlink()
            sizes, known = _sizes(self.folder), self.known
            if known.began_saved or not covers(known.segments, sizes):
                known = _Known(self.folder, load(self.folder, sizes, check=True))
            try:
                _compact(known)
            except _StaleError:
                discard(self.folder)
                _compact(_Known(self.folder, None))
            self._renew(load(self.folder, _sizes(self.folder)))

    def _placed(self, entry: _Entry, written: Written) -> None:
        self.known.learn(written.segment.name, written.start, written.end, entry)

    def _rebuild(self, stale: _Known) -> None:
        with self.lock, _reading(self.folder):
            if self.known is stale:
                discard(self.folder)
                self._renew(None)

    def _renew(self, saved: Saved | None) -> None:
        """Learns the folder from the start. What this process writes meanwhile is in one of the two readings."""
        fresh = _Known(self.folder, saved)
        self._read_others(fresh)
        self.known = fresh
        self._appender.close()
        self._read_others(fresh)

    def _read_others(self, known: _Known) -> None:
        """Reads what is new, but for the segment that this process writes: its lines count once they are synced."""
        sizes = _sizes(self.folder)
        own = self._appender.segment
        known.read({name: size for name, size in sizes.items() if own is None or name != own.name})


class _Known:
    """What is known of a folder: where each key's line is, how far each segment was read, totals by model.

    Args:
        saved: what to begin with.
    """

    def __init__(self, folder: Path, saved: Saved | None) -> None:
        self.folder = folder
        self.index = Index(saved.run if saved else None)
        self.segments = saved.segments if saved else []
        self.began_saved = saved is not None
        self.has_news = False
        self._totals = saved.totals if saved else {}
        self._numbers = {segment.name: number for number, segment in enumerate(self.segments)}
        self._lock = threading.Lock()

    def find(self, key: bytes) -> Completion | None:
        """The reply with a key.

        Raises:
            FileNotFoundError: its segment is gone.
            _StaleError: its line is not where it should be.
        """
        place = self.index.find(key)
        if place is None:
            return None
        number, offset = place
        if number < len(self.segments) and offset < self.segments[number].read:
            with (self.folder / self.segments[number].name).open("rb") as lines:
                lines.seek(offset)
                entry = _entry_of(lines.readline())
            if entry is not None and entry.key == key:
                return entry.completion
        raise _StaleError(f"the journal {self.folder} has changed under its index")

    def learn(self, name: str, start: int, end: int, entry: _Entry | None) -> None:
        """A line is in a segment; None is one that is damaged."""
        with self._lock:
            number = self._number(name)
            segment = self.segments[number]
            segment.read = max(segment.read, end)
            self.has_news = True
            if entry is not None and self.index.add(entry.key, (number, start)):
                segment.live += end - start
                self._count(entry.model, entry.completion.usage)

    def read(self, sizes: Mapping[str, int]) -> None:
        """Learns what is new in the segments, in the order of their names."""
        for name in sorted(sizes):
            with self._lock:
                offset = self.segments[self._number(name)].read
            if sizes[name] > offset:
                for start, line in _whole_lines(self.folder / name, offset):
                    self.learn(name, start, start + len(line), _entry_of(line))

    def totals_by_model(self) -> dict[str, dict[str, int]]:
        with self._lock:
            return {model: dict(self._totals[model]) for model in sorted(self._totals)}

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self.segments))
        if number == len(self.segments):
            self.segments.append(Covered(name))
        return number

    def _count(self, model: str, usage: Usage) -> None:
        total = self._totals.setdefault(model, {"replies": 0, "prompt_tokens": 0, "completion_tokens": 0})
        total["replies"] += 1
        for name, tokens in vars(usage).items():
            total[name] += tokens if isinstance(tokens, int) else 0


def _compact(known: _Known) -> None:
    """`Journal.compact`.

    Raises:
        _StaleError: what is known is not true; nothing has been removed.
    """
    folder, sizes = known.folder, _sizes(known.folder)
    known.read(sizes)
    superseded = _worth_joining(known, sizes)
    if not (known.has_news or superseded):
        return
    run, segments = known.index.whole(), known.segments
    if superseded:
        run, segments = _join(folder, run, segments, superseded)
    Saved(run, segments, known.totals_by_model()).save(folder)
    for number in superseded:
        (folder / known.segments[number].name).unlink()
    sync_folder(folder)


def _worth_joining(known: _Known, sizes: Mapping[str, int]) -> list[int]:
    """The numbers of segments, ascending; none that somebody still writes."""
    all_sizes = [sizes[segment.name] for segment in known.segments]
    chosen = {
        number
        for number, (segment, size) in enumerate(zip(known.segments, all_sizes, strict=True))
        if size - segment.live > _WASTE * size
    }
    small = {number for number, size in enumerate(all_sizes) if size < _SMALL}
    if len(small) > _MANY:
        chosen |= small
    return sorted(number for number in chosen if is_closed(known.folder / known.segments[number].name))


def _join(folder: Path, run: Run, segments: Sequence[Covered], joined: Sequence[int]) -> tuple[Run, list[Covered]]:
    """Copies the lines that count into new segments, published and on the disk when this returns.

    Returns:
        The entries with their new places, and the segments by their new numbers.
    """
    kept = [segment for number, segment in enumerate(segments) if number not in set(joined)]
    numbers = {segment.name: number for number, segment in enumerate(kept)}
    renumbered = np.array([numbers.get(segment.name, 0) for segment in segments], np.uint32)
    entries = np.flatnonzero(np.isin(run.segment, joined))
    entries = entries[np.lexsort((run.offset[entries], run.segment[entries]))]
    bounds = np.searchsorted(run.segment[entries], np.asarray(joined)[1:])
    segment, offset = renumbered[run.segment], run.offset.copy()
    with _Joined(folder) as output:
        for number, here in zip(joined, np.split(entries, bounds), strict=True):
            lines = _lines_at(folder / segments[number].name, run.offset[here].tolist())
            for at, line in zip(here.tolist(), lines, strict=True):
                entry = _entry_of(line)
                if entry is None or entry.key != run.key(at):
                    raise _StaleError(f"the journal {folder} has changed under its index")
                part, offset[at] = output.append(line)
                segment[at] = len(kept) + part
        return replace(run, segment=segment, offset=offset), kept + output.publish()


class _Joined:
    """New segments that are filled one after the other, hidden until all are published."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = uuid4().hex[:12]
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> _Joined:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        for name in self._names:
            self._hidden(name).unlink(missing_ok=True)

    def append(self, line: bytes) -> tuple[int, int]:
        """Which of the new segments the line is in, and its offset there."""
        if self._file is None or self._sizes[-1] >= _LARGE:
            self._finish()
            self._names.append(f"+{self._name}-{len(self._names):04d}{SUFFIX}")  # `+` comes before every host's name
            self._sizes.append(0)
            self._file = self._hidden(self._names[-1]).open("wb")
        self._file.write(line)
        offset = self._sizes[-1]
        self._sizes[-1] += len(line)
        return len(self._names) - 1, offset

    def publish(self) -> list[Covered]:
        self._finish()
        for name in self._names:
            self._hidden(name).rename(self._folder / name)
        sync_folder(self._folder)
        return [Covered(name, size, size) for name, size in zip(self._names, self._sizes, strict=True)]

    def _finish(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _hidden(self, name: str) -> Path:
        return self._folder / f".{name}.tmp"


_states: dict[tuple[int, Path], _State] = {}
_states_lock = threading.Lock()


def _state_of(folder: Path) -> _State:
    """This process's state of a folder; a forked process has none of its parent's."""
    name = (os.getpid(), folder.absolute())
    with _states_lock:
        if name not in _states:
            _states[name] = _State(name[1])
        return _states[name]


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskError(f"the journal {folder} can't be read: {error.strerror}") from error


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of each segment, by name."""
    sizes = {}
    for segment in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):
            sizes[segment.name] = segment.stat().st_size
    return sizes


def _whole_lines(segment: Path, offset: int) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of each line that has its end."""
    with segment.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            yield offset, line
            offset += len(line)


def _lines_at(segment: Path, offsets: Sequence[int]) -> Iterator[bytes]:
    with segment.open("rb") as lines:
        for offset in offsets:
            lines.seek(offset)
            yield lines.readline()


def _entry_of(line: bytes) -> _Entry | None:
    """What a line holds; None where it is damaged."""
    try:
        value = orjson.loads(line)
        entry = _Entry(
            bytes.fromhex(value["key"]), str(value.get("model", "")), Completion.from_dict(value["completion"])
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return entry if len(entry.key) == KEY_SIZE else None
