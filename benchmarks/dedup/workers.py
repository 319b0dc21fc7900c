"""The same records stay, whatever does the work: `python -m benchmarks.dedup.workers [--texts N]`.

Texts of real English (`embed.py`), every other one an edited copy, are deduplicated on 1, 2 and 4 workers, in other
orders, partitions and blocks, in single and in half precision, with and without crowds. The ids that stay must be the
same each time, or the program fails.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from hashlib import blake2b

import dask.dataframe as dd
import pandas as pd
from distributed import Client, LocalCluster

from benchmarks.dedup.embed import passages
from curation.core.pairs import keep_best
from curation.core.records import frame, human, quality_rank
from curation.dedupers.semantic import Semantic

WORKERS = (1, 2, 4)
WORDS = 30
THRESHOLD, LOWEST = 0.95, 0.85


def records(count: int) -> pd.DataFrame:
    """Records that differ in their scores, with a template among them that was filled in often."""
    texts = passages(count * 4 // 5, WORDS, random.Random(3))
    texts += [f"The office in room {number} is open to visitors from nine to five" for number in range(count // 5)]
    rows = [
        human(f"{number:06d}", question=text, question_score=float(number % 7)) for number, text in enumerate(texts)
    ]
    return frame(rows)


def stays(table: pd.DataFrame, precision: str, seed: int) -> list[str]:
    """The ids that are left, from a shuffled table in `seed` + 2 partitions."""
    shuffled = table.sample(frac=1, random_state=seed)
    parts = dd.from_pandas(shuffled.reset_index(drop=True), npartitions=seed + 2, sort=False)
    narrow = table.assign(length=table["question"].str.len())
    rank = pd.Series(quality_rank(narrow).to_numpy(), index=table["id"].to_numpy())
    with tempfile.TemporaryDirectory() as cache:
        deduper = Semantic(THRESHOLD, precision=precision, cache=cache, lowest=LOWEST, block_size=4096 // (seed + 1))
        pairs = deduper.find(parts)
    left = keep_best(pairs, rank, THRESHOLD)["id"]
    return sorted(set(table["id"]) - set(left))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    table = records(parser.parse_args().texts)
    kept: set[str] = set()
    for seed, workers in enumerate(WORKERS):
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
            for precision in ("fp32", "bf16"):
                ids = stays(table, precision, seed)
                name = blake2b("\n".join(ids).encode(), digest_size=8).hexdigest()
                kept.add(name)
                print(f"{workers} workers, {precision}: {len(ids):,} of {len(table):,} stay ({name})", flush=True)
    if len(kept) > 1:
        raise SystemExit("not the same records stay")


if __name__ == "__main__":
    main()
