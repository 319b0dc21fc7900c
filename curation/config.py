"""The plan of a run: defaults, a YAML file, flags and `key=value` overrides in one frozen object.

Every fault is found at once, before a cluster starts or a token is paid. The defaults are those of NVIDIA's
PEFT curation tutorial; `configs/law.yaml` spells them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from curation.core import registry
from curation.core.contracts import Critic
from curation.core.endpoints import normalize_endpoint
from curation.core.errors import PlanError
from curation.core.ratings import Scale
from curation.core.records import COLUMNS, TEXT_COLUMNS
from curation.core.rules import Rule
from curation.dedupers._curator_keys import CURATOR_KEYS, from_curator

NVIDIA_ENDPOINT = "https://integrate.api.nvidia.com/v1"
NVIDIA_TEACHER = "nvidia/nemotron-4-340b-instruct"
NVIDIA_JUDGE = "nvidia/nemotron-4-340b-reward"
By = Literal["question", "answer", "both", "text"]


class Section(BaseModel):
    """A part of the plan: frozen, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Component(Section):
    """A component by name (a file on its shelf, or a dotted path) with its arguments."""

    name: str
    arguments: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def spec(self, kind: str, **more: Any) -> registry.Spec:
        """The registry's form; `more` are arguments that the engine supplies where the plan has none."""
        return registry.Spec(kind, self.name, {**more, **self.arguments})


class SourcePlan(Component):
    """The source; without a name it follows from the input: `law_stackexchange`, or the kind of file."""

    name: str = ""


class CleanStep(Section):
    """A modifier or a filter, applied to one or more fields in turn."""

    modifier: str | None = None
    filter: str | None = None
    fields: list[str] = Field(min_length=1)
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_valid_component(self) -> CleanStep:
        if (self.modifier is None) == (self.filter is None):
            raise ValueError("give either 'modifier' or 'filter'")
        _raise_faults(self.spec().faults())
        if self.modifier is not None:
            for field in self.fields:
                if field not in TEXT_COLUMNS:
                    hint = registry.nearest(field, list(TEXT_COLUMNS))
                    raise ValueError(f"a modifier changes one of {', '.join(TEXT_COLUMNS)}, not '{field}'.{hint}")
        return self

    def spec(self) -> registry.Spec:
        """The registry's form."""
        if self.modifier is not None:
            return registry.Spec("modifier", self.modifier, self.arguments)
        assert self.filter is not None
        return registry.Spec("filter", self.filter, self.arguments)


class TlsPlan(Section):
    """PEM files for a Dask cluster across hosts."""

    ca_file: Path
    cert: Path
    key: Path


class ClusterPlan(Section):
    """Where the work runs: processes of this machine, its GPUs, or a scheduler that already runs."""

    device: Literal["cpu", "gpu"] = "cpu"
    n_workers: int | None = Field(None, ge=1)
    threads_per_worker: int = Field(1, ge=1)
    scheduler_address: str | None = None
    scheduler_file: Path | None = None
    protocol: Literal["tcp", "tls", "ucx"] = "tcp"
    nvlink_only: bool = False
    rmm_pool_size: str | None = "14GB"
    memory_limit: str = "auto"
    tls: TlsPlan | None = None

    @model_validator(mode="after")
    def _one_scheduler(self) -> ClusterPlan:
        if self.scheduler_address and self.scheduler_file:
            raise ValueError("give scheduler_address or scheduler_file, not both")
        return self


class ExactPlan(Section):
    """Exact duplicates: equal after normalisation."""

    by: Literal["question", "answer", "both"] = "both"


class FuzzyPlan(Section):
    """Near duplicates by words: Jaccard index of their runs of `ngram` characters or words at or above `threshold`."""

    threshold: float = Field(0.8, gt=0, le=1)
    by: By = "question"
    ngram: int = Field(5, ge=1)
    unit: Literal["char", "word"] = "char"
    permutations: int = Field(128, ge=1)


class RapidsPlan(Section):
    """How NeMo Curator's engine clusters; engine `torch` has no clusters, and takes these for compatibility."""

    n_clusters: int | None = Field(None, ge=1)
    max_iter: int = Field(100, ge=1)
    random_state: int = Field(1234, ge=0)
    sim_metric: Literal["cosine", "l2"] = "cosine"


class SemanticPlan(Section):
    """Near duplicates by meaning: cosine of embeddings at or above `threshold`.

    `at_most` lowers the threshold, for what the source holds, until so many records are left. `guard` keeps records
    that differ in a number, a negation or the order of words. NeMo Curator's keys of its `SemDedupConfig` are taken
    too, and translated.
    """

    threshold: float = Field(0.97, gt=0, le=1)
    by: By = "question"
    encoder: str = "embedded"
    pooling: Literal["mean", "cls", "last_token"] | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    keep: Literal["best", "hard", "easy", "random"] = "best"
    guard: bool = False
    at_most: int | None = Field(None, ge=1)
    engine: Literal["torch", "rapids"] = "torch"
    rapids: RapidsPlan = RapidsPlan()

    @model_validator(mode="before")
    @classmethod
    def _curators_words(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        theirs = {key: value for key, value in values.items() if key in CURATOR_KEYS}
        return {**from_curator(theirs), **{key: value for key, value in values.items() if key not in theirs}}

    @model_validator(mode="after")
    def _engine_can(self) -> SemanticPlan:
        if self.pooling == "last_token" and self.engine != "rapids":
            raise ValueError("pooling by the last token is what engine 'rapids' alone can")
        return self


class DedupPlan(Section):
    """What removes duplicates; null leaves a step out."""

    exact: ExactPlan | None = ExactPlan()
    fuzzy: FuzzyPlan | None = None
    semantic: SemanticPlan | None = SemanticPlan()


class AgainstPlan(Section):
    """What the dataset must not hold: a benchmark, a validation set, an earlier release. Null leaves a check out.

    Sources follow from the paths, as for the plan's own input; `source` and `arguments` hold for all of them. Records
    are compared as the plan's modifiers leave both: their questions (title and question) for equality, `exact`, and by
    the cosine of their meaning, `threshold` (by default what `dedup.semantic` says); all their texts for a shared run
    of `ngram` words.
    """

    input: list[str] = []
    source: str = ""
    arguments: dict[str, Any] = {}
    exact: bool = True
    threshold: float | None = Field(0.97, gt=0, le=1)
    ngram: int | None = Field(13, ge=1)

    @model_validator(mode="after")
    def _sources_read(self) -> AgainstPlan:
        _raise_faults(list(dict.fromkeys(fault for spec in self.source_specs() for fault in spec.faults())))
        if self.input and not (self.exact or self.threshold or self.ngram):
            raise ValueError("with neither 'exact' nor 'threshold' nor 'ngram' nothing is compared")
        return self

    def source_specs(self) -> list[registry.Spec]:
        """The source of each path."""
        return [_spec_of(self.source or _source_of([path]), [path], {}, self.arguments) for path in self.input]


class SplitPlan(Section):
    """Shares of the splits. Records at or above the cosine `near` never lie in two splits."""

    train: float = Field(0.8, gt=0, le=1)
    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    near: float = Field(0.9, gt=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> SplitPlan:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the shares must add up to 1, not to {total:g}")
        return self


class PricePlan(Section):
    """Dollars for a million tokens."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)


class ModelPlan(Section):
    """A language model and how to ask it. Keys come from the environment, never from a plan.

    `max_in_flight` is a bound: how many requests are really out follows the endpoint. Limits hold for all workers
    together; models at one endpoint share them, and the narrower counts. `sampling` wins over the generator's own; a
    list in it is drawn from, for each parent. `weight` counts among several teachers.
    """

    kind: str = "openai_compatible"
    model: str | None = None
    endpoint: Annotated[str | None, AfterValidator(lambda url: url and normalize_endpoint(url))] = None
    timeout: float = Field(120.0, gt=0)
    max_in_flight: int = Field(64, ge=1)
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0)
    max_reply_tokens: int = Field(4096, ge=1)
    price: PricePlan | None = None
    sampling: dict[str, Any] = {}
    weight: float = Field(1.0, gt=0)
    arguments: dict[str, Any] = {}

    @property
    def place(self) -> str:
        """Whose limits it is asked under: its endpoint, or a model of this machine by itself."""
        return self.endpoint or f"{self.kind} {self.arguments}"

    @model_validator(mode="after")
    def _known(self) -> ModelPlan:
        if self.kind == "openai_compatible":
            return self
        if self.model or self.endpoint:
            raise ValueError(f"a model of kind '{self.kind}' has no endpoint: to ask one, set kind=openai_compatible")
        _raise_faults(registry.Spec("model", self.kind, self.arguments).faults())
        return self


class CriticPlan(Component):
    """A critic, and whom it asks.

    `judge` is its own model, where that is not the `generation.judge` of all critics. `as` goes before each of its
    attributes with an underscore: `rating` becomes `pair_rating`.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    judge: ModelPlan | None = None
    prefix: str = Field("", alias="as")

    @property
    def called(self) -> str:
        """By what `grade_by` names it."""
        return self.prefix or self.name

    @property
    def label(self) -> str:
        """What messages and the ledger call it."""
        return f"{self.name} as {self.prefix}" if self.prefix else self.name

    @cached_property
    def attributes(self) -> Mapping[str, Scale | None] | None:
        """Every attribute that it may give, under the name that it has in a record, with its scale; None: not known."""
        gives = self.create().gives
        return None if gives is None else {self.named(name): scale for name, scale in gives.items()}

    @property
    def begun(self) -> list[str]:
        """The names of its attributes, or only how they begin where that is all that is known."""
        return [self.named("")] if self.attributes is None else list(self.attributes)

    @property
    def grades(self) -> bool:
        """Whether it has an opinion that can stand for people's votes."""
        return registry.find("critic", self.name).grade is not Critic.grade

    def named(self, attribute: str) -> str:
        """The name that an attribute of the critic has in a record."""
        return f"{self.prefix}_{attribute}" if self.prefix else attribute

    def may_give(self, name: str) -> bool:
        """Whether an attribute of this name in a record may be one of its."""
        return name.startswith(self.named("")) if self.attributes is None else name in self.attributes

    def create(self) -> Critic:
        """The critic; see `registry.Spec.create`."""
        critic: Critic = self.spec("critic").create()
        return critic

    @field_validator("prefix")
    @classmethod
    def _begins_a_name(cls, value: str) -> str:
        if value and not (value.isascii() and value.isidentifier()):
            raise ValueError(f"'{value}' can't begin a name in a rule: take letters, digits and _")
        return value

    @model_validator(mode="after")
    def _gives_what_a_record_can_hold(self) -> CriticPlan:
        try:
            attributes = self.attributes or {}
        except PlanError as error:
            raise ValueError("\n".join(error.faults)) from error
        _raise_faults(
            [
                f"critic '{self.name}' gives '{name}', but a record has a column of that name: give the critic an 'as'"
                for name in attributes
                if name in COLUMNS
            ]
        )
        return self


class GenerationPlan(Section):
    """Who writes new records, and who judges them by which rule.

    `teachers`, where there are any, stand in for `teacher`: each parent is given to one of them, drawn by weight. They
    take from `teacher` what they don't say themselves. In the same way `critics` stand in for `critic`, and their own
    models take from `judge` what they don't say. `drop` is a rule over the scores of all critics together; `grade_by`
    names the critic that grades, where it is not the first one that can.
    """

    generator: Component = Component(name="paraphrase")
    teacher: ModelPlan = ModelPlan(model=NVIDIA_TEACHER, endpoint=NVIDIA_ENDPOINT)
    teachers: list[ModelPlan] = []
    critic: CriticPlan | None = Field(default_factory=lambda: CriticPlan(name="reward"))
    critics: list[CriticPlan] = []
    judge: ModelPlan = ModelPlan(model=NVIDIA_JUDGE)
    drop: str | None = None
    grade_by: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _default_models(cls, values: Any) -> Any:
        """A flag such as `--max-in-flight` leaves the default models what they are, and a model its default endpoint.

        An endpoint of one's own has no default model. It runs last, so that `teachers` share no defaults.
        """
        if not isinstance(values, Mapping):
            return values
        defaults = {
            "teacher": {"endpoint": NVIDIA_ENDPOINT, "model": NVIDIA_TEACHER},
            "judge": {"model": NVIDIA_JUDGE},
        }
        filled = {}
        for name, default in defaults.items():
            given = values.get(name)
            if isinstance(given, Mapping) and not {"kind", "endpoint"} & given.keys():
                filled[name] = {**default, **given}
        return {**values, **filled}

    @model_validator(mode="before")
    @classmethod
    def _default_names(cls, values: Any) -> Any:
        """Arguments without a name, as `--synth-n-variants` gives them, are the default component's."""
        if not isinstance(values, Mapping):
            return values
        names = {"generator": "paraphrase", "critic": "reward"}
        unnamed = {key: values[key] for key in names if isinstance(values.get(key), Mapping)}
        return {**values, **{key: {"name": names[key], **value} for key, value in unnamed.items()}}

    @model_validator(mode="before")
    @classmethod
    def _common_terms(cls, values: Any) -> Any:
        """What `teacher` says, and a flag such as `--max-in-flight` with it, holds for each of `teachers` too.

        So does what `judge` says for the critics' own models.
        """
        if not isinstance(values, Mapping):
            return values
        teacher, judge = values.get("teacher"), values.get("judge")
        shared = dict(values)
        if isinstance(values.get("teachers"), list):
            shared["teachers"] = [_with_common(teacher, one) for one in values["teachers"]]
        if isinstance(values.get("critics"), list):
            shared["critics"] = [_with_judge(judge, one) for one in values["critics"]]
        if "critic" in values:
            shared["critic"] = _with_judge(judge, values["critic"])
        return shared

    @property
    def judge_model(self) -> ModelPlan:
        """The model of the critics that have none of their own."""
        return self._at_teachers(self.judge)

    def _at_teachers(self, model: ModelPlan) -> ModelPlan:
        """A critic's model; where its plan names no endpoint it is asked where the (first) teacher is."""
        if model.kind != "openai_compatible":
            return model
        return model.model_copy(update={"endpoint": model.endpoint or self.teacher_models[0].endpoint})

    @property
    def panel(self) -> list[CriticPlan]:
        """Who judges."""
        return self.critics or ([self.critic] if self.critic else [])

    @property
    def judges(self) -> list[str | None]:
        """By critic, the name in `asked` of the model that it asks; None for one that asks nobody."""
        fields = [f"critics.{number}.judge" if self.critics else "critic.judge" for number in range(len(self.panel))]
        return [
            (field if critic.judge else "judge") if registry.find("critic", critic.name).needs_model else None
            for field, critic in zip(fields, self.panel, strict=True)
        ]

    @property
    def grader(self) -> int | None:
        """Which of the critics grades; None where none can."""
        able = [number for number, critic in enumerate(self.panel) if critic.grades]
        named = [number for number in able if self.panel[number].called == self.grade_by]
        return next(iter(named if self.grade_by else able), None)

    @property
    def teacher_models(self) -> list[ModelPlan]:
        """Who writes."""
        return self.teachers or [self.teacher]

    @property
    def asked(self) -> list[tuple[str, ModelPlan]]:
        """The models that the generator and the critics ask, each with the field of the plan that it comes from."""
        asked: list[tuple[str, ModelPlan]] = []
        if registry.find("generator", self.generator.name).needs_model:
            names = [f"teachers.{number}" for number in range(len(self.teachers))] or ["teacher"]
            asked += zip(names, self.teacher_models, strict=True)
        judges = zip(self.judges, self.panel, strict=True)
        models = {name: self._at_teachers(critic.judge or self.judge) for name, critic in judges if name}
        return [*asked, *models.items()]

    @field_validator("generator")
    @classmethod
    def _generator_exists(cls, value: Component) -> Component:
        _raise_faults(value.spec("generator").faults())
        return value

    @field_validator("critics")
    @classmethod
    def _critics_are_told_apart(cls, value: list[CriticPlan]) -> list[CriticPlan]:
        _raise_faults(_clashes(value))
        return value

    @field_validator("drop")
    @classmethod
    def _rule_reads(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            try:
                rule = Rule.parse(value)
            except PlanError as error:
                raise ValueError("; ".join(error.faults)) from error
            _raise_faults(_unknown_attributes(rule, _panel_of(info.data)))
        return value

    @field_validator("grade_by")
    @classmethod
    def _grader_grades(cls, value: str | None, info: ValidationInfo) -> str | None:
        panel = _panel_of(info.data)
        if value is None or panel is None:
            return value
        able = [critic.called for critic in panel if critic.grades]
        if able.count(value) > 1:
            raise ValueError(f"several critics are called '{value}': give them an 'as'")
        if value not in able:
            hint = registry.nearest(value, able)
            raise ValueError(f"no critic that grades is called '{value}'.{hint} There are: {', '.join(able) or 'none'}")
        return value


class BudgetPlan(Section):
    """What the run may spend over all its tries; null is no bound. `max_cost` is in dollars, by the models' prices."""

    max_requests: int | None = Field(None, ge=0)
    max_tokens: int | None = Field(None, ge=0)
    max_cost: float | None = Field(None, ge=0)


@dataclass(frozen=True)
class Keys:
    """The secrets of a run: beside the plan, so that no plan on disk ever holds them.

    Args:
        everywhere: sent to every endpoint that has none of its own.
        endpoints: by address.
    """

    everywhere: SecretStr | None = None
    endpoints: Mapping[str, SecretStr] = field(default_factory=dict)

    def of(self, model: ModelPlan) -> SecretStr | None:
        """What a model's endpoint may see."""
        return self.endpoints.get(model.endpoint or "", self.everywhere)


class RoundsPlan(Section):
    """How often to generate, and when to stop."""

    count: int = Field(1, ge=0)
    ratio: float = Field(0.001, ge=0, le=1)
    target_size: int | None = Field(None, ge=1)
    min_gain: int = Field(1, ge=0)


class Plan(Section):
    """Everything that a run does, without its secrets."""

    seed: int = 42
    output: Path = Path("data/curated")
    input: list[str] = []
    source: SourcePlan = SourcePlan()
    num_files: int | None = Field(None, ge=1)
    files_per_partition: int = Field(2, ge=1)
    max_bad_ratio: float = Field(0.01, ge=0, le=1)
    cluster: ClusterPlan = ClusterPlan()
    clean: list[CleanStep] = Field(default_factory=lambda: _law_steps())
    against: AgainstPlan = Field(default_factory=AgainstPlan)
    dedup: DedupPlan = DedupPlan()
    split: SplitPlan = SplitPlan()
    rounds: RoundsPlan = RoundsPlan()
    generation: GenerationPlan = Field(default_factory=GenerationPlan)
    budget: BudgetPlan = BudgetPlan()
    tasks: list[Literal["title", "qa"]] = ["title", "qa"]
    exporters: list[Component] = []

    @model_validator(mode="before")
    @classmethod
    def _one_idea_of_near(cls, values: Any) -> Any:
        """What is near to another set is, unless it says otherwise, what is near for the dedup."""
        against = values.get("against") if isinstance(values, Mapping) else None
        if not isinstance(against, Mapping) or "threshold" in against:
            return values
        try:
            semantic = DedupPlan.model_validate(values.get("dedup", {})).semantic
        except ValidationError:  # told where it stands
            return values
        return {**values, "against": {**against, "threshold": semantic.threshold if semantic else None}}

    @field_validator("exporters")
    @classmethod
    def _exporters_exist(cls, value: list[Component]) -> list[Component]:
        _raise_faults([fault for exporter in value for fault in exporter.spec("exporter").faults()])
        return value

    @model_validator(mode="after")
    def _source_reads(self) -> Plan:
        _raise_faults(self.source_spec().faults())
        return self

    @model_validator(mode="after")
    def _priced(self) -> Plan:
        if self.budget.max_cost is not None:
            _raise_faults(
                [
                    f"generation.{name}.price: budget.max_cost needs the price of {model.model} in dollars for a "
                    "million tokens, such as {prompt: 0.5, completion: 1.5} (0 for what costs nothing)"
                    for name, model in self.generation.asked
                    if model.kind == "openai_compatible" and model.price is None
                ]
            )
        return self

    def source_spec(self) -> registry.Spec:
        """The source with what the plan says elsewhere: the input's paths, how many files, how they are grouped."""
        name = self.source.name or _source_of(self.input)
        known = {"num_files": self.num_files, "files_per_partition": self.files_per_partition}
        return _spec_of(name, self.input, known, self.source.arguments)


Flag = tuple[str, Any]
"""A dotted path into the plan, and the value that a flag or an override gives it."""


def load(file: Path | None = None, flags: Iterable[Flag] = (), overrides: Iterable[str] = ()) -> Plan:
    """The plan of a YAML file, then flags, then overrides: the later wins.

    Raises:
        PlanError: everything that is wrong, one line each.
    """
    values, faults = _read_yaml(file) if file else ({}, [])
    for path, value in flags:
        _put(values, path, value)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            faults.append(f"'{override}' is not of the form key=value")
            continue
        try:
            _put(values, key, yaml.safe_load(text))
        except yaml.YAMLError:
            faults.append(f"{key}: '{text}' is not readable as a YAML value")
    try:
        plan = Plan.model_validate(values)
    except ValidationError as error:
        faults += [line for fault in error.errors() for line in _lines_of(fault)]
        raise PlanError(faults) from None
    if faults:
        raise PlanError(faults)
    return plan


def key_variable(endpoint: str | None) -> str:
    """The environment variable whose key an endpoint may see: NVIDIA's is sent to NVIDIA's hosts alone."""
    host = urlsplit(endpoint or "").hostname or ""
    return "NVIDIA_API_KEY" if host == "nvidia.com" or host.endswith(".nvidia.com") else "OPENAI_API_KEY"


def dump(plan: Plan) -> str:
    """The plan as YAML, every value resolved."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _law_steps() -> list[CleanStep]:
    """The tutorial's steps and bounds."""
    texts = ["title", "question", "answer"]
    return [
        CleanStep(modifier="html", fields=texts),
        CleanStep(modifier="unicode", fields=texts),
        CleanStep(
            filter="nemo_curator.filters.WordCountFilter",
            fields=["question", "answer"],
            arguments={"min_words": 50, "max_words": 500},
        ),
        CleanStep(filter="low_score", fields=["question_score", "answer_score"], arguments={"minimum": 0}),
    ]


def _source_of(paths: list[str]) -> str:
    """The source that reads files of this kind."""
    if not paths:
        return "law_stackexchange"
    first = Path(paths[0])
    if (first / "dataset_info.json").is_file() or (first / "dataset_dict.json").is_file():
        return "hf_dataset"
    names = (path.name for path in first.rglob("*")) if first.is_dir() else [first.name]
    kinds = {"parquet": (".parquet", ".pq"), "jsonl": (".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst")}
    found = (kind for name in names for kind, endings in kinds.items() if name.lower().endswith(endings))
    return next(found, "law_stackexchange")


def _with_common(common: Any, own: Any) -> Any:
    """A model's plan with the terms that it doesn't set itself; what models of another kind don't have is left out."""
    if not isinstance(common, Mapping) or not isinstance(own, Mapping):
        return own
    kind = ModelPlan.model_fields["kind"].default
    is_other = own.get("kind", common.get("kind", kind)) != common.get("kind", kind)
    return {**{key: value for key, value in common.items() if not (is_other and key in _OF_ONE_KIND)}, **own}


_OF_ONE_KIND = ("model", "endpoint", "arguments")


def _with_judge(judge: Any, critic: Any) -> Any:
    """A critic's plan whose own model has the terms of `judge`."""
    if not isinstance(critic, Mapping) or not isinstance(critic.get("judge"), Mapping):
        return critic
    return {**critic, "judge": _with_common(judge, critic["judge"])}


def _panel_of(values: Mapping[str, Any]) -> list[CriticPlan] | None:
    """The critics among a generation plan's values; None where they are not sound themselves."""
    if "critics" not in values or "critic" not in values:
        return None
    return values["critics"] or ([values["critic"]] if values["critic"] else [])


def _clashes(critics: Sequence[CriticPlan]) -> list[str]:
    """Attributes that two critics give under one name, or may."""
    faults = []
    for one, other in combinations(critics, 2):
        shared = {*filter(other.may_give, one.begun), *filter(one.may_give, other.begun)}
        if shared:
            names = ", ".join(f"'{name}'" for name in sorted(shared - {""})) or "what is not known beforehand"
            faults.append(f"critics '{one.label}' and '{other.label}' both give {names}: set 'as' for one of them")
    return faults


def _unknown_attributes(rule: Rule, panel: Sequence[CriticPlan] | None) -> list[str]:
    """What a rule asks for that no critic gives."""
    if panel is None:
        return []
    known = [name for critic in panel for name in critic.attributes or ()]
    return [
        f"no critic gives '{name}'.{registry.nearest(name, known)} There are: {', '.join(known) or 'none'}"
        for name in rule.names
        if not any(critic.may_give(name) for critic in panel)
    ]


def _spec_of(name: str, paths: list[str], known: Mapping[str, Any], given: Mapping[str, Any]) -> registry.Spec:
    """A source of `paths`, with those `known` arguments that it takes, unless they are `given` otherwise."""
    arguments: dict[str, Any] = {}
    if name in registry.names("source"):
        takes = registry.parameters("source", name)
        arguments = {key: value for key, value in known.items() if key in takes and value is not None}
        if paths:
            arguments["paths" if "paths" in takes else "path"] = list(paths) if "paths" in takes else paths[0]
    return registry.Spec("source", name, {**arguments, **given})


def _read_yaml(file: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError([f"{file} can't be read: {error.strerror or error}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PlanError([f"{file} is not YAML: {error}"]) from error
    if values is None:
        return {}, []
    if not isinstance(values, Mapping):
        raise PlanError([f"{file}: a plan is a mapping of keys to values, not a {type(values).__name__}"])
    return dict(values), []


def _put(values: dict[str, Any], path: str, value: Any) -> None:
    """Sets `a.b.c`, making the sections on the way; what is not a section is replaced by one."""
    *sections, last = path.split(".")
    for section in sections:
        inner = values.get(section)
        if isinstance(inner, str):  # a component that is given by its bare name
            inner = {"name": inner}
        values[section] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[section]
    values[last] = value


def _raise_faults(faults: list[str]) -> None:
    if faults:
        raise ValueError("\n".join(faults))


def _lines_of(fault: Any) -> list[str]:
    """pydantic's fault as lines: `path: what is wrong`, with the nearest spelling of an unknown key."""
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        fields = _section_at(fault["loc"][:-1]).model_fields
        known = [field.alias or name for name, field in fields.items()]
        hint = registry.nearest(str(fault["loc"][-1]), known)
        return [f"{path}: there is no such field.{hint} There are: {', '.join(known)}"]
    if fault["type"] == "value_error":
        return [f"{path}: {line}" if path else line for line in str(fault["ctx"]["error"]).split("\n")]
    given = "" if isinstance(fault["input"], Mapping | list) else f" (given: {fault['input']!r})"
    return [f"{path}: {fault['msg'][0].lower()}{fault['msg'][1:]}{given}"]


def _section_at(path: Iterable[str | int]) -> type[Section]:
    """The section's class at a path into the plan."""
    section: type[Section] = Plan
    for part in path:
        if isinstance(part, str) and part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation) or section
    return section


def _section_in(annotation: Any) -> type[Section] | None:
    """The section that an annotation such as `list[CleanStep]` or `ExactPlan | None` holds."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section_in(part))), None)
