"""Examples and preference pairs that are not what the records say, or not what trainers read."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from curation.core.records import LEDGER_SCHEMA
from curation.engine.lift import write_parquet
from curation.engine.store import write_json
from tests.models.tiny_llama import write_tiny_llama
from tests.run_folder import finished_run
from tests.verify.broken import change, failing, lines, write


@pytest.fixture(scope="module")
def sound_short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with records without an answer, and a tokenizer that finds some examples too long."""
    folder = tmp_path_factory.mktemp("short")
    write_tiny_llama(folder / "tokenizer")
    return finished_run(folder / "run", 0, {"tokenizer": str(folder / "tokenizer"), "max_tokens": 560}, (1, 2))


@pytest.fixture
def short(sound_short: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(sound_short, tmp_path / "run")


class TestHandoff:
    path, chats = Path("handoff/qa/nemo/training.jsonl"), Path("handoff/qa/chat/training.jsonl")

    @pytest.mark.parametrize(
        ("columns", "fault"),
        [
            ({"output": None}, "has a null or an empty text"),
            ({"output": " "}, "has a null or an empty text"),
            ({"input": "ANSWER: "}, "ends its input with white space"),
            ({"output": "naïve"}, "is not ASCII"),
            ({"score": 1}, "has not exactly the keys id, input, output"),
            ({"id": "law-9999"}, "(law-9999) is no record of train"),
            ({"input": "Answer: ANSWER:"}, "is not what its record says"),
        ],
    )
    def test_an_example_is_not_as_trainers_read_it(self, run: Path, columns: dict[str, Any], fault: str) -> None:
        change(run / self.path, 0, **columns)
        found = failing(run)
        assert f"{self.path}:1 " in found["handoff"]
        assert fault in found["handoff"]

    @pytest.mark.parametrize(
        ("messages", "fault"),
        [
            (None, "is no chat of system, user and assistant"),
            ([], "is no chat of system, user and assistant"),
            ([{"role": "user", "content": "a"}], "is no chat of system, user and assistant"),
            ([{"role": role, "content": role.strip("s")} for role in ("system", "user", "s")], "is no chat of"),
            (
                [{"role": role, "content": " "} for role in ("system", "user", "assistant")],
                "has a null or an empty text",
            ),
            (
                [{"role": role, "content": "a"} for role in ("system", "user", "assistant")],
                "is not what its record says",
            ),
        ],
    )
    def test_a_chat_is_not_as_trainers_read_it(self, run: Path, messages: Any, fault: str) -> None:
        change(run / self.chats, 2, messages=messages)
        assert fault in failing(run)["handoff"]
        assert f"{self.chats}:3 " in failing(run)["handoff"]

    @pytest.mark.parametrize(("line", "fault"), [(b"\n", "is blank"), (b"{\n", "is no JSON"), (b"{}", "or is cut")])
    def test_a_line_is_no_example(self, run: Path, line: bytes, fault: str) -> None:
        path = run / self.path
        path.write_bytes(path.read_bytes() + line)
        assert f"{self.path}:30 {fault}" in failing(run)["handoff"].replace("is not ASCII, ", "")

    def test_an_example_stands_there_twice(self, run: Path) -> None:
        rows = lines(run / self.path)
        write(run / self.path, [*rows, rows[0]])
        assert f"({rows[0]['id']}) stands here twice" in failing(run)["handoff"]

    def test_an_example_is_missing(self, run: Path) -> None:
        gone, *others = lines(run / self.path)
        write(run / self.path, others)
        found = failing(run)["handoff"]
        assert f"{self.path}: record {gone['id']} is missing" in found
        assert f"{self.path} has 28 examples, its manifest 29" in found

    def test_an_example_is_of_the_test_split(self, run: Path) -> None:
        rows, held_out = lines(run / self.path), lines(run / "handoff/qa/nemo/test.jsonl")
        write(run / self.path, [*rows[:-1], held_out[0]])
        assert f"({held_out[0]['id']}) is no record of train" in failing(run)["handoff"]

    def test_a_task_of_the_plan_has_no_folder(self, run: Path) -> None:
        account = orjson.loads((run / "run.json").read_bytes())
        account["exports"] = [entry for entry in account["exports"] if entry["stage"] != "handoff/title"]
        write_json(run / "run.json", account)
        assert "handoff/title is missing" in failing(run)["handoff"]


class TestRefused:
    """What a form can't take is in the ledger instead."""

    folder = Path("handoff/qa")

    def entries(self, root: Path) -> pd.DataFrame:
        return pd.read_parquet(root / self.folder / "left-00000.parquet")

    def test_all_of_it_is_accounted_for(self, short: Path) -> None:
        assert failing(short) == {}
        entries = self.entries(short)
        assert Counter(entries["reason"]) == {"incomplete": 2, "over_length": 8}
        assert (entries["stage"] == "handoff/qa").all()
        assert (entries.loc[entries["reason"] == "over_length", "score"] > 560).all()
        pd.testing.assert_frame_equal(pd.read_parquet(short / "ledger/handoff-qa.parquet"), entries)

    @pytest.mark.parametrize(
        ("columns", "fault"),
        [
            ({"reason": "incomplete"}, "lacks no text, or is not in the ledger for it"),
            ({"id": "law-9999"}, "law-9999 in its ledger is no record of final/"),
            ({"score": 9.0}, "left with 9 tokens"),
        ],
    )
    def test_an_entry_is_wrong(self, short: Path, columns: dict[str, Any], fault: str) -> None:
        entries = self.entries(short)
        place = entries.index[entries["reason"] == "over_length"][0]
        entries.loc[place, list(columns)] = list(columns.values())
        write_parquet(short / self.folder / "left-00000.parquet", entries, LEDGER_SCHEMA)
        found = failing(short)
        assert fault in found["handoff"]
        assert "ledger/handoff-qa.parquet" in found["ledger"]

    def test_an_entry_is_missing(self, short: Path) -> None:
        entries = self.entries(short)
        write_parquet(short / self.folder / "left-00000.parquet", entries[1:], LEDGER_SCHEMA)
        found = failing(short)
        assert "handoff/qa: 29 in, 19 out, and in its ledger" in found["balance"]
        assert str(entries["id"][0]) in found["handoff"]

    def test_an_example_is_in_the_ledger_as_well(self, short: Path) -> None:
        path = short / self.folder / "left-00000.parquet"
        kept = lines(short / self.folder / "nemo/training.jsonl")[0]["id"]
        entries = self.entries(short)
        write_parquet(path, entries.assign(id=[*entries["id"][:-1], kept]), LEDGER_SCHEMA)
        found = failing(short)["handoff"]
        assert f"({kept}) is in the ledger as well" in found
        assert f"record {entries['id'].iloc[-1]} is missing" in found

    def test_an_example_is_too_long(self, short: Path) -> None:
        path = short / self.folder / "token_stats.json"
        stats = orjson.loads(path.read_bytes())
        stats["splits"]["training"]["example"]["max"] = 561
        write_json(path, stats)
        assert f"{self.folder}: training has an example of 561 tokens" in failing(short)["handoff"]


class TestPreference:
    path = Path("preference/training.jsonl")

    @pytest.mark.parametrize(
        ("columns", "fault"),
        [
            ({"parent_id": "law-9999"}, "is of law-9999, which is no human record of train"),
            ({"chosen_id": "law-9999"}, "were not written from"),
            ({"rejected_id": "law-9999"}, "were not written from"),
            ({"score_chosen": -9}, "prefers what is graded lower"),
        ],
    )
    def test_a_pair_is_not_of_one_record(self, run: Path, columns: dict[str, Any], fault: str) -> None:
        change(run / self.path, 0, **columns)
        assert f"{self.path}:1 " in failing(run)["preference"]
        assert fault in failing(run)["preference"]

    def test_a_record_has_pairs_in_both_files(self, run: Path) -> None:
        pair = lines(run / self.path)[0]
        write(run / "preference/validation.jsonl", [pair])
        found = failing(run)["preference"]
        assert "or has pairs in both files" in found
        assert f"has the id of another pair, {pair['id']}" in found
