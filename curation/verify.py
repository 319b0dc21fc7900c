"""The proof that a finished run is sound, from its files alone: `python -m curation.verify OUT`.

Nothing is run again, and nothing is asked of a cluster, a model or a network. Each check prints a line:

    ok    ids are unique and in order
    FAIL  no group and no root lies in two splits: group law-0007 lies in test, train
    skip  no near duplicates lie in two splits: the plan has no dedup.semantic

The exit code is 0 if no check fails, 1 if one does, and 2 if there is no finished run to look at. Memory holds the
ids and hashes of all records, never their texts.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import combinations, islice, pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pandas as pd
import pyarrow.parquet as pq

from curation.core.errors import CurationError
from curation.core.pairs import COMPARED, compared_texts, normalize
from curation.core.records import HUMAN, LEDGER_COLUMNS, SEED, SPLITS, TEXT_COLUMNS, Record, digest, to_json
from curation.core.vectors import VectorCache, Vectors, hash_of, take
from curation.dedupers.ngram import RUN_TEXTS, runs_of, words_of
from curation.engine.journal import Journal
from curation.engine.spending import DOLLAR, Amount, Budget, shown, spent
from curation.engine.store import MANIFEST, Manifest, Stage, sha256_of
from curation.exporters._forms import FILES, FORMS, Template, read_lines
from curation.exporters.jsonl import unfold
from curation.exporters.preference import Preference
from curation.report.finished import REFERENCE, Finished, batches
from curation.stages import SPENDING
from curation.stages.export import merged

SHOWN = 5
"""Faults that a line names; the rest are counted."""
TOLERANCE = 1e-6
"""The deduper judges cosines that are rounded to so much."""

_LINEAGE = ("id", "root_id", "parent_id", "group_id", "origin", "round", "split")
_UNITY = 1e-3  # how far from 1 a vector's length may be
_MARGIN = 1e-4  # far above the error of a single-precision product, so that no pair is missed
_BATCH = 4096  # records read at a time
_BLOCK = 4096  # vectors a side of a product


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Args:
        check: what it proves.
        faults: the first of what speaks against it, naming files and ids.
        count: how many faults there are.
        skipped: why there was nothing to prove.
    """

    check: str
    faults: tuple[str, ...] = ()
    count: int = 0
    skipped: str = ""

    def __str__(self) -> str:
        if self.skipped:
            return f"skip  {self.check}: {self.skipped}"
        if not self.count:
            return f"ok    {self.check}"
        more = f"; and {self.count - len(self.faults):,} more" if self.count > len(self.faults) else ""
        return f"FAIL  {self.check}: {'; '.join(self.faults)}{more}"


class _NothingToProveError(Exception):
    """The plan promises nothing that a check could prove."""


@dataclass(frozen=True)
class Evidence:
    """The run's files, read when a check first needs them."""

    run: Finished

    @cached_property
    def final(self) -> pd.DataFrame:
        """A row for each record of `final/`, in the order of the files: its lineage; `file`, the split whose file it
        is in; `exact`, the hash of its normalised texts; `near_0`, …, the hashes of its compared texts. Hashes are
        null where the plan has no such deduper, and for records without a text to compare."""
        parts = [self._keys(rows).assign(file=split) for split in SPLITS for rows in _batches(self.path_of(split))]
        if not parts:  # an empty dataset has the same columns
            return self._keys(pd.DataFrame(columns=[*_LINEAGE, *TEXT_COLUMNS], dtype=object)).assign(file=None)
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def seeds(self) -> pd.DataFrame:
        """The lineage of what new records are written from and `final/` doesn't hold; `file` is its split."""
        rows = [batch.to_pandas() for batch in batches(self.run.dataset[0].parts, _LINEAGE)]
        table = pd.concat(rows or [pd.DataFrame(columns=list(_LINEAGE))], ignore_index=True)
        return table[table["origin"] == SEED].assign(file=lambda seeds: seeds["split"])

    @cached_property
    def exports(self) -> list[Stage]:
        """The folders that were written for readers; one whose manifest can't be read has no files."""
        blank = Manifest(stage="", round=0, signature="", rows_in=0, rows_out=0)
        return [Stage(folder, Manifest.read(folder) or blank) for folder in self.run.exports]

    def path_of(self, split: str) -> Path:
        """The final file of a split."""
        return self.run.root / "final" / f"{split}.jsonl"

    def by(self, deduper: str) -> str | None:
        """By what texts the plan compares records, `exact` or `semantic`; None where it does not."""
        plan = self.run.plan["dedup"][deduper]
        return plan["by"] if plan else None

    def shown(self, path: Path) -> str:
        """A path below the run's folder."""
        return path.relative_to(self.run.root).as_posix()

    def _keys(self, rows: pd.DataFrame) -> pd.DataFrame:
        table = rows[list(_LINEAGE)].copy()
        table["exact"] = None
        if by := self.by("exact"):
            texts = zip(*([normalize(text) for text in column] for column in compared_texts(rows, by)), strict=True)
            table["exact"] = pd.Series([digest(*row) if any(row) else None for row in texts], dtype=object)
        if by := self.by("semantic"):
            columns = compared_texts(rows, by)
            silent = [not any(text.strip() for text in row) for row in zip(*columns, strict=True)]
            for number, column in enumerate(columns):
                hashes = [None if none else hash_of(text) for text, none in zip(column, silent, strict=True)]
                table[f"near_{number}"] = pd.Series(hashes, dtype=object)
        return table


Check = Callable[[Evidence], Iterator[str]]


def verify(root: Path) -> list[Finding]:
    """Every check of `CHECKS` on a finished run.

    Raises:
        InputError: there is no finished run in `root`.
    """
    evidence = Evidence(Finished.open(root))
    return [_finding(name, check, evidence) for name, check in CHECKS.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        The exit code: 0 if the run is sound, 1 if a check fails, 2 if there is no finished run.
    """
    parser = argparse.ArgumentParser(
        prog="python -m curation.verify",
        description="Proves from its files alone that a finished run lost nothing and leaks nothing.",
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="the run's folder")
    root = parser.parse_args(arguments).output
    try:
        findings = verify(root)
    except CurationError as error:
        print(f"curation: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    return int(any(finding.count for finding in findings))


def _finding(name: str, check: Check, evidence: Evidence) -> Finding:
    """A check that can't be carried out has failed: what it should prove is not proved."""
    faults = check(evidence)
    shown: list[str] = []
    try:
        shown.extend(islice(faults, SHOWN))
        count = len(shown) + sum(1 for _ in faults)
    except _NothingToProveError as reason:
        return Finding(name, skipped=str(reason))
    except (OSError, ValueError, KeyError, TypeError, CurationError) as error:
        shown = [*shown[: SHOWN - 1], f"can't be checked: {type(error).__name__}: {error}"]
        count = len(shown)
    return Finding(name, tuple(shown), count)


def checksums(evidence: Evidence) -> Iterator[str]:
    """Each file that a manifest names is there as it was published."""
    root = evidence.run.root
    published = [stage.folder for stage in evidence.run.stages] + evidence.run.exports
    found = [path.parent for top in ("stages", "final", "handoff") for path in _visible(root / top, MANIFEST)]
    for folder in sorted({*published, *found}):
        manifest = Manifest.read(folder)
        if manifest is None:
            yield f"{evidence.shown(folder / MANIFEST)} is missing or damaged"
            continue
        for name, expected in sorted(manifest.files.items()):
            path = folder / name
            if not path.is_file():
                yield f"{evidence.shown(path)} is missing"
            elif sha256_of(path) != expected:
                yield f"{evidence.shown(path)} has changed"


def strays(evidence: Evidence) -> Iterator[str]:
    """Readers take whatever lies in these folders: what this run did not write must not be there."""
    root = evidence.run.root
    known = set()
    for stage in evidence.exports:
        known |= {stage.folder / MANIFEST, *(stage.folder / name for name in stage.manifest.files)}
    own = {stage.folder.relative_to(root).parts[0] for stage in evidence.exports}
    for top in sorted({"final", "handoff", *own}):
        for path in _visible(root / top, "*"):
            if path.is_file() and path not in known:
                yield evidence.shown(path)


def account(evidence: Evidence) -> Iterator[str]:
    """`run.json` tells of the stages and folders that are there, and of this plan."""
    if sha256_of(evidence.run.root / "plan.yaml") != evidence.run.run["plan"]:
        yield "plan.yaml is not the plan of the run that ended last: run the command again"
    for entry in [*evidence.run.run["stages"], *evidence.run.run["exports"]]:
        folder = entry.get("folder", entry["stage"])
        manifest = Manifest.read(evidence.run.root / folder)
        for name in ("rows_in", "rows_out", "dropped", "round"):
            if manifest is not None and getattr(manifest, name) != entry[name]:
                yield f"{folder}: {name} is {getattr(manifest, name)}, and {entry[name]} in run.json"


def balance(evidence: Evidence) -> Iterator[str]:
    """At each stage and export rows in = rows out + ledger, in the manifest and in the files."""
    for stage in evidence.run.stages:
        manifest, name = stage.manifest, evidence.shown(stage.folder)
        rows = sum(_length(part) for part in stage.parts)
        left = Counter(_column(stage.left, "reason"))
        if manifest.rows_in != manifest.rows_out + sum(manifest.dropped.values()):
            yield f"{name}: {manifest.rows_in} in, {manifest.rows_out} out, {sum(manifest.dropped.values())} left"
        if rows != manifest.rows_out:
            yield f"{name}: {rows} rows in its files, {manifest.rows_out} in its manifest"
        if left != Counter(manifest.dropped):
            yield f"{name}: its files hold the departures {dict(left)}, its manifest {manifest.dropped}"
    for stage in evidence.exports:
        manifest, name = stage.manifest, evidence.shown(stage.folder)
        left = Counter(_column(stage.left, "reason"))
        if left != Counter(manifest.dropped) or manifest.rows_in != manifest.rows_out + left.total():
            yield f"{name}: {manifest.rows_in} in, {manifest.rows_out} out, and in its ledger {dict(left)}"


def flow(evidence: Evidence) -> Iterator[str]:
    """Each stage took in exactly the records that the one before it handed on."""
    for stages in evidence.run.rounds:
        for before, stage in pairwise(stages):
            name = evidence.shown(stage.folder)
            came = _column(before.parts, "id")
            if stage.manifest.stage == "synthesize":
                for identifier in set(came) ^ set(_column([*stage.parts, *stage.left], "parent_id")):
                    yield f"{name}: parent {identifier} has no record here, or is none of the round's parents"
                continue
            went = Counter(_column([*stage.parts, *stage.left], "id"))
            went.subtract(came)
            for identifier, surplus in went.items():
                if surplus:
                    yield f"{name}: record {identifier} {'came from nowhere' if surplus > 0 else 'is lost'}"
        if stages[0].manifest.stage == "parents":
            yield from _parents(evidence, stages[0])


def ledger(evidence: Evidence) -> Iterator[str]:
    """`ledger/` is the copy of what the `left-*` files of stages and exports hold."""
    folder = evidence.run.root / "ledger"
    every = [*evidence.run.stages, *evidence.exports]
    stages = {_ledger_file(evidence, stage): stage for stage in every if stage.manifest.dropped}
    for name in sorted({path.name for path in folder.glob("*.parquet")} ^ set(stages)):
        yield f"ledger/{name} {'is missing' if name in stages else 'belongs to no stage of this run'}"
    for name, stage in stages.items():
        if not (folder / name).is_file():
            continue
        differences = _entries([folder / name])
        differences.subtract(_entries(stage.left))
        for (identifier, _), surplus in differences.items():
            if surplus:
                yield f"ledger/{name}: {identifier} {'is no departure' if surplus > 0 else 'is missing'}"
        for identifier, where in zip(*(_column(stage.left, column) for column in ("id", "stage")), strict=True):
            if where != stage.manifest.stage:
                yield f"ledger/{name}: {identifier} is said to have left at {where}"


def content(evidence: Evidence) -> Iterator[str]:
    """`final/` holds the dataset's records, byte for byte, in the order of their ids."""
    with ExitStack() as stack:
        files = {split: _Lines(stack.enter_context(evidence.path_of(split).open("rb"))) for split in SPLITS}
        for record in merged(evidence.run.dataset):
            name, file = f"final/{record['split']}.jsonl", files[record["split"]]
            while file.id and file.id < record["id"]:
                yield f"{name}: record {file.id} is of no stage"
                file.advance()
            if file.id != record["id"]:
                yield f"{name}: record {record['id']} is missing"
                continue
            if file.line != orjson.dumps(unfold(record), option=orjson.OPT_APPEND_NEWLINE):
                yield f"{name}: record {record['id']} is not what the stages made of it"
            file.advance()
        for split, file in files.items():
            while file.id:
                yield f"final/{split}.jsonl: record {file.id} is of no stage"
                file.advance()


def ids(evidence: Evidence) -> Iterator[str]:
    """An id stands for one record, and each file is sorted by it."""
    final = evidence.final
    for identifier in final.loc[final["id"].duplicated(), "id"]:
        yield f"id {identifier} occurs again"
    for split, rows in final.groupby("file"):
        for before, after in pairwise(rows["id"]):
            if after < before:
                yield f"final/{split}.jsonl: {after} comes after {before}"
        for identifier in rows.loc[rows["split"] != split, "id"]:
            yield f"final/{split}.jsonl: record {identifier} is of another split"


def totals(evidence: Evidence) -> Iterator[str]:
    """Whatever the source held or a generator was asked for is in the dataset or in the ledger."""
    human = int((evidence.final["origin"] == HUMAN).sum())
    for origin, entrance, stays, rounds in (
        ("human", "read", human + len(evidence.seeds), evidence.run.rounds[:1]),
        ("synthetic", "synthesize", len(evidence.final) - human, evidence.run.rounds[1:]),
    ):
        came = sum(stage.manifest.rows_in for stage in evidence.run.named(entrance))
        left = sum(_length(path) for stages in rounds for stage in stages for path in stage.left)
        if came != stays + left:
            yield f"{came} {origin} records came, {stays} are in final/ and {left} in the ledger"


def groups(evidence: Evidence) -> Iterator[str]:
    """What belongs together lies in one split."""
    final = evidence.final
    for name in ("group_id", "root_id"):
        for identifier in final.loc[final[name].isna(), "id"]:
            yield f"record {identifier} has no {name}"
        for identifier, splits, records in _in_two_files(final, name):
            yield f"{name.removesuffix('_id')} {identifier} lies in {splits} (records {records})"


def lineage(evidence: Evidence) -> Iterator[str]:
    """A synthetic record is in train, as its parent is; whoever follows the parents comes to a human record, or to a
    seed, which no final file holds."""
    final = evidence.final
    is_human = final["origin"] == HUMAN
    humans, made = final[is_human], final[~is_human]
    for identifier in humans.loc[(humans["root_id"] != humans["id"]) | humans["parent_id"].notna(), "id"]:
        yield f"human record {identifier} has a parent, or another root than itself"
    for identifier in made.loc[made["file"] != "train", "id"]:
        yield f"synthetic record {identifier} is not in train"
    train = pd.concat([final[final["file"] == "train"], evidence.seeds])
    train = train[train["file"] == "train"].drop_duplicates("id").set_index("id")
    parents = train.reindex(made["parent_id"])
    for identifier, parent in made.loc[parents["origin"].isna().to_numpy(), ["id", "parent_id"]].to_numpy():
        yield f"synthetic record {identifier}: its parent {parent} is not in train"
    known = made[parents["origin"].notna().to_numpy()]
    parents = parents[parents["origin"].notna()]
    # Its parent is of an earlier round and has the same root: so the way up ends, at a record that is its own root.
    sound = (known["round"].to_numpy() > parents["round"].to_numpy()) & (
        known[["root_id", "group_id"]].to_numpy() == parents[["root_id", "group_id"]].to_numpy()
    ).all(axis=1)
    for identifier in known.loc[~sound, "id"]:
        yield f"synthetic record {identifier} has another root or group than its parent, or is not of a later round"


def exact(evidence: Evidence) -> Iterator[str]:
    """No two records with the same normalised texts lie in two splits."""
    if not evidence.by("exact"):
        raise _NothingToProveError("the plan has no dedup.exact")
    for _, splits, records in _in_two_files(evidence.final, "exact"):
        yield f"{records} say the same, in {splits}"


def near(evidence: Evidence) -> Iterator[str]:
    """No two records at or above the cosine `split.near` lie in two splits, by the vectors that the run kept.

    A record whose vector is gone or damaged is a fault: nothing is proved of it.
    """
    by = evidence.by("semantic")
    if not by:
        raise _NothingToProveError("the plan has no dedup.semantic")
    names = [f"near_{number}" for number in range(len(COMPARED[by]))]
    texts = _located(evidence, names)
    for identifier in texts.loc[texts["row_0"].isna(), "id"]:
        yield f"record {identifier} has no vector in embeddings/"
    texts = texts[texts["row_0"].notna()]
    for block in _blocks(texts):
        norms = np.linalg.norm(_vectors(block), axis=2)
        for identifier in block.loc[(np.abs(norms - 1) > _UNITY).any(axis=0), "id"]:
            yield f"record {identifier} has a damaged vector in embeddings/"
    exact = _exact_cosines(evidence, names)
    bound = float(evidence.run.plan["split"]["near"]) + TOLERANCE
    for one, other in combinations(SPLITS, 2):
        for first, second, found in _pairs(texts[texts["file"] == one], texts[texts["file"] == other], bound):
            cosine = exact(first, second, found)
            if cosine >= bound:
                yield f"{first} ({one}) and {second} ({other}): cosine {cosine:.4f}"


def against(evidence: Evidence) -> Iterator[str]:
    """No record has the question of a record of the other set, or a run of words in common with it.

    Computed anew, on the texts of both as the run left them.
    """
    plan = evidence.run.plan.get("against") or {}
    if not plan.get("input"):
        raise _NothingToProveError("the plan names no other set")
    if not (plan["exact"] or plan["ngram"]):
        raise _NothingToProveError("the plan compares by meaning alone")
    (reference,) = evidence.run.named(REFERENCE)
    known: dict[str, str] = {}
    for batch in batches(reference.parts, ["id", *TEXT_COLUMNS]):
        rows = batch.to_pandas()
        for identifier, keys in zip(rows["id"], _against_keys(rows, plan), strict=True):
            known.update(dict.fromkeys(keys, identifier))
    for split in SPLITS:
        for rows in _batches(evidence.path_of(split)):
            for identifier, keys in zip(rows["id"], _against_keys(rows, plan), strict=True):
                if shared := sorted(known.keys() & keys):
                    yield f"record {identifier} ({split}) says what {known[shared[0]]} says"


def handoff(evidence: Evidence) -> Iterator[str]:
    """Each record of `final/` is one example in each form of a task, or in the ledger; nothing else is an example."""
    tasks = {stage.folder: stage for stage in evidence.exports if "template" in stage.manifest.settings}
    for task in evidence.run.plan["tasks"]:
        if evidence.run.root / "handoff" / task["name"] not in tasks:
            yield f"handoff/{task['name']} is missing, or its manifest names no template"
    splits = dict(zip(evidence.final["id"], evidence.final["file"], strict=True))
    for stage in tasks.values():
        refused = dict(zip(_column(stage.left, "id"), _column(stage.left, "reason"), strict=True))
        for identifier in refused.keys() - splits.keys():
            yield f"{evidence.shown(stage.folder)}: {identifier} in its ledger is no record of final/"
        for split in SPLITS:
            yield from _split_faults(evidence, stage, split, refused, splits)
        yield from _length_faults(evidence, stage)


def preference(evidence: Evidence) -> Iterator[str]:
    """A pair is of two records that were written from one human record of train; no record has pairs in both files."""
    folders = [stage.folder for stage in evidence.exports if stage.manifest.stage == Preference.folder]
    if not folders:
        raise _NothingToProveError("the plan asks for none")
    final = evidence.final[evidence.final["file"] == "train"]
    parents = dict(zip(final["id"], final["parent_id"], strict=True))
    people = set(final.loc[final["origin"] == HUMAN, "id"])
    left = [path for stages in evidence.run.rounds[1:] for stage in stages for path in stage.left]
    departed = dict(zip(_column(left, "id"), _column(left, "parent_id"), strict=True))
    seen: set[str] = set()
    places: dict[str, str] = {}
    for path in sorted(folders[0].glob("*.jsonl")):
        for number, pair in enumerate(read_lines(path), 1):
            parent, where = pair["parent_id"], f"{evidence.shown(path)}:{number}"
            chosen, rejected = pair["chosen_id"], pair["rejected_id"]
            if parent not in people or places.setdefault(parent, path.name) != path.name:
                yield f"{where} is of {parent}, which is no human record of train, or has pairs in both files"
            if parents.get(chosen) != parent or {**departed, **parents}.get(rejected) != parent:
                yield f"{where} is of {chosen} and {rejected}, which were not written from {parent}"
            if pair["score_chosen"] < pair["score_rejected"] or pair["chosen"] == pair["rejected"]:
                yield f"{where} prefers what is graded lower, or says the same"
            if pair["id"] in seen:
                yield f"{where} has the id of another pair, {pair['id']}"
            seen.add(pair["id"])


def bill(evidence: Evidence) -> Iterator[str]:
    """What models were asked is in the log of what was spent, within the budget, and told by `run.json`."""
    root = evidence.run.root
    paid = spent(root / SPENDING)
    if {model: shown(tally) for model, tally in paid.items()} != evidence.run.run.get("models"):
        yield "run.json tells other figures than spending/"
    plan = evidence.run.plan.get("budget") or {}
    budget = Budget(plan.get("max_requests"), plan.get("max_tokens"), plan.get("max_cost"))
    amount = sum((tally.amount for tally in paid.values()), Amount())
    if not amount.fits(budget.amount):
        yield f"{amount.requests} requests, {amount.tokens} tokens, ${amount.money / DOLLAR:.2f} exceed the budget"
    for model, kept in Journal(root / "journal").totals().items():
        requests = paid[model].requests if model in paid else 0
        if kept["replies"] > requests:
            yield f"the journal holds {kept['replies']} replies of {model}, but only {requests} requests were logged"


CHECKS: Mapping[str, Check] = {
    "every file has the checksum of its manifest": checksums,
    "final and handoff hold no other files": strays,
    "run.json tells what the manifests tell": account,
    "at every stage and export, rows in = rows out + rows in the ledger": balance,
    "every stage took in what the one before it handed on": flow,
    "the ledger holds what left the stages and the exports, and nothing else": ledger,
    "final holds the records of the last stages, byte for byte": content,
    "ids are unique and in order": ids,
    "every record that came in or was asked for is in final or in the ledger": totals,
    "no group and no root lies in two splits": groups,
    "synthetic records are in train, as their parents are, and come from human ones or seeds": lineage,
    "no exact duplicates lie in two splits": exact,
    "no near duplicates lie in two splits": near,
    "no record says what a record of the other set says": against,
    "the hand-off holds the splits' own records once in each form, or the ledger does": handoff,
    "preference pairs are of two records written from one human record of train": preference,
    "what models were paid is logged, and within the budget": bill,
}
"""What is proved, in the order in which it is printed."""


class _Lines:
    """A final file, record by record; at its end `id` is empty."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.advance()

    def advance(self) -> None:
        """Goes to the next record."""
        self.line = self._file.readline()
        self.id: str = orjson.loads(self.line)["id"] if self.line else ""


def _visible(folder: Path, pattern: str) -> list[Path]:
    """What lies in `folder`, but for hidden files and folders: those are work in progress."""
    found = folder.rglob(pattern)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _length(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _column(files: Sequence[Path], name: str) -> list[Any]:
    return [value for batch in batches(files, [name]) for value in batch.column(0).to_pylist()]


def _parents(evidence: Evidence, stage: Stage) -> Iterator[str]:
    """Only human records of train, and seeds, are written from."""
    final = evidence.final
    allowed = {*final.loc[(final["file"] == "train") & (final["origin"] == HUMAN), "id"], *evidence.seeds["id"]}
    for identifier, count in Counter(_column(stage.parts, "id")).items():
        if identifier not in allowed or count > 1:
            yield f"{evidence.shown(stage.folder)}: {identifier} is no human record of train, or was drawn twice"


def _ledger_file(evidence: Evidence, stage: Stage) -> str:
    return f"{'-'.join(stage.folder.relative_to(evidence.run.root).parts[-2:])}.parquet"


def _entries(files: Sequence[Path]) -> Counter[tuple[str, str]]:
    """How often each entry occurs, by its id and a hash of all its columns."""
    rows = (row for batch in batches(files, LEDGER_COLUMNS) for row in batch.to_pylist())
    return Counter((row["id"], digest(to_json(row))) for row in rows)


def _batches(path: Path) -> Iterator[pd.DataFrame]:
    """The records of a final file, some at a time: lineage and texts."""
    with path.open("rb") as file:
        lines = enumerate(file, 1)
        while rows := [_record(path, number, line) for number, line in islice(lines, _BATCH)]:
            yield pd.DataFrame(rows, columns=[*_LINEAGE, *TEXT_COLUMNS], dtype=object)


def _record(path: Path, number: int, line: bytes) -> Record:
    try:
        row = orjson.loads(line)
        return {name: row[name] for name in (*_LINEAGE, *TEXT_COLUMNS)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name}, line {number} is no record: {error}") from error


def _in_two_files(final: pd.DataFrame, name: str) -> Iterator[tuple[str, str, str]]:
    """The values of a column that occur in the files of several splits, with these splits and a record of each."""
    places = final.dropna(subset=[name]).drop_duplicates([name, "file"])
    shared = places[places[name].duplicated(keep=False)]
    for value, rows in shared.groupby(name):
        yield str(value), ", ".join(rows["file"]), ", ".join(rows["id"])


def _located(evidence: Evidence, names: Sequence[str]) -> pd.DataFrame:
    """The records with texts to compare: `id`, `file`, and where in the cache the vector of each text is (`file_0`,
    `row_0`, …; null where one of them is missing), sorted so that neighbours lie in few files."""
    places = _places(evidence, names, _near_settings(evidence)["vectors"])
    return places.sort_values(["file_0", "row_0", "id"], ignore_index=True)


def _near_settings(evidence: Evidence) -> Mapping[str, Any]:
    (settings,) = (stage.manifest.settings for stage in evidence.run.rounds[0] if stage.manifest.stage == "near")
    return settings


def _places(evidence: Evidence, names: Sequence[str], vectors: str) -> pd.DataFrame:
    """`_located` in the order of the records; `vectors` is the fingerprint of the encoder."""
    texts = evidence.final.dropna(subset=list(names))
    index = VectorCache(evidence.run.root / "embeddings", vectors).index()
    places = texts[["id", "file"]].reset_index(drop=True)
    for number, name in enumerate(names):
        found = index.reindex(texts[name])
        places[f"file_{number}"] = found["file"].to_numpy(dtype=object)
        places[f"row_{number}"] = found["row"].to_numpy(dtype="float64")
    places.loc[places.isna().any(axis=1), "row_0"] = np.nan
    return places


def _exact_cosines(evidence: Evidence, names: Sequence[str]) -> Callable[[str, str, float], float]:
    """Tells a pair's cosine by vectors of single precision, where the run took these to decide it, or else as found."""
    settings = _near_settings(evidence)
    exact = settings.get("exact_vectors", settings["vectors"])
    if exact == settings["vectors"]:
        return lambda _first, _second, found: found
    places = _places(evidence, names, exact)
    known = places[places["row_0"].notna()].set_index("id")

    def cosine(first: str, second: str, found: float) -> float:
        if first not in known.index or second not in known.index:
            return found
        one, other = (_vectors(known.loc[[name]]).astype("float64")[:, 0] for name in (first, second))
        return float((one * other).sum(axis=1).min())

    return cosine


def _blocks(texts: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (texts.iloc[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))


def _vectors(block: pd.DataFrame) -> Vectors:
    """Shape (compared texts, records, dimensions)."""
    numbers = range(sum(name.startswith("file_") for name in block.columns))
    return np.stack(
        [
            take(block[f"file_{number}"].to_numpy(dtype=object), block[f"row_{number}"].to_numpy(dtype="int64"))
            for number in numbers
        ]
    )


def _pairs(one: pd.DataFrame, other: pd.DataFrame, bound: float) -> Iterator[tuple[str, str, float]]:
    """The pairs of records, one of each table, whose least similar texts reach `bound`."""
    for rows in _blocks(one):
        left, names = _vectors(rows), rows["id"].to_numpy()
        for columns in _blocks(other):
            right, others = _vectors(columns), columns["id"].to_numpy()
            products = reduce(np.minimum, (a @ b.T for a, b in zip(left, right, strict=True)))
            if products.max() < bound - _MARGIN:
                continue
            for row, column in np.argwhere(products >= bound - _MARGIN):
                cosine = float((left[:, row].astype("float64") * right[:, column]).sum(axis=1).min())
                if cosine >= bound:
                    yield names[row], others[column], cosine


def _against_keys(rows: pd.DataFrame, plan: Mapping[str, Any]) -> list[set[str]]:
    """Hashes of all by which a record may not equal one of the other set: its question, and its runs of words."""
    found: list[set[str]] = []
    (questions,) = compared_texts(rows, "question")
    for question, *texts in zip(questions, *(rows[name] for name in RUN_TEXTS), strict=True):
        keys = {digest("question", form, size=8)} if plan["exact"] and (form := normalize(question)) else set()
        if plan["ngram"]:
            words = [words_of(text) for text in texts if isinstance(text, str)]
            keys |= {digest("run", run, size=8) for text in words for run in runs_of(text, plan["ngram"])}
        found.append(keys)
    return found


def _split_faults(
    evidence: Evidence, stage: Stage, split: str, refused: Mapping[str, str], splits: Mapping[str, str]
) -> Iterator[str]:
    """What is wrong with a task's files of a split: its examples are made once more, and kept as hashes."""
    told = stage.manifest.settings["template"]
    template = Template(told["name"], told["prompt"], tuple(told["input"]), told["output"])
    expected: dict[str, dict[str, str]] = {form: {} for form in FORMS}
    for rows in _batches(evidence.path_of(split)):
        for row in rows.to_dict("records"):
            identifier, is_whole = row["id"], template.missing(row) is None
            if is_whole == (refused.get(identifier) == "incomplete"):
                yield f"{evidence.shown(stage.folder)}: {identifier} lacks no text, or is not in the ledger for it"
            if is_whole and identifier not in refused:
                expected["chat"][identifier] = digest(to_json(template.chat(row)))
                expected["nemo"][identifier] = digest(to_json(template.example(row)))
    for form, due in expected.items():
        path = stage.folder / form / f"{FILES[split]}.jsonl"
        seen: set[str] = set()
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                for fault in _example_faults(line, form, split, due, splits, seen):
                    yield f"{evidence.shown(path)}:{number} {fault}"
        for identifier in due.keys() - seen:
            yield f"{evidence.shown(path)}: record {identifier} is missing"
        if len(seen) != stage.manifest.settings["splits"].get(split):
            told_of = stage.manifest.settings["splits"].get(split)
            yield f"{evidence.shown(path)} has {len(seen)} examples, its manifest {told_of}"


def _example_faults(
    line: bytes, form: str, split: str, due: Mapping[str, str], splits: Mapping[str, str], seen: set[str]
) -> Iterator[str]:
    """What is wrong with one line of a hand-off file; notes its id in `seen`."""
    if not line.isascii() or not line.endswith(b"\n"):
        yield "is not ASCII, or is cut"
    try:
        example = orjson.loads(line)
    except ValueError:
        yield "is no JSON" if line.strip() else "is blank"
        return
    if fault := _form_fault(example, form):
        yield fault
        return
    identifier = example["id"]
    if identifier in seen:
        yield f"({identifier}) stands here twice"
    seen.add(identifier)
    if splits.get(identifier) != split:
        yield f"({identifier}) is no record of {split} in final/"
    elif identifier not in due:
        yield f"({identifier}) is in the ledger as well"
    elif digest(to_json(example)) != due[identifier]:
        yield f"({identifier}) is not what its record says"


_KEYS = {"chat": ["id", "messages"], "nemo": ["id", "input", "output"]}
_ROLES = ["system", "user", "assistant"]


def _form_fault(example: Any, form: str) -> str | None:
    """What a reader of the form would stumble over."""
    if not isinstance(example, dict) or sorted(example) != _KEYS[form] or not isinstance(example["id"], str):
        return f"has not exactly the keys {', '.join(_KEYS[form])}"
    texts = [example["id"], example.get("input", "-"), example.get("output", "-")]
    if form == "chat":
        turns = example["messages"]
        if not isinstance(turns, list) or [turn.get("role") for turn in turns if isinstance(turn, dict)] != _ROLES:
            return f"({example['id']}) is no chat of system, user and assistant"
        texts = [turn.get("content") for turn in turns]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        return f"({example['id']}) has a null or an empty text"
    if form == "nemo" and example["input"] != example["input"].rstrip():
        return f"({example['id']}) ends its input with white space"
    return None


def _length_faults(evidence: Evidence, stage: Stage) -> Iterator[str]:
    """Where a tokenizer has counted, nothing that is there is over length, and everything is that left for it."""
    plan = evidence.run.plan["handoff"]
    if not plan["tokenizer"]:
        return
    stats = orjson.loads((stage.folder / "token_stats.json").read_bytes())
    for name, split in stats["splits"].items():
        if split["examples"] and split["example"]["max"] > plan["max_tokens"]:
            yield f"{evidence.shown(stage.folder)}: {name} has an example of {split['example']['max']} tokens"
    for identifier, reason, score in zip(
        *(_column(stage.left, name) for name in ("id", "reason", "score")), strict=True
    ):
        if reason == "over_length" and score <= plan["max_tokens"]:
            yield f"{evidence.shown(stage.folder)}: {identifier} left with {score:.0f} tokens"


if __name__ == "__main__":
    sys.exit(main())
