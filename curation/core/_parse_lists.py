"""Reads the items of a list reply, whether it is JSON or lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from curation.core._parse_json import Found, meant_values, whole_strings
from curation.core._parse_lines import NUMBER, Item, after_marker, bare, item_of, read_line, written_items
from curation.core._parse_text import declines, is_refusal, spoken, without_thoughts
from curation.core.errors import ReplyError

_DESCRIPTIONS: Final = {"description", "explanation", "summary", "details", "detail", "focus", "reason", "rationale"}
_COUNTERS: Final = {"id", "no", "nr", "number", "index", "#"}
_ITEM_KEYS: Final = {"question", "topic", "subtopic", "instruction", "prompt", "task", "item", "text", "title", "name"}
_BEFORE_JSON: Final = re.compile(r"[\s\[{,]*|.*:\s*", re.DOTALL)
_AFTER_JSON: Final = re.compile(r"[\s\]},;.`]*|\s*,\s*[\[{\"].*", re.DOTALL)  # the second: a next one, which is cut
_AFTER_BLANK: Final = re.compile(r"(?:\A|\n[ \t\r]*\n)(?:`{3,}\w*[ \t\r]*\n)?\s*\Z")


def read_list(text: str, count: int | None = None, *, titles_only: bool = False) -> list[str]:
    """The items of a list reply, at most `count`, in their order and without repetitions.

    Read are JSON (a list of texts, or of objects with one text each; an object that holds one such list; of a list
    that is cut, the complete items), and lists of lines, also in a code fence: numbered (`1.`, `(1)`, `**1.**`,
    `Question 1:`), lettered or roman where they count up from the first, bulleted, bold titles, and plain lines after
    a line that ends with a colon. Numbers may skip and restart. What is nested in an item belongs to its text, and so
    do the lines up to the next item; chatter before and after the list does not. Numbers outrank bullets of the same
    indentation.

    An item is its whole text without list markers, bold type and the quotes around it; code stays as it is. Items are
    the same that differ in case, spacing or final punctuation alone. Fewer than `count` are no error.

    Args:
        text: the reply.
        count: the most items to return; all of them without it.
        titles_only: of each item its title: what is bold at its beginning, or stands before a colon or a spaced dash.

    Raises:
        ReplyError: `refusal` where the reply declines, `unreadable_reply` where it holds no list.
    """
    items = _json_items(text)
    if items is None:
        items = written_items(without_thoughts(text))
    found = _distinct(item.title if titles_only else item.text for item in items)
    if len(found) == 1 and is_refusal(found[0]):
        raise ReplyError("refusal", text)
    if not found:
        raise ReplyError("refusal" if is_refusal(text) else "unreadable_reply", text)
    return found[:count]


def _distinct(texts: Iterable[str]) -> list[str]:
    firsts: dict[str, str] = {}
    for text in texts:
        if any(map(str.isalnum, text)):
            firsts.setdefault(" ".join(text.split()).casefold().rstrip(".,;:!?…"), text)
    return list(firsts.values())


def _json_items(text: str) -> list[Item] | None:
    """The items of the reply's JSON; None where its JSON, if it has any, is no list or only part of an item."""
    found = [item for item in _standing_alone(meant_values(text)) if isinstance(item.value, dict | list)]
    if not found:
        cut = whole_strings(text)
        return _unnumbered(cut) if cut and not _numbered_lines(spoken(text)) else None
    if _is_within_items(found):
        return None
    if declines(found[0].text[: found[0].start]):
        return []
    items = _items_of(found[0].value) if len(found) == 1 else _items_of_several([item.value for item in found])
    is_whole = found[-1].end - found[0].start == len(found[0].text)
    return items if items or is_whole else None


def _standing_alone(found: Sequence[Found]) -> Iterator[Found]:
    """The values that begin their line, or follow a colon, and end their line."""
    for place, item in enumerate(found):
        text, previous = item.text, found[place - 1].end if place else 0
        line_start = text.rfind("\n", 0, item.start) + 1
        before = text[max(line_start, previous) : item.start]
        line_end = text.find("\n", item.end)
        following = found[place + 1].start if place + 1 < len(found) else len(text)
        after = text[item.end : min(following, line_end if line_end >= 0 else len(text))]
        is_marked = bool(before.strip()) and read_line(text[line_start : item.start]).kind != ""
        if not is_marked and _BEFORE_JSON.fullmatch(before) and _AFTER_JSON.fullmatch(after):
            yield item


def _is_within_items(found: Sequence[Found]) -> bool:
    """Whether numbered items stand around the JSON: after it, or before it without a blank line between."""
    text, start, end = found[0].text, found[0].start, found[-1].end
    if _numbered_lines(text[end:]):
        return True
    return _numbered_lines(text[:start]) and _AFTER_BLANK.search(text[max(0, start - 120) : start]) is None


def _numbered_lines(text: str) -> bool:
    return any(NUMBER.match(line.strip()) for line in text.split("\n"))


def _items_of(value: Any) -> list[Item]:
    """The items of one JSON value: a list, or the object that holds one; none where it is anything else."""
    while isinstance(value, dict):
        containers = [item for item in value.values() if isinstance(item, dict | list) and item]
        if len(containers) != 1:
            return [] if containers else _items_of_object(value)
        value = containers[0]
    if all(isinstance(item, str) for item in value):
        return _unnumbered(value)
    return _all_or_none(map(_from_object, value))


def _items_of_several(values: Sequence[Any]) -> list[Item]:
    """The items of objects one after another, or of several lists."""
    items = _all_or_none(map(_from_object, values))
    return items or [item for value in values for item in _items_of(value)]


def _items_of_object(value: dict[str, Any]) -> list[Item]:
    """Of an object without lists: the texts of its numbered keys, or the one text that is called a question or so."""
    if value and all(key[-1:].isdecimal() and isinstance(text, str) for key, text in value.items()):
        return _unnumbered(list(value.values()))
    item = _from_object(value)
    return [item] if item and any(key.lower() in _ITEM_KEYS for key in value) else []


def _from_object(value: Any) -> Item | None:
    """An object's one text, with its description where it has one."""
    if not isinstance(value, dict):
        return None
    texts = {
        key.lower(): text.strip()
        for key, text in value.items()
        if isinstance(text, str) and text.strip() and key.lower() not in _COUNTERS
    }
    names = [key for key in texts if key not in _DESCRIPTIONS] or list(texts)
    if len(names) != 1 or len(texts) > 2:
        return None
    title = bare(texts[names[0]])
    described = [bare(text) for key, text in texts.items() if key != names[0]]
    return Item(title, ": ".join([title, *described]))


def _all_or_none(items: Iterable[Item | None]) -> list[Item]:
    found = list(items)
    whole = [item for item in found if item is not None]
    return whole if len(whole) == len(found) else []


def _unnumbered(texts: Sequence[str]) -> list[Item]:
    """Texts as items, without the numbers that all of them begin with."""
    marks = [NUMBER.match(text.strip()) for text in texts]
    if all(marks):
        texts = [after_marker(mark, text.strip()) for mark, text in zip(marks, texts, strict=True) if mark]
    return [item_of(text) for text in texts]
