"""Scores a record with a reward model, such as Nemotron-4-340B-Reward or the 70B reward models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from curation.core.contracts import ChatModel, Critic, Message, Scores
from curation.core.parse import REWARD_ATTRIBUTES, read_scores
from curation.core.ratings import Scale
from curation.core.records import Record

NEUTRAL_HELPFULNESS = 2.0
"""The middle of HelpSteer2's scale from 0 to 4."""


class Reward(Critic):
    """Shows the model the record as a conversation: title and question are the user's, the answer is the assistant's.

    The scores are `helpfulness`, `correctness`, `coherence`, `complexity` and `verbosity`, each from about 0 to 4,
    or one `reward`, which is comparable between answers to one question only.
    """

    needs_model: ClassVar[bool] = True

    @property
    def gives(self) -> Mapping[str, Scale | None]:
        """The five and `reward`; they are no whole numbers."""
        return dict.fromkeys((*REWARD_ATTRIBUTES, "reward"))

    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        """The model's scores.

        Raises:
            ReplyError: `unreadable_score`, with the reply's text.
        """
        assert model is not None
        return read_scores(await model.chat(self.messages_for(record)))

    def messages_for(self, record: Record) -> list[Message]:
        """The conversation that is judged."""
        asked = "\n\n".join(part for part in (record["title"], record["question"]) if part)
        return [{"role": "user", "content": asked}, {"role": "assistant", "content": record["answer"] or ""}]

    def grade(self, scores: Scores) -> float:
        """Helpfulness above the middle of its scale, never rounded; 0 where there is only a `reward`."""
        return scores["helpfulness"] - NEUTRAL_HELPFULNESS if "helpfulness" in scores else 0.0
