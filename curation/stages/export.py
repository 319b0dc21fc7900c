"""Writes the finished dataset: one file a split with every column, and the folders that trainers read.

Records come in order of id, merged from the sorted parts of all stages. So the bytes depend on neither partitions
nor workers, and memory holds one batch of each part at a time.
"""

from __future__ import annotations

import heapq
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path

import orjson
import pyarrow.parquet as pq

from curation.core.contracts import Exporter
from curation.core.records import SCHEMA, SEED, SPLITS, Record, digest
from curation.core.registry import Spec
from curation.engine.run import Run, describe
from curation.engine.store import Manifest, Stage, Store, writing

BATCH = 256


def export(run: Run, dataset: Sequence[Stage], specs: Sequence[Spec]) -> list[Manifest]:
    """The folders of all exporters; what an earlier run exported beside them is removed."""
    written = [_export(run, dataset, spec) for spec in specs]
    folders = {manifest.stage for manifest in written}
    for folder in run.store.root.glob("handoff/*/*"):
        if folder.relative_to(run.store.root).as_posix() not in folders:
            shutil.rmtree(folder)
    return written


def _export(run: Run, dataset: Sequence[Stage], spec: Spec) -> Manifest:
    """The files of one exporter for all splits, swapped in whole."""
    exporter: Exporter = spec.create()
    folder = run.store.root / exporter.folder
    left = [stage for stage in run.stages if stage.manifest.round > 0] if exporter.needs_left else []
    digests = (stage.digest for stage in (*dataset, *left))
    signature = digest(spec.name, spec.arguments, spec.code_version(), *digests)
    found = run.store.find(folder, signature)
    manifest = found or _write(run.store, dataset, left, exporter, folder, signature)
    run.progress.end(describe(manifest, cached=found is not None))
    return manifest


def _write(
    store: Store, dataset: Sequence[Stage], left: Sequence[Stage], exporter: Exporter, folder: Path, signature: str
) -> Manifest:
    started = time.monotonic()
    seen: Counter[str] = Counter()
    written: Counter[str] = Counter()
    with store.workspace(folder) as workspace, writing(workspace):
        for split in SPLITS:
            written[split] += exporter.write(split, [], workspace)  # an empty split has its file as well
        for batch in _batches(merged(dataset)):
            for split in SPLITS:
                rows = [row for row in batch if row["split"] == split]
                seen[split] += len(rows)
                written[split] += exporter.write(split, rows, workspace)
        for batch in _batches(_left(left)):
            exporter.write_left(batch, workspace)
        manifest = Manifest(
            stage=exporter.folder,
            round=0,
            signature=signature,
            rows_in=seen.total(),
            rows_out=written.total(),
            dropped={"incomplete": seen.total() - written.total()} if seen != written else {},
            settings={"splits": dict(written)},
            seconds=round(time.monotonic() - started, 3),
        )
        return store.publish(workspace, folder, manifest)


def merged(dataset: Sequence[Stage]) -> Iterator[Record]:
    """All records of the dataset in order of id, without seeds: those are no training data."""
    records = heapq.merge(*(_records(part) for stage in dataset for part in stage.parts), key=itemgetter("id"))
    return (record for record in records if record["origin"] != SEED)


def _left(stages: Iterable[Stage]) -> Iterator[Record]:
    """What left at these stages."""
    for stage in stages:
        parts = (_entries(part) for part in stage.left)
        yield from (orjson.loads(entry["record"]) for entry in heapq.merge(*parts, key=itemgetter("id")))


def _entries(part: Path) -> Iterator[Record]:
    with pq.ParquetFile(part) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=["id", "record"]):
            yield from batch.to_pylist()


def _records(part: Path) -> Iterator[Record]:
    with pq.ParquetFile(part) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=SCHEMA.names):
            yield from batch.to_pylist()


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, BATCH)):
        yield batch
