from __future__ import annotations

from collections.abc import Iterator

import dask
import pytest


@pytest.fixture(autouse=True)
def _in_this_thread() -> Iterator[None]:
    """No cluster unless a test starts one, and text columns as the engine has them."""
    with dask.config.set({"scheduler": "synchronous", "dataframe.convert-string": False}):
        yield
