"""What happened: `run.json`, and the funnel that a person reads at the end."""

from __future__ import annotations

import platform
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pandas as pd

from curation import __version__
from curation.config import BalancePlan
from curation.core.agreement import agreement
from curation.core.balance import evenness
from curation.core.bias import Screen
from curation.core.pairs import compared_texts
from curation.core.records import SEED, SPLITS, SYNTHETIC
from curation.engine.run import read_part
from curation.engine.spending import shown, spent
from curation.engine.store import Manifest, Stage, sha256_of
from curation.stages import SPENDING
from curation.stages.balance import group_of, grouped
from curation.stages.diversity import measures_of

if TYPE_CHECKING:
    from rich.table import Table

_PACKAGES = ("nemo-curator", "dask", "torch", "transformers", "pandas", "pyarrow", "openai")


def summarize(root: Path, stages: Sequence[Stage], exports: Sequence[Manifest], ended: str) -> dict[str, Any]:
    """The contents of `run.json`: each stage's rows and reasons, what was asked and paid, splits, versions.

    Where several critics judged, also how far they agree; of each round, what it did to diversity.
    """
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "ended": ended,
        "plan": sha256_of(root / "plan.yaml"),
        "stages": [_stage(stage.manifest) | {"folder": _folder(stage)} for stage in stages],
        "exports": [_stage(manifest) | {"splits": manifest.settings["splits"]} for manifest in exports],
        "models": {model: shown(tally) for model, tally in spent(root / SPENDING).items()},
        "agreement": _agreement([stage for stage in stages if stage.manifest.stage == "synthesize"]),
        "diversity": [
            {"round": stage.manifest.round, **measures_of(stage)}
            for stage in stages
            if stage.manifest.stage == "diversity"
        ],
        "versions": {"curation": __version__, "python": platform.python_version(), **_versions()},
    }


def balance(stages: Sequence[Stage], dataset: Sequence[Stage], plan: BalancePlan | None) -> dict[str, Any] | None:
    """How even the groups are that the plan balances, and what left of each; None where it balances none.

    Returns:
        `by`; `evenness` of the groups' records in train, from 0 to 1; and `groups`, sorted by name, each with `records`
        (in train), `new` of them, the `parents` that were drawn over all rounds, and new records that `left` by reason.
    """
    if plan is None:
        return None
    rows = grouped(dataset, plan.by)
    rows = rows[rows["split"] == "train"]
    left: dict[str, Counter[str]] = defaultdict(Counter)
    for group, reason in _left_of(stages, plan.by):
        left[group][reason] += 1
    names = sorted(set(rows[rows["origin"] != SYNTHETIC]["group"]))
    records = Counter(rows[rows["origin"] != SEED]["group"])
    new = Counter(rows[rows["origin"] == SYNTHETIC]["group"])
    drawn = Counter(grouped([stage for stage in stages if stage.manifest.stage == "parents"], plan.by)["group"])
    return {
        "by": plan.by,
        "evenness": round(evenness(records[name] for name in names), 4),
        "groups": [
            {
                "group": name,
                "records": records[name],
                "new": new[name],
                "parents": drawn[name],
                "left": dict(sorted(left[name].items())),
            }
            for name in names
        ],
    }


def _left_of(stages: Sequence[Stage], by: str) -> Iterator[tuple[str, str]]:
    """Group and reason of each new record that left."""
    for part in (part for stage in stages if stage.manifest.round > 0 for part in stage.left):
        entries = read_part(str(part), ["reason", "record"])
        for reason, text in zip(entries["reason"], entries["record"], strict=True):
            record = orjson.loads(text)
            group = record["tags"] if by == "tags" else group_of(orjson.loads(record["extra"] or "{}"), by)
            if group is not None:
                yield group, reason


def bias(dataset: Sequence[Stage]) -> dict[str, Any] | None:
    """Whom people's and new records mention, and how critics score the new ones that do; None without new records.

    Returns:
        See `Screen.result`.
    """
    if not any(stage.manifest.rows_out for stage in dataset[1:]):
        return None
    screen = Screen()
    for part in (part for stage in dataset for part in stage.parts):
        rows = read_part(str(part), ["origin", "scores", "title", "question", "answer"])
        rows = rows[rows["origin"] != SEED]
        (texts,) = compared_texts(rows, "text")
        for origin, text, scores in zip(rows["origin"], texts, rows["scores"], strict=True):
            screen.add(origin, text, orjson.loads(scores or "{}") if origin == SYNTHETIC else {})
    return screen.result()


def funnel(stages: Sequence[Stage], exports: Sequence[Manifest]) -> Table:
    """What came in, what left at each step and why, what came out."""
    from rich.table import Table

    table = Table(title="From the source to the dataset", title_justify="left")
    for name in ("round", "stage"):
        table.add_column(name)
    for name in ("in", "out", "left"):
        table.add_column(name, justify="right")
    table.add_column("why")
    for stage in stages:
        manifest = stage.manifest
        why = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in manifest.dropped.items())
        left = sum(manifest.dropped.values())
        table.add_row(
            str(manifest.round), manifest.stage, f"{manifest.rows_in:,}", f"{manifest.rows_out:,}", f"{left:,}", why
        )
    for manifest in exports[:1]:
        splits = ", ".join(f"{manifest.settings['splits'][name]:,} {name}" for name in SPLITS)
        table.add_section()
        table.add_row("", manifest.stage, f"{manifest.rows_in:,}", f"{manifest.rows_out:,}", "", splits)
    return table


def _agreement(judged: Sequence[Stage]) -> list[dict[str, Any]]:
    """Of all records that several critics scored, those too that the rule dropped for it; none for a single critic."""
    critics = judged[0].manifest.settings.get("critics", []) if judged else []
    if len(critics) < 2:
        return []
    table = pd.DataFrame(_scores_of(judged))
    begun = [f"{critic['as']}_" for critic in critics]
    return agreement(
        table,
        [
            critic["attributes"] or {name: None for name in table if name.startswith(begins)}
            for critic, begins in zip(critics, begun, strict=True)
        ],
    )


def _scores_of(judged: Sequence[Stage]) -> list[dict[str, float]]:
    kept = [text for stage in judged for part in stage.parts for text in read_part(str(part), ["scores"])["scores"]]
    left = [text for stage in judged for part in stage.left for text in read_part(str(part), ["record"])["record"]]
    return [orjson.loads(text) for text in [*kept, *(orjson.loads(record)["scores"] or "{}" for record in left)]]


def _stage(manifest: Manifest) -> dict[str, Any]:
    names = ("stage", "round", "rows_in", "rows_out", "dropped", "seconds")
    return {name: value for name, value in asdict(manifest).items() if name in names}


def _folder(stage: Stage) -> str:
    return f"{stage.folder.parent.parent.name}/{stage.folder.parent.name}/{stage.folder.name}"


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
