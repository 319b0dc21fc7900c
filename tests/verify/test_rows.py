"""Rows and entries of the ledger that are lost, exchanged or changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from curation.core.records import LEDGER_SCHEMA, SCHEMA
from curation.engine.lift import write_parquet
from tests.verify.broken import failing, lines, name_of, republish

CLEAN = Path("stages/round-00/40-clean")


class TestStages:
    def test_a_row_is_lost(self, run: Path) -> None:
        path = run / CLEAN / "part-00001.parquet"
        rows = pd.read_parquet(path)
        write_parquet(path, rows[1:], SCHEMA)
        republish(run / CLEAN)
        found = failing(run)
        assert f"{CLEAN}: 31 rows in its files, 32 in its manifest" in found["balance"]
        assert f"{CLEAN}: record {rows['id'][0]} is lost" in found["flow"]

    def test_a_row_is_exchanged_for_another(self, run: Path) -> None:
        path = run / CLEAN / "part-00000.parquet"
        rows = pd.read_parquet(path)
        write_parquet(path, rows.assign(id=rows["id"].replace("law-0001", "law-9999")), SCHEMA)
        republish(run / CLEAN)
        found = failing(run)["flow"]
        assert f"{CLEAN}: record law-0001 is lost" in found
        assert f"{CLEAN}: record law-9999 came from nowhere" in found

    def test_the_manifest_does_not_add_up(self, run: Path) -> None:
        republish(run / CLEAN, rows_in=39)
        assert f"{CLEAN}: 39 in, 32 out, 6 left" in failing(run)["balance"]

    def test_a_reason_is_not_that_of_the_manifest(self, run: Path) -> None:
        republish(run / CLEAN, dropped={"low_score": 5, "word_count": 1})
        assert "{'low_score': 5, 'word_count': 1}" in failing(run)["balance"]

    def test_a_parent_is_of_the_test_split(self, run: Path) -> None:
        held_out = lines(run / "final/test.jsonl")[0]["id"]
        folder = run / "stages/round-01/20-parents"
        rows = pd.read_parquet(folder / "part-00000.parquet")
        write_parquet(folder / "part-00000.parquet", rows.assign(id=[held_out, *rows["id"][1:]]), SCHEMA)
        republish(folder)
        assert f"{held_out} is no human record of train" in failing(run)["flow"]

    def test_a_parent_has_no_children(self, run: Path) -> None:
        folder = run / "stages/round-01/30-synthesize"
        rows = pd.read_parquet(folder / "part-00000.parquet")
        parent = rows["parent_id"][0]
        write_parquet(folder / "part-00000.parquet", rows[rows["parent_id"] != parent], SCHEMA)
        assert f"parent {parent} has no record here" in failing(run)["flow"]


class TestLedger:
    path = Path("ledger/round-00-40-clean.parquet")

    def test_an_entry_is_missing(self, run: Path) -> None:
        entries = pd.read_parquet(run / self.path)
        write_parquet(run / self.path, entries[1:], LEDGER_SCHEMA)
        assert failing(run) == {
            "ledger": f"FAIL  {name_of('ledger')}: {self.path}: {entries['id'][0]} is missing",
        }

    def test_an_entry_has_changed(self, run: Path) -> None:
        entries = pd.read_parquet(run / self.path)
        write_parquet(run / self.path, entries.assign(bound="low_score(minimum=1)"), LEDGER_SCHEMA)
        assert "law-0003 is no departure" in failing(run)["ledger"]

    def test_a_file_is_missing(self, run: Path) -> None:
        (run / self.path).unlink()
        assert f"{self.path} is missing" in failing(run)["ledger"]

    def test_a_file_is_of_another_run(self, run: Path) -> None:
        shutil.copy(run / self.path, run / "ledger/round-07-40-clean.parquet")
        assert "ledger/round-07-40-clean.parquet belongs to no stage" in failing(run)["ledger"]

    def test_an_entry_names_another_stage(self, run: Path) -> None:
        for path in (run / CLEAN / "left-00000.parquet", run / self.path):
            write_parquet(path, pd.read_parquet(path).assign(stage="near"), LEDGER_SCHEMA)
        assert "law-0003 is said to have left at near" in failing(run)["ledger"]
