"""InstructLab's taxonomy: seeds to write from, one for each example of a skill, and for each chunk of knowledge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from curation.core.contracts import Source
from curation.core.documents import Chunk, checkout, head, is_repository, without_secrets
from curation.core.errors import RecordError
from curation.core.records import DETAIL, REASON, SEED, Record, digest, seed
from curation.core.registry import nearest
from curation.sources._faults import EMPTY_RECORD
from curation.sources._file_source import pack
from curation.sources._files import InputFile, fingerprint
from curation.sources._rows import CONTENT_ID, Place, RowReader, dump, lazy_table, marked, to_frame
from curation.sources._taxonomy_documents import Home, Homes, chunk_id, folders, pieces, place_of
from curation.sources._taxonomy_leaves import KNOWLEDGE, ROOTS, Leaf, Pair, Seed, find_leaves, read_leaf
from curation.sources._taxonomy_schema import Fault, require

if TYPE_CHECKING:
    import dask.dataframe as dd

__all__ = ["Fault", "Leaf", "Pair", "Seed", "Taxonomy", "read_taxonomy"]

_BYTES: Final = 1 << 20
"""Of documents in a partition: some pages of PDF are read in a second."""


def read_taxonomy(root: str | Path, download_dir: str | Path = "data/raw") -> tuple[list[Leaf], list[Fault]]:
    """All leaves of a taxonomy, and all that is wrong with the others: one broken leaf hides none.

    Args:
        root: the folder with `compositional_skills`, `knowledge` or `foundational_skills`, or a git address.
        download_dir: where the checkout of a git address is kept.

    Returns:
        Leaves and faults, each sorted by path.

    Raises:
        InputError: there is no taxonomy at `root`.
        MissingPackageError: InstructLab's schema is not installed.
    """
    files, faults = find_leaves(_folder(str(root), Path(download_dir)))
    leaves: list[Leaf] = []
    for file in files:
        leaf, wrong = read_leaf(file)
        faults += wrong
        leaves += [leaf] if leaf else []
    return leaves, sorted(faults, key=lambda fault: (fault.file_name, fault.line, fault.column))


class Taxonomy(Source):
    """InstructLab's taxonomy: its seed examples and documents, to write from.

    Every row has the origin `seed`: it is written from, and is never training data itself. Its only tag is the leaf's
    path; `extra` holds what the leaf says of itself: `leaf`, `kind` (its root), `created_by`, and `task_description`,
    or `domain`, `document_outline` and `document`. Each fault of a leaf or a document is a row as well.

    - A skill has a row for each seed example: `question`, `answer`, and `context`, which is null in a freeform one.
    - Knowledge has a row for each chunk of its documents and each seed example: `context` is the chunk; `question` and
      `answer` are null. `extra` has the example (its `context` and `pairs`), and of the chunk its name (`chunk`),
      `headings` and `page`. So does InstructLab's LAB method: a seed example shows the teacher what to ask of a chunk.

    An id depends on the leaf's path and the row's texts alone.

    Args:
        path: the folder with `compositional_skills`, `knowledge` or `foundational_skills`, or a git address, of which
            the newest state is fetched once.
        download_dir: where the checkouts of git addresses are kept, the taxonomy's and its documents'.
        files_per_partition: so many leaves share a partition; fewer where their documents are large. Changes no row.
        documents: a folder with the documents, in place of what the leaves name: for use without a network. Or a folder
            for each of several beginnings of leaves' paths, of which the longest decides. A leaf's patterns are applied
            there.
        chunk_tokens: the most of a chunk, counted as words and marks.
        chunk_overlap: the most that a chunk repeats of the one before it.
        kinds: which of the three folders are read.

    Raises:
        ValueError: a number is out of its range, or a kind is unknown.
    """

    def __init__(
        self,
        path: str,
        download_dir: str = "data/raw",
        files_per_partition: int = 64,
        documents: str | Mapping[str, str] | None = None,
        chunk_tokens: int = 500,
        chunk_overlap: int = 0,
        kinds: Sequence[str] = ROOTS,
    ) -> None:
        if files_per_partition < 1:
            raise ValueError(f"files_per_partition must be at least 1, not {files_per_partition}")
        if not 0 <= chunk_overlap < chunk_tokens:
            raise ValueError(f"chunk_overlap must be from 0 to below chunk_tokens={chunk_tokens}, not {chunk_overlap}")
        if isinstance(kinds, str) or not kinds:
            raise ValueError(f"kinds is a list of some of {', '.join(ROOTS)}")
        for kind in set(kinds) - set(ROOTS):
            raise ValueError(f"kinds: there is no '{kind}'.{nearest(kind, [*ROOTS])} There are: {', '.join(ROOTS)}")
        self.path = path
        self.download_dir = download_dir
        self.files_per_partition = files_per_partition
        self.documents = documents
        self.chunk_tokens = chunk_tokens
        self.chunk_overlap = chunk_overlap
        self.kinds = kinds

    def read(self) -> dd.DataFrame:
        """See `Source.read`: repositories are fetched here, documents are parsed on the workers."""
        require()
        items, faults = self._find(_folder(self.path, Path(self.download_dir)))
        parts = [_Part(items) for items in pack(items, _BYTES, self.files_per_partition)]
        misnamed = [_Part(faults=tuple(faults))] if faults else []
        size = {"tokens": self.chunk_tokens, "overlap": self.chunk_overlap}
        return lazy_table(_read_part, [*parts, *misnamed], label="read-taxonomy", **size)

    def fingerprint(self) -> str:
        """The commits of git addresses; of folders, the files' names, sizes and modification times."""
        require()
        folder = _folder(self.path, Path(self.download_dir))
        items, faults = self._find(folder)
        documents = [item.home.state for item in items if item.home]
        if self._fetched(folder):
            return digest("git", head(folder), *documents)
        misnamed = [InputFile(folder / fault.file_name, fault.file_name) for fault in faults]
        return digest(fingerprint([*(item.file for item in items), *misnamed]), *documents)

    def _find(self, folder: Path) -> tuple[list[_Item], list[Fault]]:
        """All leaves, with what is known of their documents before these are read; and the misnamed files."""
        files, faults = find_leaves(folder, self.kinds)
        knowledge = {file.name: Path(file.name).parent.as_posix() for file in files if _is_knowledge(file)}
        instead = folders(self.documents if KNOWLEDGE in self.kinds else None, list(knowledge.values()))
        homes = Homes(folder, Path(self.download_dir), instead, self._fetched(folder))
        items: list[_Item] = []
        for file in files:
            leaf = read_leaf(file)[0] if file.name in knowledge else None
            items.append(_Item(file, homes.of(leaf, leaf.document) if leaf and leaf.document else None))
        return items, faults

    def _fetched(self, folder: Path) -> bool:
        return folder != Path(self.path)


@dataclass(frozen=True)
class _Item:
    """A leaf's file, and where its documents lie, if it names any."""

    file: InputFile
    home: Home | None = None

    @property
    def size(self) -> int:
        """Bytes of documents."""
        return self.home.size if self.home else 0


@dataclass(frozen=True)
class _Part:
    """What one partition is made of."""

    items: tuple[_Item, ...] = ()
    faults: tuple[Fault, ...] = ()


def _folder(path: str, download_dir: Path) -> Path:
    """A work tree is read as it stands, with what is not committed yet; anything else of git's is checked out."""
    if any((Path(path) / name).is_dir() for name in ROOTS) or not is_repository(path):
        return Path(path)
    return checkout(path, download_dir)


def _is_knowledge(file: InputFile) -> bool:
    return Path(file.name).parts[0] == KNOWLEDGE


def _read_part(part: _Part, tokens: int, overlap: int) -> pd.DataFrame:
    rows = [*map(_fault_row, part.faults), *(row for item in part.items for row in _rows(item, tokens, overlap))]
    return to_frame({**row, "origin": SEED} for row in rows)


def _rows(item: _Item, tokens: int, overlap: int) -> Iterator[Record]:
    leaf, faults = read_leaf(item.file)
    yield from map(_fault_row, faults)
    if leaf is None:
        return
    if item.home is None:
        yield from _skill_rows(leaf)
    else:
        found, faults = pieces(leaf, item.home, tokens, overlap)
        blank = [fault for seed in leaf.seeds for fault in _blank(leaf, seed)]
        yield from map(_fault_row, [*faults, *blank])
        yield from _knowledge_rows(leaf, found)


def _skill_rows(leaf: Leaf) -> Iterator[Record]:
    reader = RowReader()
    about = {**_about(leaf), "task_description": leaf.task_description}
    for example in leaf.seeds:
        [pair] = example.pairs
        texts = {"question": pair.question, "answer": pair.answer, "context": example.context}
        key = CONTENT_ID + digest(leaf.path, *(text or "" for text in texts.values()))
        value = {**about, **texts, "id": key, "tags": [_tag(leaf)]}
        yield reader.row(value, Place(leaf.file_name, example.line), partial(dump, texts))


def _knowledge_rows(leaf: Leaf, found: Sequence[Chunk]) -> Iterator[Record]:
    """Every chunk with every seed example that has all its texts."""
    examples = [example for example in leaf.seeds if not list(_blank(leaf, example))]
    about = {**_about(leaf), "domain": leaf.domain, "document_outline": leaf.document_outline}
    if leaf.document:
        about["document"] = asdict(replace(leaf.document, repo=without_secrets(leaf.document.repo)))
    for chunk in found:
        piece = {**about, "chunk": place_of(chunk), "headings": chunk.headings, "page": chunk.page}
        for example in examples:
            pairs = [{"question": pair.question, "answer": pair.answer} for pair in example.pairs]
            texts = [example.context or "", *(text for pair in pairs for text in pair.values())]
            columns = {
                "context": chunk.text,
                "tags": _tag(leaf),
                "file_name": leaf.file_name,
                "line": example.line,
                "extra": dump({**piece, "example": {"context": example.context, "pairs": pairs}}).decode(),
            }
            yield {**seed(CONTENT_ID + chunk_id(leaf, chunk, *texts), **columns), REASON: None, DETAIL: None}


def _blank(leaf: Leaf, example: Seed) -> Iterator[Fault]:
    """A fault for each text of a knowledge leaf's seed example that is blank."""
    texts = [(example.line, "context", example.context)]
    texts += [(pair.line, name, getattr(pair, name)) for pair in example.pairs for name in ("question", "answer")]
    for line, name, text in texts:
        if not text:
            yield Fault(leaf.path, leaf.file_name, line, 0, EMPTY_RECORD, f"'{name}' is blank")


def _about(leaf: Leaf) -> Record:
    return {"leaf": leaf.path, "kind": leaf.kind, "created_by": leaf.created_by}


def _tag(leaf: Leaf) -> str:
    return leaf.path.replace(",", " ")


def _fault_row(fault: Fault) -> Record:
    """Several faults of one leaf are several rows: the column and the words tell them apart."""
    identifier = f"{fault.file_name}#L{fault.line}-{digest(fault.column, fault.reason, fault.detail, size=4)}"
    place = Place(fault.file_name, fault.line)
    column = f"column {fault.column}: " if fault.column else ""
    return marked(RecordError(fault.reason, f"{column}{fault.detail}"), place, b"", identifier)
