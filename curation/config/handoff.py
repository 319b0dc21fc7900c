"""The tasks that records become examples of, and what their examples must fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from curation.config.section import Section, raise_faults
from curation.core import registry
from curation.exporters._forms import BUILT_IN, Template
from curation.exporters._tokens import Tokens
from curation.exporters.handoff import INSTRUCT


class TaskPlan(Section):
    """What is asked of which texts of a record, and which text answers it.

    `title` and `qa` need no more than their name; what they say can be replaced. A record has to have `output`, and
    of `input` the question, or where that isn't asked with, any text.
    """

    name: str
    prompt: str
    input: list[str]
    output: str

    @model_validator(mode="before")
    @classmethod
    def _known_by_name(cls, value: Any) -> Any:
        values = {"name": value} if isinstance(value, str) else value
        if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
            return values
        name = values["name"]
        if name in BUILT_IN:
            return {**asdict(BUILT_IN[name]), **values}
        if set(values) == {"name"}:
            hint = registry.nearest(name, list(BUILT_IN))
            known = ", ".join(BUILT_IN)
            raise ValueError(
                f"there is no task '{name}'.{hint} There are: {known}; one of your own needs prompt, input and output"
            )
        return values

    @model_validator(mode="after")
    def _can_be_asked(self) -> TaskPlan:
        raise_faults(Template(self.name, self.prompt, tuple(self.input), self.output).faults())
        return self


class HandoffPlan(Section):
    """What an example must fit to be trained on.

    `tokenizer` is a folder; with it, a record whose example has more than `max_tokens` tokens in one of its forms goes
    to the ledger instead. `model` is the one that the recipes expect, by its name on the hub.
    """

    tokenizer: str | None = None
    max_tokens: int = Field(2048, ge=1)
    model: str = INSTRUCT

    @field_validator("tokenizer")
    @classmethod
    def _tokenizer_counts(cls, value: str | None) -> str | None:
        if value is not None:
            Tokens(Path(value))  # what is wrong with it shows now, not at the end of the run
        return value
