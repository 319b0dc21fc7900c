"""The columns of a record and of the ledger, ids, and the total order that decides which duplicate is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson
import pandas as pd
import pyarrow as pa

Record = dict[str, Any]
"""One training example: the columns of `SCHEMA`, by name."""

SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),  # unique in the run, stable between runs
        ("root_id", pa.string()),  # the human record at the start of the lineage (a human record's own id)
        ("parent_id", pa.string()),  # the record that it was generated from; null for a human record
        ("group_id", pa.string()),  # smallest id of its group of duplicates and relatives; set by the split
        ("round", pa.int32()),  # 0 for human records
        ("origin", pa.string()),  # HUMAN, SYNTHETIC, or SEED
        ("strategy", pa.string()),  # the generator and what it did
        ("model", pa.string()),  # the teacher that wrote it
        ("prompt_id", pa.string()),  # hash of the prompt template that asked for it
        ("split", pa.string()),  # one of SPLITS; set by the split
        ("title", pa.string()),
        ("question", pa.string()),
        ("answer", pa.string()),
        ("context", pa.string()),  # the document that grounds the answer, where there is one
        ("tags", pa.string()),  # sorted, joined by commas
        ("question_score", pa.float64()),
        ("answer_score", pa.float64()),
        ("file_name", pa.string()),
        ("line", pa.int64()),  # where it stood in `file_name`: its line, or its row; null for a synthetic record
        ("scores", pa.string()),  # JSON object: the critic's attributes; they become columns at the export
        ("extra", pa.string()),  # JSON object: the source's other columns; they become columns at the export
    ]
)
"""The columns of every stage. What varies by source or critic lives in two JSON columns, so that neither the
schema nor a value's type ever depends on how the rows are partitioned."""

COLUMNS: Final = tuple(SCHEMA.names)
TEXT_COLUMNS: Final = ("title", "question", "answer", "context")
HUMAN: Final = "human"
SYNTHETIC: Final = "synthetic"
SEED: Final = "seed"
"""Of a record that is written from and never training data itself, such as a topic: it passes every stage as it is,
and no file that a run exports has it."""
SPLITS: Final = ("train", "validation", "test")

REASON: Final = "_reason"
"""A source or a generator marks a row that must go to the ledger with these two columns (null: a good row)."""
DETAIL: Final = "_detail"

LEDGER_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("root_id", pa.string()),
        ("parent_id", pa.string()),
        ("round", pa.int32()),
        ("stage", pa.string()),
        ("reason", pa.string()),  # one word: `low_score`, `near_duplicate`, `unanswered`, …
        ("field", pa.string()),  # the column that was judged
        ("score", pa.float64()),  # the value that was judged, where it is a number
        ("bound", pa.string()),  # the component and its arguments, or the rule's clause, that it failed
        ("kept_id", pa.string()),  # the record that stays in its place (duplicates, leaks)
        ("similarity", pa.float64()),
        ("detail", pa.string()),  # file and line, a message, or the text of a reply that could not be read
        ("record", pa.string()),  # JSON object: the whole row as it was when it left
    ]
)
LEDGER_COLUMNS: Final = tuple(LEDGER_SCHEMA.names)


def digest(*parts: object, size: int = 16) -> str:
    """Hexadecimal BLAKE2b of `parts`, each preceded by its length so that no two lists of parts collide."""
    state = hashlib.blake2b(digest_size=size)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def seed_of(*parts: object) -> int:
    """A 64-bit seed that depends on `parts` alone, never on a partition, a worker or an order."""
    return int(digest(*parts, size=8), 16)


def unit_interval(*parts: object) -> float:
    """A number in (0, 1) drawn from `parts` alone; never exactly 0, so its logarithm exists."""
    return ((seed_of(*parts) >> 11) + 0.5) / 2.0**53


def to_json(value: Mapping[str, Any]) -> str:
    """Canonical JSON: sorted keys, so that equal values have equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()


def human(identifier: str, **columns: Any) -> Record:
    """A human record: every column of `SCHEMA` is present, unset ones as None, `extra` and `scores` as JSON."""
    return {
        **dict.fromkeys(COLUMNS),
        "id": identifier,
        "root_id": identifier,
        "round": 0,
        "origin": HUMAN,
        "scores": "{}",
        "extra": "{}",
        **columns,
    }


def seed(identifier: str, **columns: Any) -> Record:
    """A seed: a record as `human` makes it, to write from; it may have texts, such as an example's."""
    return human(identifier, **{**columns, "origin": SEED})


def child(parent: Record, index: int, round_number: int, draft: Mapping[str, Any]) -> Record:
    """The synthetic record number `index` that a generator drew from `parent` in a round.

    Its id comes from the lineage (parent, round, index): unique as long as a parent is expanded once a round,
    and the same in every run. It inherits what the draft doesn't set, and lies in its parent's split and group.
    """
    return {
        **parent,
        "scores": "{}",
        "question_score": 0.0,
        "answer_score": 0.0,
        **draft,
        "id": f"{parent['id']}-synth-{round_number}-{index}",
        "root_id": parent["root_id"],
        "parent_id": parent["id"],
        "group_id": parent["group_id"],
        "split": parent["split"],
        "round": round_number,
        "origin": SYNTHETIC,
        "line": None,
    }


def rejected(row: Mapping[str, Any], reason: str, detail: str = "") -> Record:
    """The row, marked for the ledger."""
    return {**row, REASON: reason, DETAIL: detail}


def frame(rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...] = COLUMNS) -> pd.DataFrame:
    """Rows as a frame of exactly `columns`; text columns are of dtype object with None for null."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    for name in columns:
        field = SCHEMA.field(name).type if name in SCHEMA.names else pa.string()
        if pa.types.is_string(field):
            table[name] = table[name].astype(object).where(table[name].notna(), None)
        elif pa.types.is_floating(field):
            table[name] = table[name].astype("float64")
    return table


def quality_rank(table: pd.DataFrame) -> pd.Series:
    """Each record's place in the total order of quality: 0 is the best.

    Human before synthetic, an earlier round before a later one (what a round has published is not taken back),
    then the higher sum of scores, the longer text, and the smaller id, so that no two records are equal.

    Args:
        table: columns `id`, `origin`, `round`, `question_score`, `answer_score`, `length` (characters).

    Returns:
        int64 ranks, on the table's index.
    """
    keys = pd.DataFrame(
        {
            "origin": (table["origin"] != HUMAN).astype("int8"),
            "round": table["round"],
            "score": -(table["question_score"].fillna(0.0) + table["answer_score"].fillna(0.0)),
            "length": -table["length"],
            "id": table["id"],
        },
        index=table.index,
    )
    order = keys.sort_values(list(keys.columns), kind="stable").index
    return pd.Series(range(len(order)), index=order, dtype="int64").reindex(table.index)
