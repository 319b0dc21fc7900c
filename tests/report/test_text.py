from __future__ import annotations

import pytest
from markupsafe import Markup

from curation.report import _text
from curation.report._text import compare, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n  b\tc ", "a b c"),
        (None, ""),
        (3.5, "3.5"),
        ("x\x00y\x1b[31m", "x\ufffdy\ufffd[31m"),
        ("abcdefghij", "abcdefghij"),
        ("abcdefghijk", "abcdefghi…"),
    ],
)
def test_a_text_is_shown_on_one_line_of_limited_length(text: object, expected: str) -> None:
    assert shown(text, 10) == expected


def test_equal_texts_have_nothing_to_compare() -> None:
    assert compare("one two", "one  two\n") is None
    assert compare(None, "") is None


def test_changed_words_are_marked() -> None:
    assert compare("may I record him", "may I film him today") == (
        "may I <mark>record</mark> him",
        "may I <mark>film</mark> him <mark>today</mark>",
    )


def test_texts_are_escaped_and_only_the_marks_are_not() -> None:
    change = compare("<b>a & b</b>", '<script>alert("x")</script>')
    assert change is not None
    for side in change:
        assert isinstance(side, Markup)
        assert "<" not in side.replace("<mark>", "").replace("</mark>", "")
    assert "<mark>&lt;b&gt;a &amp; b&lt;/b&gt;</mark>" in change[0]


def test_long_unchanged_stretches_are_left_out() -> None:
    words = [f"w{number}" for number in range(100)]
    change = compare(" ".join(words), " ".join([*words[:50], "NEW", *words[50:]]))
    assert change is not None
    assert change[1] == ("… " + " ".join(words[42:50]) + " <mark>NEW</mark> " + " ".join(words[50:58]) + " …")


def test_a_rewritten_text_is_cut() -> None:
    change = compare("old " * 300, " ".join(f"new{number}" for number in range(300)))
    assert change is not None
    assert change[1].endswith("</mark> …")
    assert len(change[1].split()) == _text.SHOWN_WORDS + 1
