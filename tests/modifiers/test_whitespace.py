from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.modifiers.whitespace import Whitespace

even = Whitespace().modify_document


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n\t ", ""),
        ("a  b\tc", "a b c"),
        ("a \n b", "a\n b"),
        ("one\n\n\n\ntwo", "one\n\ntwo"),
        ("one\n \t \n\u00a0\ntwo", "one\n\ntwo"),
        ("one\r\ntwo\rthree\u2028four\x85five", "one\ntwo\nthree\nfour\nfive"),
        ("a\u00a0\u2003b\u3000c", "a b c"),
        ("def f():\n    return  1   # note\n", "def f():\n    return 1 # note"),
        ("\n\n  text  \n\n", "text"),
        ("\tx", "x"),
    ],
)
def test_evens_out(text: str, expected: str) -> None:
    assert even(text) == expected


@given(st.text(st.sampled_from("ab \n\t\r\v\f\x1c\x85\u00a0\u2003\u2028")))
def test_keeps_the_words_and_changes_nothing_twice(text: str) -> None:
    once = even(text)
    assert once.split() == text.split()
    assert even(once) == once


def test_pickles() -> None:
    assert pickle.loads(pickle.dumps(Whitespace())).modify_document("a  b") == "a b"
