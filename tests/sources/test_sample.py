"""The embedded sample and the file that says what a run must do with each of its records."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from curation.core.records import digest
from curation.sources.sample import DATA, EXPECTATIONS, SAMPLE, Sample
from tests.sources.helpers import collect, rows

WORDS = range(50, 501)


@pytest.fixture(scope="module")
def expectations() -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in json.loads(EXPECTATIONS.read_text())}


@pytest.fixture(scope="module")
def records() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in rows(Sample())}


def score(record: dict[str, Any]) -> float:
    return float(record["question_score"] + record["answer_score"])


def test_every_record_is_read_in_several_partitions_and_expected(expectations: dict[str, Any]) -> None:
    assert Sample().read().npartitions > 1
    table = collect(Sample())
    assert table["_reason"].isna().all()
    assert table["id"].is_unique
    assert set(table["id"]) == set(expectations)
    assert table["line"].tolist() == list(range(1, len(table) + 1))


def test_there_are_enough_of_each_kind(expectations: dict[str, Any]) -> None:
    kinds = Counter(entry["expect"] for entry in expectations.values())
    assert kinds["keep"] >= 100
    assert all(kinds[kind] >= 3 for kind in ("exact_duplicate", "near_duplicate", "low_score", "word_count", "refusal"))
    assert all(entry["why"] for entry in expectations.values())


def test_scores_are_as_expected(expectations: dict[str, Any], records: dict[str, Any]) -> None:
    for key, entry in expectations.items():
        low = [name for name in ("question_score", "answer_score") if records[key][name] < 0]
        assert (entry["expect"] == "low_score") == bool(low), key
        assert not low or entry["field"] == low[0]


def test_a_duplicate_has_a_better_record_that_stays(expectations: dict[str, Any], records: dict[str, Any]) -> None:
    for key, entry in expectations.items():
        if entry["expect"].endswith("duplicate"):
            assert expectations[entry["of"]]["expect"] == "keep"
            better, worse = score(records[entry["of"]]), score(records[key])
            assert better > worse or (better == worse and entry["of"] < key), key


def test_cleaned_texts_are_as_expected(expectations: dict[str, Any], records: dict[str, Any]) -> None:
    from nemo_curator.modifiers import UnicodeReformatter

    from curation.modifiers.html import Html

    steps = (Html(), UnicodeReformatter())
    for key, entry in expectations.items():
        cleaned = {name: records[key][name] for name in ("title", "question", "answer")}
        for step in steps:
            cleaned = {name: step.modify_document(text) for name, text in cleaned.items()}
        outside = [name for name in ("question", "answer") if len(cleaned[name].split()) not in WORDS]
        assert outside == ([entry["field"]] if entry["expect"] == "word_count" else []), key
        for name, text in entry.get("cleaned", {}).items():
            assert cleaned[name] == text, key
        if entry["expect"] == "exact_duplicate":
            original = records[entry["of"]]
            for name in ("question", "answer"):
                text = steps[1].modify_document(steps[0].modify_document(original[name]))
                assert text.casefold().split() == cleaned[name].casefold().split(), key


def test_the_fingerprint_is_the_content() -> None:
    assert Sample().fingerprint() == digest(SAMPLE.read_bytes())
    assert sum(file.stat().st_size for file in DATA.iterdir()) < 400_000
