"""A journal of many replies: `python -m benchmarks.journal.run [--replies N] [--folder F]`.

Makes segments of N short replies, as the processes of an earlier run would leave them, and goes through the life of a
run, each step in a process of its own so that its peak memory is its own: the driver compacts (reads all segments once
and saves the index), a worker opens the journal and looks requests up, and 256 lanes ask a model that answers at once,
which leaves what journaling itself costs. CPU times are of the whole process, the thread that syncs included.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psutil

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.engine.append import Appender
from curation.engine.journal import Journal, Journaled

SEGMENTS = 32
LANES = 256
REQUESTS = 100 * LANES
LOOKUPS = 100_000
LINE = (
    b'{"completion":{"finish_reason":"stop","logprobs":null,"model":"m","texts":["x"],'
    b'"usage":{"completion_tokens":1,"prompt_tokens":1}},"key":"%s","model":"m"}\n'
)


def key(number: int) -> str:
    """Of a synthetic reply."""
    return blake2b(number.to_bytes(8), digest_size=16).hexdigest()


def make(folder: Path, replies: int) -> None:
    """Writes the segments."""
    folder.mkdir(parents=True)
    for segment in range(SEGMENTS):
        with (folder / f"host-{segment:02d}.jsonl").open("wb") as file:
            for number in range(segment, replies, SEGMENTS):
                file.write(LINE % key(number).encode())


def compact(folder: Path, replies: int) -> None:
    """The driver's start, twice: without and with a saved index."""
    journal, seconds = timed(lambda: Journal(folder))
    print(f"  read without an index: {seconds:.1f} s, {1e6 * seconds / replies:.1f} µs a reply")
    print(f"  memory of its own with the index grown in it: {own_memory() - EMPTY:,.0f} MB")
    _, seconds = timed(journal.compact)
    print(f"  compacted: {seconds:.1f} s; on disk {sum(path.stat().st_size for path in arrays(folder)) / 1e6:,.0f} MB")
    _, seconds = timed(journal.compact)
    print(f"  compacted again, nothing new: {seconds:.2f} s")
    assert len(journal) == replies


def look_up(folder: Path, replies: int) -> None:
    """A worker's start, and requests that are found and that are not."""
    journal, seconds = timed(lambda: Journal(folder))
    print(f"  opened: {1e3 * seconds:.1f} ms")
    rng = random.Random(3)
    absent = [key(replies + number) for number in range(LOOKUPS)]
    present = [key(rng.randrange(replies)) for _ in range(LOOKUPS)]
    for name, keys, expected in (("not there", absent, 0), ("there, its line read", present, LOOKUPS)):
        found, seconds = timed(lambda keys=keys: sum(journal.get(one) is not None for one in keys))  # type: ignore[misc]
        assert found == expected
        print(f"  a request that is {name}: {1e6 * seconds / LOOKUPS:.1f} µs")
    print(f"  memory of its own: {own_memory() - EMPTY:,.0f} MB")


class Instant(ChatModel):
    """Answers at once, with 500 bytes."""

    name = "instant"
    reply = Completion(("y" * 500,), "stop", Usage(500, 120), None, "instant")

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """Always the same."""
        await asyncio.sleep(0)
        return self.reply


def put(folder: Path, replies: int) -> None:
    """CPU time of a line, of a reply put, and of a request through `Journaled`, each by 256 lanes."""
    appender = Appender(folder / "lines", "the lines")
    line = b"x" * 3000 + b"\n"
    print(f"  append of 3 kB: {cpu_per_call(lambda _: appender.append(line)):.1f} µs of CPU")
    appender.close()
    journal = Journal(folder)
    text = "z" * 2000

    def keep(number: int) -> Any:
        return journal.put(key(replies + number), [{"role": "user", "content": text}], {}, "m", Instant.reply)

    print(f"  put of 3 kB: {cpu_per_call(keep):.1f} µs of CPU")
    bare, journaled = Instant(), Journaled(Instant(), journal)

    def ask(model: ChatModel) -> Callable[[int], Any]:
        return lambda number: model.chat(
            [{"role": "user", "content": f"{number} {text}"}], temperature=0.7, seed=number
        )

    cost = cpu_per_call(ask(journaled)) - cpu_per_call(ask(bare))
    print(f"  a request through Journaled, above its model: {cost:.1f} µs of CPU")
    journal.close()


def cpu_per_call(call: Callable[[int], Any]) -> float:
    """Microseconds of this process for each call that 256 lanes await, one after another."""

    async def lane(first: int) -> None:
        for number in range(first, REQUESTS, LANES):
            await call(number)

    async def run() -> float:
        started = time.process_time()
        await asyncio.gather(*(lane(first) for first in range(LANES)))
        return 1e6 * (time.process_time() - started) / REQUESTS

    return asyncio.run(run())


def arrays(folder: Path) -> list[Path]:
    """The files of the saved index."""
    return sorted(folder.glob("index-*/*.npy"))


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What it answers, and the seconds that it took."""
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def own_memory() -> float:
    """Of this process, in MB, without the pages of mapped files, which others share."""
    info = psutil.Process().memory_info()
    return float(info.rss - info.shared) / 1e6


EMPTY = own_memory()
"""Of a process that has imported everything and opened nothing."""
STEPS: dict[str, Callable[[Path, int], None]] = {"make": make, "compact": compact, "look-up": look_up, "put": put}


def step(name: str, folder: Path, replies: int) -> None:
    """Runs a step in this process and prints its peak memory."""
    print(f"{name}:", flush=True)
    STEPS[name](folder, replies)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"  peak memory of the process: {peak:,.0f} MB (of which {EMPTY:,.0f} MB are its modules)", flush=True)


def main() -> None:
    """Runs all steps, or in a process of theirs one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the journal is made for the time of the benchmark")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        step(options.step, options.folder, options.replies)
        return
    print(f"{options.replies:,} replies", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in STEPS:
            command = [sys.executable, "-m", "benchmarks.journal.run", "--replies", str(options.replies)]
            subprocess.run([*command, "--folder", f"{folder}/journal", "--step", name], check=True)


if __name__ == "__main__":
    main()
