"""What a hand-off folder gets beside its data: scripts that fine-tune on it and measure the outcome.

The scripts find the data in the folder above their own, so that the whole can be moved. Those in Python, and the chat
template, are the files of `recipes/` as they stand; what they need to know is in `facts.json`. The others have
`@{places}` to fill.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Final

FACTS: Final = "facts.json"
_AS_THEY_STAND: Final = {".py", ".jinja"}
_PLACE: Final = re.compile(r"@\{(\w+)\}")  # a shell's and YAML's own `${NAME}` stay as they are


@dataclass(frozen=True)
class RecipeFacts:
    """What the recipes know of the data.

    Args:
        task: `title` or `qa`.
        model: the model that the recipes expect, by its name on the hub.
        prompt: the system message of each chat.
        seq_length: the most tokens of an example that the recipes train on; no example should have more.
        counts: examples by split (`training`, `validation`, `test`).
        max_tokens: the tokens of the longest example; `None` if no tokenizer has counted them.
    """

    task: str
    model: str
    prompt: str
    seq_length: int
    counts: Mapping[str, int]
    max_tokens: int | None = None


def write_recipes(folder: Path, facts: RecipeFacts) -> list[Path]:
    """Writes `folder/recipes/`, which is made, and returns its files, sorted.

    Args:
        folder: a task's hand-off folder, which holds `nemo/` and `chat/`.
        facts: written to `facts.json`, and into the placeholders.
    """
    recipes = folder / "recipes"
    recipes.mkdir(parents=True, exist_ok=True)
    known = asdict(facts) | {"counts": dict(facts.counts)}
    (recipes / FACTS).write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", encoding="ascii")
    for source in (resources.files("curation.exporters") / "recipes").iterdir():
        if source.is_file():
            text = source.read_text(encoding="utf-8")
            filled = text if Path(source.name).suffix in _AS_THEY_STAND else _filled(text, facts)
            (recipes / source.name).write_text(filled, encoding="utf-8", newline="\n")
    return sorted(path for path in recipes.iterdir() if path.is_file())


def _filled(text: str, facts: RecipeFacts) -> str:
    # Only what can't break out of a comment or a number is put into a file that is run.
    task = "".join(letter for letter in facts.task if letter.isalnum() or letter in "-_")
    values = {"task": task, "seq_length": str(int(facts.seq_length))}
    return _PLACE.sub(lambda place: values[place.group(1)], text)
