"""Several critics over one record: their names, their grade, their rule, and who is asked at all."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson
import pytest

from curation.config import GenerationPlan
from curation.core.contracts import ChatModel, Completion, Critic, Message, Scores
from curation.core.errors import EndpointError, RequestError
from curation.core.records import DETAIL, REASON, Record, child, human
from curation.models.scripted import Scripted
from curation.stages._panel import Panel

PARENT = human("law-1", title="Deposit", question="May he keep it all?", answer="Only for damage.", group_id="law-1")
WORDS = {"name": "rules", "arguments": {"rules": {"brief": {"max_words": 5}, "sourced": {"citations": 1}}}}
PAIR = {"name": "judge", "as": "pair", "judge": {"kind": "scripted"}}
SECOND = {"name": "judge", "as": "second", "judge": {"kind": "scripted"}}


class Says(ChatModel):
    """Always the same, and counts."""

    name = "says"

    def __init__(self, reply: str | Exception) -> None:
        self.reply = reply
        self.asked = 0

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.asked += 1
        if isinstance(self.reply, Exception):
            raise self.reply
        return Completion((self.reply,))


class Measured(Critic):
    """A critic that doesn't say beforehand what it gives."""

    needs_model: ClassVar[bool] = False

    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        return {"mass": 2.0}


def panel_of(**values: Any) -> Panel:
    made: Panel = pickle.loads(pickle.dumps(Panel.of(GenerationPlan.model_validate(values))))
    return made


def judged(panel: Panel, models: Mapping[str, ChatModel], **texts: str) -> Record:
    row = child(PARENT, 0, 1, texts)
    return asyncio.run(panel.judged(row, PARENT, models))


def test_all_scores_are_the_records_each_under_its_critics_name() -> None:
    panel = panel_of(critics=[WORDS, PAIR, SECOND, {"name": f"{__name__}.Measured", "as": "kg"}])
    row = judged(panel, {"critics.1.judge": Says("Score: 3"), "critics.2.judge": Says("Score: 1")})
    assert row.get(REASON) is None
    assert orjson.loads(row["scores"]) == {
        "brief": 1.0, "sourced": 0.0, "passed": 0.5, "pair_rating": 3.0, "second_rating": 1.0, "kg_mass": 2.0
    }  # fmt: skip


def test_critics_without_a_model_of_their_own_share_the_judge() -> None:
    panel = panel_of(judge={"model": "m"}, critics=[PAIR | {"judge": None}, SECOND | {"judge": None}, "pairwise"])
    assert [seat.judge for seat in panel.seats] == ["judge"] * 3
    model = Says("Score: 2\nVerdict: tie")
    assert orjson.loads(judged(panel, {"judge": model})["scores"]) == {
        "pair_rating": 2.0, "second_rating": 2.0, "preference": 0.5
    }  # fmt: skip
    assert model.asked == 4


@pytest.mark.parametrize(
    ("values", "grade"),
    [
        ({"critics": [WORDS, PAIR, SECOND]}, 1.0),  # the first that can: 3 on a scale whose middle is 2
        ({"critics": [WORDS, SECOND, PAIR]}, -1.0),
        ({"critics": [WORDS, PAIR, SECOND], "grade_by": "second"}, -1.0),
        ({"critics": [WORDS]}, 0.0),
        ({"critic": PAIR}, 1.0),
        ({"critic": None}, 0.0),
    ],
)
def test_one_critic_grades(values: dict[str, Any], grade: float) -> None:
    panel = panel_of(**values)
    replies = {"pair": Says("Score: 3"), "second": Says("Score: 1")}
    row = judged(panel, {seat.judge: replies[seat.plan.prefix] for seat in panel.seats if seat.judge})
    assert (row["question_score"], row["answer_score"]) == (grade, grade)


def test_one_rule_holds_for_the_scores_of_all() -> None:
    panel = panel_of(critics=[WORDS, PAIR], drop="passed < 0.5 or brief == 1 and pair_rating < 2")
    kept = judged(panel, {"critics.1.judge": Says("Score: 2")})
    assert kept.get(REASON) is None
    left = judged(panel, {"critics.1.judge": Says("Score: 1")})
    assert (left[REASON], left["bound"], left["field"], left["score"]) == (
        "failed_rule", "brief == 1 and pair_rating < 2", "brief", 1.0
    )  # fmt: skip
    assert orjson.loads(left["scores"])["pair_rating"] == 1.0


@pytest.mark.parametrize(
    ("drop", "bound"),
    [
        ("pair_rating < 2 or sourced < 1", "sourced < 1"),
        ("not (pair_rating > 1 and sourced == 1)", "not (pair_rating > 1 and sourced == 1)"),
        ("sourced < 1 and pair_rating < 2", None),
        ("pair_rating < 2", None),
        (None, None),
    ],
)
def test_nothing_is_paid_for_a_record_that_the_other_critics_have_sealed(drop: str | None, bound: str | None) -> None:
    model = Says("Score: 3")
    row = judged(panel_of(critics=[PAIR, WORDS], drop=drop), {"critics.0.judge": model})
    assert model.asked == (bound is None)
    assert (row.get("bound"), row.get(REASON)) == (bound, bound and "failed_rule")
    if bound:
        assert (row["field"], row["score"]) == ("sourced", 0.0)


def test_in_a_cascade_nobody_is_asked_once_the_rule_has_dropped_it() -> None:
    drop = "pair_rating < 2 or second_rating < 2"
    for cascade, asked in ((True, 0), (False, 1)):
        panel = panel_of(critics=[WORDS, PAIR, SECOND], drop=drop, cascade=cascade)
        first, second = Says("Score: 1"), Says("Score: 3")
        row = judged(panel, {"critics.1.judge": first, "critics.2.judge": second})
        assert (row["bound"], first.asked, second.asked) == ("pair_rating < 2", 1, asked)
    kept = judged(
        panel_of(critics=[WORDS, PAIR, SECOND], drop=drop, cascade=True),
        dict.fromkeys(("critics.1.judge", "critics.2.judge"), Says("Score: 3")),
    )
    assert kept.get(REASON) is None
    assert orjson.loads(kept["scores"])["second_rating"] == 3.0


@pytest.mark.parametrize(
    ("only", "asked"),
    [
        ({"context": False}, 1),
        ({"context": True}, 0),
        ({"kind": "knowledge"}, 1),
        ({"kind": ["skill", "other"]}, 0),
        ({"kind": ["skill", "knowledge"], "title": True}, 1),
        ({"nothing": False, "kind": True}, 1),
        ({"nothing": "x"}, 0),
    ],
)
def test_a_critic_judges_only_what_it_is_for(only: dict[str, Any], asked: int) -> None:
    panel = panel_of(critics=[WORDS, PAIR | {"only": only}], drop="passed < 0.5 or pair_rating < 2")
    model = Says("Score: 1")
    row = judged(panel, {"critics.1.judge": model}, extra='{"kind": "knowledge"}')
    assert model.asked == asked
    # What the rule asks of a score that nobody was to give is passed over.
    assert (row.get("bound"), row.get(REASON)) == (("pair_rating < 2", "failed_rule") if asked else (None, None))


def test_a_critic_that_cannot_score_is_named_and_what_others_said_is_kept() -> None:
    panel = panel_of(critics=[WORDS, PAIR, SECOND], drop="pair_rating < 2")
    row = judged(panel, {"critics.1.judge": Says("Score: 3"), "critics.2.judge": Says("I can't say.")})
    assert (row[REASON], row["bound"], row[DETAIL]) == ("unreadable_score", "judge as second", "I can't say.")
    assert orjson.loads(row["scores"])["pair_rating"] == 3.0
    failed = judged(panel, {"critics.1.judge": Says(RequestError("cut")), "critics.2.judge": Says("I can't say.")})
    assert (failed[REASON], failed["bound"]) == ("cut", "judge as pair")  # of several the first of the plan


def test_who_asks_nobody_fails_before_anyone_is_paid() -> None:
    model = Says("Score: 3")
    long = {"name": "rules", "arguments": {"rules": {"brief": {"matches": "damage"}}, "max_characters": 5}}
    row = judged(panel_of(critics=[PAIR, long]), {"critics.0.judge": model})
    assert (row[REASON], row["bound"], model.asked) == ("unscorable", "rules", 0)


def test_an_endpoint_that_refuses_all_ends_the_run() -> None:
    models = {"critics.0.judge": Says(EndpointError("wrong key")), "critics.1.judge": Says("Score: 3")}
    with pytest.raises(EndpointError, match="wrong key"):
        judged(panel_of(critics=[PAIR, SECOND]), models)


def test_a_single_critic_judges_as_before() -> None:
    row = judged(panel_of(critic="reward", drop="helpfulness < 0"), {"judge": Scripted()})
    scores = orjson.loads(row["scores"])
    assert row.get(REASON) is None
    assert row["question_score"] == scores["helpfulness"] - 2


def test_a_missing_score_is_the_records_failure() -> None:
    panel = panel_of(critic="reward", drop="reward < -10")
    row = judged(panel, {"judge": Scripted()})
    assert row[REASON] == "missing_score"
    assert "needs reward" in row[DETAIL]
