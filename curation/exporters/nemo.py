"""The `input`/`output` form that NeMo's FineTuningDataModule and Megatron-Bridge read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from curation.core.contracts import Exporter
from curation.core.records import Record

Task = Literal["title", "qa"]
FILES = {"train": "training", "validation": "validation", "test": "test"}
_PROMPTS = {
    "title": "Write a title for the question below, as its author would on a question-and-answer site: "
    "one short line that names the point at issue.",
    "qa": "Answer the question below.",
}


class Nemo(Exporter):
    """`handoff/<task>/nemo/{training,validation,test}.jsonl` with `input`, `output` and `id`.

    Written as its readers need it: ASCII, since one of them takes U+2028 for the end of a line; no null, no blank
    line, no empty text; and no white space at the end of `input`, which training strips but generation does not.

    Args:
        task: `title` (question → title) or `qa` (question → answer).
        prompt: the instruction before each question; a sentence for the task by default.
    """

    def __init__(self, task: Task, prompt: str | None = None) -> None:
        if task not in _PROMPTS:
            raise ValueError(f"the task is 'title' or 'qa', not '{task}'")
        self.task = task
        self.prompt = _PROMPTS[task] if prompt is None else prompt
        self.folder = f"handoff/{task}/nemo"

    def write(self, split: str, rows: Sequence[Record], folder: Path) -> int:
        """Leaves out records without a question or without what the task asks for."""
        examples = [example for row in rows if (example := self._example(row))]
        with (folder / f"{FILES[split]}.jsonl").open("a", encoding="ascii") as file:
            file.writelines(json.dumps(example) + "\n" for example in examples)
        return len(examples)

    def _example(self, row: Record) -> Record | None:
        question = (row["question"] or "").strip()
        output = (row["title" if self.task == "title" else "answer"] or "").strip()
        if not question or not output:
            return None
        if self.task == "title":
            return {"input": f"{self.prompt} \nQUESTION: {question} \nTITLE:", "output": output, "id": row["id"]}
        title = f"{row['title'].strip()}\n" if row["title"] else ""
        return {"input": f"{self.prompt} \nQUESTION: {title}{question} \nANSWER:", "output": output, "id": row["id"]}
