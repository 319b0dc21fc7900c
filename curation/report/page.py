"""`report.html`: what a run did, for someone who sees it for the first time. One file, nothing loaded, no script.

It is made from what the run left (`run.json`, `plan.yaml`, stages, ledger) and says the same for the same files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from curation.core.records import HUMAN, SPLITS, SYNTHETIC, TEXT_COLUMNS, Record
from curation.engine.store import Manifest, Stage, write_durably
from curation.report import _text
from curation.report._against import comparison
from curation.report._diversity import diversity, mentions
from curation.report._survey import MEASURED, SAMPLE, Survey, left_examples, rows_by_id, survey
from curation.report._svg import Histogram
from curation.report.finished import REFERENCE, Finished, batches

PAGE: Final = "report.html"
PAIRS_FILE: Final = "pairs.parquet"  # what a dedup stage found
_STAGES: Final = {
    "read": "read from the source",
    "unique": "one record an id",
    "clean": "cleaned and filtered",
    "against": "kept apart from another set",
    "exact": "exact duplicates removed",
    "fuzzy": "what is written nearly the same removed",
    "near": "near duplicates removed",
    "split": "split by groups",
    "parents": "parents drawn from train",
    "synthesize": "written and judged",
    "target": "cut to the target",
    "diversity": "measured for diversity",
}
_MEANINGS: Final = {
    "unanswered": "nobody had answered the question",
    "malformed": "not readable as a row of its file",
    "wrong_type": "a value of the wrong kind, such as a list where a text belongs",
    "missing_column": "a column that is needed was absent or null",
    "empty_record": "the question or the answer was blank",
    "empty_file": "a file without a single row",
    "invalid_utf8": "bytes that are no UTF-8 text",
    "nul_byte": "a NUL byte in a text",
    "lone_surrogate": "half of a character",
    "missing_document": "the documents that a leaf names could not be had",
    "unreadable_document": "a document, or a page of it, without a text that can be read",
    "duplicate_id": "an earlier row had the same id",
    "low_score": "too few votes, or a poor grade",
    "word_count": "too short or too long",
    "refusal": "the answer declines to answer",
    "missing_value": "nothing there for a filter to judge",
    "invalid": "it does not keep a rule of the plan's validate",
    "component_error": "a modifier or filter could not work on it",
    "contaminated": "it says what a record of the other set says",
    "exact_duplicate": "a better record says the same, but for case, white space and punctuation at word ends",
    "fuzzy_duplicate": "a better record is written nearly the same",
    "near_duplicate": "a better record means nearly the same",
    "leak": "too near to a validation or test record: training on it would spoil the measurement",
    "failed_rule": "its scores are what the plan's rule drops",
    "missing_variant": "the generator gave fewer new records than it was asked for",
    "unchanged": "the generator found nothing to change",
    "changed_span": "the new question lost a number, a name or something else that must stay",
    "unreadable_reply": "the model's reply was not in the form asked for",
    "unreadable_score": "the critic's reply held no scores",
    "over_target": "the dataset already had the size asked for",
    "low_diversity": "its round left the training split less varied than the plan allows, and was taken back",
}


def write_report(root: Path) -> Path:
    """Writes the report of a finished run into its folder.

    Returns:
        The path of the page.

    Raises:
        InputError: there is no finished run in `root`.
    """
    done = Finished.open(root)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = _text.shown
    page = environment.get_template("template.html").render(_contents(done))
    path = root / PAGE
    write_durably(path, page.encode("utf-8", "replace"))
    return path


def _contents(done: Finished) -> dict[str, Any]:
    """What the template shows."""
    facts = survey(done.dataset)
    return {
        "finished": done.run.get("finished", ""),
        "ended": done.run["ended"],
        "came": sum(stage.manifest.rows_in for stage in done.named("read")),
        "asked": sum(stage.manifest.rows_in for stage in done.named("synthesize")),
        "human": _of_origin(facts, HUMAN),
        "synthetic": _of_origin(facts, SYNTHETIC),
        "seeds": facts.seeds,
        "rounds": [_round(stages) for stages in done.rounds],
        "splits": _splits(facts),
        "reasons": _reasons(done),
        "families": _families(done, facts),
        "strategies": facts.strategies.most_common(),
        "charts": _charts(facts),
        "sampled": facts.sampled if facts.sampled < facts.splits.total() and facts.splits.total() > SAMPLE else 0,
        "near": _near(done),
        "against": comparison(done),
        "agreement": _agreement(done),
        "balance": _balance(done),
        "diversity": diversity(done),
        "mentions": mentions(done),
        "models": done.run.get("models", {}),
        "exports": [(entry["stage"], _exported(entry)) for entry in done.run["exports"]],
        "seconds": [(stage.manifest.round, stage.manifest.stage, stage.manifest.seconds) for stage in done.stages],
        "plan": done.plan_text,
        "versions": done.run.get("versions", {}),
    }


def _exported(entry: dict[str, Any]) -> dict[str, int]:
    """By split, what a folder holds; by reason, what is in the ledger instead."""
    return {**entry["splits"], **{f"left ({reason})": count for reason, count in entry["dropped"].items()}}


def _of_origin(facts: Survey, wanted: str) -> int:
    return sum(count for (_, origin), count in facts.splits.items() if origin == wanted)


def _round(stages: Sequence[Stage]) -> dict[str, Any]:
    """A round's part of the funnel; widths are shares of the most rows that any of its stages took in."""
    widest = max(1, *(stage.manifest.rows_in for stage in stages))
    return {
        "number": stages[0].manifest.round,
        "steps": [
            {
                "name": stage.manifest.stage,
                "does": _STAGES.get(stage.manifest.stage, ""),
                "new": stage.manifest.round > 0 and stage.manifest.stage != "parents",
                "kept": stage.manifest.rows_out,
                "kept_width": 100 * stage.manifest.rows_out / widest,
                "left": sum(stage.manifest.dropped.values()),
                "why": _why(stage.manifest, widest),
            }
            for stage in stages
        ],
        "came": stages[0].manifest.rows_in,
        "added": stages[-1].manifest.rows_out,
    }


def _why(manifest: Manifest, widest: int) -> list[dict[str, Any]]:
    return [
        {"reason": reason, "word": _word(reason), "count": count, "width": 100 * count / widest}
        for reason, count in sorted(manifest.dropped.items(), key=lambda item: (-item[1], item[0]))
    ]


def _word(reason: str) -> str:
    return reason.replace("_", " ")


def _splits(facts: Survey) -> list[dict[str, Any]]:
    total = max(1, facts.splits.total())
    rows = []
    for name in SPLITS:
        human, synthetic = (facts.splits[name, origin] for origin in (HUMAN, SYNTHETIC))
        count = human + synthetic
        rows.append(
            {
                "name": name,
                "human": human,
                "synthetic": synthetic,
                "count": count,
                "share": 100 * count / total,
                "human_share": 100 * human / max(1, count),
            }
        )
    return rows


def _reasons(done: Finished) -> list[dict[str, Any]]:
    """Why rows left, in the order of the stages, each with a few of them."""
    counts: Counter[tuple[str, str]] = Counter()
    for stage in done.stages:
        counts.update({(stage.manifest.stage, reason): count for reason, count in stage.manifest.dropped.items()})
    examples = left_examples(done.root / "ledger")
    titles = _titles(done, (entry["kept_id"] for entries in examples.values() for entry in entries))
    return [
        {
            "stage": stage,
            "word": _word(reason),
            "means": _MEANINGS.get(reason, ""),
            "count": count,
            "examples": [_example(entry, titles) for entry in examples.get((stage, reason), [])],
        }
        for (stage, reason), count in counts.items()
    ]


def _titles(done: Finished, wanted: Iterable[str | None]) -> dict[str, str]:
    """What to call the records that were kept: those of the dataset first, else as an earlier stage had them."""
    ids = {identifier for identifier in wanted if identifier}
    stages = [*done.dataset, *done.named("clean"), *done.named(REFERENCE)]
    rows = rows_by_id(stages, ids, ("id", "title", "question")) if ids else {}
    return {identifier: _name_of(row) for identifier, row in rows.items()}


def _name_of(row: Record) -> str:
    return str(row.get("title") or row.get("question") or row.get("answer") or "")


def _example(entry: Record, titles: dict[str, str]) -> dict[str, Any]:
    row = entry["record"]
    return {
        "id": entry["id"] or "",
        "round": entry["round"],
        "title": _name_of(row) or entry["detail"] or "",
        "field": entry["field"] or "",
        "score": None if entry["score"] is None else f"{entry['score']:.4g}",
        "bound": entry["bound"] or "",
        "kept": titles.get(entry["kept_id"], entry["kept_id"] or ""),
        "similarity": entry["similarity"],
        "detail": entry["detail"] or "",
    }


def _families(done: Finished, facts: Survey) -> list[dict[str, Any]]:
    """New records beside the ones that they were written from."""
    if not facts.chosen:
        return []
    children = rows_by_id(done.dataset[1:], facts.chosen)
    parents = rows_by_id(done.dataset, {row["parent_id"] for row in children.values()})
    families = []
    for identifier in facts.chosen:
        child = children[identifier]
        parent = parents[child["parent_id"]]
        changes = [(name, _text.compare(parent[name], child[name])) for name in TEXT_COLUMNS]
        families.append(
            {
                "title": _name_of(child),
                "round": child["round"],
                "strategy": child["strategy"] or "",
                "model": child["model"] or "",
                "scores": [(name, f"{value:.3g}") for name, value in orjson.loads(child["scores"] or "{}").items()],
                "changes": [(name, change) for name, change in changes if change],
                "same": [name for name, change in changes if not change and child[name]],
            }
        )
    return families


def _charts(facts: Survey) -> list[dict[str, Any]]:
    charts = []
    for name in MEASURED:
        # Both, even if one is empty: the place of a series is its colour.
        series = {origin: facts.words[name].get(origin, []) for origin in (HUMAN, SYNTHETIC)}
        charts.append({"title": f"Words in the {name}", "svg": Histogram(f"words of the {name}", series).svg()})
    for name, values in sorted(facts.scores.items()):
        title = f"New records: {_word(name)}"
        charts.append({"title": title, "svg": Histogram(title, {"": [], SYNTHETIC: values}).svg()})
    return [chart for chart in charts if chart["svg"]]


def _agreement(done: Finished) -> list[dict[str, Any]]:
    """The pairs of critics' attributes of which there is something to say, those on one scale first."""
    pairs = done.run.get("agreement", [])
    told = [pair for pair in pairs if (pair["spearman"], pair["equal"]) != (None, None)]
    return sorted(told, key=lambda pair: pair["equal"] is None)


def _balance(done: Finished) -> dict[str, Any] | None:
    """The groups that the plan balances, each with its share of the largest one."""
    found = done.run.get("balance")
    if not found:
        return None
    largest = max((group["records"] for group in found["groups"]), default=0) or 1
    groups = [
        {
            **group,
            "width": 100 * group["records"] / largest,
            "why": sorted(group["left"].items(), key=lambda one: -one[1]),
        }
        for group in found["groups"]
    ]
    return {**found, "groups": groups}


def _near(done: Finished) -> dict[str, Any] | None:
    """The similarities of all near pairs that were found, with the bounds that decided."""
    stages = done.named("near")
    if not stages:
        return None
    settings = stages[0].manifest.settings
    threshold, leak = settings.get("threshold"), settings.get("leak")
    files = [stage.folder / PAIRS_FILE for stage in stages]
    columns = [batch.column(0).drop_null().to_numpy() for batch in batches(files, ["similarity"])]  # null: see Deduper
    values = np.concatenate(columns) if columns else np.empty(0)
    marks = {f"duplicate {threshold:g}": threshold, f"same split {leak:g}": leak} if threshold and leak else {}
    low = min([*marks.values(), *values.tolist()], default=0.0)
    chart = Histogram("similarity of near pairs", {"pairs": values.tolist()}, marks, (np.floor(20 * low) / 20, 1.0))
    return {"count": len(values), "threshold": threshold, "leak": leak, "svg": chart.svg()}
