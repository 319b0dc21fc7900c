"""Lets NeMo Curator's generators ask any `ChatModel`. Importing this module imports NeMo Curator (seconds, 500 MB)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nemo_curator.services import AsyncLLMClient, ConversationFormatter

from curation.core.contracts import ChatModel, Message
from curation.core.parse import read_scores


class ModelClient(AsyncLLMClient):  # type: ignore[misc]  # NeMo Curator is untyped
    """A `ChatModel` with the face of NeMo Curator's `AsyncLLMClient`.

    Args:
        model: answers every request. The `model` of a call must be its name: answering in another's name would
            put a wrong model into the lineage.
    """

    def __init__(self, model: ChatModel) -> None:
        self.model = model

    async def query_model(
        self,
        *,
        messages: Iterable[Message],
        model: str,
        conversation_formatter: ConversationFormatter | None = None,
        stream: bool = False,
        **sampling: Any,
    ) -> list[str]:
        """The texts of all choices.

        Args:
            messages: the conversation.
            model: the name of the model of this client.
            conversation_formatter: not needed, the endpoint applies the model's own template.
            stream: only False.
            sampling: `max_tokens`, `n`, `seed`, `stop`, `temperature`, `top_k`, `top_p`; None is left out.
        """
        if stream:
            raise ValueError("a ChatModel answers whole: stream must be False")
        self._check_name(model)
        asked = {name: value for name, value in sampling.items() if value is not None}
        completion = await self.model.chat(list(messages), **asked)
        return list(completion.texts)

    async def query_reward_model(
        self, *, messages: Iterable[Message], model: str, conversation_formatter: ConversationFormatter | None = None
    ) -> dict[str, float]:
        """The scores of a conversation by name.

        Raises:
            ReplyError: the model is no reward model, or its reply can't be read.
        """
        self._check_name(model)
        return read_scores(await self.model.chat(list(messages)))

    def _check_name(self, model: str) -> None:
        if model != self.model.name:
            raise ValueError(f"this client asks {self.model.name}, not {model}")
