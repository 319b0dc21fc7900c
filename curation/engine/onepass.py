"""Cleans a partition in one pass: modifiers and filters in turn, each record no further than to what drops it.

NeMo Curator's `Sequential([Modify(…), ScoreFilter(…), …])` over the same components keeps exactly the same rows. What
it does not do, this does: it computes nothing for a record that a cheaper filter drops, it says of every dropped
record why it left, and a record that a component can't take costs that record alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd
from pandas.api.types import is_numeric_dtype

from curation.core.errors import CurationError

MODIFIER: Final = "modifier"
FILTER: Final = "filter"
MISSING_VALUE: Final = "missing_value"
"""Reason of a record that lacks the text that a filter judges."""
COMPONENT_ERROR: Final = "component_error"
"""Reason of a record that a component raised on; the ledger's detail has its message."""

_WORD_STARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Step:
    """A modifier or a filter and what it works on.

    Args:
        kind: `modifier` or `filter`.
        component: anything with NeMo Curator's methods (`modify_document`; `score_document` and `keep_document`),
            which may be marked by its decorator `batched`: those take a Series.
        fields: columns of `records.SCHEMA`, each in its turn; a filter may judge a key of the column `extra` too.
        label: the component and its arguments, as the ledger shows them: `WordCountFilter(min_words=50)`.
    """

    kind: str
    component: Any
    fields: tuple[str, ...]
    label: str

    @property
    def reason(self) -> str:
        """The ledger's word for what a filter drops: `word_count` for a WordCountFilter."""
        return _WORD_STARTS.sub("_", type(self.component).__name__.removesuffix("Filter")).lower()


@dataclass(frozen=True)
class _Failure:
    """What stands in the place of a result that a component raised instead of giving."""

    message: str


class _Verdict:
    """Why records leave, one entry for each record of a partition; one without a reason stays."""

    def __init__(self, count: int) -> None:
        self.reason = np.full(count, None)
        self.score = np.full(count, np.nan)
        self.detail = np.full(count, None)

    def fail(self, position: int, failure: _Failure) -> None:
        """The record leaves because a component could not take it."""
        self.reason[position], self.detail[position] = COMPONENT_ERROR, failure.message


def schedule(steps: Sequence[Step]) -> list[Step]:
    """The same steps, one field each, in the order that computes least; the kept records are the same.

    Steps on different fields don't depend on each other, and a record must pass all filters whatever their order. So
    filters on what no modifier touches come first, then each of the others as soon as its own field is ready (the one
    that waits for fewest modifiers first), and modifiers of what no filter judges last. On one field the order stays.
    """
    single = [replace(step, fields=(field,)) for step in steps for field in step.fields]
    awaited = {
        index: [i for i in range(index) if single[i].kind == MODIFIER and single[i].fields == step.fields]
        for index, step in enumerate(single)
        if step.kind == FILTER
    }
    order: dict[int, None] = {}  # an ordered set
    for index in sorted(awaited, key=lambda index: len(awaited[index])):
        order.update(dict.fromkeys([*awaited[index], index]))
    order.update(dict.fromkeys(range(len(single))))
    return [single[index] for index in order]


def clean_partition(steps: Sequence[Step], rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Applies the steps in the order given (see `schedule`).

    A null text stays null under a modifier. A filter that meets a null text drops the record (`missing_value`): there
    is nothing that could pass it; a missing number reaches the filter as NaN. A component that raises drops the record
    that it raised on (`component_error`); one that takes batches is then asked about each record alone.

    Args:
        steps: what to do.
        rows: the columns of `records.SCHEMA`.

    Returns:
        The records that stay, modified; and those that leave, with their columns as they were at that moment and
        `reason`, `field`, `score` (null unless the filter's score is a number), `bound` (the step's label), `detail`.
    """
    left = []
    for step in steps:
        for field in step.fields:
            rows, verdict = _modify(step, field, rows) if step.kind == MODIFIER else _judge(step, field, rows)
            leaves = verdict.reason.astype(bool)
            left.append(_leaving(rows[leaves], verdict, leaves, field, step.label))
            rows = rows[~leaves]
    nobody = _leaving(rows.iloc[:0], _Verdict(0), np.empty(0, bool), "", "")
    return rows, pd.concat([part for part in left if len(part)] or [nobody])


def _modify(step: Step, field: str, rows: pd.DataFrame) -> tuple[pd.DataFrame, _Verdict]:
    verdict = _Verdict(len(rows))
    texts = rows[field].to_numpy(dtype=object, copy=True)
    present = np.flatnonzero(rows[field].notna())
    for position, text in zip(present, _apply(step.component.modify_document, texts[present]), strict=True):
        if isinstance(text, str):
            texts[position] = text
        elif isinstance(text, _Failure):
            verdict.fail(position, text)
        else:
            verdict.fail(position, _Failure(f"TypeError: it made {type(text).__name__} of a text"))
    return rows.assign(**{field: pd.Series(texts, rows.index, rows[field].dtype)}), verdict


def _judge(step: Step, field: str, rows: pd.DataFrame) -> tuple[pd.DataFrame, _Verdict]:
    verdict = _Verdict(len(rows))
    values = rows[field] if field in rows.columns else _from_extra(rows["extra"], field)
    # A number that is missing is NaN, which a filter of numbers can judge.
    missing = np.zeros(len(values), dtype=bool) if is_numeric_dtype(values) else values.isna().to_numpy()
    verdict.reason[missing] = MISSING_VALUE
    scores = _apply(step.component.score_document, values[~missing])
    keeps = _apply(step.component.keep_document, scores)
    for position, score, keep in zip(np.flatnonzero(~missing), scores, keeps, strict=True):
        if isinstance(keep, _Failure):
            verdict.fail(position, keep)
        elif not keep:
            verdict.reason[position] = step.reason
        if isinstance(score, Real) and not isinstance(score, bool):
            verdict.score[position] = score
    return rows, verdict


def _from_extra(extra: pd.Series, key: str) -> pd.Series:
    found = [None if pd.isna(text) else orjson.loads(text).get(key) for text in extra]
    return pd.Series(found, extra.index, dtype=object)


def _leaving(
    rows: pd.DataFrame, verdict: _Verdict, leaves: np.ndarray[Any, Any], field: str, bound: str
) -> pd.DataFrame:
    return rows.assign(
        reason=verdict.reason[leaves],
        field=field,
        score=verdict.score[leaves],
        bound=bound,
        detail=verdict.detail[leaves],
    )


def _apply(function: Callable[[Any], Any], values: Iterable[Any]) -> list[Any]:
    """The results for `values`, in their order, each result or its failure; a failure among the values stays one."""
    todo = [value for value in values if not isinstance(value, _Failure)]
    results = iter(_in_batch(function, todo) if getattr(function, "batched", False) else _one_by_one(function, todo))
    return [value if isinstance(value, _Failure) else next(results) for value in values]


def _in_batch(function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    """A function that NeMo Curator's `batched` marks, which takes a Series."""
    try:
        results = list(function(pd.Series(values))) if values else []
    except (CurationError, MemoryError):
        raise
    except Exception:  # one of the records: found by asking about each alone
        results = []
    if len(results) == len(values):
        return results
    return _one_by_one(lambda value: next(iter(function(pd.Series([value])))), values)


def _one_by_one(function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    results = []
    for value in values:
        try:
            results.append(function(value))
        except (CurationError, MemoryError):
            raise
        except Exception as error:  # a component may raise anything; the ledger says what
            results.append(_Failure(f"{type(error).__name__}: {error}"))
    return results
