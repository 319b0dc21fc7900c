"""Parquet: mapping, types, row groups as partitions, and damaged files."""

from __future__ import annotations

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.core.errors import InputError
from curation.sources.parquet import Parquet
from tests.sources.helpers import collect, rows


def save(path: Path, table: Any, group: int = 3) -> str:
    pq.write_table(table, path, row_group_size=group)
    return str(path)


def numbered(count: int) -> Any:
    texts = [f"text {number}" for number in range(count)]
    return pa.table({"id": list(range(count)), "question": texts, "answer": texts, "tags": [["b", "a"]] * count})


def test_a_full_record(tmp_path: Path) -> None:
    table = pa.table(
        {
            "prompt": ["Q"],
            "answer": pa.array(["A"], pa.large_string()),
            "id": pa.array(["007"]).dictionary_encode(),
            "question_score": pa.array([3], pa.int16()),
            "when": [datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)],
            "price": [decimal.Decimal("1.10")],
            "data": [b"\x00\xff"],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "nothing": [None],
        }
    )
    [row] = rows(Parquet(save(tmp_path / "x.parquet", table), {"question": "prompt"}))
    assert (row["id"], row["question"], row["question_score"], row["line"], row["_reason"]) == (
        "007",
        "Q",
        3.0,
        1,
        None,
    )
    assert json.loads(row["extra"]) == {
        "when": "2020-01-02T00:00:00+00:00",
        "price": "1.10",
        "data": "AP8=",
        "map": [["k", 1]],
        "nothing": None,
    }


def test_row_groups_make_partitions_which_change_nothing(tmp_path: Path) -> None:
    save(tmp_path / "a.parquet", numbered(10))
    save(tmp_path / "b.parquet", numbered(4))
    small, whole = Parquet(str(tmp_path), partition_bytes=1), Parquet(str(tmp_path))
    assert (small.read().npartitions, whole.read().npartitions) == (6, 1)
    assert Parquet(str(tmp_path), files_per_partition=1).read().npartitions == 2
    pd.testing.assert_frame_equal(collect(small), collect(whole))
    assert collect(whole)["line"].tolist() == [*range(1, 11), *range(1, 5)]
    assert set(collect(whole)["tags"]) == {"a,b"}


def test_missing_columns_are_refused_with_the_nearest(tmp_path: Path) -> None:
    path = save(tmp_path / "x.parquet", pa.table({"question": ["Q"], "anwser": ["A"]}))
    with pytest.raises(InputError, match=r"no column 'answer'.*Did you mean 'anwser'\? It has: question, anwser"):
        Parquet(path).read()
    with pytest.raises(InputError, match="no column 'headline' for the record's title"):
        Parquet(path, {"answer": "anwser", "title": "headline"}).read()


def test_bad_values_are_named_row_by_row(tmp_path: Path) -> None:
    latin = pa.array([b"fine", b"caf\xe9", b"", b"NUL\0"]).cast(pa.binary()).view(pa.string())
    table = pa.table({"question": ["Q", "Q", "Q", "Q"], "answer": latin, "id": [1, 2, 3, 4]})
    table_rows = rows(Parquet(save(tmp_path / "x.parquet", table, group=10)))
    assert [row["_reason"] for row in table_rows] == [None, "invalid_utf8", "empty_record", "nul_byte"]
    assert table_rows[1]["_detail"].startswith("x.parquet:2: ")
    assert "caf" in table_rows[1]["_detail"]
    [wrong] = rows(Parquet(save(tmp_path / "y.parquet", pa.table({"question": [1], "answer": ["A"]}))))
    assert (wrong["_reason"], wrong["answer"]) == ("wrong_type", "A")


def test_empty_and_damaged_files(tmp_path: Path) -> None:
    empty = save(tmp_path / "a.parquet", numbered(0))
    with pytest.raises(InputError, match="no rows to read"):
        Parquet(empty).read()
    save(tmp_path / "b.parquet", numbered(1))
    assert [row["_reason"] for row in rows(Parquet(str(tmp_path)))] == ["empty_file", None]
    (tmp_path / "c.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"c\.parquet is not a readable Parquet file"):
        Parquet(str(tmp_path)).read()


def test_a_damaged_row_group_is_named(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "x.parquet", numbered(50), group=50))
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.parquet: the row group at row 1 is damaged"):
        Parquet(str(path)).read().compute()
