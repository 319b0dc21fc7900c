"""Reads the source: rows that can't be used go to the ledger, and ids become unique."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import orjson
import pandas as pd

from curation.core.errors import InputError
from curation.core.records import COLUMNS, DETAIL, REASON
from curation.core.registry import Spec
from curation.engine import ledger
from curation.engine.lift import Outcome
from curation.engine.run import Run, read_part
from curation.engine.store import Stage
from curation.sources._faults import BAD_INPUT
from curation.sources._rows import CONTENT_ID
from curation.stages._remove import Remove, write_verdicts

_PLACE = ("_part", "_row")
_SHOWN = 300
MANNER = {"paths", "path", "documents", "download_dir", "partition_bytes", "files_per_partition"}
"""Arguments of sources that change no row: what lies at a path is in the fingerprint."""


@dataclass(frozen=True)
class Read:
    """Splits what the source marked from what it read well."""

    def __call__(self, rows: pd.DataFrame) -> Outcome:
        """One partition of the source."""
        bad = rows[REASON].notna()
        faulty = rows[bad]
        left = ledger.entries(faulty, "read", 0, reason=faulty[REASON].to_numpy(), detail=faulty[DETAIL].to_numpy())
        return Outcome(rows.loc[~bad, list(COLUMNS)], left)


def read(run: Run, source: Spec, max_bad_ratio: float) -> Stage:
    """All records of the source.

    Raises:
        InputError: nothing can be read, or more than `max_bad_ratio` of the rows are bad; names the first of them.
    """
    component = source.create()
    meaning = {name: value for name, value in source.arguments.items() if name not in MANNER}
    settings = {"source": source.name, "arguments": meaning, "input": component.fingerprint()}
    stage = run.stage("10-read", 0, [], settings, [__name__, source], lambda _folder: (component.read(), Read()))
    unique = _unique(run, stage)
    check_faults([stage] if unique is stage else [stage, unique], max_bad_ratio)
    return unique


def check_faults(stages: Sequence[Stage], max_bad_ratio: float) -> None:
    """Raises InputError where there are no rows, or more than `max_bad_ratio` of them are bad."""
    rows = stages[0].manifest.rows_in
    if not rows:
        raise InputError("the input has no rows at all")
    dropped = sum((Counter(stage.manifest.dropped) for stage in stages), Counter[str]())
    bad = sum(count for reason, count in dropped.items() if reason in BAD_INPUT)
    if bad <= max_bad_ratio * rows:
        return
    left = [path for stage in stages for path in stage.left]
    entries = pd.concat([pd.read_parquet(path, columns=["reason", "detail", "record"]) for path in left])
    first = sorted(entries[entries["reason"].isin(BAD_INPUT)].itertuples(), key=_place)[:5]
    lines = "\n".join(f"  - {row.reason}: {_shown(row.detail)}" for row in first)
    raise InputError(
        f"{bad} of {rows} rows can't be used, more than max_bad_ratio={max_bad_ratio:g} allows. "
        f"The first of them:\n{lines}\nMend the input or the column mapping, or allow more with max_bad_ratio=…"
    )


def _place(entry: Any) -> tuple[str, int]:
    """Where in the input a row of the ledger stands."""
    record = orjson.loads(entry.record)
    return record["file_name"], record["line"]


def _shown(detail: str) -> str:
    """The beginning of a text that may quote anything: one line, and nothing that a terminal would obey."""
    line = "".join(character if character.isprintable() else " " for character in detail)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _unique(run: Run, stage: Stage) -> Stage:
    """Of several rows with one id, the first in the input stays; usually there are none, and nothing is run."""
    narrow = [_numbered(str(part), ["id", "file_name", "line"]) for part in stage.parts]
    ids = pd.concat(narrow, ignore_index=True)
    repeated = ids[ids["id"].duplicated(keep=False)].sort_values(["id", "file_name", "line", *_PLACE], kind="stable")
    if repeated.empty:
        return stage

    def prepare(folder: Path) -> tuple[Any, Remove]:
        places = repeated["file_name"] + ":" + repeated["line"].astype("int64").astype(str)
        first = places.groupby(repeated["id"]).transform("first")
        copies = repeated["id"].str.startswith(CONTENT_ID)  # an id that was made from the texts: no fault of the input
        verdicts = repeated[list(_PLACE)].assign(
            reason=copies.map({True: "exact_duplicate", False: "duplicate_id"}),
            kept_id=repeated["id"],
            detail=places + ": the same id as " + first,
        )
        path = write_verdicts(folder, verdicts[repeated["id"].duplicated()])
        table = dd.from_map(_numbered, [str(part) for part in stage.parts], enforce_metadata=False)
        return table, Remove("unique", 0, path, _PLACE)

    return run.stage("15-unique", 0, [stage], {}, [__name__, "curation.stages._remove"], prepare)


def _numbered(part: str, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """A part's rows with their place in it: in a file without line ends, several rows stand in one line."""
    rows = read_part(part, columns)
    return rows.assign(_part=Path(part).name, _row=range(len(rows)))
