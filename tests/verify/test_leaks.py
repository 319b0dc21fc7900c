"""Records that belong together or say the same in two splits, or repeat another set or a seed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from curation.core.records import SCHEMA, TEXT_COLUMNS, frame, seed
from curation.engine.lift import write_parquet
from tests.verify.broken import change, failing, lines, name_of, synthetic


class TestSplits:
    train, test = "final/train.jsonl", "final/test.jsonl"

    def test_a_record_has_no_group(self, run: Path) -> None:
        before = change(run / self.test, 0, group_id=None)
        assert f"record {before['id']} has no group_id" in failing(run)["groups"]

    def test_the_same_text_lies_in_two_splits(self, run: Path) -> None:
        rows = lines(run / self.train)
        same = {name: rows[0][name] for name in ("title", "answer")}
        before = change(run / self.test, 0, question=rows[0]["question"].upper() + " ", **same)
        assert f"{rows[0]['id']}, {before['id']} say the same, in train, test" in failing(run)["exact"]


class TestSeeds:
    def sow(self, root: Path, position: int, **texts: Any) -> str:
        """Adds a seed with the texts of a training record, but for those given; answers with the record's id."""
        record = lines(root / "final/train.jsonl")[position]
        told = {name: record[name] for name in TEXT_COLUMNS} | texts
        row = seed("topic-1", group_id="topic-1", split="train", **told)
        path = root / "stages/round-00/70-split/part-00000.parquet"
        write_parquet(path, pd.concat([pd.read_parquet(path), frame([row])]), SCHEMA)
        return str(record["id"])

    def test_a_synthetic_record_says_what_one_says(self, run: Path) -> None:
        position = synthetic(run)
        question = lines(run / "final/train.jsonl")[position]["question"]
        repeats = self.sow(run, position, question=f" {question.upper()} ")
        told = f"record {repeats} says what the seed topic-1 says"
        assert failing(run)["exact"] == f"FAIL  {name_of('exact')}: {told}"

    def test_the_plan_says_by_which_texts(self, run: Path) -> None:
        repeats = self.sow(run, synthetic(run), answer="Something else.")
        assert "exact" not in failing(run)
        plan = yaml.safe_load((run / "plan.yaml").read_text())
        plan["dedup"]["exact"]["by"] = "question"
        (run / "plan.yaml").write_text(yaml.safe_dump(plan))
        assert f"record {repeats} says what the seed topic-1 says" in failing(run)["exact"]

    def test_people_may_say_what_one_says(self, run: Path) -> None:
        self.sow(run, 0)
        assert lines(run / "final/train.jsonl")[0]["origin"] == "human"
        assert "exact" not in failing(run)

    def test_one_without_texts_is_repeated_by_nobody(self, run: Path) -> None:
        nothing = dict.fromkeys(TEXT_COLUMNS)
        self.sow(run, 0, **nothing)
        change(run / "final/train.jsonl", synthetic(run), **nothing)
        assert "exact" not in failing(run)


class TestOtherSet:
    train = "final/train.jsonl"

    def test_a_record_asks_what_one_of_it_asks(self, run: Path) -> None:
        before = change(run / self.train, 3, title=None, question="may a guest of the  hotel bring a dog")
        assert f"record {before['id']} (train) says what bench.jsonl:1 says" in failing(run)["against"]

    def test_a_record_has_a_run_of_words_in_common_with_it(self, run: Path) -> None:
        words = "court hears a dispute between two states of a federal union and who"
        before = change(run / self.train, 3, answer=f"I once read: {words} is then heard")
        assert f"record {before['id']} (train) says what bench.jsonl:2 says" in failing(run)["against"]
        change(run / self.train, 3, answer=f"I once read: {words.rpartition(' ')[0]} is then heard")
        assert "against" not in failing(run)

    def test_its_stage_is_gone(self, run: Path) -> None:
        shutil.rmtree(run / "stages/round-00/05-reference")
        assert "05-reference/manifest.json is missing or damaged" in failing(run)["checksums"]
