"""The plan of a run: defaults, a YAML file, flags and `key=value` overrides in one frozen object.

Every fault is found at once, before a cluster starts or a token is paid. The defaults are those of NVIDIA's
PEFT curation tutorial; `configs/law.yaml` spells them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
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
    field_validator,
    model_validator,
)

from curation.core import registry
from curation.core.endpoints import normalize_endpoint
from curation.core.errors import PlanError
from curation.core.records import TEXT_COLUMNS
from curation.core.rules import Rule

NVIDIA_ENDPOINT = "https://integrate.api.nvidia.com/v1"
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


class SemanticPlan(Section):
    """Near duplicates by meaning: cosine of embeddings at or above `threshold`."""

    threshold: float = Field(0.97, gt=0, le=1)
    by: By = "question"
    encoder: str = "embedded"


class DedupPlan(Section):
    """What removes duplicates; null leaves a step out."""

    exact: ExactPlan | None = ExactPlan()
    semantic: SemanticPlan | None = SemanticPlan()


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


class GenerationPlan(Section):
    """Who writes new records, and who judges them by which rule.

    `teachers`, where there are any, stand in for `teacher`: each parent is given to one of them, drawn by weight. They
    take from `teacher` what they don't say themselves.
    """

    generator: Component = Component(name="paraphrase")
    teacher: ModelPlan = ModelPlan(model="nvidia/nemotron-4-340b-instruct", endpoint=NVIDIA_ENDPOINT)
    teachers: list[ModelPlan] = []
    critic: Component | None = Component(name="reward")
    judge: ModelPlan = ModelPlan(model="nvidia/nemotron-4-340b-reward")
    drop: str | None = None

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
        """What `teacher` says, and a flag such as `--max-in-flight` with it, holds for each of `teachers` too."""
        if not isinstance(values, Mapping) or not isinstance(values.get("teachers"), list):
            return values
        common = values["teacher"] if isinstance(values.get("teacher"), Mapping) else {}
        each = [{**common, **teacher} if isinstance(teacher, Mapping) else teacher for teacher in values["teachers"]]
        return {**values, "teachers": each}

    @property
    def judge_model(self) -> ModelPlan:
        """The critic's model; where its plan names no endpoint it is asked where the (first) teacher is."""
        if self.judge.kind != "openai_compatible":
            return self.judge
        return self.judge.model_copy(update={"endpoint": self.judge.endpoint or self.teacher_models[0].endpoint})

    @property
    def teacher_models(self) -> list[ModelPlan]:
        """Who writes."""
        return self.teachers or [self.teacher]

    @property
    def asked(self) -> list[tuple[str, ModelPlan]]:
        """The models that the generator and the critic ask, each with the field of the plan that it comes from."""
        asked: list[tuple[str, ModelPlan]] = []
        if registry.find("generator", self.generator.name).needs_model:
            names = [f"teachers.{number}" for number in range(len(self.teachers))] or ["teacher"]
            asked += zip(names, self.teacher_models, strict=True)
        if self.critic and registry.find("critic", self.critic.name).needs_model:
            asked.append(("judge", self.judge_model))
        return asked

    @field_validator("generator")
    @classmethod
    def _generator_exists(cls, value: Component) -> Component:
        _raise_faults(value.spec("generator").faults())
        return value

    @field_validator("critic")
    @classmethod
    def _critic_exists(cls, value: Component | None) -> Component | None:
        if value is not None:
            _raise_faults(value.spec("critic").faults())
        return value

    @field_validator("drop")
    @classmethod
    def _rule_reads(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Rule.parse(value)
            except PlanError as error:
                raise ValueError("; ".join(error.faults)) from error
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
    dedup: DedupPlan = DedupPlan()
    split: SplitPlan = SplitPlan()
    rounds: RoundsPlan = RoundsPlan()
    generation: GenerationPlan = GenerationPlan()
    budget: BudgetPlan = BudgetPlan()
    tasks: list[Literal["title", "qa"]] = ["title", "qa"]

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
        arguments: dict[str, Any] = {}
        if name in registry.names("source"):
            takes = registry.parameters("source", name)
            known = {"num_files": self.num_files, "files_per_partition": self.files_per_partition}
            arguments = {key: value for key, value in known.items() if key in takes and value is not None}
            if self.input:
                arguments["paths" if "paths" in takes else "path"] = (
                    list(self.input) if "paths" in takes else self.input[0]
                )
        return registry.Spec("source", name, {**arguments, **self.source.arguments})


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
        known = list(_section_at(fault["loc"][:-1]).model_fields)
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
