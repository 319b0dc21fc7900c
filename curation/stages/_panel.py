"""How critics together judge a record: each asked once, all scores under one rule, one grade."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

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
    """The critics of a plan and the rule over what they say; without a critic every record is kept, ungraded."""

    seats: tuple[Seat, ...]
    rule: Rule | None

    @classmethod
    def of(cls, plan: GenerationPlan) -> Panel:
        """The plan's critics, made and ready to travel."""
        judges, grader = plan.judges, plan.grader
        seats = [
            Seat(one, one.create(), judge, number == grader)
            for number, (one, judge) in enumerate(zip(plan.panel, judges, strict=True))
        ]
        return cls(tuple(seats), Rule.parse(plan.drop) if plan.drop else None)

    async def judged(self, row: Record, parent: Record, models: Mapping[str, ChatModel]) -> Record:
        """The row with its scores and its grade; marked for the ledger where it can't be scored, or the rule drops it.

        Critics that ask nobody come first: of a record that they can't score, or whose fate their scores seal, no
        model is asked.

        Args:
            models: by the field of the plan that they come from.
        """
        said: list[Opinion] = []
        paid = [seat for seat in self.seats if seat.judge]
        for seats in ([seat for seat in self.seats if not seat.judge], paid):
            found = await asyncio.gather(*(seat.opinion(row, parent, models) for seat in seats))
            said += [one for one in found if isinstance(one, Opinion)]
            scores = {name: score for one in said for name, score in one.scores.items()}
            grade = next((one.grade for one in said if one.grade is not None), 0.0)
            row = {**row, "scores": to_json(scores), "question_score": grade, "answer_score": grade}
            for seat, one in zip(seats, found, strict=True):
                if isinstance(one, RecordError):
                    return rejected({**row, "bound": seat.plan.label}, one.reason, one.detail)
            if seats is not paid and paid and self.rule and (clause := self.rule.decided(scores)):
                return _dropped(row, clause, scores)
        try:
            failing = self.rule.failing(scores) if self.rule else None
        except RecordError as error:
            return rejected(row, error.reason, error.detail)
        return _dropped(row, failing, scores) if failing else row


def _dropped(row: Record, clause: str, scores: Scores) -> Record:
    """The row for the ledger, with the first of the clause's scores that is there."""
    name = next((name for name in re.findall(r"\w+", clause) if name in scores), None)
    return rejected({**row, "bound": clause, "field": name, "score": scores.get(name) if name else None}, "failed_rule")
