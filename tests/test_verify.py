"""A sound run is proved sound; whatever is broken in it, the check that should see it names it."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
import yaml

from curation import verify as module
from curation.core.errors import InputError
from curation.core.pairs import compared_texts
from curation.core.records import LEDGER_SCHEMA, SCHEMA
from curation.core.vectors import VectorCache, hash_of, take
from curation.engine.lift import write_parquet
from curation.engine.store import sha256_of, write_json
from curation.verify import CHECKS, SHOWN, Finding, main, verify
from tests.models.tiny_llama import write_tiny_llama
from tests.run_folder import finished_run

CLEAN = Path("stages/round-00/40-clean")
ROLES = ("system", "user", "assistant")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("sound"), rounds=1)


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(sound, tmp_path / "run")


def failing(root: Path) -> dict[str, str]:
    """The lines of the checks that fail, by the name of the check's function."""
    names = {check: function.__name__ for check, function in CHECKS.items()}
    return {names[finding.check]: str(finding) for finding in verify(root) if finding.count}


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


def change(path: Path, position: int, **columns: Any) -> dict[str, Any]:
    """Sets columns of one record of a JSON Lines file; answers with the record as it was."""
    rows = lines(path)
    before = dict(rows[position])
    rows[position].update(columns)
    write(path, rows)
    return before


def republish(folder: Path, **numbers: Any) -> None:
    """Makes a manifest's checksums agree with its files again, as a faulty program would have written them."""
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    manifest["files"] = {name: sha256_of(folder / name) for name in manifest["files"]}
    write_json(folder / "manifest.json", manifest | numbers)


def synthetic(root: Path) -> int:
    """The place of the first synthetic record in the training file."""
    return next(place for place, row in enumerate(lines(root / "final/train.jsonl")) if row["origin"] == "synthetic")


def test_a_finished_run_is_sound(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sound)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [f"ok    {check}" for check in CHECKS]


@pytest.mark.parametrize("rounds", [0, 2])
def test_the_number_of_rounds_does_not_matter(tmp_path: Path, rounds: int) -> None:
    assert failing(finished_run(tmp_path, rounds=rounds)) == {}


def test_what_the_plan_leaves_out_is_not_proved(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = yaml.safe_load((run / "plan.yaml").read_text())
    plan["dedup"] = {"exact": None, "semantic": None}
    plan["against"]["input"] = []
    (run / "plan.yaml").write_text(yaml.safe_dump(plan))
    account = orjson.loads((run / "run.json").read_bytes())
    write_json(run / "run.json", account | {"plan": sha256_of(run / "plan.yaml")})
    assert main([str(run)]) == 0
    printed = capsys.readouterr().out
    assert "skip  no exact duplicates lie in two splits: the plan has no dedup.exact" in printed
    assert "skip  no near duplicates lie in two splits: the plan has no dedup.semantic" in printed
    assert "skip  no record says what a record of the other set says: the plan names no other set" in printed


class TestNoFinishedRun:
    def test_there_is_no_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([str(tmp_path / "nothing")]) == 2
        assert "nothing is not a folder" in capsys.readouterr().err

    def test_the_run_has_not_come_to_its_end(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (run / "run.json").unlink()
        assert main([str(run)]) == 2
        captured = capsys.readouterr()
        assert "run.json is missing" in captured.err
        assert not captured.out

    @pytest.mark.parametrize("text", ["", "[]", '{"stages": []}', "{"])
    def test_its_account_is_damaged(self, run: Path, text: str) -> None:
        (run / "run.json").write_text(text)
        with pytest.raises(InputError, match="damaged"):
            verify(run)


class TestFiles:
    def test_a_byte_has_flipped(self, run: Path) -> None:
        path = run / CLEAN / "part-00000.parquet"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert f"{CLEAN}/part-00000.parquet has changed" in failing(run)["checksums"]

    @pytest.mark.parametrize("name", ["stages/round-01/60-near/pairs.parquet", "final/test.jsonl"])
    def test_a_file_is_gone(self, run: Path, name: str) -> None:
        (run / name).unlink()
        assert f"{name} is missing" in failing(run)["checksums"]

    @pytest.mark.parametrize("folder", [str(CLEAN), "handoff/qa", "preference"])
    def test_a_manifest_is_gone(self, run: Path, folder: str) -> None:
        (run / folder / "manifest.json").unlink()
        assert f"{folder}/manifest.json is missing or damaged" in failing(run)["checksums"]

    @pytest.mark.parametrize(
        "name", ["final/train-old.jsonl", "handoff/qa/nemo/training.jsonl.idx.npy", "preference/x"]
    )
    def test_a_file_of_another_run_lies_there(self, run: Path, name: str) -> None:
        (run / name).write_bytes(b"{}\n")
        assert list(found := failing(run)) == ["strays"]
        assert name in found["strays"]

    def test_a_folder_that_this_run_did_not_write_lies_there(self, run: Path) -> None:
        shutil.copytree(run / "handoff/qa/nemo", run / "handoff/old/nemo")
        assert "handoff/old/nemo/test.jsonl" in failing(run)["strays"]

    def test_hidden_files_are_nobodys_business(self, run: Path) -> None:
        (run / "final/.train.jsonl.tmp").write_bytes(b"{")
        assert failing(run) == {}

    def test_the_account_is_of_another_run(self, run: Path) -> None:
        account = orjson.loads((run / "run.json").read_bytes())
        account["stages"][2]["rows_out"] += 1
        write_json(run / "run.json", account)
        assert list(found := failing(run)) == ["account"]
        assert f"{CLEAN}: rows_out is 32, and 33 in run.json" in found["account"]

    def test_another_plan_than_the_finished_runs(self, run: Path) -> None:
        with (run / "plan.yaml").open("a") as file:
            file.write("# edited\n")
        assert "plan.yaml is not the plan of the run that ended last" in failing(run)["account"]


class TestStages:
    def test_a_row_is_lost(self, run: Path) -> None:
        path = run / CLEAN / "part-00001.parquet"
        rows = pd.read_parquet(path)
        write_parquet(path, rows[1:], SCHEMA)
        republish(run / CLEAN)
        found = failing(run)
        assert f"{CLEAN}: 31 rows in its files, 32 in its manifest" in found["balance"]
        assert f"{CLEAN}: record {rows['id'][0]} is lost" in found["flow"]

    def test_a_row_is_exchanged_for_another(self, run: Path) -> None:
        path = run / CLEAN / "part-00000.parquet"
        rows = pd.read_parquet(path)
        write_parquet(path, rows.assign(id=rows["id"].replace("law-0001", "law-9999")), SCHEMA)
        republish(run / CLEAN)
        found = failing(run)["flow"]
        assert f"{CLEAN}: record law-0001 is lost" in found
        assert f"{CLEAN}: record law-9999 came from nowhere" in found

    def test_the_manifest_does_not_add_up(self, run: Path) -> None:
        republish(run / CLEAN, rows_in=39)
        assert f"{CLEAN}: 39 in, 32 out, 6 left" in failing(run)["balance"]

    def test_a_reason_is_not_that_of_the_manifest(self, run: Path) -> None:
        republish(run / CLEAN, dropped={"low_score": 5, "word_count": 1})
        assert "{'low_score': 5, 'word_count': 1}" in failing(run)["balance"]

    def test_a_parent_is_of_the_test_split(self, run: Path) -> None:
        held_out = lines(run / "final/test.jsonl")[0]["id"]
        folder = run / "stages/round-01/20-parents"
        rows = pd.read_parquet(folder / "part-00000.parquet")
        write_parquet(folder / "part-00000.parquet", rows.assign(id=[held_out, *rows["id"][1:]]), SCHEMA)
        republish(folder)
        assert f"{held_out} is no human record of train" in failing(run)["flow"]

    def test_a_parent_has_no_children(self, run: Path) -> None:
        folder = run / "stages/round-01/30-synthesize"
        rows = pd.read_parquet(folder / "part-00000.parquet")
        parent = rows["parent_id"][0]
        write_parquet(folder / "part-00000.parquet", rows[rows["parent_id"] != parent], SCHEMA)
        assert f"parent {parent} has no record here" in failing(run)["flow"]


class TestLedger:
    path = Path("ledger/round-00-40-clean.parquet")

    def test_an_entry_is_missing(self, run: Path) -> None:
        entries = pd.read_parquet(run / self.path)
        write_parquet(run / self.path, entries[1:], LEDGER_SCHEMA)
        assert failing(run) == {
            "ledger": f"FAIL  {_name('ledger')}: {self.path}: {entries['id'][0]} is missing",
        }

    def test_an_entry_has_changed(self, run: Path) -> None:
        entries = pd.read_parquet(run / self.path)
        write_parquet(run / self.path, entries.assign(bound="low_score(minimum=1)"), LEDGER_SCHEMA)
        assert "law-0003 is no departure" in failing(run)["ledger"]

    def test_a_file_is_missing(self, run: Path) -> None:
        (run / self.path).unlink()
        assert f"{self.path} is missing" in failing(run)["ledger"]

    def test_a_file_is_of_another_run(self, run: Path) -> None:
        shutil.copy(run / self.path, run / "ledger/round-07-40-clean.parquet")
        assert "ledger/round-07-40-clean.parquet belongs to no stage" in failing(run)["ledger"]

    def test_an_entry_names_another_stage(self, run: Path) -> None:
        for path in (run / CLEAN / "left-00000.parquet", run / self.path):
            write_parquet(path, pd.read_parquet(path).assign(stage="near"), LEDGER_SCHEMA)
        assert "law-0003 is said to have left at near" in failing(run)["ledger"]


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


class TestSplits:
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

    def test_a_record_has_no_group(self, run: Path) -> None:
        before = change(run / self.test, 0, group_id=None)
        assert f"record {before['id']} has no group_id" in failing(run)["groups"]

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

    def test_the_same_text_lies_in_two_splits(self, run: Path) -> None:
        rows = lines(run / self.train)
        same = {name: rows[0][name] for name in ("title", "answer")}
        before = change(run / self.test, 0, question=rows[0]["question"].upper() + " ", **same)
        assert f"{rows[0]['id']}, {before['id']} say the same, in train, test" in failing(run)["exact"]


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


class TestNearDuplicates:
    def replace_vectors(self, root: Path, work: Callable[[dict[str, Any]], None]) -> None:
        """Writes the cache anew, after `work` has changed the vectors by id."""
        rows = pd.concat([pd.DataFrame(lines(path)) for path in sorted((root / "final").glob("*.jsonl"))])
        hashes = [hash_of(text) for text in compared_texts(rows, "question")[0]]
        folder = root / "embeddings"
        index = VectorCache(folder, "encoder-1").index().reindex(hashes)
        vectors = take(index["file"].to_numpy(dtype=object), index["row"].to_numpy(dtype="int64"))
        by_id = dict(zip(rows["id"], vectors, strict=True))
        work(by_id)
        shutil.rmtree(folder)
        kept = [(key, by_id[name]) for key, name in zip(hashes, rows["id"], strict=True) if name in by_id]
        VectorCache(folder, "encoder-1").add([key for key, _ in kept], np.stack([vector for _, vector in kept]))

    @pytest.mark.parametrize(("cosine", "leaks"), [(0.91, True), (0.9001, True), (0.8999, False)])
    def test_two_splits_hold_near_records(self, run: Path, cosine: float, leaks: bool) -> None:
        one, other = (lines(run / f"final/{split}.jsonl")[0]["id"] for split in ("train", "validation"))

        def approach(vectors: dict[str, Any]) -> None:
            across = vectors[other] - (vectors[other] @ vectors[one]) * vectors[one]
            across /= np.linalg.norm(across)
            vectors[other] = (cosine * vectors[one] + np.sqrt(1 - cosine**2) * across).astype(np.float32)

        self.replace_vectors(run, approach)
        expected = {"near": f"FAIL  {_name('near')}: {one} (train) and {other} (validation): cosine {cosine:.4f}"}
        assert failing(run) == (expected if leaks else {})

    def test_blocks_change_nothing(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        one, other = (lines(run / f"final/{split}.jsonl")[-1]["id"] for split in ("train", "test"))
        self.replace_vectors(run, lambda vectors: vectors.update({one: vectors[other]}))
        whole = failing(run)["near"]
        monkeypatch.setattr(module, "_BLOCK", 2)
        assert failing(run)["near"] == whole
        assert f"{one} (train) and {other} (test)" in whole

    def test_a_vector_is_gone(self, run: Path) -> None:
        gone = lines(run / "final/test.jsonl")[0]["id"]
        self.replace_vectors(run, lambda vectors: vectors.pop(gone))
        assert f"record {gone} has no vector" in failing(run)["near"]

    def test_a_vector_is_damaged(self, run: Path) -> None:
        damaged = lines(run / "final/test.jsonl")[0]["id"]
        self.replace_vectors(run, lambda vectors: vectors.update({damaged: 3 * vectors[damaged]}))
        assert f"record {damaged} has a damaged vector" in failing(run)["near"]

    def test_no_vectors_prove_nothing(self, run: Path) -> None:
        shutil.rmtree(run / "embeddings")
        (run / "embeddings/encoder-1").mkdir(parents=True)
        assert "has no vector in embeddings/" in failing(run)["near"]


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

    @pytest.fixture
    def short(self, tmp_path: Path) -> Path:
        """A run with a record without an answer, and a tokenizer that finds some examples too long."""
        write_tiny_llama(tmp_path / "tokenizer")
        return finished_run(tmp_path / "run", 0, {"tokenizer": str(tmp_path / "tokenizer"), "max_tokens": 560}, (1, 2))

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


class TestBill:
    """What was paid."""

    def test_the_log_was_lost(self, run: Path) -> None:
        shutil.rmtree(run / "spending")
        said = failing(run)["bill"]
        assert "run.json tells other figures than spending/" in said
        assert "the journal holds 3 replies of teacher-8b, but only 0 requests were logged" in said

    def test_the_budget_was_exceeded(self, run: Path) -> None:
        plan = yaml.safe_load((run / "plan.yaml").read_text())
        plan["budget"] = {"max_tokens": 449}
        (run / "plan.yaml").write_text(yaml.safe_dump(plan))
        assert "4 requests, 450 tokens, $0.05 exceed the budget" in failing(run)["bill"]


def test_a_line_names_the_first_faults_and_counts_the_rest(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = run / "handoff/qa/nemo/training.jsonl"
    write(path, [{**row, "output": None} for row in lines(path)])
    republish(path.parents[1])
    assert main([str(run)]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL"))
    assert line.count("has a null") == SHOWN
    assert line.endswith("and 54 more")


def test_findings_are_what_the_lines_say() -> None:
    assert str(Finding("a")) == "ok    a"
    assert str(Finding("a", ("b",), 1)) == "FAIL  a: b"
    assert str(Finding("a", ("b", "c"), 4)) == "FAIL  a: b; c; and 2 more"
    assert str(Finding("a", skipped="why")) == "skip  a: why"


def _name(function: str) -> str:
    return next(check for check, found in CHECKS.items() if found.__name__ == function)
