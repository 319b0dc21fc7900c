"""Which files a source reads, and what it says when there are none."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from curation.core.errors import InputError
from curation.sources._files import beginning, find_files, fingerprint
from curation.sources._rows import to_frame
from curation.sources.jsonl import Jsonl
from tests.sources.helpers import write

SUFFIXES = (".jsonl",)


def names(*paths: Path | str, limit: int | None = None) -> list[str]:
    return [file.name for file in find_files([str(path) for path in paths], SUFFIXES, limit)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.jsonl",
        "a.jsonl",
        "deep/er/c.jsonl.gz",
        "notes.txt",
        ".hidden.jsonl",
        ".git/d.jsonl",
        "e.jsonl.zst",
    ):
        write(tmp_path / name, "{}")
    return tmp_path


def test_folders_are_searched_and_sorted(folder: Path) -> None:
    assert names(folder) == ["a.jsonl", "b.jsonl", "deep/er/c.jsonl.gz", "e.jsonl.zst"]
    assert names(folder, limit=2) == ["a.jsonl", "b.jsonl"]


def test_globs_files_and_folders_mix_without_doubles(folder: Path) -> None:
    assert names(folder / "*.jsonl", folder, folder / "deep" / ".." / "a.jsonl") == names(folder)
    assert names(folder / "**" / "c.*") == ["c.jsonl.gz"]
    assert names(folder / "notes.txt") == ["notes.txt"]  # a file that is named is read, whatever its ending


def test_a_file_whose_name_has_magic_characters_is_itself(tmp_path: Path) -> None:
    assert names(write(tmp_path / "part[1].jsonl", "{}")) == ["part[1].jsonl"]


def test_names_tell_equal_file_names_apart(tmp_path: Path) -> None:
    for part in ("x", "y"):
        write(tmp_path / part / "train.jsonl", "{}")
    assert names(tmp_path / "x", tmp_path / "y") == ["x/train.jsonl", "y/train.jsonl"]


def test_missing_inputs_are_named_with_what_to_do(tmp_path: Path) -> None:
    write(tmp_path / "other.txt", "x")
    for path in ("gone.jsonl", "*.jsonl", "."):
        with pytest.raises(InputError, match=r"correct|ends in"):
            names(tmp_path / path)
    with pytest.raises(InputError, match="--input"):
        names()


def test_an_unreadable_folder_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"deep can't be read: Permission denied"):
        names(folder)


def test_the_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    source = Jsonl([write(tmp_path / "one" / "a.jsonl", "{}")])
    os.utime(tmp_path / "one" / "a.jsonl", ns=(1, 10**9))
    before = source.fingerprint()
    (tmp_path / "one").rename(tmp_path / "two")
    moved = find_files([str(tmp_path / "two")], SUFFIXES)
    assert fingerprint(moved) == before
    os.utime(moved[0].path, ns=(1, 10**9 + 1))
    assert fingerprint(moved) != before


def test_beginning_passes_over_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + b" \n" * 5000 + b"[ \n ]"))
    assert beginning(find_files([str(packed)], SUFFIXES)[0]) == b"[]"


def test_limits_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="num_files must be at least 1, not 0"):
        Jsonl(["x"], num_files=0)


def test_the_empty_table_has_the_types_of_a_full_one() -> None:
    assert to_frame([]).dtypes["line"] == "int64"
    assert to_frame([]).dtypes["round"] == "int32"
