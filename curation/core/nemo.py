"""The two contracts that are NeMo Curator's own. Importing this module imports NeMo Curator (seconds, 500 MB)."""

from __future__ import annotations

from nemo_curator.filters import DocumentFilter
from nemo_curator.modifiers import DocumentModifier


class Modifier(DocumentModifier):  # type: ignore[misc]  # NeMo Curator is untyped
    """Text in, text out: implement `modify_document(text) -> str`. Works in NeMo Curator's `Modify` as it is."""


class Filter(DocumentFilter):  # type: ignore[misc]  # NeMo Curator is untyped
    """Implement `score_document(text) -> score` and `keep_document(score) -> bool`, as for `ScoreFilter`."""
