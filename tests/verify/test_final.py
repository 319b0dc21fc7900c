"""Records of the final files that are not what the stages made, and lineages that lead nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.verify.broken import change, failing, lines, republish, synthetic, write


class TestFinal:
    train, test = "final/train.jsonl", "final/test.jsonl"

    def test_a_record_is_missing(self, run: Path) -> None:
        rows = lines(run / self.train)
        write(run / self.train, rows[1:])
        found = failing(run)
        assert f"{self.train}: record {rows[0]['id']} is missing" in found["content"]
        assert "40 human records came, 28 are in final/ and 11 in the ledger" in found["totals"]
        assert f"({rows[0]['id']}) is no record of train" in found["handoff"]

    def test_a_text_has_changed(self, run: Path) -> None:
        before = change(run / self.train, 4, answer="No.")
        republish(run / "final")
        assert list(found := failing(run)) == ["content", "handoff"]
        assert f"record {before['id']} is not what the stages made of it" in found["content"]
        assert f"({before['id']}) is not what its record says" in found["handoff"]

    def test_a_record_is_of_no_stage(self, run: Path) -> None:
        rows = lines(run / self.test)
        write(run / self.test, [*rows, {**rows[-1], "id": "law-9999", "root_id": "law-9999", "group_id": "law-9999"}])
        assert f"{self.test}: record law-9999 is of no stage" in failing(run)["content"]

    def test_an_id_occurs_twice(self, run: Path) -> None:
        rows = lines(run / self.train)
        write(run / self.train, [rows[0], *rows])
        assert f"id {rows[0]['id']} occurs again" in failing(run)["ids"]

    def test_the_order_is_broken(self, run: Path) -> None:
        rows = lines(run / self.train)
        write(run / self.train, [rows[1], rows[0], *rows[2:]])
        assert f"{rows[0]['id']} comes after {rows[1]['id']}" in failing(run)["ids"]

    def test_a_line_is_no_record(self, run: Path) -> None:
        (run / self.train).write_bytes((run / self.train).read_bytes() + b'{"id": "law-9"}\n')
        assert "can't be checked: ValueError: train.jsonl, line 30 is no record" in failing(run)["ids"]


class TestLineage:
    train, test = "final/train.jsonl", "final/test.jsonl"

    def test_a_synthetic_record_lies_in_test(self, run: Path) -> None:
        rows = lines(run / self.train)
        moved = rows.pop(synthetic(run))
        write(run / self.train, rows)
        write(run / self.test, sorted([*lines(run / self.test), moved], key=lambda row: str(row["id"])))
        found = failing(run)
        assert f"{self.test}: record {moved['id']} is of another split" in found["ids"]
        assert f"group {moved['group_id']} lies in train, test" in found["groups"]
        assert f"root {moved['root_id']} lies in train, test" in found["groups"]
        assert f"synthetic record {moved['id']} is not in train" in found["lineage"]

    def test_a_parent_is_unknown(self, run: Path) -> None:
        before = change(run / self.train, synthetic(run), parent_id="law-9999")
        assert f"synthetic record {before['id']}: its parent law-9999 is not in train" in failing(run)["lineage"]

    @pytest.mark.parametrize("columns", [{"root_id": "law-0001"}, {"group_id": "law-0001"}, {"round": 0}])
    def test_a_record_is_unlike_its_parent(self, run: Path, columns: dict[str, Any]) -> None:
        before = change(run / self.train, synthetic(run), **columns)
        assert f"synthetic record {before['id']} has another root or group" in failing(run)["lineage"]

    def test_a_human_record_has_a_parent(self, run: Path) -> None:
        before = change(run / self.test, 0, parent_id="law-0001")
        assert f"human record {before['id']} has a parent" in failing(run)["lineage"]
