"""Records of people alone against the same with synthetic ones: `python -m benchmarks.finetune.compare RUN`.

Both are trained on for the same number of tokens, with the same seeds, from the same model, by the recipe
`hf_peft_lora.py` of the run's hand-off folder, and measured on the same test split, which people wrote. So the
synthetic records take the place of further passes over the human ones; the question is which of the two serves better.

    python -m benchmarks.finetune.compare data/curated                                   a tiny model, minutes on a CPU
    python -m benchmarks.finetune.compare RUN --device gpu --model small --tokens 5000000
    python -m benchmarks.finetune.compare RUN --device gpu --model /models/Llama-3.1-8B-Instruct --form chat \\
        --lr 1e-4 --tokens 10000000 --seeds 0,1,2

A size instead of a folder is a Llama made on the spot (see `tiny.py`), which has read the questions and answers of the
human training records and nothing else. A seed decides what the adapter begins with and the order of the examples.
OUTPUT/compare.json has all figures. A training that was finished or stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.finetune import tiny
from benchmarks.finetune.recipes import EVALUATE, METRICS, TRAIN, Handoff, machine, parameters, prepare, read, rouge_of

HUMAN, BOTH = "human", "human + synthetic"
_SHOWN: Final = ("loss", *METRICS)


@dataclass(frozen=True)
class Trained:
    """What came of one training.

    Args:
        steps, tokens: that it had.
        figures: `loss` (nats a token of the test answers) and ROUGE (percent).
    """

    seed: int
    steps: int
    tokens: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Arm:
    """One of the two sets of examples, and what came of it with each seed."""

    name: str
    examples: int
    trained: list[Trained] = field(default_factory=list)

    def spread(self, figure: str) -> tuple[float, float]:
        """Mean and standard deviation over the seeds."""
        return _spread([one.figures[figure] for one in self.trained])


def main(words: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a curated run")
    parser.add_argument("--output", type=Path, default=Path("data/finetune-compare"), help="folder to write")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--model", default="tiny", help=f"folder of a model, or a size: {', '.join(tiny.SIZES)}")
    parser.add_argument("--pretraining-steps", type=int, help="of a model made here; the size's own by default")
    parser.add_argument("--tokens", type=int, default=200_000, help="that each training reads")
    parser.add_argument("--seeds", type=seeds_of, default="0,1,2")
    parser.add_argument("--task", default="title")
    parser.add_argument("--form", choices=["chat", "nemo"], default="nemo")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--micro-batch", type=int, default=8)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3, help="1e-4 for models of billions of parameters")
    parser.add_argument("--rows", type=int, default=128, help="of the test split, for ROUGE")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(words)
    prepare(options.device, options.threads)
    print(compare(options))
    return 0


def compare(options: argparse.Namespace) -> str:
    """Trains, measures and writes `compare.json`: the table."""
    handoff = Handoff(options.run, options.task, options.form)
    model, about = model_of(options)
    base = handoff.losses(model, None, ("test",))["test"]
    arms = [Arm(name, len(rows)) for name, rows in examples(handoff).items()]
    for arm in arms:
        folder = options.output / "arms" / arm.name.replace(" + ", "-and-")
        write_arm(handoff, folder, examples(handoff)[arm.name])
        arm.trained.extend(trained(handoff, model, folder, seed, options) for seed in options.seeds)
    about = {
        **about,
        "machine": machine(),
        "task": options.task,
        "test": len(handoff.rows("test")),
        "tokens": options.tokens,
    }
    found = {"about": about, "base": base, "arms": [_plain(arm) for arm in arms]}
    (options.output / "compare.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return table(about, base, *arms)


def seeds_of(text: str) -> list[int]:
    """`0,1,2`, as numbers."""
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not numbers with commas between them, such as 0,1,2") from error


def model_of(options: argparse.Namespace) -> tuple[Path, dict[str, Any]]:
    """The model's folder, and what is to be said of it."""
    if options.model not in tiny.SIZES:
        folder = Path(options.model)
        if not folder.is_dir():
            sys.exit(f"--model: '{folder}' is neither a folder nor one of {', '.join(tiny.SIZES)}")
        return folder, {"model": folder.resolve().name, "parameters": parameters(folder)}
    steps = options.pretraining_steps or tiny.SIZES[options.model].steps
    folder = options.output / f"{options.model}-{steps}"  # a recipe tells a model from another by its folder's name
    made = tiny.make(options.run, folder, options.model, 1234, steps)
    name = f"{options.model} Llama made here, {steps} steps from random weights"
    return folder, {"model": name, "parameters": made["parameters"]}


def examples(handoff: Handoff) -> dict[str, list[dict[str, Any]]]:
    """The training examples of both arms.

    Raises:
        SystemExit: the run has no synthetic ones, so there is nothing to compare.
    """
    human = {row["id"] for row in read(handoff.run / "final" / "train.jsonl") if row["origin"] == "human"}
    every = handoff.rows("training")
    alone = [row for row in every if row["id"] in human]
    if not alone or len(alone) == len(every):
        sys.exit(f"{handoff.run}: the training split needs human and synthetic records to compare them")
    return {HUMAN: alone, BOTH: every}


def write_arm(handoff: Handoff, folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """What `--data` of a recipe takes: `rows` to train on, and the run's own validation and test."""
    data = folder / handoff.form
    data.mkdir(parents=True, exist_ok=True)
    for split, some in {
        "training": rows,
        "validation": handoff.rows("validation"),
        "test": handoff.rows("test"),
    }.items():
        (data / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some), encoding="ascii")


def trained(handoff: Handoff, model: Path, data: Path, seed: int, options: argparse.Namespace) -> Trained:
    """One training on one arm, and its figures."""
    lora = data / f"seed-{seed}"
    steps, tokens = steps_for(handoff, model, data, seed, options)
    handoff.recipe(
        TRAIN,
        model=model,
        data=data,
        output=lora,
        steps=steps,
        rank=options.rank,
        alpha=options.rank,
        lr=options.lr,
        batch=options.batch,
        micro_batch=options.micro_batch,
        validate_every=max(1, steps // 4),
        seed=seed,
    )
    adapter = lora / "adapter"
    handoff.recipe(EVALUATE, model=model, data=data, adapter=adapter, output=lora, rows=options.rows)
    figures = {"loss": handoff.losses(model, adapter, ("test",))["test"], **rouge_of(lora)["adapter"]}
    return Trained(seed, steps, tokens, figures)


def steps_for(handoff: Handoff, model: Path, data: Path, seed: int, options: argparse.Namespace) -> tuple[int, int]:
    """The steps after which the budget of tokens is used up, and how many tokens those have: the recipe draws the same
    examples for a step however many there will be."""
    recipe = handoff.module()
    settings = argparse.Namespace(
        data=data, form=options.form, seq_length=recipe.FACTS["seq_length"], batch=options.batch, seed=seed
    )
    every = recipe.examples_of(settings, "training", recipe.load_tokenizer(model))
    steps = tokens = 0
    while tokens < options.tokens:
        steps += 1
        tokens += sum(map(len, recipe.chosen(every, steps, settings)))
    return steps, tokens


def table(about: dict[str, Any], base: float, human: Arm, both: Arm) -> str:
    """Both arms beside each other, mean and standard deviation over the seeds, and what the synthetic ones changed."""
    seeds = [one.seed for one in human.trained]
    changes = {
        figure: [b.figures[figure] - a.figures[figure] for a, b in zip(human.trained, both.trained, strict=True)]
        for figure in _SHOWN
    }
    lines = [
        f"Machine: {about['machine']}",
        f"Model: {about['model']}; {about['parameters'] / 1e6:,.1f} million parameters; test loss without adapter"
        f" {base:.3f}",
        f"Task {about['task']}: {about['test']} test examples of people; {about['tokens']:,} tokens for each training;"
        f" seeds {', '.join(map(str, seeds))}; mean ± standard deviation",
        f"{'':<20}{'examples':>9}{'steps':>7}" + "".join(f"{name:>16}" for name in _SHOWN),
    ]
    for arm in (human, both):
        steps = round(statistics.mean(one.steps for one in arm.trained))
        lines.append(_row(arm.name, arm.examples, steps, [arm.spread(figure) for figure in _SHOWN]))
    lines.append(_row("change", "", "", [_spread(changes[figure]) for figure in _SHOWN], "+"))
    lines.append("change of the loss with each seed: " + ", ".join(f"{change:+.3f}" for change in changes["loss"]))
    return "\n".join(lines)


def _row(name: str, examples: object, steps: object, figures: Sequence[tuple[float, float]], sign: str = "") -> str:
    cells = [f"{mean:{sign}.3f} ± {spread:.3f}" for mean, spread in figures]
    return f"{name:<20}{examples:>9}{steps:>7}" + "".join(f"{cell:>16}" for cell in cells)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def _plain(arm: Arm) -> dict[str, Any]:
    return {"name": arm.name, "examples": arm.examples, "trained": [vars(one) for one in arm.trained]}


if __name__ == "__main__":
    sys.exit(main())
