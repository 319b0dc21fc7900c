"""The array of questions with answers: the best answer, faults by element, and the same rows from any partitions."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.core.errors import InputError
from curation.sources.law_stackexchange import FILE_NAME, LawStackexchange
from tests.shared_data import shared_data
from tests.sources.helpers import collect, rows, write


def answer(number: int, score: float, body: str = "<p>A</p>") -> dict[str, Any]:
    return {"answer_id": number, "body": body, "score": score}


def question(number: object, *answers: Any, **changes: Any) -> dict[str, Any]:
    return {
        "question_id": number,
        "question_title": "Is it legal?",
        "question_body": "<p>May I &amp; how?</p>\n",
        "score": 4,
        "tags": ["uk", "contract"],
        "link": f"https://example.org/q/{number}",
        "license": "CC BY-SA 4.0",
        "answers": list(answers),
        **changes,
    }


def save(path: Path, values: list[Any], indent: int | None = None) -> str:
    path.write_text(json.dumps(values, indent=indent))
    return str(path)


def test_the_best_answer_stands_beside_its_question(tmp_path: Path) -> None:
    answers = [
        answer(9, 2),
        answer(8, 5, "<p>best</p>"),
        answer(3, 5, "<p>the <b>older</b> of equals</p>"),
        answer(1, -1),
    ]
    [row] = rows(LawStackexchange([save(tmp_path / FILE_NAME, [question(31, *answers)])]))
    wanted = {
        "id": "law-stackexchange-qa-31",
        "title": "Is it legal?",
        "question": "<p>May I &amp; how?</p>\n",
        "answer": "<p>the <b>older</b> of equals</p>",
        "question_score": 4.0,
        "answer_score": 5.0,
        "tags": "contract,uk",
        "extra": '{"answer_id":3,"license":"CC BY-SA 4.0","link":"https://example.org/q/31"}',
        "file_name": FILE_NAME,
        "_reason": None,
    }
    assert {key: row[key] for key in wanted} == wanted


def test_ids_begin_with_the_file_or_as_asked(tmp_path: Path) -> None:
    path = save(tmp_path / "beer.json", [question("007", answer(1, 1))])
    assert rows(LawStackexchange(path))[0]["id"] == "beer-qa-007"
    assert rows(LawStackexchange(path, id_prefix="mine"))[0]["id"] == "mine-007"
    (tmp_path / "beer.json.gz").write_bytes(gzip.compress(Path(path).read_bytes()))
    assert rows(LawStackexchange(f"{path}.gz"))[0]["id"] == "beer-qa-007"


def test_unanswered_questions_are_kept_for_the_ledger(tmp_path: Path) -> None:
    [row] = rows(LawStackexchange(save(tmp_path / "x.json", [question(5)])))
    assert (row["_reason"], row["id"], row["title"], row["answer"]) == ("unanswered", "x-qa-5", "Is it legal?", None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (question(None, answer(1, 1)), "missing_column"),
        (question(True, answer(1, 1)), "wrong_type"),
        (question(1, answer(1, 1), question_body=3), "wrong_type"),
        (question(1, answer(1, 1), score="high"), "wrong_type"),
        (question(1, answer(1, 1), answers="none"), "wrong_type"),
        (question(1, answer(1, 1), {"answer_id": 2, "score": 1}), "wrong_type"),
        (question(1, {"answer_id": 2, "score": "1", "body": "A"}), "wrong_type"),
        (question(1, answer(1, 1, " ")), "empty_record"),
        ({"question_id": 1, "question_body": "Q"}, "missing_column"),
        ([], "wrong_type"),
        (None, "wrong_type"),
    ],
)
def test_a_bad_element_is_named_with_its_line(tmp_path: Path, value: Any, reason: str) -> None:
    good = question(1, answer(1, 1))
    path = save(tmp_path / "x.json", [good, value, good], indent=1)
    line = json.dumps([good], indent=1).count("\n") + 1
    first, bad, last = rows(LawStackexchange(path))
    assert (first["_reason"], bad["_reason"], last["_reason"]) == (None, reason, None)
    assert bad["_detail"].startswith(f"x.json:{line}: ")
    assert bad["line"] == line


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'{"question_id": 2, "answers": [nope]}', "malformed"),
        (b"", "malformed"),
        (b'{"question_body": "caf\xe9"}', "invalid_utf8"),
        (b'{"question_body": "\0"}', "nul_byte"),
        (b'{"question_body": "\\udc00"}', "lone_surrogate"),
    ],
)
def test_a_broken_element_costs_only_itself(tmp_path: Path, text: bytes, reason: str) -> None:
    good = json.dumps(question(1, answer(1, 1))).encode()
    (tmp_path / "x.json").write_bytes(b"[" + good + b",\n" + text + b",\n" + good + b"]")
    first, bad, last = rows(LawStackexchange(str(tmp_path)))
    assert (first["_reason"], bad["_reason"], last["_reason"]) == (None, reason, None)


@pytest.mark.parametrize("text", ['[{"question_id": 1}', '[{"a": 1},\n{"a": "2}]', "[{}] {}", '"text"', "nonsense"])
def test_a_file_that_is_no_array_is_refused_or_named_row_by_row(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "x.json", text)
    if text.startswith("["):
        with pytest.raises(InputError, match=r"x\.json:\d: .* Wanted: one JSON array"):
            LawStackexchange(path).read()
        (tmp_path / "x.json.gz").write_bytes(gzip.compress(text.encode()))
        with pytest.raises(InputError, match=r"x\.json\.gz:\d"):
            LawStackexchange(f"{path}.gz").read().compute()
    else:
        assert rows(LawStackexchange(path))[0]["_reason"] in ("malformed", "wrong_type")


def test_empty_arrays_are_empty_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", " [ ", "] ")
    with pytest.raises(InputError, match="no rows"):
        LawStackexchange(path).read()
    save(tmp_path / "b.json", [question(1, answer(1, 1))])
    assert [row["_reason"] for row in rows(LawStackexchange(str(tmp_path)))] == ["empty_file", None]


ELEMENTS = st.sampled_from(
    [question(1, answer(1, 1)), question('"\\', answer(2, 0, '<p>"\\\\" [{,}] é 😀</p>')), question(3), {"bad": ["\n"]}]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(st.lists(ELEMENTS, min_size=1, max_size=8), st.integers(1, 2000), st.sampled_from([None, 2]))
def test_partitions_and_shapes_change_nothing(
    tmp_path: Path, values: list[Any], partition_bytes: int, indent: int | None
) -> None:
    path = save(tmp_path / "x.json", values, indent)
    whole = collect(LawStackexchange(path))
    pd.testing.assert_frame_equal(whole, collect(LawStackexchange(path, partition_bytes=partition_bytes)))
    lines = write(tmp_path / "lines" / "x.json", *map(json.dumps, values))
    same = collect(LawStackexchange(lines, partition_bytes=partition_bytes))
    rest = ["line", "_detail"] if not whole["id"].str.contains("#").any() else ["line", "_detail", "id", "root_id"]
    pd.testing.assert_frame_equal(whole.drop(columns=rest), same.drop(columns=rest))
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(Path(path).read_bytes()))
    packed = collect(LawStackexchange(f"{path}.gz"))
    assert packed["line"].tolist() == whole["line"].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beer", "coffee", "matheducators"])
def test_real_questions(name: str) -> None:
    path = shared_data() / "stackexchange" / f"{name}.json"
    table = collect(LawStackexchange(str(path), partition_bytes=100_000))
    values = json.loads(path.read_text())
    assert table["id"].tolist() == [f"{name}-qa-{value['question_id']}" for value in values]
    best = [
        max(value["answers"], key=lambda one: (one["score"], -one["answer_id"]), default={"body": None})["body"]
        for value in values
    ]
    assert table["answer"].tolist() == best
    assert (table["_reason"] == "unanswered").sum() == best.count(None)
