"""A small raw dataset in the shape of Law StackExchange, made on the spot: what tests of whole runs read."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

_SUBJECTS = [
    "landlord",
    "tenant",
    "employer",
    "neighbour",
    "bank",
    "seller",
    "airline",
    "council",
    "insurer",
    "executor",
    "trustee",
    "contractor",
]
_VERBS = [
    "refused",
    "ignored",
    "promised",
    "demanded",
    "returned",
    "signed",
    "cancelled",
    "disputed",
    "accepted",
    "delayed",
    "reported",
    "lost",
]
_THINGS = [
    "deposit",
    "contract",
    "notice",
    "invoice",
    "fence",
    "repair",
    "ticket",
    "refund",
    "policy",
    "will",
    "lease",
    "permit",
    "visa",
    "loan",
]
_PLACES = ["Ohio", "Kent", "Quebec", "Bavaria", "Leeds", "Texas", "Dublin", "Lyon", "Malta", "Osaka", "Perth", "Oslo"]


def questions(count: int, seed: int = 5) -> list[dict[str, Any]]:
    """Raw questions with answers; among them one unanswered, one with a low score, one short, and two duplicates."""
    rng = random.Random(seed)
    rows = [_question(rng, number) for number in range(count)]
    rows[1]["answers"] = []
    rows[2]["score"] = -4
    rows[3]["question_body"] = "<p>Is that legal?</p>"
    rows[5] = {**rows[4], "question_id": 5}
    rows[6] = {**rows[4], "question_id": 6, "question_title": rows[4]["question_title"].upper()}
    return rows


def write(path: Path, count: int = 40) -> Path:
    """The questions as one JSON array."""
    path.write_text(json.dumps(questions(count), indent=1))
    return path


def _question(rng: random.Random, number: int) -> dict[str, Any]:
    subject, thing, place = rng.choice(_SUBJECTS), rng.choice(_THINGS), rng.choice(_PLACES)
    return {
        "question_id": number,
        "question_title": f"Can a {subject} in {place} keep the {thing} after {rng.randint(2, 90)} days?",
        "question_body": f"<p>{_story(rng, 9)}</p>\n<p>Is my {subject} right about the {thing}?</p>",
        "score": rng.randint(0, 30),
        "tags": rng.sample(["rent", "work", "consumer", "travel", "estate"], 2),
        "link": f"https://example.org/{number}",
        "license": "CC BY-SA 4.0",
        "answers": [{"answer_id": number * 10 + place, "body": f"<p>{_story(rng, 8)}</p>", "score": place * 3}
                    for place in range(2)],
    }  # fmt: skip


def _story(rng: random.Random, sentences: int) -> str:
    return " ".join(
        f"The {rng.choice(_SUBJECTS)} in {rng.choice(_PLACES)} {rng.choice(_VERBS)} the {rng.choice(_THINGS)} "
        f"of {rng.randint(2, 900)} dollars."
        for _ in range(sentences)
    )
