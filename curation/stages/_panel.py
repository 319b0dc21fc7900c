"""How critics together judge a record: each asked once, all scores under one rule, one grade."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from curation.config import CriticPlan, GenerationPlan
from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.errors import RecordError
from curation.core.records import Record, rejected, to_json
from curation.core.rules import Rule


@dataclass(frozen=True)
class Opinion:
    """What one critic says of a record; `grade` is None where it is not the one that grades."""

    scores: Scores
    grade: float | None = None


@dataclass(frozen=True)
class Seat:
    """A critic among others.

    Args:
        plan: what it is called, and what its attributes are called in a record.
        judge: the model that it asks, by its field of the plan; None for one that asks nobody.
        grades: whether its grade is the record's.
    """

    plan: CriticPlan
    critic: Critic
    judge: str | None
    grades: bool

    def concerns(self, row: Record) -> bool:
        """Whether it judges such a record: see `CriticPlan.only`."""
        if not self.plan.only:
            return True
        values = {**orjson.loads(row["extra"] or "{}"), **row}
        return all(_fits(values.get(name), wanted) for name, wanted in self.plan.only.items())

    async def opinion(self, row: Record, parent: Record, models: Mapping[str, ChatModel]) -> Opinion | RecordError:
        """Its scores under their names in the record, or why there are none."""
        try:
            scores = await self.critic.judge(row, parent, models[self.judge] if self.judge else None)
            grade = self.critic.grade(scores) if self.grades else None
        except RecordError as error:
            return error
        return Opinion({self.plan.named(name): score for name, score in scores.items()}, grade)


@dataclass(frozen=True)
class Panel:
    """The critics of a plan and the rule over what they say; without a critic every record is kept, ungraded.

    Args:
        cascade: whether those that ask models wait for each other.
    """

    seats: tuple[Seat, ...]
    rule: Rule | None
    cascade: bool = False

    @classmethod
    def of(cls, plan: GenerationPlan) -> Panel:
        """The plan's critics, made and ready to travel."""
        judges, grader = plan.judges, plan.grader
        seats = [
            Seat(one, one.create(), judge, number == grader)
            for number, (one, judge) in enumerate(zip(plan.panel, judges, strict=True))
        ]
        return cls(tuple(seats), Rule.parse(plan.drop) if plan.drop else None, plan.cascade)

    async def judged(self, row: Record, parent: Record, models: Mapping[str, ChatModel]) -> Record:
        """The row with its scores and its grade; marked for the ledger where it can't be scored, or the rule drops it.

        Critics that ask nobody come first: of a record that they can't score, or whose fate their scores seal, no
        model is asked.

        Args:
            models: by the field of the plan that they come from.
        """
        concerned = [seat for seat in self.seats if seat.concerns(row)]
        turns = self._turns(concerned)
        said: list[Opinion] = []
        for seats in turns:
            found = await asyncio.gather(*(seat.opinion(row, parent, models) for seat in seats))
            said += [one for one in found if isinstance(one, Opinion)]
            scores = {name: score for one in said for name, score in one.scores.items()}
            grade = next((one.grade for one in said if one.grade is not None), 0.0)
            row = {**row, "scores": to_json(scores), "question_score": grade, "answer_score": grade}
            for seat, one in zip(seats, found, strict=True):
                if isinstance(one, RecordError):
                    return rejected({**row, "bound": seat.plan.label}, one.reason, one.detail)
            if seats is not turns[-1] and self.rule and (clause := self.rule.decided(scores)):
                return _dropped(row, clause, scores)
        return self._verdict(row, scores, concerned)

    def _turns(self, seats: Sequence[Seat]) -> list[list[Seat]]:
        """Who is heard at the same time: first all that ask nobody."""
        paid = [seat for seat in seats if seat.judge]
        turns = [[seat] for seat in paid] if self.cascade else [paid]
        return [[seat for seat in seats if not seat.judge], *(turn for turn in turns if turn)]

    def _verdict(self, row: Record, scores: Scores, concerned: Sequence[Seat]) -> Record:
        """The row as the rule leaves it when all scores are there that will be."""
        if self.rule is None:
            return row
        without = {name for name in self.rule.names if not any(seat.plan.may_give(name) for seat in concerned)}
        try:
            failing = self.rule.failing(scores, without)
        except RecordError as error:
            return rejected(row, error.reason, error.detail)
        return _dropped(row, failing, scores) if failing else row


def _fits(value: object, wanted: bool | str | list[str]) -> bool:
    if isinstance(wanted, bool):
        return wanted == (value is not None and str(value).strip() != "")
    return value in wanted if isinstance(wanted, list) else value == wanted


def _dropped(row: Record, clause: str, scores: Scores) -> Record:
    """The row for the ledger, with the first of the clause's scores that is there."""
    name = next((name for name in re.findall(r"\w+", clause) if name in scores), None)
    return rejected({**row, "bound": clause, "field": name, "score": scores.get(name) if name else None}, "failed_rule")
