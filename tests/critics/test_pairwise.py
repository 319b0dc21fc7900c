from __future__ import annotations

import asyncio
import pickle
import re
from typing import Any

import pytest

from curation.core.errors import PlanError, RecordError, ReplyError
from curation.core.records import human
from curation.core.registry import Spec
from curation.core.rules import Rule
from curation.critics.pairwise import Pairwise
from curation.models.scripted import Scripted
from tests.critics.asking import judged, prompt_of
from tests.mock_endpoint import Answer, reply

PARENT = human("p", title="Entry?", question="May he enter?", answer="No.")
RECORD = {**PARENT, "id": "c", "question": "Can the landlord {0} $texts come in?", "answer": "Not without notice."}


def place_of(text: str, request: dict[str, Any]) -> str:
    """Which of the two texts holds `text`."""
    first = prompt_of(request).partition("### B")[0]
    return "A" if text in first else "B"


def prefers(text: str) -> Any:
    return lambda request: reply(f"It says more.\nVerdict: {place_of(text, request)}")


@pytest.mark.parametrize("compare", ["record", "answer"])
@pytest.mark.parametrize(("liked", "preference"), [("Not without notice.", 1.0), ("\nNo.\n", 0.0)])
def test_a_judge_that_agrees_with_itself(compare: str, liked: str, preference: float) -> None:
    scores, prompts = judged(Pairwise(compare), RECORD, PARENT, prefers(liked))
    assert scores == {"preference": preference}
    assert len(set(prompts)) == 2
    assert Pairwise().grade(scores) == preference - 0.5


@pytest.mark.parametrize("text", ["Verdict: A", "[[B]]", "Verdict: tie"])
def test_a_judge_that_likes_a_place_prefers_nothing(text: str) -> None:
    assert judged(Pairwise(), RECORD, PARENT, lambda _: reply(text))[0] == {"preference": 0.5}


def test_a_tie_in_one_order_is_a_tie() -> None:
    def answers(request: dict[str, Any]) -> Answer:
        return reply("Verdict: A" if place_of("Not without notice.", request) == "A" else "Verdict: tie")

    scores, _ = judged(Pairwise(), RECORD, PARENT, answers)
    assert scores == {"preference": 0.5}
    assert Rule.parse("preference < 0.5").failing(scores) is None


def test_the_two_prompts_differ_by_their_order_alone() -> None:
    first, second = (Pairwise().prompt_for(RECORD, PARENT, swapped) for swapped in (False, True))
    assert sorted(first.split("\n")) == sorted(second.split("\n"))
    assert re.findall(r"Can the landlord \{0\} \$texts come in\?|May he enter\?", first) == [
        RECORD["question"],
        PARENT["question"],
    ]
    assert first.index("Not without") < first.index("### B") < first.index("\nNo.\n")
    assert second.index("\nNo.\n") < second.index("### B") < second.index("Not without")


def test_answers_are_compared_for_the_records_question() -> None:
    prompt = Pairwise("answer").prompt_for(RECORD, PARENT)
    assert prompt.count(RECORD["question"]) == 1
    assert PARENT["question"] not in prompt
    assert "question:\n```\nEntry?\n\nCan the landlord" in prompt


@pytest.mark.parametrize("text", ["Both are fine.", "Verdict: A or B", "Verdict: A\nVerdict: B"])
def test_what_is_no_verdict_is_never_a_number(text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        judged(Pairwise(), RECORD, PARENT, lambda _: reply(text))
    assert (caught.value.reason, caught.value.detail) == ("unreadable_score", text)


@pytest.mark.parametrize(
    ("parent", "message"), [(None, "no parent to compare it with"), ({**PARENT, "answer": ""}, "no answer to judge")]
)
def test_nothing_to_compare_with(parent: Any, message: str) -> None:
    with pytest.raises(RecordError, match=f"unscorable: there is {message}"):
        asyncio.run(Pairwise().judge(RECORD, parent, Scripted(default="Verdict: A")))


def test_arguments() -> None:
    with pytest.raises(PlanError, match="compare is one of record, answer, not 'title'"):
        Spec("critic", "pairwise", {"compare": "title"}).create()
    assert vars(pickle.loads(pickle.dumps(Pairwise()))) == {"compare": "record", "max_tokens": 512}
