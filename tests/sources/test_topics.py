"""Topics: from a plan or a file, one seed each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from curation.config import Plan
from curation.core.errors import InputError
from curation.core.records import COLUMNS, DETAIL, REASON, TEXT_COLUMNS
from curation.core.registry import Spec
from curation.sources.topics import Topics


def rows(source: Topics) -> pd.DataFrame:
    return source.read().compute(scheduler="synchronous")


def topics_of(table: pd.DataFrame) -> list[str]:
    return [orjson.loads(extra)["topic"] for extra in table["extra"]]


def test_a_topic_is_a_seed_without_texts() -> None:
    table = rows(Topics(["Docker commands", " Law,  of\ttenancy "]))
    assert set(table.columns) == {*COLUMNS, REASON, DETAIL}
    assert list(table["origin"]) == ["seed", "seed"]
    assert topics_of(table) == ["Docker commands", "Law, of tenancy"]
    assert list(table["tags"]) == ["Docker commands", "Law of tenancy"]
    assert table[[*TEXT_COLUMNS, REASON, "parent_id"]].isna().all(axis=None)
    assert (table["root_id"] == table["id"]).all()
    assert list(zip(table["file_name"], table["line"], strict=True)) == [("topics", 1), ("topics", 2)]


def test_the_id_depends_on_what_the_topic_says_alone() -> None:
    one, two, three = rows(Topics(["Docker commands", "DOCKER  commands.", "Docker"]))["id"]
    assert one == two != three
    assert rows(Topics(["Docker"]))["id"].tolist() == [three]


def test_a_file_has_one_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_bytes("\ufeffCafé\r\n\n  \nC#\n".encode())
    table = rows(Topics(path=str(path)))
    assert topics_of(table) == ["Café", "C#"]
    assert list(table["line"]) == [1, 4]
    assert set(table["file_name"]) == {"topics.txt"}


def test_what_is_no_topic_is_marked_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_bytes(b"good\n\xff\xfe\nnul\0\n")
    table = rows(Topics(path=str(path)))
    assert list(table[REASON].fillna("")) == ["", "invalid_utf8", "nul_byte"]
    assert table[DETAIL][1].startswith("topics.txt:2: ")
    listed: list[Any] = ["good", 7, None]
    assert list(rows(Topics(listed))[REASON].fillna("")) == ["", "wrong_type", "wrong_type"]


def test_the_fingerprint_follows_the_topics(tmp_path: Path) -> None:
    path = tmp_path / "topics.txt"
    path.write_text("one\ntwo\n", encoding="utf-8")
    before = Topics(path=str(path)).fingerprint()
    assert Topics(path=str(path)).fingerprint() == before
    path.write_text("one\nthree\n", encoding="utf-8")
    assert Topics(path=str(path)).fingerprint() != before
    assert Topics(["one"]).fingerprint() != Topics(["two"]).fingerprint()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt can't be read: No such file"):
        Topics(path=str(tmp_path / "none.txt")).read()


@pytest.mark.parametrize("wrong", [{}, {"topics": []}, {"topics": ["one"], "path": "x"}, {"topics": "Docker"}])
def test_topics_or_a_file(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="topics"):
        Topics(**wrong)


def test_a_plan_names_the_file_as_its_input() -> None:
    plan = Plan.model_validate({"source": "topics", "input": ["topics.txt"]})
    assert plan.source_spec() == Spec("source", "topics", {"path": "topics.txt"})
