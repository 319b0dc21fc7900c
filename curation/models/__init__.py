"""Language models: one file, one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.core.contracts import ChatModel

if TYPE_CHECKING:
    from curation.models._nemo import ModelClient
    from curation.models._openai import OpenaiFace


def as_llm_client(model: ChatModel) -> ModelClient:
    """The model as NeMo Curator's `AsyncLLMClient`, for its generators. Imports NeMo Curator (seconds)."""
    from curation.models._nemo import ModelClient

    return ModelClient(model)


def as_openai(model: ChatModel) -> OpenaiFace:
    """The model as `AsyncOpenAI`, for code that calls `chat.completions.create`. Imports the `openai` package."""
    from curation.models._openai import OpenaiFace

    return OpenaiFace(model)
