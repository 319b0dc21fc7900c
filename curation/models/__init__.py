"""Language models: one file, one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from curation.core.contracts import ChatModel

if TYPE_CHECKING:
    from curation.models._nemo import ModelClient


def as_llm_client(model: ChatModel) -> ModelClient:
    """The model as NeMo Curator's `AsyncLLMClient`, for its generators. Imports NeMo Curator (seconds)."""
    from curation.models._nemo import ModelClient

    return ModelClient(model)
