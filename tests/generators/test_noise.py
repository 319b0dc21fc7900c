"""The noise generator: what it changes, what it never touches, and that it does the same in every run."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
from collections import Counter
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.core import records
from curation.core.encoder import Encoder
from curation.core.errors import PlanError, RecordError
from curation.core.registry import Spec
from curation.generators._noisers_draws import Draws
from curation.generators._protected import MAX_CHARACTERS, is_masked, mask, unmask
from curation.generators.noise import CONTEXT_NOISERS, DEFAULTS, MAX_WORDS, NOISERS, Noise
from tests.shared_data import shared_data

QUESTION = (
    "My landlord, Mr. Smith, gave me a section 21 notice on 14 March 2023 and asks for £1,200.50 within 14 days. "
    "The kitchen ceiling has been leaking since the autumn, and the heating does not work in the bedrooms. "
    "I have reported both defects by e-mail to repairs@homes.example several times, however nobody came to look. "
    "A neighbour told me that tenants do not have to pay the full rent while a flat is in such a state. "
    "Can a landlord claim the whole amount although the repairs were never carried out? Thanks a lot."
)

LAW_LIKE = {
    "Must rent be paid in full when repairs were never done?": QUESTION,
    "Private sale of a van with a broken gearbox: is the advertisement binding?": (
        "I bought a second-hand van from a private seller who described it as being in perfect working order. "
        "Three days later the gearbox failed, and the garage says the fault must have been there for months. The "
        "seller refuses to answer my messages. There is no written contract, only the advertisement and a receipt "
        "for $4,300. Does the description in the advertisement bind the seller, or was it my own duty to have the "
        "vehicle inspected?"
    ),
    "Can an employer change shifts without consent in Ontario?": (
        "My employer in Ontario changed the shift pattern without asking anybody, so that I now work every Sunday. "
        'My contract says that working hours are set "by mutual agreement", but the manager insists that business '
        "needs come first. I have been with the company for six years and never signed an amendment. Is the change "
        "valid, and could I refuse the new shifts without risking a dismissal for cause?"
    ),
    "Neighbour's camera films our garden: what can we do?": (
        "Our neighbour has installed a camera that overlooks most of our garden, including the place where the "
        "children play. We asked him politely to turn it a little, and he told us that he may film whatever he can "
        "see from his own property. Under Art. 6(1)(f) GDPR there seems to be some balancing of interests. What "
        "steps should we take before going to court, and who would have to prove that the recordings are "
        "necessary?"
    ),
    "Damages for commercial use of a photograph under a non-commercial licence": (
        "A friend of mine published photographs on her website under a Creative Commons licence that forbids "
        "commercial use. A small newspaper printed one of them beside an article and did not mention her name. "
        "When she complained, the editor offered a free subscription. She would rather be paid a reasonable fee. "
        "How is the damage usually calculated in such a case, and does it matter that the newspaper is distributed "
        "free of charge?"
    ),
    "Who inherits the proceeds of a house sold after the will was written?": (
        "My grandmother wrote a will by hand two years ago and left the house to my sister and the savings to me. "
        "Since then she has sold the house and moved to a nursing home, and the money from the sale lies in her "
        "bank account. She is no longer able to make decisions by herself. Would the proceeds of the sale belong "
        "to my sister's share or to mine, and can anybody still correct the document?"
    ),
}

PROTECTED = (
    "`rm -rf ./build`",
    "some_long_identifier",
    "WordCountFilter",
    "/etc/hosts.allow",
    "C:\\temp\\lease.pdf",
    "£1,200.50",
    "€300",
    "14 days",
    "3.5 %",
    "14 March 2023",
    "2023-03-14",
    "two weeks",
    "https://law.example/act?id=12&part=b",
    "clerk.office@court.example",
    "§ 12",
    "s 21",
    "Art. 6(1)(f)",
    "section 1983",
    "18 U.S.C. § 1030",
    "Smith v Jones [2001] 1 AC 123",
    "Carter v. Reed (1998)",
    '"pay now. Or leave."',
    "“the tenant shall not sublet”",
    "'as is, without warranty'",
    "GDPR",
    "New Zealand",
    "Bank of England",
    "Smith v. Jones, 123 U.S. 456",
    "§ 230",
    "[1]",
    "pip install requests",
    "ls -la | grep lease",
    "Tribunal",
    "$x_1 + y$",
)
CODE = "    for item in lease:\n        item.sign( )"
PLAIN = (
    "the landlord has kept the whole deposit, which is not what the contract says",
    "my employer wants to change the working hours, and I do not agree with that",
    "they're telling everyone that the garden can't be used during the summer",
    "I am worried about the neighbour's fence because it is leaning over the path",
    "we have been waiting for an answer from the insurance company",
    "thank you all in advance for reading such a long question",
    "sorry about the wording",
)


def expand(question: Any, identifier: str = "a-1", round_number: int | None = None, **arguments: Any) -> list[Any]:
    record = records.human(identifier, title="A title", question=question, answer="An answer")
    if round_number is not None:
        record["_round"] = round_number
    return asyncio.run(Noise(**arguments).expand(record, None))


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text of plain and protected pieces, and the protected pieces in it."""
    sentences, used = [], []
    for _ in range(draw(st.integers(1, 12))):
        plain = draw(st.sampled_from(PLAIN))
        if draw(st.booleans()):
            piece = draw(st.sampled_from(PROTECTED))
            used.append(piece)
            place = draw(st.integers(1, plain.count(" ")))  # at a start, one capital alone is a sentence's
            words = plain.split(" ")
            plain = " ".join([*words[:place], piece, *words[place:]])
        capital = draw(st.booleans())
        sentences.append((plain[0].upper() + plain[1:] if capital else plain) + draw(st.sampled_from(".?!")))
        if draw(st.integers(0, 5)) == 0:
            sentences.append("\n" + CODE + "\n")
            used.append(CODE)
    joints = [draw(st.sampled_from((" ", "  ", "\n", "\n\n"))) for _ in sentences]
    return "".join(part for pair in zip(sentences, joints, strict=True) for part in pair).strip("\n "), used


@settings(max_examples=100, deadline=None)
@given(texts(), st.integers(0, 2**32), st.sampled_from((0.1, 0.5, 1.0)))
def test_protected_spans_survive(case: tuple[str, list[str]], seed: int, strength: float) -> None:
    text, used = case
    assert_kept(text, used, expand(text, noisers=[*NOISERS], seed=seed, strength=strength))
    for draft in expand(text, variants=2, seed=seed, strength=strength):
        variant = draft["question"]
        assert {piece: variant.count(piece) for piece in used} == {piece: text.count(piece) for piece in used}
        assert Counter(re.findall(r"\d+", variant)) == Counter(re.findall(r"\d+", text))
        assert variant.count("?") == text.count("?")
        assert not is_masked(variant)


def assert_kept(text: str, used: list[str], drafts: list[Any]) -> None:
    for draft in drafts:
        variant = draft["question"]
        assert {piece: variant.count(piece) for piece in used} == {piece: text.count(piece) for piece in used}
        assert not is_masked(variant)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300) | texts().map(lambda case: case[0]))
def test_unmask_reverses_mask(text: str) -> None:
    masked, spans = mask(text)
    assert unmask(masked, spans) == text
    assert not re.search(r"\d", masked)
    assert len(re.findall("[\x80-\x84\x86-\x9f\U000f0000-\U0010fffd]", masked)) == len(spans)


def test_private_use_characters_of_the_text_are_not_taken_for_placeholders() -> None:
    text = "a stray \U000f0001 and \U000f0000\ue000 in the text, with 12 and `code`, as scraped documents have them now"
    assert unmask(*mask(text)) == text
    variant = expand(text, strength=1.0)[0]["question"]
    assert re.findall("[\ue000-\uf8ff\U000f0000-\U0010fffd]", variant) == ["\U000f0001", "\U000f0000", "\ue000"]


@pytest.mark.parametrize("piece", PROTECTED)
def test_masks_as_one_span(piece: str) -> None:
    masked, spans = mask(f"they wrote about {piece} in the letter")
    assert any(piece in span for span in spans)
    assert masked.startswith("they wrote about ")
    assert masked.endswith(" in the letter")


def test_a_sentence_capital_is_no_name_but_a_name_at_a_sentence_start_is() -> None:
    text = "Rent is due. I pay it in London. London is dear. The Supreme Court agreed. NATO did too. MyClass. My_name."
    assert mask(text)[1] == ["London", "London", "The Supreme Court", "NATO", "MyClass", "My_name"]


@pytest.mark.parametrize("name", NOISERS)
def test_every_noiser_does_something(name: str) -> None:
    more = "Because of that I want to ask about both the fence and the path. Am I too late if the term has passed?"
    text = f"The roof leaks, and I'm tired.\n{QUESTION} {more}"
    if name in {"context", "reorder", "drop"}:
        text = QUESTION.replace("Thanks a lot.", "") if name == "context" else QUESTION
    changed = [expand(text, identifier=str(number), noisers=[name], strength=1.0)[0] for number in range(20)]
    strategies = {draft["strategy"] for draft in changed if records.REASON not in draft}
    assert strategies == {f"noise:{name}"}
    assert any(draft["question"] != text for draft in changed)


def outcomes(name: str, text: str, strength: float = 1.0) -> set[str]:
    masked, spans = mask(text)
    return {unmask(NOISERS[name](masked, Draws(seed), strength), spans) for seed in range(60)}


@pytest.mark.parametrize(
    ("text", "variants"),
    [
        ("we do not know", {"we don't know"}),
        ("we don't know", {"we do not know"}),
        ("They will not pay and cannot stay", {"They won't pay and can't stay"}),
        ("They won't pay and can't stay", {"They will not pay and cannot stay"}),
        ("I'm sure they're late and we've paid, he'll see", {"I am sure they are late and we have paid, he will see"}),
        ("don't I have to pay, and I'mma ask", set()),
        ("I know what it is", set()),
        ("I have a dog and I have to go", set()),
    ],
)
def test_contractions(text: str, variants: set[str]) -> None:
    assert outcomes("contractions", text) - {text} == variants


def test_casing() -> None:
    text = "The rent is due. I'm late\nWhat now?"
    assert outcomes("casing", text) - {text} == {"the rent is due. i'm late\nwhat now?"}


def test_punctuation_keeps_question_marks() -> None:
    assert outcomes("punctuation", "Yes, we can't pay.\nCan we, now?") - {"Yes, we can't pay.\nCan we, now?"} == {
        "Yes we cant pay\nCan we now?"
    }


def test_typos_spare_short_words_first_and_last_letters_and_words_that_decide() -> None:
    text = "unless the employer cannot be trusted without a contract the premises never stay empty"
    for variant in outcomes("typos", text, strength=1.0):
        pairs = list(zip(text.split(), variant.split(), strict=True))
        changed = [(old, new) for old, new in pairs if old != new]
        assert {old for old, _ in changed} <= {"employer", "trusted", "premises"}
        assert all(old[0] == new[0] and old[-1] == new[-1] for old, new in changed)


@pytest.mark.parametrize(
    ("name", "text", "variants"),
    [
        ("spelling", "I received a lot.", {"I recieved alot."}),
        ("spelling", "Definitely, i think", {"Definately, i think", "Definitly, i think"}),
        ("synonyms", "Maybe an error, a big one", {"Perhaps an error, a large one"}),  # `an mistake` is never written
        ("register", "in order to get in touch", {"in order to make contact", "to get in touch"}),
        ("abbreviations", "the terms of service, please", {"the ToS, pls"}),
        ("abbreviations", "the terms, of service", set()),
        ("word_order", "Can I leave if the roof leaks badly?", {"If the roof leaks badly, can I leave?"}),
        ("word_order", "If the roof leaks badly, can I leave?", {"Can I leave if the roof leaks badly?"}),
        ("word_order", "I do not know if the roof leaks badly.", set()),
        ("word_order", "it is between the owner and the bank.", {"it is between the bank and the owner."}),
        ("speech", "their", {"there", "they're"}),
        ("ocr", "burn", {"bum", "bnrn", "biirn"} | {"hurn"}),
    ],
)
def test_words_change_as_the_tables_say(name: str, text: str, variants: set[str]) -> None:
    found = outcomes(name, text) - {text}
    assert found <= variants
    assert bool(found) == bool(variants)


def test_ocr_misreads_shapes_and_spares_names() -> None:
    words = "modern London hotel"
    for variant in outcomes("ocr", words):
        assert variant.split()[1] == "London"
        assert variant != words


def test_speech_adds_fillers_between_words() -> None:
    text = " ".join(["garden"] * 40)
    assert all(set(re.findall("garden", variant)) == {"garden"} for variant in outcomes("speech", text))
    assert any("um," in variant for variant in outcomes("speech", text))


def test_a_rate_for_each_noiser() -> None:
    text = "Rent, heating and repairs are due. We received a lot of letters."
    off = expand(text, variants=20, noisers={"casing": 1.0, "typos": 0, "spelling": 0.0})
    assert {draft["strategy"] for draft in off} == {"noise:casing"}
    one = expand(text, variants=4, noisers={"spelling": 1.0})
    assert {draft["question"].count("recieved") for draft in one} == {1}


def test_the_default_noisers_are_known_and_shares() -> None:
    assert set(DEFAULTS) <= set(NOISERS)
    assert set(NOISERS) - set(DEFAULTS) == {"ocr", "speech"}
    assert all(0 < share <= 1 for share in DEFAULTS.values())


def test_terms_of_the_plan_stay() -> None:
    text = "the quiet enjoyment of premises was disturbed by enormous quiet enjoyment problems every evening"
    for draft in expand(
        text, variants=20, terms=["quiet enjoyment"], noisers=["typos", "ocr", "synonyms"], strength=1.0
    ):
        assert draft["question"].count("quiet enjoyment") == 2


def test_abbreviations_of_the_plan_come_beside_and_before_our_own() -> None:
    own = {"Purchase Order": "PO", "terms of service": "T.o.S.", "terms of sale": "ToSale"}
    text = "a purchase order, terms of sale and terms of service of a company"
    assert (
        expand(text, noisers={"abbreviations": 1.0}, abbreviations=own)[0]["question"]
        == "a PO, ToSale and T.o.S. of a co"
    )


CONTEXT = (
    "The deposit is returned within a month. It was raining all day yesterday. Section 12 applies to gardens. "
    "Nothing grows there in winter. The birds sing."
)


def contexts(name: str, context: str | None = CONTEXT, **arguments: Any) -> list[Any]:
    record = records.human("a-1", question="May he keep it?", answer="The deposit is due.", context=context)
    return asyncio.run(Noise(noisers={name: 1.0}, variants=20, **arguments).expand(record, None))


def test_context_shuffle_moves_whole_sentences() -> None:
    drafts = contexts("context_shuffle")
    assert {tuple(sorted(re.findall(r"[^.]+\.", f" {draft['context']}"))) for draft in drafts} == {
        tuple(sorted(re.findall(r"[^.]+\.", f" {CONTEXT}")))
    }
    assert len({draft["context"] for draft in drafts}) > 5
    assert {draft["question"] for draft in drafts} == {"May he keep it?"}
    assert "noise:context_shuffle" in {draft["strategy"] for draft in drafts}


def test_context_drop_keeps_what_the_answer_rests_on() -> None:
    for draft in contexts("context_drop"):
        assert draft["strategy"] == "noise:context_drop"
        assert "The deposit is returned within a month." in draft["context"]
        assert "Section 12" in draft["context"]
        assert len(draft["context"]) < len(CONTEXT)


@pytest.mark.parametrize("name", CONTEXT_NOISERS)
@pytest.mark.parametrize("context", [None, " ", "One sentence."])
def test_a_record_without_a_context_to_change_is_rejected(name: str, context: str | None) -> None:
    assert {draft[records.REASON] for draft in contexts(name, context)} == {"unchanged"}


def test_blocks_of_a_shuffled_context_stay_on_their_lines() -> None:
    block = "    for item in lease:\n        item.sign()"
    for draft in contexts("context_shuffle", f"We sign. They do not.\n{block}\nThat is all. Nobody came."):
        assert f"\n{block}\n" in draft["context"]


def test_a_context_that_is_too_long_goes_to_the_ledger() -> None:
    with pytest.raises(RecordError) as caught:
        contexts("context_drop", "a " * MAX_CHARACTERS)
    assert caught.value.reason == "too_long"


GOLDEN: Final = (
    (
        "noise:casing+context+ocr+punctuation+spacing+speech+synonyms+typos",
        "Hello, 1ong time reaer. My landlord has not got the payment due to well a mistake."
        " Can he terminate the agreement now? any pointer5 wood be  much appreciated.",
    ),
    (
        "noise:abbreviations+casing+context+ocr+punctuation+spacing+synonyms+typos",
        "hi every0ne, I attempted to look it up but the pages i found left me more confused. my landlird"
        " has not received the  pwyment due to a mistake. Can he terminate the agmt now?"
        " Sorry for the long p0st and tbanks",
    ),
)


def test_the_same_bytes_on_every_machine() -> None:
    text = "My landlord has not received the payment, because of a mistake. Can he terminate the agreement now?"
    drafts = expand(text, noisers=[*NOISERS], seed=3, variants=2)
    assert tuple((draft["strategy"], draft["question"]) for draft in drafts) == GOLDEN


def test_draws_are_even() -> None:
    rng = Draws(2**63)
    numbers = [rng.random() for _ in range(10_000)]
    assert 0 <= min(numbers) < 0.001
    assert 0.999 < max(numbers) < 1
    assert abs(np.mean(numbers) - 0.5) < 0.01
    assert sorted(rng.shuffled(range(9))) == [*range(9)]
    assert {rng.choice("abc") for _ in range(50)} == set("abc")


def test_reorder_puts_a_question_that_stands_alone_first() -> None:
    text = "I rent a flat. The owner sold the house. Does a sale end a lease?"
    assert {" ".join(variant.split()) for variant in outcomes("reorder", text)} == {
        "Does a sale end a lease? I rent a flat. The owner sold the house."
    }


@pytest.mark.parametrize(
    "text",
    [
        "I rent a flat. The owner sold the house. Does that end a lease?",  # leans on what was said
        "I rent a flat. Does a sale end a lease? It seems unfair to me.",  # is leant on
        "Hello, I rent a flat. Does a sale end a lease?",  # would come before the greeting
        "I rent a flat. Does a sale end a lease? Does a gift end a lease?",
        "I rent a flat. The owner sold the house.",
    ],
)
def test_reorder_leaves_what_leans_on_order(text: str) -> None:
    assert outcomes("reorder", text) == {text}


def test_drop_leaves_out_pleasantries_alone() -> None:
    assert outcomes("drop", QUESTION) == {QUESTION.removesuffix(" Thanks a lot.")}
    story = QUESTION.replace("Thanks a lot.", "Sorry, but I paid. Thanks for 3 answers. Is an apology needed, thanks?")
    assert outcomes("drop", story) == {story}


def test_drop_keeps_a_short_text_whole() -> None:
    text = "I rent a flat and the roof leaks. May I pay less? Thanks a lot."
    assert outcomes("drop", text) == {text}


def test_drop_keeps_code_on_lines_of_its_own() -> None:
    assert outcomes("drop", f"{QUESTION}\n{CODE}") == {QUESTION.removesuffix(" Thanks a lot.") + f"\n{CODE}"}


def test_context_sets_code_apart() -> None:
    variants = outcomes("context", CODE)
    assert len(variants) > 1
    assert all(f"\n{CODE}\n" in f"\n{variant}\n" for variant in variants)


@pytest.mark.parametrize("words", [49, 50, 51, 60, 61, 498, 500, 501])
def test_stays_within_the_bounds_of_word_filters(words: int) -> None:
    text = " ".join((QUESTION * 8).replace(".M", ". M").replace(".T", ". T").split()[:words])
    for number in range(30):
        length = len(expand(text, identifier=str(number), strength=1.0)[0]["question"].split())
        assert min(words, 60) <= length <= max(words, MAX_WORDS)


def test_a_draft_has_its_lineage_and_leaves_title_and_answer_alone() -> None:
    drafts = expand(QUESTION, variants=3)
    assert len({draft["question"] for draft in drafts} | {QUESTION}) == 4
    for draft in drafts:
        assert set(draft) == {"question", "strategy", "model", "prompt_id"}
        assert draft["model"] is None
        assert draft["prompt_id"] is None
        applied = draft["strategy"].removeprefix("noise:").split("+")
        assert applied == sorted(applied)
        assert set(applied) <= set(NOISERS)


def test_the_same_seed_record_and_round_give_the_same_drafts() -> None:
    assert expand(QUESTION, variants=3, round_number=2) == expand(QUESTION, variants=3, round_number=2)
    assert expand(QUESTION, variants=3)[:2] == expand(QUESTION, variants=2)
    assert expand(QUESTION) == expand(QUESTION, round_number=0)


@pytest.mark.parametrize("change", [{"round_number": 1}, {"seed": 1}, {"identifier": "a-2"}])
def test_another_seed_record_or_round_gives_another_draft(change: dict[str, Any]) -> None:
    assert expand(QUESTION, **change)[0]["question"] != expand(QUESTION)[0]["question"]


def test_variants_are_no_near_duplicates_and_still_mean_the_same() -> None:
    parents = [f"{title}\n{question}" for title, question in LAW_LIKE.items()]
    variants = [f"{title}\n{expand(question)[0]['question']}" for title, question in LAW_LIKE.items()]
    cosines = np.sum(Encoder().encode(parents) * Encoder().encode(variants), axis=1)
    assert 0.9 < np.median(cosines) < 0.97
    assert cosines.min() > 0.75
    assert np.mean(cosines < 0.97) >= 0.6


@pytest.mark.slow
def test_real_questions_keep_their_numbers_and_their_length() -> None:
    rows = json.loads((shared_data() / "stackexchange" / "beer.json").read_text())
    texts = [re.sub("<[^>]+>", "", row["question_body"]) for row in rows]
    for text in (text for text in texts if 50 <= len(text.split()) <= 500):
        variant = expand(text)[0]["question"]
        assert Counter(re.findall(r"\d+", variant)) == Counter(re.findall(r"\d+", text))
        assert 50 <= len(variant.split()) <= 500
        assert variant != text


def test_only_the_chosen_noisers_apply() -> None:
    draft = expand("Rent, heating and repairs are due", noisers=["casing"], strength=1.0)[0]
    assert draft["question"] == "rent, heating and repairs are due"
    assert draft["strategy"] == "noise:casing"


def test_a_question_that_is_all_protected_is_rejected_not_repeated() -> None:
    draft = expand("`ls -la`", noisers=["typos", "casing"])[0]
    assert draft[records.REASON] == "unchanged"


@pytest.mark.parametrize(
    ("question", "reason"),
    [(None, "empty_question"), (" \n", "empty_question"), ("a" * (MAX_CHARACTERS + 1), "too_long")],
)
def test_a_question_that_cannot_be_rewritten_goes_to_the_ledger(question: str | None, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        expand(question)
    assert caught.value.reason == reason


@pytest.mark.parametrize("unit", [" ", "\n", '"', "`", "'a ", "A ", "1", "\U000f0001", "a.b ", "! ", "    x\n", "i'm "])
def test_a_hostile_text_of_the_greatest_length_is_taken(unit: str) -> None:
    text = ("x" + unit * MAX_CHARACTERS)[:MAX_CHARACTERS]
    masked, spans = mask(text)
    assert unmask(masked, spans) == text
    assert expand(text)[0]["question"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noisers": ["tipos"]}, "no noiser is called 'tipos'. Did you mean 'typos'?"),
        ({"noisers": []}, "noisers must name at least one of: drop"),
        ({"noisers": {"typos": 1.5}}, "the rate of noiser 'typos' must be a number from 0 to 1, not 1.5"),
        ({"noisers": {"typos": True}}, "the rate of noiser 'typos' must be a number from 0 to 1, not True"),
        ({"noisers": {"tipos": 0.5}}, "no noiser is called 'tipos'. Did you mean 'typos'?"),
        ({"noisers": {"typos": 0}}, "noisers must give at least one of them a rate above 0"),
        ({"terms": "escrow"}, "terms must be words or phrases, none of them blank, not 'escrow'"),
        ({"terms": [" "]}, "terms must be words or phrases"),
        ({"abbreviations": {"purchase order": ""}}, "abbreviations must be words or phrases"),
        ({"variants": 0}, "variants must be at least 1, not 0"),
        ({"strength": 0}, "strength must be above 0 and at most 1, not 0"),
        ({"strength": 1.5}, "strength must be above 0 and at most 1, not 1.5"),
    ],
)
def test_wrong_arguments_are_faults_of_the_plan(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=re.escape(message)):
        Spec("generator", "noise", arguments).create()


def test_it_pickles_with_its_arguments() -> None:
    copy = pickle.loads(pickle.dumps(Noise(variants=2, strength=0.3, noisers=["typos"], seed=7)))
    expected = {"variants": 2, "strength": 0.3, "noisers": ["typos"], "seed": 7, "terms": (), "abbreviations": None}
    assert {name: getattr(copy, name) for name in expected} == expected
    assert not copy.needs_model
