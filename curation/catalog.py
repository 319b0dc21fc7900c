"""What there is to put into a plan: `python -m curation.main --list`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Final

from curation.config import Plan
from curation.core import registry
from curation.core.errors import MissingPackageError, PlanError

_WIDTH: Final = 100


def catalog(wanted: Sequence[str] = (), plan: Plan | None = None) -> str:
    """Every component with its arguments, their defaults, and one line about it, shelf by shelf.

    Args:
        wanted: kinds (`filter`, or `filters`), names of components, or dotted paths; none: all that is on the shelves.
        plan: what it names by dotted paths is listed too.

    Raises:
        PlanError: something wanted is not there, with the nearest spelling.
    """
    found = {kind: registry.names(kind) for kind in registry.SHELVES}
    for spec in _specs_of(plan) if plan else ():
        if spec.name not in found[spec.kind]:
            found[spec.kind].append(spec.name)
    if wanted:
        chosen = [(kind, name) for word in wanted for kind, name in _meant(word, found)]
        found = {kind: [name for one, name in chosen if one == kind] for kind in found}
    shelves = [
        "\n".join([f"{kind}s", *(_entry(kind, name) for name in names)]) for kind, names in found.items() if names
    ]
    return "\n\n".join(shelves)


def _specs_of(plan: Plan) -> Iterable[registry.Spec]:
    yield plan.source_spec()
    yield from (step.spec() for step in plan.clean if step.rules is None)
    yield plan.generation.generator.spec("generator")
    yield from (critic.spec("critic") for critic in plan.generation.panel)
    yield from (exporter.spec("exporter") for exporter in plan.exporters)


def _meant(word: str, found: dict[str, list[str]]) -> list[tuple[str, str]]:
    kind = word.removesuffix("s").lower()
    if kind in found:
        return [(kind, name) for name in found[kind]]
    named = [(kind, word) for kind, names in found.items() if word in names]
    if named:
        return named
    if "." in word:
        return [(_kind_of(word), word)]
    known = [*(f"{kind}s" for kind in found), *(name for names in found.values() for name in names)]
    raise PlanError([f"--list: there is no kind and no component called '{word}'.{registry.nearest(word, known)}"])


def _kind_of(path: str) -> str:
    """What a class at a dotted path is: what has the method that its kind needs."""
    faults: list[str] = []
    for kind in registry.SHELVES:
        try:
            registry.find(kind, path)
        except PlanError as error:
            faults = error.faults
        else:
            return kind
    if " lacks" not in faults[0]:
        raise PlanError(faults)
    raise PlanError([f"--list: {path} is no component: it has none of {', '.join(registry.METHODS.values())}"])


def _entry(kind: str, name: str) -> str:
    try:
        component = registry.find(kind, name)
    except MissingPackageError as error:
        return f"  {name}\n      {error}"
    arguments = [_argument(parameter) for parameter in inspect.signature(component).parameters.values()]
    about = (inspect.getdoc(component) or "").strip().partition("\n\n")[0].replace("\n", " ")
    line = f"  {name}({', '.join(arguments)})"
    if len(line) > _WIDTH:
        line = f"  {name}(\n        " + ",\n        ".join(arguments) + ")"
    return f"{line}\n      {about}" if about else line


def _argument(parameter: inspect.Parameter) -> str:
    kind = parameter.annotation
    if kind is not parameter.empty and not isinstance(kind, str):
        kind = inspect.formatannotation(kind)
    text = parameter.name if kind is parameter.empty else f"{parameter.name}: {kind}"
    return text if parameter.default is parameter.empty else f"{text} = {parameter.default!r}"
