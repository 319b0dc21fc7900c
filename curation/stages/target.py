"""Cuts the last round to the size asked for, so that a target is met exactly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from curation.core.records import digest
from curation.engine.run import Run, columns_of, table_of
from curation.engine.store import Stage
from curation.stages._remove import Remove, write_verdicts
from curation.stages.balance import grouped


def target(run: Run, new: Stage, room: int, seed: int, round_number: int) -> Stage:
    """At most `room` records of `new`: the best graded, drawn by the seed among equals."""
    if new.manifest.rows_out <= room:
        return new

    def prepare(folder: Path) -> tuple[Any, Remove]:
        verdicts = _too_many(columns_of([new], ["id", "answer_score"]), room, seed)
        return table_of([new]), Remove("target", round_number, write_verdicts(folder, verdicts))

    settings = {"room": room, "seed": seed}
    return run.stage("80-target", round_number, [new], settings, [__name__, "curation.stages._remove"], prepare)


def target_groups(run: Run, new: Stage, room: Mapping[str, int], by: str, seed: int, round_number: int) -> Stage:
    """The same for each group by the column `by`: of a group that `room` doesn't name nothing is wanted."""
    rows = grouped([new], by)
    if all(count <= room.get(str(name), 0) for name, count in rows["group"].value_counts().items()):
        return new

    def prepare(folder: Path) -> tuple[Any, Remove]:
        groups = rows.groupby("group", sort=True)
        verdicts = [_too_many(group, room.get(str(name), 0), seed, f" of {name}") for name, group in groups]
        return table_of([new]), Remove("target", round_number, write_verdicts(folder, pd.concat(verdicts)))

    settings = {"room": dict(room), "by": by, "seed": seed}
    code = [__name__, "curation.stages._remove", "curation.stages.balance"]
    return run.stage("80-target", round_number, [new], settings, code, prepare)


def _too_many(rows: pd.DataFrame, room: int, seed: int, of: str = "") -> pd.DataFrame:
    """Verdicts on all but the `room` best graded of the rows, drawn by the seed among equals."""
    rows = rows.assign(draw=[digest(seed, "target", identifier) for identifier in rows["id"]])
    ordered = rows.sort_values(["answer_score", "draw"], ascending=[False, True], kind="stable")
    return ordered[["id"]].iloc[room:].assign(reason="over_target", bound=f"{room} records{of} were still wanted")
