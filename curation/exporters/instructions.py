"""New records as instructions with their responses: all that were written, and those that were kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from curation.core.contracts import Exporter
from curation.core.records import SYNTHETIC, Record

RAW: Final = "synthetic_data.jsonl"
FILTERED: Final = "synthetic_data_filtered.jsonl"


class Instructions(Exporter):
    """`handoff/qa/instructions/` with two files of `{"instruction": …, "response": …}`, as pipelines of open question
    answering leave them.

    `synthetic_data_filtered.jsonl` holds the synthetic records of the dataset; `synthetic_data.jsonl` these, and after
    them each that was written whole and left later: by the critic's rule, a filter, or as a duplicate.
    """

    folder = "handoff/qa/instructions"
    needs_left: ClassVar[bool] = True

    def write(self, split: str, rows: Sequence[Record], folder: Path) -> int:
        """Leaves out what people wrote, whatever the split."""
        lines = _lines(rows)
        for name in (RAW, FILTERED):
            _append(folder / name, lines)
        return len(lines)

    def write_left(self, rows: Sequence[Record], folder: Path) -> None:
        """Leaves out what has no response."""
        _append(folder / RAW, _lines(rows))


def _lines(rows: Sequence[Record]) -> list[str]:
    return [line for row in rows if row["origin"] == SYNTHETIC and (line := _line(row))]


def _line(row: Record) -> str | None:
    instruction = "\n\n".join(text for name in ("title", "question") if (text := (row[name] or "").strip()))
    response = (row["answer"] or "").strip()
    # ASCII: some readers take U+2028 for the end of a line.
    return json.dumps({"instruction": instruction, "response": response}) + "\n" if instruction and response else None


def _append(path: Path, lines: Sequence[str]) -> None:
    with path.open("a", encoding="ascii") as file:
        file.writelines(lines)
