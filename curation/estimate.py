"""What a run would ask of models: counted on the real records, without sending anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curation.config import BudgetPlan, GenerationPlan, Keys, ModelPlan, Plan
from curation.core.contracts import ChatModel, Completion, Generator, Message
from curation.core.errors import RecordError, RequestError
from curation.core.records import Record, child
from curation.engine import lift
from curation.engine.run import Run, read_part
from curation.rounds import curate_source, draw_parents, needed, read_other, why_no_rounds
from curation.stages._panel import Panel
from curation.stages.balance import most_parents
from curation.stages.synthesize import plain

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
    dataset = [curate_source(run, plan, read_other(run, plan))]
    obstacle = why_no_rounds(plan, keys)
    if obstacle:
        return f"Dry run: the plan is sound. No synthetic data: {obstacle}. Nothing was sent."
    parents = draw_parents(run, plan, dataset, [], needed(plan, dataset, []), 1)
    rows = [plain(row) for part in parents.parts for row in read_part(str(part)).to_dict("records")]
    teacher, judges = Counting(), {name: Counting() for name in plan.generation.judges if name}
    lift.run_async(_count(plan, rows[:SAMPLE], teacher, judges))
    balance, count = plan.rounds.balance, plan.rounds.count
    most = most_parents(dataset, balance, count) if balance else count * len(rows)
    scale = most / max(1, len(rows[:SAMPLE]))
    drawn = f"parents in round 1, {most:,} in {count} rounds" if balance else f"parents a round, {count} rounds"
    lines = [f"Dry run: the plan is sound. {len(rows):,} {drawn}, at most:"]
    forecasts = [*_forecasts("teacher", plan.generation.teacher_models, teacher, scale)]
    forecasts += _critics_forecasts(plan.generation, judges, scale)
    lines += [forecast.line for forecast in forecasts]
    return "\n".join([*lines, *_against_budget(plan.budget, forecasts), "Nothing was sent."])


@dataclass(frozen=True)
class Forecast:
    """What one model would be asked over all rounds, at most; `dollars` is None where it has no price."""

    line: str
    requests: int
    tokens: int
    dollars: float | None


def _forecasts(who: str, models: Sequence[ModelPlan], counted: Counting, scale: float) -> list[Forecast]:
    """Of each model its part: several share by weight."""
    whole = sum(model.weight for model in models)
    return [_forecast(who, model, counted, scale * model.weight / whole) for model in models]


def _critics_forecasts(plan: GenerationPlan, counted: Mapping[str, Counting], scale: float) -> list[Forecast]:
    """Of each model that critics ask; it says for which of them where there are several models."""
    if not counted:
        return [_forecast("critic", plan.judge_model, Counting(), scale)]
    models, judges = dict(plan.asked), list(zip(plan.judges, plan.panel, strict=True))
    labels = {name: ", ".join(critic.label for judge, critic in judges if judge == name) for name in counted}
    return [
        _forecast("critic", models[name], own, scale, labels[name] if len(counted) > 1 else "")
        for name, own in counted.items()
    ]


def _forecast(who: str, model: ModelPlan, counted: Counting, scale: float, whom: str = "") -> Forecast:
    requests, prompt = round(counted.requests * scale), round(counted.prompt_tokens * scale)
    completion = round(counted.completion_tokens * scale)
    asked = f"{model.model or model.kind} at {model.endpoint or 'this machine'}" if counted.requests else "no model"
    price = model.price
    dollars = (price.prompt * prompt + price.completion * completion) / 1e6 if price else None
    costs = f", ${dollars:,.2f}" if dollars else ""
    out = f"at most {completion:,} out" if completion or not requests else "replies of no stated bound"
    asked += f", for {whom}" if whom else ""
    line = f"  {who:<8} {requests:>8,} requests, about {prompt:,} tokens in, {out}{costs} ({asked})"
    return Forecast(line, requests, prompt + completion, dollars)


def _against_budget(budget: BudgetPlan, forecasts: Sequence[Forecast]) -> list[str]:
    """One line for each bound of the plan."""
    bounds = (
        ("max_requests", "requests", budget.max_requests, sum(one.requests for one in forecasts)),
        ("max_tokens", "tokens", budget.max_tokens, sum(one.tokens for one in forecasts)),
        ("max_cost", "dollars", budget.max_cost, sum(one.dollars or 0.0 for one in forecasts)),
    )
    return [
        f"  {name}={bound:,} " + ("is enough" if most <= bound else f"may end the rounds early ({most:,.10g} {unit})")
        for name, unit, bound, most in bounds
        if bound is not None
    ]


async def _count(plan: Plan, parents: list[Record], teacher: Counting, judges: Mapping[str, Counting]) -> None:
    generator: Generator = plan.generation.generator.spec("generator").create()
    seats = [(seat.critic, seat.judge) for seat in Panel.of(plan.generation).seats]
    for parent in parents:
        drafts = await generator.rehearse(parent, teacher if generator.needs_model else None)
        for row in [child(parent, index, 1, draft) for index, draft in enumerate(drafts)]:
            for critic, judge in seats:
                if judge:
                    await _ask(critic.judge(row, parent, judges[judge]))


async def _ask(question: Any) -> None:
    try:
        await question
    except RecordError:
        return
