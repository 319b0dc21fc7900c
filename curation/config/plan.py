"""The whole plan, and what belongs to no part of it: where to compute, how often to generate, what may be spent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator

from curation.config.curating import (
    AgainstPlan,
    CleanStep,
    DedupPlan,
    SourcePlan,
    SplitPlan,
    law_steps,
    source_of,
    spec_of,
)
from curation.config.generation import GenerationPlan, ModelPlan
from curation.config.handoff import HandoffPlan, TaskPlan
from curation.config.section import Component, Section, raise_faults
from curation.core import registry
from curation.core.diversity import MORE_IS_VARIED
from curation.core.errors import PlanError
from curation.exporters._forms import BUILT_IN


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


class BalancePlan(Section):
    """As many records of the training split in one group as in any other, as far as the teacher can supply them.

    A group is what has the same value in `by`: a column of the source, such as a taxonomy's `leaf`, or `tags`. Each is
    to have `each` records after critics and dedup, or, where only `rounds.target_size` is given, an even share of it;
    then what a group can't supply is shared out among the others. Groups that are short are drawn from again in the
    next round, until they have them or `max_parents` were drawn over all rounds.
    """

    by: str = "leaf"
    each: int | None = Field(None, ge=1)
    max_parents: int = Field(100, ge=1)


class DiversityPlan(Section):
    """How varied the training split has to stay, as measured after each round; without bounds it is only told.

    A bound is the lowest value of a measure where more means more varied, else the highest (`core.diversity`). It is
    held against the training split, by a sample of it, and passed by a round that leaves it worse than it was. Such a
    round is the last one: it stays, or its records leave again (`take_back`); or the run only tells (`report`).
    """

    bounds: dict[str, float] = {}
    on_breach: Literal["stop", "take_back", "report"] = "stop"

    @field_validator("bounds")
    @classmethod
    def _of_measures(cls, value: dict[str, float]) -> dict[str, float]:
        known = list(MORE_IS_VARIED)
        raise_faults(
            [
                f"there is no measure '{name}'.{registry.nearest(name, known)} There are: {', '.join(known)}"
                for name in value
                if name not in known
            ]
            + [f"the bound of {name} is no number" for name, bound in value.items() if not math.isfinite(bound)]
        )
        return value


class RoundsPlan(Section):
    """How often to generate, and when to stop. With `balance`, `ratio` and `min_gain` say nothing."""

    count: int = Field(1, ge=0)
    ratio: float = Field(0.001, ge=0, le=1)
    target_size: int | None = Field(None, ge=1)
    min_gain: int = Field(1, ge=0)
    balance: BalancePlan | None = None
    diversity: DiversityPlan | None = DiversityPlan()

    @model_validator(mode="after")
    def _balanced_to_what(self) -> RoundsPlan:
        if self.balance and not (self.balance.each or self.target_size):
            raise ValueError("balance needs 'each', the records of a group, or a target_size that groups share evenly")
        return self


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
    clean: list[CleanStep] = Field(default_factory=lambda: law_steps())
    against: AgainstPlan = Field(default_factory=AgainstPlan)
    dedup: DedupPlan = DedupPlan()
    split: SplitPlan = SplitPlan()
    rounds: RoundsPlan = RoundsPlan()
    generation: GenerationPlan = Field(default_factory=GenerationPlan)
    budget: BudgetPlan = BudgetPlan()
    tasks: list[TaskPlan] = Field(default_factory=lambda: [TaskPlan.model_validate(name) for name in BUILT_IN])
    handoff: HandoffPlan = HandoffPlan()
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

    @field_validator("tasks")
    @classmethod
    def _tasks_are_told_apart(cls, value: list[TaskPlan]) -> list[TaskPlan]:
        names = Counter(task.name for task in value)
        raise_faults([f"there are {count} tasks '{name}'" for name, count in names.items() if count > 1])
        return value

    @field_validator("exporters")
    @classmethod
    def _exporters_exist(cls, value: list[Component]) -> list[Component]:
        raise_faults([fault for exporter in value for fault in exporter.spec("exporter").faults()])
        try:
            for exporter in value:
                exporter.spec("exporter").create()
        except PlanError as error:  # of an argument's value: better told now than at the end of the run
            raise_faults(error.faults)
        return value

    @model_validator(mode="after")
    def _exporters_write_apart(self) -> Plan:
        own = [exporter.spec("exporter").create().folder for exporter in self.exporters]
        folders = Counter(["final", *(f"handoff/{task.name}" for task in self.tasks), *own])
        raise_faults([f"two exporters write {folder}/" for folder, count in folders.items() if count > 1])
        return self

    @model_validator(mode="after")
    def _source_reads(self) -> Plan:
        raise_faults(self.source_spec().faults())
        return self

    @model_validator(mode="after")
    def _priced(self) -> Plan:
        if self.budget.max_cost is not None:
            raise_faults(
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
        name = self.source.name or source_of(self.input)
        known = {"num_files": self.num_files, "files_per_partition": self.files_per_partition}
        return spec_of(name, self.input, known, self.source.arguments)
