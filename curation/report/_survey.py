"""What the report shows of the rows: counted in one pass, with samples that stay small whatever the run's size.

A sample is drawn by the digest of ids, so that it is the same however the rows are partitioned.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from curation.core.records import COLUMNS, HUMAN, LEDGER_COLUMNS, SEED, SYNTHETIC, Record, digest, unit_interval
from curation.engine.store import Stage
from curation.report.finished import batches

SAMPLE = 20_000
"""Rows whose lengths and scores are drawn into charts."""
EXAMPLES = 3
"""Rows shown of each reason to leave."""
PAIRS = 6
"""New records shown beside their parents."""
MEASURED = ("question", "answer")


@dataclass
class Survey:
    """The dataset in numbers.

    Args:
        splits: rows by (split, origin), without seeds.
        seeds: what new records are written from and no split holds.
        strategies: synthetic rows by generator, which is a strategy's first word.
        words: the sampled rows' words, by field and origin.
        scores: the sampled synthetic rows' scores, by attribute.
        sampled: how many rows the charts are drawn from.
        chosen: ids of synthetic rows worth showing, of every strategy in turn.
    """

    splits: Counter[tuple[str, str]] = field(default_factory=Counter)
    seeds: int = 0
    strategies: Counter[str] = field(default_factory=Counter)
    words: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    sampled: int = 0
    chosen: list[str] = field(default_factory=list)


def survey(dataset: Sequence[Stage]) -> Survey:
    """Reads the dataset once."""
    result = Survey(words={name: {HUMAN: [], SYNTHETIC: []} for name in MEASURED})
    share = SAMPLE / max(1, sum(stage.manifest.rows_out for stage in dataset))
    candidates: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for batch in batches(parts_of(dataset), ("id", "split", "origin", "strategy", "scores", *MEASURED)):
        rows = batch.num_rows
        batch = batch.filter(pc.not_equal(batch.column("origin"), SEED))
        result.seeds += rows - batch.num_rows
        narrow = batch.select(["id", "split", "origin", "strategy"]).to_pydict()
        result.splits.update(zip(narrow["split"], narrow["origin"], strict=True))
        for identifier, origin, strategy in zip(narrow["id"], narrow["origin"], narrow["strategy"], strict=True):
            if origin == SYNTHETIC:
                name = strategy or "unnamed"
                result.strategies[name.partition(":")[0]] += 1
                _keep_smallest(candidates[name], (digest("pair", identifier), identifier), PAIRS)
        drawn = [share >= 1 or unit_interval("report", identifier) < share for identifier in narrow["id"]]
        _measure(result, batch.filter(pa.array(drawn, pa.bool_())))
    in_turn = chain.from_iterable(zip_longest(*(sorted(candidates[name]) for name in sorted(candidates))))
    result.chosen = [entry[1] for entry in in_turn if entry][:PAIRS]
    return result


def left_examples(folder: Path) -> dict[tuple[str, str], list[Record]]:
    """A few ledger entries by (stage, reason); their `record` is read."""
    found: dict[tuple[str, str], list[tuple[str, Any]]] = defaultdict(list)
    for batch in batches(sorted(folder.glob("*.parquet")), LEDGER_COLUMNS, 1024):
        keys = zip(*(batch.column(name).to_pylist() for name in ("stage", "reason")), strict=True)
        for row, (key, identifier) in enumerate(zip(keys, batch.column("id").to_pylist(), strict=True)):
            draw = digest("left", identifier, batch.column("detail")[row].as_py())
            if len(found[key]) < EXAMPLES or draw < max(found[key])[0]:
                entry = _Entry(batch.slice(row, 1).to_pylist()[0])
                _keep_smallest(found[key], (draw, entry), EXAMPLES)
    return {key: [entry.read() for _, entry in sorted(entries)] for key, entries in found.items()}


class _Entry:
    """A ledger entry that a heap can hold: equal digests are never compared further."""

    def __init__(self, entry: Record) -> None:
        self.entry = entry

    def __lt__(self, other: object) -> bool:
        return False

    def read(self) -> Record:
        """The entry with its row as a mapping."""
        return {**self.entry, "record": orjson.loads(self.entry["record"] or "{}")}


def rows_by_id(stages: Iterable[Stage], ids: Collection[str], columns: Sequence[str] = COLUMNS) -> dict[str, Record]:
    """The rows with these ids; an earlier stage wins."""
    wanted = pa.array(sorted(ids), pa.string())
    found: dict[str, Record] = {}
    for batch in batches(parts_of(stages), columns):
        if len(found) == len(wanted):
            break
        for row in batch.filter(pc.is_in(batch.column("id"), wanted)).to_pylist():
            found.setdefault(row["id"], row)
    return found


def parts_of(stages: Iterable[Stage]) -> list[Path]:
    """The files with the rows that stages hand on."""
    return [part for stage in stages for part in stage.parts]


def _measure(result: Survey, rows: Any) -> None:
    """Lengths and scores of sampled rows."""
    result.sampled += len(rows)
    for origin in (HUMAN, SYNTHETIC):
        own = rows.filter(pc.equal(rows.column("origin"), origin))
        for name in MEASURED:
            counts = pc.count_substring_regex(pc.fill_null(own.column(name), ""), r"\S+")
            result.words[name][origin] += counts.to_pylist()
    for scores in rows.filter(pc.equal(rows.column("origin"), SYNTHETIC)).column("scores").to_pylist():
        for name, value in orjson.loads(scores or "{}").items():
            result.scores.setdefault(name, []).append(float(value))


def _keep_smallest(entries: list[Any], entry: Any, count: int) -> None:
    if len(entries) < count:
        entries.append(entry)
    else:
        entries[:] = heapq.nsmallest(count, [*entries, entry])
