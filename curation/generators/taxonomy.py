"""Writes from all leaves of InstructLab's taxonomy: each record as its kind wants it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from curation.core.contracts import ChatModel, Generator
from curation.core.errors import RecordError
from curation.core.records import Record
from curation.core.registry import nearest
from curation.generators._taxonomy_knowledge import KnowledgeWriter
from curation.generators._taxonomy_skill import SkillWriter
from curation.generators._taxonomy_writer import KNOWLEDGE, TaxonomyWriter, kind_of


class Taxonomy(Generator):
    """For a plan with skills and knowledge: what `taxonomy_skill` and `taxonomy_knowledge` write, by the record's kind.

    Args:
        variants: records written from each seed, and on each piece of a document.
        max_calls, question_threshold, encoder, seed: of both.
        skill: further arguments of `taxonomy_skill`, or others than the common ones; not its `variants`.
        knowledge: the same of `taxonomy_knowledge`.
    """

    needs_model: ClassVar[bool] = True

    def __init__(
        self,
        variants: int = 10,
        max_calls: int = 3,
        question_threshold: float | None = 0.95,
        encoder: str = "embedded",
        seed: int = 0,
        skill: Mapping[str, Any] | None = None,
        knowledge: Mapping[str, Any] | None = None,
    ) -> None:
        common = {
            "variants": variants,
            "max_calls": max_calls,
            "question_threshold": question_threshold,
            "encoder": encoder,
            "seed": seed,
        }
        self._skill = SkillWriter(**{**common, **_own("skill", SkillWriter, skill)})
        self._knowledge = KnowledgeWriter(**{**common, **_own("knowledge", KnowledgeWriter, knowledge)})
        self.variants = variants
        self.max_calls = max_calls
        self.question_threshold = question_threshold
        self.encoder = encoder
        self.seed = seed
        self.skill = skill
        self.knowledge = knowledge

    async def expand(self, record: Record, model: ChatModel | None) -> list[Record]:
        """Exactly `variants` drafts, see `SkillWriter.expand` and `KnowledgeWriter.expand`.

        Raises:
            RecordError: `no_leaf` or `missing_text`: the record comes from nowhere in a taxonomy, or lacks its texts.
        """
        return await self._writer(record).expand(record, model)

    async def rehearse(self, record: Record, model: ChatModel | None) -> list[Record]:
        """See `Generator.rehearse`."""
        try:
            writer = self._writer(record)
        except RecordError:
            return []
        return await writer.rehearse(record, model)

    def _writer(self, record: Record) -> TaxonomyWriter:
        return self._knowledge if kind_of(record) == KNOWLEDGE else self._skill


def _own(name: str, writer: type[TaxonomyWriter], arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of one kind; ValueError for one that it doesn't take."""
    known = [key for key in inspect.signature(writer).parameters if key != "variants"]
    for key in arguments or {}:
        if key == "variants":
            raise ValueError(f"'variants' is the same for skills and knowledge, and stands beside '{name}'")
        if key not in known:
            raise ValueError(f"'{name}' has no argument '{key}'.{nearest(key, known)} It takes: {', '.join(known)}")
    return dict(arguments or {})
