"""What is read from bytes, and what is written to them."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.core.errors import RequestError
from curation.models._wire import Answer, carried_status, from_body, model_names, moved_to, to_body, was_refused

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(st.characters()), values))
def test_what_is_written_reads_the_same(request: dict[str, Any]) -> None:
    assert json.loads(to_body(request)) == json.loads(json.dumps(request))


def test_what_json_cannot_hold_is_refused() -> None:
    for value in ({1, 2}, b"bytes", [object()]):
        with pytest.raises(RequestError, match="bad_request: the request can't be written as JSON"):
            to_body({"seed": value})


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b"[Infinity]", [float("inf")]),
        (b"\xef\xbb\xbf[1]", [1]),
        ('["ä"]'.encode("utf-16"), ["ä"]),
    ],
)
def test_what_the_strict_reader_refuses_is_still_read(body: bytes, value: Any) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)
    assert from_body(body) == value


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[" * 100_000])
def test_what_is_no_json_is_told(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        from_body(body)
    assert carried_status(body + b'"error"') is None
    assert model_names(Answer(200, body, {})) is None
    assert not was_refused(500, body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"status": 429, "title": "Too Many Requests"}', 429),
        (b'{"error": {"code": "404", "message": "x"}}', 404),
        (b'{"error": {"code": "insufficient_quota"}}', 429),
        (b'{"error": {"code": null, "type": "invalid_request_error"}}', 400),
        (b'{"error": "overloaded", "status_code": 503}', 503),
        (b'{"error": "overloaded"}', 500),
        (b'{"object": "error", "message": "too long", "code": 400}', 400),
        (b'{"object": "error", "message": "too long", "code": 40303}', 500),
        (b'{"error": null, "choices": [{"message": {"content": "fine"}}]}', None),
        (b'{"error": {"code": 500}, "choices": [{"message": {"content": "fine"}}]}', None),
        (b'{"status": "completed", "choices": []}', None),
        (b'{"status": 200}', None),
        (b'{"error": null}', None),
        (b'["error"]', None),
    ],
)
def test_errors_behind_http_200_are_told_from_replies(body: bytes, status: int | None) -> None:
    assert carried_status(body) == status


@pytest.mark.parametrize(
    ("status", "body", "refused"),
    [
        (429, b"", True),
        (503, b"<html>", True),
        (500, b'{"detail": "x"}', True),
        (500, b"<html>", False),
        (502, b'"gateway"', False),
        (504, b'{"detail": "x"}', False),
        (408, b'{"detail": "x"}', False),
    ],
)
def test_only_an_error_of_the_endpoint_itself_says_that_nothing_is_charged(
    status: int, body: bytes, refused: bool
) -> None:
    assert was_refused(status, body) is refused


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("/v2/chat/completions/", "http://here:1/v2"),
        ("//u:p@there:8000/x?key=1#y", "http://there:8000/x"),
        ("", None),
    ],
)
def test_a_redirect_names_a_base_address(location: str, address: str | None) -> None:
    endpoint = "http://here:1/v1"
    assert moved_to(Answer(308, b"", {"location": location}), endpoint) == address
    assert moved_to(Answer(200, b"", {"location": location}), endpoint) is None
    assert moved_to(Answer(304, b"", {}), endpoint) is None


def test_a_list_of_models_has_names() -> None:
    assert model_names(Answer(200, b'{"data": [{"id": "b"}, {"id": "a"}]}', {})) == ["a", "b"]
    assert model_names(Answer(500, b'{"data": [{"id": "b"}]}', {})) is None
    assert model_names(Answer(200, b'{"data": null}', {})) is None
