"""A stage is run once: its signature covers settings, code and the content of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import pandas as pd
import pytest

from curation.core.records import frame, human
from curation.core.registry import Spec
from curation.engine.lift import Outcome
from curation.engine.progress import Progress
from curation.engine.run import Run, columns_of, describe, table_of
from curation.engine.store import Manifest, Stage, Store

if TYPE_CHECKING:
    from distributed import Client


def keep(rows: pd.DataFrame) -> Outcome:
    return Outcome(rows)


@pytest.fixture
def run(client: Client, tmp_path: Path) -> Run:
    return Run(Store(tmp_path), client, Progress(StringIO()))


def stage(
    run: Run,
    calls: list[str],
    rows: int = 3,
    settings: dict[str, Any] | None = None,
    code: Sequence[Spec | str] = ("curation.core.rules",),
    inputs: Sequence[Stage] = (),
    name: str = "10-read",
) -> Stage:
    def prepare(_folder: Path) -> tuple[Any, Any]:
        calls.append(name)
        table = frame(human(f"{number}", question=f"q{number}") for number in range(rows))
        return dd.from_pandas(table, npartitions=2), keep

    return run.stage(name, 0, inputs, settings or {}, code, prepare)


def test_the_same_stage_is_read_back(run: Run) -> None:
    calls: list[str] = []
    first, second = stage(run, calls), stage(run, calls)
    assert calls == ["10-read"]
    assert first.manifest == second.manifest
    assert run.stages == [first, second]


@pytest.mark.parametrize(
    "change",
    [{"settings": {"by": "answer"}}, {"code": ["curation.core.parse"]}, {"code": [Spec("filter", "low_score", {})]}],
)
def test_other_settings_or_code_run_it_again(run: Run, change: dict[str, Any]) -> None:
    calls: list[str] = []
    stage(run, calls)
    stage(run, calls, **change)
    assert len(calls) == 2


def test_an_input_counts_by_its_content_alone(run: Run) -> None:
    calls: list[str] = []
    source = stage(run, calls)
    stage(run, calls, inputs=[source], name="40-clean")
    same_rows = stage(run, calls, settings={"changed": 1})
    stage(run, calls, inputs=[same_rows], name="40-clean")
    assert calls == ["10-read", "40-clean", "10-read"]
    stage(run, calls, inputs=[stage(run, calls, rows=4, settings={"changed": 2})], name="40-clean")
    assert calls[-1] == "40-clean"


def test_rows_come_back_from_disk(run: Run) -> None:
    published = stage(run, [])
    assert sorted(table_of([published, published]).compute()["id"]) == ["0", "0", "1", "1", "2", "2"]
    assert sorted(columns_of([published], ["id", "question"])["question"]) == ["q0", "q1", "q2"]
    assert columns_of([], ["id"]).empty


def test_a_stage_is_one_line() -> None:
    manifest = Manifest("clean", 1, "s", rows_in=1200, rows_out=1000, dropped={"low_score": 200}, seconds=1.25)
    line = " ".join(describe(manifest, cached=False).split())
    assert line == "round 1 clean 1,200 -> 1,000 (left: 200 low score) [1.2 s]"
    assert "from an earlier try" in describe(manifest, cached=True)
