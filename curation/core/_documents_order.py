"""The order in which people read the lines of a page: columns from left to right, between what spans them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

_GAP = 3.0  # points between two columns, at least
_BESIDE = 2  # lines of either column that stand beside one of the other: fewer make no columns


class Placed(Protocol):
    """Something with a place, in points from the top left."""

    @property
    def x0(self) -> float:
        """Its left edge."""

    @property
    def top(self) -> float:
        """Its upper edge."""

    @property
    def x1(self) -> float:
        """Its right edge."""

    @property
    def bottom(self) -> float:
        """Its lower edge."""


LineT = TypeVar("LineT", bound=Placed)


def in_reading_order(lines: Sequence[LineT]) -> list[LineT]:
    """The lines of one page. What crosses the gap between columns is read between what stands above and below it."""
    rows = _by_rows(lines)
    gutter = _gutter(rows)
    if gutter is None:
        return rows
    ordered: list[LineT] = []
    left: list[LineT] = []
    right: list[LineT] = []
    for line in rows:
        if line.x1 <= gutter:
            left.append(line)
        elif line.x0 >= gutter:
            right.append(line)
        else:
            ordered += [*in_reading_order(left), *in_reading_order(right), line]
            left, right = [], []
    return [*ordered, *in_reading_order(left), *in_reading_order(right)]


def _by_rows(lines: Sequence[LineT]) -> list[LineT]:
    """From the top down; what overlaps by more than half stands in one row, from left to right."""
    rows: list[list[LineT]] = []
    for line in sorted(lines, key=lambda line: (line.top, line.x0)):
        if rows and _overlap(rows[-1][0], line) > 0.5:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: (line.x0, line.top))]


def _overlap(line: Placed, other: Placed) -> float:
    """The share of the lower line's height at which the other stands too."""
    shared = min(line.bottom, other.bottom) - max(line.top, other.top)
    return shared / max(min(line.bottom - line.top, other.bottom - other.top), 1e-6)


def _gutter(lines: Sequence[Placed]) -> float | None:
    """Where the right column begins: most lines stand beside each other there, and fewest cross it."""
    best: tuple[int, int, float] | None = None
    for x in sorted({round(line.x0) - 1.0 for line in lines}):
        left = [line for line in lines if line.x1 <= x - _GAP + 1]
        right = [line for line in lines if line.x0 >= x]
        beside = min(_beside(left, right), _beside(right, left)) if left and right else 0
        if beside >= _BESIDE:
            key = (beside, len(left) + len(right), -x)
            best = max(best, key) if best else key
    return -best[2] if best else None


def _beside(lines: Sequence[Placed], others: Sequence[Placed]) -> int:
    return sum(any(_overlap(line, other) > 0.3 for other in others) for line in lines)
