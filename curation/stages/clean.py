"""Cleans and filters: every modifier and filter of the plan in one pass over each partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from curation.config import CleanStep
from curation.core.errors import CurationError
from curation.core.records import SEED
from curation.core.registry import Spec
from curation.engine import ledger
from curation.engine.lift import Outcome
from curation.engine.onepass import COMPONENT_ERROR, Step, clean_partition, schedule
from curation.engine.run import Run, table_of
from curation.engine.store import Stage


@dataclass(frozen=True)
class Clean:
    """The steps, in the order in which they are cheapest."""

    steps: tuple[Step, ...]
    round_number: int

    def __call__(self, rows: pd.DataFrame) -> Outcome:
        """One partition. A seed has no texts that a step could judge."""
        is_seed = rows["origin"] == SEED
        kept, left = clean_partition(self.steps, rows[~is_seed])
        kept = pd.concat([kept, rows[is_seed]]) if is_seed.any() else kept
        return Outcome(kept, ledger.entries(left, "clean", self.round_number))


def clean(run: Run, table: Stage, steps: Sequence[CleanStep], max_bad_ratio: float, round_number: int) -> Stage:
    """What passes every filter, with its texts cleaned.

    Raises:
        CurationError: a step raises on more than `max_bad_ratio` of the rows: then the step is at fault, not the rows.
    """
    settings = {"steps": [step.model_dump(exclude_defaults=True) for step in steps]}
    code: list[Spec | str] = [__name__, "curation.engine.onepass", *(step.spec() for step in steps)]
    work = Clean(tuple(schedule([step_of(step) for step in steps])), round_number)
    stage = run.stage("40-clean", round_number, [table], settings, code, lambda _folder: (table_of([table]), work))
    check_errors(stage, max_bad_ratio)
    return stage


def check_errors(stage: Stage, max_bad_ratio: float) -> None:
    """Raises CurationError where a step raised on more than `max_bad_ratio` of the rows."""
    manifest = stage.manifest
    errors = manifest.dropped.get(COMPONENT_ERROR, 0)
    if errors <= max_bad_ratio * manifest.rows_in:
        return
    columns = ["id", "reason", "field", "bound", "detail"]
    entries = pd.concat([pd.read_parquet(path, columns=columns) for path in stage.left])
    first = entries[entries["reason"] == COMPONENT_ERROR].iloc[0]
    raise CurationError(
        f"{errors} of {manifest.rows_in} rows make a cleaning step fail, more than max_bad_ratio={max_bad_ratio:g} "
        f"allows. The first is {first['id']}: {first['bound']} on {first['field']} raised {first['detail']}"
    )


def step_of(plan: CleanStep) -> Step:
    """The engine's form."""
    spec = plan.spec()
    arguments = ", ".join(f"{name}={value!r}" for name, value in plan.arguments.items())
    return Step(
        kind=spec.kind,
        component=spec.create(),
        fields=tuple(plan.fields),
        label=f"{spec.name.rpartition('.')[2]}({arguments})",
    )
