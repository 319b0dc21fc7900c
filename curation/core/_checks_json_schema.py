"""The part of JSON Schema that the shape of a text needs, without a package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_SIZES: Final = {
    "str": ("minLength", "maxLength"),
    "list": ("minItems", "maxItems"),
    "dict": ("minProperties", "maxProperties"),
}
_BOUNDS: Final = ("minimum", "maximum")
_KNOWN: Final = (
    *("type", "enum", "const", "properties", "required", "additionalProperties", "items"),
    *chain(*_SIZES.values()),
    *_BOUNDS,
)


def schema_faults(schema: Any, where: str = "schema") -> list[str]:
    """What is wrong with a schema, one line each; a keyword that is not known here is a fault, never ignored."""
    if isinstance(schema, bool):
        return []
    if not isinstance(schema, Mapping):
        return [f"{where} is an object, not {schema!r}"]
    faults = [f"{where} has '{key}'; known are {', '.join(_KNOWN)}" for key in schema if key not in _KNOWN]
    faults += [
        f"{where}: {key} {what}" for key, (holds, what) in _FORMS.items() if key in schema and not holds(schema[key])
    ]
    if faults:
        return faults
    for name, part in schema.get("properties", {}).items():
        faults += schema_faults(part, f"{where}.{name}")
    for key in ("items", "additionalProperties"):
        faults += schema_faults(schema[key], f"{where}.{key}") if key in schema else []
    return faults


def misfit(value: Any, schema: Any, place: str = "$") -> str:
    """The first place at which a JSON value is not what a sound schema describes, and how; empty where it conforms."""
    if isinstance(schema, bool):
        return "" if schema else f"{place} may not be there"
    if wrong := _own_misfit(value, schema):
        return f"{place} {wrong}"
    found = (misfit(part, inner, f"{place}{key}") for key, part, inner in _parts(value, schema))
    return next(filter(None, found), "")


def equal(one: Any, other: Any) -> bool:
    """As JSON sees it: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _own_misfit(value: Any, schema: Mapping[str, Any]) -> str:
    """What is wrong with a value itself, its parts aside."""
    types = _listed(schema.get("type", ()))
    if types and not any(_TYPES[name](value) for name in types):
        return f"is not of type {' or '.join(types)}"
    if "enum" in schema and not any(equal(value, one) for one in schema["enum"]):
        return "is none of the values of enum"
    if "const" in schema and not equal(value, schema["const"]):
        return "is not the value of const"
    missing = [name for name in schema.get("required", ()) if isinstance(value, dict) and name not in value]
    return f"has no '{missing[0]}'" if missing else _size_misfit(value, schema)


def _size_misfit(value: Any, schema: Mapping[str, Any]) -> str:
    least, most = _BOUNDS if _is_number(value) else _SIZES.get(type(value).__name__, ("", ""))
    if least not in schema and most not in schema:
        return ""
    size = value if _is_number(value) else len(value)
    if size < schema.get(least, size):
        return f"is below {least} {schema[least]}"
    return f"is above {most} {schema[most]}" if size > schema.get(most, size) else ""


def _parts(value: Any, schema: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What a list or an object holds: where, the part, and its schema."""
    if isinstance(value, list):
        yield from ((f"[{index}]", item, schema.get("items", True)) for index, item in enumerate(value))
    elif isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        yield from ((f".{name}", part, known.get(name, others)) for name, part in value.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(types: Any) -> Sequence[Any]:
    return types if isinstance(types, list | tuple) else [types]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


_FORMS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "type": (lambda value: all(name in _TYPES for name in _listed(value)), f"is one of {', '.join(_TYPES)}, or a list"),
    "enum": (lambda value: _is_list(value) and len(value) > 0, "is a list of values"),
    "properties": (lambda value: isinstance(value, Mapping), "is an object of schemas"),
    "required": (lambda value: _is_list(value) and all(isinstance(name, str) for name in value), "is a list of names"),
    **dict.fromkeys(
        chain(*_SIZES.values()), (lambda value: type(value) is int and value >= 0, "is a whole number from 0 on")
    ),
    **dict.fromkeys(_BOUNDS, (_is_number, "is a number")),
}
