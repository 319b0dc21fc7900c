"""Seeds of a taxonomy, and a teacher that writes from them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from curation.core.contracts import ChatModel, Completion, Generator, Message
from curation.core.records import REASON, Record, seed, to_json

Texts = dict[str, str]
Offer = Sequence[str] | Sequence[Texts] | str

_SKILL = {
    "leaf": "compositional_skills/rhymes",
    "kind": "compositional_skills",
    "task_description": "Rhyme {0} $count.",
}
_COMMON: dict[str, Any] = {"group_id": "g", "split": "train"}

FREEFORM = seed(
    "free",
    question="Rhyme {on} $cats.",
    answer="Cats sit on mats.",
    tags=_SKILL["leaf"],
    extra=to_json({**_SKILL, "created_by": "somebody"}),
    **_COMMON,
)
GROUNDED = {**FREEFORM, "id": "grounded", "context": "The cat {sat} on the $mat."}
KNOWLEDGE = seed(
    "piece",
    context="Ledger {A} was closed in 1901 for $5.",
    tags="knowledge/ledgers",
    extra=to_json(
        {
            "leaf": "knowledge/ledgers",
            "kind": "knowledge",
            "domain": "History",
            "document_outline": "Of ledgers",
            "document": "ledgers.md",
            "chunk": "ledgers.md#4",
            "headings": ["Ledgers", "A"],
            "page": 7,
            "example": {
                "context": "Ledger B was closed in 1902.",
                "pairs": [
                    {"question": "When was ledger B closed?", "answer": "Ledger B was closed in 1902."},
                    {"question": "What was closed in 1902?", "answer": "Ledger B was."},
                ],
            },
        }
    ),
    **_COMMON,
)


class Teacher(ChatModel):
    """Answers by what it is asked for, and keeps what it was asked.

    Args:
        lists: replies in turn, of which the last one stays: `questions`, `contexts`, `pairs`, or the questions on the
            context of that name.
        respond: the answer to a question, by all that was asked with it.
    """

    name = "teacher"

    def __init__(
        self,
        lists: dict[str, list[Offer | Exception]],
        respond: Callable[[dict[str, Any]], str] = lambda asked: f"R {asked['question']}",
    ) -> None:
        self.lists = {name: list(replies) for name, replies in lists.items()}
        self.respond = respond
        self.asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self.prompts: list[str] = []

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        (message,) = messages
        self.prompts.append(message["content"])
        found = re.search(r"^\{$.*\Z", message["content"], re.DOTALL | re.MULTILINE)
        assert found
        material = json.loads(found[0])
        name = _wanted(material)
        self.asked.append((name, material, sampling))
        await asyncio.sleep(0.005 if name == "A" else 0)
        if name == "answer":
            return Completion((self.respond(material),))
        replies = self.lists[name]
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        key = "pairs" if name == "pairs" else "items"
        return Completion((reply if isinstance(reply, str) else json.dumps({key: list(reply)}),))

    def named(self, name: str) -> list[dict[str, Any]]:
        """The material of the requests of that name."""
        return [material for one, material, _ in self.asked if one == name]

    @property
    def seeds(self) -> list[int]:
        """Of all requests."""
        return sorted(sampling["seed"] for _, _, sampling in self.asked)


def _wanted(material: dict[str, Any]) -> str:
    if "already_there" not in material:
        return "answer"
    if "document" in material:
        return "pairs"
    if "context" in material:
        return str(material["context"])
    return "contexts" if "context" in material["example"] else "questions"


def expand(generator: Generator, model: ChatModel, record: Record) -> list[Record]:
    drafts = asyncio.run(generator.expand({**record, "_round": record.get("_round", 1)}, model))
    assert len(drafts) == generator.variants
    return drafts


def written(drafts: Sequence[Record]) -> list[tuple[str | None, str]]:
    """Context and question of each draft that is none for the ledger."""
    return [(draft["context"], draft["question"]) for draft in drafts if REASON not in draft]


def reasons(drafts: Sequence[Record]) -> list[str | None]:
    return [draft.get(REASON) for draft in drafts]


def extra_of(record: Record) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(record["extra"])
    return value
