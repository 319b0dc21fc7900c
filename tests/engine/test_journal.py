from __future__ import annotations

import asyncio
import errno
import json
import multiprocessing
import os
import pickle
import random
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.errors import DiskError, RequestError
from curation.core.records import digest
from curation.engine import journal as journal_module
from curation.engine.guard import Guard
from curation.engine.journal import Journal, Journaled
from curation.engine.spending import Tally
from curation.models.openai_compatible import OpenaiCompatible
from tests.mock_endpoint import MockEndpoint, reply

HELLO: list[Message] = [{"role": "user", "content": "hello"}]
SPAWN = multiprocessing.get_context("spawn")


def completion(text: str) -> Completion:
    return Completion((text, "ü\n\0"), "stop", Usage(3, 4), logprobs=(("a", -0.1),), model="m")


def key(text: str) -> str:
    """A key of a journal for a test's word."""
    return digest(text)


def put(journal: Journal, *texts: str) -> None:
    async def run() -> None:
        await asyncio.gather(*(journal.put(key(text), HELLO, {"seed": 1}, "m", completion(text)) for text in texts))

    asyncio.run(run())


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def replies(journal: Journal, texts: Sequence[str]) -> list[str | None]:
    """What the journal has for the tests' words."""
    found = [journal.get(key(text)) for text in texts]
    return [None if one is None else one.text for one in found]


def scatter(folder: Path, *texts: str, name: str = "host-1") -> Path:
    """A segment as some other process has left it."""
    other = Journal(folder.with_name(f"{folder.name}-{name}"))
    put(other, *texts)
    other.close()
    (segment,) = segments(other.folder)
    folder.mkdir(exist_ok=True)
    target = segment.rename(folder / f"{name}.jsonl")
    other.folder.rmdir()
    return target


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


def as_another_process(folder: Path) -> Journal:
    """The folder as a process sees it that starts now."""
    journal_module._states.pop((os.getpid(), folder.absolute()), None)
    return Journal(folder)


def test_a_reply_comes_back_as_it_was(journal: Journal) -> None:
    put(journal, "one", "two")
    assert journal.get(key("one")) == completion("one")
    assert journal.get(key("three")) is None
    journal.close()
    again = as_another_process(journal.folder)
    assert (again.get(key("two")), len(again)) == (completion("two"), 2)


def test_lines_are_canonical_and_hold_what_an_audit_needs(journal: Journal) -> None:
    put(journal, "one")
    (line,) = segments(journal.folder)[0].read_bytes().splitlines()
    value = json.loads(line)
    assert list(value) == sorted(value)
    assert set(value) == {"key", "model", "messages", "sampling", "completion", "time"}
    assert (value["messages"], value["sampling"]) == (HELLO, {"seed": 1})


def test_the_key_is_the_request_alone() -> None:
    one = Journal.key(HELLO, {"seed": 1, "temperature": 0.5}, "m")
    assert one == Journal.key(HELLO, {"temperature": 0.5, "seed": 1, "stop": None}, "m")
    others = [
        Journal.key([{"role": "user", "content": "hello!"}], {"seed": 1, "temperature": 0.5}, "m"),
        Journal.key(HELLO, {"seed": 2, "temperature": 0.5}, "m"),
        Journal.key(HELLO, {"seed": 1, "temperature": 0.5}, "m2"),
        Journal.key(HELLO, {"seed": 1, "temperature": 0.5}, "m", 1),
    ]
    assert len({one, *others}) == 5


OLD_REQUEST: list[Message] = [
    {"role": "system", "content": "You rewrite."},
    {"role": "user", "content": "Why is the sky blu\u00e9?\n"},
]
OLD_SAMPLING = {
    "temperature": 0.7,
    "top_p": 0.95,
    "max_tokens": 512,
    "seed": 7,
    "stop": None,
    "response_format": {"type": "json_object"},
}
OLD_KEY = "0a6600b97b69af078f88c5613909f1c3"
OLD_LINE = (
    '{"completion":{"finish_reason":"stop","logprobs":[["S",-0.5]],"model":"teacher","texts":["Scattering."],'
    '"usage":{"completion_tokens":5,"prompt_tokens":21}},"key":"0a6600b97b69af078f88c5613909f1c3","messages":'
    '[{"content":"You rewrite.","role":"system"},{"content":"Why is the sky blu\u00e9?\\n","role":"user"}],'
    '"model":"teacher-8b","sampling":{"max_tokens":512,"response_format":{"type":"json_object"},"seed":7,'
    '"stop":null,"temperature":0.7,"top_p":0.95},"time":"2026-11-21T09:08:45.512+00:00"}\n'
)


def test_journals_of_earlier_versions_are_found_and_read(journal: Journal) -> None:
    """Neither the key of a request nor the form of a line may change: replies were paid for."""
    assert Journal.key(OLD_REQUEST, OLD_SAMPLING, "teacher-8b") == OLD_KEY
    assert Journal.key(OLD_REQUEST, OLD_SAMPLING, "teacher-8b", 1) == "af5f8c6e527756e8adc2382c85abf3d5"
    kept = Completion(("Scattering.",), "stop", Usage(21, 5), (("S", -0.5),), "teacher")
    journal.folder.mkdir()
    (journal.folder / "host-1-x.jsonl").write_text(OLD_LINE, encoding="utf-8")
    journal.refresh()
    assert journal.get(OLD_KEY) == kept
    asyncio.run(journal.put("0" * 32, OLD_REQUEST, OLD_SAMPLING, "teacher-8b", kept))
    new = segments(journal.folder)[1].read_text(encoding="utf-8").replace("0" * 32, OLD_KEY)
    assert new.split(',"time"')[0] == OLD_LINE.split(',"time"')[0]


def test_a_line_torn_at_any_byte_costs_only_itself(journal: Journal) -> None:
    put(journal, "one")
    put(journal, "two")
    journal.close()
    (segment,) = segments(journal.folder)
    whole = segment.read_bytes()
    start = whole.index(b"\n") + 1
    for end in range(start, len(whole)):
        segment.write_bytes(whole[:end])
        torn = as_another_process(journal.folder)
        assert (torn.get(key("one")), torn.get(key("two"))) == (completion("one"), None)
    put(torn, "two")
    torn.close()
    assert segment.read_bytes() == whole[:-1], "nothing is appended behind a torn line"
    again = as_another_process(journal.folder)
    assert (again.get(key("one")), again.get(key("two"))) == (completion("one"), completion("two"))


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe", b"{}", b"[1]", b'{"key": "x", "completion": {}}', b'{"key": 1}', b"\0" * 50]
)
def test_a_damaged_line_in_the_middle_is_passed_over(journal: Journal, damage: bytes) -> None:
    put(journal, "one")
    put(journal, "two")
    journal.close()
    (segment,) = segments(journal.folder)
    first, second = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(first + damage + b"\n" + second)
    again = as_another_process(journal.folder)
    assert (again.get(key("one")), again.get(key("two")), len(again)) == (completion("one"), completion("two"), 2)


def _write(folder: Path, name: str) -> None:
    put(Journal(folder), *(f"{name}{number}" for number in range(200)))


def test_processes_that_write_at_once_have_a_segment_each_and_see_the_others(journal: Journal) -> None:
    put(journal, "mine")
    workers = [SPAWN.Process(target=_write, args=(journal.folder, name)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert journal.get(key("a0")) is None
    journal.refresh()
    texts = ["mine", *(f"{name}{number}" for name in "ab" for number in range(200))]
    assert replies(journal, texts) == texts
    assert (len(segments(journal.folder)), len(journal)) == (3, 401)


def _write_until_killed(folder: Path, kept: Connection) -> None:
    journal = Journal(folder)

    async def lane(number: int) -> None:
        for line in range(1_000_000):
            await journal.put(key(f"{number} {line}"), HELLO, {}, "m", completion(f"{number} {line}"))
            kept.send(f"{number} {line}")

    async def run() -> None:
        await asyncio.gather(*(lane(number) for number in range(20)))

    asyncio.run(run())


def test_what_a_process_was_told_is_kept_when_it_is_killed(journal: Journal) -> None:
    ours, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_write_until_killed, args=(journal.folder, theirs))
    process.start()
    theirs.close()
    told = [ours.recv() for _ in range(100)]
    process.kill()
    process.join()
    with suppress(EOFError):
        while ours.poll():
            told.append(ours.recv())
    ours.close()
    journal.refresh()
    assert replies(journal, told) == told
    journal.compact()
    assert replies(journal, told) == told


def test_a_line_that_another_process_is_still_writing_is_seen_when_it_is_whole(
    journal: Journal, tmp_path: Path
) -> None:
    other = Journal(tmp_path / "other")
    put(other, "one")
    other.close()
    line = segments(other.folder)[0].read_bytes()
    journal.folder.mkdir()
    segment = journal.folder / "host-1-x.jsonl"
    segment.write_bytes(line[:40])
    journal.refresh()
    assert journal.get(key("one")) is None
    segment.write_bytes(line)
    journal.refresh()
    assert journal.get(key("one")) == completion("one")


def test_handles_of_one_folder_share_one_segment_and_travel(journal: Journal) -> None:
    put(journal, "one")
    again = pickle.loads(pickle.dumps(journal))
    put(again, "two")
    assert len(segments(journal.folder)) == 1
    assert journal.get(key("two")) == completion("two")


def test_put_returns_only_after_the_disk_has_the_line(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        fsync(handle)
        if os.path.isfile(f"/proc/self/fd/{handle}"):  # noqa: PTH113 - a link, and the folder is synced too
            events.append("on disk")

    monkeypatch.setattr(os, "fsync", watched)

    async def run() -> None:
        await journal.put(key("one"), HELLO, {}, "m", completion("one"))
        events.append("returned")

    asyncio.run(run())
    assert events == ["on disk", "returned"]


def test_puts_at_the_same_time_share_the_fsync(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    put(journal, "first")
    first_is_writing, go_on, calls = threading.Event(), threading.Event(), []
    fsync = os.fsync

    def slow(handle: int) -> None:
        calls.append(handle)
        first_is_writing.set()
        go_on.wait()
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow)

    async def run() -> None:
        one = asyncio.create_task(journal.put(key("one"), HELLO, {}, "m", completion("one")))
        await asyncio.to_thread(first_is_writing.wait)
        rest = [asyncio.create_task(journal.put(key(str(n)), HELLO, {}, "m", completion(str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        assert journal.get(key("one")) is None
        go_on.set()
        await asyncio.gather(one, *rest)

    asyncio.run(run())
    assert len(calls) == 2
    assert all(journal.get(key(str(n))) == completion(str(n)) for n in range(50))


def test_a_full_disk_is_told_and_what_follows_begins_a_new_segment(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(journal, "one")
    write = os.write

    def full(handle: int, data: Any) -> int:
        write(handle, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(DiskError, match="No space left"):
            put(journal, "two")
    put(journal, "three")
    journal.close()
    again = as_another_process(journal.folder)
    assert [again.get(key(name)) is not None for name in ("one", "two", "three")] == [True, False, True]
    assert len(segments(journal.folder)) == 2


def test_a_folder_that_was_removed_is_begun_anew(journal: Journal) -> None:
    put(journal, "one")
    for segment in segments(journal.folder):
        segment.unlink()
    again = Journal(journal.folder)
    assert again.get(key("one")) is None
    put(again, "two")
    journal.close()
    assert as_another_process(journal.folder).get(key("two")) == completion("two")


# --- the index and compaction


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of 40 small segments with two replies each."""
    folder = tmp_path / "many"
    for number in range(40):
        scatter(folder, f"{number}", f"{number}!", name=f"host-{number:02d}")
    return folder


MANY = [f"{number}{end}" for number in range(40) for end in ("", "!")]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The segments that are read through, as they come."""
    names: list[str] = []
    whole_lines = journal_module._whole_lines

    def watched(segment: Path, offset: int) -> Iterator[tuple[int, bytes]]:
        names.append(segment.name)
        return whole_lines(segment, offset)

    monkeypatch.setattr(journal_module, "_whole_lines", watched)
    return names


def test_many_small_segments_become_one(many: Path) -> None:
    before = sorted(line for segment in segments(many) for line in segment.read_bytes().splitlines())
    Journal(many).compact()
    (joined,) = segments(many)
    assert sorted(joined.read_bytes().splitlines()) == before
    assert replies(Journal(many), MANY) == MANY
    assert replies(as_another_process(many), MANY) == MANY
    others = [path.name.split("-")[0] for path in many.iterdir() if path != joined]
    assert sorted(others) == ["index", "index.json"]


def test_few_segments_stay_as_they_are(journal: Journal) -> None:
    written = [scatter(journal.folder, f"{number}", name=f"host-{number}") for number in range(3)]
    journal.compact()
    assert segments(journal.folder) == written
    assert replies(as_another_process(journal.folder), ["0", "1", "2", "3"]) == ["0", "1", "2", None]


def test_what_the_index_covers_is_not_read_again(many: Path, reads: list[str]) -> None:
    Journal(many).compact()
    newer = scatter(many, "newer", name="host-99")
    reads.clear()
    again = as_another_process(many)
    assert (replies(again, [*MANY, "newer"]), len(again)) == ([*MANY, "newer"], 81)
    assert set(reads) == {newer.name}
    again.compact()
    reads.clear()
    again = as_another_process(many)
    again.compact()
    assert (len(again), reads) == (81, [])


def test_joining_begins_another_segment_when_one_is_large(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "_LARGE", 2000)
    Journal(many).compact()
    assert 2 < len(segments(many)) < 20
    assert replies(as_another_process(many), MANY) == MANY


def test_segments_that_are_large_are_not_joined_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = scatter(many, *(f"large {number}" for number in range(20)), name="host-00-large")
    monkeypatch.setattr(journal_module, "_SMALL", large.stat().st_size)
    Journal(many).compact()
    assert (large in segments(many), len(segments(many))) == (True, 2)
    assert replies(as_another_process(many), ["large 7", *MANY]) == ["large 7", *MANY]


def two_replies(folder: Path) -> None:
    """Two processes have asked the same at the same time; the later name has the first time."""
    for name, text in (("host-2", "second"), ("host-1", "first")):
        segment = scatter(folder, "other " + name, "same", name=name)
        segment.write_bytes(segment.read_bytes().replace(b'["same"', f'["{text}"'.encode()))


def test_of_two_replies_to_a_request_the_first_counts_whatever_is_compacted(journal: Journal) -> None:
    two_replies(journal.folder)
    for _ in range(2):
        again = as_another_process(journal.folder)
        assert replies(again, ["same", "other host-1", "other host-2"]) == ["first", "other host-1", "other host-2"]
        assert (len(again), again.totals()["m"]["replies"]) == (3, 3)
        again.compact()
        (journal.folder / "index.json").unlink()
    assert b"".join(segment.read_bytes() for segment in segments(journal.folder)).count(key("same").encode()) == 1


def test_damaged_and_torn_lines_are_gone_after_compaction(journal: Journal) -> None:
    segment = scatter(journal.folder, "one", "two")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0] + b"\0" * 500 + b"\n" + lines[1] + lines[0][:-9])
    for _ in range(2):
        journal.compact()
        assert [path.read_bytes() for path in segments(journal.folder)] == [b"".join(lines)]
        assert replies(as_another_process(journal.folder), ["one", "two"]) == ["one", "two"]


def test_a_segment_of_nothing_but_damage_is_removed(journal: Journal) -> None:
    journal.folder.mkdir()
    (journal.folder / "host-1.jsonl").write_bytes(b"noise\n")
    journal.compact()
    assert segments(journal.folder) == []
    put(journal, "one")
    journal.close()
    assert replies(as_another_process(journal.folder), ["one"]) == ["one"]


def test_nothing_to_compact_makes_nothing(journal: Journal) -> None:
    journal.compact()
    assert not journal.folder.exists()


def test_a_segment_torn_at_any_byte_may_be_compacted(journal: Journal) -> None:
    segment = scatter(journal.folder, "one", "two")
    whole = segment.read_bytes()
    for end in range(whole.index(b"\n") + 1, len(whole), 7):
        for path in segments(journal.folder):
            path.unlink()
        segment.write_bytes(whole[:end])
        torn = as_another_process(journal.folder)
        torn.compact()
        assert replies(torn, ["one", "two"]) == ["one", None]


def test_totals_are_those_of_the_index_and_what_is_newer(many: Path) -> None:
    def totals(count: int) -> dict[str, dict[str, int]]:
        return {"m": {"replies": count, "prompt_tokens": 3 * count, "completion_tokens": 4 * count}}

    assert Journal(many).totals() == totals(80)
    Journal(many).compact()
    again = as_another_process(many)
    assert again.totals() == totals(80)
    put(again, "new")
    assert again.totals() == totals(81)
    again.close()
    assert as_another_process(many).totals() == totals(81)


def garble_index(folder: Path, name: str) -> None:
    (path,) = folder.rglob(name)
    data = bytearray(path.read_bytes())
    data[-8:] = b"\x01" * 8
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["index.json", "segment.npy", "offset.npy", "low.npy"])
@pytest.mark.parametrize("compacts", [False, True])
def test_a_damaged_index_is_made_again_from_the_segments(many: Path, name: str, compacts: bool) -> None:
    Journal(many).compact()
    if name == "low.npy":
        (many / "index.json").unlink()
    else:
        garble_index(many, name)
    again = as_another_process(many)
    if compacts:
        again.compact()
    assert replies(again, MANY) == MANY
    put(again, "new")
    again.close()
    assert replies(as_another_process(many), [*MANY, "new"]) == [*MANY, "new"]


def test_a_lookup_that_leads_astray_rebuilds_once_and_for_all(many: Path, reads: list[str]) -> None:
    Journal(many).compact()
    garble_index(many, "offset.npy")
    again = as_another_process(many)
    reads.clear()
    assert replies(again, MANY) == MANY
    assert len(reads) == 1
    assert not (many / "index.json").exists()


def test_joining_trusts_no_index_that_the_segments_contradict(
    many: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    """Its checksums are right, but somebody has changed a segment without changing its length."""
    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "_MANY", 1000)
        Journal(many).compact()
    segment = many / "host-07.jsonl"
    segment.write_bytes(b"".join(reversed(segment.read_bytes().splitlines(keepends=True))))
    again = as_another_process(many)
    reads.clear()
    again.compact()
    assert len(reads) == 40
    assert len(segments(many)) == 1
    assert replies(as_another_process(many), MANY) == MANY


def test_a_stale_index_is_made_again(many: Path) -> None:
    Journal(many).compact()
    (joined,) = segments(many)
    half = joined.read_bytes().splitlines(keepends=True)[:40]
    joined.write_bytes(b"".join(half))
    again = as_another_process(many)
    assert len(again) == 40
    assert all(entry in (None, text) for entry, text in zip(replies(again, MANY), MANY, strict=True))


def test_who_is_left_behind_by_a_lost_driver_loses_nothing(many: Path) -> None:
    """A writer that is still alive when the next driver compacts: its segment is left, and it finds all replies."""
    put(Journal(many), "early")
    left_behind = journal_module._states[os.getpid(), many]
    own = left_behind._appender.segment
    as_another_process(many).compact()
    assert own in segments(many)
    journal_module._states[os.getpid(), many] = left_behind
    assert left_behind.find(key("7!")) == completion("7!")
    put(Journal(many), "late")
    left_behind.close()
    texts = ["early", "late", *MANY]
    assert replies(Journal(many), texts) == texts
    assert replies(as_another_process(many), texts) == texts


class _StoppedError(BaseException):
    """In place of `kill -9`, at a certain step."""


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Stops at the so-and-so-many-th change of the disk."""
    left = [step]

    def stopping(real: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise _StoppedError
            return real(*arguments, **more)

        return call

    for name in ("fsync", "rename", "replace", "unlink", "mkdir", "rmdir"):
        monkeypatch.setattr(os, name, stopping(getattr(os, name)))


def test_a_compaction_that_stops_at_any_step_changes_no_reply(many: Path, tmp_path: Path) -> None:
    step = 0
    while True:
        folder = tmp_path / f"step-{step}"
        shutil.copytree(many, folder)
        two_replies(folder)
        with pytest.MonkeyPatch.context() as patched:
            journal = Journal(folder)
            stop_at(patched, step)
            try:
                journal.compact()
                break
            except _StoppedError:
                pass
        texts = [*MANY, "same"]
        for compacted in (False, True):
            again = as_another_process(folder)
            if compacted:
                again.compact()
            assert replies(again, texts) == [*MANY, "first"], f"step {step}"
            assert again.totals()["m"]["replies"] == len(again) == 83
        assert (len(segments(folder)), len(list(folder.glob(".*")))) == (1, 0)
        step += 1
    assert step > 40


def _compact_when_told(folder: Path, told: Connection) -> None:
    journal = Journal(folder)
    told.send("ready")
    told.recv()
    journal.compact()
    told.send("done")


@pytest.mark.slow  # a process for each kill
def test_a_compaction_that_is_killed_at_any_moment_changes_no_reply(many: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    started = time.monotonic()
    rehearsal = Path(shutil.copytree(many, tmp_path / "rehearsal"))
    Journal(rehearsal).compact()
    longest = time.monotonic() - started
    texts, kills, number = list(MANY), 0, 0
    while kills < 12:
        ours, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=_compact_when_told, args=(many, theirs))
        process.start()
        theirs.close()
        assert ours.recv() == "ready"
        ours.send("go")
        if not ours.poll(rng.uniform(0, longest)):
            process.kill()
            kills += 1
        process.join()
        ours.close()
        again = as_another_process(many)
        assert replies(again, texts) == texts
        for _ in range(40):  # something to join for the next one
            number += 1
            scatter(many, f"more {number}", name=f"host-more-{number}")
            texts.append(f"more {number}")
    again = as_another_process(many)
    again.compact()
    assert replies(again, texts) == texts
    assert (len(segments(many)), len(again), len(list(many.glob(".*")))) == (1, len(texts), 0)


def test_a_full_disk_leaves_the_journal_as_it_was(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(many)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskError, match=f"{many}: the disk is full"):
            journal.compact()
    assert len(segments(many)) == 40
    assert replies(journal, MANY) == MANY
    journal.compact()
    assert replies(journal, MANY) == MANY


# --- a model whose replies are kept


def test_a_reply_that_is_kept_is_not_asked_for_again(journal: Journal) -> None:
    secret = SecretStr("nvapi-very-secret")
    tallies: list[Tally] = []
    with MockEndpoint() as server:
        for _ in range(2):
            guarded = Guard(OpenaiCompatible("teacher", server.url, secret))
            model = Journaled(guarded, journal, guarded.tally)
            tallies.append(guarded.tally)
            (answer,) = gather(model, [HELLO])
            assert isinstance(answer, Completion)
            assert answer.text == "fine"
            journal.close()
            as_another_process(journal.folder)
        assert len(server.requests) == 1
    assert [(tally.requests, tally.journal_hits) for tally in tallies] == [(1, 0), (0, 1)]
    assert model.name == "teacher"
    assert b"secret" not in b"".join(segment.read_bytes() for segment in segments(journal.folder))


def gather(model: ChatModel, conversations: Sequence[list[Message]]) -> list[Completion | BaseException]:
    async def run() -> list[Completion | BaseException]:
        answers = await asyncio.gather(*(model.chat(messages) for messages in conversations), return_exceptions=True)
        await model.close()
        return answers

    return asyncio.run(run())


def test_equal_requests_at_the_same_time_are_sent_once(journal: Journal) -> None:
    with MockEndpoint() as server:
        server.default = lambda _: reply("fine", seconds=0.05)
        other: list[Message] = [{"role": "user", "content": "other"}]

        def run() -> None:
            answers.extend(gather(Journaled(OpenaiCompatible("teacher", server.url), journal), [HELLO] * 5 + [other]))

        answers: list[Completion | BaseException] = []
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(server.requests) == 2
    assert [answer.text for answer in answers if isinstance(answer, Completion)] == ["fine"] * 12


class Once(ChatModel):
    """Fails or waits on the first call."""

    name = "once"

    def __init__(self, first: str) -> None:
        self.first = first
        self.calls = 0

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.calls += 1
        if self.calls == 1 and self.first == "waits":
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        if self.calls == 1:
            raise RequestError("bad_request", "too long")
        return completion("fine")


def test_a_failure_reaches_all_who_wait_and_is_not_kept(journal: Journal) -> None:
    model = Once("fails")
    answers = gather(Journaled(model, journal), [HELLO] * 3)
    assert [str(answer) for answer in answers] == ["bad_request: too long"] * 3
    assert len(journal) == 0
    assert gather(Journaled(model, journal), [HELLO]) == [completion("fine")]


def test_when_the_one_that_asks_is_cancelled_another_takes_over(journal: Journal) -> None:
    model = Once("waits")
    journaled = Journaled(model, journal)

    async def run() -> Completion:
        first = asyncio.create_task(journaled.chat(HELLO))
        await asyncio.sleep(0)
        second = asyncio.create_task(journaled.chat(HELLO))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(run()) == completion("fine")
    assert model.calls == 2
