"""Budgets against the server's own count: `python -m benchmarks.sdg.caps [--runs 50] [--workers 4]`.

Each run generates from the same records on one cluster, in a folder of its own and under a random bound of tokens or
of requests; a fifth of the requests meet a fault. What the server has counted must never exceed the bound.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path

from benchmarks.sdg.endpoint import Endpoint, running
from curation import rounds
from curation.config import Keys, Plan
from curation.engine.cluster import connect
from curation.engine.progress import Silent
from curation.engine.run import Run
from curation.engine.store import Store

FAULTS = {"p_429": 0.05, "p_500": 0.05, "p_drop": 0.03, "p_dropmid": 0.03, "p_badjson": 0.04, "retry_after": 0}
RECORDS = 120


def write_records(path: Path) -> None:
    """Short records that differ."""
    words = [f"word{number}" for number in range(400)]
    rng = random.Random(3)
    with path.open("w") as file:
        for number in range(RECORDS):
            texts = {name: " ".join(rng.sample(words, 60)) for name in ("question", "answer")}
            file.write(json.dumps({"id": str(number), "title": f"record {number}", **texts}) + "\n")


def plan_for(output: Path, source: Path, endpoint: Endpoint, bound: dict[str, int]) -> Plan:
    """Two variants of every training record, each judged."""
    return Plan.model_validate(
        {
            "output": output,
            "input": [str(source)],
            "clean": [],
            "dedup": {"semantic": None},
            "rounds": {"count": 1, "ratio": 1.0},
            "generation": {
                "generator": {"name": "paraphrase", "arguments": {"variants": 2, "max_tokens": 400}},
                "teacher": {"model": "teacher", "endpoint": endpoint.url, "timeout": 20},
                "judge": {"model": "nvidia/nemotron-4-340b-reward", "max_reply_tokens": 64},
            },
            "budget": bound,
        }
    )


def main() -> None:
    """Prints each run's bound and count; exits 1 if one exceeds its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    rng = random.Random(11)
    broken, used = 0, []
    with running() as endpoint, tempfile.TemporaryDirectory() as name, connect(n_workers=options.workers) as client:
        folder = Path(name)
        write_records(folder / "records.jsonl")
        for number in range(options.runs):
            endpoint.reset(median=0.03, sigma=0.5, reward_median=0.02, seed=number, **FAULTS)
            what, bound = rng.choice(
                [("max_tokens", rng.randint(3_000, 120_000)), ("max_requests", rng.randint(5, 400))]
            )
            plan = plan_for(folder / f"out{number}", folder / "records.jsonl", endpoint, {what: bound})
            result = rounds.curate(Run(Store(plan.output), client, Silent()), plan, Keys())
            stats = endpoint.stats()
            tokens = stats["prompt_tokens"] + stats["completion_tokens"] + stats["abandoned_tokens"]
            counted = tokens if what == "max_tokens" else stats["requests"]
            broken += counted > bound
            used.append(counted / bound)
            print(f"{number:>3} {what} {bound:>8,}: the server counted {counted:>8,} ({result.ended})", flush=True)
    print(
        f"{broken} of {options.runs} runs exceeded their bound; on average {sum(used) / len(used):.0%} of it was used"
    )
    raise SystemExit(1 if broken else 0)


if __name__ == "__main__":
    main()
