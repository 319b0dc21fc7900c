"""The files of the folder: those that were published, as they were, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from curation.engine.store import MANIFEST, Manifest, sha256_of
from curation.verify.evidence import Evidence


def checksums(evidence: Evidence) -> Iterator[str]:
    """Each file that a manifest names is there as it was published."""
    root = evidence.run.root
    published = [stage.folder for stage in evidence.run.stages] + evidence.run.exports
    found = [path.parent for top in ("stages", "final", "handoff") for path in _visible(root / top, MANIFEST)]
    for folder in sorted({*published, *found}):
        manifest = Manifest.read(folder)
        if manifest is None:
            yield f"{evidence.shown(folder / MANIFEST)} is missing or damaged"
            continue
        for name, expected in sorted(manifest.files.items()):
            path = folder / name
            if not path.is_file():
                yield f"{evidence.shown(path)} is missing"
            elif sha256_of(path) != expected:
                yield f"{evidence.shown(path)} has changed"


def strays(evidence: Evidence) -> Iterator[str]:
    """Readers take whatever lies in these folders: what this run did not write must not be there."""
    root = evidence.run.root
    known = set()
    for stage in evidence.exports:
        known |= {stage.folder / MANIFEST, *(stage.folder / name for name in stage.manifest.files)}
    own = {stage.folder.relative_to(root).parts[0] for stage in evidence.exports}
    for top in sorted({"final", "handoff", *own}):
        for path in _visible(root / top, "*"):
            if path.is_file() and path not in known:
                yield evidence.shown(path)


def account(evidence: Evidence) -> Iterator[str]:
    """`run.json` tells of the stages and folders that are there, and of this plan."""
    if sha256_of(evidence.run.root / "plan.yaml") != evidence.run.run["plan"]:
        yield "plan.yaml is not the plan of the run that ended last: run the command again"
    for entry in [*evidence.run.run["stages"], *evidence.run.run["exports"]]:
        folder = entry.get("folder", entry["stage"])
        manifest = Manifest.read(evidence.run.root / folder)
        for name in ("rows_in", "rows_out", "dropped", "round"):
            if manifest is not None and getattr(manifest, name) != entry[name]:
                yield f"{folder}: {name} is {getattr(manifest, name)}, and {entry[name]} in run.json"


def _visible(folder: Path, pattern: str) -> list[Path]:
    """What lies in `folder`, but for hidden files and folders: those are work in progress."""
    found = folder.rglob(pattern)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
