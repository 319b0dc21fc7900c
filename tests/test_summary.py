"""`run.json` and the funnel."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import orjson
from rich.console import Console

from curation import summary
from curation.engine.store import Manifest
from curation.report.finished import Finished
from tests.run_folder import finished_run


def test_the_account_names_stages_splits_and_versions(tmp_path: Path) -> None:
    account = orjson.loads((finished_run(tmp_path) / "run.json").read_bytes())
    assert account["stages"][1]["folder"] == "stages/round-00/10-read"
    assert all(stage["rows_in"] == stage["rows_out"] + sum(stage["dropped"].values()) for stage in account["stages"])
    assert set(account["exports"][0]["splits"]) == {"train", "validation", "test"}
    assert {"curation", "python", "nemo-curator", "dask"} <= set(account["versions"])
    assert account["ended"] == "2 of 2 rounds are done"
    assert account["agreement"] == []  # there is one critic


def test_the_funnel_says_what_left_and_why(tmp_path: Path) -> None:
    done = Finished.open(finished_run(tmp_path))
    final = Manifest.read(tmp_path / "final")
    assert final is not None
    out = StringIO()
    Console(file=out, width=140).print(summary.funnel(done.stages, [final]))
    shown = out.getvalue()
    assert "low score" in shown
    assert "near duplicate" in shown
    assert "train" in shown
