"""How far critics agree who judged the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import Any, Final

import numpy as np
import pandas as pd

_DECIMALS: Final = 4  # what is behind them hangs on the order in which numbers are added up


def agreement(scores: pd.DataFrame, critics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each attribute beside each of another critic, over the records that have both.

    Args:
        scores: a row for each record, a column for each attribute; NaN where a record lacks it.
        critics: by attribute the scale of its whole numbers, or None.

    Returns:
        `first`, `second`, `records`; `spearman`, the correlation of ranks; where both are ratings on one scale also
        `equal`, the share of equal ones, and `kappa`. A number that is not defined, as one of a single record, is None.
    """
    found = []
    for one, other in combinations(critics, 2):
        for first, second in product(one, other):
            if first not in scores or second not in scores:
                continue
            both = scores[[first, second]].dropna()
            if len(both):
                is_one_scale = one[first] is not None and one[first] == other[second]
                found.append({"first": first, "second": second, **_compared(both, is_one_scale)})
    return found


def _compared(both: pd.DataFrame, is_one_scale: bool) -> dict[str, Any]:
    left, right = (both.iloc[:, column].to_numpy("float64") for column in (0, 1))
    return {
        "records": len(both),
        "spearman": _rounded(spearman(left, right)),
        "equal": _rounded(float((left == right).mean())) if is_one_scale else None,
        "kappa": _rounded(weighted_kappa(left, right)) if is_one_scale else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)


def spearman(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float | None:
    """Spearman's rank correlation, equal values sharing their mean rank; None where either has one value alone."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (left, right)]
    if any(rank.min() == rank.max() for rank in ranks):
        return None
    return float(np.corrcoef(ranks)[0, 1])


def weighted_kappa(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float | None:
    """Cohen's kappa with quadratic weights: agreement beyond what chance alone gives; 1 is perfect, 0 chance.

    It is `1 - sum(w * O) / sum(w * E)` (J. Cohen, Psychological Bulletin 70, 1968), where `w = (i - j) ** 2`, `O` are
    the shares of pairs of ratings that were given, and `E` those that two raters who give these ratings would give by
    chance. Both sums are means of squared differences, so no table of ratings is needed.

    Returns:
        None where chance leaves nothing to disagree on: both gave one and the same rating alone.
    """
    by_chance = left.var() + right.var() + (left.mean() - right.mean()) ** 2
    return float(1 - ((left - right) ** 2).mean() / by_chance) if by_chance else None
