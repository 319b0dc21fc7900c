from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.errors import RecordError
from curation.core.parse import read_json
from curation.core.records import DETAIL, REASON, Record, child, human
from curation.generators.paraphrase import FIELDS, MANNERS, Paraphrase
from curation.models.openai_compatible import OpenaiCompatible
from curation.models.scripted import Scripted
from tests.mock_endpoint import MockEndpoint, reply

PARENT = human(
    "law-1",
    title="Can a landlord enter {0}?",
    question="My landlord came in while I was away. $variants {variants} <b>May he</b>?",
    answer="Only with 24 hours' notice, except in an emergency.\n\nSee § 8(2).",
)
GOOD = {"title": "Entry without notice?", "question": "He entered.", "answer": "Not without notice."}


class Says(ChatModel):
    """Gives its replies in turn, and keeps what it was asked."""

    name = "teacher"

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[Sequence[Message], dict[str, Any]]] = []

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.asked.append((messages, sampling))
        return Completion((self.replies.pop(0),))


def expand(generator: Paraphrase, model: ChatModel, record: Record = PARENT) -> list[Record]:
    return asyncio.run(generator.expand(record, model))


def variants(*found: dict[str, str]) -> str:
    return json.dumps({"variants": found})


def test_the_prompt_holds_the_record_untouched_and_the_number_of_variants() -> None:
    (message,) = Paraphrase(variants=3, min_words=20, max_words=90).messages_for(PARENT)
    task, separator, record = message["content"].partition("The record:\n")
    assert json.loads(record) == {name: PARENT[name] for name in FIELDS}
    assert separator
    assert "exactly 3 variants" in task
    assert "Between 20 and 90 words" in task
    assert "$" not in task


def test_each_request_gets_one_of_the_manners_and_the_record_says_which() -> None:
    generator = Paraphrase(manners="varied")
    records = [{**PARENT, "id": f"law-{number}", "extra": '{"site": "law"}'} for number in range(60)]
    drawn = {generator.manner_for(record) for record in records}
    assert drawn == set(MANNERS)
    assert len({generator.manner_for({**PARENT, "_round": number}) for number in range(9)}) > 1
    model = Says(variants(GOOD))
    (draft,) = expand(generator, model, records[0])
    manner = generator.manner_for(records[0])
    assert json.loads(draft["extra"]) == {"site": "law", "manner": manner}
    ((messages, _),) = model.asked
    plain = Paraphrase().messages_for(records[0])[0]["content"]
    assert messages[0]["content"] == plain.replace("\n\nReply with", f"\n{manner}\n\nReply with")
    with pytest.raises(ValueError, match="manners is a list of sentences, or 'varied', not 'other'"):
        Paraphrase(manners="other")


def test_each_variant_is_a_draft_with_its_origin() -> None:
    generator = Paraphrase(variants=2)
    drafts = expand(generator, model := Says(variants(GOOD, {**GOOD, "title": "Two"})))
    labels = {"strategy": "paraphrase", "model": "teacher", "prompt_id": generator.prompt_id}
    assert drafts == [{**GOOD, **labels}, {**GOOD, "title": "Two", **labels}]
    assert len(model.asked) == 1
    assert child(PARENT, 0, 1, drafts[0])["question"] == GOOD["question"]


def test_the_reply_format_asks_for_exactly_the_variants() -> None:
    schema = Paraphrase(variants=3).sampling_for(PARENT)["response_format"]["json_schema"]["schema"]
    array = schema["properties"]["variants"]
    assert (array["minItems"], array["maxItems"]) == (3, 3)
    assert array["items"]["required"] == list(FIELDS)


def test_the_seed_depends_on_the_record_the_round_the_attempt_and_the_generators_seed() -> None:
    other = {**PARENT, "id": "law-2"}
    seeds = [
        Paraphrase().sampling_for(PARENT)["seed"],
        Paraphrase().sampling_for(PARENT, 1)["seed"],
        Paraphrase().sampling_for(other)["seed"],
        Paraphrase(seed=1).sampling_for(PARENT)["seed"],
        Paraphrase().sampling_for({**PARENT, "_round": 2})["seed"],
    ]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seeds[0] == Paraphrase().sampling_for(PARENT)["seed"]


@pytest.mark.parametrize("text", ["notice before entry ", "大家必须遵守法律。", "§§ 1–4 „Mietrecht“ ", '\n"quoted"\n'])
@pytest.mark.parametrize("count", [1, 3])
def test_a_reply_half_as_long_again_as_the_parent_fits(text: str, count: int) -> None:
    record = {**PARENT, "question": text * 100, "answer": text * 200}
    room = Paraphrase(variants=count).sampling_for(record)["max_tokens"]
    longer = {**GOOD, "question": text * 150, "answer": text * 300}
    whole = json.dumps({"variants": [longer] * count}, ensure_ascii=False)
    tokens = len(whole.encode()) / 4 if whole.isascii() else len(whole.encode()) / 4.5
    assert tokens <= room
    assert Paraphrase(variants=count, max_tokens=99_999).sampling_for(record)["max_tokens"] == 99_999


def test_an_unreadable_reply_is_asked_for_once_more_with_another_seed() -> None:
    model = Says("Sure thing!", variants(GOOD))
    (draft,) = expand(Paraphrase(), model)
    assert draft["title"] == GOOD["title"]
    assert REASON not in draft
    assert len({sampling["seed"] for _, sampling in model.asked}) == 2


def test_what_stays_unreadable_goes_to_the_ledger_with_the_reply() -> None:
    drafts = expand(Paraphrase(variants=2), model := Says("Sure thing!", "No idea."))
    assert [(draft[REASON], draft[DETAIL], draft["question"]) for draft in drafts] == [
        ("unreadable_reply", "No idea.", None)
    ] * 2
    assert len(model.asked) == 2
    assert drafts[0]["model"] == "teacher"


def test_missing_variants_go_to_the_ledger_and_surplus_ones_were_not_asked_for() -> None:
    text = variants(GOOD, {"title": "only"})
    drafts = expand(Paraphrase(variants=3), Says(text))
    assert [draft.get(REASON) for draft in drafts] == [None, "missing_variant", "missing_variant"]
    assert drafts[1][DETAIL] == text
    assert len(expand(Paraphrase(), Says(variants(GOOD, GOOD)))) == 1


def test_a_refusal_is_told_apart_and_not_paid_again() -> None:
    drafts = expand(Paraphrase(variants=2), model := Says("I'm sorry, but I can't help with that."))
    assert [draft[REASON] for draft in drafts] == ["refusal", "refusal"]
    assert len(model.asked) == 1


@pytest.mark.parametrize("missing", [{"answer": None}, {"question": "  "}])
def test_a_parent_without_text_is_its_own_failure(missing: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="missing_text"):
        expand(Paraphrase(), Says(), {**PARENT, **missing})


def test_a_parent_without_a_title_gets_one() -> None:
    (draft,) = expand(Paraphrase(), Scripted(), {**PARENT, "title": None})
    assert draft["title"]


@pytest.mark.parametrize("arguments", [{"variants": 0}, {"min_words": 9, "max_words": 8}, {"min_words": -1}])
def test_impossible_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Paraphrase(**arguments)


def test_the_prompts_id_changes_with_the_prompt_alone() -> None:
    assert pickle.loads(pickle.dumps(Paraphrase(variants=2))).prompt_id == Paraphrase(seed=5).prompt_id


def test_a_scripted_teacher_writes_variants_offline() -> None:
    drafts = expand(Paraphrase(variants=3), Scripted())
    assert len({draft["answer"] for draft in drafts}) == 3
    assert all("§ 8(2)" in draft["answer"] and draft["model"] == "scripted" for draft in drafts)
    assert drafts == expand(Paraphrase(variants=3), Scripted())


def test_over_http_with_a_json_reply_in_a_fence() -> None:
    async def run(model: ChatModel) -> list[Record]:
        drafts = await Paraphrase(variants=2).expand(PARENT, model)
        await model.close()
        return drafts

    with MockEndpoint() as server:
        other = {**GOOD, "title": "May they come in unannounced?"}
        server.default = lambda request: reply(f"Here:\n```json\n{variants(GOOD, other)}\n```")
        drafts = asyncio.run(run(OpenaiCompatible("teacher", server.url)))
        (request,) = server.requests
    assert [draft["title"] for draft in drafts] == [GOOD["title"], other["title"]]
    assert request["response_format"]["type"] == "json_schema"
    assert read_json(request["messages"][0]["content"].rpartition("The record:")[2])["answer"] == PARENT["answer"]
