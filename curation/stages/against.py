"""Keeps another set out of the dataset: a benchmark, a validation set, an earlier release.

The other set is read and published once, its texts cleaned as the dataset's own are, and filtered by nothing: what it
holds counts, whether or not it would be worth training on. In each round, what matches a record of it leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import dask.dataframe as dd
import numpy as np
import pandas as pd

from curation.config import AgainstPlan, CleanStep, SemanticPlan
from curation.core.errors import InputError
from curation.core.records import COLUMNS, DETAIL, REASON
from curation.core.registry import Spec
from curation.engine import ledger
from curation.engine.lift import Outcome
from curation.engine.onepass import Step, clean_partition
from curation.engine.run import Run, columns_of, table_of
from curation.engine.store import Stage, writing
from curation.sources._faults import EMPTY_RECORD
from curation.sources._rows import CONTENT_ID
from curation.stages._remove import Remove, write_verdicts
from curation.stages.clean import check_errors, step_of
from curation.stages.dedup import SEARCH_CODE, embedding, vectors_of
from curation.stages.read import MANNER, check_faults

MATCHES: Final = "matches.parquet"
"""What a stage found: a row for each record and check, with the file of the record that it matches."""
EXACT, NGRAM, NEAR = CHECKS = ("exact", "ngram", "near")
"""The first that finds a match of a record gives its ledger entry."""
CONTAMINATED: Final = "contaminated"

_COLUMNS: Final = ("id", "check", "kept_id", "similarity", "field", "bound", "detail")
_EARLIER: Final = -1  # of two equal records that of the other set is the better one in every order of quality


@dataclass(frozen=True)
class Reference:
    """Rows of the other set: what has a question stays, answered or not, with its texts cleaned."""

    steps: tuple[Step, ...]

    def __call__(self, rows: pd.DataFrame) -> Outcome:
        """One partition of it."""
        asks = _has_text(rows["question"]) | (_has_text(rows["title"]) & (rows[REASON] == EMPTY_RECORD))
        faulty = rows[~asks]
        kept, left = clean_partition(self.steps, rows.loc[asks, list(COLUMNS)])
        why = {"reason": faulty[REASON].to_numpy(), "detail": faulty[DETAIL].to_numpy()}
        entries = [ledger.entries(left, "reference", 0), ledger.entries(faulty, "reference", 0, **why)]
        return Outcome(kept, pd.concat([part for part in entries if len(part)] or entries[:1], ignore_index=True))


def reference(run: Run, plan: AgainstPlan, steps: Sequence[CleanStep], max_bad_ratio: float) -> Stage:
    """All records of the other set. Their ids are `NAME:ID`, or `NAME:LINE` where a row has no id of its own.

    Raises:
        InputError: a path can't be read or has no readable row, or more than `max_bad_ratio` of the rows are bad.
        CurationError: a modifier raises on more of them than that.
    """
    specs = dict(zip(plan.input, plan.source_specs(), strict=True))
    names = dict(zip(specs, _names(list(specs)), strict=True))
    modifiers = [step for step in steps if step.modifier is not None]
    settings = {
        "sources": [_identity(path, names[path], spec) for path, spec in specs.items()],
        "steps": [step.model_dump(exclude_defaults=True) for step in modifiers],
    }
    code: list[Spec | str] = [__name__, "curation.engine.onepass", *specs.values()]
    code += [step.spec() for step in modifiers]

    def prepare(_folder: Path) -> tuple[Any, Reference]:
        tables = [_table(path, names[path], spec) for path, spec in specs.items()]
        return dd.concat(tables), Reference(tuple(step_of(step) for step in modifiers))

    stage = run.stage("05-reference", 0, [], settings, code, prepare)
    check_errors(stage, max_bad_ratio)
    with _told():
        _check_readable(stage, names)
        check_faults([stage], max_bad_ratio)
    return stage


def decontaminate(
    run: Run, table: Stage, other: Stage, plan: AgainstPlan, semantic: SemanticPlan, device: str, round_number: int
) -> Stage:
    """Removes rows of `table` that match a record of the other set.

    Args:
        semantic: how questions are embedded, as for the dedup.
        device: where embeddings and products are computed; it changes the speed only.
    """
    vectors = embedding(run, semantic, device)
    specs = {
        EXACT: Spec("deduper", "exact", {"by": "question"}) if plan.exact else None,
        NGRAM: Spec("deduper", "ngram", {"n": plan.ngram}) if plan.ngram else None,
        NEAR: Spec("deduper", "semantic", {"threshold": plan.threshold, **vectors}) if plan.threshold else None,
    }
    checks = {check: spec for check, spec in specs.items() if spec is not None}
    settings: dict[str, Any] = {"exact": plan.exact, "threshold": plan.threshold, "ngram": plan.ngram}
    if NEAR in checks:
        settings["vectors"] = vectors_of(vectors)

    def prepare(folder: Path) -> tuple[Any, Remove]:
        found = [_found(check, spec, table, other) for check, spec in checks.items()]
        matches = pd.concat(found, ignore_index=True).sort_values("id", kind="stable", ignore_index=True)
        files = columns_of([other], ["id", "file_name"]).drop_duplicates("id").set_index("id")["file_name"]
        matches["file"] = files.reindex(matches["kept_id"]).to_numpy()
        with writing(folder / MATCHES):
            matches.to_parquet(folder / MATCHES, index=False)
        verdicts = matches.drop_duplicates("id").drop(columns=["check", "file"]).assign(reason=CONTAMINATED)
        return table_of([table]), Remove("against", round_number, write_verdicts(folder, verdicts))

    return run.stage(
        "45-against", round_number, [table, other], settings, [__name__, *SEARCH_CODE, *checks.values()], prepare
    )


def _found(check: str, spec: Spec, table: Stage, other: Stage) -> pd.DataFrame:
    """The matches of one check, with the ledger's columns."""
    deduper, arguments = spec.create(), spec.arguments
    if check == NGRAM:
        found = deduper.matches(table_of([table]), table_of([other]))
        rows = found[["text", "kept_text", "words"]].itertuples(index=False)
        detail = [f"{NGRAM}: its {text} shares with the other's {kept}: {words}" for text, kept, words in rows]
        bound = f"ngram(n={arguments['n']})"
        found = found.rename(columns={"text": "field"}).assign(detail=detail, bound=bound)
    else:
        found = deduper.match(table_of([table]), table_of([other]))
        bound = "exact(by='question')" if check == EXACT else f"similarity >= {arguments['threshold']:g}"
        found = found.assign(field="question", detail=f"{check}: title and question", bound=bound)
    return found.assign(check=check)[list(_COLUMNS)].astype({"similarity": "float64"})


def _table(path: str, name: str, spec: Spec) -> dd.DataFrame:
    with _told():
        table = spec.create().read()
    return table.map_partitions(_named, name, _stands_for_many(path, spec), meta=table._meta)


def _named(rows: pd.DataFrame, name: str, many: bool) -> pd.DataFrame:
    """The rows with ids that no record of the dataset has."""
    files = [f"{name}/{file}".lstrip("/") if many else name for file in rows["file_name"]]
    keys = [
        line if key.startswith(CONTENT_ID) or key == f"{file}#L{line}" else key
        for key, file, line in zip(rows["id"], rows["file_name"], rows["line"], strict=True)
    ]
    ids = pd.Series([f"{file}:{key}" for file, key in zip(files, keys, strict=True)], rows.index, dtype=object)
    names = pd.Series(files, rows.index, dtype=object)
    return rows.assign(id=ids, root_id=ids, file_name=names, round=np.int32(_EARLIER))


def _names(paths: Sequence[str]) -> list[str]:
    """What to call each path's records: its last part, or all of it where several end alike."""
    short = [_name(path) for path in paths]
    counts = Counter(short)
    return [name if counts[name] == 1 else path for name, path in zip(short, paths, strict=True)]


def _name(path: str) -> str:
    """The last part of a path; of a glob the last folder before it becomes one."""
    return Path(*takewhile(lambda part: not has_magic(part), Path(path).parts)).name


def _stands_for_many(path: str, spec: Spec) -> bool:
    return "paths" in spec.arguments and not Path(path).is_file()


def _identity(path: str, name: str, spec: Spec) -> dict[str, Any]:
    """What the content of a path's rows depends on."""
    if "paths" in spec.arguments and not Path(path).exists() and not has_magic(path):
        raise InputError(f"--against: there is no {path} (seen from {Path.cwd()}): correct the path")
    meaning = {key: value for key, value in spec.arguments.items() if key not in MANNER}
    with _told():
        content = spec.create().fingerprint()
    return {"name": name, "source": spec.name, "arguments": meaning, "input": content}


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the other set say so: the input has the same ones."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--against: {error}") from error


def _check_readable(stage: Stage, names: dict[str, str]) -> None:
    """A small file without a readable row could hide behind the rows of a large one, and would be kept out in vain."""
    files = set(columns_of([stage], ["file_name"])["file_name"])
    for path, name in names.items():
        if any(_belongs(file, name) for file in files):
            continue
        left = pd.concat([pd.read_parquet(part, columns=["id", "detail"]) for part in stage.left])
        first = next((row.detail for row in left.itertuples() if row.id.startswith((f"{name}:", f"{name}/"))), "")
        raise InputError(
            f"no row of {path} has a readable question{f' ({first})' if first else ''}. Name the column that holds it: "
            "'against.arguments={columns: {question: NAME}}'"
        )


def _belongs(file: str, name: str) -> bool:
    return not name or file == name or file.startswith(f"{name}/")


def _has_text(column: pd.Series) -> pd.Series:
    return column.fillna("").str.strip().astype(bool)
