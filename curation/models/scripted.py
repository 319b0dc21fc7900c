"""A model that is a script: for tests, tutorials and dry runs. It understands nothing and costs nothing.

The same request always gets the same reply, in every process. Its name, which the lineage keeps, tells its texts
from a real model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Any, Final

import orjson

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.errors import InputError, RequestError
from curation.core.parse import REWARD_ATTRIBUTES, json_values
from curation.core.records import digest, seed_of, to_json, unit_interval

_RULE_KEYS: Final = {"match", "reply", "replies", "finish_reason", "scores"}
_CHARACTERS_PER_TOKEN: Final = 4

_SWAPS: Final = {
    "allowed": "permitted", "also": "too", "answer": "reply", "ask": "enquire", "because": "since", "begin": "start",
    "buy": "purchase", "but": "yet", "can": "may", "company": "firm", "contract": "agreement", "court": "tribunal",
    "get": "obtain", "give": "hand", "help": "assist", "however": "still", "if": "in case", "landlord": "owner",
    "law": "statute", "lawyer": "attorney", "must": "has to", "need": "require", "often": "frequently", "only": "just",
    "pay": "settle", "people": "persons", "question": "matter", "rent": "lease payment", "show": "demonstrate",
    "tell": "inform", "tenant": "renter", "use": "employ", "usually": "as a rule", "want": "wish", "when": "once",
}  # fmt: skip
_OPENINGS: Final = {
    "title": ("On this point: ", "In other words: ", "A related case: ", "Asked again: "),
    "question": (
        "Someone I know is in this position. ",
        "I would like to understand this. ",
        "Here is how it happened. ",
    ),
    "answer": ("Briefly put: ", "As far as it goes: ", "To sum it up: "),
}
_WORD: Final = re.compile(r"[A-Za-z]+")


class Scripted(ChatModel):
    """Answers from rules or from a file; with neither, it rewords what it is asked to reword and scores the rest.

    Args:
        rules: looked through in order. Each has `match`, a regular expression that is searched for in the last user
            message, and `reply`, in which `$name` stands for a named group, or `replies`, of which the request's
            digest picks one. `finish_reason` (`stop`) and `scores` (a reward model's numbers by name) are optional.
        file: JSON lines, looked up before the rules: a segment of a journal, or objects with `messages` or `prompt`
            (the last user message), `reply`, and if wanted `finish_reason`, `usage`, `logprobs`.
        name: what the lineage calls it.
        default: the reply where nothing matches; without it, such a request fails as `unscripted_request`.

    Raises:
        ValueError: a rule that can't be read.
        InputError: a file that can't be read, with its line.
    """

    def __init__(
        self,
        rules: Sequence[Mapping[str, Any]] | None = None,
        file: str | None = None,
        name: str = "scripted",
        default: str | None = None,
    ) -> None:
        self.rules = rules
        self.file = file
        self.name = name
        self.default = default
        self._rules = [_rule_of(rule) for rule in rules or ()]
        self._recorded = _recorded(Path(file)) if file else {}
        self._improvises = rules is None and file is None and default is None

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """The script's reply, with usage counted as four characters a token.

        Raises:
            RequestError: `unscripted_request`.
        """
        request = digest(to_json({"messages": list(messages), "sampling": sampling}))
        choices = [self._choice(messages, sampling, digest(request, index)) for index in range(sampling.get("n") or 1)]
        first = choices[0]
        texts = tuple(choice.text for choice in choices)
        usage = first.usage
        if usage == Usage():
            asked = sum(len(message["content"]) for message in messages)
            usage = Usage(asked // _CHARACTERS_PER_TOKEN, sum(map(len, texts)) // _CHARACTERS_PER_TOKEN)
        return replace(first, texts=texts, usage=usage, model=self.name)

    def _choice(self, messages: Sequence[Message], sampling: Mapping[str, Any], request: str) -> Completion:
        prompt = _last_user(messages)
        recorded = self._recorded.get(_lookup(messages)) or self._recorded.get(_lookup(prompt))
        if recorded:
            return recorded[_pick(request, len(recorded))]
        for rule in self._rules:
            match = rule.match.search(prompt)
            if match:
                return rule.answer(match, request)
        if self._improvises:
            return _improvise(messages, sampling, request)
        if self.default is None:
            raise RequestError("unscripted_request", prompt)
        return Completion((self.default,), "stop")


@dataclass(frozen=True)
class _Rule:
    match: re.Pattern[str]
    replies: tuple[Template, ...]
    finish_reason: str
    scores: tuple[tuple[str, float], ...] | None

    def answer(self, match: re.Match[str], request: str) -> Completion:
        groups = {name: value or "" for name, value in match.groupdict().items()}
        text = self.replies[_pick(request, len(self.replies))].safe_substitute(groups)
        return Completion((text,), self.finish_reason, logprobs=self.scores)


def _rule_of(rule: Mapping[str, Any]) -> _Rule:
    unknown = set(rule) - _RULE_KEYS
    if unknown:
        raise ValueError(f"a rule has no '{min(unknown)}'; it takes {', '.join(sorted(_RULE_KEYS))}")
    replies = rule.get("replies") or ([rule["reply"]] if "reply" in rule else [""] if "scores" in rule else [])
    if "match" not in rule or not replies:
        raise ValueError(f"a rule needs 'match', and 'reply' or 'replies': {dict(rule)}")
    try:
        pattern = re.compile(rule["match"], re.DOTALL)
    except re.error as error:
        raise ValueError(f"the rule's match '{rule['match']}' is no regular expression: {error}") from None
    scores = tuple((str(name), float(number)) for name, number in rule.get("scores", {}).items())
    return _Rule(pattern, tuple(map(Template, replies)), rule.get("finish_reason", "stop"), scores or None)


def _recorded(file: Path) -> dict[str, list[Completion]]:
    """The file's replies by what they reply to."""
    found: dict[str, list[Completion]] = {}
    try:
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            if line.strip():
                key, completion = _entry(file, number, line)
                found.setdefault(key, []).append(completion)
    except OSError as error:
        raise InputError(f"the script {file} can't be read: {error.strerror}") from error
    return found


def _entry(file: Path, number: int, line: bytes) -> tuple[str, Completion]:
    try:
        value = orjson.loads(line)
        key = _lookup(value["messages"] if "messages" in value else value["prompt"])
        if "completion" in value:  # a journal's line
            return key, Completion.from_dict(value["completion"])
        logprobs = value.get("logprobs")
        return key, Completion(
            (str(value["reply"]),),
            value.get("finish_reason", "stop"),
            Usage(**value.get("usage", {})),
            tuple((str(token), float(score)) for token, score in logprobs) if logprobs else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}, line {number}: a line needs 'messages' or 'prompt', and 'reply' or 'completion' ({error!r})"
        ) from None


def _lookup(asked: str | Sequence[Message]) -> str:
    return digest(asked) if isinstance(asked, str) else digest(to_json({"messages": list(asked)}))


def _last_user(messages: Sequence[Message]) -> str:
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")


def _pick(request: str, count: int) -> int:
    return seed_of("pick", request) % count


def _improvise(messages: Sequence[Message], sampling: Mapping[str, Any], request: str) -> Completion:
    """Scores a finished conversation; fills the JSON schema of variants; else says that it is a script."""
    if messages and messages[-1]["role"] == "assistant":
        return _scored(messages)
    fields, count = _variants_wanted(sampling)
    if not fields:
        return Completion((f"[scripted reply {request[:8]}]",), "stop")
    parent = _parent(_last_user(messages), fields)
    variants = [{name: _reworded(parent, name, f"{request}-{index}") for name in fields} for index in range(count)]
    return Completion((orjson.dumps({"variants": variants}).decode(),), "stop")


def _scored(messages: Sequence[Message]) -> Completion:
    """Numbers drawn from the conversation alone, in the range of Nemotron-4-340B-Reward's and in its form."""
    conversation = to_json({"messages": list(messages)})
    low = {"helpfulness": 2.5, "correctness": 2.5, "coherence": 2.5, "complexity": 0.5, "verbosity": 0.5}
    scores = tuple((name, round(low[name] + 1.5 * unit_interval(name, conversation), 4)) for name in REWARD_ATTRIBUTES)
    return Completion((",".join(f"{name}:{score}" for name, score in scores),), "stop", logprobs=scores)


def _variants_wanted(sampling: Mapping[str, Any]) -> tuple[list[str], int]:
    """Field names and number of the variants that a `response_format` asks for; no names where it asks for none."""
    try:
        array = sampling["response_format"]["json_schema"]["schema"]["properties"]["variants"]
        return list(array["items"]["properties"]), int(array["minItems"])
    except (KeyError, TypeError):
        return [], 0


def _parent(prompt: str, fields: Sequence[str]) -> Mapping[str, Any]:
    """The last object in the prompt that has any of the fields."""
    return next((value for value in _objects(json_values(prompt)) if any(name in value for name in fields)), {})


def _objects(values: list[Any]) -> Iterator[dict[str, Any]]:
    return (value for value in reversed(values) if isinstance(value, dict))


def _reworded(parent: Mapping[str, Any], name: str, variant: str) -> str:
    """The parent's text with another opening and some words swapped."""

    def swap(match: re.Match[str]) -> str:
        word = match[0]
        other = _SWAPS.get(word.lower())
        if other is None or unit_interval(variant, word) < 0.25:
            return word
        return other.capitalize() if word[0].isupper() else other

    text = str(parent.get(name) or parent.get("question") or "a scripted text")
    openings = _OPENINGS.get(name, ("",))
    return openings[_pick(variant, len(openings))] + _WORD.sub(swap, text)
