"""Cleans and filters: every modifier, filter and rule of the plan in one pass over each partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pandas as pd

from curation.config import CleanStep
from curation.core.checks import MISSING, Validator
from curation.core.errors import CurationError
from curation.core.records import COLUMNS, SEED
from curation.core.registry import Spec, nearest
from curation.engine import ledger
from curation.engine.lift import Outcome
from curation.engine.onepass import COMPONENT_ERROR, INVALID, VALIDATE, Step, clean_partition, schedule
from curation.engine.run import Run, table_of
from curation.engine.store import Stage

CHECKING: Final = [
    f"curation.core.{name}"
    for name in ("checks", "_checks_kinds", "_checks_patterns", "_checks_json_schema", "_checks_elements", "language")
]
"""What tells whether a rule is kept: a stage is run again when it changes."""


@dataclass(frozen=True)
class Clean:
    """The steps, in the order in which they are cheapest."""

    steps: tuple[Step, ...]
    round_number: int

    def __call__(self, rows: pd.DataFrame) -> Outcome:
        """One partition. A seed is written from, and no step judges it."""
        is_seed = rows["origin"] == SEED
        kept, left = clean_partition(self.steps, rows[~is_seed])
        kept = pd.concat([kept, rows[is_seed]]) if is_seed.any() else kept
        return Outcome(kept, ledger.entries(left, "clean", self.round_number))


def clean(run: Run, table: Stage, steps: Sequence[CleanStep], max_bad_ratio: float, round_number: int) -> Stage:
    """What passes every filter and keeps every rule, with its texts cleaned.

    Raises:
        CurationError: a step raises on more than `max_bad_ratio` of the rows, or all of the source's records leave for
            want of columns: then the step is at fault, not the rows.
    """
    settings = {"steps": [_settings(step) for step in steps]}
    named = [step.spec() for step in steps if step.rules is None]
    checking = CHECKING if len(named) < len(steps) else []
    code: list[Spec | str] = [__name__, "curation.engine.onepass", *named, *checking]
    work = Clean(tuple(schedule([step_of(step) for step in steps])), round_number)
    stage = run.stage("40-clean", round_number, [table], settings, code, lambda _folder: (table_of([table]), work))
    check_errors(stage, max_bad_ratio)
    if round_number == 0:
        _check_columns(stage)
    return stage


def _settings(step: CleanStep) -> dict[str, Any]:
    """What the result depends on: of rules their order too, since the first that is not kept is named."""
    settings = step.model_dump(exclude_defaults=True)
    return settings if step.rules is None else {**settings, "validate": list(step.rules.items())}


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


def _check_columns(stage: Stage) -> None:
    """Raises CurationError where no record has the columns that rules name: one of them is misspelt."""
    if stage.manifest.rows_out or not stage.manifest.dropped.get(INVALID):
        return
    columns = ["reason", "field", "bound"]
    entries = pd.concat([pd.read_parquet(path, columns=columns) for path in stage.left])
    entries = entries[entries["reason"] == INVALID]
    if not entries["bound"].str.endswith(f": {MISSING}").all():
        return
    first = entries.iloc[0]
    records = (record for path in stage.left for record in pd.read_parquet(path, columns=["record"])["record"])
    known = [*COLUMNS, *orjson.loads(orjson.loads(next(records))["extra"] or "{}")]
    raise CurationError(
        f"no record has what 'validate' asks for; the first lacks '{first['field']}' ({first['bound']})."
        f"{nearest(first['field'], known)} A rule on a column that only some records have needs optional: true"
    )


def step_of(plan: CleanStep) -> Step:
    """The engine's form."""
    if plan.rules is not None:
        validator = Validator.of(plan.rules)
        return Step(VALIDATE, validator, validator.fields, f"validate({', '.join(plan.rules)})")
    spec = plan.spec()
    arguments = ", ".join(f"{name}={value!r}" for name, value in plan.arguments.items())
    return Step(
        kind=spec.kind,
        component=spec.create(),
        fields=tuple(plan.fields),
        label=f"{spec.name.rpartition('.')[2]}({arguments})",
    )
