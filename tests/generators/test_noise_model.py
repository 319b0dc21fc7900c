"""The noise generator with a teacher: what it draws and asks for, and what becomes of replies that lose a fact."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.errors import PlanError, RecordError, RequestError
from curation.core.records import DETAIL, REASON, Record, child, human
from curation.core.registry import Spec
from curation.generators._noise_model_prompts import NOISERS, PERSONAS, STYLES
from curation.generators._protected import MAX_CHARACTERS
from curation.generators.noise_model import NoiseModel
from curation.models.openai_compatible import OpenaiCompatible
from tests.mock_endpoint import MockEndpoint, reply

PARENT = human(
    "law-1",
    title="Late rent {0}",
    question="Two weeks ago I paid £1,200 to Mr. Smith in Leeds, see https://law.example/a?b=1. $what {may} he do?",
    answer="Not without notice, see § 8(2).",
    extra='{"site": "law"}',
)
KEPT = "So, two weeks ago I paid £1,200 to Mr. Smith in\nLeeds (https://law.example/a?b=1). $what {may} happen now?"
LOST = KEPT.replace("£1,200", "£1,300")


class Says(ChatModel):
    """Gives its replies in turn, the last one again and again, and keeps what it was asked."""

    name = "teacher"

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[Sequence[Message], dict[str, Any]]] = []

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.asked.append((messages, sampling))
        return Completion((self.replies.pop(0) if len(self.replies) > 1 else self.replies[0],))


class Fails(ChatModel):
    """Refuses every request, and counts them."""

    name = "closed"
    asked = 0

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.asked += 1
        raise RequestError("not_sent", "a dry run")


def expand(generator: NoiseModel, model: ChatModel, record: Record = PARENT) -> list[Record]:
    return asyncio.run(generator.expand(record, model))


def written(question: str, **more: str) -> str:
    return json.dumps({"question": question, **more})


def drawn(draft: Record) -> dict[str, str]:
    return dict(json.loads(json.loads(draft["extra"])["noise"]))


def test_a_draft_changes_the_question_alone_and_has_its_lineage() -> None:
    generator = NoiseModel(noisers=["persona"])
    (draft,) = expand(generator, Says(written(KEPT)))
    assert set(draft) == {"question", "strategy", "model", "prompt_id", "extra"}
    assert (draft["question"], draft["strategy"], draft["model"]) == (KEPT, "noise_model:persona", "teacher")
    assert draft["prompt_id"] == generator.prompt_id
    assert drawn(draft)["persona"] in PERSONAS
    assert (drawn(draft)["noiser"], drawn(draft)["table"]) == ("persona", "1")
    assert json.loads(draft["extra"])["site"] == "law"
    row = child(PARENT, 0, 1, draft)
    assert (row["title"], row["answer"]) == (PARENT["title"], PARENT["answer"])


@pytest.mark.parametrize("noiser", NOISERS)
def test_the_prompt_holds_the_record_untouched_and_what_must_stay(noiser: str) -> None:
    model = Says(written(KEPT))
    (draft,) = expand(NoiseModel(noisers=[noiser], terms=["PAID"]), model)
    (message,) = model.asked[0][0]
    task, material = message["content"].split("\n\n{\n", 1)
    material = json.loads("{" + material)
    assert {name: material[name] for name in ("title", "question", "answer")} == {
        name: PARENT[name] for name in ("title", "question", "answer")
    }
    assert material["keep"] == [
        "Two weeks",
        "paid",
        "£1,200",
        "Mr. Smith",
        "Leeds",
        "https://law.example/a?b=1",
        "$what {may}",
    ]
    assert material.get(noiser) == drawn(draft).get(noiser)
    assert NOISERS[noiser] in task
    assert "$" not in task
    assert '{"question": "…"}' in task


def test_the_title_is_written_anew_where_the_plan_says_so() -> None:
    model = Says(written(KEPT), written(KEPT, title="Paid, and still out?"))
    (draft,) = expand(NoiseModel(titles=True), model)
    assert (draft["title"], draft["question"]) == ("Paid, and still out?", KEPT)
    assert model.asked[0][1]["response_format"]["json_schema"]["schema"]["required"] == ["title", "question"]
    assert '{"title": "…", "question": "…"}' in model.asked[0][0][0]["content"]


def test_what_is_drawn_depends_on_seed_record_round_and_variant_alone() -> None:
    def labels(record: Record = PARENT, **arguments: Any) -> list[tuple[str, str]]:
        drafts = expand(NoiseModel(variants=8, **arguments), Says(written(KEPT)), record)
        return [(draft["strategy"], draft["extra"]) for draft in drafts]

    assert labels() == labels(noisers=["style", "persona", "context"])
    others = [labels(seed=1), labels({**PARENT, "id": "law-2"}), labels({**PARENT, "_round": 1})]
    assert all(other != labels() for other in others)
    assert {strategy for strategy, _ in labels()} == {f"noise_model:{noiser}" for noiser in NOISERS}


def test_weights_decide_how_often_a_noiser_is_drawn() -> None:
    generator = NoiseModel(variants=400, noisers={"style": 3, "context": 1, "persona": 0})
    counts = Counter(draft["strategy"] for draft in expand(generator, Says(written(KEPT))))
    assert set(counts) == {"noise_model:style", "noise_model:context"}
    assert 270 < counts["noise_model:style"] < 330


@pytest.mark.parametrize(("noiser", "table"), [("persona", PERSONAS), ("style", STYLES)])
def test_variants_of_a_parent_go_through_the_table(noiser: str, table: Sequence[str]) -> None:
    drafts = expand(NoiseModel(variants=len(table), noisers=[noiser]), Says(written(KEPT)))
    assert {drawn(draft)[noiser] for draft in drafts} == set(table)
    arguments: dict[str, Any] = {f"{noiser}s": ["a pirate", "a poet"]}
    own = expand(NoiseModel(variants=2, noisers=[noiser], **arguments), Says(written(KEPT)))
    assert {drawn(draft)[noiser] for draft in own} == {"a pirate", "a poet"}
    assert {drawn(draft)["table"] for draft in own} == {"plan"}


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([written(LOST), written(KEPT)], None),
        ([written(LOST), written(LOST)], "changed_span"),
        ([written(KEPT.replace("£1,200", "£1,200.50"))], "changed_span"),
        ([written(KEPT.replace("Smith", "Smithson"))], "changed_span"),
        ([written(KEPT.replace("Leeds", "leeds"))], "changed_span"),
        ([written(KEPT.replace("?b=1", ""))], "changed_span"),
        (["Sure thing!", f"Here it is:\n```json\n{written(KEPT)}\n```"], None),
        (["Sure thing!"], "unreadable_reply"),
        ([written(PARENT["question"] + "\n")], "unchanged"),
    ],
)
def test_a_draft_that_cannot_be_used_is_asked_for_once_more(replies: list[str], reason: str | None) -> None:
    (draft,) = expand(NoiseModel(), model := Says(*replies))
    assert draft.get(REASON) == reason
    if reason:
        assert (draft["question"], draft[DETAIL]) == (None, replies[-1])
    if reason or len(replies) > 1:
        assert len({sampling["seed"] for _, sampling in model.asked}) == len(model.asked) == 2
    assert draft["strategy"].startswith("noise_model:")


@pytest.mark.parametrize(
    "text", ["I'm sorry, but I can't help with that.", written("I cannot help with that request.")]
)
def test_a_refusal_is_told_apart_and_not_paid_again(text: str) -> None:
    drafts = expand(NoiseModel(variants=2), model := Says(text))
    assert [(draft[REASON], draft[DETAIL]) for draft in drafts] == [("refusal", text)] * 2
    assert len(model.asked) == 2


@pytest.mark.parametrize(
    ("question", "reason"),
    [(None, "empty_question"), (" \n", "empty_question"), ("a" * (MAX_CHARACTERS + 1), "too_long")],
)
def test_a_question_that_cannot_be_rewritten_is_its_own_failure(question: str | None, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        expand(NoiseModel(), Says(""), {**PARENT, "question": question})
    assert caught.value.reason == reason


def test_a_request_that_fails_costs_its_variant_alone_and_a_dry_run_counts_each() -> None:
    drafts = expand(NoiseModel(variants=3), Fails())
    assert [(draft[REASON], draft[DETAIL]) for draft in drafts] == [("not_sent", "a dry run")] * 3
    rehearsed = asyncio.run(NoiseModel(variants=3).rehearse(PARENT, model := Fails()))
    assert (rehearsed, model.asked) == ([{}] * 3, 3)


def test_each_request_has_a_seed_of_its_own_and_room_for_its_reply() -> None:
    generator = NoiseModel(variants=3)
    model = Says(written(LOST))
    expand(generator, model)
    seeds = [sampling["seed"] for _, sampling in model.asked]
    assert len(set(seeds)) == 6
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert generator.sampling_for(PARENT, 0)["max_tokens"] == 1024
    assert generator.sampling_for({**PARENT, "question": "大家" * 1000}, 0)["max_tokens"] > 2000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variants": 0}, "variants must be at least 1, not 0"),
        ({"noisers": ["personas"]}, "no noiser is called 'personas'. Did you mean 'persona'?"),
        ({"noisers": []}, "noisers must give a weight above 0 to at least one of: context"),
        ({"noisers": {"style": 0}}, "noisers must give a weight above 0"),
        ({"noisers": {"style": -1}}, "the weight of noiser 'style' must be a number of 0 or more, not -1"),
        ({"personas": "a pirate"}, "personas must be words or phrases"),
        ({"styles": []}, "styles must have at least one entry"),
        ({"terms": [" "]}, "terms must be words or phrases"),
    ],
)
def test_wrong_arguments_are_faults_of_the_plan(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=re.escape(message)):
        Spec("generator", "noise_model", arguments).create()


def test_it_pickles_with_its_arguments() -> None:
    copy = pickle.loads(pickle.dumps(NoiseModel(variants=2, noisers={"style": 1}, styles=["as a poem"], seed=7)))
    assert (copy.variants, copy.noisers, copy.styles, copy.seed) == (2, {"style": 1}, ["as a poem"], 7)
    assert copy.needs_model
    assert copy.prompt_id == NoiseModel().prompt_id


def test_over_http() -> None:
    async def run(model: ChatModel) -> list[Record]:
        drafts = await NoiseModel(noisers=["style"]).expand(PARENT, model)
        await model.close()
        return drafts

    with MockEndpoint() as server:
        server.default = lambda request: reply(f"<think>Which register?</think>\n{written(KEPT)}")
        (draft,) = asyncio.run(run(OpenaiCompatible("teacher", server.url)))
        (request,) = server.requests
    assert draft["question"] == KEPT
    assert request["response_format"]["json_schema"]["name"] == "question"
