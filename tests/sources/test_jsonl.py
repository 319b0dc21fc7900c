"""JSON Lines: what is read, what is marked and why, and that partitions change nothing."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import dask
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.core.errors import InputError, PlanError
from curation.core.registry import Spec
from curation.sources._faults import BAD_INPUT, UNANSWERED
from curation.sources.jsonl import Jsonl
from tests.shared_data import shared_data
from tests.sources.helpers import collect, rows, write

GOOD = '{"id": "g", "question": "Q?", "answer": "A."}'


def test_a_full_record(tmp_path: Path) -> None:
    value = {
        "id": "007",
        "title": "T",
        "question": "Q?",
        "answer": "A\u2028.",
        "tags": ["b", "a", " b "],
        "question_score": 3,
        "answer_score": "-1.5",
        "year": 1999,
        "nested": {"z": [1, None], "a": "é"},
    }
    [row] = rows(Jsonl([write(tmp_path / "x.jsonl", json.dumps(value, ensure_ascii=False))]))
    wanted = {
        "id": "007",
        "root_id": "007",
        "origin": "human",
        "round": 0,
        "title": "T",
        "question": "Q?",
        "answer": "A\u2028.",
        "context": None,
        "tags": "a,b",
        "question_score": 3.0,
        "answer_score": -1.5,
        "file_name": "x.jsonl",
        "line": 1,
        "extra": '{"nested":{"a":"é","z":[1,null]},"year":1999}',
        "_reason": None,
        "_detail": None,
    }
    assert {key: row[key] for key in wanted} == wanted


def test_columns_are_mapped_and_ids_made_from_content(tmp_path: Path) -> None:
    line = '{"instruction": "Q", "response": "A", "question": "not this"}'
    other = '{"instruction": "QA", "response": " "}'
    path = write(tmp_path / "x.jsonl", line, other, line)
    first, blank, again = rows(Jsonl([path], {"question": "instruction", "answer": "response"}))
    assert first["question"] == "Q"
    assert json.loads(first["extra"]) == {"question": "not this"}
    assert first["id"] == again["id"]
    assert first["id"].startswith("content-")
    assert (blank["id"], blank["_reason"], blank["question"]) == ("x.jsonl#L2", "empty_record", "QA")


BAD: dict[str, list[str | bytes]] = {
    "malformed": [
        "{nope}",
        '{"id": "x", "question": "Q',
        "[" * 2000,
        '{"question": NaN}',
        '{"id": 1} {"id": 2}',
        b'{"question": "raw \x01 control"}',
    ],
    "wrong_type": [
        '["a list"]',
        '"a text"',
        "3",
        "null",
        '{"question": 5, "answer": "A"}',
        '{"question": "Q", "answer": ["A"]}',
        '{"question": "Q", "answer": "A", "title": {}}',
        '{"question": "Q", "answer": "A", "id": 1.5}',
        '{"question": "Q", "answer": "A", "id": true}',
        '{"question": "Q", "answer": "A", "tags": [1]}',
        '{"question": "Q", "answer": "A", "question_score": "many"}',
        '{"question": "Q", "answer": "A", "question_score": true}',
        '{"question": "Q", "answer": "A", "answer_score": "nan"}',
        '{"question": "Q", "answer": "A", "answer_score": [1]}',
    ],
    "missing_column": ['{"question": "Q"}', '{"question": null, "answer": "A"}', "{}"],
    "empty_record": ['{"question": "Q", "answer": ""}', '{"question": " \\n", "answer": "A"}'],
    "invalid_utf8": [b'{"question": "caf\xe9", "answer": "A"}', b'{"question": "\xed\xa0\x80", "answer": "A"}'],
    "nul_byte": [
        b'{"question": "Q\0", "answer": "A"}',
        '{"question": "Q\\u0000", "answer": "A"}',
        '{"question": "Q", "answer": "A", "other": [{"deep": "\\u0000"}]}',
    ],
    "lone_surrogate": ['{"question": "\\ud800", "answer": "A"}', '{"question": "Q", "answer": "A", "x": ["\\udfff!"]}'],
}


@pytest.mark.parametrize(("reason", "line"), [(reason, line) for reason, lines in BAD.items() for line in lines])
def test_a_bad_row_is_named_and_the_others_are_read(tmp_path: Path, reason: str, line: str | bytes) -> None:
    path = write(tmp_path / "x.jsonl", GOOD, "", line, GOOD)
    first, bad, last = rows(Jsonl([path]))
    assert (first["_reason"], last["_reason"]) == (None, None)
    assert bad["_reason"] == reason
    assert reason in BAD_INPUT
    assert bad["_detail"].startswith("x.jsonl:3: ")
    assert (bad["line"], bad["file_name"], bad["root_id"]) == (3, "x.jsonl", "x.jsonl#L3")
    raw = line if isinstance(line, bytes) else line.encode()
    assert raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")[:500] in bad["_detail"]
    bad["_detail"].encode()
    assert "\0" not in bad["_detail"]


def test_a_bad_row_keeps_what_could_be_read(tmp_path: Path) -> None:
    [row] = rows(Jsonl([write(tmp_path / "x.jsonl", '{"id": 7, "question": "Q", "answer": 1, "title": "T", "y": 2}')]))
    assert (row["id"], row["question"], row["answer"], row["title"]) == ("7", "Q", None, "T")
    assert row["extra"] == '{"y":2}'
    assert "'answer' is a number, not a text" in row["_detail"]


def test_a_long_bad_row_is_quoted_in_part(tmp_path: Path) -> None:
    [row] = rows(Jsonl([write(tmp_path / "x.jsonl", "{" + "x" * 5000)]))
    assert 500 < len(row["_detail"]) < 700


def test_an_id_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    [row] = rows(Jsonl([write(tmp_path / "x.jsonl", '{"question": "Q", "answer": "A", "id": 1}')], {"id": "key"}))
    assert row["_reason"] == "missing_column"
    assert "'key' is missing; there are: question, answer, id" in row["_detail"]


def test_windows_line_ends_byte_order_marks_and_a_missing_last_newline(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"\r\n\r\n" + GOOD.encode())
    assert [(row["line"], row["_reason"]) for row in rows(Jsonl(str(tmp_path)))] == [(1, None), (3, None)]


def test_an_empty_file_is_a_row_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", "", " ")
    write(tmp_path / "b.jsonl", GOOD)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(b""))
    table = collect(Jsonl([str(tmp_path)]))
    assert list(table["_reason"]) == ["empty_file", None, "empty_file"]
    assert list(table["id"]) == ["a.jsonl#L0", "g", "c.jsonl.gz#L0"]
    with pytest.raises(InputError, match=r"no rows to read: .*a\.jsonl"):
        Jsonl([str(tmp_path / "a.jsonl"), str(tmp_path / "c.jsonl.gz")]).read()


LINES = st.lists(
    st.sampled_from(
        ["", "  ", "{bad", GOOD, '{"question": "né 😀 \\n", "answer": "A"}', '{"answer": 1, "question": "Q"}']
    ),
    min_size=1,
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(st.lists(LINES, min_size=1, max_size=3), st.integers(1, 200), st.sampled_from([None, 1, 2]))
def test_partitions_change_nothing(
    tmp_path: Path, files: list[list[str]], partition_bytes: int, files_per_partition: int | None
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.jsonl").unlink(missing_ok=True)
    for number, lines in enumerate([[*files[0], GOOD], *files[1:]]):
        write(tmp_path / f"{number}.jsonl", *lines)
    whole = collect(Jsonl([str(tmp_path)], partition_bytes=1 << 30))
    parts = collect(Jsonl([str(tmp_path)], None, partition_bytes, files_per_partition))
    pd.testing.assert_frame_equal(whole, parts)
    for row in whole.itertuples():
        assert row.line == 0 or (tmp_path / row.file_name).read_text().split("\n")[row.line - 1].strip()


def test_partitions_are_packed_by_both_limits(tmp_path: Path) -> None:
    for number in range(7):
        write(tmp_path / f"{number}.jsonl", GOOD)
    assert Jsonl([str(tmp_path)]).read().npartitions == 1
    assert Jsonl([str(tmp_path)], files_per_partition=3).read().npartitions == 3
    assert Jsonl([str(tmp_path)], partition_bytes=2 * len(GOOD) + 2).read().npartitions == 4
    assert Jsonl([str(tmp_path)], num_files=2, files_per_partition=1).read().npartitions == 2


@pytest.mark.parametrize(("suffix", "codec"), [(".gz", "gzip"), (".zst", "zstd")])
def test_compressed_files_are_streamed(tmp_path: Path, suffix: str, codec: str) -> None:
    plain = write(tmp_path / "x.jsonl", *[GOOD] * 3000, "{bad", GOOD)
    path = tmp_path / f"x.jsonl{suffix}"
    half = len(Path(plain).read_bytes()) // 2
    members = [Path(plain).read_bytes()[:half], Path(plain).read_bytes()[half:]]
    path.write_bytes(b"".join(pa.compress(member, codec, asbytes=True) for member in members))
    packed, unpacked = collect(Jsonl([str(path)], partition_bytes=10)), collect(Jsonl([plain]))
    pd.testing.assert_frame_equal(packed[["question", "line", "_reason"]], unpacked[["question", "line", "_reason"]])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"damaged or cut short after line \d+"):
        Jsonl([str(path)]).read().compute()


def test_what_is_not_compressed_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="damaged"):
        Jsonl([write(tmp_path / "x.jsonl.gz", GOOD)]).read()


def test_a_wrong_column_name_is_a_fault_of_the_plan() -> None:
    with pytest.raises(PlanError, match=r"can't set 'answr'\. Did you mean 'answer'\?"):
        Spec("source", "jsonl", {"paths": ["x"], "columns": {"answr": "response"}}).create()


def test_a_source_pickles(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(Jsonl([write(tmp_path / "x.jsonl", GOOD)])))
    assert collect(source)["id"].tolist() == ["g"]


def test_dask_may_convert_strings(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", GOOD, "{bad")
    with dask.config.set({"dataframe.convert-string": True}):
        assert Jsonl([path]).read().compute()["_reason"].tolist()[1] == "malformed"


def test_unanswered_is_no_fault() -> None:
    assert UNANSWERED not in BAD_INPUT


@pytest.mark.slow
def test_real_rows() -> None:
    path = shared_data() / "docker_commands" / "raw.jsonl"
    table = collect(Jsonl([str(path)], {"question": "instruction", "answer": "response"}, partition_bytes=50_000))
    expected = [json.loads(line) for line in path.read_text().splitlines()]
    assert table["question"].tolist() == [value["instruction"] for value in expected]
    assert table["answer"].tolist() == [value["response"] for value in expected]
    assert table["_reason"].isna().all()
