from __future__ import annotations

import json
import pickle
from importlib.metadata import version

import ftfy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nemo_curator.modifiers import UnicodeReformatter

from curation.modifiers import unicode as module
from curation.modifiers.html import Html
from curation.modifiers.unicode import Unicode
from tests.shared_data import shared_data

fix = Unicode().modify_document
reference = UnicodeReformatter().modify_document

ENCODINGS = ["latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "iso-8859-2", "mac-roman", "cp437"]


def garbled(text: str, encoding: str) -> str:
    """Mojibake: the UTF-8 of `text`, read in another encoding."""
    return text.encode("utf-8", "surrogatepass").decode(encoding, "replace")


plain = st.text(st.sampled_from("abz AZ.,?!\n\t0"), max_size=12)
# Characters from every category of ftfy's badness patterns, and what its other fixers look for.
suspicious = st.text(
    st.sampled_from(
        "ÂÃÎÐØÙÄâóàäßéœŒ€£¥¢²³¼×±√∂≈°»«“”„‚‘’›‹•™®©–—…\u00a0\u00ad´¦¤¨¬¯¶§¸ƒˆ˜†‡‰\ufffd│┌═░ΑΩαωβΆ"
        "ГўВЂАЯаявЂРСüöÜÒòő\x80\x9f\x85&;#<\x00\x1b[1m\x7f\ufeff\ufffc\u206a\ud83d\ude00\u2028 aZ\n"
    ),
    max_size=8,
)
snippets = st.sampled_from(
    ["&amp;", "&lt;b&gt;", "&NTILDE;", "&x", "AT&T", "\x1b[31mred\x1b[0m", "Ã la mode", "\nÂ x", "ГўВЂВњA", "schÃ¶n"]
)
broken = st.builds(garbled, st.text(max_size=6), st.sampled_from(ENCODINGS))
pieces = st.one_of(plain, plain, suspicious, snippets, broken, st.text(max_size=6))
texts = st.lists(pieces, max_size=6).map("".join)


@settings(max_examples=1000, deadline=None)
@given(texts)
def test_equals_nemo_curators_reformatter(text: str) -> None:
    assert fix(text) == reference(text)


@settings(max_examples=400, deadline=None)
@given(suspicious, suspicious, st.integers(0, 20), st.sampled_from(["", "\n"]))
def test_equals_it_with_suspects_at_any_distance(before: str, after: str, distance: int, end: str) -> None:
    text = before + "x" * distance + end + after
    assert fix(text) == reference(text)


@settings(max_examples=150, deadline=None)
@given(texts)
def test_other_arguments_go_to_ftfy(text: str) -> None:
    arguments = {"uncurl_quotes": True, "fix_latin_ligatures": True, "normalization": "NFKC", "unescape_html": True}
    assert Unicode(**arguments).modify_document(text) == UnicodeReformatter(**arguments).modify_document(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain text", "plain text"),
        (
            "l\u2019\u00c9tat, \u00a7 5, \u20ac10 \u2013 caf\u00e9",
            "l\u2019\u00c9tat, \u00a7 5, \u20ac10 \u2013 caf\u00e9",
        ),
        ("sch\u00c3\u00b6n", "sch\u00f6n"),
        ("It\u00e2\u20ac\u2122s", "It\u2019s"),
        ("a\x00b\ufeff\x1b[31mc\x1b[0m", "abc"),
        ("\ud83d\ude00 \ud800", "\U0001f600 \ufffd"),
        ("AT&amp;T", "AT&T"),
    ],
)
def test_mends(text: str, expected: str) -> None:
    assert fix(text) == reference(text) == expected


def test_the_reach_covers_every_pattern_of_the_installed_ftfy() -> None:
    """No pattern of mojibake looks further than `_REACH`, and none is satisfied by ASCII alone."""
    from re import _parser  # type: ignore[attr-defined]  # the only thing that knows a pattern's width

    from ftfy.badness import BADNESS_RE

    parsed = _parser.parse(BADNESS_RE.pattern, BADNESS_RE.flags)
    assert parsed.getwidth()[1] <= module._REACH
    assert not BADNESS_RE.search("".join(map(chr, range(128))) * 2)


def test_the_gate_is_on_for_the_pinned_ftfy_and_spares_it_clean_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version("ftfy") == "6.1.1"

    def never(*_: object, **__: object) -> str:
        raise AssertionError("ftfy was asked")

    monkeypatch.setattr(ftfy, "fix_text", never)
    assert fix("It\u2019s \u00a7 5 \u2013 caf\u00e9 & more") == "It\u2019s \u00a7 5 \u2013 caf\u00e9 & more"
    with pytest.raises(AssertionError):
        fix("sch\u00c3\u00b6n")


def test_the_gate_is_off_for_another_ftfy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROVEN", False)
    monkeypatch.setattr(ftfy, "fix_text", lambda text, config: "asked")
    assert fix("plain") == "asked"


@pytest.mark.slow
def test_equals_nemo_curators_reformatter_on_real_posts_raw_cleaned_and_garbled() -> None:
    clean = Html().modify_document
    for file in sorted((shared_data() / "stackexchange").glob("*.json")):
        for number, row in enumerate(json.loads(file.read_text())):
            bodies = [row["question_body"], *(answer["body"] for answer in row["answers"])]
            for text in [*bodies, *map(clean, bodies), garbled(clean(bodies[0])[:500], ENCODINGS[number % 9])]:
                assert fix(text) == reference(text)


def test_pickles() -> None:
    assert pickle.loads(pickle.dumps(Unicode())).modify_document("sch\u00c3\u00b6n") == "sch\u00f6n"
