"""What the report says of diversity, round by round, and of whom the records mention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from curation.core.diversity import MORE_IS_VARIED, NEAR_PARENT, breaches
from curation.report.finished import Finished

SETS: Final = ("before", "new", "after")
GAPS: Final = 12
"""Gaps of scores that are shown, the largest first."""

_MEANINGS: Final = {
    "distinct_1": "share of words that differ from each other",
    "distinct_2": "share of pairs of words that do",
    "distinct_3": "share of runs of three that do",
    "compression_ratio": "how many times smaller gzip makes the texts",
    "self_bleu": "how much each text has in common with the others, in runs of up to four words",
    "vendi_score": "how many texts of entirely different meaning would be as varied",
    "topic_entropy": "how evenly tags occur, from 0 to 1",
    "length_spread": "standard deviation of the texts’ lengths over their mean",
    "parent_similarity": "mean cosine of a new record and the one that it was written from",
    "near_parent": f"share of new records from a cosine of {NEAR_PARENT:g} on to theirs",
}


def diversity(done: Finished) -> list[dict[str, Any]]:
    """Of each round the measures of the training split before and after it, and of the new records by themselves."""
    plan = (done.plan.get("rounds") or {}).get("diversity") or {}
    rounds = [_round(entry, plan.get("bounds") or {}) for entry in done.run.get("diversity", [])]
    taken = plan.get("on_breach") == "take_back"
    return [{**one, "taken_back": taken and one["passed"] > 0} for one in rounds]


def mentions(done: Finished) -> dict[str, Any] | None:
    """The groups of people that records mention, and the largest gaps in the scores of new ones; None without any."""
    found = done.run.get("bias")
    if not found or not found["groups"]:
        return None
    gaps = [
        {"group": group["group"], "attribute": attribute, **gap}
        for group in found["groups"]
        for attribute, gap in group["scores"].items()
        if gap["effect"] is not None
    ]
    return {**found, "gaps": sorted(gaps, key=lambda gap: -abs(gap["effect"]))[:GAPS], "more": len(gaps) > GAPS}


def _round(entry: Mapping[str, Any], bounds: Mapping[str, float]) -> dict[str, Any]:
    measures = {name: entry[name]["measures"] for name in SETS}
    passed = {breach.measure for breach in breaches(measures["before"], measures["after"], bounds)}
    return {
        "number": entry["round"],
        "sets": [(name, entry[name]["records"], entry[name]["texts"]) for name in SETS],
        "measures": [
            {
                "name": name,
                "means": _MEANINGS[name],
                "more": more,
                "values": [_shown(name, measures[one].get(name)) for one in SETS],
                "bound": f"{'≥' if more else '≤'} {bounds[name]:g}" if name in bounds else "",
                "passed": name in passed,
            }
            for name, more in MORE_IS_VARIED.items()
            if any(measures[one].get(name) is not None for one in SETS)
        ],
        "words": [_words(entry[name]["words"]) for name in SETS],
        "passed": len(passed),
    }


def _shown(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if measure == "vendi_score" else f"{value:.3f}"


def _words(quantiles: Mapping[str, float]) -> str:
    """The middle nine tenths and the median."""
    return f"{quantiles['5']:.0f} – {quantiles['50']:.0f} – {quantiles['95']:.0f}" if quantiles else "–"
