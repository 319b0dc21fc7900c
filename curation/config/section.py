"""A part of the plan, a component in it, and how their faults are told."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from curation.core import registry


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


def raise_faults(faults: list[str]) -> None:
    """Raises a ValueError with a line for each fault, where there is any."""
    if faults:
        raise ValueError("\n".join(faults))
