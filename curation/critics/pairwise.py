"""Compares a record with its parent, in both orders, so that a judge's liking for the first place cancels out."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import ClassVar, Final

from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.errors import RecordError, ReplyError
from curation.core.ratings import Scale, read_verdict
from curation.core.records import Record
from curation.critics._asking import NOT_AN_INSTRUCTION, ask_all, fenced, shown

_COMPARED: Final = ("record", "answer")
_TIE: Final = 0.5
_TASK: Final = Template(
    """\
You choose training data for an assistant. $told Which of the two should the assistant rather learn from? What counts, \
in this order: it is correct and safe; it answers what was asked, all of it; it is clear. Length by itself counts for \
nothing, and neither does the order in which the two stand.
$guard

$texts

First say in one or two sentences what decides. Then end with a line of exactly one of these forms:
Verdict: A
Verdict: B
Verdict: tie"""
)
_TOLD: Final = {
    "record": "Below are two records, A and B, each with a question and its answer.",
    "answer": "Below are a question and two answers to it, A and B.",
}


class Pairwise(Critic):
    """One score, `preference`: 1 where the record is preferred to its parent in both orders, 0 where the parent is.

    Where the two verdicts disagree, or either is a tie, it is 0.5. A rule that keeps what is no worse than its parent:
    `preference < 0.5`.

    Args:
        compare: `record`: the whole record with the whole parent; `answer`: the record's answer with the parent's, both
            as answers to the record's question.
        max_tokens: of a reply. A model that thinks aloud first needs more.
    """

    needs_model: ClassVar[bool] = True

    def __init__(self, compare: str = "record", max_tokens: int = 512) -> None:
        if compare not in _COMPARED:
            raise ValueError(f"compare is one of {', '.join(_COMPARED)}, not '{compare}'")
        self.compare = compare
        self.max_tokens = max_tokens

    @property
    def gives(self) -> Mapping[str, Scale | None]:
        """`preference`, which halves make no whole number."""
        return {"preference": None}

    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        """The preference, from two requests.

        Raises:
            RecordError: `unscorable`: no parent, or a question or an answer is missing. Or a request failed.
            ReplyError: `unreadable_score`, with the text of the first reply that holds no verdict.
        """
        assert model is not None
        if parent is None:
            raise RecordError("unscorable", "there is no parent to compare it with")
        prompts = [self.prompt_for(record, parent), self.prompt_for(record, parent, swapped=True)]
        wins = []
        replies = await ask_all(model, prompts, temperature=0.0, max_tokens=self.max_tokens)
        for reply, own in zip(replies, ("A", "B"), strict=True):
            verdict = read_verdict(reply)
            if verdict is None:
                raise ReplyError("unreadable_score", reply)
            wins.append(_TIE if verdict == "tie" else float(verdict == own))
        return {"preference": wins[0] if wins[0] == wins[1] else _TIE}

    def prompt_for(self, record: Record, parent: Record, swapped: bool = False) -> str:
        """What is asked; the record is A, or B where they are swapped. Texts are never read as a template."""
        texts = [self._text(record), self._text(parent)]
        first, second = reversed(texts) if swapped else texts
        both = "\n\n".join(f"{name}\n{text}" for name, text in (("### A", first), ("### B", second)))
        if self.compare == "answer":
            both = f"question:\n{fenced(_question(record))}\n\n{both}"
        return _TASK.substitute(told=_TOLD[self.compare], guard=NOT_AN_INSTRUCTION, texts=both)

    def _text(self, record: Record) -> str:
        texts = shown(record)
        return texts if self.compare == "record" else fenced(record["answer"])

    def grade(self, scores: Scores) -> float:
        """0.5 for a win, -0.5 for a loss."""
        return scores["preference"] - _TIE


def _question(record: Record) -> str:
    return "\n\n".join(part for part in (record["title"], record["question"]) if (part or "").strip())
