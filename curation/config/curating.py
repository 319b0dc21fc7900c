"""What is read, how it is cleaned, deduplicated, kept apart from other sets, and split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from curation.config.section import Component, Section, raise_faults
from curation.core import registry
from curation.core.checks import faults_of
from curation.core.records import TEXT_COLUMNS
from curation.dedupers._curator_keys import CURATOR_KEYS, from_curator

By = Literal["question", "answer", "both", "text"]


class SourcePlan(Component):
    """The source; without a name it follows from the input: `law_stackexchange`, or the kind of file."""

    name: str = ""


class CleanStep(Section):
    """A modifier or a filter, applied to one or more fields in turn; or `validate`, rules by name (`core.checks`).

    Each rule names its own `field`, or several: a column of the record or of its source. A record that does not keep a
    rule leaves with the reason `invalid`, and the rule's name.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    modifier: str | None = None
    filter: str | None = None
    rules: dict[str, Any] | None = Field(None, alias="validate")
    fields: list[str] = []
    arguments: dict[str, Any] = {}

    @field_validator("rules")
    @classmethod
    def _rules_read(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        raise_faults(faults_of(value) if value is not None else [])
        return value

    @model_validator(mode="after")
    def _one_valid_component(self) -> CleanStep:
        if [self.modifier, self.filter, self.rules].count(None) != 2:
            raise ValueError("give one of 'modifier', 'filter' and 'validate'")
        if self.rules is not None:
            if self.fields or self.arguments:
                raise ValueError("'validate' takes neither 'fields' nor 'arguments': each of its rules has a 'field'")
            return self
        raise_faults(self.spec().faults())
        if not self.fields:
            raise ValueError(f"a {self.spec().kind} needs 'fields', the columns that it works on")
        if self.modifier is not None:
            for field in self.fields:
                if field not in TEXT_COLUMNS:
                    hint = registry.nearest(field, list(TEXT_COLUMNS))
                    raise ValueError(f"a modifier changes one of {', '.join(TEXT_COLUMNS)}, not '{field}'.{hint}")
        return self

    def spec(self) -> registry.Spec:
        """The registry's form of a modifier or a filter."""
        if self.modifier is not None:
            return registry.Spec("modifier", self.modifier, self.arguments)
        assert self.filter is not None
        return registry.Spec("filter", self.filter, self.arguments)


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
        if self.at_most is not None and self.engine == "rapids":
            raise ValueError("at_most is what engine 'torch' alone can: leave it out, or the engine")
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
        raise_faults(list(dict.fromkeys(fault for spec in self.source_specs() for fault in spec.faults())))
        if self.input and not (self.exact or self.threshold or self.ngram):
            raise ValueError("with neither 'exact' nor 'threshold' nor 'ngram' nothing is compared")
        return self

    def source_specs(self) -> list[registry.Spec]:
        """The source of each path."""
        return [spec_of(self.source or source_of([path]), [path], {}, self.arguments) for path in self.input]


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


def law_steps() -> list[CleanStep]:
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


def source_of(paths: list[str]) -> str:
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


def spec_of(name: str, paths: list[str], known: Mapping[str, Any], given: Mapping[str, Any]) -> registry.Spec:
    """A source of `paths`, with those `known` arguments that it takes, unless they are `given` otherwise."""
    arguments: dict[str, Any] = {}
    if name in registry.names("source"):
        takes = registry.parameters("source", name)
        arguments = {key: value for key, value in known.items() if key in takes and value is not None}
        if paths:
            arguments["paths" if "paths" in takes else "path"] = list(paths) if "paths" in takes else paths[0]
    return registry.Spec("source", name, {**arguments, **given})
