"""A user's bad day: signals, late workers, full disks, endpoints that lie, input that is none, plans that change.

Each ends with every row accounted for, or with one message, exit code 2 and no traceback; the same command then goes
on from where it stopped. (`kill -9` has tests of its own.)
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import psutil
import pytest

from curation import main, verify
from curation.config import dump
from curation.core.contracts import ChatModel, Generator
from curation.core.errors import CurationError, EndpointError, RequestError
from curation.core.records import Record, frame, human
from curation.engine import cluster
from curation.engine.lift import Outcome, adopt, run_partition
from curation.engine.store import Manifest, Stage, Store
from tests import law_like
from tests.core.tiny_encoder import write_tiny_encoder
from tests.mock_endpoint import HANG, Answer, MockEndpoint, error, reply
from tests.test_rounds import curate, final, plan_for, rows, taught, teach

if TYPE_CHECKING:
    from distributed import Client

Command = Callable[..., tuple[int, str]]
"""Calls the command line with a plan's file, an output and further arguments; answers with exit code and output."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(law_like.write(tmp_path_factory.mktemp("source") / "law.json"))


@pytest.fixture
def server() -> Iterator[MockEndpoint]:
    with MockEndpoint() as endpoint:
        endpoint.default = teach
        yield endpoint


@pytest.fixture
def command(client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line, in this process and on the tests' cluster."""
    monkeypatch.setattr(cluster, "connect", lambda **_options: nullcontext(client))

    def call(*arguments: object) -> tuple[int, str]:
        code = main.main([str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return call


def write_plan(folder: Path, encoder: str, source: str = "", **rest: Any) -> Path:
    path = folder / "plan.yaml"
    path.write_text(dump(plan_for(folder / "out", source, encoder, **rest)))
    return path


def faults(output: Path) -> list[str]:
    return [str(finding) for finding in verify.verify(output) if finding.count]


# --- workers that come too late


def keep(rows: Any) -> Outcome:
    return Outcome(rows)


def publish(store: Store, folder: Path, workspace: Path) -> Stage:
    manifest = Manifest(stage="clean", round=0, signature="s", rows_in=1, rows_out=1)
    return Stage(folder, store.publish(workspace, folder, manifest))


def test_a_worker_of_a_dead_driver_can_not_write_into_the_next_try(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.stage_folder("40-clean", 0)
    first = store.workspace(folder).__enter__()  # its driver is killed here: nobody cleans up
    with store.workspace(folder) as second:
        assert not first.exists()
        with pytest.raises(OSError):
            run_partition(frame([human("late")]), keep, first, 0)
        adopt(run_partition(frame([human("a")]), keep, second, 0), second)
        stage = publish(store, folder, second)
    assert sorted(stage.manifest.files) == ["left-00000.parquet", "part-00000.parquet"]
    assert [path.name for path in folder.parent.iterdir()] == ["40-clean"]


def test_of_two_tries_of_a_partition_the_one_that_the_driver_heard_of_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.stage_folder("40-clean", 0)
    with store.workspace(folder) as workspace:
        heard = run_partition(frame([human("heard")]), keep, workspace, 0)
        run_partition(frame([human("unheard")]), keep, workspace, 0)  # its worker only seemed lost
        adopt(heard, workspace)
        stage = publish(store, folder, workspace)
    assert sorted(path.name for path in folder.iterdir()) == [
        "left-00000.parquet",
        "manifest.json",
        "part-00000.parquet",
    ]
    assert b"unheard" not in stage.parts[0].read_bytes()


@pytest.mark.slow
def test_workers_that_outlive_their_driver_do_not_disturb_the_next(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    """On a cluster of somebody else's, the workers of a driver that is killed go on asking and writing."""
    server.default = slowly
    curate(client, plan_for(tmp_path / "whole", source, encoder, **taught(server)))
    paid = len(server.requests)
    plan = write_plan(tmp_path, encoder, source, **taught(server))
    first = start(plan, "--scheduler-address", client.scheduler.address)
    wait_for(lambda: len(server.requests) >= paid + 5, first)
    first.kill()
    first.communicate()
    second = start(plan, "--scheduler-address", client.scheduler.address)
    assert said_by(second) == ""
    assert second.returncode == 0
    assert final(tmp_path / "out") == final(tmp_path / "whole")
    assert len(server.requests) - 2 * paid <= 2 * 64  # what was in flight, of the teacher and of the judge
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.name != ".lock"]


# --- signals


def slowly(request: dict[str, Any]) -> Answer:
    return replace(teach(request), seconds=0.2)


def start(plan: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command line as a user starts it, in a process group of its own as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "curation.main", "--config", str(plan), "--no-progress", *arguments],
        env={**os.environ, "OPENAI_API_KEY": "sk-test-1234"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def said_by(process: subprocess.Popen[str]) -> str:
    """What a process wrote until its end, without the lines that every run begins and ends with."""
    lines = process.communicate(timeout=120)[1].splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("Dask: ", "Rounds ended: ")))


@pytest.mark.slow
def test_a_stopped_run_says_so_leaves_no_process_and_goes_on(
    tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    plan = write_plan(tmp_path, encoder, source, **taught(server))
    stopped = "curation: stopped. The same command goes on from here.\n"
    for number, group, code in ((signal.SIGINT, True, 130), (signal.SIGTERM, False, 143)):
        server.default = lambda _request: Answer(fault=HANG)
        asked = len(server.requests)
        process = start(plan)
        wait_for(lambda asked=asked: len(server.requests) > asked, process)  # type: ignore[misc]
        workers = psutil.Process(process.pid).children(recursive=True)
        another = start(plan)
        assert "is in use by process" in said_by(another)
        assert another.returncode == 2
        (os.killpg if group else os.kill)(process.pid, number)  # a terminal's Ctrl-C goes to the whole group
        assert said_by(process) == stopped
        assert process.returncode == code
        assert workers
        assert not psutil.wait_procs(workers, timeout=10)[1]
    server.default = teach
    assert main.main(["--config", str(plan), "--no-progress"]) == 0
    assert faults(tmp_path / "out") == []


def test_a_lost_cluster_is_one_clear_message(client: Client) -> None:
    from distributed.client import FutureCancelledError

    with (
        pytest.raises(CurationError, match="the Dask cluster went away"),
        cluster.connect(scheduler_address=client.scheduler.address),
    ):
        raise FutureCancelledError("key", "scheduler-connection-lost")


# --- disks


@pytest.mark.slow
def test_a_disk_that_fills_up_again_and_again_delays_a_run_and_nothing_else(
    command: Command, tmp_path: Path, source: str, encoder: str
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", small], check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        plan = write_plan(tmp_path, encoder, source)
        assert command("--config", plan)[0] == 0
        sizes = [4, 16, 40, 64, 100, 140, 180, 240, 320, 440, 600, 900, 4000]
        stopped_at = set()
        for size in sizes:
            subprocess.run(["mount", "-o", f"remount,size={size}k", small], check=True)
            code, said = command("--config", plan, "--output", small / "out")
            if code == 0:
                break
            assert code == 2
            assert "No space left on device" in said or "the disk is full: free some space" in said
            assert "Traceback" not in said
            stopped_at.add(said)
        assert len(stopped_at) >= 4
        assert final(small / "out") == final(tmp_path / "out")
        assert faults(small / "out") == []
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)  # workers map its embeddings into their memory


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_that_can_not_be_is_one_message(command: Command, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    code, said = command("--output", tmp_path / place, "--input", tmp_path)
    assert code == 2
    assert said == f"curation: {tmp_path / place}: a file stands where a folder should: choose another --output\n"


# --- endpoints


class Unanswered(Generator):
    """Has nothing to say while a file is there."""

    needs_model = False
    variants = 1

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def is_down(self) -> bool:
        return Path(self.marker).exists()

    async def expand(self, parent: Record, model: ChatModel | None) -> list[Record]:
        if self.is_down():
            raise RequestError("request_failed", "500 boom")
        return [{"question": f"new {parent['question']}", "answer": parent["answer"][::-1]}]


def test_a_round_that_nobody_answers_ends_the_run_and_is_asked_for_again(
    client: Client, tmp_path: Path, source: str, encoder: str
) -> None:
    marker = tmp_path / "down"
    marker.touch()
    generator = {"name": "tests.test_crash.Unanswered", "arguments": {"marker": str(marker)}}
    plan = plan_for(tmp_path / "out", source, encoder, generation={"generator": generator, "critic": None})
    with pytest.raises(EndpointError, match=r"no request of round 1 was answered.*500 boom"):
        curate(client, plan)
    marker.unlink()
    _, run = curate(client, plan)
    made = next(stage.manifest for stage in run.stages if stage.manifest.stage == "synthesize")
    assert (made.rows_out, made.dropped) == (made.rows_in, {})


def lie(request: dict[str, Any]) -> Answer:
    """Answers as the request's hash has it: a third are honest."""
    texts = json.dumps(request["messages"])
    rewards = dict.fromkeys(["helpfulness", "correctness", "coherence", "complexity", "verbosity"], 3.0)
    variant = json.dumps({"title": "\ud800", "question": "half of a pair", "answer": "\u0000"})
    if request["model"] == "judge":
        lies = [
            reply("", finish_reason="length", logprobs=rewards, as_list=True),  # NVIDIA's hosted form: no lie
            reply("I rather like it."),
            reply("scores", logprobs={**rewards, "verbosity": float("inf")}),
            error(400, "maximum context length is 4096 tokens"),
        ]
    else:
        lies = [
            reply("I'm sorry, but I can't help with that."),
            reply('{0} {question} %s ```json {"variants": [}```'),
            reply(variant),
            reply("", finish_reason="content_filter"),
            reply(json.dumps({"variants": [{"title": "t", "question": "word " * 300_000, "answer": "so"}]})),
        ]
    lies += [teach(request)] * (len(lies) // 2)
    return lies[crc32(texts.encode()) % len(lies)]


def test_an_endpoint_that_lies_costs_the_records_that_it_lies_about(
    command: Command, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    server.default = lie
    plan = write_plan(tmp_path, encoder, source, **taught(server), rounds={"count": 1, "ratio": 1.0})
    code, said = command("--config", plan)
    assert (code, "Traceback" in said) == (0, False)
    assert faults(tmp_path / "out") == []
    (made,) = (stage for stage in run_json(tmp_path / "out")["stages"] if stage["stage"] == "synthesize")
    assert {"refusal", "unreadable_reply", "content_filter", "unreadable_score", "bad_request"} <= set(made["dropped"])
    assert made["rows_out"] > 0


def run_json(output: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((output / "run.json").read_text())
    return value


@pytest.mark.slow  # every failure is tried again and again
@pytest.mark.parametrize(
    "answer",
    [
        Answer(502, b"<html><h1>502 Bad Gateway</h1></html>", {"content-type": "text/html"}),
        Answer(200, b'{"choices": [{"mess'),
        Answer(fault=HANG),
    ],
)
def test_an_endpoint_in_ruins_ends_the_run_and_the_same_command_completes_it(
    command: Command, tmp_path: Path, encoder: str, server: MockEndpoint, answer: Answer
) -> None:
    small = law_like.write(tmp_path / "law.json", 12)
    plan = write_plan(tmp_path, encoder, str(small), **taught(server), rounds={"count": 1, "ratio": 0.2})
    server.default = lambda _request: answer
    code, said = command("--config", plan, "--api-timeout", 1)
    assert (code, "Traceback" in said) == (2, False)
    assert "no request of round 1 was answered" in said
    server.default = teach
    assert command("--config", plan)[0] == 0
    assert faults(tmp_path / "out") == []
    assert any(row["origin"] == "synthetic" for row in rows(tmp_path / "out"))


# --- input

GOOD = {"question": "why " * 60, "answer": "so " * 60}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("prose.json", b"Dear all, please find attached.", r"malformed: prose\.json:1"),
        ("cut.json", json.dumps([GOOD] * 3).encode()[:-9], r"never ends: the file is cut short"),
        ("cut.jsonl", json.dumps(GOOD).encode()[:-9], r"malformed: cut\.jsonl:1"),
        ("table.csv", b"id,question\n1,why\n", r"malformed: table\.csv:1"),
        ("noise.jsonl", b"\x1b[2J\xff\xfe\n\x07" * 9, r"invalid_utf8: noise\.jsonl:1"),
        ("noise.parquet", b"\x00\xff" * 99, r"is not a readable Parquet file"),
        ("empty.jsonl", b"", r"there are no rows to read"),
        ("empty.json", b"[]", r"there are no rows to read"),
        ("numbers.json", b"[1, 2, 3]", r"a number where an object belongs"),
        ("object.json", b'{"rows": []}', r"missing_column: object\.json:1"),
        ("folder/readme.md", b"# Data", r"has no file that ends in"),
        (None, b"", r"there is no .*nothing\.jsonl"),
    ],
)
def test_input_that_is_none_is_one_message(
    command: Command, tmp_path: Path, encoder: str, name: str | None, content: bytes, message: str
) -> None:
    path = tmp_path / (name or "nothing.jsonl")
    if name:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    given = path.parent if path.parent != tmp_path else path
    code, said = command("--config", write_plan(tmp_path, encoder, str(given)))
    assert code == 2
    assert_message(said, message)


def assert_message(said: str, message: str) -> None:
    """One message for a person: no traceback, nothing that a terminal would obey, no endless line."""
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert all(character.isprintable() or character == "\n" for character in said)
    assert max(map(len, said.splitlines())) < 500


def test_the_first_bad_rows_are_named_in_the_order_of_the_input(command: Command, tmp_path: Path, encoder: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join("x" for _ in range(30)))
    _, said = command("--config", write_plan(tmp_path, encoder, str(path)))
    assert [line.split(":")[2] for line in said.splitlines() if line.startswith("  - ")] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [([], 0), (["short"] * 9, 0), (["word " * 60], 1), (["word " * 60] * 9, 1)],
    ids=["all bad", "all filtered", "one record", "all equal"],
)
def test_a_run_of_next_to_nothing_ends_well(
    command: Command, tmp_path: Path, encoder: str, texts: list[str], kept: int
) -> None:
    path = tmp_path / "few.jsonl"
    lines = [json.dumps({"id": str(number), "question": text, "answer": text}) for number, text in enumerate(texts)]
    path.write_text("\n".join([*lines, "not json"]))
    plan = write_plan(tmp_path, encoder, str(path), max_bad_ratio=1)
    code, said = command("--config", plan)
    assert (code, "Traceback" in said) == (0, False)
    assert sum(row["origin"] == "human" for row in rows(tmp_path / "out")) == kept
    assert kept or "the training split is empty" in said
    assert faults(tmp_path / "out") == []


# --- plans that change


@pytest.mark.slow
def test_whatever_changes_between_runs_the_folder_is_that_of_the_last_plan(
    command: Command, tmp_path: Path, source: str, encoder: str
) -> None:
    plan = write_plan(tmp_path, encoder, source)
    changes = [
        "seed=7",
        "split.near=0.95",
        "dedup.semantic.threshold=0.999",
        "dedup.exact=null",
        "clean=[{filter: nemo_curator.filters.WordCountFilter, fields: [question], arguments: {min_words: 60}}]",
        "rounds.count=3",
        "rounds.count=1",
        "rounds.count=0",
        "rounds.target_size=35",
        "tasks=[qa]",
        "tasks=[]",
        "generation.generator.arguments.variants=2",
    ]
    assert command("--config", plan)[0] == 0
    first = final(tmp_path / "out")
    for change in changes:
        assert command("--config", plan, change)[0] == 0
        assert faults(tmp_path / "out") == [], change
        if change == "tasks=[qa]":
            assert {path.parent.parent.name for path in (tmp_path / "out/handoff").rglob("*.jsonl")} == {"qa"}
    assert command("--config", plan)[0] == 0
    assert final(tmp_path / "out") == first
    assert faults(tmp_path / "out") == []


def test_a_run_that_did_not_end_is_no_finished_run(
    command: Command, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    plan = write_plan(tmp_path, encoder, source, **taught(server), rounds={"count": 1, "ratio": 0.1})
    assert command("--config", plan)[0] == 0
    server.default = lambda _request: error(401, "invalid key")
    assert command("--config", plan, "seed=7")[0] == 2
    assert not (tmp_path / "out/run.json").exists()
    assert verify.main([str(tmp_path / "out")]) == 2
