"""Critics that ask a model, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.records import Record
from curation.engine.guard import Guard
from curation.models.openai_compatible import OpenaiCompatible
from tests.mock_endpoint import Answer, MockEndpoint


def judged(
    critic: Critic, record: Record, parent: Record | None, default: Callable[[dict[str, Any]], Answer]
) -> tuple[Scores, list[str]]:
    """A critic's scores through guard and HTTP, and the prompts that arrived, in no order."""

    async def run(model: ChatModel) -> Scores:
        try:
            return await critic.judge(record, parent, model)
        finally:
            await model.close()

    with MockEndpoint() as server:
        server.default = default
        scores = asyncio.run(run(Guard(OpenaiCompatible("judge", server.url), base_delay=0.001)))
        return scores, [prompt_of(request) for request in server.requests]


def prompt_of(request: dict[str, Any]) -> str:
    """The one message of a request."""
    (message,) = request["messages"]
    assert message["role"] == "user"
    return str(message["content"])
