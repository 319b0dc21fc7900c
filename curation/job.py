"""From a plan to a finished folder: lock, cluster, rounds, report."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import pandas as pd

from curation import rounds, summary
from curation.config import Keys, Plan, dump
from curation.core.records import LEDGER_SCHEMA
from curation.engine import cluster, progress
from curation.engine.lift import write_parquet
from curation.engine.run import Run
from curation.engine.store import Stage, Store, write_durably, write_json, writing


def run(plan: Plan, keys: Keys, dry: bool = False, quiet: bool = False) -> int:
    """Runs the plan, or only estimates what it would ask of models.

    Returns:
        The exit code 0; everything else is an error.

    Raises:
        CurationError: what a user can mend.
        SystemExit: with 143 after a SIGTERM.
    """
    store = Store(plan.output)
    display = progress.best(quiet)
    with _terminable(), store.lock(), cluster.connect(**_cluster(plan)) as client, display.running():
        workers = len(client.scheduler_info()["workers"])
        display.say(f"Dask: {workers} worker{'s' * (workers != 1)}, dashboard at {client.dashboard_link}")
        work = Run(store, client, display)
        if dry:
            from curation.estimate import estimate

            forecast = estimate(work, plan, keys)
        else:
            (store.root / "run.json").unlink(missing_ok=True)  # who finds it finds a run that has ended
            write_durably(store.root / "plan.yaml", dump(plan).encode())
            result = rounds.curate(work, plan, keys)
            _finish(work, plan, result)
    if dry:
        print(forecast)
    else:
        _tell(work, result)
    return 0


@contextmanager
def _terminable() -> Iterator[None]:
    """A SIGTERM ends the run in good order, as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except SystemExit:
        print("curation: stopped. The same command goes on from here.", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _finish(work: Run, plan: Plan, result: rounds.Result) -> None:
    """What a finished run leaves beside its stages: the ledger, `run.json` and the report."""
    root = work.store.root
    exports = [Stage(root / manifest.stage, manifest) for manifest in result.exports]
    collect_ledger(work.store, [*work.stages, *exports])
    told = summary.summarize(root, work.stages, result.exports, result.ended)
    balance = summary.balance(work.stages, result.dataset, plan.rounds.balance)
    write_json(root / "run.json", {**told, "balance": balance, "bias": summary.bias(result.dataset)})
    from curation.report.page import write_report

    write_report(root)


def collect_ledger(store: Store, stages: list[Stage]) -> None:
    """Copies the ledger entries of stages and exports into `ledger/`, a file each, replacing those of earlier tries."""
    folder = store.root / "ledger"
    with writing(folder):
        folder.mkdir(exist_ok=True)
        wanted = set()
        for stage in stages:
            if not stage.manifest.dropped:
                continue
            name = f"{'-'.join(stage.folder.relative_to(store.root).parts[-2:])}.parquet"
            entries = pd.concat([pd.read_parquet(path) for path in stage.left], ignore_index=True)
            temporary = folder / f".{name}.tmp"
            write_parquet(temporary, entries.sort_values("id", kind="stable"), LEDGER_SCHEMA)
            temporary.replace(folder / name)
            wanted.add(name)
        for file in folder.glob("*.parquet"):
            if file.name not in wanted:
                file.unlink()


def _cluster(plan: Plan) -> dict[str, Any]:
    return plan.cluster.model_dump(mode="json")


def _tell(work: Run, result: rounds.Result) -> None:
    from rich.console import Console

    Console(file=sys.stdout).print(summary.funnel(work.stages, result.exports))
    root = _shown(work.store.root)
    print(f"{result.ended}.")
    for place, what in (
        ("final/", "the curated records, by split"),
        ("handoff/", "the same as trainers read them"),
        ("ledger/", "every record that left, and why"),
        ("report.html", "look at it in a browser"),
    ):
        print(f"  {root / place}  {what}" if not place.endswith("/") else f"  {root / place}/  {what}")


def _shown(path: Path) -> Path:
    """A path below the current folder in its short form."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
