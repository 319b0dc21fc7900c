"""The records of `final/`: what the stages made of them, their ids, and what they were written from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import BinaryIO

import orjson
import pandas as pd

from curation.core.records import HUMAN, SPLITS
from curation.exporters.jsonl import unfold
from curation.stages.export import merged
from curation.verify.evidence import Evidence


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


class _Lines:
    """A final file, record by record; at its end `id` is empty."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.advance()

    def advance(self) -> None:
        """Goes to the next record."""
        self.line = self._file.readline()
        self.id: str = orjson.loads(self.line)["id"] if self.line else ""


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
