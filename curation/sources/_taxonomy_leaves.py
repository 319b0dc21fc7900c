"""InstructLab's taxonomy: the folders that hold a `qna.yaml`, their seeds, and what is wrong with the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from curation.core.documents import Documents
from curation.core.errors import InputError
from curation.sources._faults import MALFORMED
from curation.sources._files import InputFile
from curation.sources._taxonomy_schema import Fault, FaultyLeafError, Parsed, parse

ROOTS: Final = ("compositional_skills", "foundational_skills", "knowledge")
FILE: Final = "qna.yaml"
_MISNAMED: Final = ("qna.yml", "qna.yaml")  # in any case of letters


@dataclass(frozen=True)
class Seed:
    """One example of a leaf.

    Args:
        question: without blanks around it, as the others.
        answer: of the question.
        context: what grounds the answer; None in a freeform seed. A leaf may have seeds of both kinds.
        line: where the seed begins, from 1.
    """

    question: str
    answer: str
    context: str | None
    line: int


@dataclass(frozen=True)
class Leaf:
    """One `qna.yaml`.

    Args:
        kind: `skill` or `knowledge`.
        path: its id: the folders from the root on, joined by `/`, so that no two leaves share one.
        file_name: the path of its file below the taxonomy's folder.
        seeds: in the file's order; a context with three pairs makes three seeds.
        created_by: who wrote it.
        task_description: of a skill.
        domain: of knowledge, as the outline and the documents are.
        document_outline: what the documents are about.
        document: where they are.
    """

    kind: Literal["skill", "knowledge"]
    path: str
    file_name: str
    seeds: tuple[Seed, ...]
    created_by: str
    task_description: str | None = None
    domain: str | None = None
    document_outline: str | None = None
    document: Documents | None = None


def find_leaves(folder: Path) -> tuple[list[InputFile], list[Fault]]:
    """The leaves' files, sorted by path, and a fault for each file whose name is nearly right.

    Raises:
        InputError: the folder is missing, unreadable, or not a taxonomy.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} (seen from {Path.cwd()}): pass the folder of a taxonomy")
    roots = [folder / name for name in ROOTS if (folder / name).is_dir()]
    if not roots:
        inside = next((part for part in (folder, *folder.absolute().parents) if part.name in ROOTS), None)
        hint = f": pass {inside.parent}" if inside else ""
        raise InputError(f"{folder} is not a taxonomy: it has none of the folders {', '.join(ROOTS)}{hint}")
    files: list[InputFile] = []
    faults: list[Fault] = []
    for path in sorted(path for root in roots for path in _walk(root)):
        name = path.relative_to(folder).as_posix()
        if path.name == FILE:
            files.append(InputFile(path, name))
        else:
            detail = f"the file must be called exactly {FILE}, not {path.name}, or no engine reads it"
            faults.append(Fault(Path(name).parent.as_posix(), name, 0, 0, MALFORMED, detail))
    if not files and not faults:
        raise InputError(f"the taxonomy {folder} has no {FILE} at all")
    return files, faults


def _walk(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:  # os.walk would pass over what it may not read
        raise InputError(f"the folder {error.filename} can't be read: {error.strerror}") from error

    for where, folders, names in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(where, name) for name in names if name.lower() in _MISNAMED)


def read_leaf(file: InputFile) -> tuple[Leaf | None, list[Fault]]:
    """One leaf, or all that is wrong with it.

    Raises:
        InputError: the file can't be opened.
        MissingPackageError: InstructLab's schema is not installed.
    """
    parts = Path(file.name).parent.parts
    path = "/".join(parts)
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise InputError(f"{file.path} can't be read: {error.strerror or error}") from error
    kind = "knowledge" if parts[0] == "knowledge" else "compositional_skills"
    try:
        parsed = parse(data, kind)
    except FaultyLeafError as error:
        return None, [Fault(path, file.name, *fault) for fault in error.faults]
    return (_knowledge if kind == "knowledge" else _skill)(path, file.name, parsed), []


def _skill(path: str, file_name: str, parsed: Parsed) -> Leaf:
    value = parsed.value
    seeds = tuple(
        _seed(seed, seed.get("context"), parsed.line("seed_examples", number))
        for number, seed in enumerate(value["seed_examples"])
    )
    return Leaf(
        "skill", path, file_name, seeds, value["created_by"], task_description=value["task_description"].strip()
    )


def _knowledge(path: str, file_name: str, parsed: Parsed) -> Leaf:
    value, document = parsed.value, parsed.value["document"]
    seeds = tuple(
        _seed(pair, seed["context"], parsed.line("seed_examples", number, "questions_and_answers", place))
        for number, seed in enumerate(value["seed_examples"])
        for place, pair in enumerate(seed["questions_and_answers"])
    )
    return Leaf(
        "knowledge",
        path,
        file_name,
        seeds,
        value["created_by"],
        domain=value["domain"].strip(),
        document_outline=value["document_outline"].strip(),
        document=Documents(document["repo"], document["commit"], tuple(document["patterns"])),
    )


def _seed(value: dict[str, Any], context: str | None, line: int) -> Seed:
    return Seed(value["question"].strip(), value["answer"].strip(), context.strip() if context else None, line)
