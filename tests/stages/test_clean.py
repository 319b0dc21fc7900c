"""The stage that cleans: rules of the plan over a whole table, on workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from curation.config import CleanStep, Plan
from curation.core.errors import CurationError
from curation.engine.progress import Silent
from curation.engine.run import Run, columns_of
from curation.engine.store import Stage, Store
from curation.stages.clean import clean
from curation.stages.read import read

if TYPE_CHECKING:
    from distributed import Client

ROWS = [
    {"id": "good", "question": "q", "answer": "see § 8", "court": "us"},
    {"id": "bare", "question": "q", "answer": "no", "court": "us"},
    {"id": "open", "question": "q", "answer": "see § 8", "court": None},
]


def cleaned(client: Client, folder: Path, rules: dict[str, Any], round_number: int = 0) -> Stage:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    run = Run(Store(folder / "out"), client, Silent())
    table = read(run, Plan(input=[str(path)]).source_spec(), 0.5)
    return clean(run, table, [CleanStep(validate=rules)], 0.0, round_number)


def test_what_does_not_keep_a_rule_is_in_the_ledger(client: Client, tmp_path: Path) -> None:
    rules = {"sourced": {"citations": 1}, "court": {"field": "court", "one_of": ["us"]}}
    stage = cleaned(client, tmp_path, rules)
    assert columns_of([stage], ["id"])["id"].tolist() == ["good"]
    left = pd.concat([pd.read_parquet(path) for path in stage.left]).set_index("id")
    assert left[["reason", "field", "bound", "detail"]].T.to_dict("list") == {
        "bare": ["invalid", "answer", "sourced: citations 1", "0 in 'no'"],
        "open": ["invalid", "court", "court: is missing", None],
    }
    assert cleaned(client, tmp_path, rules).manifest.signature == stage.manifest.signature
    turned = dict(reversed(rules.items()))
    assert cleaned(client, tmp_path, turned).manifest.signature != stage.manifest.signature


def test_a_column_that_no_record_has_is_a_fault_of_the_plan(client: Client, tmp_path: Path) -> None:
    rules = {"it": {"field": "anwser", "min_words": 1}}
    message = r"no record has .* the first lacks 'anwser' \(it: is missing\)\. Did you mean 'answer'\?"
    with pytest.raises(CurationError, match=message):
        cleaned(client, tmp_path, rules)
    with pytest.raises(CurationError, match=r"Did you mean 'court'\?"):
        cleaned(client, tmp_path, {"it": {"field": "courts", "min_words": 1}})
    assert cleaned(client, tmp_path, rules, round_number=1).manifest.dropped == {"invalid": 3}
