"""What tells a script and a language, and what does not."""

from __future__ import annotations

import json

import pytest

from curation.core.language import LANGUAGES, language_of, other_than, words_of
from tests.shared_data import shared_data

TEXTS = {
    "en": "may the landlord keep the deposit for a stain that was not there when I moved in with all of my furniture",
    "de": "darf der Vermieter die Kaution behalten und ist das auch mit einem Fleck erlaubt der schon da war",
    "fr": "le propriétaire peut-il garder la caution pour une tache qui est dans le salon avec les meubles",
    "es": "puede el dueño quedarse con la fianza por una mancha que no es del inquilino y los muebles de antes",
    "it": "il proprietario può tenere la cauzione per una macchia che era già sul tappeto quando sono entrato in casa",
    "pt": "o proprietário pode ficar com o depósito por causa de uma mancha que já estava no tapete quando eu me mudei",
    "nl": "mag de verhuurder de borg houden voor een vlek in het tapijt die er al was toen ik hier vorig jaar kwam",
}
UNKNOWN = {
    "Swedish": "jag undrar om min hyresvärd får behålla depositionen efter flytten eftersom mattan hade fläckar redan "
    "tidigare och hela lägenheten såg sliten ut",
    "Polish": "zastanawiam się czy właściciel może zatrzymać kaucję za plamę na dywanie która była tam już kiedy się "
    "wprowadziłem w zeszłym roku",
    "Turkish": "ev sahibim halıdaki leke için depozitomu tutabilir mi diye merak ediyorum çünkü leke ben taşındığımda "
    "zaten oradaydı ve fotoğrafım var",
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_languages_are_told_from_each_other(name: str) -> None:
    assert language_of(TEXTS[name]) == ("LATIN", name)
    assert other_than(TEXTS[name], LANGUAGES) == ""
    for other in LANGUAGES:
        assert bool(other_than(TEXTS[name], [other])) is (name != other)


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_a_language_that_is_not_known_is_none_of_them(text: str) -> None:
    assert other_than(text, ["en"]) == "it has too few function words"


@pytest.mark.parametrize(
    ("text", "script"),
    [("может ли хозяин удержать залог", "CYRILLIC"), ("房东可以扣留押金吗", "CJK"), ("カタカナ", "CJK"), ("", "")],
)
def test_scripts(text: str, script: str) -> None:
    assert language_of(text) == (script, "")
    assert other_than(text, ["en", "de"]) == (f"its script is {script}" if script else "")


@pytest.mark.parametrize("text", ["", "42 §", "Beer as a drink", "Landlord keeps deposit", "Kaution weg?"])
def test_where_too_little_tells_any_language_may_be_meant(text: str) -> None:
    assert other_than(text, ["en"]) == ""


def test_a_word_of_another_language_does_not_make_a_text_one() -> None:
    assert other_than(f"{TEXTS['en']} – as my lawyer says, der Mieter und die Kaution", ["en"]) == ""


def test_words() -> None:
    assert words_of("I don't, DO you?") == ["i", "don't", "do", "you"]


@pytest.mark.slow
def test_english_posts_are_english() -> None:
    files = sorted((shared_data() / "stackexchange").glob("*.json"))
    titles = [row["question_title"] for file in files for row in json.loads(file.read_text())]
    assert len(titles) > 500
    assert [title for title in titles if other_than(title, ["en"])] == []
