"""Memory and speed of a whole run at two sizes: `python -m benchmarks.scale.run [--small N] [--large N]`.

Records are made from the shared StackExchange data: each mixes sentences of two questions, and of their answers, so
that markup and characters are real, and few are near duplicates of each other. Questions are kept short (about 60
words), since at this size nearly all of the time goes into embedding them. Each size is run by the command line, as a
user would, in a process of its own; the memory of every worker is sampled while it runs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson
import psutil

DATA = Path(os.environ.get("CURATION_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SENTENCE = re.compile(r"(?<=[.?!])\s+")


def records(count: int) -> Iterator[dict[str, Any]]:
    """Raw records in the shape of Law StackExchange, each of two real ones."""
    rows = [row for path in sorted((DATA / "stackexchange").glob("*.json")) for row in orjson.loads(path.read_bytes())]
    rows = [row for row in rows if row["answers"]]
    rng = random.Random(7)
    for number in range(count):
        one, other = rng.sample(rows, 2)
        yield {
            "question_id": number,
            "question_title": f"{one['question_title']} {other['question_title']}",
            "question_body": mixed(rng, one["question_body"], other["question_body"], words=60),
            "score": one["score"],
            "tags": one["tags"],
            "answers": [
                {
                    "answer_id": number,
                    "body": mixed(rng, one["answers"][0]["body"], other["answers"][0]["body"], words=200),
                    "score": other["answers"][0]["score"],
                }
            ],
        }


def mixed(rng: random.Random, one: str, other: str, words: int) -> str:
    """Sentences of two texts in a drawn order, until there are so many words."""
    sentences = SENTENCE.split(one) + SENTENCE.split(other)
    rng.shuffle(sentences)
    lengths = accumulate(len(sentence.split()) for sentence in sentences)
    enough = next((place for place, length in enumerate(lengths, 1) if length >= words), len(sentences))
    return "<p>" + " ".join(sentences[:enough]) + "</p>"


def write(path: Path, count: int) -> None:
    """The records as one JSON array, as the real dataset comes."""
    with path.open("w") as file:
        for number, record in enumerate(records(count)):
            file.write(("[" if number == 0 else ",") + json.dumps(record) + "\n")
        file.write("]")


def measure(count: int, workers: int, more: list[str]) -> dict[str, float]:
    """Runs the command line on `count` records; peak memory of each process in MB, and rows per second."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "law.json", Path(folder) / "out"
        write(source, count)
        command = [sys.executable, "-m", "curation.main", "--input", str(source), "--output", str(output)]
        command += ["--n-workers", str(workers), "--synth-gen-rounds", "0", "--no-progress", *more]
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peaks = watch(process)
        seconds = time.monotonic() - started
        if process.returncode:
            raise SystemExit(f"the run of {count} records failed")
        stages = json.loads((output / "run.json").read_text())["stages"]
        for stage in stages:
            print(f"    {stage['stage']:<8} {stage['rows_in']:>8,} rows {stage['seconds']:>8.1f} s")
        own = peaks.pop(process.pid, 0.0)
        return {"seconds": seconds, "rows/s": count / seconds, "driver MB": own, "worker MB": max(peaks.values())}


def watch(process: subprocess.Popen[bytes]) -> dict[int, float]:
    """The highest resident memory of the process and of each below it, in MB, until it ends."""
    peaks: dict[int, float] = {}
    while process.poll() is None:
        try:
            root = psutil.Process(process.pid)
            for one in [root, *root.children(recursive=True)]:
                peaks[one.pid] = max(peaks.get(one.pid, 0.0), one.memory_info().rss / 1e6)
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.5)
    return peaks


def main() -> None:
    """Prints both sizes and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("overrides", nargs="*", help="further arguments of curation.main, such as key=value")
    options = parser.parse_args()
    results = {}
    for count in (options.small, options.large):
        print(f"{count:,} records, {options.workers} workers", flush=True)
        results[count] = measure(count, options.workers, options.overrides)
        print("   ", ", ".join(f"{name} {value:,.1f}" for name, value in results[count].items()), flush=True)
    small, large = results[options.small], results[options.large]
    print(f"rows/s of the large run / the small run: {large['rows/s'] / small['rows/s']:.2f}")
    print(f"peak memory of a worker: {large['worker MB']:,.0f} MB (bound: 4,000)")


if __name__ == "__main__":
    main()
