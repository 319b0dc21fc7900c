"""What is protected from noise: each kind of span by examples, and that spans never hide each other."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.generators._protected import (
    _NUMBER_WORDS,
    _SPAN,
    _SPAN_WITHOUT_NUMERALS,
    _names_and_tokens,
    is_masked,
    mask,
    missing,
    unmask,
)

WHOLE = (
    "Smith v. Jones, 123 U.S. 456",
    "§ 230",
    "[1]",
    "[12, 13]",
    "Bank of England",
    "Department of the Treasury",
    "Marks and Spencer",
    "two hundred and fifty",
    "thirteen",
    "one million",
    "twenty-first",
    "--all",
    "``a `b` c``",
    "pip install requests",
    "sudo apt-get install nginx",
    "ls -la | grep lease",
    "rm -rf build",
    "git push --force",
    '"5 of us agreed to that"',
    "‘as is’",
)
LINES = (
    "```sh\ncurl because | then\n```",
    "~~~\nif this is not it\n~~~",
    "```\nnever closed, because",
    "    do not change\n    this either",
    "\tdo not change",
    "$ make it so",
    ">>> received = because",
    "user@host:~$ do this",
    "PS C:\\Users> do this",
    "> he wrote, because of that",
    "## Because of the rent",
    "docker because of this",
)


@pytest.mark.parametrize("piece", WHOLE)
@pytest.mark.parametrize("form", ["they wrote {} in it", "they wrote ({}) in it", "{}, they wrote", "it was\n{}\nso"])
def test_is_one_span_wherever_it_stands(piece: str, form: str) -> None:
    masked, spans = mask(form.format(piece))
    assert any(piece in span for span in spans)
    assert len(spans) == 1
    assert is_masked(masked)


@pytest.mark.parametrize("block", LINES)
def test_lines_of_code_and_quoted_lines_are_one_span(block: str) -> None:
    assert mask(f"we ran this:\n{block}")[1] == [block]


def test_a_block_keeps_its_lines_to_itself_though_names_stand_at_the_edge() -> None:
    text = "It is in Leeds\n    return Name\nLondon is far. So is London."
    assert mask(text)[1] == ["Leeds", "    return Name", "London", "London"]


@pytest.mark.parametrize(
    "text",
    [
        'In London "5 of us agreed to that" was said.',
        'He said ("5 of us agreed to that").',
        "See Art. 5 ```x=1 because\n``` there.",
        "In Leeds\n$ pip because\nwas run.",
        "In Leeds ```x=1\nagreed```",
    ],
)
def test_a_span_beside_another_one_stays_whole(text: str) -> None:
    assert not {"agreed", "because"} & set(mask(text)[0].split())


@pytest.mark.parametrize(
    "text", ["twofold is often done", "we can get it, and we make that", "i saw a cat; nobody cares"]
)
def test_prose_is_left_open(text: str) -> None:
    assert mask(text) == (text, [])


def test_terms_are_protected_in_any_case_and_over_line_ends() -> None:
    text = "We plead force\nmajeure and ESCROW, but no escrowed, and act of god notice period."
    terms = ["force majeure", "escrow", "act of god notice"]
    masked, spans = mask(text, terms)
    assert spans == ["force\nmajeure", "ESCROW", "act of god notice"]
    assert "escrowed" in masked


def test_the_longest_of_two_terms_counts() -> None:
    assert mask("the notice period ends", ["notice", "notice period"])[1] == ["notice period"]


def test_a_number_at_the_start_of_a_sentence_is_no_sentence_capital() -> None:
    assert mask("Two of them left. Thirteen stayed.")[1] == ["Two", "Thirteen"]


def test_a_name_elsewhere_makes_a_sentence_capital_a_name() -> None:
    assert mask("Leeds is far. We live in Leeds. Rent is due.")[1] == ["Leeds", "Leeds"]


@given(st.text(alphabet=" \n\t.,`'\"$>#-~aI1§\x80\x9f\U000f0000é“”", max_size=60), st.booleans())
def test_unmask_reverses_mask_for_hostile_signs(text: str, many: bool) -> None:
    text = text + " 1a" * (40 if many else 0)
    masked, spans = mask(text, ["a a"])
    assert unmask(masked, spans) == text
    assert "1" not in masked


def test_words_move_their_spans_with_them() -> None:
    masked, spans = mask("rent 12 and heat 13")
    assert unmask(" ".join(reversed(masked.split())), spans) == "13 heat and 12 rent"


@pytest.mark.parametrize(
    ("spans", "text", "lost"),
    [
        (["12", "§ 230"], "with 12, and (§\n230)", []),
        (["12"], "with 12.5, 112, 12th, £12 and -12", ["12"]),
        (["Two weeks", "The Hague Court"], "two weeks, the Hague Court", []),
        (["Leeds", "May 2023"], "leeds, March 2023", ["Leeds", "May 2023"]),
        (["`a b`", '"c"'], "`a b`x `a  b` 'c'", ['"c"']),
        ([], "", []),
    ],
)
def test_missing_tells_what_a_text_lacks(spans: list[str], text: str, lost: list[str]) -> None:
    assert missing(spans, text) == lost


PIECES: Final = re.findall(
    r"\S+",
    "I art Art. no. s tenant's we're well-known x-s a.b. A.B. e.g. foo.bar fooBar -x --all IV X Leeds The For and"
    " of the van Mr. Inc. 5 12.5 3rd § $5 % days ' ’s \" ( ) , . ! ? - é Élan ſ",
)


@given(
    st.lists(
        st.tuples(st.sampled_from(PIECES), st.sampled_from(("", " ", " ", " ", "\n", ", ", ". ", "'"))), max_size=12
    )
)
def test_the_pattern_for_texts_without_numerals_finds_the_same(parts: list[tuple[str, str]]) -> None:
    text = "".join(word + joint for word, joint in parts)
    if _NUMBER_WORDS.isdisjoint(re.findall(rb"[a-z]+", text.lower().encode("ascii", "replace"))):
        assert _names_and_tokens(text, _SPAN_WITHOUT_NUMERALS) == _names_and_tokens(text, _SPAN)


@pytest.mark.parametrize("number", ["Fifty", "two", "twenty-first", "one hundred", "halfs"])
def test_a_number_in_words_is_found_beside_any_sign(number: str) -> None:
    spans = mask(f"we paid it ({number}) then")[1]
    assert [span.lower() for span in spans] == [number.lower()]
