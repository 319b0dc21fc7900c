"""Reads what models reply: JSON among chatter, variants in several shapes, attributes and their scores.

Tolerant of form, strict about content: what can't be read is a `ReplyError` that carries the reply's text, never a
guess, and never a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from curation.core.contracts import Completion
from curation.core.errors import ReplyError

REWARD_ATTRIBUTES: Final = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
"""The five attributes of HelpSteer2, which Nemotron-4-340B-Reward scores."""

_MAX_TRIES: Final = 200
"""Brackets at which a JSON value is looked for, so that a reply of nothing but brackets costs little."""

_THINKING: Final = re.compile(r"\A.*?</think(?:ing)?>", re.DOTALL)  # some templates swallow the opening tag
_STRING_OR_COMMA: Final = re.compile(r'"(?:\\.|[^"\\])*"|,(?=\s*[}\]])', re.DOTALL)
_ATTRIBUTE: Final = re.compile(
    r"""[\s*_"'{\[-]*([A-Za-z]\w*)[\s*_"']*[:=][\s*_"']*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)[\s*_"'}\]]*""",
    re.ASCII,
)
_HEADING: Final = re.compile(
    r"(?:variant|version|record|variation|option|example)[ \t]*[#(]?\d{1,3}|\d{1,3}[.)]", re.IGNORECASE
)
_REFUSAL: Final = re.compile(
    r"\A\W*(?:(?:i['’]?m|i am) (?:really |very |so )?sorry\b|sorry,|i apologi[sz]e\b|unfortunately, i (?:can|am)"
    r"|i (?:can ?not|can['’]t|won['’]t|am unable to|['’]?m unable to|must decline|am not able to)\b"
    r"|i['’]m (?:unable|not able) to\b|as an ai\b)",
    re.IGNORECASE,
)


def is_refusal(text: str) -> bool:
    """Whether the reply begins as a model begins that refuses to answer."""
    return _REFUSAL.match(_spoken(text)) is not None


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
    spoken = _spoken(text)
    try:
        value, end = _decode(spoken)
    except ValueError:
        end = -1
    return [value] if end == len(spoken) else list(_scan(spoken))


def _spoken(text: str) -> str:
    """The reply without the thoughts with which a reasoning model begins."""
    return _THINKING.sub("", text).strip()


def _decode(text: str) -> tuple[Any, int]:
    """The JSON value with which the text begins, and where it ends; raises ValueError."""
    try:
        value, end = _DECODER.raw_decode(text)
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


def _scan(text: str) -> Iterator[Any]:
    end = tries = 0
    for bracket in re.finditer(r"[{\[]", text):
        start = bracket.start()
        if start < end:
            continue
        tries += 1
        if tries > _MAX_TRIES:
            return
        rest = text[start:]
        for candidate in (rest, _blank_trailing_commas(rest)):
            try:
                value, length = _decode(candidate)
            except ValueError:
                continue
            end = start + length
            yield value
            break


def _blank_trailing_commas(text: str) -> str:
    """The same length, so that positions stay; commas within strings stay too."""
    return _STRING_OR_COMMA.sub(lambda match: " " if match[0] == "," else match[0], text)


def read_variants(text: str, fields: Sequence[str], count: int) -> list[dict[str, str]]:
    """Up to `count` variants, each with a non-blank text for every one of `fields`.

    Read are JSON (`{"variants": […]}`, a list, objects one after another), tags (`<title>…</title>`), and labelled
    sections (`Title: …`, also bold, numbered or as headings). Tags and labels must follow the order of `fields`
    through the whole reply: a text that itself holds such a label is not cut apart on a guess.

    Raises:
        ReplyError: `unreadable_reply` where there is no variant.
    """
    found = [variant for value in json_values(text) for variant in _variants_in(value, fields)]
    found = found or _tagged(_spoken(text), fields) or _labelled(_spoken(text), fields)
    if not found:
        raise ReplyError("unreadable_reply", text)
    return found[:count]


def _variants_in(value: Any, fields: Sequence[str]) -> Iterator[dict[str, str]]:
    """The objects, at any depth, that have all fields."""
    if isinstance(value, list):
        for item in value:
            yield from _variants_in(item, fields)
    elif isinstance(value, dict):
        lower = {str(key).strip().lower(): item for key, item in value.items()}
        if all(isinstance(lower.get(name), str) and lower[name].strip() for name in fields):
            yield {name: lower[name].strip() for name in fields}
        else:
            yield from _variants_in(list(value.values()), fields)


def _tagged(text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    names = "|".join(map(re.escape, fields))
    pattern = re.compile(rf"<({names})>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
    return _in_order([(match[1].lower(), match[2].strip()) for match in pattern.finditer(text)], fields)


def _labelled(text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    names = "|".join(map(re.escape, fields))
    pattern = re.compile(
        rf"^[ \t>#\d.)-]*(?P<bold>\*\*|__)?(?:(?:new|rewritten|paraphrased)[ ])?(?P<name>{names})(?:[ ]?\#?\d+)?"
        r"(?:(?P=bold))?[ \t]*:(?(bold)(?P<closed>\*\*|__)?)",
        re.MULTILINE | re.IGNORECASE,
    )
    labels = list(pattern.finditer(text))
    ends = [*(label.start() for label in labels[1:]), len(text)]
    sections = [(label["name"].lower(), _section(text, label, end)) for label, end in zip(labels, ends, strict=False)]
    return _in_order(sections, fields)


def _section(text: str, label: re.Match[str], end: int) -> str:
    """The text from a label to the next, without the heading of the variant that follows."""
    lines = text[label.end() : end].rstrip().split("\n")
    while end < len(text) and len(lines) > 1 and _is_heading(lines[-1].strip()):
        lines.pop()
    section = "\n".join(lines).strip()
    bold = label["bold"]
    if bold and label[0].count(bold) == 1:  # the whole line is bold: **Title: How to …**
        first, newline, rest = section.partition("\n")
        section = first.rstrip().removesuffix(bold).rstrip() + newline + rest
    return section


def _is_heading(line: str) -> bool:
    """Whether a line only stands between two variants: `### Variant 2:`, `2.`, `---`, nothing."""
    return not line.strip("-*_=#") or _HEADING.fullmatch(line.strip("#>*_=- :")) is not None


def _in_order(sections: list[tuple[str, str]], fields: Sequence[str]) -> list[dict[str, str]]:
    """Sections as variants, or nothing where they don't repeat `fields` in order, all of them filled."""
    size = len(fields)
    names = [name for name, _ in sections]
    if not sections or names != list(fields) * (len(names) // size) or not all(content for _, content in sections):
        return []
    return [dict(sections[start : start + size]) for start in range(0, len(sections), size)]


def read_attributes(text: str) -> dict[str, float]:
    """The numbers of a reply that is a list of `name:number`, such as `helpfulness:1.6,verbosity:2` or `reward:-3.5`.

    Pairs are separated by commas, semicolons or line ends. Names are in lower case.

    Raises:
        ReplyError: `unreadable_reply` where anything else stands there, a name comes twice, or a number isn't finite.
    """
    scores: dict[str, float] = {}
    for pair in re.split(r"[,;\n]", _spoken(text)):
        match = _ATTRIBUTE.fullmatch(pair)
        if match is None:
            if pair.strip(" \t\r{}[]`"):
                raise ReplyError("unreadable_reply", text)
            continue
        name, number = match[1].lower(), float(match[2])
        if name in scores or not math.isfinite(number):
            raise ReplyError("unreadable_reply", text)
        scores[name] = number
    if not scores:
        raise ReplyError("unreadable_reply", text)
    return scores


def read_scores(completion: Completion) -> dict[str, float]:
    """What a reward model says of a conversation: the five attributes, or `reward` alone.

    Nemotron-4-340B-Reward puts each attribute's name where a token belongs and its score where the token's log
    probability belongs; other forms write both into the text.

    Raises:
        ReplyError: `unreadable_score`: neither is there, or some of the attributes are missing.
    """
    tokens = [(token.strip().lower(), number) for token, number in completion.logprobs or ()]
    scores = dict(tokens)
    if len(scores) != len(tokens) or not _is_complete(scores):
        try:
            scores = read_attributes(completion.text)
        except ReplyError:
            scores = {}
    if not _is_complete(scores):
        raise ReplyError("unreadable_score", completion.text)
    return {name: scores[name] for name in (*REWARD_ATTRIBUTES, "reward") if name in scores}


def _is_complete(scores: dict[str, float]) -> bool:
    named = all(name in scores for name in REWARD_ATTRIBUTES) or (
        "reward" in scores and not any(name in scores for name in REWARD_ATTRIBUTES)
    )
    return named and all(map(math.isfinite, scores.values()))
