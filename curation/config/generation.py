"""Who writes new records, who judges them, and how models are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from curation.config.section import Component, Section, raise_faults
from curation.core import registry
from curation.core.contracts import Critic
from curation.core.endpoints import normalize_endpoint
from curation.core.errors import PlanError
from curation.core.ratings import Scale
from curation.core.records import COLUMNS
from curation.core.rules import Rule

NVIDIA_ENDPOINT = "https://integrate.api.nvidia.com/v1"
NVIDIA_TEACHER = "nvidia/nemotron-4-340b-instruct"
NVIDIA_JUDGE = "nvidia/nemotron-4-340b-reward"


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
        raise_faults(registry.Spec("model", self.kind, self.arguments).faults())
        return self


class CriticPlan(Component):
    """A critic, and whom it asks.

    `judge` is its own model, where that is not the `generation.judge` of all critics. `as` goes before each of its
    attributes with an underscore: `rating` becomes `pair_rating`. `only` says which records it judges, by columns of
    the record or of its source: a value, several, or whether there is one (true, false). What the rule asks of the
    others' scores is passed over for a record that it does not judge.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    judge: ModelPlan | None = None
    prefix: str = Field("", alias="as")
    only: dict[str, bool | str | list[str]] = {}

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
        raise_faults(
            [
                f"critic '{self.name}' gives '{name}', but a record has a column of that name: give the critic an 'as'"
                for name in attributes
                if name in COLUMNS
            ]
        )
        return self

    @model_validator(mode="after")
    def _brings_its_model(self) -> CriticPlan:
        kind = getattr(registry.find("critic", self.name), "asks", None)
        if kind is None:
            return self
        own = ModelPlan(kind=kind, arguments=self.arguments)
        if self.judge not in (None, own):
            raise ValueError(f"critic '{self.name}' asks the model of its own arguments: it takes no 'judge'")
        object.__setattr__(self, "judge", own)  # frozen as soon as it is sound
        return self


class GenerationPlan(Section):
    """Who writes new records, and who judges them by which rule.

    `teachers`, where there are any, stand in for `teacher`: each parent is given to one of them, drawn by weight. They
    take from `teacher` what they don't say themselves. In the same way `critics` stand in for `critic`, and their own
    models take from `judge` what they don't say. `drop` is a rule over the scores of all critics together; `grade_by`
    names the critic that grades, where it is not the first one that can. With `cascade`, critics that ask models are
    asked one after the other, and only until the rule drops the record: cheaper, and slower.
    """

    generator: Component = Component(name="paraphrase")
    teacher: ModelPlan = ModelPlan(model=NVIDIA_TEACHER, endpoint=NVIDIA_ENDPOINT)
    teachers: list[ModelPlan] = []
    critic: CriticPlan | None = Field(default_factory=lambda: CriticPlan(name="reward"))
    critics: list[CriticPlan] = []
    judge: ModelPlan = ModelPlan(model=NVIDIA_JUDGE)
    drop: str | None = None
    grade_by: str | None = None
    cascade: bool = False

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
        raise_faults(value.spec("generator").faults())
        return value

    @field_validator("critics")
    @classmethod
    def _critics_are_told_apart(cls, value: list[CriticPlan]) -> list[CriticPlan]:
        raise_faults(_clashes(value))
        return value

    @field_validator("drop")
    @classmethod
    def _rule_reads(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            try:
                rule = Rule.parse(value)
            except PlanError as error:
                raise ValueError("; ".join(error.faults)) from error
            raise_faults(_unknown_attributes(rule, _panel_of(info.data)))
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
