"""What several tests need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# The same examples in every run: what fails on one machine fails on all. `HYPOTHESIS_PROFILE=default` draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# As in Dask's workers: threads of several processes that share few cores spend their time waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from distributed import Client


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A real cluster of two processes, as `curation.main` starts it."""
    from curation.engine.cluster import connect

    with connect(n_workers=2) as connected:
        yield connected
