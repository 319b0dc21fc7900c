"""A sound run is proved sound; what can't be proved, and what is wrong, is told in one line a check."""

from __future__ import annotations

import runpy
from pathlib import Path

import orjson
import pytest
import yaml

from curation.core.errors import InputError
from curation.engine.store import sha256_of, write_json
from curation.verify import CHECKS, SHOWN, Finding, main, verify
from tests.run_folder import finished_run
from tests.verify.broken import failing, lines, republish, write


def test_a_finished_run_is_sound(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sound)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"ok    {check}" for check in CHECKS]


@pytest.mark.parametrize("rounds", [0, 2])
def test_the_number_of_rounds_does_not_matter(tmp_path: Path, rounds: int) -> None:
    assert failing(finished_run(tmp_path, rounds=rounds)) == {}


def test_what_the_plan_leaves_out_is_not_proved(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = yaml.safe_load((run / "plan.yaml").read_text())
    plan["dedup"] = {"exact": None, "semantic": None}
    plan["against"]["input"] = []
    (run / "plan.yaml").write_text(yaml.safe_dump(plan))
    account = orjson.loads((run / "run.json").read_bytes())
    write_json(run / "run.json", account | {"plan": sha256_of(run / "plan.yaml")})
    assert main([str(run)]) == 0
    printed = capsys.readouterr().out
    assert "skip  no exact duplicates lie in two splits: the plan has no dedup.exact" in printed
    assert "skip  no near duplicates lie in two splits: the plan has no dedup.semantic" in printed
    assert "skip  no record says what a record of the other set says: the plan names no other set" in printed


def test_it_is_a_command(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "final/test.jsonl").unlink()
    monkeypatch.setattr("sys.argv", ["verify", str(run)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("curation.verify", run_name="__main__")
    assert ended.value.code == 1
    assert "final/test.jsonl is missing" in capsys.readouterr().out


class TestNoFinishedRun:
    def test_there_is_no_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(tmp_path / "nothing")]) == 2
        assert "nothing is not a folder" in capsys.readouterr().err

    def test_the_run_has_not_come_to_its_end(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (run / "run.json").unlink()
        assert main([str(run)]) == 2
        captured = capsys.readouterr()
        assert "run.json is missing" in captured.err
        assert not captured.out

    @pytest.mark.parametrize("text", ["", "[]", '{"stages": []}', "{"])
    def test_its_account_is_damaged(self, run: Path, text: str) -> None:
        (run / "run.json").write_text(text)
        with pytest.raises(InputError, match="damaged"):
            verify(run)


def test_a_line_names_the_first_faults_and_counts_the_rest(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "handoff/qa/nemo/training.jsonl"
    write(path, [{**row, "output": None} for row in lines(path)])
    republish(path.parents[1])
    assert main([str(run)]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL"))
    assert line.count("has a null") == SHOWN
    assert line.endswith("and 54 more")


def test_findings_are_what_the_lines_say() -> None:
    assert str(Finding("a")) == "ok    a"
    assert str(Finding("a", ("b",), 1)) == "FAIL  a: b"
    assert str(Finding("a", ("b", "c"), 4)) == "FAIL  a: b; c; and 2 more"
    assert str(Finding("a", skipped="why")) == "skip  a: why"
