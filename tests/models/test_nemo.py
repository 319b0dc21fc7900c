"""Any of our models behind NeMo Curator's own generators."""

from __future__ import annotations

import asyncio
import logging

import pytest

from curation.core.contracts import ChatModel, Message
from curation.core.errors import ReplyError
from curation.models import as_llm_client
from curation.models.openai_compatible import OpenaiCompatible
from curation.models.scripted import Scripted
from tests.mock_endpoint import Answer, MockEndpoint, Request, reply

TOPICS = "1. Tenancy law\n2. Labour law"


def topics(model: ChatModel) -> list[str]:
    from nemo_curator.synthetic import AsyncNemotronGenerator

    async def run() -> list[str]:
        generator = AsyncNemotronGenerator(as_llm_client(model), logger=logging.getLogger("test"))
        answers: list[str] = await generator.generate_macro_topics(
            n_macro_topics=2, model=model.name, model_kwargs={"temperature": 0.2, "max_tokens": 64}
        )
        await model.close()
        return answers

    return asyncio.run(run())


def test_nemo_curators_generator_asks_a_scripted_model() -> None:
    from nemo_curator.services import AsyncLLMClient

    model = Scripted([{"match": "topics", "reply": TOPICS}])
    assert isinstance(as_llm_client(model), AsyncLLMClient)
    assert topics(model) == [TOPICS]


def test_nemo_curators_generator_asks_an_endpoint() -> None:
    with MockEndpoint() as server:
        server.default = lambda _: reply(TOPICS)
        assert topics(OpenaiCompatible("teacher", server.url)) == [TOPICS]
        (request,) = server.requests
    assert request["messages"][0]["content"].startswith("Can you generate 2 comprehensive topics")
    assert {name: request.get(name) for name in ("temperature", "max_tokens", "n")} == {
        "temperature": 0.2,
        "max_tokens": 64,
        "n": None,
    }


def test_a_whole_pipeline_of_nemo_curator_runs_on_a_scripted_model() -> None:
    from nemo_curator.synthetic import AsyncNemotronGenerator

    model = Scripted(
        [{"match": "(?i)yaml", "reply": "- Tenancy law\n- Labour law"}, {"match": "topics", "reply": TOPICS}]
    )

    async def run() -> list[str]:
        generator = AsyncNemotronGenerator(as_llm_client(model), logger=logging.getLogger("test"))
        (reply_text,) = await generator.generate_macro_topics(n_macro_topics=2, model="scripted")
        listed: list[str] = await generator.convert_response_to_yaml_list(reply_text, model="scripted")
        return listed

    assert asyncio.run(run()) == ["Tenancy law", "Labour law"]


def test_scores_are_a_mapping_and_texts_are_no_scores() -> None:
    def answer(request: Request) -> Answer:
        scored = request["messages"][-1]["role"] == "assistant"
        return reply("reward:-3.5", logprobs={"reward": -3.5}, as_list=True) if scored else reply("hello")

    talk: list[Message] = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]

    async def run(model: ChatModel) -> dict[str, float]:
        client = as_llm_client(model)
        try:
            with pytest.raises(ReplyError):
                await client.query_reward_model(messages=talk[:1], model="judge")
            scores: dict[str, float] = await client.query_reward_model(messages=talk, model="judge")
            return scores
        finally:
            await model.close()

    with MockEndpoint() as server:
        server.default = answer
        assert asyncio.run(run(OpenaiCompatible("judge", server.url))) == {"reward": -3.5}


@pytest.mark.parametrize(("name", "stream"), [("other", False), ("scripted", True)])
def test_what_a_model_cannot_do_is_refused(name: str, stream: bool) -> None:
    client = as_llm_client(Scripted())
    with pytest.raises(ValueError):
        asyncio.run(client.query_model(messages=[{"role": "user", "content": "q"}], model=name, stream=stream))
