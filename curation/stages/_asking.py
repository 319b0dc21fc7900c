"""How a round asks its models: opened once in each worker process, under limits that all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from curation.config import BudgetPlan, Keys, ModelPlan, Plan
from curation.core.contracts import ChatModel, Completion, Message
from curation.core.records import Record, to_json, unit_interval
from curation.core.registry import Spec
from curation.engine import pool, share, spending
from curation.engine.guard import Guard
from curation.engine.journal import Journal, Journaled
from curation.engine.pace import Limits
from curation.engine.pool import Pool
from curation.engine.progress import watching
from curation.engine.run import Run
from curation.engine.share import Share, Terms
from curation.engine.spending import Amount, Budget, Price

SPENDING = "spending"
"""The folder of a run with the log of what was spent."""


@dataclass(frozen=True)
class Asked:
    """A model as it travels to a worker: opened there, with its journal and its guard.

    Args:
        root: the run's folder.
        pool: the name of what the workers share.
    """

    plan: ModelPlan
    key: SecretStr | None
    root: Path
    pool: str
    budget: Budget

    def open(self, mine: Share) -> ChatModel:
        """The model; replies that the journal holds are not asked for again."""
        model = model_of(self.plan, self.key)
        price = self.plan.price
        terms = Terms(self.plan.place, model.name, Price(price.prompt, price.completion) if price else Price())
        guarded = Guard(
            model,
            mine,
            terms,
            timeout=None if hasattr(model, "timeout") else self.plan.timeout,
            reply_tokens=self.plan.max_reply_tokens,
            bound_replies=self.budget.counts_tokens,
        )
        return Journaled(guarded, Journal(self.root / "journal"), tally=guarded.tally)


class Sampled(ChatModel):
    """A model whose sampling is set: it wins over what the request says."""

    def __init__(self, model: ChatModel, sampling: Mapping[str, Any]) -> None:
        self.name = model.name
        self.model = model
        self.sampling = dict(sampling)

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """Asks with the sampling that is set."""
        return await self.model.chat(messages, **{**sampling, **self.sampling})


def model_of(plan: ModelPlan, key: SecretStr | None) -> ChatModel:
    """The plan's model, unguarded."""
    arguments = dict(plan.arguments)
    if plan.kind == "openai_compatible":
        arguments = {
            "model": plan.model,
            "endpoint": plan.endpoint,
            "timeout": plan.timeout,
            **arguments,
            "api_key": key,
        }
    model: ChatModel = Spec("model", plan.kind, arguments).create()
    return model


def drawn(plans: Sequence[ModelPlan], record: Record, round_number: int) -> int:
    """Which of several teachers a record is given to: by weight, from its id and the round alone."""
    point = unit_interval("teacher", round_number, record["id"]) * sum(plan.weight for plan in plans)
    for number, plan in enumerate(plans):
        point -= plan.weight
        if point < 0:
            return number
    return len(plans) - 1


def sampling_of(plan: ModelPlan, record: Record, round_number: int) -> dict[str, Any]:
    """The teacher's sampling for a record: from each list one value, drawn from its id and the round alone."""

    def pick(name: str, values: Any) -> Any:
        if not isinstance(values, list):
            return values
        return values[int(unit_interval("sampling", name, round_number, record["id"]) * len(values))]

    return {name: pick(name, values) for name, values in plan.sampling.items()}


@asynccontextmanager
async def opened(asked: Sequence[Asked], mine: Share) -> Any:
    """The models in this process's event loop, each opened once however many partitions ask it at a time."""
    names = [to_json({"pool": one.pool, "plan": one.plan.model_dump(mode="json")}) for one in asked]
    for name, one in zip(names, asked, strict=True):
        if name not in _models:
            _models[name] = (one.open(mine), 0)
        model, users = _models[name]
        _models[name] = (model, users + 1)
    try:
        yield [_models[name][0] for name in names]
    finally:
        for name in names:
            model, users = _models[name]
            _models[name] = (model, users - 1)
            if users == 1:
                del _models[name]
                await model.close()


_models: dict[str, tuple[ChatModel, int]] = {}


def share_of(asked: Sequence[Asked]) -> Share:
    """On a worker: this process's share of the run's limits. Elsewhere: one of its own, without a budget."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:
        return share.local(limits_of([one.plan for one in asked]))
    return share.of_worker(worker, asked[0].pool, asked[0].root / SPENDING, asked[0].budget)


def limits_of(plans: Sequence[ModelPlan]) -> dict[str, Limits]:
    """By endpoint: models that are asked at one share its limits, and the narrowest counts."""
    found: dict[str, Limits] = {}
    for place in {plan.place for plan in plans}:
        there = [plan for plan in plans if plan.place == place]
        found[place] = Limits(
            max_in_flight=min(plan.max_in_flight for plan in there),
            requests_per_minute=_least([plan.requests_per_minute for plan in there]),
            tokens_per_minute=_least([plan.tokens_per_minute for plan in there]),
        )
    return found


def _least(bounds: Sequence[float | None]) -> float | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def budget_of(plan: BudgetPlan) -> Budget:
    """The engine's form."""
    return Budget(plan.max_requests, plan.max_tokens, plan.max_cost)


def asked_models(run: Run, plan: Plan, keys: Keys) -> tuple[list[Asked], dict[str, Asked]]:
    """The teachers, and the critics' models by their field of the plan, as far as they are asked anything."""
    ready = partial(Asked, root=run.store.root, pool=run.pool, budget=budget_of(plan.budget))
    asked = {name: ready(model, keys.of(model)) for name, model in plan.generation.asked}
    judges = {name: asked.pop(name) for name in plan.generation.judges if name in asked}
    return list(asked.values()), judges


@contextmanager
def asking(run: Run, plan: Plan) -> Iterator[None]:
    """While rounds are run: what all workers share is at the scheduler.

    The budget is what the plan gives, less what earlier tries have spent.
    """
    models = [model for _, model in plan.generation.asked]
    if not models:
        yield
        return
    Journal(run.store.root / "journal").compact()
    spent = spending.fold(run.store.root / SPENDING)
    bound = budget_of(plan.budget)
    left = bound.amount - sum((tally.amount for tally in spent.values()), Amount()) if bound.bounded else None
    run.pool = uuid4().hex
    pool.register(run.client, run.pool, Pool(limits_of(models), left))
    try:
        yield
    finally:
        with suppress(OSError):  # a cluster that has gone away holds nothing any more
            pool.ask(run.client, run.pool, "close")
            run.client.run(share.forget, run.pool)
        run.pool = ""


def shown(run: Run) -> AbstractContextManager[None]:
    """While a stage asks models: the display shows what it asks."""
    if not run.pool:
        return nullcontext()
    return watching(run.progress, lambda: pool.ask(run.client, run.pool, "figures"))
