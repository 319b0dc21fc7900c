"""Sharing a number of records out evenly over groups that can't all give as many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def quotas(available: Mapping[str, int | None], total: int) -> dict[str, int]:
    """How many records each group is to give, so that together they give `total`, or all that there is.

    Water-filling: every group gives the same number, but for those that have fewer, which give all; what does not
    divide evenly goes to the first groups by name. Nothing is ever taken twice from a small group to make up for it
    (instructlab/sdg samples with replacement, and so repeats records: instructlab#2461).

    Args:
        available: how many a group has; None: as many as may be wanted.
        total: how many are wanted of all groups together.
    """
    given: dict[str, int] = {}
    left = total
    order = sorted(available, key=lambda name: (_size(available[name]), name))
    for place, name in enumerate(order):
        has, even = available[name], left // (len(order) - place)
        if has is None or has > even:
            break
        given[name] = has
        left -= has
    rest = sorted(set(order) - set(given))
    for place, name in enumerate(rest):
        even, more = divmod(left, len(rest))
        given[name] = even + (place < more)
    return given


def evenness(counts: Iterable[int]) -> float:
    """Shannon's entropy of the shares over that of equal ones: 1 where all groups have as many, 0 where one has all.

    A group without records counts; of fewer than two groups, or none with records, it is 1.
    """
    sizes = list(counts)
    total = sum(sizes)
    if len(sizes) < 2 or not total:
        return 1.0
    shares = [size / total for size in sizes if size]
    return -sum(share * math.log(share) for share in shares) / math.log(len(sizes))


def _size(available: int | None) -> float:
    return math.inf if available is None else available
