"""Runs that begin with topics alone: seeds are written from, and no file of the dataset has them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from curation import rounds
from curation.config import Keys, Plan, SplitPlan
from curation.core.records import SEED, frame, human, seed
from curation.engine.progress import Silent
from curation.engine.run import Run, columns_of
from curation.engine.store import Store
from curation.stages.clean import Clean, step_of
from curation.stages.split import split as split_stage
from curation.stages.synthesize import STAGE

if TYPE_CHECKING:
    from distributed import Client

QUESTIONS = r'\AYou write .*"topic": "(?P<topic>\w+)",\s*"subtopic": "(?P<subtopic>\w+)"'
TEACHER = {
    "kind": "scripted",
    "arguments": {
        "rules": [
            {"match": r"\AYou plan ", "reply": "1. One\n2. Two\n"},
            {"match": QUESTIONS, "reply": "1. What is $subtopic of $topic?\n2. Why is it $subtopic of $topic?\n"},
            {"match": r"\A(?P<asked>.*)\Z", "reply": "You ask: $asked It is what it is, and nobody knows why."},
        ]
    },
}
JUDGE = {
    "kind": "scripted",
    "arguments": {"rules": [{"match": "Why", "scores": {"reward": -1}}, {"match": "What", "scores": {"reward": 1}}]},
}


def plan_for(output: Path, **rest: Any) -> Plan:
    generator = {"subtopics": 2, "questions_per_subtopic": 2, "question_threshold": None, "subtopic_threshold": None}
    values: dict[str, Any] = {
        "output": output,
        "source": {"name": "topics", "arguments": {"topics": ["Alpha", "Beta", "Gamma", "alpha."]}},
        "clean": [
            {"modifier": "unicode", "fields": ["title", "question", "answer"]},
            {"filter": "low_score", "fields": ["question_score", "answer_score"], "arguments": {"minimum": 0}},
            {"filter": "refusal", "fields": ["answer"]},
        ],
        "dedup": {"semantic": None},
        "rounds": {"ratio": 1.0},
        "exporters": ["instructions"],
        "generation": {
            "generator": {"name": "open_qa", "arguments": generator},
            "critic": "reward",
            "teacher": TEACHER,
            "judge": JUDGE,
            "drop": "reward < 0",
        },
    }
    values |= rest
    return Plan.model_validate({**values, "rounds": {"diversity": None, **values["rounds"]}})


def curate(client: Client, plan: Plan) -> tuple[rounds.Result, Run]:
    store = Store(plan.output)
    with store.lock():
        run = Run(store, client, Silent())
        return rounds.curate(run, plan, Keys()), run


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def reasons(run: Run) -> dict[tuple[int, str], dict[str, int]]:
    return {(stage.manifest.round, stage.manifest.stage): stage.manifest.dropped for stage in run.stages}


def test_every_topic_is_written_from_and_none_is_exported(client: Client, tmp_path: Path) -> None:
    result, run = curate(client, plan_for(tmp_path))
    assert result.ended == "1 of 1 rounds are done"
    left = reasons(run)
    assert sum(left[0, "unique"].values()) == 1  # topics that say the same are one
    assert left[1, "synthesize"] == {"failed_rule": 6}
    train = lines(tmp_path / "final" / "train.jsonl")
    assert Counter(row["topic"] for row in train) == {"Alpha": 2, "Beta": 2, "Gamma": 2}
    assert {row["origin"] for row in train} == {"synthetic"}
    assert {row["subtopic"] for row in train} == {"One", "Two"}
    assert [row["id"] for row in train] == sorted(row["id"] for row in train)
    for name in ("validation", "test"):
        assert lines(tmp_path / "final" / f"{name}.jsonl") == []


def test_the_files_of_instructions_are_what_was_kept_and_what_was_written(client: Client, tmp_path: Path) -> None:
    curate(client, plan_for(tmp_path))
    folder = tmp_path / "handoff" / "qa" / "instructions"
    kept = lines(folder / "synthetic_data_filtered.jsonl")
    written = lines(folder / "synthetic_data.jsonl")
    assert [row["instruction"].partition(" ")[0] for row in kept] == ["What"] * 6
    assert written[:6] == kept
    assert [row["instruction"].partition(" ")[0] for row in written[6:]] == ["Why"] * 6
    # Another rule: the same was written, and all of it is kept.
    curate(client, plan_for(tmp_path, generation={**plan_for(tmp_path).generation.model_dump(), "drop": None}))
    assert len(lines(folder / "synthetic_data_filtered.jsonl")) == 12
    assert sorted(map(str, lines(folder / "synthetic_data.jsonl"))) == sorted(map(str, written))


def test_seeds_count_for_no_target_size(client: Client, tmp_path: Path) -> None:
    result, _ = curate(client, plan_for(tmp_path, rounds={"ratio": 1.0, "target_size": 5, "count": 3}))
    assert result.ended == "the training split has reached its target of 5 records"
    assert len(lines(tmp_path / "final" / "train.jsonl")) == 5


def test_a_share_of_the_topics(client: Client, tmp_path: Path) -> None:
    _, run = curate(client, plan_for(tmp_path, rounds={"ratio": 0.34, "count": 1}))
    (parents,) = [stage for stage in run.stages if stage.manifest.stage == "parents"]
    assert parents.manifest.rows_out == 1


def test_a_later_round_writes_from_topics_too_and_adds_nothing_twice(client: Client, tmp_path: Path) -> None:
    result, run = curate(client, plan_for(tmp_path, rounds={"ratio": 1.0, "count": 3}))
    assert result.ended == "round 2 added 0, fewer than min_gain=1"
    assert reasons(run)[2, "exact"] == {"exact_duplicate": 6}
    parents = [stage for stage in run.stages if stage.manifest.stage == "parents"]
    assert [set(columns_of([stage], ["origin"])["origin"]) for stage in parents] == [{SEED}, {SEED}]


def test_a_second_run_asks_nothing_again(client: Client, tmp_path: Path) -> None:
    _, first = curate(client, plan_for(tmp_path))
    requests = [path.read_bytes() for path in sorted((tmp_path / "journal").glob("*.jsonl"))]
    first.store.withdraw(first.store.stage_folder(STAGE, 1))
    curate(client, plan_for(tmp_path))
    after = [path.read_bytes() for path in sorted((tmp_path / "journal").glob("*.jsonl"))]
    assert sum(content.count(b"\n") for content in after) == sum(content.count(b"\n") for content in requests)


def test_cleaning_judges_no_seed() -> None:
    steps = [step_of(step) for step in plan_for(Path("out")).clean]
    texts = {"question": "q", "question_score": 1.0, "answer_score": 1.0}
    table = frame(
        [
            human("law-1", answer="one two three four five", **texts),
            seed("topic-1"),
            human("law-2", answer="I'm sorry, but I can't help with that.", **texts),
            seed("topic-2"),
        ]
    )
    outcome = Clean(tuple(steps), 0)(table)
    assert sorted(outcome.kept["id"]) == ["law-1", "topic-1", "topic-2"]
    assert list(outcome.left["id"]) == ["law-2"]


def test_seeds_are_for_training_and_change_no_share(client: Client, tmp_path: Path) -> None:
    from curation.stages.read import read

    people = "\n".join(json.dumps({"id": f"law-{n}", "question": "q?", "answer": "a"}) for n in range(10))
    (tmp_path / "law.jsonl").write_text(people, encoding="utf-8")
    run = Run(Store(tmp_path / "topics"), client, Silent())
    topics = read(run, plan_for(tmp_path).source_spec(), 0.5)
    only = columns_of([split_stage(run, topics, [], SplitPlan(), 42)], ["id", "group_id", "split"])
    assert set(only["split"]) == {"train"}
    assert (only["id"] == only["group_id"]).all()
    source = Plan.model_validate({"input": [str(tmp_path / "law.jsonl")]}).source_spec()
    run = Run(Store(tmp_path / "law"), client, Silent())
    rows = columns_of([split_stage(run, read(run, source, 0.5), [], SplitPlan(), 42)], ["split"])
    assert rows["split"].value_counts().to_dict() == {"train": 8, "validation": 1, "test": 1}


def test_an_exporter_is_checked_before_the_run() -> None:
    with pytest.raises(ValueError, match=r"no exporter is called 'instruction'\. Did you mean 'instructions'"):
        plan_for(Path("out"), exporters=["instruction"])
