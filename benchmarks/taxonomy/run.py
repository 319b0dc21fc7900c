"""How even a taxonomy's leaves become: `python -m benchmarks.taxonomy.run TAXONOMY [--documents FOLDER] [--each N]`.

A teacher that is no language model writes from every leaf; of the weak one's records the critic lets a tenth pass. The
same taxonomy is written from twice: each seed once, and with the rounds balancing the leaves. It fails where the
balanced leaves' normalised entropy is below the bound, or a record is in the dataset twice.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.records import seed_of

BOUND: Final = 0.98
ONE_IN: Final = 10
WORDS: Final = (
    "amber", "basin", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty", "knoll", "ledge", "marsh",
    "north", "ocean", "prism", "quarry", "ridge", "shore", "tidal", "upper", "vale", "willow", "yonder", "zephyr",
)  # fmt: skip


class Teacher(ChatModel):
    """Gives what it is asked for, in words that are drawn; questions of the weak leaf are marked, but for one in ten.

    Args:
        weak: what stands in every request that is about the weak leaf.
    """

    name = "benchmark-teacher"

    def __init__(self, weak: str) -> None:
        self.weak = weak

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """The reply in the form that the request names."""
        prompt = messages[-1]["content"]
        is_weak = self.weak in prompt
        counted = re.search(r"exactly (\d+)", prompt)
        if counted is None:
            return Completion((f"It is {_words(prompt, sampling.get('seed'))}.",), "stop")
        texts = [self._text(is_weak, prompt, sampling.get("seed"), number) for number in range(int(counted[1]))]
        if '{"pairs"' in prompt:
            return Completion(
                (json.dumps({"pairs": [{"question": text, "answer": f"Yes: {text}"} for text in texts]}),)
            )
        return Completion((json.dumps({"items": texts}),), "stop")

    def _text(self, is_weak: bool, *drawn: object) -> str:
        mark = "dull " if is_weak and seed_of("lucky", *drawn) % ONE_IN else ""
        return f"What of the {mark}{_words(*drawn)}?"


class Critic(ChatModel):
    """Rates what is marked lowest and the rest highest."""

    name = "benchmark-critic"

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """A reply with a rating."""
        prompt = messages[-1]["content"]
        numbers = re.search(r"N is one of ([\d, ]+)", prompt)
        assert numbers is not None
        ratings = numbers[1].split(", ")
        return Completion((f"Score: {ratings[0] if 'What of the dull' in prompt else ratings[-1]}",), "stop")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 where one of them is out of its bound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("taxonomy")
    parser.add_argument("--documents", help="of the knowledge leaves; without it they are left out")
    parser.add_argument("--each", type=int, default=30, help="records that each leaf is to have (default: 30)")
    parser.add_argument("--weak", default="", help="text of the weak leaf's task (default: of the first skill)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        alone = _leaves(options, Path(folder) / "alone", {"count": 1, "ratio": 1.0})
        balanced = _leaves(
            options, Path(folder) / "balanced", {"count": 60, "balance": {"each": options.each, "max_parents": 400}}
        )
    from curation.core.balance import evenness

    for name, (counts, repeats) in (("each seed once", alone), ("balanced", balanced)):
        sizes = sorted(counts.values())
        print(
            f"{name}: {sum(sizes)} records of {len(sizes)} leaves, from {sizes[0]} to {sizes[-1]} a leaf, normalised "
            f"entropy {evenness(sizes):.3f}, {repeats} repeats"
        )
    counts, repeats = balanced
    return int(evenness(counts.values()) < BOUND or repeats > 0)


def _leaves(options: argparse.Namespace, output: Path, rounds: dict[str, Any]) -> tuple[Counter[str], int]:
    """The records of each leaf, and how many records say what another one says."""
    from curation import rounds as loop
    from curation.config import Keys, Plan
    from curation.engine.cluster import connect
    from curation.engine.progress import Silent
    from curation.engine.run import Run
    from curation.engine.store import Store

    plan = Plan.model_validate(_plan(options, output, rounds))
    store = Store(plan.output)
    with store.lock(), connect(n_workers=2) as client:
        loop.curate(Run(store, client, Silent()), plan, Keys())
    counts: Counter[str] = Counter()
    texts: Counter[tuple[str, str, str]] = Counter()
    for line in (output / "final" / "train.jsonl").read_bytes().splitlines():
        row = json.loads(line)
        counts[row["leaf"]] += 1
        texts[row["question"], row["answer"], row["context"] or ""] += 1
    return counts, texts.total() - len(texts)


def _plan(options: argparse.Namespace, output: Path, rounds: dict[str, Any]) -> dict[str, Any]:
    kinds = ["compositional_skills", "foundational_skills", *(["knowledge"] if options.documents else [])]
    source = {"path": options.taxonomy, "documents": options.documents, "kinds": kinds}
    weak = options.weak or _first_task(options)
    writer = {"variants": 10, "question_threshold": None, "skill": {"context_threshold": None}}
    return {
        "output": output,
        "source": {"name": "taxonomy", "arguments": source},
        "clean": [],
        "dedup": {"semantic": None},
        "tasks": ["qa"],
        "rounds": rounds,
        "generation": {
            "generator": {"name": "taxonomy", "arguments": writer},
            "teacher": {
                "kind": f"{__spec__.name}.Teacher",
                "arguments": {"weak": weak},
            },
            "judge": {"kind": f"{__spec__.name}.Critic"},
            "critics": [{"name": "judge"}],
            "drop": "rating < 2",
        },
    }


def _first_task(options: argparse.Namespace) -> str:
    """What the first skill's leaf says of its task, as it stands in a request."""
    from curation.sources.taxonomy import Taxonomy

    rows = Taxonomy(options.taxonomy, kinds=["compositional_skills", "foundational_skills"]).read().compute()
    first = min(rows["extra"], key=lambda extra: str(json.loads(extra)["leaf"]))
    return json.dumps(json.loads(first)["task_description"], ensure_ascii=False)[1:-1]


def _words(*drawn: object) -> str:
    number = seed_of(*drawn)
    return " ".join(WORDS[(number >> shift) % len(WORDS)] for shift in range(0, 60, 6))


if __name__ == "__main__":
    sys.exit(main())
