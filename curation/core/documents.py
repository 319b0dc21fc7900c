"""Documents that ground what a teacher writes: from a repository to blocks, and from blocks to chunks of tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from curation.core._documents_blocks import Block, DocumentFault
from curation.core._documents_chunks import Chunk, count_words, pack
from curation.core._documents_git import checkout, head, is_repository, without_secrets
from curation.core._documents_markdown import parse_markdown
from curation.core._documents_pdf import parse_pdf
from curation.core.errors import InputError

__all__ = [
    "Block",
    "Chunk",
    "Document",
    "DocumentFault",
    "Documents",
    "checkout",
    "chunks",
    "find_documents",
    "head",
    "is_repository",
    "load_documents",
    "locate_documents",
    "parse_document",
    "without_secrets",
]

SUFFIXES: Final = (".md", ".pdf")


@dataclass(frozen=True)
class Documents:
    """Where the documents of a knowledge leaf are.

    Args:
        repo: a git address or a folder.
        commit: its hash, tag or branch; says nothing of a folder that is no repository.
        patterns: globs below it, in which `**` goes any depth.
    """

    repo: str
    commit: str
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """One file.

    Args:
        name: its path below the checkout.
        blocks: in reading order.
    """

    name: str
    blocks: tuple[Block, ...]


def locate_documents(document: Documents, base: Path, download_dir: Path | None = None) -> Path:
    """The folder with the documents: a checkout, or a folder that is no repository, as it stands.

    Args:
        document: what a leaf says.
        base: the folder from which a relative `repo` is seen.
        download_dir: where checkouts are kept; by default `downloads` below `base`.

    Raises:
        InputError: there is no such repository, folder or commit.
    """
    local = base / document.repo
    repo = str(local) if local.exists() else document.repo
    if is_repository(repo):
        return checkout(repo, download_dir or base / "downloads", document.commit)
    if not local.is_dir():
        raise InputError(
            f"{without_secrets(document.repo)} is neither a git address nor a folder (seen from {base}): "
            "correct 'repo' of the leaf's document"
        )
    return local


def find_documents(folder: Path, patterns: Sequence[str]) -> tuple[list[Path], list[DocumentFault]]:
    """The files of `SUFFIXES` that the patterns name, each once, sorted; and the patterns that name none.

    Args:
        folder: as `locate_documents` gives it.
        patterns: of a `Documents`.

    Raises:
        InputError: a pattern leaves the folder, or no file fits any of them.
    """
    root = folder.resolve()
    found: dict[Path, Path] = {}
    faults: list[DocumentFault] = []
    for pattern in patterns:
        matches = list(_matches(folder, pattern))
        if not matches:
            detail = f"no file that ends in {' or '.join(SUFFIXES)} fits this pattern in {folder}"
            faults.append(DocumentFault(pattern, 0, detail, missing=True))
        for path in matches:
            if not path.resolve().is_relative_to(root):
                raise InputError(f"the pattern '{pattern}' leads out of the documents' folder: {path.name} is a link")
            found.setdefault(path.resolve(), path)
    if not found:
        raise InputError(
            f"no file that ends in {' or '.join(SUFFIXES)} fits the patterns {', '.join(patterns)} in {folder}"
        )
    return sorted(found.values()), faults


def load_documents(folder: Path, patterns: Sequence[str]) -> tuple[list[Document], list[DocumentFault]]:
    """What `find_documents` finds, read; and all that it does not find or that can't be read: one hides no other.

    Raises:
        InputError: as `find_documents`.
        MissingPackageError: a PDF is named, and pdfplumber is not installed.
    """
    paths, faults = find_documents(folder, patterns)
    found: list[Document] = []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        try:
            parsed, wrong = parse_document(path, name)
        except InputError as error:
            faults.append(DocumentFault(name, 0, str(error)))
            continue
        faults += wrong
        found += [parsed] if parsed.blocks else []
    return found, faults


def parse_document(path: Path, name: str | None = None) -> tuple[Document, list[DocumentFault]]:
    """One file of `SUFFIXES`.

    Args:
        path: where it lies.
        name: what it is called; by default its last part.

    Raises:
        InputError: it can't be opened.
        MissingPackageError: it is a PDF, and pdfplumber is not installed.
    """
    name = name or path.name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error
    if path.suffix.lower() == ".pdf":
        blocks, faults = parse_pdf(path, name)
    else:
        blocks, faults = _markdown(data, name)
    if not faults and all(block.kind == "heading" for block in blocks):
        faults = [DocumentFault(name, 0, "the file has no text" + (" below its headings" if blocks else ""))]
    return Document(name, tuple(blocks)), faults


def chunks(
    document: Document, tokens: int = 500, overlap: int = 0, count: Callable[[str], int] = count_words
) -> list[Chunk]:
    """A document in pieces that fit a prompt; the same for the same document and arguments.

    A piece ends between blocks where it can, else between sentences, lines or table rows. Only what can't be divided
    (a table's row, with its header) may be longer than `tokens`.

    Args:
        document: what to cut.
        tokens: the most of a piece, its headings included.
        overlap: the most of whole sentences that a piece repeats of the one before it, under the same heading.
        count: the tokens of a text; by default its words and marks.

    Raises:
        ValueError: `tokens` is not above `overlap`, or `overlap` is negative.
    """
    if not 0 <= overlap < tokens:
        raise ValueError(f"overlap must be from 0 to below tokens ({tokens}), not {overlap}")
    return pack(document.name, document.blocks, tokens, overlap, count)


def _markdown(data: bytes, name: str) -> tuple[list[Block], list[DocumentFault]]:
    try:
        return parse_markdown(data.decode("utf-8-sig")), []
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [], [DocumentFault(name, 0, f"line {line} is not UTF-8")]


def _matches(folder: Path, pattern: str) -> Iterator[Path]:
    parts = PurePosixPath(pattern).parts
    if pattern.startswith(("/", "~")) or "\\" in pattern or ".." in parts or not parts:
        raise InputError(f"the pattern '{pattern}' must stay in the documents' folder: a relative path without '..'")
    try:
        for path in sorted(folder.glob(re.sub(r"\*\*(?=[^/])|(?<=[^/])\*\*", "*", pattern))):
            hidden = path.relative_to(folder).parts[0] == ".git"
            if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
                yield path
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"the pattern '{pattern}' can't be read: {error}") from error
    except OSError as error:
        raise InputError(f"{folder} can't be searched for '{pattern}': {error.strerror or error}") from error
