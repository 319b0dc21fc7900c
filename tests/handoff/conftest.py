"""The folder and the model, made by this project's own environment; the others read what `HANDOFF_MADE` names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `handoff/` and `model/`."""
    if given := os.environ.get("HANDOFF_MADE"):
        return Path(given)
    from tests.handoff.make_folder import write_all

    return write_all(tmp_path_factory.mktemp("made"))


@pytest.fixture
def handoff(made: Path, tmp_path: Path) -> Path:
    """A fresh copy of the hand-off folder of one task: readers leave indexes in it."""
    return Path(shutil.copytree(made / "handoff", tmp_path / "handoff"))


@pytest.fixture(scope="session")
def model(made: Path) -> Path:
    """The folder of the model and its tokenizer."""
    return made / "model"
