"""Near duplicates by words: `python -m benchmarks.dedup.fuzzy [--records N]`.

Random texts of about 100 words, one in twenty a copy of another with one to five typos, and a tenth more of one
template with a changing number, and as many of one text. The deduper's pairs in a sample are compared with all pairs
by brute force, on the shingles as strings. Recall is counted on pairs of typos, as copies and crowds are not listed
pair by pair; who leaves is compared for all. One process; datasketch is timed too where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd

from curation.core.pairs import keep_best, normalize
from curation.core.records import Record, frame, human, quality_rank
from curation.dedupers.fuzzy import Fuzzy

WORDS = 100  # a text, about
VOCABULARY = 20_000
TYPOS = 20  # one text in so many is a copy with typos
NGRAM = 3
THRESHOLD = 0.8
PARTITIONS = 8
SAMPLE = 3000

T = TypeVar("T")


def texts_of(count: int, seed: int = 7) -> dict[str, list[str]]:
    """The texts of each kind; the copies with typos stand beside their originals, at the front of `random`."""
    chance = random.Random(seed)
    words = ["".join(chance.choice("abcdefghijklmnoprstuvw") for _ in range(7)) for _ in range(VOCABULARY)]

    def text() -> str:
        return " ".join(chance.choices(words, k=chance.randint(WORDS - 10, WORDS + 10)))

    copies = count // TYPOS
    originals = [text() for _ in range(count - copies)]
    pairs = [each for original in originals[:copies] for each in (original, with_typos(original, chance))]
    template, same = text(), text()
    filled = [f"{template} {number}" for number in range(count // 10)]
    return {"random": pairs + originals[copies:], "template": filled, "copies": [same] * (count // 10)}


def with_typos(text: str, chance: random.Random) -> str:
    words = text.split()
    for place in chance.sample(range(len(words)), chance.randint(1, 5)):
        words[place] = words[place][:-1] + "xyz"[chance.randrange(3)]
    return " ".join(words)


def records_of(texts: dict[str, list[str]]) -> list[Record]:
    return [human(f"{kind}-{n:06d}", question=text) for kind, column in texts.items() for n, text in enumerate(column)]


def table_of(records: Sequence[Record]) -> dd.DataFrame:
    """The records as a lazy table, in another order."""
    mixed = random.Random(1).sample(records, len(records))
    parts = [mixed[start::PARTITIONS] for start in range(PARTITIONS)]
    return dd.from_map(frame, parts, meta=frame([]), enforce_metadata=False)


def shingles(text: str) -> set[str]:
    words = normalize(text).split()
    return {" ".join(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1)}


def every_pair(records: Sequence[Record]) -> pd.DataFrame:
    """All pairs at or above the threshold, by the product of the matrix of shingles with itself."""
    from scipy.sparse import csr_array, triu  # type: ignore[import-untyped]

    sets = [shingles(record["question"] or "") for record in records]
    number: dict[str, int] = {}
    columns = [number.setdefault(each, len(number)) for one in sets for each in one]
    sizes = np.array([len(one) for one in sets])
    borders = np.concatenate([[0], np.cumsum(sizes)])
    matrix = csr_array((np.ones(len(columns), np.int32), columns, borders), shape=(len(sets), len(number)))
    shared = triu(matrix @ matrix.T, k=1).tocoo()
    index = (shared.data / (sizes[shared.row] + sizes[shared.col] - shared.data)).round(6)
    near = index >= THRESHOLD
    names = np.array([record["id"] for record in records], dtype=object)
    return pd.DataFrame({"id": names[shared.row[near]], "kept_id": names[shared.col[near]], "similarity": index[near]})


def compare(records: Sequence[Record], deduper: Fuzzy) -> None:
    """Prints recall, false pairs, and whether the same records leave, against brute force."""
    found, every = deduper.find(table_of(records)), every_pair(records)
    ours, theirs = (set(map(frozenset, part[["id", "kept_id"]].to_numpy())) for part in (found, every))
    typos = {pair for pair in theirs if all(name.startswith("random") for name in pair)}
    print(
        f"{len(records):,} records by brute force: recall {len(typos & ours) / len(typos):.4f} of {len(typos):,} pairs "
        f"of typos, {len(ours - theirs)} false pairs of {len(ours):,}"
    )
    table = frame(records).assign(length=[len(record["question"] or "") for record in records])
    rank = pd.Series(quality_rank(table).to_numpy(), index=table["id"].to_numpy())
    mine, full = (set(keep_best(part, rank, THRESHOLD)["id"]) for part in (found, every))
    print(f"who leaves: {len(full):,} by brute force, {len(full - mine)} of them stay, {len(mine - full)} others leave")


def datasketch_pairs(records: Sequence[Record], permutations: int) -> int:
    """How many candidates datasketch answers with; they are not verified."""
    library: Any = importlib.import_module("datasketch")
    index = library.MinHashLSH(threshold=THRESHOLD, num_perm=permutations)
    found = 0
    for record in records:
        signature = library.MinHash(num_perm=permutations)
        signature.update_batch([each.encode() for each in shingles(record["question"] or "")])
        found += len(index.query(signature))
        index.insert(record["id"], signature)
    return found


def timed(name: str, work: Callable[[], T]) -> T:
    """What `work` answers with; prints its CPU seconds, and the peak memory before and after."""
    before, started = peak(), time.process_time()
    result = work()
    seconds = time.process_time() - started
    print(f"{name:<12} {seconds:8.2f} CPU s, peak memory {before:,.0f} MB before, {peak():,.0f} MB after", flush=True)
    return result


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    options = parser.parse_args()
    deduper = Fuzzy(THRESHOLD, ngram=NGRAM, unit="word")
    texts = texts_of(options.records)
    records, table = records_of(texts), table_of(records_of(texts))
    with dask.config.set(scheduler="synchronous"):
        found = timed("fuzzy", lambda: deduper.find(table))
        print(f"{len(records):,} records, {len(found):,} pairs")
        share = {"random": SAMPLE // 2, "template": SAMPLE // 4, "copies": SAMPLE // 4}
        compare(records_of({kind: column[: share[kind]] for kind, column in texts.items()}), deduper)
    if importlib.util.find_spec("datasketch"):
        count = timed("datasketch", lambda: datasketch_pairs(records, deduper.permutations))
        print(f"datasketch: {count:,} candidates")


if __name__ == "__main__":
    main()
