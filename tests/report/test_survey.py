from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from curation.core.records import HUMAN, SYNTHETIC, frame, human, to_json
from curation.engine import ledger
from curation.engine.lift import Outcome
from curation.engine.store import Stage
from curation.report import _survey
from curation.report._survey import EXAMPLES, PAIRS, left_examples, rows_by_id, survey
from tests.run_folder import Builder


def dataset(root: Path, size: int, parts: int) -> Stage:
    """A stage of `size` records, every third of them synthetic, in so many files."""
    rows = []
    for number in range(size):
        row = human(f"r-{number:03d}", split="train", question="word " * (number % 9), answer="yes indeed")
        if number % 3 == 0:
            scores = to_json({"relevance": number / size})
            row |= {"origin": SYNTHETIC, "strategy": f"way-{number % 2}", "scores": scores}
        rows.append(row)
    tables = [frame(rows[start::parts]) for start in range(parts)]
    return Builder(root).stage("70-split", 0, tables, lambda _folder: lambda part: Outcome(part))


def test_everything_is_counted(tmp_path: Path) -> None:
    facts = survey([dataset(tmp_path, 30, 2)])
    assert facts.splits == Counter({("train", HUMAN): 20, ("train", SYNTHETIC): 10})
    assert facts.strategies == Counter({"way-0": 5, "way-1": 5})
    assert sorted(facts.words["question"][HUMAN]) == sorted(n % 9 for n in range(30) if n % 3)
    assert facts.words["answer"][SYNTHETIC] == [2] * 10
    assert sorted(facts.scores["relevance"]) == [n / 30 for n in range(0, 30, 3)]


def test_examples_come_from_all_strategies_in_turn(tmp_path: Path) -> None:
    facts = survey([dataset(tmp_path, 60, 2)])
    assert len(facts.chosen) == PAIRS
    assert [int(identifier[2:]) % 2 for identifier in facts.chosen] == [0, 1, 0, 1, 0, 1]


def test_a_sample_does_not_depend_on_the_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_survey, "SAMPLE", 20)
    one, many = (survey([dataset(tmp_path / str(parts), 90, parts)]) for parts in (1, 4))
    assert one.chosen == many.chosen
    assert one.sampled == many.sampled
    assert 8 <= one.sampled <= 40
    assert sorted(one.words["question"][HUMAN]) == sorted(many.words["question"][HUMAN])


def test_each_reason_has_a_few_examples_whatever_the_files(tmp_path: Path) -> None:
    rows = frame(human(f"r-{number:02d}", title="T") for number in range(40))
    entries = ledger.entries(rows, "clean", 0, reason=["low_score", "word_count"] * 20)
    for name, tables in (("one", [entries]), ("many", [entries[7:], entries[:7]])):
        (tmp_path / name).mkdir()
        for number, table in enumerate(tables):
            table.to_parquet(tmp_path / name / f"{number}.parquet")
    one, many = left_examples(tmp_path / "one"), left_examples(tmp_path / "many")
    assert one == many
    assert {key: len(found) for key, found in one.items()} == {
        ("clean", "low_score"): EXAMPLES,
        ("clean", "word_count"): EXAMPLES,
    }
    assert all(entry["record"]["title"] == "T" for found in one.values() for entry in found)


def test_there_may_be_no_ledger(tmp_path: Path) -> None:
    assert left_examples(tmp_path / "ledger") == {}


def test_rows_are_found_by_id_and_the_first_stage_wins(tmp_path: Path) -> None:
    stages = [dataset(tmp_path / name, 9, 2) for name in ("a", "b")]
    path = stages[1].parts[0]
    pd.read_parquet(path).assign(answer="other").to_parquet(path)
    found = rows_by_id(stages, {"r-000", "r-001", "r-999"}, ("id", "answer"))
    assert found == {name: {"id": name, "answer": "yes indeed"} for name in ("r-000", "r-001")}
