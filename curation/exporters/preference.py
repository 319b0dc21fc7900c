"""Preference pairs: of two answers that were written from one record, which one is better."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson

from curation.core.contracts import Exported, Exporter
from curation.core.pairs import normalize
from curation.core.records import HUMAN, REASON, SYNTHETIC, Record, unit_interval
from curation.exporters._forms import BUILT_IN, line_of

_FILES: Final = {"train": "training", "validation": "validation"}
_FAILED: Final = ("failed_rule", "low_score")
"""What the ledger says of a record that was judged, and found wanting."""
_DATABASE: Final = ".pairs.sqlite"  # hidden, so that it is not published
_MAKE: Final = """
pragma synchronous = off;
create table if not exists parents (id text primary key, family text, question text) without rowid;
create table if not exists variants
  (id text primary key, parent text, answer text, score real, failed int) without rowid;
"""
_JOINED: Final = """
select parents.id, family, question, variants.id, answer, score, failed
from parents join variants on variants.parent = parents.id
order by parents.id, failed, score desc, variants.id
"""


class Preference(Exporter):
    """`preference/{training,validation}.jsonl` with `prompt`, `chosen` and `rejected`, as DPO trainers read them.

    A prompt is the question of a human training record, in its own words. Its variants, of all rounds, answer it: the
    best graded one that is in the dataset is chosen, against each that is graded lower, and each that left because it
    failed the rule or a filter of scores and is graded no higher. Nothing comes of variants that no critic judged, and
    of answers that say the same. `chosen_id`, `rejected_id`, `score_chosen` and `score_rejected` stand beside them.

    Args:
        score: what grades: `answer_score`, the grade of the critics, or an attribute of theirs.
        min_margin: the least difference of two grades.
        validation: the share of parents whose pairs are for validation; all of a group of relatives go together.
        conversational: whether prompt and answers are lists of messages.

    Raises:
        ValueError: a number is out of bounds.
    """

    folder = "preference"
    needs_left: ClassVar[bool] = True

    def __init__(
        self,
        score: str = "answer_score",
        min_margin: float = 0.0,
        validation: float = 0.1,
        conversational: bool = False,
    ) -> None:
        if not min_margin >= 0:
            raise ValueError(f"min_margin is 0 or more, not {min_margin}")
        if not 0 <= validation < 1:
            raise ValueError(f"validation is a share from 0 to less than 1, not {validation}")
        self.score = score
        self.min_margin = min_margin
        self.validation = validation
        self.conversational = conversational

    def write(self, split: str, rows: Sequence[Record], folder: Path) -> int:
        """Notes what pairs are made of; `finish` counts them."""
        template = BUILT_IN["qa"]
        parents = [
            (row["id"], row["group_id"] or row["id"], template.asked(row))
            for row in rows
            if split == "train" and row["origin"] == HUMAN and (row["question"] or "").strip()
        ]
        with _tables(folder) as tables:
            tables.executemany("insert into parents values (?, ?, ?)", parents)
            tables.executemany("insert into variants values (?, ?, ?, ?, 0)", self._variants(rows))
        return 0

    def write_left(self, rows: Sequence[Record], folder: Path) -> None:
        """Notes what failed."""
        failed = [row for row in rows if row[REASON] in _FAILED]
        with _tables(folder) as tables:
            tables.executemany("insert or ignore into variants values (?, ?, ?, ?, 1)", self._variants(failed))

    def finish(self, folder: Path, exported: Exported) -> Mapping[str, Any]:
        """Writes the pairs, in order of their parents' ids, and counts them."""
        counts = dict.fromkeys(_FILES, 0)
        paths = {split: folder / f"{name}.jsonl" for split, name in _FILES.items()}
        for path in paths.values():
            path.touch()
        with _tables(folder) as tables:
            families = groupby(tables.execute(_JOINED), key=lambda row: row[:3])
            for (parent, group, question), family in families:
                split = "validation" if unit_interval("preference", group) < self.validation else "train"
                pairs = list(self._pairs([row[3:] for row in family]))
                with paths[split].open("a", encoding="ascii") as file:
                    file.writelines(line_of(self._line(parent, question, best, other)) for best, other in pairs)
                counts[split] += len(pairs)
        return {"splits": counts}

    def _variants(self, rows: Sequence[Record]) -> Iterator[tuple[str, str, str, float]]:
        """Those among `rows` that were judged and have an answer."""
        for row in rows:
            scores = orjson.loads(row["scores"] or "{}")
            grade = row["answer_score"] if self.score == "answer_score" else scores.get(self.score)
            answer = (row["answer"] or "").strip()
            if row["origin"] == SYNTHETIC and scores and answer and grade is not None and math.isfinite(grade):
                yield row["id"], row["parent_id"], answer, float(grade)

    def _pairs(self, variants: list[tuple[str, str, float, int]]) -> Iterator[tuple[Any, Any]]:
        """The best of one parent's variants with each that is worse and says something else."""
        best, *others = variants
        said = {normalize(best[1])}
        for other in others if not best[3] else ():
            margin = best[2] - other[2]
            is_worse = margin > 0 or other[3]  # what failed need not be graded lower, but never higher
            if is_worse and margin >= self.min_margin and (words := normalize(other[1])) not in said:
                said.add(words)
                yield best, other

    def _line(self, parent: str, question: str, best: tuple[Any, ...], other: tuple[Any, ...]) -> Record:
        texts: dict[str, Any] = {"prompt": question, "chosen": best[1], "rejected": other[1]}
        if self.conversational:
            roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
            texts = {name: [{"role": roles[name], "content": text}] for name, text in texts.items()}
        return {
            **texts,
            "id": other[0],
            "parent_id": parent,
            "chosen_id": best[0],
            "rejected_id": other[0],
            "score_chosen": best[2],
            "score_rejected": other[2],
        }


@contextmanager
def _tables(folder: Path) -> Iterator[sqlite3.Connection]:
    """What is noted on the disk, since a split never has to fit in memory."""
    with closing(sqlite3.connect(folder / _DATABASE)) as tables, tables:
        tables.executescript(_MAKE)
        yield tables
