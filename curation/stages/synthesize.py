"""Lets a generator write new records from the parents, and a critic judge each as soon as it is there."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curation.config import GenerationPlan, Keys, Plan
from curation.core.contracts import ChatModel, Critic, Generator
from curation.core.errors import EndpointError, RecordError
from curation.core.records import COLUMNS, DETAIL, REASON, TEXT_COLUMNS, Record, child, frame, rejected, to_json
from curation.core.registry import Spec
from curation.core.rules import Rule
from curation.engine import ledger, lift
from curation.engine.lift import Outcome
from curation.engine.run import Run, table_of
from curation.engine.share import Share
from curation.engine.store import Manifest, Stage
from curation.stages._asking import Asked, Sampled, asked_models, drawn, model_of, opened, sampling_of, share_of, shown

STAGE = "30-synthesize"
BUDGET_SPENT = "budget_spent"
"""The ledger's reason where nothing was asked because nothing may be spent any more."""

HOW_IT_IS_ASKED = {
    "timeout", "max_in_flight", "requests_per_minute", "tokens_per_minute", "max_reply_tokens", "price"
}  # fmt: skip
"""Of a model's plan, what changes no reply."""

PARSERS = [
    f"curation.core.{name}"
    for name in ("parse", "_parse_json", "_parse_lines", "_parse_lists", "_parse_text", "_parse_variants")
]
"""What reads replies: a stage is run again when it changes."""

ROUND = "_round"
"""The record that a generator gets says in this key which round it is expanded in, for its seeds."""
_ENTRY_COLUMNS = (*COLUMNS, "reason", "field", "score", "bound", "detail")


@dataclass(frozen=True)
class Synthesize:
    """Expands and judges the parents of one partition, in one sliding window.

    Args:
        generator, critic: `critic` may be None: then every child is kept, ungraded.
        strategy: what the ledger calls the generator where it wrote nothing.
        rule: what a judged record must not be.
        teachers, judge: none where the component asks no model.
        window: parents at work at a time.
    """

    generator: Generator
    critic: Critic | None
    strategy: str
    rule: Rule | None
    teachers: list[Asked]
    judge: Asked | None
    round_number: int
    window: int

    def __call__(self, parents: pd.DataFrame) -> Outcome:
        """One partition of parents in, their children out: each variant asked for is kept or in the ledger."""
        records = [plain(row) for row in parents.to_dict("records")]
        asked = [*self.teachers, *([self.judge] if self.judge else [])]
        mine = share_of(asked) if asked else None
        rows = lift.run_async(partial(self._all, records, asked, mine))
        kept = frame(row for row in rows if row.get(REASON) is None)
        left = frame((_entry(row) for row in rows if row.get(REASON) is not None), _ENTRY_COLUMNS)
        return Outcome(kept, ledger.entries(left, "synthesize", self.round_number), expected=len(rows))

    async def _all(
        self, parents: list[Record], asked: list[Asked], mine: Share | None, last_begun: Callable[[], None]
    ) -> list[Record]:
        if mine is None:
            return await self._families(parents, [], None, None, last_begun)
        async with opened(asked, mine) as models:
            judge = models.pop() if self.judge else None
            return await self._families(parents, models, judge, mine, last_begun)

    async def _families(
        self,
        parents: list[Record],
        teachers: list[ChatModel],
        judge: ChatModel | None,
        mine: Share | None,
        last_begun: Callable[[], None],
    ) -> list[Record]:
        async def work(parent: Record) -> list[Record]:
            family = await self._family(parent, self._teacher_of(parent, teachers), judge)
            if mine is not None:
                mine.finished += 1
            return family

        families = await lift.window(parents, work, self.window, last_begun)
        return [row for family in families for row in family]

    def _teacher_of(self, parent: Record, teachers: list[ChatModel]) -> ChatModel | None:
        """Who writes from this parent, and how freely."""
        if not teachers:
            return None
        plans = [teacher.plan for teacher in self.teachers]
        number = drawn(plans, parent, self.round_number)
        sampling = sampling_of(plans[number], parent, self.round_number)
        return Sampled(teachers[number], sampling) if sampling else teachers[number]

    async def _family(self, parent: Record, teacher: ChatModel | None, judge: ChatModel | None) -> list[Record]:
        """The judged children of one parent, always as many as were asked for."""
        # What was never written has no texts; they must not seem to be the parent's.
        nothing = {**dict.fromkeys(TEXT_COLUMNS), "strategy": self.strategy, "model": teacher.name if teacher else None}
        try:
            drafts = await self.generator.expand({**parent, ROUND: self.round_number}, teacher)
            missing = rejected(nothing, "missing_variant")
        except RecordError as error:
            drafts, missing = [], rejected(nothing, error.reason, error.detail)
        drafts += [missing] * (self.generator.variants - len(drafts))
        if isinstance(teacher, Sampled):
            drafts = [with_sampling(draft, parent, teacher.sampling) for draft in drafts]
        children = [child(parent, index, self.round_number, _sound(draft)) for index, draft in enumerate(drafts)]
        return list(await asyncio.gather(*(self._judged(row, parent, judge) for row in children)))

    async def _judged(self, row: Record, parent: Record, judge: ChatModel | None) -> Record:
        if self.critic is None or row.get(REASON) is not None:
            return row
        try:
            scores = await self.critic.judge(row, parent, judge)
            grade = self.critic.grade(scores)
            row = {**row, "scores": to_json(scores), "question_score": grade, "answer_score": grade}
            failing = self.rule.failing(scores) if self.rule else None
        except RecordError as error:
            return rejected(row, error.reason, error.detail)
        if not (self.rule and failing):
            return row
        name = next(name for name in re.findall(r"\w+", failing) if name in self.rule.names)
        return rejected({**row, "bound": failing, "field": name, "score": scores[name]}, "failed_rule")


def synthesize(run: Run, parents: Stage, plan: Plan, keys: Keys, round_number: int) -> Stage:
    """The new records of a round: what the generator wrote from `parents`, and the critic's rule lets pass.

    Where the budget was used up, records are missing that a higher one would bring: then the stage is run again, and
    what was paid for comes from the journal.

    Raises:
        EndpointError: among others, when not one of the round's requests could be answered.
    """
    generation = plan.generation

    def prepare(_folder: Path) -> tuple[Any, Synthesize]:
        generator, critic = components(generation)
        teachers, judge = asked_models(run, plan, keys)
        return table_of([parents]), Synthesize(
            generator=generator,
            critic=critic,
            strategy=generation.generator.name,
            rule=Rule.parse(generation.drop) if generation.drop else None,
            teachers=teachers,
            judge=judge,
            round_number=round_number,
            # Who waits for the disk, or before another try, holds no place in flight: others use it.
            window=2 * max(model.max_in_flight for model in generation.teacher_models),
        )

    budget = plan.budget.model_dump(mode="json")
    _withdraw_unpaid(run, run.store.stage_folder(STAGE, round_number), budget)
    specs = [generation.generator.spec("generator"), *([generation.critic.spec("critic")] if generation.critic else [])]
    code: list[Spec | str] = [__name__, *PARSERS, "curation.core.rules", *specs]
    settings = _settings(generation)
    with shown(run):
        stage = run.stage(STAGE, round_number, [parents], settings, code, prepare, notes={"budget": budget})
    _check_answers(run, stage)
    return stage


def _withdraw_unpaid(run: Run, folder: Path, budget: dict[str, Any]) -> None:
    """Takes back what was published when another budget was used up."""
    published = Manifest.read(folder)
    if published and BUDGET_SPENT in published.dropped and published.notes.get("budget") != budget:
        run.store.withdraw(folder)


def _check_answers(run: Run, stage: Stage) -> None:
    """A round of nothing but failed requests tells of an endpoint, not of its records: the next try asks again."""
    manifest = stage.manifest
    if not manifest.rows_in or manifest.dropped != {"request_failed": manifest.rows_in}:
        return
    details = pd.concat([pd.read_parquet(path, columns=["detail"]) for path in stage.left])["detail"]
    run.store.withdraw(stage.folder)
    raise EndpointError(
        f"no request of round {manifest.round} was answered, however often it was tried; the first: {details.iloc[0]}. "
        "The same command asks again."
    )


def _sound(draft: Record) -> Record:
    """The draft; rejected where a text holds what none may hold that comes from a source either."""
    texts = {name: text for name in TEXT_COLUMNS if (text := draft.get(name))}
    mended = {name: text.encode("utf-8", "replace").decode().replace("\0", "?") for name, text in texts.items()}
    if mended == texts:
        return draft
    return rejected({**draft, **mended}, "unreadable_reply", "a NUL character, or half of a surrogate pair, in a text")


def components(plan: GenerationPlan) -> tuple[Generator, Critic | None]:
    """The plan's generator and critic."""
    return plan.generator.spec("generator").create(), plan.critic.spec("critic").create() if plan.critic else None


def _settings(plan: GenerationPlan) -> dict[str, Any]:
    """What the stage's result depends on: not a model that nobody asks, nor how patiently one is asked."""
    settings = plan.model_dump(mode="json", include={"generator", "critic", "drop"})
    asked = {name: model.model_dump(mode="json", exclude=HOW_IT_IS_ASKED) for name, model in plan.asked}
    identities = {name: model_of(model, None).identity for name, model in plan.asked}
    return settings | asked | {"identities": identities}


def with_sampling(draft: Record, parent: Record, sampling: Mapping[str, Any]) -> Record:
    """The draft with a column that says how it was sampled."""
    extra = orjson.loads(draft.get("extra") or parent.get("extra") or "{}")
    return {**draft, "extra": to_json({**extra, "sampling": to_json(dict(sampling))})}


def plain(row: Mapping[Any, Any]) -> Record:
    """A frame's row as a record: NaN is None."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _entry(row: Record) -> Record:
    return {**row, "reason": row[REASON], "detail": row.get(DETAIL) or ""}
