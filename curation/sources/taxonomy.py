"""InstructLab's taxonomy: the seed examples of every `qna.yaml`, as records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from curation.core.contracts import Source
from curation.core.documents import checkout, head, is_repository
from curation.core.errors import RecordError
from curation.core.records import Record, digest
from curation.sources._files import InputFile, fingerprint
from curation.sources._rows import CONTENT_ID, Place, RowReader, dump, lazy_table, marked, to_frame
from curation.sources._taxonomy_leaves import ROOTS, Leaf, Seed, find_leaves, read_leaf
from curation.sources._taxonomy_schema import Fault, require

if TYPE_CHECKING:
    import dask.dataframe as dd

__all__ = ["Fault", "Leaf", "Seed", "Taxonomy", "read_taxonomy"]


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
    """The seed examples of InstructLab's taxonomy, one row each.

    A row has `question`, `answer`, `context` (null in a freeform seed), the leaf's path as its only tag, and in `extra`
    what the leaf says of itself: `leaf`, `kind`, `created_by`, `task_description` or `domain`, `document_outline` and
    `document`. Its id depends on the leaf's path and the seed's texts alone. Each fault of a leaf is a row as well.

    Args:
        path: the folder with `compositional_skills`, `knowledge` or `foundational_skills`, or a git address, of which
            the newest state is fetched once.
        download_dir: where the checkout of a git address is kept.
        files_per_partition: so many leaves share a partition. Changes no row.
    """

    def __init__(self, path: str, download_dir: str = "data/raw", files_per_partition: int = 64) -> None:
        if files_per_partition < 1:
            raise ValueError(f"files_per_partition must be at least 1, not {files_per_partition}")
        self.path = path
        self.download_dir = download_dir
        self.files_per_partition = files_per_partition

    def read(self) -> dd.DataFrame:
        """See `Source.read`."""
        require()
        files, faults = find_leaves(_folder(self.path, Path(self.download_dir)))
        size = self.files_per_partition
        parts = [_Part(tuple(files[start : start + size])) for start in range(0, len(files), size)]
        misnamed = [_Part(faults=tuple(faults))] if faults else []
        return lazy_table(_read_part, [*parts, *misnamed], label="read-taxonomy")

    def fingerprint(self) -> str:
        """The commit of a git address; of a folder, the files' names, sizes and modification times."""
        folder = _folder(self.path, Path(self.download_dir))
        if is_repository(self.path) and folder != Path(self.path):
            return digest("git", head(folder))
        files, faults = find_leaves(folder)
        misnamed = [InputFile(folder / fault.file_name, fault.file_name) for fault in faults]
        return fingerprint([*files, *misnamed])


@dataclass(frozen=True)
class _Part:
    """What one partition is made of."""

    files: tuple[InputFile, ...] = ()
    faults: tuple[Fault, ...] = ()


def _folder(path: str, download_dir: Path) -> Path:
    """A work tree is read as it stands, with what is not committed yet; anything else of git's is checked out."""
    if any((Path(path) / name).is_dir() for name in ROOTS) or not is_repository(path):
        return Path(path)
    return checkout(path, download_dir)


def _read_part(part: _Part) -> pd.DataFrame:
    return to_frame([*map(_fault_row, part.faults), *(row for file in part.files for row in _rows(file))])


def _rows(file: InputFile) -> Iterator[Record]:
    leaf, faults = read_leaf(file)
    yield from map(_fault_row, faults)
    if leaf is None:
        return
    reader = RowReader()
    about = _about(leaf)
    for seed in leaf.seeds:
        texts = {"question": seed.question, "answer": seed.answer, "context": seed.context}
        key = CONTENT_ID + digest(leaf.path, *(text or "" for text in texts.values()))
        value = {**about, **texts, "id": key, "tags": [leaf.path.replace(",", " ")]}
        yield reader.row(value, Place(file.name, seed.line), partial(dump, texts))


def _about(leaf: Leaf) -> Record:
    """What `extra` says of the leaf; what its kind doesn't have is left out."""
    document = asdict(leaf.document) if leaf.document else None
    about = {
        "leaf": leaf.path,
        "kind": leaf.kind,
        "created_by": leaf.created_by,
        "task_description": leaf.task_description,
        "domain": leaf.domain,
        "document_outline": leaf.document_outline,
        "document": document,
    }
    return {name: value for name, value in about.items() if value is not None}


def _fault_row(fault: Fault) -> Record:
    """Several faults of one leaf are several rows: the column and the words tell them apart."""
    identifier = f"{fault.file_name}#L{fault.line}-{digest(fault.column, fault.reason, fault.detail, size=4)}"
    place = Place(fault.file_name, fault.line)
    column = f"column {fault.column}: " if fault.column else ""
    return marked(RecordError(fault.reason, f"{column}{fault.detail}"), place, b"", identifier)
