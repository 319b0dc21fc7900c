"""From a piece of a document to pairs: what is asked, what is dropped and asked for again, what stays missing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from curation.core.errors import RecordError, RequestError
from curation.core.records import DETAIL, REASON, Record, child, human, to_json
from curation.estimate import Counting
from curation.generators.taxonomy_knowledge import TaxonomyKnowledge
from tests.generators.taxonomies import FREEFORM, KNOWLEDGE, Offer, Teacher, Texts, expand, extra_of, reasons


def knowledge(variants: int, **arguments: Any) -> TaxonomyKnowledge:
    return TaxonomyKnowledge(variants, **{"question_threshold": None, **arguments})


def pair(name: str, answer: str = "In 1901.") -> Texts:
    return {"question": f"{name}?", "answer": answer}


def test_each_pair_is_a_draft_that_keeps_the_piece() -> None:
    generator = knowledge(2)
    drafts = expand(generator, Teacher({"pairs": [[pair("{a} $b"), pair("c")]]}), KNOWLEDGE)
    assert drafts[0] == {
        "title": None,
        "question": "{a} $b?",
        "answer": "In 1901.",
        "context": KNOWLEDGE["context"],
        "strategy": "taxonomy_knowledge",
        "model": "teacher",
        "prompt_id": generator.prompt_id,
        "extra": drafts[1]["extra"],
    }
    names = {"leaf", "kind", "domain", "chunk", "headings", "page"}
    assert extra_of(drafts[0]) == {name: value for name, value in extra_of(KNOWLEDGE).items() if name in names}
    assert child(KNOWLEDGE, 0, 1, drafts[0])["tags"] == "knowledge/ledgers"


def test_what_is_asked_holds_piece_outline_and_example() -> None:
    model = Teacher({"pairs": [[pair("a"), pair("b"), pair("c")]]})
    expand(knowledge(3), model, KNOWLEDGE)
    ((_, material, sampling),) = model.asked
    example = extra_of(KNOWLEDGE)["example"]
    assert material == {
        "domain": "History",
        "outline": "Of ledgers",
        "headings": ["Ledgers", "A"],
        "document": KNOWLEDGE["context"],
        "example": example,
        "already_there": [one["question"] for one in example["pairs"]],
    }
    assert "Write exactly 3 questions" in model.prompts[0]
    array = sampling["response_format"]["json_schema"]["schema"]["properties"]["pairs"]
    assert (array["maxItems"], array["items"]["required"]) == (3, ["question", "answer"])


def test_repeats_and_echoes_are_dropped_and_others_are_asked_for() -> None:
    echo = {"question": "when was ledger B closed", "answer": "1902"}
    replies: list[Offer | Exception] = [[pair("a"), echo, pair("A", "Later.")], [pair("a"), pair("b"), pair("c")]]
    model = Teacher({"pairs": replies})
    drafts = expand(knowledge(2), model, KNOWLEDGE)
    assert [(draft["question"], draft["answer"]) for draft in drafts] == [("a?", "In 1901."), ("b?", "In 1901.")]
    assert model.asked[1][1]["already_there"][2:] == ["a?", "when was ledger B closed", "A?"]
    assert len({sampling["seed"] for _, _, sampling in model.asked}) == 2


def test_what_stays_missing_is_for_the_ledger() -> None:
    echo = {"question": "When was ledger B closed?", "answer": "1902"}
    drafts = expand(knowledge(3, max_calls=2), model := Teacher({"pairs": [[pair("a"), echo]]}), KNOWLEDGE)
    assert reasons(drafts) == [None, "echo", "missing_variant"]
    assert (drafts[1][DETAIL], drafts[2][DETAIL]) == (echo["question"], json.dumps({"pairs": [pair("a"), echo]}))
    assert (drafts[1]["question"], drafts[1]["context"]) == (None, KNOWLEDGE["context"])
    assert len(model.asked) == 2


def test_pairs_are_read_from_other_forms_and_those_that_decline_are_none() -> None:
    text = "Question: a?\nAnswer: In {1901}.\n\nQuestion: b?\nAnswer: I'm sorry, but I can't tell."
    drafts = expand(knowledge(2, max_calls=1), Teacher({"pairs": [text]}), KNOWLEDGE)
    assert [draft["answer"] for draft in drafts] == ["In {1901}.", None]
    assert drafts[1][REASON] == "missing_variant"


@pytest.mark.parametrize(
    ("reply", "reason", "calls"),
    [
        ("Hm.", "unreadable_reply", 3),
        ("I'm sorry, but I can't help with that.", "refusal", 1),
        (RequestError("budget_spent", "no more"), "budget_spent", 1),
    ],
)
def test_without_any_pair(reply: Offer | Exception, reason: str, calls: int) -> None:
    drafts = expand(knowledge(2), model := Teacher({"pairs": [reply]}), KNOWLEDGE)
    assert reasons(drafts) == [reason] * 2
    assert drafts[0][DETAIL] == (reply if isinstance(reply, str) else "no more")
    assert len(model.asked) == calls


def test_the_same_piece_asks_the_same_and_another_round_has_other_seeds() -> None:
    def asked(record: Record) -> Teacher:
        expand(knowledge(1), model := Teacher({"pairs": [[pair("a")]]}), record)
        return model

    first, again, later = asked(KNOWLEDGE), asked(KNOWLEDGE), asked({**KNOWLEDGE, "_round": 2})
    assert (first.prompts, first.seeds) == (again.prompts, again.seeds)
    assert first.prompts == later.prompts
    assert first.seeds != later.seeds


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (human("law-1", question="May he?", answer="No."), "no_leaf"),
        (FREEFORM, "wrong_kind"),
        ({**KNOWLEDGE, "context": " "}, "missing_text"),
        ({**KNOWLEDGE, "extra": to_json({**extra_of(KNOWLEDGE), "example": None})}, "missing_text"),
    ],
)
def test_what_is_no_piece_of_a_document(record: Record, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        expand(knowledge(1), Teacher({}), record)
    assert asyncio.run(knowledge(1).rehearse(record, Counting())) == []


def test_a_rehearsal_asks_once() -> None:
    drafts = asyncio.run(TaxonomyKnowledge(8, max_tokens=100).rehearse(KNOWLEDGE, counting := Counting()))
    assert counting.requests == 1
    assert counting.completion_tokens >= 8 * 256
    assert [draft["context"] for draft in drafts] == [KNOWLEDGE["context"]] * 8
    assert len(drafts[0]["answer"]) >= 4 * 256
