"""Ways to break a run, and what the checks say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from curation.engine.store import sha256_of, write_json
from curation.verify import CHECKS, verify


def failing(root: Path) -> dict[str, str]:
    """The lines of the checks that fail, by the name of the check's function."""
    names = {check: function.__name__ for check, function in CHECKS.items()}
    return {names[finding.check]: str(finding) for finding in verify(root) if finding.count}


def name_of(function: str) -> str:
    return next(check for check, found in CHECKS.items() if found.__name__ == function)


def lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


def change(path: Path, position: int, **columns: Any) -> dict[str, Any]:
    """Sets columns of one record of a JSON Lines file; answers with the record as it was."""
    rows = lines(path)
    before = dict(rows[position])
    rows[position].update(columns)
    write(path, rows)
    return before


def republish(folder: Path, **numbers: Any) -> None:
    """Makes a manifest's checksums agree with its files again, as a faulty program would have written them."""
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    manifest["files"] = {name: sha256_of(folder / name) for name in manifest["files"]}
    write_json(folder / "manifest.json", manifest | numbers)


def synthetic(root: Path) -> int:
    """The place of the first synthetic record in the training file."""
    return next(place for place, row in enumerate(lines(root / "final/train.jsonl")) if row["origin"] == "synthetic")
