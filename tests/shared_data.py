"""Where the tests find real data that is not part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def shared_data() -> Path:
    """The folder of shared data: `$CURATION_SHARED_DATA`, or `shared/data` beside the repository. Skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CURATION_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {folder} (set CURATION_SHARED_DATA to its folder)")
    return folder
