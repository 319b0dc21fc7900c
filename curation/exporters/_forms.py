"""A record as an example of a task, in the two forms that trainers read: a prompt that is continued, and a chat."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from curation.core.records import TEXT_COLUMNS, Record, digest, to_json

FILES: Final = {"train": "training", "validation": "validation", "test": "test"}
"""The names under which trainers look for the splits."""
FORMS: Final = ("chat", "nemo")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_LAYOUT = 1  # of the prompts; a change of it is another template


@dataclass(frozen=True)
class Template:
    """What a task asks, of which texts of a record, and which one answers it.

    Args:
        name: of the task; a folder is called like it.
        prompt: the instruction: the system message of a chat, or what a prompt begins with.
        input: columns of a record. A question among them has to be there, and of others one; a title before a
            question is its first line.
        output: the column with the answer.
    """

    name: str
    prompt: str
    input: tuple[str, ...]
    output: str

    def faults(self) -> list[str]:
        """What is wrong with it, one line each."""
        found = []
        if not _NAME.fullmatch(self.name):
            found.append(f"'{self.name}' can't name a folder: take small letters, digits, - and _")
        if not self.prompt.strip():
            found.append(f"task '{self.name}' has no prompt: say what is to be done")
        if not self.input:
            found.append(f"task '{self.name}' has no input: name columns of {', '.join(TEXT_COLUMNS)}")
        found += [
            f"task '{self.name}': there is no text '{column}'. There are: {', '.join(TEXT_COLUMNS)}"
            for column in (*self.input, self.output)
            if column not in TEXT_COLUMNS
        ]
        if len(set(self.input)) < len(self.input) or self.output in self.input:
            found.append(f"task '{self.name}' names a text twice: what it asks with can't be what it asks for")
        return found

    @cached_property
    def id(self) -> str:
        """A hash of all that an example depends on besides its record."""
        return digest(_LAYOUT, to_json(asdict(self)))

    def missing(self, row: Record) -> str | None:
        """A column that an example of this record lacks; None where there is one."""
        if not _text(row, self.output):
            return self.output
        needed = ("question",) if "question" in self.input else self.input
        return None if any(_text(row, name) for name in needed) else needed[0]

    def example(self, row: Record) -> Record:
        """`input`, `output` and `id`, for a record of which nothing is `missing`.

        The input is laid out as NVIDIA's law tutorial does it, and ends without white space: training strips that,
        generation does not.
        """
        parts = [f"{label.upper()}: {text}" for label, text in self._parts(row)]
        asked = " \n".join([self.prompt.strip(), *parts, f"{self.output.upper()}:"])
        return {"input": asked, "output": _text(row, self.output), "id": row["id"]}

    def chat(self, row: Record) -> Record:
        """`messages` and `id`: the prompt is the system's, the bare texts are the user's."""
        texts = {
            "system": self.prompt.strip(),
            "user": self.asked(row),
            "assistant": _text(row, self.output),
        }
        return {"messages": [{"role": role, "content": text} for role, text in texts.items()], "id": row["id"]}

    def asked(self, row: Record) -> str:
        """The bare texts that it is asked with."""
        return "\n\n".join(text for _, text in self._parts(row))

    def _parts(self, row: Record) -> Iterator[tuple[str, str]]:
        """What the record is asked with: the name of a column, and its text."""
        title = ""
        for name, follower in zip(self.input, (*self.input[1:], ""), strict=True):
            text = _text(row, name)
            if name == "title" and follower == "question":
                title = text
            elif text:
                yield name, f"{title}\n{text}" if name == "question" and title else text


BUILT_IN: Final = {
    "title": Template(
        "title",
        "Write a title for the question below, as its author would on a question-and-answer site: "
        "one short line that names the point at issue.",
        ("question",),
        "title",
    ),
    "qa": Template("qa", "Answer the question below.", ("context", "title", "question"), "answer"),
}
"""Tasks that a plan names without saying more."""


def line_of(example: Record) -> str:
    """A line of a file for trainers: ASCII, since one of them takes U+2028 for the end of a line."""
    return json.dumps(example) + "\n"


def read_lines(path: Path) -> Iterator[Any]:
    """What the lines of such a file hold."""
    with path.open(encoding="ascii") as file:
        yield from map(json.loads, file)


def _text(row: Record, name: str) -> str:
    return (row[name] or "").strip()
