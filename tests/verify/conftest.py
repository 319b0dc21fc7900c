"""A sound run, and a copy of it to break."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.run_folder import finished_run


@pytest.fixture(scope="package")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("sound"), rounds=1)


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return shutil.copytree(sound, tmp_path / "run")
