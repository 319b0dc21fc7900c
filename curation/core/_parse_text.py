"""What every reader needs to know of a reply's text: its thoughts, its fences, a refusal, what announces or closes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_THOUGHT: Final = r"(?:think|thinking|thought)"
_THINKING: Final = re.compile(rf"\A(?:.*?</{_THOUGHT}>)(?:\s*<{_THOUGHT}>.*?</{_THOUGHT}>)*", re.DOTALL | re.IGNORECASE)
_UNFINISHED: Final = re.compile(rf"\A\s*<{_THOUGHT}>.*\Z", re.DOTALL | re.IGNORECASE)
_FENCE: Final = re.compile(r"^[ \t]*(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)$", re.MULTILINE)
_INABILITY: Final = (
    r"(?:can ?not|can['’]t|won['’]t|will not|do not feel|don['’]t feel|(?:am|['’]m) (?:unable|not able|not comfortable)"
    r"|(?:must|have to|need to) (?:respectfully |politely )?decline)\b"
)
_REFUSAL: Final = re.compile(
    r"\A\W*(?:(?:i['’]?m|i am) (?:really |very |so |truly )?sorry\b|(?:sorry|(?:my )?apologies)(?:,| but)"
    rf"|i apologi[sz]e\b|unfortunately,? i(?: can| am|['’]m)|i(?:['’]m afraid i| am afraid i)? ?{_INABILITY}"
    r"|as an? (?:ai|(?:large )?language model)\b)",
    re.IGNORECASE,
)
_UNABLE: Final = re.compile(rf"\bi ?{_INABILITY}|\bunable to\b", re.IGNORECASE)

_WHAT: Final = r"(?:records?|texts?|versions?|entry|question|data|json|object|variants?)"
_OTHER: Final = re.compile(
    r"\W*(?:(?:here is|here are|this is) )?(?:the |my |your |a )?"
    rf"(?:original|source|input|parent|(?:(?:first|rough|initial) )?(?:draft|attempt))(?: {_WHAT})?(?: \d{{1,3}})?\W*",
    re.IGNORECASE,
)
_FINAL: Final = re.compile(
    r"\W*(?:(?:here is|here are|this is) )?(?:the |my )?"
    rf"(?:final|corrected|revised|improved)(?: {_WHAT}| answer| reply| result)?(?: \d{{1,3}})?\W*",
    re.IGNORECASE,
)
_LONGEST_ANNOUNCEMENT: Final = 80

_CLOSING: Final = re.compile(
    r"[\W_]*(?:(?:please )?let me know|(?:i )?hope (?:this|these|that|it)\b|(?:please )?feel free|would you like"
    r"|do you want|if you(?:['’]d| would)? (?:like|need|want)|is there anything|happy to|i can also"
    r"|i(?:['’]d| would) be|by (?:following|using) these|in (?:summary|conclusion)\b|overall,"
    r"|(?:all of |each of )?(?:these|the above) (?:are|cover|should|can|will|questions|topics|sub-?topics|items|tasks"
    r"|instructions|variants|prompts|examples|ideas|commands)\b|this list\b|note that (?:these|this list)\b)",
    re.IGNORECASE,
)


class Block(NamedTuple):
    """A fenced block of a text: `text[start:end]` with its fences, `text[inner:inner_end]` without; its language."""

    start: int
    inner: int
    inner_end: int
    end: int
    info: str


def without_thoughts(text: str) -> str:
    """The reply without the thoughts with which a reasoning model begins; nothing, where it never stopped thinking.

    Some chat templates swallow the tag that opens the thoughts, so what stands before the first closing tag is one.
    """
    return _UNFINISHED.sub("", _THINKING.sub("", text))


def spoken(text: str) -> str:
    """The reply without its thoughts, and without the white space around it."""
    return without_thoughts(text).strip()


def stopped_thinking(text: str) -> bool:
    """Whether the reply got beyond its thoughts, or never had any."""
    return _UNFINISHED.match(_THINKING.sub("", text)) is None


def is_refusal(text: str) -> bool:
    """Whether the reply begins as a model begins that refuses to answer."""
    return _REFUSAL.match(spoken(text)) is not None


def declines(text: str) -> bool:
    """Whether a text says that its writer can't or won't: an apology alone ("Sorry, here they are:") does not."""
    return _REFUSAL.match(text) is not None and _UNABLE.search(text) is not None


def closes(line: str) -> bool:
    """Whether a line is how models take leave: "Let me know if …", "I hope these help", "These questions cover …"."""
    return _CLOSING.match(line) is not None


def fences(text: str) -> list[Block]:
    """The fenced blocks of a text in their order.

    As in CommonMark, a block is closed by a bare fence of the same sign that is at least as long. One that is never
    closed reaches to the end of the text.
    """
    blocks: list[Block] = []
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif fence["mark"].startswith(opening["mark"]) and not fence["info"].strip():
            blocks.append(_block(opening, fence))
            opening = None
    if opening is not None:
        end = len(text)
        blocks.append(Block(opening.start(), min(opening.end() + 1, end), end, end, opening["info"].strip().lower()))
    return blocks


def _block(first: re.Match[str], last: re.Match[str]) -> Block:
    return Block(first.start(), first.end() + 1, last.start(), last.end(), first["info"].strip().lower())


def has_open_fence(text: str) -> bool:
    """Whether a block is never closed. Unlike CommonMark, models nest: a fence that names a language always opens."""
    depth = 0
    for fence in _FENCE.finditer(text):
        depth = depth + 1 if fence["info"].strip() or depth == 0 else depth - 1
    return depth > 0


def outer_fence(text: str) -> Block | None:
    """The block from the first fence to the last, where the fences between them, if any, lie within it."""
    marks = list(_FENCE.finditer(text))
    if len(marks) < 2 or marks[-1]["info"].strip():
        return None
    second = marks[1]
    if len(marks) > 2 and second["mark"].startswith(marks[0]["mark"]) and not second["info"].strip():
        return None  # the second fence closes the first: two blocks, not one around everything
    return _block(marks[0], marks[-1])


def outside(text: str, blocks: Sequence[Block] | None = None) -> str:
    """The text without the given blocks; without all that are fenced, where none are given."""
    blocks = fences(text) if blocks is None else blocks
    starts = [0, *(block.end for block in blocks)]
    ends = [*(block.start for block in blocks), len(text)]
    return "\n".join(text[start:end] for start, end in zip(starts, ends, strict=True))


def unwrapped(text: str) -> str:
    """The content of a fence around the whole reply; otherwise the reply."""
    block = outer_fence(text)
    if block is None or text[: block.start].strip() or text[block.end :].strip():
        return text
    return text[block.inner : block.inner_end]


def announces_other(text: str, start: int) -> bool:
    """Whether the line before `start` calls what follows the original, or a draft: "Original record:", "### Draft"."""
    return _OTHER.fullmatch(_line_before(text, start)) is not None


def announces_final(text: str, start: int) -> bool:
    """Whether the line before `start` calls what follows the final one: "Final version:", "**Corrected JSON**"."""
    return _FINAL.fullmatch(_line_before(text, start)) is not None


def _line_before(text: str, start: int) -> str:
    """The line before a position, or the beginning of its own line; fences and blank lines don't count."""
    lines = text[max(0, start - 4 * _LONGEST_ANNOUNCEMENT) : start].split("\n")
    spoken_lines = (line.strip() for line in reversed(lines) if line.strip() and not _FENCE.match(line))
    line = next(spoken_lines, "")
    return line if len(line) <= _LONGEST_ANNOUNCEMENT else ""
