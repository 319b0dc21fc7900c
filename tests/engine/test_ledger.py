"""Ledger entries, and frames as Parquet of one schema."""

from __future__ import annotations

import orjson
import pandas as pd
import pytest

from curation.core.records import LEDGER_COLUMNS, LEDGER_SCHEMA, SCHEMA, frame, human
from curation.engine import ledger


def test_an_entry_says_where_why_and_keeps_the_whole_row() -> None:
    rows = frame([human("a", question="why?", question_score=-3.0, line=7)])
    (entry,) = ledger.entries(rows, "clean", 2, reason="low_score", field="question_score", score=-3.0).to_dict(
        "records"
    )
    assert entry["stage"] == "clean"
    assert entry["round"] == 2
    assert (entry["id"], entry["reason"], entry["field"], entry["score"]) == ("a", "low_score", "question_score", -3.0)
    record = orjson.loads(entry["record"])
    assert record["question"] == "why?"
    assert record["line"] == 7
    assert record["answer"] is None


def test_columns_of_the_rows_are_taken_over() -> None:
    rows = frame([human("a"), human("b")]).assign(reason=["x", "y"], kept_id=["c", None])
    entries = ledger.entries(rows, "near", 0)
    assert list(entries.columns) == list(LEDGER_COLUMNS)
    assert list(entries["reason"]) == ["x", "y"]
    assert list(entries["kept_id"]) == ["c", None]


def test_no_rows_make_no_entries() -> None:
    assert len(ledger.entries(frame([]), "clean", 0, reason="x")) == 0


@pytest.mark.parametrize("schema", [SCHEMA, LEDGER_SCHEMA])
def test_an_empty_frame_has_the_schema(schema: object) -> None:
    assert ledger.to_arrow(pd.DataFrame(), schema).schema == schema


def test_nulls_numbers_and_lone_surrogates_fit_the_schema() -> None:
    rows = frame([human("a", title=None, question_score=float("nan"), answer="\ud800x"), human("b", line=3)])
    table = ledger.to_arrow(rows, SCHEMA)
    assert table.schema == SCHEMA
    assert table["title"].to_pylist() == [None, None]
    assert table["question_score"].to_pylist() == [None, None]
    assert table["answer"].to_pylist() == ["?x", None]
    assert table["line"].to_pylist() == [None, 3]
    assert table["round"].to_pylist() == [0, 0]


def test_numbers_that_look_like_text_stay_text() -> None:
    assert ledger.to_arrow(frame([human("007")]), SCHEMA)["id"].to_pylist() == ["007"]
