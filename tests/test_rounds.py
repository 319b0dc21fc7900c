"""Whole runs on a real cluster: every row accounted for, the same bytes after a crash and on any number of workers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pandas as pd
import pytest
from pydantic import SecretStr

from curation import rounds, summary
from curation.config import Keys, ModelPlan, Plan
from curation.core.errors import EndpointError, InputError
from curation.engine.cluster import connect
from curation.engine.progress import Progress, Silent
from curation.engine.run import Run
from curation.engine.store import Store
from curation.stages._asking import limits_of
from tests import law_like
from tests.core.tiny_encoder import write_tiny_encoder
from tests.mock_endpoint import Answer, MockEndpoint, error, reply

if TYPE_CHECKING:
    from distributed import Client

KEYS = Keys(SecretStr("sk-test-1234"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights: its vectors mean nothing, but the same text has the same vector."""
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(law_like.write(tmp_path_factory.mktemp("source") / "law.json"))


@pytest.fixture
def server() -> Iterator[MockEndpoint]:
    with MockEndpoint() as endpoint:
        endpoint.default = teach
        yield endpoint


def teach(request: dict[str, Any]) -> Answer:
    """A teacher that answers with other words of the same length, and a judge that likes most of them."""
    text = request["messages"][-1]["content"]
    if request["model"] == "judge":
        helpfulness = 2.5 + crc32(text.encode()) % 3 * 0.5
        rest = dict.fromkeys(["correctness", "coherence", "complexity", "verbosity"], 1.0)
        return reply("scores", logprobs={"helpfulness": helpfulness, **rest})
    mark = crc32(text.encode())
    words = " ".join(f"word{mark}x{number}" for number in range(60))
    variants = [{"title": f"Title {mark} {name}", "question": f"{name} {words}", "answer": words} for name in "ab"]
    return reply(json.dumps({"variants": variants}))


ROUNDS: dict[str, Any] = {"count": 2, "ratio": 0.4, "diversity": None}  # measured where it is what is tested


MEASURED: dict[str, Any] = {"rounds": {**ROUNDS, "diversity": {}}}
SMALL_PARTS = {"name": "law_stackexchange", "arguments": {"partition_bytes": 3000}}


def plan_for(output: Path, path: str, encoder: str, **rest: Any) -> Plan:
    values: dict[str, Any] = {
        "output": output,
        "input": [path],
        "dedup": {"semantic": {"encoder": encoder, "threshold": 0.9999}},
        "split": {"near": 0.9999},
        "rounds": ROUNDS,
        "generation": {"generator": "noise", "critic": None},
    }
    return Plan.model_validate({**values, **rest})


def taught(server: MockEndpoint, drop: str | None = None) -> dict[str, Any]:
    return {
        "generation": {
            "generator": {"name": "paraphrase", "arguments": {"variants": 2}},
            "teacher": {"model": "teacher", "endpoint": server.url},
            "judge": {"model": "judge"},
            "drop": drop,
        }
    }


PAIR = {"name": "judge", "as": "pair", "judge": {"model": "rater"}}
RULES = {"name": "rules", "arguments": {"rules": {"odd": {"matches": r"^word\d*[13579]x0 "}}}}


def rate(request: dict[str, Any]) -> Answer:
    """As `teach`; a model called `rater` gives whole ratings, and now and then none."""
    if request["model"] != "rater":
        return teach(request)
    draw = crc32(request["messages"][-1]["content"].encode()) % 7
    return reply("It depends." if draw == 0 else f"It does what was asked. Score: {1 + draw % 3}")


def written(run: Run) -> int:
    return sum(stage.manifest.rows_in for stage in run.stages if stage.manifest.stage == "synthesize")


def asked_of(server: MockEndpoint) -> Counter[str]:
    return Counter(request["model"] for request in server.requests)


def judged_by(server: MockEndpoint, *critics: Any, drop: str | None = None) -> dict[str, Any]:
    generation = {**taught(server, drop)["generation"], "critics": list(critics)}
    return {"generation": generation, "dedup": {"semantic": None}}


def curate(client: Client, plan: Plan, progress: Progress | None = None) -> tuple[rounds.Result, Run]:
    store = Store(plan.output)
    with store.lock():
        run = Run(store, client, progress or Silent())
        return rounds.curate(run, plan, KEYS), run


def final(output: Path) -> dict[str, bytes]:
    folders = [output / "final", output / "handoff"]
    return {
        str(path.relative_to(output)): path.read_bytes() for folder in folders for path in folder.rglob("*.jsonl")
    }  # fmt: skip


def rows(output: Path) -> list[dict[str, Any]]:
    files = sorted((output / "final").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def ledger(run: Run) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for stage in run.stages for path in stage.left])


def test_every_row_is_in_the_result_or_in_the_ledger(client: Client, tmp_path: Path, source: str, encoder: str) -> None:
    result, run = curate(client, plan_for(tmp_path, source, encoder))
    kept, left = rows(tmp_path), ledger(run)
    human = [row["id"] for row in kept if row["origin"] == "human"]
    assert sorted(human + list(left.loc[left["round"] == 0, "id"])) == sorted(f"law-qa-{n}" for n in range(40))
    reasons = dict(zip(left["id"], left["reason"], strict=True))
    assert reasons["law-qa-1"] == "unanswered"
    assert reasons["law-qa-2"] == "low_score"
    assert reasons["law-qa-3"] == "word_count"
    assert Counter(reasons[f"law-qa-{n}"] for n in (5, 6)) == {"exact_duplicate": 2}
    requested = sum(stage.manifest.rows_in for stage in run.stages if stage.manifest.stage == "synthesize")
    synthetic = [row for row in kept if row["origin"] == "synthetic"]
    assert len(synthetic) + (left["round"] > 0).sum() == requested
    assert synthetic
    assert all(row["split"] == "train" and row["strategy"].startswith("noise:") for row in synthetic)
    assert len({row["id"] for row in kept}) == len(kept)
    assert result.ended == "2 of 2 rounds are done"


def test_the_best_answer_is_kept_clean_and_the_sources_columns_are_carried(
    client: Client, tmp_path: Path, source: str, encoder: str
) -> None:
    curate(client, plan_for(tmp_path, source, encoder, rounds={"count": 0}))
    row = next(row for row in rows(tmp_path) if row["id"] == "law-qa-7")
    raw = law_like.questions(40)[7]
    assert row["answer"] == raw["answers"][1]["body"].removeprefix("<p>").removesuffix("</p>")
    assert "<p>" not in row["question"]
    assert (row["answer_score"], row["license"], row["answer_id"]) == (3.0, "CC BY-SA 4.0", 71)
    assert row["tags"] == ",".join(sorted(raw["tags"]))


@pytest.mark.slow
def test_no_group_lies_in_two_splits(client: Client, tmp_path: Path, source: str, encoder: str) -> None:
    curate(client, plan_for(tmp_path, source, encoder))
    table = pd.DataFrame(rows(tmp_path))
    assert (table.groupby("group_id")["split"].nunique() == 1).all()
    assert (table.groupby("root_id")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "validation", "test"}


def test_the_result_is_the_same_in_other_partitions(client: Client, tmp_path: Path, source: str, encoder: str) -> None:
    curate(client, plan_for(tmp_path / "large", source, encoder, **MEASURED))
    curate(client, plan_for(tmp_path / "small", source, encoder, source=SMALL_PARTS, **MEASURED))
    assert final(tmp_path / "large") == final(tmp_path / "small")


@pytest.mark.slow
def test_the_result_is_the_same_on_one_worker(client: Client, tmp_path: Path, source: str, encoder: str) -> None:
    curate(client, plan_for(tmp_path / "two", source, encoder, **MEASURED))
    with connect(n_workers=1) as single:
        curate(single, plan_for(tmp_path / "one", source, encoder, source=SMALL_PARTS, **MEASURED))
    assert final(tmp_path / "two") == final(tmp_path / "one")


@pytest.mark.slow
def test_nothing_that_another_set_says_stays_in_any_round(
    client: Client, tmp_path: Path, source: str, encoder: str
) -> None:
    bench = tmp_path / "bench.jsonl"
    free = plan_for(tmp_path / "free", source, encoder)
    curate(client, free)
    before = rows(free.output)
    human = next(row for row in before if row["origin"] == "human" and row["split"] == "test")
    made = next(row for row in before if row["round"] == 2)
    words = " ".join(made["answer"].split()[5:25])
    asked = [{"question": f"Go on: {words}", "answer": 1}, {"title": human["title"], "question": human["question"]}]
    bench.write_text("".join(json.dumps(row) + "\n" for row in asked))

    plan = plan_for(tmp_path / "kept", source, encoder, against={"input": [str(bench)]})
    _, run = curate(client, plan)
    left = ledger(run)
    gone = left[left["reason"] == "contaminated"].set_index("id")
    assert gone.loc[human["id"], "kept_id"] == "bench.jsonl:2"
    kept = rows(plan.output)
    assert kept
    assert not [row["id"] for row in kept if row["question"] == human["question"] or words in row["answer"]]
    entered = sum(stage.manifest.rows_in for stage in run.stages if stage.manifest.stage in ("read", "synthesize"))
    assert entered == len(kept) + len(left)
    names = [(stage.manifest.round, stage.manifest.stage) for stage in run.stages]
    assert names[0] == (0, "reference")
    assert [number for number, name in names if name == "against"] == [0, 1, 2]


@pytest.mark.slow
def test_a_new_record_that_another_set_holds_leaves(client: Client, tmp_path: Path, source: str, encoder: str) -> None:
    curate(client, plan_for(tmp_path / "free", source, encoder))
    made = next(row for row in rows(tmp_path / "free") if row["round"] == 1)
    others = {row["question"] for row in rows(tmp_path / "free") if row["id"] != made["id"]}
    assert made["question"] not in others
    bench = tmp_path / "bench.jsonl"
    bench.write_text(json.dumps({"title": made["title"], "question": made["question"]}))
    values = {"input": [str(bench)], "ngram": None, "threshold": None}
    _, run = curate(client, plan_for(tmp_path / "kept", source, encoder, against=values))
    left = ledger(run)
    assert list(left.loc[left["reason"] == "contaminated", "id"]) == [made["id"]]
    assert made["id"] not in {row["id"] for row in rows(tmp_path / "kept")}


def test_another_set_that_cannot_be_read_ends_the_run_before_anything_else(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    plan = plan_for(tmp_path, source, encoder, against={"input": [str(tmp_path / "none.jsonl")]}, **taught(server))
    with pytest.raises(InputError, match=r"--against: there is no .*none\.jsonl"):
        curate(client, plan)
    assert not (tmp_path / "stages").exists()
    assert not server.requests


class DiesAfter(Silent):
    """Ends the run once so many stages are published."""

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.left = stages

    def end(self, line: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_run_that_ends_after_any_stage_is_resumed_to_the_same_bytes(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    bench = tmp_path / "bench.jsonl"
    bench.write_text(json.dumps({"question": law_like.questions(40)[7]["question_body"]}))
    values = {"against": {"input": [str(bench)]}, **taught(server)}
    _, whole = curate(client, plan_for(tmp_path / "whole", source, encoder, **values))
    paid = len(server.requests)
    plan = plan_for(tmp_path / "broken", source, encoder, **values)
    for _ in whole.stages:  # each try gets one stage further
        done = len(list((tmp_path / "broken").glob("stages/*/*")))
        with pytest.raises(KeyboardInterrupt):
            curate(client, plan, DiesAfter(done + 1))
    _, resumed = curate(client, plan)
    assert final(tmp_path / "broken") == final(tmp_path / "whole")
    assert len(server.requests) == 2 * paid
    assert [stage.manifest.stage for stage in resumed.stages] == [stage.manifest.stage for stage in whole.stages]


def test_a_finished_run_is_read_back_without_a_request(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    plan = plan_for(tmp_path, source, encoder, **taught(server))
    curate(client, plan)
    before, paid = final(tmp_path), len(server.requests)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("part-*.parquet")}
    curate(client, plan)
    assert final(tmp_path) == before
    assert len(server.requests) == paid
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_changed_stage_reruns_with_what_follows_and_pays_nothing_twice(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    curate(client, plan_for(tmp_path, source, encoder, **taught(server)))
    read = (tmp_path / "stages/round-00/10-read/manifest.json").stat().st_mtime_ns
    paid = len(server.requests)
    _, run = curate(client, plan_for(tmp_path, source, encoder, **taught(server, drop="helpfulness < 3")))
    assert (tmp_path / "stages/round-00/10-read/manifest.json").stat().st_mtime_ns == read
    dropped = ledger(run).query("reason == 'failed_rule'")
    assert set(dropped["bound"]) == {"helpfulness < 3"}
    assert set(dropped["field"]) == {"helpfulness"}
    assert set(dropped["score"]) == {2.5}
    parents = [stage for stage in run.stages if stage.manifest.stage == "parents" and stage.manifest.round == 1]
    assert len(parents) == 1
    asked_in_round_1 = parents[0].manifest.rows_out * 3  # a teacher's request, and one for each of two variants
    assert len(server.requests) - paid <= asked_in_round_1  # round 2 may draw other parents; round 1 pays nothing


def test_one_failing_request_loses_nothing_but_itself(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    def poison(request: dict[str, Any]) -> Answer:
        text = request["messages"][-1]["content"]
        if request["model"] == "teacher" and crc32(text.encode()) % 3 == 0:
            return error(400, "maximum context length is 4096 tokens")
        return teach(request)

    server.default = poison
    _, run = curate(client, plan_for(tmp_path, source, encoder, **taught(server)))
    failed = ledger(run).query("round > 0 and stage == 'synthesize'")
    assert len(failed) > 0
    assert failed["detail"].str.contains("maximum context length").all(), set(failed["reason"] + failed["detail"])
    lost = [json.loads(record) for record in failed["record"]]
    assert {row["question"] for row in lost} == {None}  # nothing was written: not the parent's text under another id
    assert {(row["strategy"], row["model"]) for row in lost} == {("paraphrase", "teacher")}
    assert any(row["origin"] == "synthetic" for row in rows(tmp_path))


def test_a_wrong_key_ends_the_run_at_once_with_one_message(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    server.default = lambda _: error(401, "invalid key")
    with pytest.raises(EndpointError) as caught:
        curate(client, plan_for(tmp_path, source, encoder, **taught(server)))
    assert server.url in str(caught.value)
    assert "OPENAI_API_KEY" in str(caught.value)


def test_rounds_end_at_the_target_exactly(client: Client, tmp_path: Path, source: str, encoder: str) -> None:
    plan = plan_for(tmp_path / "a", source, encoder, rounds={"count": 0})
    curate(client, plan)
    size = sum(row["split"] == "train" for row in rows(tmp_path / "a"))
    limits = {"count": 9, "ratio": 1.0, "target_size": size + 5}
    result, run = curate(client, plan_for(tmp_path / "b", source, encoder, rounds=limits))
    assert sum(row["split"] == "train" for row in rows(tmp_path / "b")) == size + 5
    assert "target" in result.ended
    assert set(ledger(run).query("round > 0")["reason"]) <= {"over_target", "near_duplicate", "exact_duplicate", "leak"}


def test_rounds_end_when_one_adds_too_little(client: Client, tmp_path: Path, source: str, encoder: str) -> None:
    limits = {"count": 5, "ratio": 0.1, "min_gain": 1000}
    result, _ = curate(client, plan_for(tmp_path, source, encoder, rounds=limits))
    assert "fewer than min_gain=1000" in result.ended


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rounds": {"count": 0}}, "0 rounds were asked for"),
        ({"rounds": {"ratio": 0}}, "the ratio of parents is 0"),
        ({"generation": {"teacher": {"model": ""}}}, "the generator has no model"),
        ({"generation": {"teacher": {"endpoint": ""}}}, "the generator has no endpoint"),
        (
            {"generation": {"teacher": {"max_in_flight": 3}}},
            "the generator has no key for https://integrate.api.nvidia",
        ),
        (
            {"generation": {"teacher": {"model": "m"}}},
            "the generator has no key for https://integrate.api.nvidia.com/v1",
        ),
        ({"generation": {"teacher": {"endpoint": "http://localhost:1"}}}, "the generator has no model"),
        (
            {"generation": {"teacher": {"endpoint": "https://integrate.api.nvidia.com/v1", "model": "m"}}},
            "the generator has no key for https://integrate.api.nvidia.com/v1 (set NVIDIA_API_KEY)",
        ),
        ({"generation": {"generator": "noise", "critic": "heuristic"}}, None),
        (
            {"generation": {"generator": "noise", "critics": [{"name": "judge", "judge": {"timeout": 1}}]}},
            "generation.critics.0.judge has no model",
        ),
        (
            {"generation": {"teacher": {"endpoint": "http://localhost:1", "model": "m"}, "judge": {"model": "r"}}},
            None,
        ),
    ],
)
def test_rounds_are_skipped_for_a_clear_reason(change: dict[str, Any], reason: str | None) -> None:
    found = rounds.why_no_rounds(Plan.model_validate(change), Keys())
    assert found == reason or (reason is not None and found is not None and found.startswith(reason))


def test_too_many_bad_rows_end_the_run_naming_file_and_line(client: Client, tmp_path: Path, encoder: str) -> None:
    source = tmp_path / "bad.jsonl"
    good = json.dumps({"question": "q " * 60, "answer": "a " * 60})
    source.write_text(f"{good}\nnot json\n{good}\n")
    plan = plan_for(tmp_path / "out", str(source), encoder, rounds={"count": 0})
    with pytest.raises(InputError, match=r"1 of 3 rows can't be used.*\n.*bad.jsonl:2"):
        curate(client, plan)


def test_of_rows_with_one_id_the_first_stays_and_the_others_name_it(
    client: Client, tmp_path: Path, encoder: str
) -> None:
    source = tmp_path / "twice.jsonl"
    lines = [
        {"id": "a", "question": "why " * 60, "answer": "so " * 60},
        {"id": "b", "question": "how " * 60, "answer": "thus " * 60},
        {"id": "a", "question": "when " * 60, "answer": "now " * 60},
    ]
    source.write_text("\n".join(map(json.dumps, lines)))
    plan = plan_for(tmp_path / "out", str(source), encoder, rounds={"count": 0}, max_bad_ratio=1)
    _, run = curate(client, plan)
    assert sorted(row["question"][:3] for row in rows(tmp_path / "out")) == ["how", "why"]
    (entry,) = ledger(run).query("reason == 'duplicate_id'").to_dict("records")
    assert entry["detail"] == "twice.jsonl:3: the same id as twice.jsonl:1"


@pytest.mark.parametrize(
    "critics",
    [
        pytest.param([], id="one critic"),
        pytest.param(["reward", PAIR], marks=pytest.mark.slow, id="two critics"),
    ],
)
def test_a_budget_ends_the_rounds_and_a_higher_one_goes_on_from_there(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint, critics: list[Any]
) -> None:
    server.default = rate
    values = judged_by(server, *critics)
    curate(client, plan_for(tmp_path / "free", source, encoder, **values))
    whole = len(server.requests)
    bounded = {**values, "budget": {"max_requests": whole // 3}}
    server.requests.clear()
    result, run = curate(client, plan_for(tmp_path / "out", source, encoder, **bounded))
    assert len(server.requests) == whole // 3
    assert "what the run may spend is used up in round 1" in result.ended
    assert (ledger(run)["reason"] == "budget_spent").any()
    assert result.exports  # what there is is curated and written
    # The same again asks for nothing; a higher bound only for what is missing.
    curate(client, plan_for(tmp_path / "out", source, encoder, **bounded))
    assert len(server.requests) == whole // 3
    curate(client, plan_for(tmp_path / "out", source, encoder, **{**values, "budget": {"max_requests": whole}}))
    assert len(server.requests) == whole
    assert final(tmp_path / "out") == final(tmp_path / "free")


def test_several_teachers_share_the_parents_and_are_told_apart(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    values = taught(server)
    values["generation"]["teachers"] = [
        {"model": "one", "weight": 3, "sampling": {"temperature": [0.2, 0.9]}},
        {"model": "two"},
    ]
    values |= {"rounds": {"count": 1, "ratio": 1.0}, "dedup": {"semantic": None}}
    curate(client, plan_for(tmp_path, source, encoder, **values))
    asked = [request for request in server.requests if request["model"] in ("one", "two")]
    counts = Counter(request["model"] for request in asked)
    assert counts["one"] > counts["two"] > 0
    temperatures = {request["temperature"] for request in asked if request["model"] == "one"}
    assert temperatures == {0.2, 0.9}
    written = [row for row in rows(tmp_path) if row["origin"] == "synthetic"]
    assert {row["model"] for row in written} == {"one", "two"}
    samplings = {row["sampling"] for row in written if row["model"] == "one"}
    assert samplings == {'{"temperature":0.2}', '{"temperature":0.9}'}
    assert not any("sampling" in row for row in written if row["model"] == "two")


@pytest.mark.slow
def test_a_second_critic_of_a_finished_run_is_all_that_is_paid_for(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    server.default = rate
    one = {**taught(server), "dedup": {"semantic": None}}
    curate(client, plan_for(tmp_path / "added", source, encoder, **one))
    before = asked_of(server)
    assert set(before) == {"teacher", "judge"}
    both = judged_by(server, "reward", PAIR)
    result, run = curate(client, plan_for(tmp_path / "added", source, encoder, **both))
    added = asked_of(server) - before
    assert added == {"rater": before["judge"]}
    curate(client, plan_for(tmp_path / "added", source, encoder, **both))
    assert asked_of(server) == before + added  # what is finished is read back
    scored = [row for row in rows(tmp_path / "added") if row["round"] > 0]
    assert scored
    assert all(row["pair_rating"] in (1, 2, 3) and row["answer_score"] == row["helpfulness"] - 2 for row in scored)
    unread = ledger(run).query("reason == 'unreadable_score'")
    assert set(unread["bound"]) == {"judge as pair"}
    assert all("helpfulness" in json.loads(record)["scores"] for record in unread["record"])
    # Both at once come to the same, over other partitions too.
    small = {"name": "law_stackexchange", "arguments": {"partition_bytes": 3000}}
    _, whole = curate(client, plan_for(tmp_path / "whole", source, encoder, source=small, **both))
    assert final(tmp_path / "whole") == final(tmp_path / "added")
    (tmp_path / "whole" / "plan.yaml").write_text("")
    told = summary.summarize(tmp_path / "whole", whole.stages, result.exports, result.ended)
    assert set(told["models"]) == {"teacher", "judge", "rater"}
    pairs = {(pair["first"], pair["second"]): pair for pair in told["agreement"]}
    assert ("helpfulness", "pair_rating") in pairs
    assert {pair["records"] for pair in pairs.values()} == {written(whole) - len(unread)}


def test_a_record_that_free_critics_drop_is_shown_to_no_model(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    plan = plan_for(tmp_path, source, encoder, **judged_by(server, "reward", RULES, drop="odd < 1 or helpfulness < 3"))
    _, run = curate(client, plan)
    left = ledger(run).query("reason == 'failed_rule'")
    sealed = left[left["bound"] == "odd < 1"]
    assert set(left["bound"]) == {"odd < 1", "helpfulness < 3"}
    assert set(sealed["field"]) == {"odd"}
    assert not any("helpfulness" in json.loads(record)["scores"] for record in sealed["record"])
    assert 0 < asked_of(server)["judge"] <= written(run) - len(sealed)  # equal requests are one
    shown = [request["messages"][-1]["content"] for request in server.requests if request["model"] == "judge"]
    assert all(int(text.partition("x0 ")[0].removeprefix("word")) % 2 for text in shown)


def test_a_rubric_that_is_edited_asks_its_judge_again_and_nobody_else(
    client: Client, tmp_path: Path, source: str, encoder: str, server: MockEndpoint
) -> None:
    server.default = rate
    rubric = tmp_path / "rubric.yaml"
    levels = {1: "it is wrong.", 2: "it is right.", 3: "it is right and whole."}
    tone = {"scale": [1, 3], "attributes": {"tone": {"asks": "the tone.", "levels": levels}}}
    own = {**PAIR, "arguments": {"rubric": str(rubric)}}
    rubric.write_text(json.dumps(tone))
    plan = plan_for(tmp_path / "out", source, encoder, rounds={"count": 1}, **judged_by(server, "reward", own))
    curate(client, plan)
    before = asked_of(server)
    rubric.write_text(json.dumps(tone) + "\n# the same rubric\n")
    curate(client, plan)
    assert asked_of(server) == before
    levels[2] = "it is right, but brief."
    rubric.write_text(json.dumps(tone))
    curate(client, plan)
    assert asked_of(server) - before == {"rater": before["rater"]}


def test_models_at_one_endpoint_share_its_narrowest_limits() -> None:
    one = ModelPlan(endpoint="http://a/v1", max_in_flight=5, requests_per_minute=40)
    other = ModelPlan(endpoint="http://a/v1", max_in_flight=9)
    apart = ModelPlan(endpoint="http://b/v1")
    limits = limits_of([one, other, apart])
    assert (limits["http://a/v1"].max_in_flight, limits["http://a/v1"].requests_per_minute) == (5, 40)
    assert limits["http://b/v1"].max_in_flight == 64
