"""One run killed again and again: `python -m benchmarks.sdg.kills [--records 5000] [--kills 20]`.

The command line generates from every record; at random moments the driver or one of its workers is killed with
SIGKILL, and the same command is started again where the driver was. In the end the bytes must be those of a run that
nobody killed, and the server says how many replies it gave twice.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from benchmarks.sdg.caps import plan_for
from benchmarks.sdg.endpoint import Endpoint, running
from curation.config import dump

IN_FLIGHT = 64


def write_records(path: Path, count: int) -> None:
    """Short records that differ."""
    import json

    words = [f"word{number}" for number in range(400)]
    rng = random.Random(5)
    with path.open("w") as file:
        for number in range(count):
            texts = {name: " ".join(rng.sample(words, 40)) for name in ("question", "answer")}
            file.write(json.dumps({"id": str(number), "title": f"record {number}", **texts}) + "\n")


def start(config: Path, output: Path) -> subprocess.Popen[bytes]:
    """The command line in a session of its own."""
    command = [sys.executable, "-m", "curation.main", "--config", str(config), "--output", str(output)]
    command += ["--n-workers", "2", "--no-progress"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def final(output: Path) -> dict[str, bytes]:
    """The files that a run is for."""
    return {path.name: path.read_bytes() for path in sorted((output / "final").glob("*.jsonl"))}


def answered(endpoint: Endpoint) -> int:
    """Replies that the server has given."""
    return int(endpoint.stats()["served_replies"])


def hurt(process: subprocess.Popen[bytes], rng: random.Random) -> str:
    """Kills the driver or one worker."""
    workers = [one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
    if workers and rng.random() < 0.5:
        rng.choice(workers).kill()
        return "worker"
    process.send_signal(signal.SIGKILL)
    process.wait()
    return "driver"


def counted(endpoint: Endpoint) -> int:
    """Tokens by the server's count, those of replies that nobody took included."""
    stats = endpoint.stats()
    return int(stats["prompt_tokens"] + stats["completion_tokens"] + stats["abandoned_tokens"])


def finish(config: Path, output: Path, endpoint: Endpoint, marks: list[int], rng: random.Random) -> list[str]:
    """Starts the command until it ends well; kills once the server has given so many replies as each mark says."""
    kills: list[str] = []
    process = start(config, output)
    while process.poll() is None or process.returncode:
        if process.poll() is not None:
            process = start(config, output)
        if marks and answered(endpoint) >= marks[0] and process.poll() is None:
            marks.pop(0)
            kills.append(hurt(process, rng))
        time.sleep(0.05)
    return kills


def main() -> None:
    """Prints what the server counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    rng = random.Random(17)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    latency = {"median": 0.2, "sigma": 0.5, "reward_median": 0.1}
    with running() as endpoint, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_records(folder / "records.jsonl", options.records)
        values = yaml.safe_load(dump(plan_for(folder / "whole", folder / "records.jsonl", endpoint, {})))
        values["generation"]["generator"]["arguments"]["variants"] = 1
        values["generation"]["teacher"]["max_in_flight"] = values["generation"]["judge"]["max_in_flight"] = IN_FLIGHT
        config = folder / "plan.yaml"
        config.write_text(yaml.safe_dump(values))
        endpoint.reset(**latency)
        finish(config, folder / "whole", endpoint, [], rng)
        whole, tokens = answered(endpoint), counted(endpoint)

        # Moments are drawn by replies, so that all of them fall into the generation.
        endpoint.reset(**latency)
        marks = sorted(rng.randrange(1, whole) for _ in range(options.kills))
        kills = finish(config, folder / "killed", endpoint, marks, rng)
        stats = endpoint.stats()
        same = final(folder / "whole") == final(folder / "killed")
        print(f"{len(kills)} kills ({kills.count('driver')} of the driver, {kills.count('worker')} of a worker)")
        print(f"same bytes as without kills: {same}")
        print(f"replies given twice: {stats['repaid']} of {whole:,}; requests out at the kills: {stats['abandoned']}")

        values["budget"]["max_tokens"] = cap = tokens * 2 // 3
        config.write_text(yaml.safe_dump(values))
        endpoint.reset(**latency)
        marks = sorted(rng.randrange(1, whole // 2) for _ in range(options.kills // 4))
        kills = finish(config, folder / "capped", endpoint, marks, rng)
        print(f"with {len(kills)} kills and a bound of {cap:,} tokens: the server counted {counted(endpoint):,}")
        sound = same and stats["repaid"] <= stats["abandoned"] and counted(endpoint) <= cap
    raise SystemExit(0 if sound else 1)


if __name__ == "__main__":
    main()
