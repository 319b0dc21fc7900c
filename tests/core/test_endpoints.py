from __future__ import annotations

import pickle

import pytest

from curation.core.endpoints import RetryableError, is_local, normalize_endpoint
from curation.core.errors import PlanError


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/v1/chat/completions/", "https://host/v1"),
        (" http://localhost:8000/v1/ ", "http://localhost:8000/v1"),
        ("http://[::1]:8000/v1/completions", "http://[::1]:8000/v1"),
        ("https://host", "https://host"),
    ],
)
def test_an_address_is_brought_to_its_base(given: str, base: str) -> None:
    assert normalize_endpoint(given) == base
    assert normalize_endpoint(base) == base


@pytest.mark.parametrize("given", ["", "localhost:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_what_is_no_address_is_refused_with_its_text(given: str) -> None:
    with pytest.raises(PlanError, match="endpoint"):
        normalize_endpoint(given)


@pytest.mark.parametrize("given", ["https://me:hunter2@host/v1", "https://host/v1?key=hunter2", "ftp://me:hunter2@h"])
def test_an_address_that_carries_a_secret_is_refused_without_showing_it(given: str) -> None:
    with pytest.raises(PlanError) as caught:
        normalize_endpoint(given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://192.168.1.7:8000/v1", True),
        ("http://vllm:8000/v1", True),
        ("http://box.local/v1", True),
        ("https://integrate.api.nvidia.com/v1", False),
        ("https://8.8.8.8/v1", False),
        ("https://localhost.example.com/v1", False),
    ],
)
def test_local_endpoints_are_told_by_their_address(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_a_retryable_error_keeps_its_message_through_pickle() -> None:
    error = RetryableError("request_failed", "500", retry_after=2.0, rate_limited=True)
    again = pickle.loads(pickle.dumps(error))
    assert (again.reason, again.detail) == ("request_failed", "500")
