"""What a run would ask of models: counted on the real records, without sending anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.config import Keys, Plan
from curation.core.contracts import ChatModel, Completion, Message
from curation.core.errors import RecordError, RequestError
from curation.core.records import Record, child
from curation.engine import lift
from curation.engine.run import Run, read_part
from curation.rounds import curate_source, draw_parents, why_no_rounds
from curation.stages.synthesize import components, plain

CHARACTERS_PER_TOKEN = 4  # of English text; tokenizers differ by a quarter
SAMPLE = 200


@dataclass
class Counting(ChatModel):
    """Answers nothing and counts what it is asked."""

    name: str = "dry run"
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = field(default=0)

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """Counts the request."""
        self.requests += 1
        self.prompt_tokens += sum(len(message["content"]) for message in messages) // CHARACTERS_PER_TOKEN
        self.completion_tokens += sampling.get("max_tokens", 0) * sampling.get("n", 1)
        raise RequestError("dry_run")


def estimate(run: Run, plan: Plan, keys: Keys) -> str:
    """Curates the source (a later run reads those stages back), draws round 1's parents and counts their requests.

    Returns:
        A few lines for a person: requests and tokens, at most, over all rounds, if nothing has to be asked again.
    """
    dataset = [curate_source(run, plan)]
    obstacle = why_no_rounds(plan, keys)
    if obstacle:
        return f"Dry run: the plan is sound. No synthetic data: {obstacle}. Nothing was sent."
    parents = draw_parents(run, plan, dataset, [], 1)
    rows = [plain(row) for part in parents.parts for row in read_part(str(part)).to_dict("records")]
    teacher, judge = Counting(), Counting()
    lift.run_async(_count(plan, rows[:SAMPLE], teacher, judge))
    scale = len(rows) / max(1, len(rows[:SAMPLE])) * plan.rounds.count
    lines = [f"Dry run: the plan is sound. {len(rows):,} parents a round, {plan.rounds.count} rounds, at most:"]
    for who, model, counted in (
        ("teacher", plan.generation.teacher, teacher),
        ("critic", plan.generation.judge_model, judge),
    ):
        asked = f"{model.model or model.kind} at {model.endpoint or 'this machine'}" if counted.requests else "no model"
        lines.append(
            f"  {who:<8} {round(counted.requests * scale):>8,} requests, about "
            f"{round(counted.prompt_tokens * scale):,} tokens in, at most "
            f"{round(counted.completion_tokens * scale):,} out ({asked})"
        )
    return "\n".join([*lines, "Nothing was sent."])


async def _count(plan: Plan, parents: list[Record], teacher: Counting, judge: Counting) -> None:
    generator, critic = components(plan.generation)
    for parent in parents:
        if generator.needs_model:
            await _ask(generator.expand(parent, teacher))
        if critic is not None and critic.needs_model:
            for index in range(generator.variants):
                # A variant is about as long as its parent.
                await _ask(critic.judge(child(parent, index, 1, {}), parent, judge))


async def _ask(question: Any) -> None:
    try:
        await question
    except RecordError:
        return
