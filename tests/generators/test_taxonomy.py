"""A plan with skills and knowledge: each record is written from as its kind wants it."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from curation.core.errors import PlanError, RecordError
from curation.core.records import Record, human, to_json
from curation.core.registry import Spec
from curation.estimate import Counting
from curation.generators.taxonomy import Taxonomy
from curation.generators.taxonomy_knowledge import TaxonomyKnowledge
from curation.generators.taxonomy_skill import TaxonomySkill
from tests.generators.taxonomies import FREEFORM, GROUNDED, KNOWLEDGE, Offer, Teacher, expand, extra_of, written

LISTS: dict[str, list[Offer | Exception]] = {
    "questions": [["q?", "r?"]],
    "contexts": [["A", "B"]],
    "A": [["a?"]],
    "B": [["b?"]],
    "pairs": [[{"question": "k?", "answer": "1901"}, {"question": "l?", "answer": "$5"}]],
}
FOUNDATIONAL = {**FREEFORM, "extra": to_json({**extra_of(FREEFORM), "kind": "foundational_skills"})}


def taxonomy(**arguments: Any) -> Taxonomy:
    return Taxonomy(**{"variants": 2, "question_threshold": None, "skill": {"context_threshold": None}, **arguments})


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (FREEFORM, [(None, "q?"), (None, "r?")]),
        (FOUNDATIONAL, [(None, "q?"), (None, "r?")]),
        (GROUNDED, [("A", "a?"), ("B", "b?")]),
        (KNOWLEDGE, [(KNOWLEDGE["context"], "k?"), (KNOWLEDGE["context"], "l?")]),
    ],
)
def test_each_kind_is_written_as_its_own_generator_does(record: Record, expected: list[tuple[str | None, str]]) -> None:
    skill = {"context_threshold": None, "questions_per_context": 1, "temperature": 0.3}
    both = pickle.loads(pickle.dumps(taxonomy(skill=skill, knowledge={"max_tokens": 999}, seed=5)))
    drafts = expand(both, model := Teacher(LISTS), record)
    assert written(drafts) == expected
    common: dict[str, Any] = {"question_threshold": None, "seed": 5}
    alone = (
        TaxonomyKnowledge(2, max_tokens=999, **common)
        if record is KNOWLEDGE
        else TaxonomySkill(2, **{**common, **skill})
    )
    assert expand(alone, same := Teacher(LISTS), record) == drafts
    assert [asked[1:] for asked in same.asked] == [asked[1:] for asked in model.asked]
    counts = [Counting(), Counting()]
    for generator, count in zip((both, alone), counts, strict=True):
        assert len(asyncio.run(generator.rehearse(record, count))) == 2
    assert counts[0] == counts[1]


def test_what_comes_from_no_taxonomy_is_no_parent() -> None:
    record = human("law-1", question="May he?", answer="No.")
    with pytest.raises(RecordError, match="no_leaf"):
        expand(taxonomy(), Teacher({}), record)
    assert asyncio.run(taxonomy().rehearse(record, Counting())) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variants": 0}, "variants must be at least 1"),
        ({"skill": {"variants": 3}}, "'variants' is the same for skills and knowledge, and stands beside 'skill'"),
        ({"skill": {"question_per_context": 3}}, r"'skill' has no argument .* Did you mean 'questions_per_context'\?"),
        ({"knowledge": {"questions_per_context": 3}}, "'knowledge' has no argument 'questions_per_context'"),
        ({"knowledge": {"max_calls": 0}}, "max_calls must be at least 1"),
    ],
)
def test_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Spec("generator", "taxonomy", arguments).create()
