"""Scores a record by what can be counted, without asking a model: length, copying, relevance, repetition, language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import ClassVar, Final

from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.encoder import EMBEDDED, Encoder
from curation.core.errors import RecordError
from curation.core.language import FUNCTION_WORDS, language_of, words_of
from curation.core.ratings import Scale
from curation.core.records import Record
from curation.core.vectors import Vectors

_DECIMALS: Final = 4  # what is behind them differs between kinds of processors
_told = lru_cache(maxsize=4096)(language_of)  # the variants of a parent are compared with the same texts


class Heuristic(Critic):
    """Six scores; it has no opinion of quality, so its `grade` is neutral.

    - `length_ratio`: words of the question for each word of the parent's question.
    - `copy_distance`: share of words, in their order, that the question and the parent's do not have in common;
      case and punctuation count for nothing. 0: a copy; 1: no word in common.
    - `relevance`: cosine of question and answer, -1 to 1.
    - `repetition`: share of the runs of three words that have occurred before, in the question or in the answer,
      whichever repeats itself more; 0 to 1.

    - `overlap`: share of the question's words, function words aside, that the answer takes up; 0 to 1.
    - `same_language`: 0 where the question or the answer is in another language than the parent's, 1 where not, or
      where too little tells: languages are told by their script, and seven that Latin letters write by function words.

    The first two, and the last, are absent without a parent. A rule that drops what no one would keep:
    `copy_distance < 0.02 or length_ratio < 0.5 or length_ratio > 2 or relevance < 0.2 or repetition > 0.3`.

    Args:
        encoder: the model of `core.encoder` behind `relevance`.
        device: where it runs, `cpu` or `gpu`. Records are judged one by one, so a GPU gains nothing here.
    """

    needs_model: ClassVar[bool] = False

    @property
    def gives(self) -> Mapping[str, Scale | None]:
        """The six; of them `same_language` alone is a whole number."""
        measures = ("length_ratio", "copy_distance", "relevance", "repetition", "overlap")
        return {**dict.fromkeys(measures), "same_language": (0, 1)}

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
        words, answer_words = words_of(question), words_of(answer)
        if not words or not answer_words:
            raise RecordError("unscorable", f"there is no {'answer' if words else 'question'} to score")
        scores = {
            "relevance": self._cosine(question, answer),
            "repetition": max(_repetition(words), _repetition(answer_words)),
            "overlap": _overlap(words, answer_words),
        }
        parent_words = words_of(parent["question"] or "") if parent else []
        if parent_words:
            scores["length_ratio"] = len(words) / len(parent_words)
            scores["copy_distance"] = 1 - SequenceMatcher(None, parent_words, words, autojunk=False).ratio()
            assert parent is not None
            pairs = ((record[name] or "", parent[name] or "") for name in ("question", "answer"))
            scores["same_language"] = float(not any(_speak_differently(text, other) for text, other in pairs))
        return {name: round(score, _DECIMALS) for name, score in scores.items()}

    def _cosine(self, question: str, answer: str) -> float:
        left, right = (_vector(self.encoder, self.device, text) for text in (question, answer))
        return float(left @ right)


@lru_cache(maxsize=4096)
def _vector(encoder: str, device: str, text: str) -> Vectors:
    """Kept for a while: the variants of a parent share its answer."""
    vector: Vectors = Encoder(encoder, device).encode([text])[0]
    return vector


def _repetition(words: list[str]) -> float:
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _overlap(words: Sequence[str], answer_words: Sequence[str]) -> float:
    asked = set(words) - FUNCTION_WORDS or set(words)
    return len(asked & set(answer_words)) / len(asked)


def _speak_differently(text: str, other: str) -> bool:
    """Whether two texts are in different scripts, or in two languages that are both told by their function words."""
    (script, language), (other_script, other_language) = _told(text), _told(other)
    is_other_script = bool(script and other_script) and script != other_script
    return is_other_script or (bool(language and other_language) and language != other_language)
