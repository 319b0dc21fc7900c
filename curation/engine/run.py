"""One run: its folder, its cluster and its display. Runs a stage, or reads back what an earlier try published."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from inspect import getsource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq

from curation.core.records import COLUMNS, digest, frame, to_json
from curation.core.registry import Spec
from curation.engine import lift
from curation.engine.progress import Progress
from curation.engine.store import Manifest, Stage, Store

if TYPE_CHECKING:
    import dask.dataframe as dd
    from distributed import Client

Prepare = Callable[[Path], tuple["dd.DataFrame", lift.Work]]
"""Decides what a stage does: gets the stage's folder for files that the decision leaves, answers with the table to
work on and the work. Called only when the stage really runs."""


@dataclass
class Run:
    """What every stage is handed.

    Args:
        store: the output folder.
        client: the cluster.
        progress: the display.
        pool: the name of what its workers share when they ask models; empty where nobody asks.
        stages: every stage of this run so far, in order, whether it ran or was read back.
    """

    store: Store
    client: Client
    progress: Progress
    pool: str = ""
    stages: list[Stage] = field(default_factory=list)

    def stage(
        self,
        name: str,
        round_number: int,
        inputs: Sequence[Stage],
        settings: Mapping[str, Any],
        code: Iterable[Spec | str],
        prepare: Prepare,
        notes: Mapping[str, Any] | None = None,
    ) -> Stage:
        """The published stage `name` of a round: read back when nothing that it depends on has changed.

        Args:
            name: the folder's name, such as `20-clean`: the number gives the order within a round.
            inputs: the stages whose content it reads.
            settings: plain values that its result depends on; shown in the manifest.
            code: the components and modules whose source its result depends on.
            prepare: see `Prepare`.
            notes: plain values for the manifest that change no signature.
        """
        signature = self._signature(name, round_number, inputs, settings, code)
        folder = self.store.stage_folder(name, round_number)
        manifest = self.store.find(folder, signature)
        cached = manifest is not None
        if manifest is None:
            rows = sum(stage.manifest.rows_out for stage in inputs)
            manifest = self._run(name, round_number, folder, signature, settings, prepare, notes or {}, rows)
        stage = Stage(folder, manifest)
        self.stages.append(stage)
        self.progress.end(describe(manifest, cached))
        return stage

    def _run(
        self,
        name: str,
        round_number: int,
        folder: Path,
        signature: str,
        settings: Mapping[str, Any],
        prepare: Prepare,
        notes: Mapping[str, Any],
        rows: int,
    ) -> Manifest:
        started = time.monotonic()
        title = title_of(round_number, name.partition("-")[2])
        self.progress.begin(title, 0)
        with self.store.workspace(folder) as workspace:
            table, work = prepare(workspace)
            self.progress.begin(title, table.npartitions, rows)
            counts = lift.over(self.client, table, work, workspace, lambda part: self.progress.advance(part.rows_in))
            manifest = Manifest(
                stage=name.partition("-")[2],
                round=round_number,
                signature=signature,
                rows_in=sum(count.rows_in for count in counts),
                rows_out=sum(count.rows_out for count in counts),
                dropped=dict(sorted(sum((Counter(count.dropped) for count in counts), Counter()).items())),
                settings=dict(settings),
                notes=dict(notes),
                seconds=round(time.monotonic() - started, 3),
            )
            return self.store.publish(workspace, folder, manifest)

    def _signature(
        self,
        name: str,
        round_number: int,
        inputs: Sequence[Stage],
        settings: Mapping[str, Any],
        code: Iterable[Spec | str],
    ) -> str:
        versions = [
            item.code_version() if isinstance(item, Spec) else digest(getsource(import_module(item)))
            for item in ["curation.core.records", *code]
        ]
        return digest(name, round_number, to_json(settings), *versions, *(stage.digest for stage in inputs))


def table_of(stages: Sequence[Stage]) -> dd.DataFrame:
    """The rows that stages hand on, as one lazy table: a partition a file."""
    import dask.dataframe as dd

    parts = [str(part) for stage in stages for part in stage.parts]
    return dd.from_map(read_part, parts, meta=frame([]), enforce_metadata=False)


def read_part(path: str, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """One part file as a frame: all columns of `records.SCHEMA`, or some."""
    return pq.read_table(path, columns=list(columns)).to_pandas()


def columns_of(stages: Sequence[Stage], names: Sequence[str]) -> pd.DataFrame:
    """A few narrow columns of all rows that stages hand on, in memory."""
    tables = [read_part(str(part), names) for stage in stages for part in stage.parts]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(names))


def describe(manifest: Manifest, cached: bool) -> str:
    """One line about a stage: what came in, what left and why, what came out."""
    reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in manifest.dropped.items())
    left = f" (left: {reasons})" if reasons else ""
    time_spent = "from an earlier try" if cached else f"{manifest.seconds:.1f} s"
    title = title_of(manifest.round, manifest.stage)
    return f"{title:<22} {manifest.rows_in:>8,} -> {manifest.rows_out:>8,}{left}  [{time_spent}]"


def title_of(round_number: int, stage: str) -> str:
    """How the display calls a stage; an export, called like its folder, belongs to no round."""
    return stage if "/" in stage or stage == "final" else f"round {round_number}  {stage}"
