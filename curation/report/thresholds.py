"""`thresholds.html`: how near a run's records are, what each threshold removes, and pairs to judge it by.

One file like the report, in its style: nothing loaded, no script, the same for the same run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from curation.config import SemanticPlan
from curation.core.contrast import contrast
from curation.core.pairs import COMPARED, compared_texts
from curation.core.records import SEED, Record
from curation.dedupers.semantic import Survey
from curation.engine.run import columns_of
from curation.engine.store import Stage, write_durably
from curation.report import _text
from curation.report._survey import rows_by_id

PAGE: Final = "thresholds.html"

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 680, 210, 64, 18, 24  # of the chart
_COMPARED: Final = {
    "question": "titles and questions",
    "answer": "answers",
    "both": "titles and questions, and answers (the less similar of the two counts)",
    "text": "titles, questions and answers as one text",
}
_CONTRASTS: Final = {
    "numbers": "their numbers differ",
    "negation": "one says the opposite of the other, or a word is exchanged for its opposite",
    "order": "the same words in another order",
}


@dataclass(frozen=True)
class Choice:
    """What there is to choose from.

    Args:
        stage: the records as they were before near duplicates left.
        plan: how they were compared.
        survey: what was found.
        planned: whether that is the run's plan, not the default of one that looks for no near duplicates.
    """

    stage: Stage
    plan: SemanticPlan
    survey: Survey
    planned: bool = True

    @cached_property
    def rows(self) -> int:
        """How many records there were; seeds are none."""
        return int((columns_of([self.stage], ["origin"])["origin"] != SEED).sum())

    @property
    def threshold(self) -> float:
        """The one of the plan."""
        return self.plan.threshold

    @property
    def whose(self) -> str:
        """How to call `threshold`."""
        return "the plan's" if self.planned else "the default; the plan looks for no near duplicates"

    @property
    def summary(self) -> str:
        """One sentence about what was compared."""
        rows, found = self.rows, self.survey
        ways = [f"compared by their {_COMPARED[self.plan.by]}"]
        if self.plan.guard:
            ways.append("those whose words contrast stay (guard)")
        if found.records < rows:
            ways.append(f"{rows - found.records:,} without such a text")
        if found.texts < found.records:
            ways.append(
                f"{found.records - found.texts:,} with the very text of a better one, at any threshold too many"
            )
        return f"{rows:,} records, as {self.stage.folder.name} of round 0 left them; {'; '.join(ways)}."

    def keeps(self, threshold: float) -> int:
        """How many records stay."""
        return self.rows - self.survey.removed[threshold]


def write_thresholds(root: Path, choice: Choice) -> Path:
    """Writes the page into the run's folder.

    Returns:
        Its path.

    Raises:
        DiskError: it can't be written.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": _text.shown, "cosine": cosine}
    template = environment.get_template(PAGE)
    page = template.render(choice=choice, chart=_chart(choice), groups=list(_groups(choice)))
    path = root / PAGE
    write_durably(path, page.encode("utf-8", "replace"))
    return path


def cosine(value: float) -> str:
    """A threshold with two decimals, or more where it has more."""
    return max(f"{value:.2f}", f"{value:g}", key=len)


def _groups(choice: Choice) -> Iterator[dict[str, Any]]:
    """The drawn pairs of each hundredth, the nearest first."""
    columns = [name for names in COMPARED[choice.plan.by] for name in names]
    pairs = choice.survey.pairs
    rows = rows_by_id([choice.stage], {*pairs["id"], *pairs["kept_id"]}, ("id", *columns))
    for number, group in groupby(pairs.itertuples(index=False), key=lambda pair: int(pair.bin)):
        yield {
            "low": number / 100,
            "high": (number + 1) / 100,
            "count": choice.survey.counts[number],
            "pairs": [_shown(pair, rows, columns, choice.plan.by) for pair in group],
        }


def _shown(pair: Any, rows: Mapping[str, Record], columns: list[str], by: str) -> dict[str, Any]:
    """A pair beside each other, with what differs marked and what the guard says of it."""
    better, worse = rows[pair.kept_id], rows[pair.id]
    changes = [(name, _text.compare(better[name], worse[name])) for name in columns]
    reason = _contrast(better, worse, by)
    return {
        "id": pair.id,
        "kept_id": pair.kept_id,
        "similarity": pair.similarity,
        "contrast": reason and _CONTRASTS[reason],
        "changes": [(name, change) for name, change in changes if change],
        "same": [name for name, change in changes if not change and better[name]],
    }


def _contrast(one: Record, other: Record, by: str) -> str | None:
    """Why the guard would keep both, or None: what `contrast` says of the compared texts."""
    both = pd.DataFrame([one, other], dtype=object)
    reasons = (contrast(*texts) for texts in compared_texts(both, by))
    return next((reason for reason in reasons if reason), None)


def _chart(choice: Choice) -> Markup:
    """The pairs of each hundredth, as bars whose heights are logarithms: a few pairs decide, among millions."""
    counts = choice.survey.counts
    most = max(counts.values())
    if not most:
        return Markup("")
    scale = (_HEIGHT - _TOP - _BOTTOM) / math.log10(1 + most)
    step = (_WIDTH - _LEFT) / len(counts)
    parts = [*_grid(most, scale), *_bars(choice, scale, step), *_mark(choice, step)]
    label = f"Pairs by similarity: {sum(counts.values()):,} pairs from {min(counts) / 100:.2f} on"
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        _WIDTH, _HEIGHT, label, Markup("").join(parts)
    )


def _bars(choice: Choice, scale: float, step: float) -> Iterator[Markup]:
    """A bar each, those at or above the plan's threshold in the stronger colour, and a label at every fifth."""
    foot = _HEIGHT - _BOTTOM
    for place, (number, count) in enumerate(choice.survey.counts.items()):
        left, height = _LEFT + place * step, scale * math.log10(1 + count)
        colour = 0 if number / 100 >= choice.threshold else 1
        tip = f"{number / 100:.2f} to {(number + 1) / 100:.2f}: {count:,} pairs"
        yield Markup(
            '<rect class="s{}" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"><title>{}</title></rect>'
        ).format(colour, left + 0.5, foot - height, step - 1, height, tip)
        if number % 5 == 0:
            yield _label(left, _HEIGHT - 8, "start", f"{number / 100:.2f}")
    yield _label(_WIDTH, _HEIGHT - 8, "end", "1")


def _grid(most: int, scale: float) -> Iterator[Markup]:
    """A line at 0 and at each power of ten."""
    for value in (0, *(10**power for power in range(len(str(most))))):
        height = _HEIGHT - _BOTTOM - scale * math.log10(1 + value)
        yield Markup('<line class="axis" x1="{0}" x2="{1}" y1="{2:.2f}" y2="{2:.2f}"/>').format(_LEFT, _WIDTH, height)
        if value:
            yield _label(_LEFT - 5, height + 4, "end", f"{value:,}")


def _mark(choice: Choice, step: float) -> Iterator[Markup]:
    place = _LEFT + step * (100 * choice.threshold - min(choice.survey.counts))
    if place >= _LEFT:
        anchor, shift = ("end", -4) if place > _WIDTH / 2 else ("start", 4)
        yield Markup(
            '<line class="mark" x1="{0:.2f}" x2="{0:.2f}" y1="0" y2="{1}"/>'
            '<text class="mark" x="{2:.2f}" y="10" text-anchor="{3}">threshold {4}</text>'
        ).format(place, _HEIGHT - _BOTTOM, place + shift, anchor, cosine(choice.threshold))


def _label(left: float, foot: float, anchor: str, text: str) -> Markup:
    return Markup('<text class="tick" x="{:.2f}" y="{:.2f}" text-anchor="{}">{}</text>').format(
        left, foot, anchor, text
    )
