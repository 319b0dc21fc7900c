"""What is wrong with a `qna.yaml`, and on which line: YAML first, then InstructLab's own schema."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import yaml

from curation.core.errors import MissingPackageError
from curation.core.registry import nearest
from curation.sources._faults import (
    EMPTY_FILE,
    EMPTY_RECORD,
    INVALID_UTF8,
    LONE_SURROGATE,
    MALFORMED,
    MISSING_COLUMN,
    NUL_BYTE,
    WRONG_TYPE,
)
from curation.sources._rows import SURROGATE

PACKAGE: Final = "instructlab-schema"
_KINDS: Final = {
    "array": "a list",
    "object": "a mapping",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a leaf.

    Args:
        leaf: the leaf's path.
        file_name: below the taxonomy's folder.
        line: from 1; 0 where the file as a whole is meant.
        column: from 1; 0 where only the line is known.
        reason: one of `_faults.BAD_INPUT`.
        detail: what is wrong, in words.
    """

    leaf: str
    file_name: str
    line: int
    column: int
    reason: str
    detail: str

    def __str__(self) -> str:
        column = f":{self.column}" if self.column else ""
        return f"{self.file_name}:{self.line}{column}: {self.detail}"


class FaultyLeafError(Exception):
    """A file that can't be used.

    Args:
        faults: (line, column, reason, detail) of each.
    """

    def __init__(self, faults: Sequence[tuple[int, int, str, str]]) -> None:
        self.faults = list(faults)
        super().__init__(self.faults)


@dataclass(frozen=True)
class Parsed:
    """A valid file: its value, and the tree that knows the lines."""

    value: dict[str, Any]
    node: yaml.Node

    def line(self, *path: str | int) -> int:
        """The line, from 1, on which the value at `path` begins."""
        return _line(_at(self.node, path))


def parse(data: bytes, kind: str) -> Parsed:
    """Reads and checks one file.

    Args:
        data: its bytes.
        kind: `knowledge` or `compositional_skills`: the name of a schema.

    Raises:
        FaultyLeafError: with every fault that was found.
        MissingPackageError: the schema's package is not installed.
    """
    node, value = _load(data)
    faults = list(_unfit(node))
    if not isinstance(value, dict):
        faults.append((_line(node), 0, WRONG_TYPE, f"{_kind(value)} where a mapping of keys belongs"))
    else:
        try:
            faults += _check(value, node, kind)
        except RecursionError as error:  # an alias that stands inside its own anchor
            raise FaultyLeafError([(1, 0, MALFORMED, "the YAML holds itself")]) from error
    if faults:
        raise FaultyLeafError(sorted(set(faults)))
    return Parsed(value, node)


def _load(data: bytes) -> tuple[yaml.Node, Any]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FaultyLeafError([(line, 0, INVALID_UTF8, f"byte {data[error.start]:#04x} is not UTF-8")]) from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            raise FaultyLeafError([(0, 0, EMPTY_FILE, "the file is empty")])
        return node, loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        detail = f"the character U+{ord(text[error.position]):04X} may not stand in YAML"
        raise FaultyLeafError([(line, 0, MALFORMED, detail)]) from error
    except yaml.MarkedYAMLError as error:
        raise FaultyLeafError([_marked(error)]) from error
    except (RecursionError, ValueError) as error:  # a date such as 2024-13-45 is a ValueError
        raise FaultyLeafError([(1, 0, MALFORMED, f"the YAML can't be read: {error}")]) from error


def _marked(error: yaml.MarkedYAMLError) -> tuple[int, int, str, str]:
    mark = error.problem_mark or error.context_mark
    context = f" ({error.context})" if error.context else ""
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 0)
    return line, column, MALFORMED, f"the YAML can't be read: {error.problem}{context}"


def _unfit(node: yaml.Node) -> Iterator[tuple[int, int, str, str]]:
    """What YAML readers let pass in silence. Each node is visited once, whatever its aliases."""
    waiting, seen = [node], set[int]()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, yaml.MappingNode):
            waiting += [part for pair in current.value for part in pair]
            yield from _repeated(current)
        elif isinstance(current, yaml.SequenceNode):
            waiting += current.value
        elif "\0" in current.value:
            yield _line(current), 0, NUL_BYTE, "a text has a NUL character"
        elif SURROGATE.search(current.value):
            yield _line(current), 0, LONE_SURROGATE, "a text has half of a surrogate pair"


def _repeated(node: yaml.MappingNode) -> Iterator[tuple[int, int, str, str]]:
    """Of equal keys, readers keep the last."""
    names = set[str]()
    for key, _ in node.value:
        name = str(key.value)
        if name in names:
            yield _line(key), 0, MALFORMED, f"the key '{name}' stands twice in one mapping"
        names.add(name)


def _check(value: dict[str, Any], node: yaml.Node, kind: str) -> Iterator[tuple[int, int, str, str]]:
    version = value.get("version", 1)
    versions = _versions()
    if not isinstance(version, int) or isinstance(version, bool):
        yield _line(_at(node, ["version"])), 0, WRONG_TYPE, f"'version' is {_kind(version)}, not a whole number"
        return
    if version not in versions:
        known = ", ".join(map(str, versions))
        yield _line(_at(node, ["version"])), 0, WRONG_TYPE, f"version {version} is not known; there are: {known}"
        return
    schema, validator = _validator(version, kind)
    if schema.get("deprecated"):
        yield _line(_at(node, ["version"])), 0, WRONG_TYPE, str(schema.get("description") or f"version {version}")
        return
    for error in validator.iter_errors(value):
        yield from _explained(error, node)


def _explained(error: Any, node: yaml.Node) -> Iterator[tuple[int, int, str, str]]:
    """The validator's error in words, each with the line of what it is about."""
    path = list(error.absolute_path)
    where, line, item = _where(path), _line(_at(node, path)), error.instance
    match error.validator:
        case "required" | "unevaluatedProperties":
            yield from _keys(error, path, _at(node, path))
        case "minItems":
            detail = f"{where} has {len(item)} of at least {error.validator_value} that are needed"
            yield line, 0, MISSING_COLUMN, detail
        case "uniqueItems":
            first, again = _equal(item)
            detail = f"{where} has the same item twice: number {first + 1} and number {again + 1}"
            yield _line(_at(node, [*path, again])), 0, WRONG_TYPE, detail
        case "type":
            wanted = _KINDS.get(error.validator_value, str(error.validator_value))
            yield line, 0, WRONG_TYPE, f"{where} is {_kind(item)} where {wanted} belongs"
        case "minLength":
            yield line, 0, EMPTY_RECORD, f"{where} is empty"
        case _:
            yield line, 0, WRONG_TYPE, f"{where}: {error.message[-200:]}"


def _keys(error: Any, path: Sequence[str | int], node: yaml.Node) -> Iterator[tuple[int, int, str, str]]:
    """Keys that are missing from a mapping, or that it may not have."""
    where, item = _where(path), error.instance
    if error.validator == "required":
        there = ", ".join(map(str, item)) or "none"
        for name in error.validator_value:
            if name not in item:
                yield _line(node), 0, MISSING_COLUMN, f"{where} has no '{name}'; there are: {there}"
        return
    known = sorted({*error.schema.get("properties", {}), *([] if path else ["version"])})
    for name in item:
        if name not in known:
            detail = f"{where} may not have '{name}'.{nearest(str(name), known)} It takes: {', '.join(known)}"
            yield _line(_key(node, name)), 0, WRONG_TYPE, detail


def _equal(items: Sequence[Any]) -> tuple[int, int]:
    """The first two places with equal values."""
    again = next(place for place, item in enumerate(items) if item in items[:place])
    return items.index(items[again]), again


def _where(path: Sequence[str | int]) -> str:
    """`seed_examples[3].question`, counted from 1 as people count."""
    text = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path)
    return f"'{text.lstrip('.')}'" if path else "the file"


def _kind(value: object) -> str:
    for kind, name in ((bool, "boolean"), (int | float, "number"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return _KINDS[name]
    return _KINDS["null"] if value is None else f"a {type(value).__name__}"


def _at(node: yaml.Node, path: Sequence[str | int]) -> yaml.Node:
    """The node at `path`, or the last one on the way that there is."""
    for part in path:
        found: yaml.Node | None = None
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = node.value[part]
        elif isinstance(node, yaml.MappingNode):
            found = next((item for key, item in node.value if key.value == part), None)
        if found is None:
            return node
        node = found
    return node


def _key(node: yaml.Node, name: object) -> yaml.Node:
    """The node of a mapping's key."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((key for key, _ in pairs if key.value == str(name)), node)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def require() -> None:
    """Raises MissingPackageError unless InstructLab's schema is installed."""
    for module in ("instructlab.schema", "jsonschema", "referencing"):
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"source 'taxonomy' needs the package {PACKAGE}: install it with pip install 'curation[taxonomy]'"
            ) from error


@functools.cache
def _versions() -> tuple[int, ...]:
    require()
    from instructlab.schema import schema_versions

    return tuple(int(folder.name[1:]) for folder in schema_versions())


@functools.cache
def _validator(version: int, kind: str) -> tuple[dict[str, Any], Any]:
    """A schema of the package, and its validator; what it refers to lies beside it."""
    from instructlab.schema import schema_base
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    folder = schema_base().joinpath(f"v{version}")

    def retrieve(address: str) -> Resource[Any]:
        return DRAFT202012.create_resource(orjson.loads(folder.joinpath(address).read_bytes()))

    schema: dict[str, Any] = orjson.loads(folder.joinpath(f"{kind}.json").read_bytes())
    jsonschema = importlib.import_module("jsonschema")
    registry: Registry[Any] = Registry(retrieve=retrieve)  # type: ignore[call-arg]  # attrs, which mypy can't see through
    return schema, jsonschema.Draft202012Validator(schema, registry=registry)
