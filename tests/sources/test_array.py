"""The scan for the elements of a JSON array, against the standard library's parser."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.sources._array import ArrayError, Cut, Scanner, cuts, elements, split

TEXTS = st.text(st.sampled_from('\\"[]{},:\n\t aé€😀\u2028')) | st.text()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
ARRAYS = st.lists(VALUES, max_size=6)


def blocks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def encoded(array: list[Any], indent: int | None, ascii_only: bool) -> bytes:
    return json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


@given(ARRAYS.filter(bool), st.integers(1, 9), st.sampled_from([None, 0, 2]), st.booleans())
def test_elements_are_those_of_a_parser_wherever_blocks_end(
    array: list[Any], size: int, indent: int | None, ascii_only: bool
) -> None:
    data = encoded(array, indent, ascii_only)
    assert [json.loads(raw) for _, raw in elements(blocks(data, size))] == array


@given(ARRAYS.filter(bool), st.integers(1, 9), st.sampled_from([None, 1]), st.data())
def test_pieces_between_cuts_have_the_same_elements_and_lines(
    array: list[Any], size: int, indent: int | None, choice: st.DataObject
) -> None:
    data = encoded(array, indent, ascii_only=True)
    whole = list(elements([data]))
    found = list(cuts(blocks(data, size)))
    middle = choice.draw(st.lists(st.sampled_from(found[1:-1]), unique=True) if found[1:-1] else st.just([]))
    edges: list[Cut] = [found[0], *sorted(middle), found[-1]]
    pieces = [
        element
        for begin, end in itertools.pairwise(edges)
        for element in split(data[begin.offset + 1 : end.offset], begin.line)
    ]
    assert pieces == whole


@given(ARRAYS.filter(bool))
def test_lines_are_counted_from_the_first_byte(array: list[Any]) -> None:
    data = b"\n\n" + encoded(array, indent=1, ascii_only=True)
    for line, raw in elements([data]):
        assert b"\n".join(data.split(b"\n")[line - 1 :]).lstrip().startswith(raw)


@given(ARRAYS.filter(bool), st.data())
def test_a_truncated_array_is_refused(array: list[Any], choice: st.DataObject) -> None:
    data = encoded(array, indent=None, ascii_only=True)
    end = choice.draw(st.integers(0, len(data) - 1))
    with pytest.raises(ArrayError):
        list(cuts([data[:end]]))


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'{"a": 1}', 1),
        (b"", 1),
        (b"\n\nnull", 3),
        (b"[1]\n[2]", 2),
        (b"[1]\n\nx", 3),
        (b"x [1]", 1),
        (b'[{"a": 1},\n{"a": 2}},\n{"a": 3}]', 2),
        (b'[{"a": 1},\n{"a": "2},\n{"a": 3}]', 1),
    ],
)
def test_what_is_not_one_array_is_refused_with_its_line(data: bytes, line: int) -> None:
    with pytest.raises(ArrayError) as caught:
        list(cuts(blocks(data, 3)))
    assert caught.value.line == line


def test_byte_order_mark_and_blanks_around_the_array_are_no_fault() -> None:
    assert [raw for _, raw in elements([b"\xef\xbb\xbf", b" [1,", b" 2 ]", b"\n \n"])] == [b"1", b"2"]


def test_a_malformed_element_leaves_the_others_alone() -> None:
    data = b'[{"a": 1}, {"a": nope, "b": [1, 2}, {"a": 3}]'
    data = data.replace(b"2}", b"2]}")
    assert [raw for _, raw in elements([data])] == [b'{"a": 1}', b'{"a": nope, "b": [1, 2]}', b'{"a": 3}']


def test_the_scanner_holds_no_more_than_half_an_escape() -> None:
    scanner = Scanner()
    for _ in range(100):
        scanner.feed(b'["' + b"x" * 1000)
        assert all(len(value) <= 1 for value in vars(scanner).values() if isinstance(value, bytes))
