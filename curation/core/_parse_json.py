"""Finds the JSON in a reply, and what is whole of JSON that is not."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from curation.core._parse_text import announces_final, announces_other, spoken, unwrapped
from curation.core.errors import ReplyError

_MAX_TRIES: Final = 200
"""Brackets at which a JSON value is looked for, so that a reply of nothing but brackets costs little."""

_MAX_REPAIRS: Final = 40
"""Values whose trailing commas are taken off, each at the cost of one pass over the rest of the reply."""

_OPENING: Final = re.compile(r'\{(?=\s*["}])|\[(?=\s*["\[{\]\-\dtfn])')
_OPENING_LINE: Final = re.compile(r"^[ \t]*[{\[]", re.MULTILINE)
_STRING_OR_COMMA: Final = re.compile(r'"(?:\\.|[^"\\])*+(?:"|\\?\Z)|,(?=\s*[}\]])', re.DOTALL)
_STRING_OR_BRACKET: Final = re.compile(r'"(?:\\.|[^"\\])*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
_TRAILING_COMMA: Final = re.compile(r",\s*[}\]]")
_CUT_STRINGS: Final = re.compile(
    r'\[(?P<whole>(?:\s*"(?:\\.|[^"\\])*+"\s*,)*(?:\s*"(?:\\.|[^"\\])*+"(?=\s*\Z))?)\s*(?:"(?:\\.|[^"\\])*+\\?)?\Z',
    re.DOTALL,
)
_PYTHON_TOKEN: Final = re.compile(
    r"""\s+|[{}\[\]:,]|(?P<word>True|False|None)\b|-?\d[\d.eE+-]*|(?P<single>'(?:\\.|[^'\\])*+')|"(?:\\.|[^"\\])*+\"""",
    re.DOTALL,
)
_IN_SINGLE_QUOTES: Final = re.compile(r"\\.|\"", re.DOTALL)
_ESCAPED_QUOTE: Final = re.compile(r"&quot;|&#0*34;|&#x0*22;", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """A JSON value and where it stands: `text[start:end]`."""

    value: Any
    text: str
    start: int
    end: int


def read_json(text: str) -> Any:
    """The JSON value in a reply, whatever stands around it: thoughts, code fences, chatter, trailing commas.

    The whole reply counts first; then the first object, or list of objects; then the first list.

    Raises:
        ReplyError: `unreadable_reply`; also for NaN and infinities, which are not JSON.
    """
    values = json_values(text)
    rich = (v for v in values if isinstance(v, dict) or (isinstance(v, list) and v and isinstance(v[0], dict)))
    for value in (*rich, *values):
        return value
    raise ReplyError("unreadable_reply", text)


def json_values(text: str) -> list[Any]:
    """All JSON values of a reply in their order: the whole of it, or the objects and lists within it."""
    return [found.value for found in _found(text)]


def meant_values(text: str) -> list[Found]:
    """The JSON values that a reply means as its answer, for readers that know what they look for.

    More is read here than by `json_values`: JSON in a JSON string, JSON all of whose quotes are HTML entities, and a
    Python literal that is the whole reply. Values that the line before them calls the original or a draft are left
    out, and so is what precedes the first that is called final.
    """
    if '"' not in text and _ESCAPED_QUOTE.search(text):
        text = html.unescape(text)
    found = _whole(text) or _python_literal(text) or list(_scan(spoken(text)))
    if len(found) == 1 and isinstance(found[0].value, str):
        found = _found(found[0].value)
    found = [item for item in found if not announces_other(item.text, item.start)]
    final = next((place for place, item in enumerate(found) if announces_final(item.text, item.start)), 0)
    return found[final:]


def whole_strings(text: str) -> list[str]:
    """The complete strings of a list of strings that the end of the reply cuts: `["one", "two", "thr`."""
    said = spoken(text)
    for bracket in islice(_OPENING.finditer(said), _MAX_TRIES):
        if cut := _CUT_STRINGS.match(said, bracket.start()):
            try:
                value, _ = _decode(f"[{cut['whole'].rstrip().removesuffix(',')}]")
            except ValueError:
                return []
            return [str(item) for item in value]
    return []


def ends_within_json(text: str) -> bool:
    """Whether the text ends before the last bracket of a JSON object or list that begins at the start of a line."""
    reached = 0
    for line in _OPENING_LINE.finditer(text):
        start = line.end() - 1
        if start < reached or not _OPENING.match(text, start):
            continue
        depth = 0
        for token in _STRING_OR_BRACKET.finditer(text, start):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                reached = token.end()
                break
        else:
            return True
    return False


def _found(text: str) -> list[Found]:
    return _whole(text) or list(_scan(spoken(text)))


def _whole(text: str) -> list[Found]:
    """The value that the whole reply is: first with its thoughts, as what looks like their tag may be in a text."""
    for whole in (text.strip(), spoken(text)):
        try:
            value, end = _decode(whole)
        except ValueError:
            continue
        if end == len(whole):
            return [Found(value, whole, 0, end)]
    return []


def _decode(text: str, start: int = 0) -> tuple[Any, int]:
    """The JSON value that begins at `start`, and where it ends; raises ValueError."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value, end


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise ValueError(f"{literal} is too large")
    return number


# strict=False: models write line ends into strings as they are.
_DECODER: Final = json.JSONDecoder(strict=False, parse_constant=_refuse_constant, parse_float=_finite)


def _scan(text: str) -> Iterator[Found]:
    """The values at those brackets that no earlier value holds."""
    reached = tries = repairs = 0
    for bracket in _OPENING.finditer(text):
        start = bracket.start()
        if start < reached:
            continue
        tries += 1
        if tries > _MAX_TRIES:
            return
        try:
            value, reached = _decode(text, start)
        except ValueError as error:
            if repairs == _MAX_REPAIRS or not _is_trailing_comma(text, getattr(error, "pos", 0)):
                continue
            repairs += 1
            try:
                value, length = _decode(_blank_trailing_commas(text[start:]))
            except ValueError:
                continue
            reached = start + length
        yield Found(value, text, start, reached)


def _is_trailing_comma(text: str, wrong: int) -> bool:
    """Whether decoding stopped for a comma before a closing bracket; versions of Python name either of the two."""
    comma = wrong if text[wrong : wrong + 1] == "," else len(text[:wrong].rstrip()) - 1
    return comma >= 0 and _TRAILING_COMMA.match(text, comma) is not None


def _blank_trailing_commas(text: str) -> str:
    """The same length, so that positions stay; commas within strings stay too."""
    return _STRING_OR_COMMA.sub(lambda match: " " if match[0] == "," else match[0], text)


def _python_literal(text: str) -> list[Found]:
    """The value of a reply that is nothing but a Python literal of dicts, lists and strings: `{'title': 'It\\'s'}`."""
    literal = unwrapped(spoken(text)).strip()
    if "'" not in literal or literal[:1] not in "{[":
        return []
    parts: list[str] = []
    end = 0
    while end < len(literal) and (token := _PYTHON_TOKEN.match(literal, end)):
        parts.append(_as_json(token))
        end = token.end()
    if end < len(literal):
        return []
    translated = _blank_trailing_commas("".join(parts))
    try:
        value, stop = _decode(translated)
    except ValueError:
        return []
    return [Found(value, translated, 0, stop)] if stop == len(translated) else []


def _as_json(token: re.Match[str]) -> str:
    """A token of Python as JSON writes it; an escape that JSON doesn't know stays, and the decoder refuses it."""
    if token["word"]:
        return {"True": "true", "False": "false", "None": "null"}[token["word"]]
    if token["single"]:
        body = _IN_SINGLE_QUOTES.sub(
            lambda match: {'"': '\\"', "\\'": "'"}.get(match[0], match[0]), token["single"][1:-1]
        )
        return f'"{body}"'
    return token[0]
