"""The folder of one task that fine-tuning frameworks read: examples in two forms, recipes, a card, lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

import orjson

from curation.core.contracts import Exported, Exporter, Refusal
from curation.core.records import SYNTHETIC, Record, digest
from curation.exporters._card import card
from curation.exporters._forms import BUILT_IN, FILES, FORMS, Template, line_of, read_lines
from curation.exporters._recipes import RecipeFacts, write_recipes
from curation.exporters._tokens import Counter, Tokens, Words, fingerprint, in_batches, summary

INSTRUCT = "meta-llama/Llama-3.1-8B-Instruct"
"""The model that NVIDIA's tutorials fine-tune."""


class Handoff(Exporter):
    """`handoff/<task>/` with `nemo/`, `chat/`, `recipes/`, `README.md` and `token_stats.json`.

    `nemo/{training,validation,test}.jsonl` hold `input`, `output` and `id`, as NeMo's FineTuningDataModule and
    Megatron-Bridge read them; `chat/` the same examples as `messages` and `id`, for instruct models. Both are written
    as their readers need them: ASCII, no null, no blank line, no empty text, no white space at the end of `input`.
    A record that lacks a text is refused as `incomplete`, and one that is longer than `max_tokens` as `over_length`:
    what a trainer cuts off is the end of the prompt, or all of the answer.

    Args:
        task: `title` (question → title), `qa` (question → answer), or a name for what the next three say.
        prompt: the instruction; the task's own by default.
        input: the texts of a record that it is asked with, in this order; the task's own by default.
        output: the text that answers; the task's own by default.
        tokenizer: a folder with the tokenizer that counts tokens; without one words are counted, and nothing is
            over length. Nothing is downloaded.
        max_tokens: of an example, in either form, with all tokens that a trainer adds.
        model: the model that the recipes expect, by its name on the hub.

    Raises:
        ValueError: the task or the tokenizer can't be used.
    """

    tells_run: ClassVar[bool] = True

    def __init__(
        self,
        task: str,
        prompt: str | None = None,
        input: Sequence[str] | None = None,  # noqa: A002 - as a plan calls it
        output: str | None = None,
        tokenizer: str | None = None,
        max_tokens: int = 2048,
        model: str = INSTRUCT,
    ) -> None:
        known = BUILT_IN.get(task)
        if known is None and None in (prompt, input, output):
            raise ValueError(f"the task is 'title' or 'qa', or brings prompt, input and output; not '{task}'")
        self.task = task
        self.prompt = known.prompt if prompt is None and known else prompt or ""
        self.input = tuple(known.input if input is None and known else input or ())
        self.output = known.output if output is None and known else output or ""
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.model = model
        self.template = Template(task, self.prompt, self.input, self.output)
        if faults := self.template.faults():
            raise ValueError("; ".join(faults))
        self.folder = f"handoff/{task}"

    @cached_property
    def _counter(self) -> Counter:
        return Tokens(Path(self.tokenizer)) if self.tokenizer else Words()

    def fingerprint(self) -> str:
        """Of the tokenizer's files and of the recipes."""
        recipes = resources.files("curation.exporters") / "recipes"
        texts = [path.read_bytes() for path in sorted(recipes.iterdir(), key=lambda path: path.name) if path.is_file()]
        return digest(*texts, fingerprint(Path(self.tokenizer)) if self.tokenizer else "")

    def refuse(self, rows: Sequence[Record]) -> list[Refusal]:
        """What lacks a text, and what is too long."""
        missing = [(row, self.template.missing(row)) for row in rows]
        refused = [Refusal(row["id"], "incomplete", field=column) for row, column in missing if column]
        if not self.tokenizer:
            return refused
        whole = [row for row, column in missing if not column]
        lengths = in_batches(((self.template.example(row), self.template.chat(row)) for row in whole), self._counter)
        return refused + [
            Refusal(row["id"], "over_length", score=length.example, bound=f"tokens <= {self.max_tokens}")
            for row, length in zip(whole, lengths, strict=True)
            if length.example > self.max_tokens
        ]

    def write(self, split: str, rows: Sequence[Record], folder: Path) -> int:
        """Writes all `rows`: what it can't take was refused."""
        for form, made in zip(FORMS, (self.template.chat, self.template.example), strict=True):
            path = folder / form / f"{FILES[split]}.jsonl"
            path.parent.mkdir(exist_ok=True)
            with path.open("a", encoding="ascii") as file:
                file.writelines(line_of(made(row)) for row in rows)
        return len(rows)

    def finish(self, folder: Path, exported: Exported) -> Mapping[str, Any]:
        """The card, the lengths and the recipes.

        Returns:
            For the manifest: `template` and its `template_id`, `synthetic_share` (of all examples), and `card`, what
            the card tells.
        """
        splits = {name: self._summary(folder, name) for name in FILES.values()}
        stats = {"unit": self._counter.unit, "tokenizer": self._counter.name, "splits": splits}
        (folder / "token_stats.json").write_bytes(orjson.dumps(stats, option=orjson.OPT_INDENT_2) + b"\n")
        (folder / "README.md").write_text(card(self.template, exported), encoding="utf-8")
        longest = [split["example"]["max"] for split in splits.values() if split["examples"]]
        facts = RecipeFacts(
            task=self.task,
            model=self.model,
            prompt=self.template.prompt.strip(),
            seq_length=self.max_tokens,
            counts={name: split["examples"] for name, split in splits.items()},
            max_tokens=max(longest, default=None) if self.tokenizer else None,
        )
        write_recipes(folder, facts)
        return {
            "template": {"name": self.task, "prompt": self.prompt, "input": [*self.input], "output": self.output},
            "template_id": self.template.id,
            "synthetic_share": _share(exported, SYNTHETIC),
            "card": {"counts": exported.counts, "licenses": exported.licenses, "run": exported.run},
        }

    def _summary(self, folder: Path, name: str) -> dict[str, Any]:
        examples, chats = (read_lines(folder / form / f"{name}.jsonl") for form in ("nemo", "chat"))
        return summary(in_batches(zip(examples, chats, strict=True), self._counter))


def _share(exported: Exported, origin: str) -> float:
    total = sum(sum(counts.values()) for counts in exported.counts.values())
    return round(sum(counts.get(origin, 0) for counts in exported.counts.values()) / total, 6) if total else 0.0
