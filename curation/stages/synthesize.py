"""Lets a generator write new records from the parents, and a critic judge each as soon as it is there."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import SecretStr

from curation.config import GenerationPlan, Keys, ModelPlan
from curation.core.contracts import ChatModel, Critic, Generator
from curation.core.errors import EndpointError, RecordError
from curation.core.records import COLUMNS, DETAIL, REASON, TEXT_COLUMNS, Record, child, frame, rejected, to_json
from curation.core.registry import Spec
from curation.core.rules import Rule
from curation.engine import ledger, lift
from curation.engine.guard import Guard, Tally
from curation.engine.journal import Journal, Journaled
from curation.engine.lift import Outcome
from curation.engine.progress import reporting
from curation.engine.run import Run, table_of
from curation.engine.store import Stage

ROUND = "_round"
"""The record that a generator gets says in this key which round it is expanded in, for its seeds."""
_ENTRY_COLUMNS = (*COLUMNS, "reason", "field", "score", "bound", "detail")


@dataclass(frozen=True)
class Asked:
    """A model as it travels to a worker: opened there, with its journal and its guard."""

    plan: ModelPlan
    key: SecretStr | None
    journal: Path
    in_flight: int

    def open(self, tally: Tally) -> ChatModel:
        """The model; replies that the journal holds are not asked for again."""
        guarded = Guard(model_of(self.plan, self.key), max_in_flight=self.in_flight, tally=tally)
        return Journaled(guarded, Journal(self.journal), tally=tally)


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


@dataclass(frozen=True)
class Synthesize:
    """Expands and judges the parents of one partition, in one sliding window.

    Args:
        generator, critic: `critic` may be None: then every child is kept, ungraded.
        strategy: what the ledger calls the generator where it wrote nothing.
        rule: what a judged record must not be.
        teacher, judge: None where the component asks no model.
        window: parents at work at a time.
    """

    generator: Generator
    critic: Critic | None
    strategy: str
    rule: Rule | None
    teacher: Asked | None
    judge: Asked | None
    round_number: int
    window: int

    def __call__(self, parents: pd.DataFrame) -> Outcome:
        """One partition of parents in, their children out: each variant asked for is kept or in the ledger."""
        tally = Tally()
        with reporting(tally):
            rows = lift.run_async(self._all([plain(row) for row in parents.to_dict("records")], tally))
        kept = frame(row for row in rows if row.get(REASON) is None)
        left = frame((_entry(row) for row in rows if row.get(REASON) is not None), _ENTRY_COLUMNS)
        return Outcome(kept, ledger.entries(left, "synthesize", self.round_number), expected=len(rows))

    async def _all(self, parents: list[Record], tally: Tally) -> list[Record]:
        teacher = self.teacher.open(tally) if self.teacher else None
        judge = self.judge.open(tally) if self.judge else None
        try:
            families = await lift.window(parents, partial(self._family, teacher=teacher, judge=judge), self.window)
        finally:
            for model in (teacher, judge):
                if model is not None:
                    await model.close()
        return [row for family in families for row in family]

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


def synthesize(run: Run, parents: Stage, plan: GenerationPlan, keys: Keys, round_number: int) -> Stage:
    """The new records of a round: what the generator wrote from `parents`, and the critic's rule lets pass.

    Raises:
        EndpointError: among others, when not one of the round's requests could be answered.
    """

    def prepare(_folder: Path) -> tuple[Any, Synthesize]:
        table = table_of([parents])
        generator, critic = components(plan)
        asked = partial(Asked, journal=run.store.root / "journal", in_flight=_share(plan.teacher, table.npartitions))
        return table, Synthesize(
            generator=generator,
            critic=critic,
            strategy=plan.generator.name,
            rule=Rule.parse(plan.drop) if plan.drop else None,
            teacher=asked(plan.teacher, keys.teacher) if generator.needs_model else None,
            judge=asked(plan.judge_model, keys.judge) if critic is not None and critic.needs_model else None,
            round_number=round_number,
            window=_share(plan.teacher, table.npartitions),
        )

    specs = [plan.generator.spec("generator"), *([plan.critic.spec("critic")] if plan.critic else [])]
    code: list[Spec | str] = [__name__, "curation.core.parse", "curation.core.rules", *specs]
    stage = run.stage("30-synthesize", round_number, [parents], _settings(plan), code, prepare)
    _check_answers(run, stage)
    return stage


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
    generator, critic = components(plan)
    settings = plan.model_dump(mode="json", include={"generator", "critic", "drop"})
    asked = {"teacher": (plan.teacher, generator), "judge": (plan.judge_model, critic)}
    for name, (model, component) in asked.items():
        if component is not None and component.needs_model:
            settings[name] = model.model_dump(mode="json", exclude={"timeout", "max_in_flight"})
    return settings


def plain(row: Mapping[Any, Any]) -> Record:
    """A frame's row as a record: NaN is None."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _share(plan: ModelPlan, partitions: int) -> int:
    """The requests in flight that each of the partitions may have, which work side by side."""
    return max(1, plan.max_in_flight // max(1, partitions))


def _entry(row: Record) -> Record:
    return {**row, "reason": row[REASON], "detail": row.get(DETAIL) or ""}
