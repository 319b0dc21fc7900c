"""Reads what models reply: JSON among chatter, variants in several shapes, lists, attributes and their scores.

Tolerant of form, strict about content: what can't be read is a `ReplyError` that carries the reply's text, never a
guess, and never a number.
"""

from __future__ import annotations

import math
import re
from typing import Final

from curation.core._parse_json import ends_within_json, json_values, read_json
from curation.core._parse_lines import read_line, written_items
from curation.core._parse_lists import read_list
from curation.core._parse_text import has_open_fence, is_refusal, outside, spoken, stopped_thinking
from curation.core._parse_variants import read_variants
from curation.core.contracts import Completion
from curation.core.errors import ReplyError

__all__ = [
    "REWARD_ATTRIBUTES",
    "is_refusal",
    "json_values",
    "looks_cut",
    "read_attributes",
    "read_json",
    "read_list",
    "read_scores",
    "read_variants",
]

REWARD_ATTRIBUTES: Final = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
"""The five attributes of HelpSteer2, which Nemotron-4-340B-Reward scores."""

_ATTRIBUTE: Final = re.compile(
    r"""[\s*_"'{\[-]*([A-Za-z](?:\w*[A-Za-z0-9])?)[\s*_"']*[:=][\s*_"']*([-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)[\s*_"'}\]]*""",
    re.ASCII,
)

_CODE: Final = re.compile(r"`[^`\n]*`")
_EXPECTS_MORE: Final = re.compile(r"(?:[,:(–—]|(?<=\s)-|(?<![\w'’/.-])(?:the|a|an|of|and|or|your|its|into|whose))\Z")
_SENTENCE_END: Final = (".", "!", "?", "…", "。", "？", "！")
_HAS_SENTENCE: Final = re.compile(r"[.!?]\s+\S")


def looks_cut(text: str) -> bool:
    """Whether the reply stops before its end, whatever its `finish_reason` says.

    So it looks where it never gets beyond its thoughts; leaves a code fence, JSON, bold type or code open; ends with a
    bare list marker, a colon, a comma or a word that needs another (`the`, `and`); or ends with a word, where its
    other sentences or items end with a full stop, a question mark or an exclamation mark. A list of topics without
    full stops that is cut between two words can't be told from a whole one.
    """
    said = spoken(text)
    if not said:
        return not stopped_thinking(text)
    if has_open_fence(said) or ends_within_json(outside(said)):
        return True
    last = said.rpartition("\n")[2].strip()
    return not last.startswith(("```", "~~~")) and (_is_open(last) or _lacks_its_end(said, last))


def _is_open(last: str) -> bool:
    """Whether the last line itself tells that more was to come."""
    line = read_line(last)
    is_bare_marker = line.kind in {"number", "bullet"} and not line.rest
    prose = _CODE.sub("", last)
    return is_bare_marker or "`" in prose or prose.count("**") % 2 == 1 or _EXPECTS_MORE.search(prose) is not None


def _lacks_its_end(said: str, last: str) -> bool:
    """Whether the reply ends with a word, where its other sentences or items end with a sign."""
    is_title_or_row = last.startswith(("#", "|"))
    if is_title_or_row or not last[-1].isalnum() or "/" in last.split()[-1]:
        return False
    line = read_line(last)
    if not line.kind and _HAS_SENTENCE.search(last):
        return True
    *others, final = [item.text for item in written_items(said)] or [""]
    return (
        len(others) > 1
        and final.endswith((line.rest or last)[-20:])
        and all(text.endswith(_SENTENCE_END) for text in others)
    )


def read_attributes(text: str) -> dict[str, float]:
    """The numbers of a reply that is a list of `name:number`, such as `helpfulness:1.6,verbosity:2` or `reward:-3.5`.

    Pairs are separated by commas, semicolons or line ends. Names are in lower case.

    Raises:
        ReplyError: `unreadable_reply` where anything else stands there, a name comes twice, or a number isn't finite.
    """
    scores: dict[str, float] = {}
    for pair in re.split(r"[,;\n]", spoken(text)):
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
