from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.core.records import Record, human, to_json
from curation.exporters.instructlab import SYSTEM, Instructlab


def record(identifier: str, leaf: str | None, kind: str, **texts: str) -> Record:
    about = {"leaf": leaf, "kind": kind, "domain": "birds", "headings": ["One"]} if leaf else {}
    return human(identifier, **{"question": "Who?", "answer": " She. ", **texts}, extra=to_json(about))


ROWS = [
    record("a", "compositional_skills/a_b/c", "compositional_skills"),
    record("b", "compositional_skills/a/b_c", "compositional_skills", context="A note:\u2028she came."),
    record("c", "knowledge/birds", "knowledge", context="On wrens."),
    record("d", None, ""),
    record("e", "knowledge/birds", "knowledge", answer=""),
    record("f", "foundational_skills/../../etc", "foundational_skills"),
]


def written(folder: Path, **arguments: Any) -> dict[str, list[dict[str, Any]]]:
    folder.mkdir()
    exporter = Instructlab(**arguments)
    counts = [exporter.write(split, [], folder) for split in ("train", "validation", "test")]
    counts += [exporter.write("train", ROWS[:2], folder), exporter.write("train", ROWS[2:], folder)]
    assert counts == [0, 0, 0, 2, 2]
    return {
        path.relative_to(folder).as_posix(): [json.loads(line) for line in path.read_text("ascii").splitlines()]
        for path in sorted(folder.rglob("*.jsonl"))
    }


def test_skills_and_knowledge_have_their_files_and_each_leaf_its_own(tmp_path: Path) -> None:
    files = written(tmp_path / "out")
    assert {name: [line["id"] for line in lines] for name, lines in files.items()} == {
        "knowledge_train_msgs.jsonl": ["c"],
        "node_datasets/compositional_skills/a/b_c.jsonl": ["b"],
        "node_datasets/compositional_skills/a_b/c.jsonl": ["a"],
        "node_datasets/foundational_skills/%2E%2E/%2E%2E/etc.jsonl": ["f"],
        "node_datasets/knowledge/birds.jsonl": ["c"],
        "skills_train_msgs.jsonl": ["a", "b", "f"],
    }
    (knowledge,) = files["knowledge_train_msgs.jsonl"]
    assert knowledge["messages"] == [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "On wrens.\n\nWho?"},
        {"role": "assistant", "content": "She."},
    ]
    assert knowledge["unmask"] is False
    assert json.loads(knowledge["metadata"]) == {
        "dataset": "document_knowledge_qa", "domain": "birds", "kind": "knowledge", "leaf": "knowledge/birds",
        "sdg_document": "On wrens.",
    }  # fmt: skip
    assert files["skills_train_msgs.jsonl"][1]["messages"][1]["content"] == "A note:\u2028she came.\n\nWho?"


def test_each_file_has_a_recipe_that_finds_it(tmp_path: Path) -> None:
    written(tmp_path / "out", system_prompt="Be: brief")
    for kind in ("skills", "knowledge"):
        recipe = yaml.safe_load((tmp_path / "out" / f"{kind}_recipe.yaml").read_text())
        assert recipe["metadata"] == {"sys_prompt": "Be: brief"}
        ((path, size),) = [(one["path"], one["sampling_size"]) for one in recipe["datasets"]]
        assert (tmp_path / "out" / path).is_file()
        assert size == 1.0


def test_a_document_may_be_left_to_learn(tmp_path: Path) -> None:
    files = written(tmp_path / "out", knowledge_context="metadata")
    (knowledge,) = files["knowledge_train_msgs.jsonl"]
    assert knowledge["messages"][1]["content"] == "Who?"
    assert json.loads(knowledge["metadata"])["sdg_document"] == "On wrens."
    assert files["skills_train_msgs.jsonl"][1]["messages"][1]["content"].startswith("A note:")
    with pytest.raises(ValueError, match="not 'nowhere'"):
        Instructlab(knowledge_context="nowhere")  # type: ignore[arg-type]
