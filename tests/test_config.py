"""The plan: what wins over what, every fault at once, and nothing secret in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from curation.config import Plan, dump, key_variable, load
from curation.core.errors import PlanError
from curation.rounds import exporters
from tests.models.tiny_llama import write_tiny_llama

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


RULES = {"sourced": {"citations": 1}, "court": {"field": "court", "one_of": ["us"], "optional": True}}


def test_a_step_may_be_rules_by_name() -> None:
    plan = load(overrides=[f"clean=[{{validate: {RULES}}}]"])
    assert plan.clean[0].rules == RULES
    assert Plan.model_validate(yaml.safe_load(dump(plan))) == plan


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("{validate: {a: {citation: 1}}}", "clean.0.validate: rule 'a' has no 'citation'. Did you mean 'citations'?"),
        ("{validate: {}}", "clean.0.validate: rules are named objects, at least one"),
        ("{validate: {a: {min_words: 1}}, fields: [answer]}", "clean.0: 'validate' takes neither 'fields' nor"),
        ("{valdate: {a: {min_words: 1}}}", "clean.0.valdate: there is no such field. Did you mean 'validate'?"),
        ("{modifier: html}", "clean.0: a modifier needs 'fields'"),
        ("{modifier: html, filter: refusal, fields: [answer]}", "clean.0: give one of 'modifier', 'filter' and"),
        ("{fields: [answer]}", "clean.0: give one of 'modifier', 'filter' and 'validate'"),
    ],
)
def test_faults_of_a_step(step: str, fault: str) -> None:
    assert fault in faults_of(f"clean=[{step}]")[0]


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


def test_a_size_is_reached_by_a_threshold_which_clusters_do_not_follow() -> None:
    (fault,) = faults_of("dedup.semantic={at_most: 10, engine: rapids}")
    assert "at_most is what engine 'torch' alone can" in fault


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


def test_critics_stand_in_for_the_critic_and_take_from_the_judge_what_they_do_not_say() -> None:
    critics = [
        "heuristic",
        {"name": "judge", "as": "pair", "judge": {"model": "a", "endpoint": "http://other/v1"}},
        {"name": "pairwise"},
        {"name": "reward", "judge": {"kind": "scripted"}},
    ]
    common = {"model": "j", "endpoint": "http://one/v1", "max_in_flight": 5, "price": {"prompt": 1, "completion": 1}}
    plan = Plan.model_validate(
        {"generation": {"critics": critics, "judge": common, "drop": "pair_rating < 2 or preference < 0.5"}}
    )
    asked = plan.generation.asked
    assert plan.generation.judges == [None, "critics.1.judge", "judge", "critics.3.judge"]
    assert [(name, model.kind, model.model, model.endpoint, model.max_in_flight) for name, model in asked[1:]] == [
        ("critics.1.judge", "openai_compatible", "a", "http://other/v1", 5),
        ("judge", "openai_compatible", "j", "http://one/v1", 5),
        ("critics.3.judge", "scripted", None, None, 5),
    ]
    assert Plan.model_validate(yaml.safe_load(dump(plan))) == plan
    assert load(None, overrides=[f"generation={plan.generation.model_dump_json()}"]).generation == plan.generation


def test_the_models_of_all_critics_need_a_price_where_money_is_bounded() -> None:
    critics = [{"name": "judge", "as": "one", "judge": {"model": "a"}}, {"name": "judge", "as": "two"}]
    with pytest.raises(PlanError) as caught:
        load(overrides=[f"generation={{generator: noise, critics: {critics}}}", "budget.max_cost=1"])
    text = str(caught.value)
    assert "generation.critics.0.judge.price" in text
    assert "generation.judge.price" in text


@pytest.mark.parametrize(
    ("generation", "fault"),
    [
        (
            {"critics": ["reward", {"name": "judge", "arguments": {"rubric": "scale_0_4", "attributes": "coherence"}}]},
            "generation.critics: critics 'reward' and 'judge' both give 'coherence': set 'as' for one of them",
        ),
        (
            {"critics": [{"name": "judge", "as": "a"}, {"name": "judge", "as": "b"}, {"name": "judge", "as": "a"}]},
            "generation.critics: critics 'judge as a' and 'judge as a' both give 'a_rating'",
        ),
        (
            {"critics": ["tests.stages.test_panel.Measured", "heuristic"]},
            "critics 'tests.stages.test_panel.Measured' and 'heuristic' both give 'copy_distance'",
        ),
        (
            {"critics": [{"name": "tests.stages.test_panel.Measured", "as": "same"}, "heuristic"]},
            "critics 'tests.stages.test_panel.Measured as same' and 'heuristic' both give 'same_language'",
        ),
        (
            {"critics": ["tests.stages.test_panel.Measured", "tests.stages.test_panel.Measured"]},
            "both give what is not known beforehand",
        ),
        (
            {"critics": [{"name": "judge", "as": "pair"}, "heuristic"], "drop": "pair_ratng < 2"},
            "generation.drop: no critic gives 'pair_ratng'. Did you mean 'pair_rating'?",
        ),
        ({"drop": "helpfulnes < 2"}, "generation.drop: no critic gives 'helpfulnes'. Did you mean 'helpfulness'?"),
        ({"critic": None, "drop": "helpfulness < 2"}, "no critic gives 'helpfulness'. There are: none"),
        ({"critics": [{"name": "judge", "as": "a-b"}]}, "generation.critics.0.as: 'a-b' can't begin a name"),
        (
            {"critics": [{"name": "judge", "sa": "a"}]},
            "there is no such field. There are: name, arguments, judge, as, only",
        ),
        ({"critics": ["jugde"]}, "generation.critics.0: no critic is called 'jugde'. Did you mean 'judge'?"),
        (
            {"critics": [{"name": "judge", "arguments": {"rubric": "none.yaml"}}]},
            "generation.critics.0: critic 'judge': the rubric none.yaml can't be read",
        ),
        (
            {"critic": {"name": "rules", "arguments": {"rules": {"title": {"max_words": 9}}}}},
            "generation.critic: critic 'rules' gives 'title', but a record has a column of that name",
        ),
        ({"critics": ["judge", "heuristic"], "grade_by": "heuristic"}, "generation.grade_by: no critic that grades"),
        ({"grade_by": "rewrad"}, "is called 'rewrad'. Did you mean 'reward'?"),
        (
            {
                "critics": ["judge", {"name": "judge", "arguments": {"rubric": "scale_0_4"}}],
                "grade_by": "judge",
            },
            "generation.grade_by: several critics are called 'judge'",
        ),
    ],
)
def test_faults_of_several_critics(generation: dict[str, Any], fault: str) -> None:
    (found,) = faults_of(f"generation={generation}".replace("None", "null"))
    assert fault in found


def test_attributes_that_nobody_knows_beforehand_may_stand_in_a_rule() -> None:
    critics = [{"name": "tests.stages.test_panel.Measured", "as": "kg"}, "heuristic"]
    load(overrides=[f"generation={{critics: {critics}, drop: kg_mass < 2 or kg_more > 1}}"])
    (fault,) = faults_of(f"generation={{critics: {critics}, drop: mass < 2}}")
    assert "no critic gives 'mass'" in fault


def test_a_balance_needs_a_size() -> None:
    assert faults_of("rounds.balance.by=tags") == [
        "rounds: balance needs 'each', the records of a group, or a target_size that groups share evenly"
    ]
    assert load(overrides=["rounds.balance.each=30"]).rounds.balance is not None


def test_models_that_nobody_asks_need_no_price() -> None:
    generation = {"generator": "noise", "critic": "heuristic"}
    assert Plan.model_validate({"generation": generation, "budget": {"max_cost": 1}}).generation.asked == []


def test_each_path_of_another_set_has_its_own_source() -> None:
    paths = ["a.jsonl", "b.parquet", "c.json"]
    plan = Plan.model_validate({"against": {"input": paths}})
    specs = plan.against.source_specs()
    assert [(spec.name, spec.arguments) for spec in specs] == [
        ("jsonl", {"paths": ["a.jsonl"]}),
        ("parquet", {"paths": ["b.parquet"]}),
        ("law_stackexchange", {"paths": ["c.json"]}),
    ]
    named = {"input": ["bench"], "source": "hf_dataset", "arguments": {"split": "test"}}
    (spec,) = Plan.model_validate({"against": named}).against.source_specs()
    assert (spec.name, spec.arguments) == ("hf_dataset", {"path": "bench", "split": "test"})


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ({}, 0.97),
        ({"dedup": {"exact": None}}, 0.97),
        ({"dedup": {"semantic": {"threshold": 0.9}}}, 0.9),
        ({"dedup": {"semantic": None}}, None),
        ({"dedup": {"semantic": None}, "against": {"threshold": 0.8}}, 0.8),
        ({"against": {"threshold": None}}, None),
    ],
)
def test_what_is_near_to_another_set_is_what_is_near_for_the_dedup(
    values: dict[str, Any], threshold: float | None
) -> None:
    plan = Plan.model_validate({**values, "against": {"input": ["a.jsonl"], **values.get("against", {})}})
    assert plan.against.threshold == threshold
    assert Plan.model_validate(yaml.safe_load(dump(plan))) == plan


def test_faults_of_another_set() -> None:
    faults = "\n".join(
        [
            *faults_of("against={input: [a.jsonl], exact: false, threshold: null, ngram: null}"),
            *faults_of("against={input: [a.jsonl, b.jsonl], arguments: {colums: {question: prompt}}}"),
            *faults_of("against.ngram=0"),
        ]
    )
    assert "against: with neither 'exact' nor 'threshold' nor 'ngram' nothing is compared" in faults
    assert faults.count("against: source 'jsonl' has no argument 'colums'. Did you mean 'columns'?") == 1
    assert "against.ngram: input should be greater than or equal to 1" in faults


def test_manners_alone_leave_the_default_models_what_they_are() -> None:
    plan = Plan.model_validate({"generation": {"teacher": {"max_in_flight": 5}, "judge": {"timeout": 9}}})
    default = Plan().generation
    assert plan.generation.teacher == default.teacher.model_copy(update={"max_in_flight": 5})
    assert plan.generation.judge == default.judge.model_copy(update={"timeout": 9.0})
    own = Plan.model_validate(
        {"generation": {"teacher": {"endpoint": "http://one/v1"}, "judge": {"endpoint": "http://two/v1"}}}
    )
    assert (own.generation.teacher.model, own.generation.judge.model) == (None, None)
    several = Plan.model_validate(
        {"generation": {"teacher": {"timeout": 5}, "teachers": [{"endpoint": "http://one/v1"}]}}
    )
    assert several.generation.teachers[0].model is None


def test_a_task_is_named_or_described() -> None:
    own = "{name: sum, prompt: S, input: [answer], output: title}"
    plan = load(overrides=[f"tasks=[title, {{name: qa, prompt: 'Say:'}}, {own}]"])
    title, answers, summary = plan.tasks
    assert (title.input, title.output) == (["question"], "title")
    assert (answers.prompt, answers.input) == ("Say:", ["context", "title", "question"])
    assert summary.model_dump() == {"name": "sum", "prompt": "S", "input": ["answer"], "output": "title"}
    arguments = [spec.arguments for spec in exporters(plan)[1:]]
    assert [argument["task"] for argument in arguments] == ["title", "qa", "sum"]
    assert all(spec.create().folder for spec in exporters(plan))
    assert Plan.model_validate(yaml.safe_load(dump(plan))) == plan


@pytest.mark.parametrize(
    ("task", "fault"),
    [
        ("titel", "tasks.0: there is no task 'titel'. Did you mean 'title'? There are: title, qa;"),
        ("{name: a b, prompt: p, input: [question], output: answer}", "tasks.0: 'a b' can't name a folder"),
        ("{name: x, prompt: p, input: [quest], output: answer}", "tasks.0: task 'x': there is no text 'quest'"),
        ("{name: x, input: [question], output: answer}", "tasks.0.prompt: field required"),
        ("qa, qa", "tasks: there are 2 tasks 'qa'"),
    ],
)
def test_a_task_that_can_not_be_asked(task: str, fault: str) -> None:
    assert any(line.startswith(fault) for line in faults_of(f"tasks=[{task}]"))


def test_a_tokenizer_is_tried_before_the_run(tmp_path: Path) -> None:
    (fault,) = faults_of(f"handoff.tokenizer={tmp_path / 'none'}")
    assert "is not a folder; a tokenizer is never downloaded" in fault
    (fault,) = faults_of(f"handoff.tokenizer={tmp_path}")
    assert fault.startswith(f"handoff.tokenizer: {tmp_path} holds no tokenizer that can be read")
    write_tiny_llama(tmp_path, "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}")
    (fault,) = faults_of(f"handoff.tokenizer={tmp_path}")
    assert fault == f"handoff.tokenizer: {tmp_path}: the chat template takes no system message (no system)"
    write_tiny_llama(tmp_path)
    assert load(overrides=[f"handoff.tokenizer={tmp_path}"]).handoff.tokenizer == str(tmp_path)


def test_exporters_are_tried_before_the_run() -> None:
    (fault,) = faults_of("exporters=[{name: preference, arguments: {min_margin: -1}}]")
    assert fault == "exporters: exporter 'preference': min_margin is 0 or more, not -1"
    assert faults_of("exporters=[{name: handoff, arguments: {task: qa}}]") == ["two exporters write handoff/qa/"]
    assert len(exporters(load(overrides=["exporters=[preference, instructions]"]))) == 5
