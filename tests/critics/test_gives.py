"""What critics say beforehand of the attributes that they give."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from curation.core import registry
from curation.core.contracts import ChatModel, Completion, Critic, Message
from curation.core.parse import REWARD_ATTRIBUTES
from curation.core.records import child, human

PARENT = human("a", title="Deposit?", question="May he keep the whole deposit?", answer="Only for damage, § 38.")
CHILD = child(PARENT, 0, 1, {"question": "Can my landlord keep all of it?"})
ARGUMENTS: dict[str, dict[str, Any]] = {
    "rules": {"rules": {"sourced": {"citations": 1}, "brief": {"max_words": 3}}},
    "local_reward": {"path": "nowhere"},
}


class Obliging(ChatModel):
    """Answers whatever any critic may ask for."""

    name = "obliging"

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        return Completion(("Score: 2\nVerdict: A",), logprobs=tuple((name, 2.5) for name in REWARD_ATTRIBUTES))


@pytest.mark.parametrize("name", registry.names("critic"))
def test_a_critic_gives_what_it_says_and_nothing_else(name: str) -> None:
    made = registry.Spec("critic", name, ARGUMENTS.get(name, {})).create()
    critic: Critic = pickle.loads(pickle.dumps(made))
    scores = asyncio.run(critic.judge(CHILD, PARENT, Obliging()))
    assert critic.gives is not None
    assert scores
    assert set(scores) <= set(critic.gives)
    assert set(critic.gives) - set(scores) <= {"reward"}  # which stands in the place of the five
    for attribute, scale in critic.gives.items():
        if scale is not None and attribute in scores:
            assert scores[attribute] in range(scale[0], scale[1] + 1)
