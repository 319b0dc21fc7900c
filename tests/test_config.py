"""The plan: what wins over what, every fault at once, and nothing secret in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from curation.config import Plan, dump, key_variable, load
from curation.core.errors import PlanError

CONFIGS = Path(__file__).parents[1] / "configs"


def faults_of(*overrides: str, file: Path | None = None) -> list[str]:
    with pytest.raises(PlanError) as caught:
        load(file, overrides=overrides)
    return caught.value.faults


def test_the_defaults_are_the_law_tutorials() -> None:
    assert load(CONFIGS / "law.yaml") == Plan(source={"name": "law_stackexchange"})


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_config_of_the_repository_is_sound(file: Path) -> None:
    load(file)


def test_flags_win_over_yaml_and_overrides_over_flags(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("seed: 1\nrounds: {count: 2, ratio: 0.5}\n")
    plan = load(file, flags=[("rounds.count", 3), ("seed", 2)], overrides=["seed=3", "dedup.semantic.threshold=0.95"])
    assert (plan.seed, plan.rounds.count, plan.rounds.ratio) == (3, 3, 0.5)
    assert plan.dedup.semantic is not None
    assert plan.dedup.semantic.threshold == 0.95


def test_an_override_reaches_into_a_component_given_by_its_bare_name(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("generation: {generator: noise}\n")
    plan = load(file, overrides=["generation.generator.arguments.variants=3"])
    assert (plan.generation.generator.name, plan.generation.generator.arguments) == ("noise", {"variants": 3})


def test_all_faults_are_told_at_once_with_the_nearest_spelling() -> None:
    faults = faults_of(
        "rounds.cuont=3",
        "dedup.semantic.treshold=0.5",
        "split.train=0.5",
        "cluster.device=tpu",
        "generation.generator=paraphrasse",
        "generation.drop=helpfulness <",
        "clean=[{filter: word_cuont, fields: [question]}, {modifier: html, fields: [answr]}]",
        "nonsense",
    )
    text = "\n".join(faults)
    for expected in (
        "rounds.cuont: there is no such field. Did you mean 'count'?",
        "dedup.semantic.treshold: there is no such field. Did you mean 'threshold'?",
        "the shares must add up to 1, not to 0.7",
        "cluster.device",
        "no generator is called 'paraphrasse'. Did you mean 'paraphrase'?",
        "generation.drop: rule 'helpfulness <'",
        "clean.0: no filter is called 'word_cuont'",
        "clean.1: a modifier changes one of title, question, answer, context, not 'answr'. Did you mean 'answer'?",
        "'nonsense' is not of the form key=value",
    ):
        assert expected in text
    assert len(faults) == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("- 1\n", "a plan is a mapping"),
        ("seed: many\n", "seed: input should be a valid integer"),
    ],
)
def test_a_broken_file_is_one_clear_fault(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(content)
    assert message in faults_of(file=file)[0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none.yaml'} can't be read" in faults_of(file=tmp_path / "none.yaml")[0]


def test_wrong_arguments_of_a_component_are_faults_of_the_plan() -> None:
    (fault,) = faults_of("generation.generator={name: noise, arguments: {varaints: 2}}")
    assert "generator 'noise' has no argument 'varaints'. Did you mean 'variants'?" in fault


@pytest.mark.parametrize(
    ("paths", "name"),
    [
        (["a.jsonl"], "jsonl"),
        (["folder/*.jsonl.gz"], "jsonl"),
        (["a.parquet", "b.parquet"], "parquet"),
        (["law-stackexchange-questions-answers.json"], "law_stackexchange"),
        ([], "law_stackexchange"),
    ],
)
def test_the_source_follows_from_the_input(paths: list[str], name: str) -> None:
    spec = Plan(input=paths).source_spec()
    assert spec.name == name
    assert spec.arguments.get("paths", []) == paths


def test_a_plan_is_frozen_and_can_be_read_back() -> None:
    plan = load(CONFIGS / "sample.yaml")
    assert Plan.model_validate(yaml.safe_load(dump(plan))) == plan
    with pytest.raises(ValidationError):
        plan.seed = 3  # type: ignore[misc]  # that is the point


def test_an_endpoint_may_be_given_with_its_route() -> None:
    plan = load(flags=[("generation.teacher.endpoint", "http://localhost:8000/v1/chat/completions")])
    assert plan.generation.teacher.endpoint == "http://localhost:8000/v1"
    assert plan.generation.judge_model.endpoint == "http://localhost:8000/v1"


def test_an_endpoint_for_a_model_that_has_none_is_a_fault() -> None:
    (fault,) = faults_of("generation.teacher={kind: scripted, endpoint: 'http://localhost:1/v1'}")
    assert "a model of kind 'scripted' has no endpoint" in fault


def test_an_endpoint_that_is_no_address_is_a_fault() -> None:
    assert "is no address" in faults_of("generation.teacher.endpoint=integrate.api.nvidia.com")[0]


@pytest.mark.parametrize(
    ("endpoint", "variable"),
    [
        ("https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY"),
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://nvidia.com.example.org/v1", "OPENAI_API_KEY"),
        ("http://localhost:8000/v1", "OPENAI_API_KEY"),
        (None, "OPENAI_API_KEY"),
    ],
)
def test_nvidias_key_is_for_nvidias_hosts_alone(endpoint: str | None, variable: str) -> None:
    assert key_variable(endpoint) == variable


def test_teachers_take_from_the_teacher_what_they_do_not_say() -> None:
    teachers = [{"model": "a", "weight": 3}, {"model": "b", "endpoint": "http://other/v1", "sampling": {"top_p": 0.9}}]
    common = {"endpoint": "http://one/v1/", "max_in_flight": 5}
    plan = Plan.model_validate({"generation": {"teacher": common, "teachers": teachers}})
    one, other = plan.generation.teacher_models
    assert (one.model, one.endpoint, one.max_in_flight, one.weight) == ("a", "http://one/v1", 5, 3)
    assert (other.model, other.endpoint, other.max_in_flight) == ("b", "http://other/v1", 5)
    assert plan.generation.judge_model.endpoint == "http://one/v1"
    assert [name for name, _ in plan.generation.asked] == ["teachers.0", "teachers.1", "judge"]
    assert load(None, overrides=[f"generation={plan.generation.model_dump_json()}"]).generation == plan.generation


def test_models_that_nobody_asks_need_no_price() -> None:
    generation = {"generator": "noise", "critic": "heuristic"}
    assert Plan.model_validate({"generation": generation, "budget": {"max_cost": 1}}).generation.asked == []
