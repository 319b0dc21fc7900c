"""Lets a generator write new records from the parents, and critics judge each as soon as it is there."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from curation.config import GenerationPlan, Keys, Plan
from curation.core.contracts import ChatModel, Generator
from curation.core.errors import EndpointError, RecordError
from curation.core.records import COLUMNS, DETAIL, REASON, TEXT_COLUMNS, Record, child, frame, rejected, to_json
from curation.core.registry import Spec
from curation.engine import ledger, lift
from curation.engine.lift import Outcome
from curation.engine.run import Run, table_of
from curation.engine.share import Share
from curation.engine.store import Manifest, Stage
from curation.stages._asking import Asked, Sampled, asked_models, drawn, model_of, opened, sampling_of, share_of, shown
from curation.stages._panel import Panel, Seat
from curation.stages.clean import CHECKING

STAGE = "30-synthesize"
BUDGET_SPENT = "budget_spent"
"""The ledger's reason where nothing was asked because nothing may be spent any more."""

HOW_IT_IS_ASKED = {
    "timeout", "max_in_flight", "requests_per_minute", "tokens_per_minute", "max_reply_tokens", "price"
}  # fmt: skip
"""Of a model's plan, what changes no reply."""

PARSERS = [
    f"curation.core.{name}"
    for name in ("parse", "_parse_json", "_parse_lines", "_parse_lists", "_parse_text", "_parse_variants", "ratings")
]
"""What reads replies: a stage is run again when it changes."""

ROUND = "_round"
"""The record that a generator gets says in this key which round it is expanded in, for its seeds."""
_ENTRY_COLUMNS = (*COLUMNS, "reason", "field", "score", "bound", "detail")


@dataclass(frozen=True)
class Synthesize:
    """Expands and judges the parents of one partition, in one sliding window.

    Args:
        panel: who judges.
        strategy: what the ledger calls the generator where it wrote nothing.
        teachers: none where the generator asks no model.
        judges: the critics' models, by the field of the plan that they come from.
        window: parents at work at a time.
    """

    generator: Generator
    panel: Panel
    strategy: str
    teachers: list[Asked]
    judges: dict[str, Asked]
    round_number: int
    window: int

    def __call__(self, parents: pd.DataFrame) -> Outcome:
        """One partition of parents in, their children out: each variant asked for is kept or in the ledger."""
        records = [plain(row) for row in parents.to_dict("records")]
        asked = [*self.teachers, *self.judges.values()]
        mine = share_of(asked) if asked else None
        rows = lift.run_async(partial(self._all, records, asked, mine))
        kept = frame(row for row in rows if row.get(REASON) is None)
        left = frame((_entry(row) for row in rows if row.get(REASON) is not None), _ENTRY_COLUMNS)
        return Outcome(kept, ledger.entries(left, "synthesize", self.round_number), expected=len(rows))

    async def _all(
        self, parents: list[Record], asked: list[Asked], mine: Share | None, last_begun: Callable[[], None]
    ) -> list[Record]:
        if mine is None:
            return await self._families(parents, [], {}, None, last_begun)
        async with opened(asked, mine) as models:
            teachers, judges = models[: len(self.teachers)], models[len(self.teachers) :]
            judge_of = dict(zip(self.judges, judges, strict=True))
            return await self._families(parents, teachers, judge_of, mine, last_begun)

    async def _families(
        self,
        parents: list[Record],
        teachers: list[ChatModel],
        judges: Mapping[str, ChatModel],
        mine: Share | None,
        last_begun: Callable[[], None],
    ) -> list[Record]:
        async def work(parent: Record) -> list[Record]:
            family = await self._family(parent, self._teacher_of(parent, teachers), judges)
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

    async def _family(self, parent: Record, teacher: ChatModel | None, judges: Mapping[str, ChatModel]) -> list[Record]:
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
        return list(await asyncio.gather(*(self._judged(row, parent, judges) for row in children)))

    async def _judged(self, row: Record, parent: Record, judges: Mapping[str, ChatModel]) -> Record:
        return row if row.get(REASON) is not None else await self.panel.judged(row, parent, judges)


def synthesize(run: Run, parents: Stage, plan: Plan, keys: Keys, round_number: int) -> Stage:
    """The new records of a round: what the generator wrote from `parents`, and the rule over its scores lets pass.

    Where the budget was used up, records are missing that a higher one would bring: then the stage is run again, and
    what was paid for comes from the journal.

    Raises:
        EndpointError: among others, when not one of the round's requests could be answered.
    """
    generation = plan.generation
    panel = Panel.of(generation)

    def prepare(_folder: Path) -> tuple[Any, Synthesize]:
        teachers, judges = asked_models(run, plan, keys)
        return table_of([parents]), Synthesize(
            generator=generation.generator.spec("generator").create(),
            panel=panel,
            strategy=generation.generator.name,
            teachers=teachers,
            judges=judges,
            round_number=round_number,
            # Who waits for the disk, or before another try, holds no place in flight: others use it.
            window=2 * max(model.max_in_flight for model in generation.teacher_models),
        )

    budget = plan.budget.model_dump(mode="json")
    _withdraw_unpaid(run, run.store.stage_folder(STAGE, round_number), budget)
    specs = [generation.generator.spec("generator"), *(critic.spec("critic") for critic in generation.panel)]
    code: list[Spec | str] = [__name__, "curation.stages._panel", *PARSERS, *CHECKING, "curation.core.rules", *specs]
    settings = _settings(generation, panel)
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


def _settings(plan: GenerationPlan, panel: Panel) -> dict[str, Any]:
    """What the stage's result depends on: not a model that nobody asks, nor how patiently one is asked."""
    settings = plan.model_dump(mode="json", include={"generator", "drop", "cascade"})
    settings["critics"] = [_seat(seat) for seat in panel.seats]
    asked = {name: model.model_dump(mode="json", exclude=HOW_IT_IS_ASKED) for name, model in plan.asked}
    identities = {name: model_of(model, None).identity for name, model in plan.asked}
    return settings | asked | {"identities": identities}


def _seat(seat: Seat) -> dict[str, Any]:
    """What scores and grade depend on of a critic, and under which names its attributes are found in a record."""
    attributes = seat.plan.attributes
    return {
        **seat.plan.model_dump(mode="json", exclude={"judge"}),
        "judge": seat.judge,
        "grades": seat.grades,
        "fingerprint": seat.critic.fingerprint(),
        "attributes": dict(attributes) if attributes is not None else None,
    }


def with_sampling(draft: Record, parent: Record, sampling: Mapping[str, Any]) -> Record:
    """The draft with a column that says how it was sampled."""
    extra = orjson.loads(draft.get("extra") or parent.get("extra") or "{}")
    return {**draft, "extra": to_json({**extra, "sampling": to_json(dict(sampling))})}


def plain(row: Mapping[Any, Any]) -> Record:
    """A frame's row as a record: NaN is None."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _entry(row: Record) -> Record:
    return {**row, "reason": row[REASON], "detail": row.get(DETAIL) or ""}
