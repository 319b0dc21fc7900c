"""No row is lost and none comes from nowhere: at each stage and export, in the ledger, and over the whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from curation.core.records import HUMAN, LEDGER_COLUMNS, digest, to_json
from curation.engine.store import Stage
from curation.report.finished import batches
from curation.verify.evidence import Evidence, values_of


def balance(evidence: Evidence) -> Iterator[str]:
    """At each stage and export rows in = rows out + ledger, in the manifest and in the files."""
    for stage in evidence.run.stages:
        manifest, name = stage.manifest, evidence.shown(stage.folder)
        rows = sum(_length(part) for part in stage.parts)
        left = Counter(values_of(stage.left, "reason"))
        if manifest.rows_in != manifest.rows_out + sum(manifest.dropped.values()):
            yield f"{name}: {manifest.rows_in} in, {manifest.rows_out} out, {sum(manifest.dropped.values())} left"
        if rows != manifest.rows_out:
            yield f"{name}: {rows} rows in its files, {manifest.rows_out} in its manifest"
        if left != Counter(manifest.dropped):
            yield f"{name}: its files hold the departures {dict(left)}, its manifest {manifest.dropped}"
    for stage in evidence.exports:
        manifest, name = stage.manifest, evidence.shown(stage.folder)
        left = Counter(values_of(stage.left, "reason"))
        if left != Counter(manifest.dropped) or manifest.rows_in != manifest.rows_out + left.total():
            yield f"{name}: {manifest.rows_in} in, {manifest.rows_out} out, and in its ledger {dict(left)}"


def flow(evidence: Evidence) -> Iterator[str]:
    """Each stage took in exactly the records that the one before it handed on."""
    for stages in evidence.run.rounds:
        for before, stage in pairwise(stages):
            name = evidence.shown(stage.folder)
            came = values_of(before.parts, "id")
            if stage.manifest.stage == "synthesize":
                for identifier in set(came) ^ set(values_of([*stage.parts, *stage.left], "parent_id")):
                    yield f"{name}: parent {identifier} has no record here, or is none of the round's parents"
                continue
            went = Counter(values_of([*stage.parts, *stage.left], "id"))
            went.subtract(came)
            for identifier, surplus in went.items():
                if surplus:
                    yield f"{name}: record {identifier} {'came from nowhere' if surplus > 0 else 'is lost'}"
        if stages[0].manifest.stage == "parents":
            yield from _parents(evidence, stages[0])


def _parents(evidence: Evidence, stage: Stage) -> Iterator[str]:
    """Only human records of train, and seeds, are written from."""
    final = evidence.final
    allowed = {*final.loc[(final["file"] == "train") & (final["origin"] == HUMAN), "id"], *evidence.seeds["id"]}
    for identifier, count in Counter(values_of(stage.parts, "id")).items():
        if identifier not in allowed or count > 1:
            yield f"{evidence.shown(stage.folder)}: {identifier} is no human record of train, or was drawn twice"


def ledger(evidence: Evidence) -> Iterator[str]:
    """`ledger/` is the copy of what the `left-*` files of stages and exports hold."""
    folder = evidence.run.root / "ledger"
    every = [*evidence.run.stages, *evidence.exports]
    stages = {_ledger_file(evidence, stage): stage for stage in every if stage.manifest.dropped}
    for name in sorted({path.name for path in folder.glob("*.parquet")} ^ set(stages)):
        yield f"ledger/{name} {'is missing' if name in stages else 'belongs to no stage of this run'}"
    for name, stage in stages.items():
        if not (folder / name).is_file():
            continue
        differences = _entries([folder / name])
        differences.subtract(_entries(stage.left))
        for (identifier, _), surplus in differences.items():
            if surplus:
                yield f"ledger/{name}: {identifier} {'is no departure' if surplus > 0 else 'is missing'}"
        for identifier, where in zip(*(values_of(stage.left, column) for column in ("id", "stage")), strict=True):
            if where != stage.manifest.stage:
                yield f"ledger/{name}: {identifier} is said to have left at {where}"


def _ledger_file(evidence: Evidence, stage: Stage) -> str:
    return f"{'-'.join(stage.folder.relative_to(evidence.run.root).parts[-2:])}.parquet"


def _entries(files: Sequence[Path]) -> Counter[tuple[str, str]]:
    """How often each entry occurs, by its id and a hash of all its columns."""
    rows = (row for batch in batches(files, LEDGER_COLUMNS) for row in batch.to_pylist())
    return Counter((row["id"], digest(to_json(row))) for row in rows)


def totals(evidence: Evidence) -> Iterator[str]:
    """Whatever the source held or a generator was asked for is in the dataset or in the ledger."""
    human = int((evidence.final["origin"] == HUMAN).sum())
    for origin, entrance, stays, rounds in (
        ("human", "read", human + len(evidence.seeds), evidence.run.rounds[:1]),
        ("synthetic", "synthesize", len(evidence.final) - human, evidence.run.rounds[1:]),
    ):
        came = sum(stage.manifest.rows_in for stage in evidence.run.named(entrance))
        left = sum(_length(path) for stages in rounds for stage in stages for path in stage.left)
        if came != stays + left:
            yield f"{came} {origin} records came, {stays} are in final/ and {left} in the ledger"


def _length(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)
