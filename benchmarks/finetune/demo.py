"""From the embedded sample to ROUGE figures, on two cores: `python -m benchmarks.finetune.demo [--run RUN]`.

1. Curates the sample (`configs/sample.yaml`, two rounds without a model), unless RUN is there already.
2. Makes a small Llama with random weights, which learns next tokens of the train split's questions and answers.
3. LoRA-trains it to write titles, with `recipes/hf_peft_lora.py` of the hand-off folder.
4. Measures it with and without the adapter on validation and test: the loss, and ROUGE with `recipes/eval_rouge.py`.

OUTPUT/loss.html shows how the losses fell, OUTPUT/demo.json has the figures. A model of this size, on a hundred
records, learns what a title looks like, not what a question is about: the figures prove the way, not the data.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.finetune import page, tiny
from benchmarks.finetune.recipes import EVALUATE, METRICS, TRAIN, Handoff, machine, prepare, read, rouge_of

ROOT: Final = Path(__file__).parents[2]
SPLITS: Final = ("validation", "test")


def main(words: list[str] | None = None) -> int:
    """Prints the table; 1 where the validation loss did not fall."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--run", type=Path, default=Path("data/curated"), help="folder of the curated run")
    parser.add_argument("--output", type=Path, default=Path("data/finetune-demo"), help="folder to write")
    parser.add_argument("--task", default="title", help="of the hand-off: title or qa")
    parser.add_argument("--pretraining-steps", type=int, default=tiny.SIZES["tiny"].steps)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--lr", type=float, default=2e-3, help="1e-4 is for models of billions of parameters")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(words)
    prepare("cpu", options.threads)
    if not (options.run / "final").is_dir():
        curate(options.run)
    start = time.monotonic()
    found = demo(options)
    options.output.joinpath("demo.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    print(f"{time.monotonic() - start:.0f} s after curation. Look at {options.output / page.PAGE}")
    return 0 if found["loss"]["adapter"]["validation"] < found["loss"]["base"]["validation"] else 1


def curate(run: Path) -> None:
    """The sample with two rounds of noise, as `make curate` does it."""
    flags = ["--config", "configs/sample.yaml", "--synth-gen-rounds", "2", "--output", str(run.absolute())]
    done = subprocess.run([sys.executable, "-m", "curation.main", *flags], cwd=ROOT)
    if done.returncode:
        sys.exit(f"the sample was not curated (exit code {done.returncode})")


def demo(options: argparse.Namespace) -> dict[str, Any]:
    """Trains and measures: the figures, without any time or place in them."""
    handoff = Handoff(options.run, options.task)
    model, lora = options.output / "model", options.output / "lora"
    for made in (model, lora):  # a recipe goes on from what it finds
        shutil.rmtree(made, ignore_errors=True)
    pretraining = tiny.make(options.run, model, "tiny", options.seed, options.pretraining_steps)
    flags = {"model": model, "output": lora, "steps": options.steps, "lr": options.lr, "seed": options.seed}
    handoff.recipe(TRAIN, **flags, batch=16, micro_batch=16, validate_every=5)
    handoff.recipe(EVALUATE, model=model, adapter=lora / "adapter", output=lora)
    found = {
        "machine": machine(),
        "task": options.task,
        "examples": {split: len(handoff.rows(split)) for split in ("training", *SPLITS)},
        "pretraining": pretraining,
        "loss": {
            "base": handoff.losses(model, None, SPLITS),
            "adapter": handoff.losses(model, lora / "adapter", SPLITS),
        },
        "rouge": rouge_of(lora),
        "log": read(lora / "log.jsonl"),
    }
    page.write(options.output / page.PAGE, found, table(found))
    return found


def table(found: dict[str, Any]) -> str:
    """Losses and ROUGE of the model alone and with its adapter."""
    sizes = found["examples"]
    lines = [
        f"{found['machine']}; a Llama of {found['pretraining']['parameters'] / 1e6:.1f} million parameters;"
        f" task {found['task']}: {sizes['training']} examples",
        f"{'':<32}{'base':>10}{'adapter':>10}",
    ]
    figures = {f"loss, {split} ({sizes[split]} examples)": ("loss", split) for split in SPLITS}
    figures |= {f"{metric}, test": ("rouge", metric) for metric in METRICS}
    for name, (kind, key) in figures.items():
        lines.append(f"{name:<32}{found[kind]['base'][key]:>10.2f}{found[kind]['adapter'][key]:>10.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
