"""A threshold that people can choose: `python -m curation.thresholds OUT`.

Of a run's records as they were before near duplicates left, it tells how many pairs are how near, how many records each
threshold removes, by the run's own rule, and shows pairs about each threshold beside each other, in
`OUT/thresholds.html`. Embeddings are the run's own; what it lacks is embedded once and kept there.

    threshold   removes     keeps
         0.95        12     1,204
         0.97         3     1,213  the plan's

Only published stages are read, so a run may be at work in the folder. The exit code is 2 after an error that a user can
mend.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from curation.core.errors import CurationError, InputError

if TYPE_CHECKING:
    from curation.config import Plan, SemanticPlan
    from curation.dedupers.semantic import Semantic
    from curation.engine.store import Stage, Store
    from curation.report.thresholds import Choice

THRESHOLDS: Final = (0.8, 0.85, 0.9, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
LOWEST: Final = 0.7
SAMPLES: Final = 3

_NEAR: Final = "60-near"
_BAR: Final = 40  # characters of the longest bar
_EXACTLY: Final = 9  # decimals: a hundredth as a float times 100 is a whole number but for rounding


@dataclass(frozen=True)
class _Run:
    """A run's folder.

    Args:
        plan: what `plan.yaml` says.
        records: the stage with the records as they were before near duplicates left.
        precision: that of the vectors which the run has.
    """

    plan: Plan
    records: Stage
    precision: str

    @classmethod
    def open(cls, root: Path) -> _Run:
        """Raises InputError: there is no run, or it has not come far enough."""
        from curation import config
        from curation.core.errors import PlanError
        from curation.engine.store import Store

        if not root.is_dir():
            raise InputError(f"{root} is not a folder: name the --output folder of a run")
        if not (root / "plan.yaml").is_file():
            raise InputError(f"{root} holds no run: plan.yaml is missing")
        try:
            plan = config.load(root / "plan.yaml")
        except PlanError as error:
            raise InputError(f"{root / 'plan.yaml'} can't be read here. {error}") from error
        store = Store(root)
        return cls(plan, _before_near(store, plan), _precision(store, plan))

    @property
    def semantic(self) -> SemanticPlan:
        """How near records are looked for; the defaults, where the plan leaves it out."""
        from curation.config import SemanticPlan

        return self.plan.dedup.semantic or SemanticPlan()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        The exit code: 0; 2 after an error that a user can mend; 130 after an interrupt.
    """
    options = _parser().parse_args(arguments)
    try:
        _survey(options)
    except CurationError as error:
        print(f"curation: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("curation: stopped.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m curation.thresholds",
        description="Tells how many records each threshold of near duplicates would remove from a run, and shows pairs "
        "about each, in OUT/thresholds.html.",
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="the run's folder")
    default = ",".join(f"{value:g}" for value in THRESHOLDS)
    parser.add_argument(
        "--thresholds", type=_cosines, default=THRESHOLDS, metavar="LIST", help=f"which ones (default: {default})"
    )
    parser.add_argument(
        "--lowest", type=_hundredth, default=LOWEST, metavar="COSINE",
        help=f"count pairs from this hundredth on (default: {LOWEST:g})",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=_count, default=SAMPLES, metavar="N",
        help=f"pairs to show of each hundredth about a threshold (default: {SAMPLES})",
    )  # fmt: skip
    parser.add_argument("--device", choices=("cpu", "gpu"), help="where to compute (default: the plan's)")
    parser.add_argument("--n-workers", type=_workers, metavar="N", help="worker processes (default: the plan's)")
    parser.add_argument("--scheduler-address", metavar="ADDRESS", help="a Dask scheduler (default: workers of its own)")
    return parser


def _cosines(text: str) -> tuple[float, ...]:
    values = tuple(float(part) for part in text.split(","))
    if not all(0 < value <= 1 for value in values):
        raise argparse.ArgumentTypeError("thresholds are cosines above 0 and at most 1, such as 0.9,0.95")
    return values


def _hundredth(text: str) -> float:
    value = float(text)
    if not 0 < value < 1 or not round(100 * value, _EXACTLY).is_integer():
        raise argparse.ArgumentTypeError("it is a whole hundredth above 0 and below 1, such as 0.75")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 0:
        raise argparse.ArgumentTypeError("it is 0 or more")
    return value


def _workers(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("it is 1 or more")
    return value


def _survey(options: argparse.Namespace) -> None:
    """Finds out, writes the page and prints the table."""
    from curation.engine.store import Store

    root: Path = options.output
    run = _Run.open(root)
    with Store(root).reading("curation.thresholds") as at_work:
        if at_work:
            print("A run is at work in this folder; what it has published so far is looked at.", file=sys.stderr)
        choice = _choice(root, run, options)
    from curation.report.thresholds import cosine, write_thresholds

    page = write_thresholds(root, choice)
    print("\n".join(_told(choice)))
    print(f"\nPairs about each threshold, beside each other: {page}")
    print("Put your choice into the plan, or behind the command that made the run:")
    print(f"  dedup.semantic.threshold={cosine(choice.threshold)}")
    print("or a size, for which the threshold is lowered until at most so many records are left:")
    print(f"  dedup.semantic.at_most={choice.keeps(min(choice.survey.removed))}")


def _choice(root: Path, run: _Run, options: argparse.Namespace) -> Choice:
    """What there is to choose from.

    Raises:
        InputError: the run has replaced the stage in the meantime.
    """
    from curation.dedupers._survey import Sampling
    from curation.engine import cluster
    from curation.report.thresholds import Choice
    from curation.stages.dedup import compared

    semantic = run.semantic
    settings = run.plan.cluster.model_dump(mode="json")
    settings |= {"scheduler_file": None, "scheduler_address": options.scheduler_address}
    settings |= {name: getattr(options, name) for name in ("device", "n_workers") if getattr(options, name) is not None}
    thresholds = sorted({*options.thresholds, semantic.threshold})
    lowest = round(100 * options.lowest)
    wanted = Sampling(lowest, frozenset(_about(thresholds, lowest)), options.samples)
    deduper = _deduper(run, root, settings["device"])
    try:
        with cluster.connect(**settings):
            found = deduper.survey(compared(run.records), thresholds, wanted)
    except FileNotFoundError:
        _check_unchanged(run.records)
        raise
    choice = Choice(run.records, semantic, found, planned=run.plan.dedup.semantic is not None)
    _check_unchanged(run.records)
    return choice


def _deduper(run: _Run, root: Path, device: str) -> Semantic:
    from curation.dedupers.semantic import Semantic
    from curation.stages.dedup import comparison, embedding_at

    plan = run.semantic
    return Semantic(**embedding_at(root.absolute(), plan, device, run.precision), **comparison(plan))


def _about(thresholds: Collection[float], lowest: int) -> Iterator[int]:
    """The hundredths just below and just above each threshold, as far as they are counted."""
    for threshold in thresholds:
        place = round(100 * threshold, _EXACTLY)
        yield from (number for number in (math.ceil(place) - 1, min(math.floor(place), 99)) if number >= lowest)


def _before_near(store: Store, plan: Plan) -> Stage:
    """The last stage of round 0 before near duplicates leave."""
    from curation.engine.store import Manifest, Stage

    asked = (("55-fuzzy", plan.dedup.fuzzy), ("50-exact", plan.dedup.exact), ("45-against", plan.against.input))
    name = next((name for name, wanted in asked if wanted), "40-clean")
    folder = store.stage_folder(name, 0)
    manifest = Manifest.read(folder)
    if manifest is None or store.find(folder, manifest.signature) is None:
        raise InputError(
            f"{store.root}: the run has not published {folder.relative_to(store.root)} yet, which holds the records "
            "before near duplicates leave. The command that made the folder resumes the run"
        )
    return Stage(folder, manifest)


def _precision(store: Store, plan: Plan) -> str:
    """That of the vectors in the run's cache, so that no text is embedded again."""
    from curation.config import SemanticPlan
    from curation.engine.store import Manifest

    semantic = plan.dedup.semantic or SemanticPlan()
    near = Manifest.read(store.stage_folder(_NEAR, 0))
    settings = near.settings if near else {}
    if all(settings.get(name) == getattr(semantic, name) for name in ("encoder", "pooling")):
        return str(settings["precision"])
    return "fp32" if semantic.precision == "auto" else semantic.precision


def _check_unchanged(stage: Stage) -> None:
    from curation.engine.store import Manifest

    if Manifest.read(stage.folder) != stage.manifest:
        raise InputError(f"{stage.folder}: a run has replaced it in the meantime. Ask again when it has ended")


def _told(choice: Choice) -> Iterator[str]:
    """What a terminal shows."""
    from curation.report.thresholds import cosine

    yield choice.summary
    yield ""
    yield "similarity         pairs  (the bars are logarithms)"
    longest = max(math.log1p(count) for count in choice.survey.counts.values()) or 1.0
    for number, count in choice.survey.counts.items():
        bar = "#" * math.ceil(_BAR * math.log1p(count) / longest)
        yield f"{number / 100:.2f} to {(number + 1) / 100:.2f}  {count:>10,}  {bar}".rstrip()
    yield ""
    yield "threshold   removes     keeps"
    for threshold, removed in choice.survey.removed.items():
        own = f"  {choice.whose}" if threshold == choice.threshold else ""
        yield f"{cosine(threshold):>9}{removed:>10,}{choice.keeps(threshold):>10,}{own}"


if __name__ == "__main__":
    sys.exit(main())
