"""The heuristic critic: each score at its ends and in between, with a small encoder of our own and the real one."""

from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from curation.core import records
from curation.core.contracts import Scores
from curation.core.errors import PlanError, RecordError
from curation.core.registry import Spec
from curation.core.rules import Rule
from curation.core.vectors import Vectors
from curation.critics import heuristic
from curation.critics.heuristic import Heuristic

QUESTION = "my landlord keeps the deposit because of a stain on the carpet may he do that"
ANSWER = "a landlord may keep only what the repair of the stain costs and must return the rest of the deposit"

LANGUAGES = (
    "may the landlord keep the deposit for a stain that was not there when I moved in",
    "darf der Vermieter die Kaution behalten und ist das auch mit einem Fleck erlaubt",
    "le propriétaire peut-il garder la caution pour une tache qui est dans le salon avec les meubles",
    "puede el dueño quedarse con la fianza por una mancha que no es del inquilino y los muebles",
    "может ли хозяин удержать залог за пятно на ковре",
    "房东可以因为地毯上的污渍扣留押金吗",
    "هل يجوز للمالك الاحتفاظ بالتأمين",
)


class WordCounts:
    """Vectors of how often each of some words occurs: texts without a common word are orthogonal."""

    words = ("landlord", "deposit", "stain", "carpet", "beer")
    encoded: list[str]

    def __init__(self, model: str = "", device: str = "") -> None:
        self.model = model

    def encode(self, texts: Sequence[str]) -> Vectors:
        type(self).encoded += texts
        counts = np.array([[text.lower().count(word) for word in self.words] for text in texts], dtype=np.float32)
        unit: Vectors = counts / np.linalg.norm(counts, axis=1, keepdims=True)
        return unit


@pytest.fixture(autouse=True)
def _no_vectors_of_other_tests() -> Iterator[None]:
    heuristic._vector.cache_clear()
    yield
    heuristic._vector.cache_clear()


@pytest.fixture
def word_counts(monkeypatch: pytest.MonkeyPatch) -> type[WordCounts]:
    WordCounts.encoded = []
    monkeypatch.setattr(heuristic, "Encoder", WordCounts)
    return WordCounts


def judge(question: Any, answer: Any = ANSWER, parent: Any = None) -> Scores:
    record = records.human("child", question=question, answer=answer)
    origin = None if parent is None else records.human("parent", question=parent, answer=ANSWER)
    return asyncio.run(Heuristic().judge(record, origin, None))


@pytest.mark.usefixtures("word_counts")
class TestCounting:
    def test_a_copy(self) -> None:
        assert judge(QUESTION, parent=QUESTION)["copy_distance"] == 0
        assert judge(QUESTION, parent=QUESTION)["length_ratio"] == 1

    def test_case_punctuation_and_spacing_are_still_a_copy(self) -> None:
        assert judge(QUESTION.upper().replace(" THE", ",  the") + "?", parent=QUESTION)["copy_distance"] == 0

    def test_no_word_in_common(self) -> None:
        assert judge("any beer stain now", parent="quite another topic entirely")["copy_distance"] == 1

    def test_one_word_of_eight_changed(self) -> None:
        scores = judge("one two beer four five six seven eight", parent="one two three four five six seven eight")
        assert scores["copy_distance"] == 0.125

    def test_length_ratio(self) -> None:
        assert judge("beer " * 30, parent="beer " * 20)["length_ratio"] == 1.5
        assert judge("a don't beer", parent=f"{QUESTION} " * 2)["length_ratio"] == round(3 / 32, 4)

    @pytest.mark.parametrize("parent", [None, "", " …"])
    def test_without_a_parents_words_there_is_nothing_to_compare(self, parent: str | None) -> None:
        assert set(judge(QUESTION, parent=parent)) == {"relevance", "repetition", "overlap"}

    def test_repetition(self) -> None:
        assert judge(QUESTION)["repetition"] == 0
        assert judge("one beer")["repetition"] == 0
        assert judge("the beer is good " * 10)["repetition"] == round(34 / 38, 4)

    def test_repetition_of_the_answer_counts_as_well(self) -> None:
        assert judge(QUESTION, answer="the beer is good " * 10)["repetition"] == round(34 / 38, 4)

    def test_relevance(self) -> None:
        assert judge("landlord deposit", answer="deposit landlord")["relevance"] == 1
        assert judge("landlord deposit", answer="beer")["relevance"] == 0
        assert judge("landlord", answer="landlord deposit")["relevance"] == round(2**-0.5, 4)

    def test_overlap(self) -> None:
        assert judge("may the landlord keep beer", answer="The landlord: beer!")["overlap"] == 0.5
        assert judge("the landlord", answer="beer of the landlord")["overlap"] == 1
        assert judge("landlord", answer="the beer")["overlap"] == 0
        assert judge("is it beer", answer="beer")["overlap"] == 0.5
        assert judge("is that beer", answer="beer is that")["overlap"] == 1

    @pytest.mark.parametrize("index", range(len(LANGUAGES)))
    def test_same_language(self, index: int) -> None:
        for other, text in enumerate(LANGUAGES):
            scores = judge(f"{text} beer", parent=f"{LANGUAGES[index]} beer")
            assert scores["same_language"] == float(index == other), text

    def test_the_answers_language_counts_as_well(self) -> None:
        assert judge(QUESTION, answer=f"{LANGUAGES[1]} beer", parent=QUESTION)["same_language"] == 0

    @pytest.mark.parametrize("text", ["beer", "stain 12 34", "42 carpet!"])
    def test_where_too_little_tells_the_language_is_the_same(self, text: str) -> None:
        assert judge(text, parent=QUESTION)["same_language"] == 1
        assert judge(QUESTION, parent=text)["same_language"] == 1

    def test_a_text_is_encoded_once(self, word_counts: type[WordCounts]) -> None:
        for question in ("landlord", "deposit", "landlord"):
            judge(question)
        assert sorted(word_counts.encoded) == sorted(["landlord", ANSWER, "deposit"])

    @pytest.mark.parametrize(
        ("question", "answer", "missing"),
        [(None, ANSWER, "question"), ("!?", ANSWER, "question"), (QUESTION, "", "answer")],
    )
    def test_nothing_to_score(self, question: str | None, answer: str, missing: str) -> None:
        with pytest.raises(RecordError, match=f"there is no {missing}") as caught:
            judge(question, answer)
        assert caught.value.reason == "unscorable"

    def test_scores_are_plain_numbers_that_the_documented_rule_can_read(self) -> None:
        found = re.search(r"`(copy_distance < .*?)`", Heuristic.__doc__ or "", re.DOTALL)
        assert found
        rule = Rule.parse(found[1])
        good = judge(QUESTION, parent="may my landlord keep the whole deposit for one small stain on an old carpet")
        assert all(type(score) is float for score in good.values())
        assert rule.failing(good) is None
        assert rule.failing(judge(QUESTION, parent=QUESTION)) == "copy_distance < 0.02"
        assert rule.failing(judge(QUESTION * 9, parent=QUESTION)) == "length_ratio > 2"


def test_the_embedded_encoder_tells_an_answer_from_another_topic() -> None:
    own = judge(QUESTION)["relevance"]
    other = judge(QUESTION, answer="the beans were roasted in a drum for twelve minutes until the first crack")[
        "relevance"
    ]
    assert own > 0.5
    assert other < 0.2


def test_it_has_no_opinion_of_quality() -> None:
    assert Heuristic().grade({"relevance": 0.9, "repetition": 0.0}) == 0.0
    assert not Heuristic.needs_model


def test_a_wrong_device_is_a_fault_of_the_plan() -> None:
    with pytest.raises(PlanError, match="cpu or gpu, not 'tpu'"):
        Spec("critic", "heuristic", {"device": "tpu"}).create()


def test_it_pickles_with_its_arguments() -> None:
    assert vars(pickle.loads(pickle.dumps(Heuristic()))) == {"encoder": "embedded", "device": "cpu"}
