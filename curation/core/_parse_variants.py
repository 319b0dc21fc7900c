"""Reads variants of a record: objects with the same fields, tagged texts, or labelled sections."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from curation.core._parse_json import meant_values
from curation.core._parse_text import announces_other, fences, outer_fence, spoken
from curation.core.errors import ReplyError

_OTHER_KEY: Final = re.compile(
    r"(?:the[ _-])?(?:original|source|input|parent|draft)"
    r"(?:[ _-](?:record|text|version|entry|data|json|object|variants?))?",
    re.IGNORECASE,
)
_HOLDER_KEY: Final = re.compile(r"(?:\w+_)?(?:variants|variations|versions|rewrites|paraphrases)", re.IGNORECASE)
_KIND_KEYS: Final = {"type", "kind", "label", "role", "id", "name", "variant", "version", "status"}
_PLACEHOLDERS: Final = {"…", "..."}

_HEADING: Final = re.compile(
    r"(?:variant|version|record|variation|option|example)[ \t]*[#(]?\d{1,3}|\d{1,3}[.)]", re.IGNORECASE
)
_SUBHEADING: Final = re.compile(r"#{2,6} ")  # one sign alone may be a comment in the code of an answer
_OF_VARIANTS: Final = re.compile(
    r"\W*(?:(?:please )?let me know|i hope|feel free|would you like|i can also)\b.*"
    r"\b(?:variants?|variations?|rewrit\w+|paraphras\w+)\b",
    re.IGNORECASE,
)
_BLOCK_SCALARS: Final = {"|", ">", "|-", ">-", "|+", ">+"}
_QUOTED: Final = re.compile(r"""(["'“]).*["'”],?""", re.DOTALL)


class _Section(NamedTuple):
    """The text of one field, and where its tag or label begins."""

    name: str
    content: str
    start: int


def read_variants(text: str, fields: Sequence[str], count: int) -> list[dict[str, str]]:
    """Up to `count` different variants, each with a non-blank text for every one of `fields` (in lower case).

    Read are JSON (`{"variants": […]}`, a list, objects one after another, `{"title_1": …, "title_2": …}`; of JSON
    that is cut, the complete objects), tags (`<title>…</title>`), and labelled sections (`Title: …`, also bold,
    numbered or as headings). Tags and labels must follow the order of `fields` through the whole reply: a text that
    itself holds such a label is not cut apart on a guess. Labels within the code blocks of a text don't count.

    Not a variant is what the reply calls the original, the source or a draft; what precedes an object that is called
    the final, corrected or revised one; the form of the prompt, with dots for texts; and a copy of an earlier one
    (compared without case and spacing). An object that has the fields beside a list of variants is the original.

    Raises:
        ReplyError: `unreadable_reply` where there is no variant.
    """
    said = spoken(text)
    found = [variant for item in meant_values(text) for variant in _variants_in(item.value, fields)]
    found = _distinct(found or _tagged(said, fields) or _labelled(said, fields))
    if not found:
        raise ReplyError("unreadable_reply", text)
    return found[:count]


def _distinct(variants: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    """The first of each, without forms whose texts are dots."""
    firsts: dict[tuple[str, ...], dict[str, str]] = {}
    for variant in variants:
        if not _PLACEHOLDERS.issuperset(variant.values()):
            firsts.setdefault(tuple(" ".join(text.split()).casefold() for text in variant.values()), variant)
    return list(firsts.values())


def _variants_in(value: Any, fields: Sequence[str]) -> Iterator[dict[str, str]]:
    """The objects, at any depth, that have all fields."""
    key_form = re.compile(
        rf"(?P<prefix>(?:new|rewritten|paraphrased)[ _-])?(?P<name>{_any_of(fields)})[ _-]?(?P<number>\d{{0,3}})",
        re.IGNORECASE,
    )
    waiting = [value]  # not by recursion: JSON may be nested as deeply as the interpreter's stack allows
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(reversed(value))
        elif isinstance(value, dict) and not _is_labelled_other(value):
            holders = [
                item for key, item in value.items() if _HOLDER_KEY.fullmatch(key) and isinstance(item, dict | list)
            ]
            own = [] if holders else _own_variants(value, key_form, fields)
            yield from own
            if not own:
                waiting.extend(item for key, item in reversed(value.items()) if not _OTHER_KEY.fullmatch(key.strip()))


def _own_variants(value: dict[str, Any], key_form: re.Pattern[str], fields: Sequence[str]) -> list[dict[str, str]]:
    """The variants whose texts are in the object itself: one, or one for each number that its keys end with.

    Beside `new_title` and so on, plain `title` is the original's.
    """
    groups: dict[tuple[bool, str], dict[str, str]] = {}
    for key, text in value.items():
        form = key_form.fullmatch(key.strip())
        if form and isinstance(text, str) and text.strip():
            group = groups.setdefault((form["prefix"] is not None, form["number"]), {})
            group.setdefault(form["name"].lower(), text.strip())
    whole = {key: {name: group[name] for name in fields} for key, group in groups.items() if len(group) == len(fields)}
    are_new = any(is_new for is_new, _ in whole)
    return [variant for (is_new, _), variant in whole.items() if is_new == are_new]


def _is_labelled_other(value: dict[str, Any]) -> bool:
    """Whether an object says of itself that it is no variant: `{"type": "original", …}`, `{"original": true, …}`."""
    return any(
        (item is True and _OTHER_KEY.fullmatch(key))
        or (isinstance(item, str) and key.lower() in _KIND_KEYS and _OTHER_KEY.fullmatch(item.strip()))
        for key, item in value.items()
    )


def _any_of(fields: Sequence[str]) -> str:
    return "|".join(map(re.escape, fields))


def _tagged(text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Variants from tags; none where a text holds its own field's tag, so that its end can't be told."""
    sections: list[_Section] = []
    opening: re.Match[str] | None = None
    for tag in re.finditer(rf"<(?P<closing>/?)(?P<name>{_any_of(fields)})>", text, re.IGNORECASE):
        if opening is None and not tag["closing"]:
            opening = tag
        elif opening is None or (tag["name"].lower() == opening["name"].lower() and not tag["closing"]):
            return []
        elif tag["name"].lower() == opening["name"].lower():
            content = text[opening.end() : tag.start()].strip()
            sections.append(_Section(tag["name"].lower(), content, opening.start()))
            opening = None
    return _in_order(sections, text, fields)


def _labelled(text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Variants from labels: outside of code blocks, or all of them in one block, or each in a block of its own."""
    labels = _labels(text, fields)
    if not labels:
        return []
    outer = outer_fence(text)
    if outer and outer.start < labels[0].start() and labels[-1].end() <= outer.inner_end:
        return _from_labels(text[outer.inner : outer.inner_end], fields)
    found = _from_labels(text, fields)
    blocks = [] if found else fences(text)
    for block in blocks:
        inside = text[block.inner : block.inner_end]
        if _labels(inside, fields) and not announces_other(text, block.start):
            found += _from_labels(inside, fields)
    return found


def _labels(text: str, fields: Sequence[str]) -> list[re.Match[str]]:
    pattern = re.compile(
        rf"^[ \t>#\d.)-]*(?P<bold>\*\*|__)?(?:(?:new|rewritten|paraphrased)[ ])?(?P<name>{_any_of(fields)})"
        r"(?:[ ]?\#?\d+)?(?:(?P=bold))?[ \t]*:(?(bold)(?P<closed>\*\*|__)?)",
        re.MULTILINE | re.IGNORECASE,
    )
    return list(pattern.finditer(text))


def _from_labels(text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Variants from the labels outside of code blocks, unless the text is code that only looks like labels."""
    blocks = fences(text)
    starts = [block.start for block in blocks]
    labels = []
    for label in _labels(text, fields):
        before = bisect_right(starts, label.start())
        if not before or blocks[before - 1].end <= label.start():
            labels.append(label)
    ends = [*(label.start() for label in labels[1:]), len(text)]
    sections = [
        _Section(label["name"].lower(), _section(text, label, end), label.start())
        for label, end in zip(labels, ends, strict=False)
    ]
    return [] if _is_code(text, sections) else _in_order(sections, text, fields)


def _is_code(text: str, sections: Sequence[_Section]) -> bool:
    """Whether the labels are keys of YAML or of a program's object, whose quotes and escapes are not ours to undo."""
    if not sections:
        return False
    return (
        text[: sections[0].start].rstrip().endswith("{")
        or any(section.content.partition("\n")[0].strip() in _BLOCK_SCALARS for section in sections)
        or all(_QUOTED.fullmatch(section.content) for section in sections)
    )


def _section(text: str, label: re.Match[str], end: int) -> str:
    """The text from a label to the next, without the heading of the variant that follows, or the closing words."""
    lines = text[label.end() : end].rstrip().split("\n")
    while end < len(text) and len(lines) > 1 and _is_heading(lines[-1].strip()):
        lines.pop()
    while end == len(text) and len(lines) > 1 and (_OF_VARIANTS.match(lines[-1]) or not lines[-1].strip("-*_ \t\r")):
        lines.pop()
    section = "\n".join(lines).strip()
    bold = label["bold"]
    if bold and label[0].count(bold) == 1:  # the whole line is bold: **Title: How to …**
        first, newline, rest = section.partition("\n")
        section = first.rstrip().removesuffix(bold).rstrip() + newline + rest
    return section


def _is_heading(line: str) -> bool:
    """Whether a line only stands between two variants: `### Variant 2:`, `2.`, `---`, nothing."""
    if not line.strip("-*_=#") or _SUBHEADING.match(line):
        return True
    return _HEADING.fullmatch(line.strip("#>*_=- :")) is not None


def _in_order(sections: Sequence[_Section], text: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """Sections as variants, or nothing where they don't repeat `fields` in order, all of them filled."""
    size = len(fields)
    names = [section.name for section in sections]
    if not sections or names != list(fields) * (len(names) // size) or not all(section.content for section in sections):
        return []
    groups = (sections[start : start + size] for start in range(0, len(sections), size))
    return [
        {section.name: section.content for section in group}
        for group in groups
        if not announces_other(text, group[0].start)
    ]
