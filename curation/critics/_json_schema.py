"""The part of JSON Schema that the shape of a text needs, without a package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


def conforms(value: Any, schema: Any) -> bool:
    """Whether a JSON value is what a sound schema describes."""
    if isinstance(schema, bool):
        return schema
    return (
        ("type" not in schema or any(_TYPES[name](value) for name in _listed(schema["type"])))
        and ("enum" not in schema or any(_equal(value, one) for one in schema["enum"]))
        and ("const" not in schema or _equal(value, schema["const"]))
        and _is_of_size(value, schema)
        and (not isinstance(value, list) or all(conforms(item, schema.get("items", True)) for item in value))
        and (not isinstance(value, dict) or _object_conforms(value, schema))
    )


def _object_conforms(value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    return set(schema.get("required", ())) <= set(value) and all(
        conforms(part, known.get(name, others)) for name, part in value.items()
    )


def _is_of_size(value: Any, schema: Mapping[str, Any]) -> bool:
    if _is_number(value):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    least, most = _SIZES.get(type(value).__name__, ("", ""))
    return not least or bool(schema.get(least, 0) <= len(value) <= schema.get(most, len(value)))


def _equal(one: Any, other: Any) -> bool:
    """As JSON sees it: true is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


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
