from __future__ import annotations

import asyncio
import errno
import json
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.errors import DiskError, RequestError
from curation.engine import journal as journal_module
from curation.engine.guard import Guard, Tally
from curation.engine.journal import Journal, Journaled
from curation.models.openai_compatible import OpenaiCompatible
from tests.mock_endpoint import MockEndpoint, reply

HELLO: list[Message] = [{"role": "user", "content": "hello"}]


def completion(text: str) -> Completion:
    return Completion((text, "ü\n\0"), "stop", Usage(3, 4), logprobs=(("a", -0.1),), model="m")


def put(journal: Journal, *texts: str) -> None:
    async def run() -> None:
        await asyncio.gather(*(journal.put(text, HELLO, {"seed": 1}, "m", completion(text)) for text in texts))

    asyncio.run(run())


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


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
    assert journal.get("one") == completion("one")
    assert journal.get("three") is None
    journal.close()
    again = as_another_process(journal.folder)
    assert (again.get("two"), len(again)) == (completion("two"), 2)


def test_lines_are_canonical_and_hold_what_an_audit_needs(journal: Journal) -> None:
    put(journal, "one")
    (line,) = segments(journal.folder)[0].read_bytes().splitlines()
    value = json.loads(line)
    assert list(value) == sorted(value)
    assert set(value) == {"key", "model", "messages", "sampling", "completion", "time"}
    assert (value["messages"], value["sampling"]) == (HELLO, {"seed": 1})


def test_the_key_is_the_request_alone() -> None:
    key = Journal.key(HELLO, {"seed": 1, "temperature": 0.5}, "m")
    assert key == Journal.key(HELLO, {"temperature": 0.5, "seed": 1, "stop": None}, "m")
    others = [
        Journal.key([{"role": "user", "content": "hello!"}], {"seed": 1, "temperature": 0.5}, "m"),
        Journal.key(HELLO, {"seed": 2, "temperature": 0.5}, "m"),
        Journal.key(HELLO, {"seed": 1, "temperature": 0.5}, "m2"),
        Journal.key(HELLO, {"seed": 1, "temperature": 0.5}, "m", 1),
    ]
    assert len({key, *others}) == 5


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
        assert (torn.get("one"), torn.get("two")) == (completion("one"), None)
    put(torn, "two")
    torn.close()
    assert segment.read_bytes() == whole[:-1], "nothing is appended behind a torn line"
    again = as_another_process(journal.folder)
    assert (again.get("one"), again.get("two")) == (completion("one"), completion("two"))


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
    assert (again.get("one"), again.get("two"), len(again)) == (completion("one"), completion("two"), 2)


def _write(folder: Path, text: str) -> None:
    put(Journal(folder), text, f"{text}!")


def test_every_process_has_a_segment_and_sees_the_others(journal: Journal) -> None:
    put(journal, "mine")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write, args=(journal.folder, name)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert journal.get("a") is None
    journal.refresh()
    assert journal.get("a!") == completion("a!")
    assert journal.get("b") == completion("b")
    assert len(segments(journal.folder)) == 3


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
    assert journal.get("one") is None
    segment.write_bytes(line)
    journal.refresh()
    assert journal.get("one") == completion("one")


def test_handles_of_one_folder_share_one_segment_and_travel(journal: Journal) -> None:
    put(journal, "one")
    again = pickle.loads(pickle.dumps(journal))
    put(again, "two")
    assert len(segments(journal.folder)) == 1
    assert journal.get("two") == completion("two")


def test_put_returns_only_after_the_disk_has_the_line(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        fsync(handle)
        if os.path.isfile(f"/proc/self/fd/{handle}"):  # noqa: PTH113 - a link, and the folder is synced too
            events.append("on disk")

    monkeypatch.setattr(os, "fsync", watched)

    async def run() -> None:
        await journal.put("one", HELLO, {}, "m", completion("one"))
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
        one = asyncio.create_task(journal.put("one", HELLO, {}, "m", completion("one")))
        await asyncio.to_thread(first_is_writing.wait)
        rest = [asyncio.create_task(journal.put(str(n), HELLO, {}, "m", completion(str(n)))) for n in range(50)]
        await asyncio.sleep(0)
        assert journal.get("one") is None
        go_on.set()
        await asyncio.gather(one, *rest)

    asyncio.run(run())
    assert len(calls) == 2
    assert all(journal.get(str(n)) == completion(str(n)) for n in range(50))


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
    assert [again.get(name) is not None for name in ("one", "two", "three")] == [True, False, True]
    assert len(segments(journal.folder)) == 2


def test_a_folder_that_was_removed_is_begun_anew(journal: Journal) -> None:
    put(journal, "one")
    for segment in segments(journal.folder):
        segment.unlink()
    again = Journal(journal.folder)
    assert again.get("one") is None
    put(again, "two")
    journal.close()
    assert as_another_process(journal.folder).get("two") == completion("two")


def test_a_reply_that_is_kept_is_not_asked_for_again(journal: Journal) -> None:
    key = SecretStr("nvapi-very-secret")
    tally = Tally()
    with MockEndpoint() as server:
        for _ in range(2):
            model = Journaled(Guard(OpenaiCompatible("teacher", server.url, key), tally=tally), journal, tally)
            (answer,) = gather(model, [HELLO])
            assert isinstance(answer, Completion)
            assert answer.text == "fine"
            journal.close()
            as_another_process(journal.folder)
        assert len(server.requests) == 1
    assert (tally.requests, tally.journal_hits) == (1, 1)
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
