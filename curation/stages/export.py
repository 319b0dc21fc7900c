"""Writes the finished dataset: one file a split with every column, and the folders that trainers read.

Records come in order of id, merged from the sorted parts of all stages. So the bytes depend on neither partitions
nor workers, and memory holds one batch of each part at a time.
"""

from __future__ import annotations

import heapq
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from inspect import getsource
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow.parquet as pq

from curation.config import Plan
from curation.core.contracts import Exported, Exporter
from curation.core.records import LEDGER_SCHEMA, REASON, SCHEMA, SEED, SPLITS, Record, digest, to_json
from curation.core.registry import Spec
from curation.engine import ledger
from curation.engine.run import Run, describe
from curation.engine.store import MANIFEST, Manifest, Stage, Store, writing
from curation.stages._provenance import provenance

BATCH = 256
LEFT = "left-00000.parquet"
"""The ledger entries of what a form could not take."""


def export(run: Run, dataset: Sequence[Stage], specs: Sequence[Spec], plan: Plan) -> list[Manifest]:
    """The folders of all exporters; what an earlier run exported beside them is removed.

    A folder within another's is written after it, since that one is swapped in whole.
    """
    told = provenance(plan, run.stages)
    exporters = [(spec, spec.create()) for spec in specs]
    inner_last = sorted(exporters, key=lambda pair: pair[1].folder.count("/"))
    written = {exporter.folder: _export(run, dataset, spec, exporter, told) for spec, exporter in inner_last}
    _remove_others(run.store.root, written)
    return [written[exporter.folder] for _, exporter in exporters]


def _remove_others(root: Path, written: Iterable[str]) -> None:
    """Removes what earlier runs exported and this one did not, also within a folder of this one, and around it."""
    wanted = {root / folder for folder in written}
    leading = {parent for folder in wanted for parent in folder.parents}
    for path in sorted([*root.glob(f"*/{MANIFEST}"), *root.glob(f"handoff/**/{MANIFEST}")]):
        manifest, folder = Manifest.read(path.parent), path.parent
        if folder in wanted or not manifest or manifest.stage != folder.relative_to(root).as_posix():
            continue
        for entry in [entry for entry in folder.iterdir() if entry not in wanted | leading]:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if folder not in leading:
            folder.rmdir()


def _export(run: Run, dataset: Sequence[Stage], spec: Spec, exporter: Exporter, told: Mapping[str, Any]) -> Manifest:
    """The files of one exporter for all splits, swapped in whole."""
    folder = run.store.root / exporter.folder
    left = [stage for stage in run.stages if stage.manifest.round > 0] if exporter.needs_left else []
    digests = (stage.digest for stage in (*dataset, *left))
    facts = told if exporter.tells_run else {}
    made_by = (spec.name, spec.arguments, spec.code_version(), exporter.fingerprint(), to_json(facts))
    signature = digest(*made_by, digest(getsource(sys.modules[__name__])), *digests)
    found = run.store.find(folder, signature)
    manifest = found or _Export(run.store, exporter, folder).write(dataset, left, facts, signature)
    run.progress.end(describe(manifest, cached=found is not None))
    return manifest


@dataclass
class _Export:
    """One exporter at work, and what it has done so far.

    Args:
        folder: where its files will lie.
        counts: records handed to it, by split and by origin.
        written: records that it says it wrote, by split.
        refused: records that it could not take, by reason.
    """

    store: Store
    exporter: Exporter
    folder: Path
    counts: dict[str, Counter[str]] = field(default_factory=lambda: {split: Counter() for split in SPLITS})
    licenses: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    _ledger: Any = None

    def write(
        self, dataset: Sequence[Stage], left: Sequence[Stage], facts: Mapping[str, Any], signature: str
    ) -> Manifest:
        started = time.monotonic()
        with self.store.workspace(self.folder) as workspace, writing(workspace):
            for split in SPLITS:
                self._write(split, [], workspace)  # an empty split has its file as well
            with ExitStack() as stack:
                for batch in _batches(merged(dataset)):
                    kept = self._refuse(batch, workspace, stack)
                    for split in SPLITS:
                        self._write(split, [row for row in kept if row["split"] == split], workspace)
            for batch in _batches(_left(left)):
                self.exporter.write_left(batch, workspace)
            dropped = dict(sorted(self.refused.items()))
            exported = Exported(
                counts={split: dict(sorted(counts.items())) for split, counts in self.counts.items()},
                licenses=dict(sorted(self.licenses.items())),
                refused=dropped,
                run=facts,
            )
            settings = {"splits": dict(self.written), **self.exporter.finish(workspace, exported)}
            rows = sum(settings["splits"].values())
            manifest = Manifest(
                stage=self.exporter.folder,
                round=0,
                signature=signature,
                rows_in=rows + sum(dropped.values()),
                rows_out=rows,
                dropped=dropped,
                settings=settings,
                seconds=round(time.monotonic() - started, 3),
            )
            return self.store.publish(workspace, self.folder, manifest)

    def _refuse(self, batch: list[Record], workspace: Path, stack: ExitStack) -> list[Record]:
        """The rows that the exporter takes; the others go to the ledger, which is opened for the first of them."""
        refused = {refusal.id: asdict(refusal) for refusal in self.exporter.refuse(batch)}
        if not refused:
            return batch
        if self._ledger is None:
            self._ledger = stack.enter_context(pq.ParquetWriter(workspace / LEFT, LEDGER_SCHEMA, compression="zstd"))
        rows = pd.DataFrame([{**row, **refused[row["id"]]} for row in batch if row["id"] in refused])
        self._ledger.write_table(ledger.to_arrow(ledger.entries(rows, self.exporter.folder, 0), LEDGER_SCHEMA))
        self.refused.update(rows["reason"])
        return [row for row in batch if row["id"] not in refused]

    def _write(self, split: str, rows: Sequence[Record], workspace: Path) -> None:
        self.written[split] += self.exporter.write(split, rows, workspace)
        self.counts[split].update(row["origin"] for row in rows)
        named = (orjson.loads(row["extra"] or "{}").get("license") for row in rows)
        self.licenses.update(name for name in named if isinstance(name, str) and name)


def merged(dataset: Sequence[Stage]) -> Iterator[Record]:
    """All records of the dataset in order of id, without seeds: those are no training data."""
    records = heapq.merge(*(_records(part) for stage in dataset for part in stage.parts), key=itemgetter("id"))
    return (record for record in records if record["origin"] != SEED)


def _left(stages: Iterable[Stage]) -> Iterator[Record]:
    """What left at these stages, each with its reason."""
    for stage in stages:
        parts = (_entries(part) for part in stage.left)
        for entry in heapq.merge(*parts, key=itemgetter("id")):
            yield {**orjson.loads(entry["record"]), REASON: entry["reason"]}


def _entries(part: Path) -> Iterator[Record]:
    with pq.ParquetFile(part) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=["id", "reason", "record"]):
            yield from batch.to_pylist()


def _records(part: Path) -> Iterator[Record]:
    with pq.ParquetFile(part) as file:
        for batch in file.iter_batches(batch_size=BATCH, columns=SCHEMA.names):
            yield from batch.to_pylist()


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, BATCH)):
        yield batch
