"""Pairs of a better and a worse answer that were written from one record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from curation.core.contracts import Exported
from curation.core.records import REASON, Record, child, human, to_json
from curation.exporters.preference import Preference

PARENT = human("p", title="Rent", question="May he\u2028raise it? ", answer="No.", split="train", group_id="p")


def variant(index: int, answer: str | None, grade: float, parent: Record = PARENT, **columns: Any) -> Record:
    draft = {"question": f"Otherwise {index}?", "answer": answer, "answer_score": grade}
    return {**child(parent, index, 1, draft), "scores": to_json({"helpfulness": -grade}), **columns}


def failed(row: Record, reason: str = "failed_rule") -> Record:
    return {**row, REASON: reason}


def pairs(
    folder: Path, rows: Sequence[Record], left: Sequence[Record] = (), split: str = "train", **arguments: Any
) -> dict[str, list[dict[str, Any]]]:
    exporter = Preference(**{"validation": 0.0, **arguments})
    folder.mkdir(exist_ok=True)
    assert exporter.write("test", [], folder) == 0
    for row in rows:  # in batches, as they come
        exporter.write(split, [row], folder)
    exporter.write_left(left, folder)
    told = exporter.finish(folder, Exported(counts={}))
    files = {path.stem: path.read_bytes() for path in folder.glob("*.jsonl")}
    assert all(data.isascii() for data in files.values())
    found = {name: [json.loads(line) for line in data.splitlines()] for name, data in files.items()}
    assert told == {"splits": {"train": len(found["training"]), "validation": len(found["validation"])}}
    return found


def said(found: dict[str, list[dict[str, Any]]]) -> list[tuple[str, str]]:
    return [(pair["chosen"], pair["rejected"]) for pair in found["training"]]


def test_the_best_answer_is_chosen_against_each_worse_one(tmp_path: Path) -> None:
    rows = [PARENT, variant(0, "middling", 2), variant(1, " best\u2028 ", 3), variant(2, "worst", 1)]
    first, second = pairs(tmp_path, rows)["training"]
    assert first == {
        "prompt": "Rent\nMay he\u2028raise it?",
        "chosen": "best",
        "rejected": "middling",
        "id": "p-synth-1-0",
        "parent_id": "p",
        "chosen_id": "p-synth-1-1",
        "rejected_id": "p-synth-1-0",
        "score_chosen": 3.0,
        "score_rejected": 2.0,
    }
    assert (second["chosen"], second["rejected"]) == ("best", "worst")


def test_of_equal_answers_or_grades_nothing_comes(tmp_path: Path) -> None:
    rows = [PARENT, variant(0, "The  same.", 2), variant(1, "the same", 1), variant(2, "Other.", 2)]
    assert said(pairs(tmp_path, rows)) == []


def test_what_says_the_same_is_rejected_once(tmp_path: Path) -> None:
    rows = [PARENT, variant(0, "good", 3), variant(1, "bad", 2), variant(2, "Bad.", 1)]
    assert said(pairs(tmp_path, rows)) == [("good", "bad")]


def test_what_failed_the_rule_is_rejected_but_never_chosen(tmp_path: Path) -> None:
    left = [
        failed(variant(1, "failed as good", 2)),
        failed(variant(2, "failed better", 3)),  # the grade says the reverse of the rule
        failed(variant(3, "failed worse", 1), "low_score"),
        failed(variant(4, "a duplicate", 0), "near_duplicate"),
        failed(variant(5, None, 0)),
        failed(variant(6, "never judged", 0, scores="{}"), "unreadable_reply"),
    ]
    found = pairs(tmp_path / "kept", [PARENT, variant(0, "kept", 2)], left)
    assert said(found) == [("kept", "failed as good"), ("kept", "failed worse")]
    assert said(pairs(tmp_path / "none", [PARENT], left)) == []


def test_no_margin_is_too_small_unless_one_is_asked_for(tmp_path: Path) -> None:
    rows = [PARENT, variant(0, "a", 2), variant(1, "b", 1.9), variant(2, "c", 1.5)]
    left = [failed(variant(3, "d", 2))]
    assert len(said(pairs(tmp_path / "any", rows, left))) == 3
    assert said(pairs(tmp_path / "half", rows, left, min_margin=0.5)) == [("a", "c")]


def test_an_attribute_can_stand_for_the_grade(tmp_path: Path) -> None:
    rows = [PARENT, variant(0, "a", 2), variant(1, "b", 1), variant(2, "c", 0, scores="{}")]
    assert said(pairs(tmp_path, rows, score="helpfulness")) == [("b", "a")]
    assert said(pairs(tmp_path / "none", rows, score="verbosity")) == []


def test_who_has_no_question_of_people_in_train_gives_no_pairs(tmp_path: Path) -> None:
    held_out = {**PARENT, "split": "test"}
    both = [variant(0, "a", 2), variant(1, "b", 1)]
    assert said(pairs(tmp_path / "seed", both)) == []
    assert said(pairs(tmp_path / "silent", [{**PARENT, "question": " "}, *both])) == []
    assert said(pairs(tmp_path / "test", [held_out, *both], split="test")) == []


def test_a_group_of_relatives_lies_in_one_file(tmp_path: Path) -> None:
    people = [human(f"q{n}", question="q?", split="train", group_id=f"q{n // 2}") for n in range(40)]
    children = [variant(index, f"{index}", index, person) for person in people for index in range(2)]
    found = pairs(tmp_path, [*people, *children], validation=0.3)
    groups = [{int(pair["parent_id"][1:]) // 2 for pair in found[name]} for name in ("training", "validation")]
    assert not groups[0] & groups[1]
    assert sum(map(len, groups)) == 20
    assert 2 <= len(groups[1]) <= 10
    ids = [pair["id"] for name in found for pair in found[name]]
    assert len(set(ids)) == len(ids) == 40


def test_conversations(tmp_path: Path) -> None:
    (pair,) = pairs(tmp_path, [PARENT, variant(0, "a", 2), variant(1, "b", 1)], conversational=True)["training"]
    assert pair["prompt"] == [{"role": "user", "content": "Rent\nMay he\u2028raise it?"}]
    assert pair["chosen"] == [{"role": "assistant", "content": "a"}]
    assert pair["rejected"] == [{"role": "assistant", "content": "b"}]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [({"min_margin": -1}, "min_margin"), ({"min_margin": float("nan")}, "min_margin"), ({"validation": 1}, "share")],
)
def test_a_number_out_of_bounds(arguments: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Preference(**arguments)
