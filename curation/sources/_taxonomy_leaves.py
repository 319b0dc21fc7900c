"""InstructLab's taxonomy: the folders that hold a `qna.yaml`, their seeds, and what is wrong with the rest."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from curation.core.documents import Documents
from curation.core.errors import InputError
from curation.sources._faults import MALFORMED
from curation.sources._files import InputFile
from curation.sources._taxonomy_schema import Fault, FaultyLeafError, Parsed, parse

KNOWLEDGE: Final = "knowledge"
ROOTS: Final = ("compositional_skills", "foundational_skills", KNOWLEDGE)
FILE: Final = "qna.yaml"
_MISNAMED: Final = ("qna.yml", "qna.yaml")  # in any case of letters


@dataclass(frozen=True)
class Pair:
    """A question and its answer, without blanks around them; `line` is where the pair begins, from 1."""

    question: str
    answer: str
    line: int


@dataclass(frozen=True)
class Seed:
    """One of a leaf's `seed_examples`.

    Args:
        context: what grounds the answers; None in a freeform seed. A skill may have seeds of both kinds.
        pairs: one of a skill, at least three of knowledge.
        line: where the seed begins, from 1.
    """

    context: str | None
    pairs: tuple[Pair, ...]
    line: int


@dataclass(frozen=True)
class Leaf:
    """One `qna.yaml`.

    Args:
        kind: its root, one of `ROOTS`; all but `knowledge` are skills.
        path: its id: the folders from the root on, joined by `/`, so that no two leaves share one.
        file_name: the path of its file below the taxonomy's folder.
        seeds: in the file's order.
        created_by: who wrote it.
        task_description: of a skill.
        domain: of knowledge, as the outline and the documents are.
        document_outline: what the documents are about.
        document: where they are.
        document_line: where the file says so.
    """

    kind: str
    path: str
    file_name: str
    seeds: tuple[Seed, ...]
    created_by: str
    task_description: str | None = None
    domain: str | None = None
    document_outline: str | None = None
    document: Documents | None = None
    document_line: int = 0


def find_leaves(folder: Path, kinds: Sequence[str] = ROOTS) -> tuple[list[InputFile], list[Fault]]:
    """The leaves' files, sorted by path, and a fault for each file whose name is nearly right.

    Args:
        folder: of the taxonomy.
        kinds: which of `ROOTS` are searched.

    Raises:
        InputError: the folder is missing, unreadable, or not a taxonomy with leaves of these kinds.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} (seen from {Path.cwd()}): pass the folder of a taxonomy")
    roots = [folder / name for name in ROOTS if name in kinds and (folder / name).is_dir()]
    if not roots:
        inside = next((part for part in (folder, *folder.absolute().parents) if part.name in ROOTS), None)
        hint = f": pass {inside.parent}" if inside else ""
        raise InputError(f"{folder} is not a taxonomy: it has none of the folders {', '.join(kinds)}{hint}")
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
        raise InputError(f"the taxonomy {folder} has no {FILE} at all in {', '.join(kinds)}")
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
    is_knowledge = parts[0] == KNOWLEDGE
    try:
        parsed = parse(data, KNOWLEDGE if is_knowledge else "compositional_skills")
    except FaultyLeafError as error:
        return None, [Fault(path, file.name, *fault) for fault in error.faults]
    return (_knowledge if is_knowledge else _skill)(path, file.name, parsed), []


def _skill(path: str, file_name: str, parsed: Parsed) -> Leaf:
    value = parsed.value
    seeds: list[Seed] = []
    for number, seed in enumerate(value["seed_examples"]):
        line = parsed.line("seed_examples", number)
        seeds.append(Seed(_context(seed), (_pair(seed, line),), line))
    task = value["task_description"].strip()
    return Leaf(Path(path).parts[0], path, file_name, tuple(seeds), value["created_by"], task_description=task)


def _knowledge(path: str, file_name: str, parsed: Parsed) -> Leaf:
    value, document = parsed.value, parsed.value["document"]
    seeds: list[Seed] = []
    for number, seed in enumerate(value["seed_examples"]):
        where = ("seed_examples", number)
        pairs = [
            _pair(pair, parsed.line(*where, "questions_and_answers", place))
            for place, pair in enumerate(seed["questions_and_answers"])
        ]
        seeds.append(Seed(_context(seed), tuple(pairs), parsed.line(*where)))
    return Leaf(
        KNOWLEDGE,
        path,
        file_name,
        tuple(seeds),
        value["created_by"],
        domain=value["domain"].strip(),
        document_outline=value["document_outline"].strip(),
        document=Documents(document["repo"], document["commit"], tuple(document["patterns"])),
        document_line=parsed.line("document"),
    )


def _pair(value: dict[str, Any], line: int) -> Pair:
    return Pair(value["question"].strip(), value["answer"].strip(), line)


def _context(value: dict[str, Any]) -> str | None:
    return (value.get("context") or "").strip() or None
