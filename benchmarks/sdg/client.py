"""One client in a process of its own, so that its CPU time and memory are its own: see `run.py`.

`ideal` is what no client can beat: an aiohttp session, a fixed number of lanes, no journal, no retries. `ours` is the
path that a worker takes: share, guard, journal, log of what is spent, and every reply read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from curation.core.errors import RequestError
from curation.engine import lift, share
from curation.engine.guard import Guard
from curation.engine.journal import Journal, Journaled
from curation.engine.pace import Limits
from curation.engine.share import Terms
from curation.engine.spending import Spending
from curation.models.openai_compatible import OpenaiCompatible

WORDS = " ".join(f"word{number}" for number in range(120))


def prompt(row: int) -> str:
    """Of about 1,000 characters."""
    return f"Rewrite row {row} in other words. [[row={row}]] {WORDS}"


async def ideal(url: str, rows: range, in_flight: int) -> Counter[str]:
    """The yardstick."""
    done: Counter[str] = Counter()
    waiting = iter(rows)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def lane() -> None:
            for row in waiting:
                body = {"model": "teacher", "messages": [{"role": "user", "content": prompt(row)}], "max_tokens": 256}
                async with session.post(f"{url}/chat/completions", data=orjson.dumps(body)) as answer:
                    reply = orjson.loads(await answer.read())
                done["kept" if reply["choices"][0]["message"]["content"].endswith("[[end]]") else "bad"] += 1

        await asyncio.gather(*(lane() for _ in range(in_flight)))
    return done


async def ours(
    url: str, rows: range, in_flight: int, folder: Path, patience: float, per_minute: float | None
) -> Counter[str]:
    """Our way from a row to a durable reply."""
    done: Counter[str] = Counter()
    limits = {url: Limits(in_flight, requests_per_minute=per_minute)}
    mine = share.local(limits, spending=Spending(folder / "spending", durable=False))
    guard = Guard(OpenaiCompatible("teacher", url, timeout=patience), mine, Terms(url, "teacher"))
    journal = Journal(folder / "journal")
    model = Journaled(guard, journal, tally=guard.tally)

    async def ask(row: int) -> None:
        try:
            reply = await model.chat([{"role": "user", "content": prompt(row)}], max_tokens=256, temperature=0.5)
            done["kept" if reply.text.endswith("[[end]]") else "bad"] += 1
        except RequestError as error:
            done[error.reason] += 1

    # As a stage does: one table of a bounded size after another, the next begun before the last reply of this one.
    await lift.window(rows, ask, 2 * in_flight)
    await model.close()
    journal.close()
    mine.close()
    return done


def main() -> None:
    """Prints one JSON object: `wall`, `cpu` (seconds), `rss` (MB), and how many rows ended how."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=("ideal", "ours"))
    parser.add_argument("url")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--per-minute", type=float)
    options = parser.parse_args()
    rows = range(options.first, options.first + options.rows)
    work: Coroutine[Any, Any, Counter[str]]
    if options.who == "ideal":
        work = ideal(options.url, rows, options.in_flight)
    else:
        work = ours(options.url, rows, options.in_flight, options.folder, options.timeout, options.per_minute)
    wall, cpu = time.monotonic(), time.process_time()
    done = lift.run_async(work)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "wall": time.monotonic() - wall,
                "cpu": time.process_time() - cpu,
                "rss": usage.ru_maxrss / 1024,
                "done": dict(done),
            }
        )
    )


if __name__ == "__main__":
    main()
