"""Folders for readers: swapped in whole, rewritten when what they tell changes, and nobody else's left beside them."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pandas as pd
import pytest

from curation.config import Plan
from curation.core.records import frame, human
from curation.core.registry import Spec
from curation.engine.lift import Outcome
from curation.engine.progress import Progress
from curation.engine.run import Run
from curation.engine.store import Manifest, Stage, sha256_of
from curation.job import collect_ledger
from curation.rounds import exporters
from curation.stages._provenance import provenance
from curation.stages.export import LEFT, export
from tests.run_folder import Builder

ROWS = [
    human("a", title="t", question="q", answer="one", split="train", extra='{"license": "MIT"}'),
    human("b", title=None, question="q", answer="two", split="train", line=2),
    human("c", title="t", question="q", answer="three", split="test"),
]


class Out:
    """A dataset of three records, exported again and again."""

    def __init__(self, root: Path) -> None:
        self.build = Builder(root)
        self.dataset = [self.build.stage("70-split", 0, [frame(ROWS)], lambda _folder: Outcome)]
        nobody: Any = SimpleNamespace(subscribe_topic=print)
        self.run = Run(self.build.store, nobody, Progress(StringIO()))
        self.run.stages = [*self.dataset]
        self.root = root

    def export(self, **plan: Any) -> list[Manifest]:
        values = Plan.model_validate({"source": {"name": "sample"}, **plan})
        return export(self.run, self.dataset, exporters(values), values)


@pytest.fixture
def out(tmp_path: Path) -> Out:
    return Out(tmp_path)


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "manifest.json" and "stages" not in path.parts
    }


def test_the_same_plan_writes_nothing_and_another_try_the_same_bytes(out: Out) -> None:
    out.export()
    before = files(out.root)
    assert {name.partition("/")[0] for name in before} == {"final", "handoff"}
    manifests = [path.read_bytes() for path in sorted(out.root.rglob("manifest.json"))]
    out.export()
    assert [path.read_bytes() for path in sorted(out.root.rglob("manifest.json"))] == manifests
    shutil.rmtree(out.root / "handoff")
    out.export()
    assert files(out.root) == before


def test_no_index_of_a_reader_outlives_the_data_that_it_is_of(out: Out) -> None:
    """Readers take an index, or packed sequences, beside a file for that file's, without looking."""
    out.export(tasks=["qa"])
    stale = [out.root / "handoff/qa" / name for name in ("nemo/training.jsonl.idx.npy", "nemo/training.jsonl.idx.info",
                                                         "nemo/packed/x/training_2048.npy")]  # fmt: skip
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"old")
    out.export(tasks=[{"name": "qa", "prompt": "Other."}])
    assert not [path for path in stale if path.exists()]
    assert b"Other." in (out.root / "handoff/qa/nemo/training.jsonl").read_bytes()


def test_every_file_is_in_the_manifest_with_its_checksum(out: Out) -> None:
    (_, manifest) = out.export(tasks=["qa"])
    folder = out.root / "handoff/qa"
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert there == set(manifest.files) >= {"README.md", "token_stats.json", "chat/test.jsonl", "recipes/facts.json"}
    assert all(sha256_of(folder / name) == expected for name, expected in manifest.files.items())
    assert manifest.settings["splits"] == {"train": 2, "validation": 0, "test": 1}
    assert manifest.settings["card"]["licenses"] == {"MIT": 1}


def test_what_a_form_can_not_take_is_in_the_ledger(out: Out) -> None:
    final, title, answers = manifests = out.export()
    assert (title.rows_in, title.rows_out, title.dropped) == (3, 2, {"incomplete": 1})
    assert not final.dropped | answers.dropped
    assert LEFT in title.files
    assert LEFT not in answers.files
    exports = [Stage(out.root / manifest.stage, manifest) for manifest in manifests]
    collect_ledger(out.build.store, [*out.build.stages, *exports])
    (path,) = (out.root / "ledger").iterdir()
    assert path.name == "handoff-title.parquet"
    (entry,) = pd.read_parquet(path).to_dict("records")
    assert (entry["id"], entry["stage"], entry["reason"], entry["field"]) == (
        "b",
        "handoff/title",
        "incomplete",
        "title",
    )
    assert orjson.loads(entry["record"])["line"] == 2


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"tasks": ["qa"]}),
        ({}, {"tasks": []}),
        ({"exporters": ["instructions", "preference"]}, {}),
        ({"exporters": ["instructions"]}, {"exporters": ["instructions"], "tasks": []}),
        ({"exporters": ["instructions"], "tasks": []}, {"exporters": ["instructions"], "tasks": ["qa"]}),
        ({"exporters": ["instructions"]}, {"exporters": ["instructions"], "tasks": [{"name": "qa", "prompt": "x"}]}),
    ],
)
def test_the_folders_of_another_plan_are_removed_and_those_of_this_one_whole(
    out: Out, tmp_path: Path, first: dict[str, Any], then: dict[str, Any]
) -> None:
    out.export(**first)
    manifests = out.export(**then)
    for manifest in manifests:
        assert out.build.store.find(out.root / manifest.stage, manifest.signature) == manifest
    fresh = Out(tmp_path / "fresh")
    fresh.export(**then)
    exported = {name: data for name, data in files(out.root).items() if not name.startswith("fresh")}
    assert exported == files(fresh.root)
    assert not [path for path in (out.root / "handoff").glob("*") if path.is_dir() and not any(path.iterdir())]


def test_a_card_is_written_again_when_what_it_tells_changes(out: Out) -> None:
    before = {manifest.stage: manifest for manifest in out.export(tasks=["qa"])}
    after = {manifest.stage: manifest for manifest in out.export(tasks=["qa"], seed=7)}
    assert after["final"] == before["final"]
    assert after["handoff/qa"].signature != before["handoff/qa"].signature
    assert "- seed: 7" in (out.root / "handoff/qa/README.md").read_text()


def test_what_is_told_names_no_path_and_no_address(out: Out) -> None:
    plan = Plan.model_validate(
        {
            "source": {"name": "sample"},
            "generation": {
                "generator": "paraphrase",
                "teacher": {"endpoint": "http://secret.host:8000/v1", "model": "/srv/models/big"},
                "critics": [
                    {"name": "reward", "judge": {"kind": "scripted", "arguments": {"name": "j", "rules": []}}},
                    "heuristic",
                ],
                "drop": "helpfulness < 3",
            },
        }
    )
    made = out.build.stage("30-synthesize", 1, [frame(ROWS)], lambda _folder: Outcome)
    told = provenance(plan, [*out.dataset, made])
    assert told["Models and critics"] == {
        "generator": "paraphrase",
        "teachers": "big",
        "critics": "reward, asking j; heuristic",
        "dropped if": "helpfulness < 3",
        "graded by": "reward",
    }
    assert "secret" not in str(told)
    assert "srv" not in str(told)
    assert told["Steps"][1] == {"round": 1, "step": "synthesize", "in": 3, "out": 3, "left": {}}
    assert "Models and critics" not in provenance(plan, out.dataset)


def test_an_exporter_by_name_gets_its_arguments(out: Out) -> None:
    (spec,) = exporters(Plan.model_validate({"tasks": [], "exporters": [{"name": "preference"}]}))[1:]
    assert spec == Spec("exporter", "preference", {})
