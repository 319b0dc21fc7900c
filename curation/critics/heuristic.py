"""Scores a record by what can be counted, without asking a model: length, copying, relevance and repetition."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from functools import lru_cache
from typing import ClassVar, Final

from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.encoder import EMBEDDED, Encoder
from curation.core.errors import RecordError
from curation.core.records import Record
from curation.core.vectors import Vectors

_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")
_DECIMALS: Final = 4  # what is behind them differs between kinds of processors


class Heuristic(Critic):
    """Four scores; it has no opinion of quality, so its `grade` is neutral.

    - `length_ratio`: words of the question for each word of the parent's question.
    - `copy_distance`: share of words, in their order, that the question and the parent's do not have in common;
      case and punctuation count for nothing. 0: a copy; 1: no word in common.
    - `relevance`: cosine of question and answer, -1 to 1.
    - `repetition`: share of the runs of three words that have occurred before, in the question or in the answer,
      whichever repeats itself more; 0 to 1.

    The first two are absent without a parent. A rule that drops what no one would keep:
    `copy_distance < 0.02 or length_ratio < 0.5 or length_ratio > 2 or relevance < 0.2 or repetition > 0.3`.

    Args:
        encoder: the model of `core.encoder` behind `relevance`.
        device: where it runs, `cpu` or `gpu`. Records are judged one by one, so a GPU gains nothing here.
    """

    needs_model: ClassVar[bool] = False

    def __init__(self, encoder: str = EMBEDDED, device: str = "cpu") -> None:
        Encoder(encoder, device)  # refuses wrong arguments now, and loads nothing yet
        self.encoder = encoder
        self.device = device

    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        """The scores of `record`.

        Raises:
            RecordError: `unscorable`: it has no question, or no answer.
        """
        question, answer = record["question"] or "", record["answer"] or ""
        words, answer_words = _words(question), _words(answer)
        if not words or not answer_words:
            raise RecordError("unscorable", f"there is no {'answer' if words else 'question'} to score")
        scores = {
            "relevance": self._cosine(question, answer),
            "repetition": max(_repetition(words), _repetition(answer_words)),
        }
        parent_words = _words(parent["question"] or "") if parent else []
        if parent_words:
            scores["length_ratio"] = len(words) / len(parent_words)
            scores["copy_distance"] = 1 - SequenceMatcher(None, parent_words, words, autojunk=False).ratio()
        return {name: round(score, _DECIMALS) for name, score in scores.items()}

    def _cosine(self, question: str, answer: str) -> float:
        left, right = (_vector(self.encoder, self.device, text) for text in (question, answer))
        return float(left @ right)


@lru_cache(maxsize=4096)
def _vector(encoder: str, device: str, text: str) -> Vectors:
    """Kept for a while: the variants of a parent share its answer."""
    vector: Vectors = Encoder(encoder, device).encode([text])[0]
    return vector


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _repetition(words: list[str]) -> float:
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
