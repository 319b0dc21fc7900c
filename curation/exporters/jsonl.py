"""The curated records with all their columns: one JSON Lines file a split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import orjson

from curation.core.contracts import Exporter
from curation.core.records import SCHEMA, Record

# JSON lets these stand in a string as they are, but many readers take them for the end of a line.
_LINE_ENDS = re.compile("\u2028|\u2029|\u0085".encode())


class Jsonl(Exporter):
    """`final/{train,validation,test}.jsonl`.

    The critic's attributes and the source's other columns stand beside the rest. A column of the source that is
    called like one of ours is written as `source_<name>`.
    """

    folder = "final"

    def write(self, split: str, rows: Sequence[Record], folder: Path) -> int:
        """Every record is written; nulls stay, so that all lines have the same columns of `records.SCHEMA`."""
        with (folder / f"{split}.jsonl").open("ab") as file:
            for row in rows:
                file.write(_LINE_ENDS.sub(_escaped, orjson.dumps(unfold(row), option=orjson.OPT_APPEND_NEWLINE)))
        return len(rows)


def unfold(row: Record) -> Record:
    """The record with the contents of its two JSON columns as columns of their own."""
    scores, extra = orjson.loads(row["scores"] or "{}"), orjson.loads(row["extra"] or "{}")
    columns = {name: row[name] for name in SCHEMA.names if name not in ("scores", "extra")}
    columns |= {name: value for name, value in scores.items() if name not in columns}
    return columns | {f"source_{name}" if name in columns else name: value for name, value in extra.items()}


def _escaped(match: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(match.group().decode())
