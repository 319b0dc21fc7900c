"""What belongs together or says the same lies in one split, and nothing repeats another set or a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from curation.core.pairs import compared_texts, normalize
from curation.core.records import SPLITS, SYNTHETIC, TEXT_COLUMNS, digest
from curation.dedupers.ngram import RUN_TEXTS, runs_of, words_of
from curation.report.finished import REFERENCE, batches
from curation.verify.evidence import Evidence, NothingToProveError, records_of


def groups(evidence: Evidence) -> Iterator[str]:
    """What belongs together lies in one split."""
    final = evidence.final
    for name in ("group_id", "root_id"):
        for identifier in final.loc[final[name].isna(), "id"]:
            yield f"record {identifier} has no {name}"
        for identifier, splits, records in _in_two_files(final, name):
            yield f"{name.removesuffix('_id')} {identifier} lies in {splits} (records {records})"


def exact(evidence: Evidence) -> Iterator[str]:
    """No two records with the same normalised texts lie in two splits, and no synthetic one has those of a seed.

    What people wrote may say what a seed says: seeds are no duplicates of it, nor it of them.
    """
    if not evidence.by("exact"):
        raise NothingToProveError("the plan has no dedup.exact")
    final = evidence.final
    for _, splits, records in _in_two_files(final, "exact"):
        yield f"{records} say the same, in {splits}"
    seeds = evidence.seeds.dropna(subset=["exact"]).drop_duplicates("exact").set_index("exact")["id"]
    repeated = final[(final["origin"] == SYNTHETIC) & final["exact"].isin(seeds.index)]
    for identifier, key in zip(repeated["id"], repeated["exact"], strict=True):
        yield f"record {identifier} says what the seed {seeds[key]} says"


def _in_two_files(final: pd.DataFrame, name: str) -> Iterator[tuple[str, str, str]]:
    """The values of a column that occur in the files of several splits, with these splits and a record of each."""
    places = final.dropna(subset=[name]).drop_duplicates([name, "file"])
    shared = places[places[name].duplicated(keep=False)]
    for value, rows in shared.groupby(name):
        yield str(value), ", ".join(rows["file"]), ", ".join(rows["id"])


def against(evidence: Evidence) -> Iterator[str]:
    """No record has the question of a record of the other set, or a run of words in common with it.

    Computed anew, on the texts of both as the run left them.
    """
    plan = evidence.run.plan.get("against") or {}
    if not plan.get("input"):
        raise NothingToProveError("the plan names no other set")
    if not (plan["exact"] or plan["ngram"]):
        raise NothingToProveError("the plan compares by meaning alone")
    (reference,) = evidence.run.named(REFERENCE)
    known: dict[str, str] = {}
    for batch in batches(reference.parts, ["id", *TEXT_COLUMNS]):
        rows = batch.to_pandas()
        for identifier, keys in zip(rows["id"], _against_keys(rows, plan), strict=True):
            known.update(dict.fromkeys(keys, identifier))
    for split in SPLITS:
        for rows in records_of(evidence.path_of(split)):
            for identifier, keys in zip(rows["id"], _against_keys(rows, plan), strict=True):
                if shared := sorted(known.keys() & keys):
                    yield f"record {identifier} ({split}) says what {known[shared[0]]} says"


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
