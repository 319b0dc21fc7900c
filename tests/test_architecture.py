"""The floors of the house: imports only go down, and heavy packages stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "curation"
FILES = sorted(PACKAGE.rglob("*.py"))
SHELVES = {"sources", "modifiers", "filters", "dedupers", "models", "generators", "critics", "exporters"}
FLOORS = {
    **dict.fromkeys(["main", "verify", "thresholds"], 5),
    **dict.fromkeys(["job", "rounds", "estimate", "catalog"], 4),
    **dict.fromkeys(["stages", "report", "summary"], 3),
    **dict.fromkeys(["config", "engine", *SHELVES], 2),
    "core": 1,
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_go_down(path: Path) -> None:
    room = room_of(module_of(path))
    for target in imports(path):
        other = room_of(target)
        if not target.startswith("curation.") or other not in FLOORS or other == room or not room:
            continue
        assert FLOORS[other] <= FLOORS[room], f"{path.name} imports {target}, which is above it"
        if room in SHELVES:
            assert other == "core", f"{path.name} imports {target}: a shelf imports core alone"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_those_who_may_know_dask(path: Path) -> None:
    if room_of(module_of(path)) in {"engine", "stages", "sources", "dedupers"}:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        node for block in ast.walk(tree) if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test)
        for node in ast.walk(block)
    }  # fmt: skip
    for node in ast.walk(tree):
        if node in typing_only or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
        assert not any(name.split(".")[0] in {"dask", "distributed"} for name in names), f"{path.name} imports Dask"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_of(path)) for path in FILES} - {""}
    assert rooms <= set(FLOORS)


@pytest.mark.parametrize("module", ["curation", "curation.main", "curation.core.records", "curation.core.registry"])
def test_importing_is_silent_and_loads_no_model_library(module: str) -> None:
    code = (
        f"import sys, {module}; print(sorted({{'torch', 'transformers', 'nemo_curator', 'cudf'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
