"""The files of InstructLab's data generation: conversations of skills and of knowledge, by leaf, with their recipes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import orjson
import yaml

from curation.core.contracts import Exporter
from curation.core.records import Record, to_json

SYSTEM: Final = "You are a careful assistant. You answer what you are asked, correctly and completely."
_KNOWLEDGE: Final = "knowledge"


class Instructlab(Exporter):
    """`handoff/instructlab`, as instructlab/sdg 0.8 names and mixes its files; what is no leaf's record is left out.

    - `skills_train_msgs.jsonl`, `knowledge_train_msgs.jsonl`: `id`, `messages` (system, user, assistant), `metadata`
      (a JSON object as text) and `unmask` (false: the loss is on the answer alone).
    - `skills_recipe.yaml`, `knowledge_recipe.yaml`: `datasets`, each with `path` and `sampling_size`, and
      `metadata.sys_prompt`. All of a file is taken: the rounds have balanced the leaves already.
    - `node_datasets/<leaf>.jsonl`: the same conversations, a file for each leaf.

    Args:
        system_prompt: of every conversation, and of the recipes.
        knowledge_context: where the document goes that grounds an answer of a knowledge leaf: before the question, as
            with a grounded skill (`message`), or only into `metadata` (`metadata`), so that it has to be learnt.
    """

    folder = "instructlab"

    def __init__(
        self, system_prompt: str = SYSTEM, knowledge_context: Literal["message", "metadata"] = "message"
    ) -> None:
        if knowledge_context not in ("message", "metadata"):
            raise ValueError(f"knowledge_context is 'message' or 'metadata', not '{knowledge_context}'")
        self.system_prompt = system_prompt
        self.knowledge_context = knowledge_context

    def write(self, split: str, rows: Sequence[Record], folder: Path) -> int:
        """Writes the records that a taxonomy's leaf gave, all of which are for training."""
        if split != "train":
            return 0
        for kind in ("skills", _KNOWLEDGE):
            self._begin(kind, folder)
        count = 0
        for row in rows:
            about = orjson.loads(row["extra"] or "{}")
            if not about.get("leaf") or not row["question"] or not row["answer"]:
                continue
            kind = _KNOWLEDGE if about.get("kind") == _KNOWLEDGE else "skills"
            line = json.dumps(self._conversation(row, about)) + "\n"  # ASCII: readers may take U+2028 for a line's end
            for path in (_messages(kind, folder), _node(about["leaf"], folder)):
                with path.open("a", encoding="ascii") as file:
                    file.write(line)
            count += 1
        return count

    def _begin(self, kind: str, folder: Path) -> None:
        """The kind's empty file and its recipe, where they are not there yet."""
        path = _messages(kind, folder)
        if path.exists():
            return
        path.touch()
        recipe = {
            "datasets": [{"path": path.name, "sampling_size": 1.0}],
            "metadata": {"sys_prompt": self.system_prompt},
        }
        (folder / f"{kind}_recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")

    def _conversation(self, row: Record, about: Record) -> Record:
        is_knowledge = about.get("kind") == _KNOWLEDGE
        context = (row["context"] or "").strip()
        shows = context if not is_knowledge or self.knowledge_context == "message" else ""
        asked = "\n\n".join(text for text in (shows, row["question"].strip()) if text)
        metadata = {name: value for name, value in about.items() if isinstance(value, str)}
        if is_knowledge:
            metadata |= {"sdg_document": context, "dataset": "document_knowledge_qa"}
        return {
            "id": row["id"],
            "messages": [
                {"role": "system", "content": self.system_prompt},
                {"role": "user", "content": asked},
                {"role": "assistant", "content": row["answer"].strip()},
            ],
            "metadata": to_json(metadata),
            "unmask": False,
        }


def _messages(kind: str, folder: Path) -> Path:
    return folder / f"{kind}_train_msgs.jsonl"


def _node(leaf: str, folder: Path) -> Path:
    """A leaf's own file. A folder for each part of its name: joined, `a_b/c` and `a/b_c` would be one file."""
    *parts, last = (quote(part, safe=" ").replace(".", "%2E") for part in leaf.split("/"))
    path = folder.joinpath("node_datasets", *parts, f"{last}.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
