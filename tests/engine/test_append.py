from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curation.core.errors import DiskError
from curation.engine.append import Appender, Written, is_closed

LINES = [b"%d\n" % number for number in range(100)]


@pytest.fixture
def appender(tmp_path: Path) -> Iterator[Appender]:
    appender = Appender(tmp_path / "log", "the log")
    yield appender
    appender.close()


def content(folder: Path) -> list[list[bytes]]:
    """The lines of each segment."""
    return [path.read_bytes().splitlines(keepends=True) for path in sorted(folder.glob("*.jsonl"))]


async def append_all(appender: Appender, lines: list[bytes]) -> list[Written]:
    return await asyncio.gather(*(appender.append(line) for line in lines))


class Calls:
    """Counts the calls of a function of `os` that are meant for files (folders are synced too)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.count = 0
        self._real = getattr(os, name)
        monkeypatch.setattr(os, name, self._call)

    def _call(self, handle: int, *rest: Any) -> Any:
        if os.path.isfile(f"/proc/self/fd/{handle}"):  # noqa: PTH113 - a link
            self.count += 1
        return self._real(handle, *rest)


def fail_after(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    """A disk that takes so many more bytes."""
    write, left = os.write, [budget]

    def full(handle: int, data: Any) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(handle, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", full)


def test_each_line_is_where_its_place_says(appender: Appender) -> None:
    places = asyncio.run(append_all(appender, LINES))
    (path,) = {place.segment for place in places}
    assert path == appender.segment
    assert [path.read_bytes()[place.start : place.end] for place in places] == LINES


def test_lines_of_one_iteration_share_write_sync_and_the_way_back(
    appender: Appender, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, syncs = Calls(monkeypatch, "write"), Calls(monkeypatch, "fsync")
    told = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        tell = loop.call_soon_threadsafe

        def watched(*call: Any) -> Any:
            told.append(call)
            return tell(*call)

        monkeypatch.setattr(loop, "call_soon_threadsafe", watched)
        await append_all(appender, LINES)

    asyncio.run(run())
    ours = [call for call in told if getattr(call[0], "__module__", "") == "curation.engine.append"]
    assert (writes.count, syncs.count, len(ours)) == (1, 1, 1)


def test_a_line_is_with_the_operating_system_when_its_iteration_ends(appender: Appender) -> None:
    async def run() -> None:
        appender.write(b"first\n")
        durable = appender.append(b"second\n")
        await asyncio.sleep(0)
        assert content(appender.folder) == [[b"first\n", b"second\n"]]
        await durable

    asyncio.run(run())


def test_lines_that_nobody_awaits_may_come_a_little_later(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = Calls(monkeypatch, "write")

    async def run() -> None:
        for _ in range(5):
            appender.write(b"line\n")
            await asyncio.sleep(0)
        assert writes.count == 0
        while not writes.count:  # noqa: ASYNC110 - the loop's own clock is waited for
            await asyncio.sleep(0.001)
        assert content(appender.folder) == [[b"line\n"] * 5]

    asyncio.run(run())
    assert writes.count == 1


def test_without_a_loop_a_line_is_written_at_once_and_after_those_that_wait(appender: Appender) -> None:
    async def run() -> None:
        appender.write(b"first\n")
        await asyncio.to_thread(appender.write, b"second\n")

    asyncio.run(run())
    appender.write(b"third\n")
    assert content(appender.folder) == [[b"first\n", b"second\n", b"third\n"]]


def test_nobody_waits_for_lines_that_nobody_awaits(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Calls(monkeypatch, "fsync")
    appender.write(b"line\n")
    appender.close()
    assert syncs.count == 0


def test_places_are_told_once_on_disk_in_order_and_before_who_waits(appender: Appender) -> None:
    events: list[str] = []

    async def one(name: str) -> None:
        await appender.append(b"line\n", lambda _: events.append(f"{name} placed"))
        events.append(f"{name} told")

    async def run() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(run())
    assert events == ["a placed", "b placed", "a told", "b told"]


def test_who_stops_waiting_stops_nobody_else_and_the_line_is_placed(appender: Appender) -> None:
    placed: list[Written] = []

    async def run() -> list[Any]:
        tasks = [asyncio.create_task(wait(line)) for line in LINES[:3]]
        await asyncio.sleep(0)
        tasks[1].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def wait(line: bytes) -> Written:
        return await appender.append(line, placed.append)

    first, second, third = asyncio.run(run())
    assert isinstance(second, asyncio.CancelledError)
    assert [first, third] == [placed[0], placed[2]]
    assert content(appender.folder) == [LINES[:3]]


def test_a_loop_that_is_closed_keeps_nobody_from_the_disk(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, placed, fsync = threading.Event(), threading.Event(), os.fsync

    def slow(handle: int) -> None:
        go_on.wait()
        fsync(handle)

    async def run() -> None:
        appender.append(b"abandoned\n", lambda _: placed.set())

    appender.write(b"first\n")
    monkeypatch.setattr(os, "fsync", slow)
    asyncio.run(run())
    assert not placed.is_set()
    go_on.set()
    assert placed.wait(10)
    assert len(asyncio.run(append_all(appender, LINES[:2]))) == 2


def test_threads_with_loops_of_their_own_share_a_segment(appender: Appender) -> None:
    barrier = threading.Barrier(4)

    def run(number: int) -> None:
        async def append() -> list[Written]:
            barrier.wait()
            return [await appender.append(b"%d-%d\n" % (number, line)) for line in range(20)]

        found[number] = asyncio.run(append())

    found: dict[int, list[Written]] = {}
    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = appender.folder.glob("*.jsonl")
    data = path.read_bytes()
    for number, places in found.items():
        assert [data[place.start : place.end] for place in places] == [b"%d-%d\n" % (number, i) for i in range(20)]


@pytest.mark.parametrize("room", [0, 1, 150, len(b"".join(LINES)) - 1])
def test_a_disk_that_fills_up_within_a_group_is_told_to_all_who_wait(
    appender: Appender, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    async def run() -> list[Any]:
        tasks = [appender.append(line) for line in LINES]
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

    with monkeypatch.context() as patched:
        fail_after(patched, room)
        answers = asyncio.run(run())
    assert [type(answer) for answer in answers] == [DiskError] * len(LINES)
    assert str(answers[0]).startswith(f"the log {appender.folder} can't be written: No space left on device.")
    assert appender.segment is None
    asyncio.run(append_all(appender, LINES[:1]))
    assert [len(b"".join(lines)) for lines in content(appender.folder)] in ([room, 2], [2, room])


def test_a_disk_that_fails_to_sync_is_told_to_all_who_wait(appender: Appender, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def fail(handle: int) -> None:
        if os.path.isfile(f"/proc/self/fd/{handle}"):  # noqa: PTH113 - a link
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    async def run() -> list[Any]:
        return await asyncio.gather(*(appender.append(line) for line in LINES), return_exceptions=True)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        answers = asyncio.run(run())
    assert [type(answer) for answer in answers] == [DiskError] * len(LINES)
    asyncio.run(append_all(appender, LINES[:1]))
    assert len(content(appender.folder)) == 2, "what comes later doesn't go behind what may not be there"


def test_a_line_that_nobody_waits_for_and_that_fails_is_told_to_the_next(
    appender: Appender, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        appender.write(b"line\n")
        await asyncio.sleep(0)

    with monkeypatch.context() as patched:
        fail_after(patched, 0)
        asyncio.run(run())
        with pytest.raises(DiskError, match="No space left"):
            appender.write(b"line\n")
        with pytest.raises(DiskError, match="No space left"):
            appender.write(b"line\n")
    appender.write(b"line\n")
    assert [b"line\n"] in content(appender.folder)


def test_closing_takes_along_what_a_loop_has_not_flushed(appender: Appender) -> None:
    loop = asyncio.new_event_loop()

    async def run() -> None:
        appender.write(b"line\n")
        appender.close()
        assert content(appender.folder) == [[b"line\n"]]

    loop.run_until_complete(run())
    loop.close()


def test_after_closing_another_segment_is_begun(appender: Appender) -> None:
    for line in LINES[:2]:
        asyncio.run(append_all(appender, [line]))
        appender.close()
    assert sorted(content(appender.folder)) == [[b"0\n"], [b"1\n"]]


def test_a_segment_is_closed_when_nobody_writes_it_any_more(appender: Appender) -> None:
    appender.write(b"line\n")
    path = appender.segment
    assert path is not None
    assert not is_closed(path)
    appender.close()
    assert is_closed(path)
    assert list(appender.folder.iterdir()) == [path]


def test_a_folder_that_can_not_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    appender = Appender(tmp_path / "file", "the log")
    with pytest.raises(DiskError, match=r"the log .*file can't be written: File exists"):
        appender.write(b"line\n")
