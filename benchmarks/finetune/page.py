"""`loss.html`: how the losses of a demo fell, in the report's style: one file, nothing loaded, no script."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import curation.report
from curation.report._svg import Lines

PAGE: Final = "loss.html"
_FOLDERS: Final = (Path(__file__).parent, Path(curation.report.__file__).parent)


def write(path: Path, found: dict[str, Any], table: str) -> None:
    """Writes the page.

    Args:
        found: the figures of a demo.
        table: the same as text.
    """
    made = Environment(loader=FileSystemLoader(_FOLDERS), autoescape=True, undefined=StrictUndefined)
    title = "How the losses fell"
    page = made.get_template(PAGE).render(title=title, pretraining=pretraining(found), lora=lora(found), table=table)
    path.write_text(page + "\n", encoding="utf-8")


def pretraining(found: dict[str, Any]) -> Lines:
    """The loss of the whole text, while the small model is made."""
    made = found["pretraining"]
    curve = [(float(step), loss) for step, loss in enumerate(made["curve"], 1)]
    ends = [(0.0, made["before"]["validation"]), (float(made["steps"]), made["after"]["validation"])]
    return Lines("Loss of the texts, by step", {"train": curve, "validation": ends if ends[0][1] else []})


def lora(found: dict[str, Any]) -> Lines:
    """The loss of the answers; the adapter begins as nothing, so that step 0 is the model alone."""
    log, base = found["log"], found["loss"]["base"]["validation"]
    train = [(float(line["step"]), line["train_loss"]) for line in log]
    validation = [(float(line["step"]), line["validation_loss"]) for line in log if "validation_loss" in line]
    series = {"train": train, "validation": [(0.0, base), *validation]}
    return Lines("Loss of the answers, by step", series, {"base": base})
