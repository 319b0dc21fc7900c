"""Finds components by name: a file on a shelf (`word_salad` is `curation/filters/word_salad.py`), or a dotted path.

There is no list to edit. The class of a file has the file's name in CamelCase, with any capitals.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from curation.core.errors import MissingPackageError, PlanError
from curation.core.records import digest

SHELVES = {
    "source": "curation.sources",
    "modifier": "curation.modifiers",
    "filter": "curation.filters",
    "deduper": "curation.dedupers",
    "model": "curation.models",
    "generator": "curation.generators",
    "critic": "curation.critics",
    "exporter": "curation.exporters",
}
METHODS = {
    "source": "read",
    "modifier": "modify_document",
    "filter": "score_document",
    "deduper": "find",
    "model": "chat",
    "generator": "expand",
    "critic": "judge",
    "exporter": "write",
}


@dataclass(frozen=True)
class Spec:
    """A component as a plan names it.

    Args:
        kind: a key of `SHELVES`.
        name: a file's name on the shelf, or a dotted path to a class.
        arguments: keyword arguments of its `__init__`.
    """

    kind: str
    name: str
    arguments: Mapping[str, Any]

    def faults(self) -> list[str]:
        """What is wrong with the name or the arguments, one line each; imports the component's module."""
        try:
            component = find(self.kind, self.name)
        except (PlanError, MissingPackageError) as error:
            return error.faults if isinstance(error, PlanError) else [str(error)]
        return _argument_faults(self, component)

    def create(self) -> Any:
        """The component.

        Raises:
            PlanError: the name or an argument is wrong.
        """
        faults = self.faults()
        if faults:
            raise PlanError(faults)
        try:
            return find(self.kind, self.name)(**self.arguments)
        except (TypeError, ValueError) as error:
            raise PlanError([f"{self.kind} '{self.name}': {error}"]) from error

    def code_version(self) -> str:
        """A hash of the component's source, so that a changed component is run again.

        What the files of a shelf share counts for each of them; of another package its version counts.
        """
        module = inspect.getmodule(find(self.kind, self.name))
        assert module is not None
        if self.name in names(self.kind):
            return digest(inspect.getsource(module), *(file.read_bytes() for file in _files(self.kind, shared=True)))
        package = importlib.import_module(module.__name__.partition(".")[0])
        return digest(inspect.getsource(module), getattr(package, "__version__", ""))


def names(kind: str) -> list[str]:
    """The components on a shelf: its files that don't begin with `_`. Imports none of them."""
    return [file.stem for file in _files(kind, shared=False)]


def nearest(word: str, choices: list[str]) -> str:
    """` Did you mean 'x'?` for the nearest spelling, or nothing where none is near."""
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def find(kind: str, name: str) -> type[Any]:
    """The class that `name` stands for.

    Raises:
        PlanError: there is none, with the nearest name.
        MissingPackageError: its module needs a package that is not installed.
    """
    on_shelf = names(kind)
    if name in on_shelf:
        return _class_of(f"{SHELVES[kind]}.{name}", name)
    if "." not in name:
        known = ", ".join(on_shelf)
        raise PlanError([f"no {kind} is called '{name}'.{nearest(name, on_shelf)} There are: {known}"])
    module_name, _, class_name = name.rpartition(".")
    module = _import(module_name, name, kind)
    component = getattr(module, class_name, None)
    if not inspect.isclass(component):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise PlanError([f"{kind} '{name}': {module_name} has no class {class_name}.{nearest(class_name, classes)}"])
    if not callable(getattr(component, METHODS[kind], None)):
        raise PlanError([f"{kind} '{name}': a {kind} needs a method {METHODS[kind]}, which {class_name} lacks"])
    return component


def _files(kind: str, shared: bool) -> list[Path]:
    """The files on a shelf: its components, or what they share."""
    spec = find_spec(SHELVES[kind])
    folders = (spec.submodule_search_locations if spec else None) or ()
    files = [file for folder in folders for file in Path(folder).glob("*.py")]
    return sorted((file for file in files if file.stem.startswith("_") == shared), key=lambda file: file.stem)


def parameters(kind: str, name: str) -> list[str]:
    """The names of the arguments that a component takes.

    Raises:
        PlanError: there is no such component.
    """
    return list(inspect.signature(find(kind, name)).parameters)


def _import(module_name: str, name: str, kind: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise PlanError([f"{kind} '{name}': there is no module {error.name}"]) from error
        raise MissingPackageError(
            f"{kind} '{name}' needs the package {error.name}: install it with pip install {error.name}"
        ) from error


def _class_of(module_name: str, name: str) -> type[Any]:
    module = importlib.import_module(module_name)
    wanted = name.replace("_", "")
    for key, value in vars(module).items():
        if inspect.isclass(value) and key.lower() == wanted and value.__module__ == module_name:
            return value
    camel = "".join(part.capitalize() for part in name.split("_"))
    raise PlanError([f"{module_name} must define a class called {camel} (as its file is called)"])


def _argument_faults(spec: Spec, component: type[Any]) -> list[str]:
    parameters = inspect.signature(component).parameters
    where = f"{spec.kind} '{spec.name}'"
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    known = list(parameters)
    faults = [
        f"{where} has no argument '{key}'.{nearest(key, known)} It takes: {', '.join(known) or 'none'}"
        for key in spec.arguments
        if key not in parameters
    ]
    faults += [
        f"{where} needs the argument '{key}'"
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and key not in spec.arguments
    ]
    return faults
