"""The embedded sample: the default steps do with each record what its file of expectations says."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from curation.config import load
from curation.engine.progress import Progress
from curation.engine.run import Run, columns_of
from curation.engine.store import Store
from curation.rounds import curate_source
from curation.sources.sample import EXPECTATIONS

if TYPE_CHECKING:
    from distributed import Client

CONFIG = Path(__file__).parents[1] / "configs" / "sample.yaml"
EXPECTED: list[dict[str, Any]] = json.loads(EXPECTATIONS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def curated(client: Client, tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The sample's records after the split, and the ledger: with the real encoder."""
    plan = load(CONFIG, flags=[("output", tmp_path_factory.mktemp("sample"))])
    run = Run(Store(plan.output), client, Progress(StringIO()))
    kept = columns_of([curate_source(run, plan)], ["id", "title", "question", "answer"])
    left = pd.concat([pd.read_parquet(path) for stage in run.stages for path in stage.left])
    return kept.set_index("id"), left.set_index("id")


@pytest.mark.parametrize("expected", EXPECTED, ids=lambda expected: expected["id"])
def test_each_record_meets_its_fate(expected: dict[str, Any], curated: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    kept, left = curated
    if expected["expect"] == "keep":
        assert expected["id"] in kept.index, left.loc[expected["id"]]
    else:
        entry = left.loc[expected["id"]]
        assert entry["reason"] == expected["expect"]
        assert entry["kept_id"] == expected.get("of")
        assert expected.get("field") in (None, entry["field"])


@pytest.mark.parametrize(
    "expected", [one for one in EXPECTED if "cleaned" in one and one["expect"] == "keep"], ids=lambda one: one["id"]
)
def test_texts_come_out_as_a_person_would_write_them(
    expected: dict[str, Any], curated: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    for column, text in expected["cleaned"].items():
        assert curated[0].loc[expected["id"], column] == text


def test_the_sample_is_what_the_readme_says() -> None:
    assert len(EXPECTED) == 156
    assert sum(one["expect"] == "keep" for one in EXPECTED) == 119
