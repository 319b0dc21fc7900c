"""Cleans a partition in one pass: modifiers, filters and rules in turn, each record no further than to what drops it.

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

from curation.core.checks import Violation
from curation.core.errors import CurationError

MODIFIER: Final = "modifier"
FILTER: Final = "filter"
VALIDATE: Final = "validate"
MISSING_VALUE: Final = "missing_value"
"""Reason of a record that lacks the text that a filter judges."""
COMPONENT_ERROR: Final = "component_error"
"""Reason of a record that a component raised on; the ledger's detail has its message."""
INVALID: Final = "invalid"
"""Reason of a record that does not keep a rule; the ledger's bound names the rule and its check."""

_WORD_STARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Step:
    """A modifier, a filter or rules, and what they work on.

    Args:
        kind: `modifier`, `filter` or `validate`.
        component: anything with NeMo Curator's methods (`modify_document`; `score_document` and `keep_document`),
            which may be marked by its decorator `batched`: those take a Series; or a `core.checks.Validator`.
        fields: columns of `records.SCHEMA`, each in its turn, or for rules all at once; what judges may name a key of
            the column `extra` too.
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

    def __init__(self, count: int, field: str = "", bound: str = "") -> None:
        self.reason = np.full(count, None)
        self.field = np.broadcast_to(np.array(field, dtype=object), count)  # of rules alone each record has its own
        self.bound = np.broadcast_to(np.array(bound, dtype=object), count)
        self.score = np.full(count, np.nan)
        self.detail = np.full(count, None)

    def fail(self, position: int, failure: _Failure) -> None:
        """The record leaves because a component could not take it."""
        self.reason[position], self.detail[position] = COMPONENT_ERROR, failure.message

    def reject(self, position: int, violations: Sequence[Violation]) -> None:
        """The record leaves because of the first of these; the detail names the others."""
        first, others = violations[0], "; ".join(violation.bound for violation in violations[1:])
        self.reason[position], self.field[position], self.bound[position] = INVALID, first.field, first.bound
        self.score[position] = first.number
        self.detail[position] = "; ".join(filter(None, (first.found, others and f"also {others}"))) or None


def schedule(steps: Sequence[Step]) -> list[Step]:
    """The same steps, in the order that computes least, modifiers and filters one field each; the same records stay.

    Steps on different fields don't depend on each other, and a record must pass all that judge it whatever their order.
    So filters and rules on what no modifier touches come first, then each of the others as soon as its own fields are
    ready (the one that waits for fewest modifiers first), and modifiers of what nobody judges last. On one field the
    order stays: rules on several fields see each of them as the steps before them leave it.
    """
    single = [replace(step, fields=fields) for step in steps for fields in _turns(step)]
    awaited: list[set[int]] = []  # of each step, the steps that must come before it
    for index, step in enumerate(single):
        touching = {i for i in range(index) if _touch(single[i], step)}
        awaited.append(touching.union(*(awaited[i] for i in touching)))
    waits = {
        index: sum(single[i].kind == MODIFIER for i in awaited[index])
        for index, step in enumerate(single)
        if step.kind != MODIFIER
    }
    order: dict[int, None] = {}  # an ordered set
    for index in sorted(waits, key=lambda index: waits[index]):
        order.update(dict.fromkeys([*sorted(awaited[index]), index]))
    order.update(dict.fromkeys(range(len(single))))
    return [single[index] for index in order]


def _turns(step: Step) -> list[tuple[str, ...]]:
    """The fields that a step works on, those together that it takes at once."""
    return [step.fields] if step.kind == VALIDATE else [(field,) for field in step.fields]


def _touch(one: Step, other: Step) -> bool:
    """Whether one of two steps changes what the other works on."""
    return MODIFIER in (one.kind, other.kind) and not set(one.fields).isdisjoint(other.fields)


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
        `reason`, `field`, `score` (null unless what was judged is a number), `bound` (the step's label, or the rule
        with its check), `detail`.
    """
    left = []
    for step in steps:
        for fields in _turns(step):
            rows, verdict = _WORK[step.kind](replace(step, fields=fields), rows)
            leaves = verdict.reason.astype(bool)
            left.append(_leaving(rows[leaves], verdict, leaves))
            rows = rows[~leaves]
    nobody = _leaving(rows.iloc[:0], _Verdict(0), np.empty(0, bool))
    return rows, pd.concat([part for part in left if len(part)] or [nobody])


def _modify(step: Step, rows: pd.DataFrame) -> tuple[pd.DataFrame, _Verdict]:
    (field,) = step.fields
    verdict = _Verdict(len(rows), field, step.label)
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


def _judge(step: Step, rows: pd.DataFrame) -> tuple[pd.DataFrame, _Verdict]:
    (field,) = step.fields
    verdict = _Verdict(len(rows), field, step.label)
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


def _validate(step: Step, rows: pd.DataFrame) -> tuple[pd.DataFrame, _Verdict]:
    verdict = _Verdict(len(rows), ", ".join(step.fields), step.label)
    verdict.field, verdict.bound = verdict.field.copy(), verdict.bound.copy()
    for position, found in enumerate(_apply(step.component.violations, _values(rows, step.fields))):
        if isinstance(found, _Failure):
            verdict.fail(position, found)
        elif found:
            verdict.reject(position, found)
    return rows, verdict


_WORK: Final = {MODIFIER: _modify, FILTER: _judge, VALIDATE: _validate}


def _values(rows: pd.DataFrame, fields: Sequence[str]) -> list[dict[str, Any]]:
    """The fields of each record, None for what is missing."""
    columns: dict[str, Iterable[Any]] = {
        field: rows[field].astype(object).where(rows[field].notna(), None) for field in fields if field in rows.columns
    }
    others = [field for field in fields if field not in columns]
    if others:
        extra = [_parsed(text) for text in rows["extra"]]
        columns |= {field: [values.get(field) for values in extra] for field in others}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _from_extra(extra: pd.Series, key: str) -> pd.Series:
    return pd.Series([_parsed(text).get(key) for text in extra], extra.index, dtype=object)


def _parsed(extra: Any) -> dict[str, Any]:
    return {} if pd.isna(extra) else orjson.loads(extra)


def _leaving(rows: pd.DataFrame, verdict: _Verdict, leaves: np.ndarray[Any, Any]) -> pd.DataFrame:
    return rows.assign(
        reason=verdict.reason[leaves],
        field=verdict.field[leaves],
        score=verdict.score[leaves],
        bound=verdict.bound[leaves],
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
