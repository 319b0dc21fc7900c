"""Cuts the last round to the size asked for, so that a target is met exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.core.records import digest
from curation.engine.run import Run, columns_of, table_of
from curation.engine.store import Stage
from curation.stages._remove import Remove, write_verdicts


def target(run: Run, new: Stage, room: int, seed: int, round_number: int) -> Stage:
    """At most `room` records of `new`: the best graded, drawn by the seed among equals."""
    if new.manifest.rows_out <= room:
        return new

    def prepare(folder: Path) -> tuple[Any, Remove]:
        rows = columns_of([new], ["id", "answer_score"])
        rows["draw"] = [digest(seed, "target", identifier) for identifier in rows["id"]]
        ordered = rows.sort_values(["answer_score", "draw"], ascending=[False, True], kind="stable")
        verdicts = ordered[["id"]].iloc[room:].assign(reason="over_target", bound=f"{room} records were still wanted")
        return table_of([new]), Remove("target", round_number, write_verdicts(folder, verdicts))

    settings = {"room": room, "seed": seed}
    return run.stage("80-target", round_number, [new], settings, [__name__, "curation.stages._remove"], prepare)
