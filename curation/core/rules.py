"""Rules over a critic's scores, such as `helpfulness < 3 or verbosity > 2.5`: what they describe is dropped.

A rule is read with Python's own parser and then interpreted here: nothing but names, numbers, comparisons,
`and`, `or`, `not` and parentheses is let through, and nothing is ever executed.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from curation.core.errors import PlanError, RecordError

_MAX_LENGTH: Final = 1000  # what is shorter can't nest so deeply that Python gives up
_LARGEST: Final = 1e300

_COMPARISONS: Final[dict[type[ast.cmpop], Callable[[float, float], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Rule:
    """A condition over scores; a record for which it is true is dropped.

    Args:
        text: the rule. White space, line ends too, counts for nothing.

    Raises:
        PlanError: with the column at which the rule can't be read.
    """

    text: str
    names: tuple[str, ...] = field(init=False, compare=False)
    """The scores that it asks for, sorted."""
    _clauses: tuple[tuple[str, ast.expr], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = " ".join(self.text.split())
        tree = _parse(text)
        _check(tree, text)
        clauses = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.Or) else [tree]
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "names", tuple(sorted(names)))
        object.__setattr__(
            self, "_clauses", tuple((ast.get_source_segment(text, node) or text, node) for node in clauses)
        )

    @classmethod
    def parse(cls, text: str) -> Rule:
        """The rule that `text` describes; see the class for errors."""
        return cls(text)

    def failing(self, scores: Mapping[str, float], without: Collection[str] = ()) -> str | None:
        """The first clause (between `or`s) that is true of `scores`, or None where the record may stay.

        Args:
            without: scores that may be missing: nobody was to give them. What hangs on them is not true.

        Raises:
            RecordError: another score that the rule names is missing or not a finite number.
        """
        for name in self.names:
            value = scores.get(name)
            if not (value is None and name in without) and (value is None or not math.isfinite(value)):
                raise RecordError("missing_score", f"'{self.text}' needs {name}, the scores are {dict(scores)}")
        return next((clause for clause, node in self._clauses if _holds(node, scores)), None)

    def decided(self, scores: Mapping[str, float]) -> str | None:
        """The first clause that is true whatever the scores are that are missing, or None where there is none yet."""
        found = ((name, scores.get(name)) for name in self.names)
        known = {name: value for name, value in found if value is not None and math.isfinite(value)}
        return next((clause for clause, node in self._clauses if _holds(node, known)), None)


def _parse(text: str) -> ast.expr:
    if len(text) > _MAX_LENGTH:
        raise _fault(text[:60] + "…", 1, f"is longer than {_MAX_LENGTH} characters")
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise _fault(text, error.offset or len(text) + 1, "can't be read") from None
    except (ValueError, RecursionError, MemoryError):
        raise _fault(text, 1, "can't be read") from None


def _fault(text: str, column: int, what: str) -> PlanError:
    return PlanError(
        [f"rule '{text}', column {column}: {what}. A rule looks like 'helpfulness < 3 or verbosity > 2.5'"]
    )


def _check(node: ast.expr, text: str) -> None:
    """Refuses whatever is not a condition."""
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                _check(part, text)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            _check(part, text)
        case ast.Compare(left=left, ops=signs, comparators=others):
            if any(type(sign) not in _COMPARISONS for sign in signs):
                raise _fault(text, node.col_offset + 1, "compares with something other than < <= > >= == !=")
            for part in (left, *others):
                _check_operand(part, text)
        case _:
            raise _fault(text, node.col_offset + 1, "expected a comparison")


def _check_operand(node: ast.expr, text: str) -> None:
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd) else node
    match inner:
        case ast.Name() if inner is node:
            readable = True
        case ast.Constant(value=int() | float() as number):
            readable = not isinstance(number, bool) and abs(number) < _LARGEST
        case _:
            readable = False
    if not readable:
        raise _fault(text, node.col_offset + 1, "expected the name of a score or a number")


def _holds(node: ast.expr, scores: Mapping[str, float]) -> bool | None:
    """Whether a condition is true; None where that hangs on a score that is missing (Kleene's logic)."""
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return _all(_holds(part, scores) for part in parts)
        case ast.BoolOp(values=parts):
            return _not(_all(_not(_holds(part, scores)) for part in parts))
        case ast.UnaryOp(operand=part):
            return _not(_holds(part, scores))
        case ast.Compare(left=left, ops=signs, comparators=others):
            values = [_value(part, scores) for part in (left, *others)]
            pairs = zip(values, signs, values[1:], strict=False)
            return _all(_compared(low, sign, high) for low, sign, high in pairs)
    raise AssertionError(f"_check let {ast.dump(node)} through")


def _all(parts: Iterable[bool | None]) -> bool | None:
    found = set(parts)
    return False if False in found else None if None in found else True


def _not(part: bool | None) -> bool | None:
    return None if part is None else not part


def _compared(low: float | None, sign: ast.cmpop, high: float | None) -> bool | None:
    return None if low is None or high is None else _COMPARISONS[type(sign)](low, high)


def _value(node: ast.expr, scores: Mapping[str, float]) -> float | None:
    match node:
        case ast.Name(id=name):
            return scores.get(name)
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.UnaryOp(op=sign, operand=ast.Constant(value=int() | float() as number)):
            return -float(number) if isinstance(sign, ast.USub) else float(number)
    raise AssertionError(f"_check let {ast.dump(node)} through")
