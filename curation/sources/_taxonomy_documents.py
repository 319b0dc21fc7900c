"""The documents of InstructLab's knowledge leaves: where they lie, what they hold, and what can't be had of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from curation.core.documents import (
    Chunk,
    DocumentFault,
    Documents,
    chunks,
    find_documents,
    head,
    is_repository,
    load_documents,
    locate_documents,
    without_secrets,
)
from curation.core.errors import InputError
from curation.core.records import digest
from curation.sources._faults import LONE_SURROGATE, MISSING_DOCUMENT, NUL_BYTE, UNREADABLE_DOCUMENT
from curation.sources._files import InputFile, fingerprint
from curation.sources._rows import SURROGATE
from curation.sources._taxonomy_leaves import Leaf
from curation.sources._taxonomy_schema import Fault

_ANY: Final = ""
"""The prefix of every leaf's path."""


@dataclass(frozen=True)
class Home:
    """Where a leaf's documents lie.

    Args:
        folder: below which the leaf's patterns are applied; None where they can't be had.
        fault: then why, in words.
        size: of the files that the patterns name, in bytes.
        state: changes when the documents do.
    """

    folder: Path | None
    fault: str = ""
    size: int = 0
    state: str = ""


class Homes:
    """Finds where each leaf's documents lie. A repository is asked for once, however many leaves name it.

    Args:
        base: the taxonomy's folder.
        download_dir: where checkouts are kept.
        instead: folders that take the place of the leaves' repositories (`folders`).
        fetched: whether the taxonomy is a checkout. It then comes from elsewhere, and may name no folder outside of it:
            what it names is sent to a teacher.
    """

    def __init__(self, base: Path, download_dir: Path, instead: Mapping[str, Path], fetched: bool) -> None:
        self.base, self.download_dir, self.instead, self.fetched = base, download_dir, instead, fetched
        self._asked: dict[tuple[str, str], Path | InputError] = {}

    def of(self, leaf: Leaf, document: Documents) -> Home:
        """Where the documents of a knowledge leaf lie."""
        try:
            instead = _longest(self.instead, leaf.path)
            folder = self._locate(document) if instead is None else instead
            paths, _ = find_documents(folder, document.patterns)
            files = [InputFile(path, path.relative_to(folder).as_posix()) for path in paths]
            size = sum(file.path.stat().st_size for file in files)
            if instead is None and is_repository(str(folder)):
                return Home(folder, size=size, state=head(folder))
            within = self.fetched and instead is None  # the taxonomy's own commit says what they hold
            return Home(folder, size=size, state="" if within else fingerprint(files))
        except (InputError, OSError) as error:
            return Home(None, str(error), state=MISSING_DOCUMENT)

    def _locate(self, document: Documents) -> Path:
        key = (document.repo, document.commit)
        if key not in self._asked:
            try:
                self._asked[key] = self._ask(document)
            except InputError as error:
                self._asked[key] = error
        found = self._asked[key]
        if isinstance(found, InputError):
            raise found
        return found

    def _ask(self, document: Documents) -> Path:
        inside = (self.base / document.repo).resolve().is_relative_to(self.base.resolve())
        if self.fetched and (not inside or document.repo.startswith("file:")):
            repo = without_secrets(document.repo)
            raise InputError(f"a taxonomy that was fetched may not name a folder of this machine: {repo}")
        return locate_documents(document, self.base, self.download_dir)


def folders(documents: str | Mapping[str, str] | None, leaves: Sequence[str]) -> dict[str, Path]:
    """The argument `documents` of the source, as a mapping from the beginning of a leaf's path to a folder.

    Args:
        documents: as given.
        leaves: the paths of all knowledge leaves.

    Raises:
        InputError: a folder is missing, or no leaf's path begins as a key does.
    """
    given = {_ANY: documents} if isinstance(documents, str) else documents or {}
    for prefix, folder in given.items():
        if prefix != _ANY and not any(_below(leaf, prefix) for leaf in leaves):
            raise InputError(f"documents: there is no knowledge leaf '{prefix}', nor any below it")
        if not Path(folder).is_dir():
            raise InputError(f"documents: there is no folder {folder} (seen from {Path.cwd()})")
    return {prefix: Path(folder).absolute() for prefix, folder in given.items()}


def pieces(leaf: Leaf, home: Home, tokens: int, overlap: int) -> tuple[list[Chunk], list[Fault]]:
    """The chunks of a leaf's documents, by document and place; and a fault for each part that can't be used.

    Raises:
        MissingPackageError: a document is a PDF, and pdfplumber is not installed.
    """
    if home.folder is None or leaf.document is None:
        return [], [_fault(leaf, MISSING_DOCUMENT, home.fault)]
    try:
        found, wrong = load_documents(home.folder, leaf.document.patterns)
    except InputError as error:
        return [], [_fault(leaf, MISSING_DOCUMENT, str(error))]
    faults = [_fault(leaf, _reason(part), str(part)) for part in wrong]
    good: list[Chunk] = []
    for chunk in (chunk for document in found for chunk in chunks(document, tokens, overlap)):
        if "\0" in chunk.text:
            faults.append(_fault(leaf, NUL_BYTE, f"{place_of(chunk)}: a NUL character"))
        elif SURROGATE.search(chunk.text):
            faults.append(_fault(leaf, LONE_SURROGATE, f"{place_of(chunk)}: half of a surrogate pair"))
        else:
            good.append(chunk)
    return good, faults


def place_of(chunk: Chunk) -> str:
    """What `extra` calls a chunk."""
    return f"{chunk.document}#{chunk.index}"


def chunk_id(leaf: Leaf, chunk: Chunk, *example: str) -> str:
    """Depends on the leaf's path and the texts alone: an edit elsewhere in the document changes no other row."""
    return digest(leaf.path, chunk.text, *example)


def _reason(fault: DocumentFault) -> str:
    return MISSING_DOCUMENT if fault.missing else UNREADABLE_DOCUMENT


def _fault(leaf: Leaf, reason: str, detail: str) -> Fault:
    return Fault(leaf.path, leaf.file_name, leaf.document_line, 0, reason, detail)


def _below(leaf: str, prefix: str) -> bool:
    """Whether a leaf's path begins with a prefix, folder by folder."""
    return f"{leaf}/".startswith(f"{prefix.strip('/')}/") or prefix == _ANY


def _longest(instead: Mapping[str, Path], leaf: str) -> Path | None:
    fitting = [prefix for prefix in instead if _below(leaf, prefix)]
    return instead[max(fitting, key=len)] if fitting else None
