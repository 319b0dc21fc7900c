from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.dedup.labelled import labelled
from curation.core.contrast import REASONS, contrast, firm_numbers
from curation.core.pairs import normalize
from tests.shared_data import shared_data

SENTENCE = "In 2 cups of coffee, is it legal to add 1,000 mg of caffeine before lunch or not? I don't think so."


def both_ways(one: str, other: str) -> str | None:
    """The contrast of two texts, which must not depend on which comes first."""
    found = contrast(one, other)
    assert contrast(other, one) == found
    return found


class TestNumbers:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Brew 5 cups", "Brew 6 cups"),
            ("Brew 5kg of beans", "Brew 50kg of beans"),
            ("Is 3.5 % enough?", "Is 35 % enough?"),
            ("Why Python 3.1?", "Why Python 3.10?"),
            ("Is -5 degrees cold?", "Is 5 degrees cold?"),
            ("2⁵ beans", "25 beans"),
            ("x² grows", "x³ grows"),
            ("Calculus I for engineers", "Calculus II for engineers"),
            ("the first amendment", "the second amendment"),
            ("two beers a day", "three beers a day"),
            ("one beer a day", "two beers a day"),
            ("a hundred beers", "a thousand beers"),
            ("Is it open on Monday?", "Is it open on Friday?"),
            ("since 5 May 2020", "since 5 June 2020"),
            ("2020-05-04", "2020-05-05"),
            ("at 5 am", "at 5 pm"),
            ("5 mg of caffeine", "5 g of caffeine"),
            ("for $5", "for €5"),
            ("Beer with 5 percent", "Beer"),
            ("Wie viel sind 5 Liter?", "Wie viel sind 6 Liter?"),
            ("咖啡 5 杯", "咖啡 6 杯"),
            ("5 + 5", "5"),
        ],
    )
    def test_other_numbers_are_a_contrast(self, one: str, other: str) -> None:
        assert both_ways(one, other) == "numbers"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("1,000 beers", "1000 beers"),
            ("a thousand beers", "1000 beers"),
            ("5 million beers", "5,000,000 beers"),
            ("1.5 million beers", "1,500,000 beers"),
            ("two hundred and five beers", "205 beers"),
            ("one thousand two hundred beers", "1,200 beers"),
            ("twenty-one pilots", "21 pilots"),
            ("zero calories", "0 calories"),
            ("the fifth bean", "the 5th bean"),
            ("5kg of beans", "5 kilograms of beans"),
            ("5.00 beers, please", "5 beers, please"),
            (".5 l of beer", "0.5 l of beer"),
            ("pages 3,5 and 7", "pages 3, 5 and 7"),
            ("May 5, 2020", "2020-05-05"),
            ("World War II", "World War 2"),
            ("1½ cups", "1 1/2 cups"),
            ("٥ beers", "5 beers"),
            ("which one is better", "which is better"),
            ("First of all, why?", "Why?"),
            ("1. grind\n2. brew", "grind\nbrew"),
            ("1. grind\n2. brew", "1. grind 2. brew"),
            ("(1) grind\n(2) brew", "3) grind\n4) brew"),
            ("5 beers, 6 wines", "6 wines, 5 beers"),
        ],
    )
    def test_equal_numbers_are_none(self, one: str, other: str) -> None:
        assert both_ways(one, other) is None


class TestNegation:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("Is it safe?", "Is it not safe?"),
            ("I can brew it", "I can't brew it"),
            ("I can brew it", "I cant brew it"),
            ("Coffee with milk", "Coffee without milk"),
            ("Is it legal to sell?", "Is it illegal to sell?"),
            ("Is it allowed?", "Is it forbidden?"),
            ("Do I drink it before lunch?", "Do I drink it after lunch?"),
            ("more light and more heat", "more light and less heat"),
            ("Does it increase acidity?", "Does it decrease acidity?"),
            ("May my landlord do that?", "May my tenant do that?"),
            ("sugar but not milk", "milk but not sugar"),
            ("It is always bitter", "It is never bitter"),
            ("I am not sure", "I am"),
        ],
    )
    def test_a_flipped_meaning_is_a_contrast(self, one: str, other: str) -> None:
        assert both_ways(one, other) == "negation"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("It isn't good", "It is not good"),
            ("I cannot brew", "I can't brew"),
            ("I can’t brew", "I can't brew"),
            ("This is not legal", "This is illegal"),
            ("This is not allowed", "This is forbidden"),
            ("This is possible", "This is not impossible"),
            ("whether or not to roast", "whether to roast"),
            ("No matter what I brew", "What I brew"),
            ("See no. 5 of the list", "See number 5 of the list"),
            ("Neither beer nor wine", "Neither beer or wine"),
            ("There was no hearing in court", "There was no court hearing"),
            ("Is it safe or unsafe to drink?", "Is it unsafe or safe to drink?"),
        ],
    )
    def test_the_same_meaning_is_none(self, one: str, other: str) -> None:
        assert both_ways(one, other) is None

    def test_its_words_count_in_english_alone(self) -> None:
        assert both_ways("Es ist in der Stadt nicht erlaubt", "Es ist in der Stadt erlaubt") is None
        assert both_ways("No es un vino de la casa", "Es un vino de la casa") is None


class TestOrder:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("How do I convert Celsius to Fahrenheit?", "How do I convert Fahrenheit to Celsius?"),
            ("degrees Celsius to degrees Fahrenheit", "degrees Fahrenheit to degrees Celsius"),
            ("Can a tenant sue a landlord?", "Can a landlord sue a tenant?"),
            ("Does coffee affect sleep?", "Does sleep affect coffee?"),
            ("The dog was bitten by Tom", "Tom was bitten by the dog"),
            ("Is 5 greater than 3?", "Is 3 greater than 5?"),
            ("number of cups per bottle", "number of bottles per cup"),
            ("from Rome to Paris", "to Rome from Paris"),
            ("the proof of the theorem", "the theorem of the proof"),
            ("How accurate is alcohol in beer?\nIf I get a beer", "How accurate is beer in alcohol?\nIf I get a beer"),
        ],
    )
    def test_exchanged_arguments_are_a_contrast(self, one: str, other: str) -> None:
        assert both_ways(one, other) == "order"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("In Germany, can I sue my landlord?", "Can I sue my landlord in Germany?"),
            ("Today in Berlin it rains", "It rains in Berlin today"),
            ("Before grinding, should I wash beans?", "Should I wash beans before grinding?"),
            ("Can I sell beer on Sundays in Germany?", "Can I sell beer in Germany on Sundays?"),
            ("the way from Rome to Paris", "the way to Paris from Rome"),
            ("What is the difference between ale and lager?", "What is the difference between lager and ale?"),
            ("Usually I drink coffee", "I drink coffee usually"),
            ("Celsius to Fahrenheit?", "celsius to fahrenheit"),
        ],
    )
    def test_moved_clauses_are_none(self, one: str, other: str) -> None:
        assert both_ways(one, other) is None

    def test_other_words_are_none(self) -> None:
        assert both_ways("tea to milk for a grey house cat", "milk to tea about some nice garden dog") is None


@given(st.text())
def test_a_text_does_not_contradict_itself(text: str) -> None:
    assert contrast(text, text) is None


@given(st.text(), st.text())
def test_it_is_symmetric_on_any_text(one: str, other: str) -> None:
    assert contrast(one, other) == contrast(other, one)


TABLES = "not no 5 five one first 2. a hundred and may before after safe unsafe to from by beer's"
words = st.sampled_from(TABLES.split())


@settings(max_examples=300)
@given(st.lists(words, max_size=12), st.lists(words, max_size=12))
def test_it_is_symmetric_on_the_words_of_its_tables(one: list[str], other: list[str]) -> None:
    assert both_ways(" ".join(one), " ".join(other)) in (None, *REASONS)


@settings(max_examples=300)
@given(st.lists(words, max_size=6), st.lists(words, max_size=6))
def test_other_firm_numbers_are_always_a_contrast(one: list[str], other: list[str]) -> None:
    texts = " ".join(one), " ".join(other)
    mine, theirs = map(firm_numbers, texts)
    if mine is not None and theirs is not None and mine != theirs:
        assert both_ways(*texts) == "numbers"


def test_numbers_that_count_against_others_only_are_not_firm() -> None:
    assert firm_numbers("5 beers and two wines") == ("2", "5")
    assert firm_numbers("no beer") == ()
    assert firm_numbers("first, 5 beers") is None


def test_case_and_sentence_marks_are_no_contrast() -> None:
    for edited in (SENTENCE.upper(), SENTENCE.lower(), normalize(SENTENCE), SENTENCE.replace("'", "’")):
        assert both_ways(SENTENCE, edited) is None


@pytest.mark.slow
@pytest.mark.parametrize("part", ["tune", "judge"])
def test_it_finds_contrasts_and_spares_duplicates_of_real_questions(part: str) -> None:
    shared_data()
    pairs = labelled(part)
    assert pairs == labelled(part)
    assert len(pairs) >= 500

    def share(*kinds: str) -> float:
        chosen = [pair for pair in pairs if pair.kind in kinds]
        return sum(contrast(pair.first, pair.second) is not None for pair in chosen) / len(chosen)

    assert share("case or punctuation edit", "one typo", "light paraphrase") < 0.03
    assert share("number changed") == 1
    assert share("polarity flipped") > 0.75
    assert share("arguments swapped") > 0.75
