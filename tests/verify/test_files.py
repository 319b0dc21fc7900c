"""Files that have changed, are gone, or are another run's."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from curation.engine.store import write_json
from tests.verify.broken import failing

CLEAN = Path("stages/round-00/40-clean")


class TestFiles:
    def test_a_byte_has_flipped(self, run: Path) -> None:
        path = run / CLEAN / "part-00000.parquet"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert f"{CLEAN}/part-00000.parquet has changed" in failing(run)["checksums"]

    @pytest.mark.parametrize("name", ["stages/round-01/60-near/pairs.parquet", "final/test.jsonl"])
    def test_a_file_is_gone(self, run: Path, name: str) -> None:
        (run / name).unlink()
        assert f"{name} is missing" in failing(run)["checksums"]

    @pytest.mark.parametrize("folder", [str(CLEAN), "handoff/qa", "preference"])
    def test_a_manifest_is_gone(self, run: Path, folder: str) -> None:
        (run / folder / "manifest.json").unlink()
        assert f"{folder}/manifest.json is missing or damaged" in failing(run)["checksums"]

    @pytest.mark.parametrize(
        "name", ["final/train-old.jsonl", "handoff/qa/nemo/training.jsonl.idx.npy", "preference/x"]
    )
    def test_a_file_of_another_run_lies_there(self, run: Path, name: str) -> None:
        (run / name).write_bytes(b"{}\n")
        assert list(found := failing(run)) == ["strays"]
        assert name in found["strays"]

    def test_a_folder_that_this_run_did_not_write_lies_there(self, run: Path) -> None:
        shutil.copytree(run / "handoff/qa/nemo", run / "handoff/old/nemo")
        assert "handoff/old/nemo/test.jsonl" in failing(run)["strays"]

    def test_hidden_files_are_nobodys_business(self, run: Path) -> None:
        (run / "final/.train.jsonl.tmp").write_bytes(b"{")
        assert failing(run) == {}

    def test_the_account_is_of_another_run(self, run: Path) -> None:
        account = orjson.loads((run / "run.json").read_bytes())
        account["stages"][2]["rows_out"] += 1
        write_json(run / "run.json", account)
        assert list(found := failing(run)) == ["account"]
        assert f"{CLEAN}: rows_out is 32, and 33 in run.json" in found["account"]

    def test_another_plan_than_the_finished_runs(self, run: Path) -> None:
        with (run / "plan.yaml").open("a") as file:
            file.write("# edited\n")
        assert "plan.yaml is not the plan of the run that ended last" in failing(run)["account"]
