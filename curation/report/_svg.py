"""Small charts as inline SVG. Colours come from the page's style sheet by class, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

Floats: TypeAlias = npt.NDArray[np.float64]

WIDTH, HEIGHT = 340, 132
_TOP, _BOTTOM = 6, 22
_LABELS = 22  # more room above, where lines have labels
_BINS = 24
_GUTTER = 36  # left of the lines, for the numbers of their axis


@dataclass(frozen=True)
class Histogram:
    """How values are distributed, one colour a series, stacked.

    Args:
        title: what is counted; read aloud by screen readers.
        series: values by the name of their series.
        marks: vertical lines, such as thresholds, by their label.
        bounds: the axis; from the smallest value to the 99th percentile by default, and what lies beyond stands in
            the last bar.
    """

    title: str
    series: Mapping[str, Sequence[float]]
    marks: Mapping[str, float] | None = None
    bounds: tuple[float, float] | None = None

    def svg(self) -> Markup:
        """The chart; nothing where there is no value."""
        arrays = [np.asarray(values, dtype="float64") for values in self.series.values()]
        everything = np.concatenate(arrays) if arrays else np.empty(0)
        if not len(everything):
            return Markup("")
        low, high = self.bounds or _bounds(everything)
        edges = _edges(everything, low, high)
        counts = [np.histogram(np.clip(values, low, high), edges)[0] for values in arrays]
        beyond = "+" if everything.max() > high else ""
        parts = [*self._bars(counts, edges), *self._axis(low, high, beyond), *self._lines(edges[0], edges[-1])]
        summary = f"{self.title}: {len(everything):,} values, median {number(float(np.median(everything)))}"
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, HEIGHT, summary, Markup("").join(parts)
        )

    def _bars(self, counts: list[npt.NDArray[Any]], edges: Floats) -> list[Markup]:
        tallest = max(int(np.sum(counts, axis=0).max()), 1)
        room = HEIGHT - _BOTTOM - _TOP - (_LABELS if self.marks else 0)
        step = WIDTH / (len(edges) - 1)
        bars = []
        for column in range(len(edges) - 1):
            base = float(HEIGHT - _BOTTOM)
            for place, (name, count) in enumerate(zip(self.series, counts, strict=True)):
                height = room * int(count[column]) / tallest
                if not height:
                    continue
                base -= height
                tip = f"{number(edges[column])} to {number(edges[column + 1])}: {int(count[column]):,} {name}"
                bars.append(
                    Markup('<rect class="s{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>').format(
                        place, _at(column * step + 0.5), _at(base), _at(step - 1), _at(height), tip
                    )
                )
        return bars

    def _axis(self, low: float, high: float, beyond: str) -> list[Markup]:
        foot = HEIGHT - _BOTTOM
        line = Markup('<line class="axis" x1="0" x2="{}" y1="{}" y2="{}"/>').format(WIDTH, foot, foot)
        label = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>')
        return [
            line,
            label.format(0, HEIGHT - 6, "start", number(low)),
            label.format(WIDTH // 2, HEIGHT - 6, "middle", number((low + high) / 2)),
            label.format(WIDTH, HEIGHT - 6, "end", number(high) + beyond),
        ]

    def _lines(self, low: float, high: float) -> list[Markup]:
        lines = []
        for row, (label, value) in enumerate((self.marks or {}).items()):
            if not low <= value <= high:
                continue
            place = WIDTH * (value - low) / (high - low)
            anchor, shift = ("end", -4) if place > WIDTH * 0.6 else ("start", 4)
            lines.append(
                Markup(
                    '<line class="mark" x1="{0}" x2="{0}" y1="0" y2="{1}"/>'
                    '<text class="mark" x="{2}" y="{5}" text-anchor="{3}">{4}</text>'
                ).format(_at(place), HEIGHT - _BOTTOM, _at(place + shift), anchor, label, 10 + 12 * (row % 2))
            )
        return lines


@dataclass(frozen=True)
class Lines:
    """How values go on, one line a series. The page's style sheet says with `.l0`, `.l1`, … how each is drawn.

    Args:
        title: what is shown; read aloud by screen readers.
        series: points (x, y), ordered by x, by the name of their series.
        marks: horizontal lines, such as a value to compare with, by their label; the axis takes them in.
    """

    title: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    marks: Mapping[str, float] | None = None

    def svg(self) -> Markup:
        """The chart; nothing where there is no point."""
        arrays = {name: np.asarray(points, dtype="float64") for name, points in self.series.items() if len(points)}
        if not arrays:
            return Markup("")
        left, right = _around(np.concatenate([points[:, 0] for points in arrays.values()]), ends=True)
        values = [points[:, 1] for points in arrays.values()]
        low, high = _around(np.concatenate([*values, np.array(list((self.marks or {}).values()))]))
        scale = _Scale(left, right, low, high)
        parts = [*scale.axes(), *self._marks(scale), *self._drawn(arrays, scale)]
        ends = ", ".join(f"{name} {number(points[0, 1])} to {number(points[-1, 1])}" for name, points in arrays.items())
        return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
            WIDTH, HEIGHT, f"{self.title}: {ends}", Markup("").join(parts)
        )

    def _drawn(self, arrays: Mapping[str, Floats], scale: _Scale) -> list[Markup]:
        drawn = []
        for place, name in enumerate(self.series):
            if name in arrays:
                points = " ".join(f"{_at(scale.x(x))},{_at(scale.y(y))}" for x, y in arrays[name])
                line = Markup('<polyline class="l{}" points="{}"><title>{}</title></polyline>')
                drawn.append(line.format(place, points, name))
        return drawn

    def _marks(self, scale: _Scale) -> list[Markup]:
        line = Markup(
            '<line class="mark" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/>'
            '<text class="mark" x="{1}" y="{3}" text-anchor="end">{4}</text>'
        )
        return [
            line.format(_GUTTER, WIDTH, _at(scale.y(value)), _at(scale.y(value) - 4), f"{label} {number(value)}")
            for label, value in (self.marks or {}).items()
        ]


@dataclass(frozen=True)
class _Scale:
    """Where a point of `Lines` is drawn."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return _GUTTER + (WIDTH - _GUTTER) * (value - self.left) / (self.right - self.left)

    def y(self, value: float) -> float:
        return _LABELS + (HEIGHT - _BOTTOM - _LABELS) * (self.high - value) / (self.high - self.low)

    def axes(self) -> list[Markup]:
        foot = HEIGHT - _BOTTOM
        label = Markup('<text class="tick" x="{}" y="{}" text-anchor="{}">{}</text>')
        return [
            Markup('<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>').format(_GUTTER, WIDTH, foot, foot),
            label.format(_GUTTER, HEIGHT - 6, "start", number(self.left)),
            label.format(WIDTH, HEIGHT - 6, "end", number(self.right)),
            label.format(_GUTTER - 6, foot, "end", number(self.low)),
            label.format(_GUTTER - 6, _LABELS + 8, "end", number(self.high)),
        ]


def number(value: float) -> str:
    """A number of a chart's axis, without digits that say nothing."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _bounds(values: Floats) -> tuple[float, float]:
    """Round bounds around the values, but for the largest hundredth."""
    low, high = float(values.min()), float(np.quantile(values, 0.99))
    if high <= low:
        return low, low + 1
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _around(values: Floats, ends: bool = False) -> tuple[float, float]:
    """Round bounds around all values; or the ends themselves."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low, low + 1
    step = 10.0 ** math.floor(math.log10(high - low))
    return (low, high) if ends else (math.floor(low / step) * step, math.ceil(high / step) * step)


def _edges(values: Floats, low: float, high: float) -> Floats:
    """The bars' bounds: whole numbers of a narrow range get a bar each, around them."""
    whole = bool(np.all(values == np.round(values))) and low == round(low) and high == round(high)
    if whole and high - low < _BINS:
        return np.arange(low, high + 2) - 0.5
    return np.linspace(low, high, _BINS + 1)


def _at(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
