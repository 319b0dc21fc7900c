"""Which regular expressions can be searched for in any text without taking for ever, as far as their form tells.

Python's engine tries every way to divide a text between repetitions. Where one repetition lies in another these ways
grow exponentially with the text; where several that take the same characters follow each other, with its length to the
power of their number. Both are refused; two with something between them, as in `from.*to.*by`, are let through.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

MAX_PATTERN: Final = 500
"""Characters of a regular expression."""

_OFTEN: Final = 10
"""What is repeated so many times counts as repeated without bound."""

_MOST_CHOICES: Final = 16

_TOKEN: Final = re.compile(
    r"""(?P<remark>\(\?\#[^)]*\)|\(\?[aiLmsu]+\))
      | (?P<open>\((?:\?(?:P<\w+>|<?[=!]|[:>]|[aiLmsu-]+:))?)
      | (?P<close>\)) | (?P<bar>\|)
      | (?P<edge>[\^$]|\\[bBAZ])
      | (?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|.)""",
    re.VERBOSE | re.DOTALL,
)
_REPEAT: Final = re.compile(r"(?:(?P<sign>[*+?])|\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\})[?+]?")
_REFERENCE: Final = re.compile(r"(?<!\\)(?:\\\\)*(?:\\[1-9]|\(\?P=|\(\?\()")
_FLAGS: Final = re.compile(r"\(\?([aiLmsux]+)\)")
_SAMPLE: Final = frozenset(map(chr, range(9, 127))) | frozenset("é中—\u00a0")


def pattern_faults(pattern: object) -> list[str]:
    """What is wrong with a regular expression, as the end of a sentence about it."""
    if not isinstance(pattern, str) or not pattern:
        return ["is a regular expression"]
    if len(pattern) > MAX_PATTERN:
        return [f"is longer than {MAX_PATTERN} characters"]
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return [f"is no regular expression: {error}"]
    if _REFERENCE.search(pattern):
        return ["refers back to a group, which can take for ever"]
    flags = _FLAGS.match(pattern)
    if flags and "x" in flags[1]:
        return ["has (?x): write it without spaces and remarks"]
    return [] if _ends_soon(pattern, flags[0] if flags else "") else ["has repetitions that together can take for ever"]


@dataclass(frozen=True)
class _Repetition:
    """The characters that an unbounded repetition takes, and how many of its kind stand before it."""

    taken: frozenset[str]
    before: int = 0
    is_beside: bool = True  # nothing that must be there has followed it yet


@dataclass
class _Group:
    """What a group has met so far.

    Args:
        start: the unbounded repetitions before it that its beginning can still take from.
        ends: those that its finished branches leave open.
        taken: the characters of its atoms.
        choices: places at which it can be matched in more than one way, each as often as it is repeated.
    """

    start: list[_Repetition]
    ends: list[_Repetition] = field(default_factory=list)
    taken: frozenset[str] = frozenset()
    choices: int = 0


def _ends_soon(pattern: str, flags: str) -> bool:
    """Whether no repetition lies in another, no more than two share characters, and there is little to choose."""
    groups = [_Group([])]
    follows: list[_Repetition] | None = []
    for token, least, most in _tokens(pattern):
        if follows is None:
            return False
        if token["open"]:
            groups.append(_Group(follows))
        elif token["bar"]:
            groups[-1].ends += follows
            groups[-1].choices, follows = groups[-1].choices + 1, groups[-1].start
        elif token["close"]:
            group = groups.pop()
            follows = _behind(group, [*group.ends, *(one for one in follows if one not in group.ends)], least, most)
            groups[-1].choices += group.choices * max(1, most) + (least != most)
            groups[-1].taken |= group.taken
        elif token["atom"]:
            taken = _characters(token["atom"], flags)
            groups[-1].choices += least != most
            groups[-1].taken |= taken
            follows = _after(follows, taken, least, most)
    return follows is not None and groups[0].choices <= _MOST_CHOICES


def _behind(group: _Group, ends: list[_Repetition], least: int, most: int) -> list[_Repetition] | None:
    """The repetitions that are open behind a group; None where its turns can divide one text in many ways."""
    is_ragged = any(one not in group.start for one in ends)
    if most > 1 and (is_ragged or group.choices * most >= _MOST_CHOICES // 2):
        return None
    return _after(group.start, group.taken, least, most) if most >= _OFTEN and least != most else ends


def _after(open_now: list[_Repetition], taken: frozenset[str], least: int, most: int) -> list[_Repetition] | None:
    """The repetitions that are still open behind an atom; None where it makes too many."""
    sharing = [one for one in open_now if one.taken & taken]
    if most >= _OFTEN and least != most:
        before = max((one.before + 1 for one in sharing), default=0)
        if before > 1 or any(one.is_beside for one in sharing):
            return None
        return [*(sharing if least else open_now), _Repetition(taken, before)]
    if least:  # what must be there ends those that can't take it
        return [_Repetition(one.taken, one.before, is_beside=False) for one in sharing]
    return open_now


def _tokens(pattern: str) -> Iterator[tuple[re.Match[str], int, int]]:
    """The parts of a pattern, with how often each is there, at least and at most."""
    place = 0
    while place < len(pattern):
        token = _TOKEN.match(pattern, place)
        assert token is not None, "any character is an atom"
        place = token.end()
        repeat = _REPEAT.match(pattern, place) if token["atom"] or token["close"] else None
        if repeat:
            place = repeat.end()
        yield token, *_times(repeat)


def _times(repeat: re.Match[str] | None) -> tuple[int, int]:
    if repeat is None:
        return 1, 1
    if repeat["sign"]:
        return {"*": (0, _OFTEN), "+": (1, _OFTEN), "?": (0, 1)}[repeat["sign"]]
    least = int(repeat["least"] or 0)
    if not repeat["comma"]:
        return least, least
    return least, int(repeat["most"]) if repeat["most"] else max(least + 1, _OFTEN)


@lru_cache(maxsize=1024)
def _characters(atom: str, flags: str) -> frozenset[str]:
    """Those of a sample that an atom matches; all, where it is only part of what it stands for (`\\x`, `\\N`)."""
    try:
        one = re.compile(flags + atom)
    except re.error:
        return _SAMPLE
    return frozenset(sign for sign in _SAMPLE if one.fullmatch(sign))
