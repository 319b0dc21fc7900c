"""From a file, flags and overrides to a plan, and back to YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError

from curation.config.plan import Plan
from curation.config.section import Section
from curation.core import registry
from curation.core.errors import PlanError

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
