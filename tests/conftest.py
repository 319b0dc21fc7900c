"""What several tests need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from distributed import Client


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A real cluster of two processes, as `curation.main` starts it."""
    from curation.engine.cluster import connect

    with connect(n_workers=2) as connected:
        yield connected
