"""Documents: repositories and patterns, Markdown and PDF to blocks, blocks to chunks."""

from __future__ import annotations

import difflib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.core.documents import (
    Block,
    Document,
    DocumentFault,
    Documents,
    checkout,
    chunks,
    load_documents,
    locate_documents,
    parse_document,
)
from curation.core.errors import InputError, MissingPackageError
from tests.shared_data import shared_data
from tests.sources import tiny_pdf

LETTERS = re.compile(r"[^a-z0-9]+")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.md").write_text("# A\n\nText of A.\n")
    (folder / "deep" / "b.md").write_text("# B\n\nText of B.\n")
    (folder / "deep" / "er" / "c.MD").write_text("Text of C.\n")
    (folder / "notes.txt").write_text("no document")
    return tmp_path


def load(
    base: Path, *patterns: str, repo: str = "docs", commit: str = "main"
) -> tuple[list[Document], list[DocumentFault]]:
    return load_documents(locate_documents(Documents(repo, commit, patterns), base), patterns)


def names(base: Path, *patterns: str, repo: str = "docs", commit: str = "main") -> list[str]:
    return [found.name for found in load(base, *patterns, repo=repo, commit=commit)[0]]


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["*.md"], ["a.md"]),
        (["deep/b.md", "**/*.md", "a.md", "*"], ["a.md", "deep/b.md"]),
        (["**/*"], ["a.md", "deep/b.md", "deep/er/c.MD"]),
        (["**.md"], ["a.md"]),
        (["deep/*/c.*"], ["deep/er/c.MD"]),
    ],
)
def test_patterns_name_each_file_once(base: Path, patterns: list[str], wanted: list[str]) -> None:
    assert names(base, *patterns) == wanted


@pytest.mark.parametrize("pattern", ["../*.md", "deep/../../x.md", "/etc/*.md", "~/x.md", "..\\x.md"])
def test_a_pattern_may_not_leave_the_folder(base: Path, pattern: str) -> None:
    (base / "x.md").write_text("secret")
    with pytest.raises(InputError, match="must stay in the documents' folder"):
        names(base, "*.md", pattern)


def test_a_link_may_not_leave_the_folder(base: Path) -> None:
    (base / "x.md").write_text("secret")
    (base / "docs" / "link.md").symlink_to(base / "x.md")
    with pytest.raises(InputError, match="leads out of the documents' folder"):
        names(base, "*.md")


def test_what_fits_no_file_and_what_is_no_folder(base: Path) -> None:
    with pytest.raises(InputError, match=r"no file that ends in \.md or \.pdf fits the patterns \*\.txt"):
        names(base, "*.txt")
    with pytest.raises(InputError, match="neither a git address nor a folder"):
        names(base, "*.md", repo="nowhere")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_repository_is_read_at_its_commit(base: Path) -> None:
    work, target = base / "docs", base / "docs.git"
    git(work, "init", "-q")
    (work / "link.md").symlink_to("/etc/hostname")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "first")
    first = git(work, "rev-parse", "HEAD")
    (work / "a.md").write_text("# A\n\nAnother text.\n")
    git(work, "rm", "-q", "--cached", "link.md")
    git(work, "commit", "-q", "-a", "-m", "second")
    git(work, "clone", "-q", "--bare", str(work), str(target))
    for repo in (target.as_uri(), str(target), "docs"):
        for commit in (first, first[:8]):
            found, faults = load(base, "a.md", "link.md", repo=repo, commit=commit)
            assert [document.name for document in found] == ["a.md", "link.md"]
            assert found[0].blocks[1].text == "Text of A."
            assert found[1].blocks[0].text == "/etc/hostname"  # the link itself, not what it points to
            assert faults == []
    kept = locate_documents(Documents(target.as_uri(), "main", ()), base, base / "kept")
    newest = load_documents(kept, ["*.md"])[0]
    assert newest[0].blocks[1].text == "Another text."
    assert len(list((base / "kept").iterdir())) == 1
    for commit in ("0" * 40, "nothing"):
        with pytest.raises(InputError, match="can't be fetched with git"):
            names(base, "*.md", repo=target.as_uri(), commit=commit)


@pytest.mark.parametrize("commit", ["--upload-pack=touch x", "-x", "a b", ""])
def test_a_commit_is_no_option(base: Path, commit: str) -> None:
    git(base / "docs", "init", "-q")
    with pytest.raises(InputError, match="is no commit, tag or branch"):
        names(base, "*.md", commit=commit)


@pytest.mark.parametrize("repo", ["ext::sh -c touch% x", "--upload-pack=x"])
def test_a_repository_runs_no_command(base: Path, repo: str) -> None:
    with pytest.raises(InputError):
        names(base, "*.md", repo=repo)


@pytest.mark.parametrize(
    "repo", ["--upload-pack=x", "-x@host:y", "me@-x:y", "ssh://-oProxyCommand=x/y", "ssh://me@-x/y"]
)
def test_an_address_is_no_option(base: Path, repo: str) -> None:
    with pytest.raises(InputError, match="may begin with '-'"):
        checkout(repo, base / "kept")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://me:secret@127.0.0.1:{server.getsockname()[1]}/x.git"


@pytest.mark.parametrize("commit", [None, "main"])
def test_git_is_stopped_after_its_time(base: Path, silent: str, commit: str | None) -> None:
    with pytest.raises(InputError, match=r"127\.0\.0\.1:\d+/x\.git .* took more than 0\.5 seconds") as caught:
        checkout(silent, base / "kept", commit, seconds=0.5)
    assert "secret" not in str(caught.value)
    assert list((base / "kept").iterdir()) == []


class Locked(BaseHTTPRequestHandler):
    """Asks everybody for a password."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not heard."""


def test_git_never_asks_for_a_password(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Locked) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(InputError, match="terminal prompts disabled"):
                checkout(f"http://127.0.0.1:{server.server_port}/x.git", base / "kept", "main")
        finally:
            server.shutdown()
            thread.join()


def test_git_minds_its_own_repository(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(base / "docs", "init", "-q")
    git(base / "docs", "add", "-A")
    git(base / "docs", "commit", "-q", "-m", "all")
    (base / "caller").mkdir()
    for name in ("GIT_DIR", "GIT_INDEX_FILE"):  # as in a hook
        monkeypatch.setenv(name, str(base / "caller" / name))
    assert names(base, "*.md") == ["a.md"]
    assert list((base / "caller").iterdir()) == []


def test_one_broken_file_hides_no_other(base: Path) -> None:
    pytest.importorskip("pdfplumber")
    (base / "docs" / "bad.md").write_bytes(b"# Good\n\nb\xe9d\n")
    (base / "docs" / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    (base / "docs" / "empty.md").write_text("\n\n")
    found, faults = load(base, "none.md", "*")
    assert [document.name for document in found] == ["a.md"]
    assert [fault.file_name for fault in faults] == ["none.md", "bad.md", "bad.pdf", "empty.md"]
    assert [fault.missing for fault in faults] == [True, False, False, False]
    assert "fits this pattern" in str(faults[0])
    assert "line 3 is not UTF-8" in str(faults[1])
    assert "can't be read" in str(faults[2])


MARKDOWN = """\
---
title: left out
---
Before all.

# One #

First line
second line
## Two

- item
  more

- item two
1. number

| a | b |
|---|:-:|
| 1 | 2 |
| 3 | 4 |
After the table.

Setext
======

```sh
# no heading

| no | table |
```
***
### Deep
a | b, which is no table
"""


def test_markdown(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text(MARKDOWN)
    document, faults = parse_document(tmp_path / "x.md")
    assert faults == []
    assert [(block.kind, block.text, block.headings) for block in document.blocks] == [
        ("paragraph", "Before all.", ()),
        ("heading", "One", ("One",)),
        ("paragraph", "First line\nsecond line", ("One",)),
        ("heading", "Two", ("One", "Two")),
        ("list", "- item\n  more\n\n- item two\n1. number", ("One", "Two")),
        ("table", "| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |", ("One", "Two")),
        ("paragraph", "After the table.", ("One", "Two")),
        ("heading", "Setext", ("Setext",)),
        ("code", "```sh\n# no heading\n\n| no | table |\n```", ("Setext",)),
        ("heading", "Deep", ("Setext", "Deep")),
        ("paragraph", "a | b, which is no table", ("Setext", "Deep")),
    ]


def long_lines(x: float, top: float, name: str, width: int = 40, lines: int = 4) -> list[tiny_pdf.Text]:
    """A paragraph that names itself in each of its lines."""
    words = [f"{name} line {number} ".ljust(width, "x") for number in range(lines)]
    return [(x, top + 12 * number, 10, line) for number, line in enumerate(words)]


TABLE = [["Name", "Length"], *([f"River {n}", f"{n}00 km"] for n in range(10))]


def made(path: Path) -> Document:
    """Three pages with headers and footers: six headings, ten paragraphs, eleven table rows, two columns of four."""
    pages = []
    for number in range(3):
        around = [(50.0, 20.0, 8.0, "A running header"), (280.0, 770.0, 8.0, f"Page {number + 1} of 3")]
        items: list[tiny_pdf.Text] = [(50, 60, 18 if number else 22, f"Heading {number}a"), *around]
        drawn = b""
        if number == 0:
            items += [item for n in range(5) for item in long_lines(50, 100 + 70 * n, f"wide {n}", 90)]
            items += [(50, 460, 14, "Heading 0b"), *long_lines(50, 490, "wide 5", 90)]
        elif number == 1:
            drawn = tiny_pdf.table(50, 100, TABLE)
            items += [
                (50, 350, 14, "Heading 1b"),
                *long_lines(50, 380, "wide 6", 90),
                *long_lines(50, 440, "wide 7", 90),
            ]
        else:
            items += long_lines(50, 100, "wide 8", 90)
            for n in range(4):
                items += long_lines(50, 170 + 60 * n, f"left {n}")
                items += long_lines(320, 170 + 60 * n, f"right {n}")
            items += [(50, 430, 14, "Heading 2b"), *long_lines(50, 460, "wide 9", 90)]
        pages.append(
            tiny_pdf.text([(x, top, size, words.replace("*", "")) for x, top, size, words in items]) + b"\n" + drawn
        )
    document, faults = parse_document(tiny_pdf.write_pdf(path, pages))
    assert faults == []
    return document


def test_a_pdf_with_headings_tables_and_columns(tmp_path: Path) -> None:
    pytest.importorskip("pdfplumber")
    document = made(tmp_path / "made.pdf")
    titles = [block.headings for block in document.blocks if block.kind == "heading"]
    assert titles == [
        ("Heading 0a",),
        ("Heading 0a", "Heading 0b"),
        ("Heading 0a", "Heading 1a"),
        ("Heading 0a", "Heading 1a", "Heading 1b"),
        ("Heading 0a", "Heading 2a"),
        ("Heading 0a", "Heading 2a", "Heading 2b"),
    ]
    [table] = [block for block in document.blocks if block.kind == "table"]
    rows = table.text.split("\n")
    assert [rows[0], *rows[2:]] == [f"| {name} | {length} |" for name, length in TABLE]
    paragraphs = [block.text for block in document.blocks if block.kind == "paragraph"]
    order = (
        [f"wide {n}" for n in range(9)]
        + [f"left {n}" for n in range(4)]
        + [f"right {n}" for n in range(4)]
        + ["wide 9"]
    )
    assert [text[: len(name)] for text, name in zip(paragraphs, order, strict=True)] == order
    for text, name in zip(paragraphs, order, strict=True):
        assert re.findall(rf"{name} line (\d)", text) == ["0", "1", "2", "3"]
    assert "running" not in "".join(block.text for block in document.blocks)
    assert "Page" not in "".join(block.text for block in document.blocks)


def test_words_are_joined_over_lines_and_pages(tmp_path: Path) -> None:
    pytest.importorskip("pdfplumber")
    first = [(50.0, 100.0, 10.0, "A river is a stream of wa-"), (50.0, 112.0, 10.0, "ter that flows to the")]
    second = [
        (50.0, 100.0, 10.0, "sea, or to a lake."),
        (50.0, 140.0, 10.0, "A well-"),
        (50.0, 152.0, 10.0, "Known one."),
    ]
    path = tiny_pdf.write_pdf(tmp_path / "x.pdf", [tiny_pdf.text(first), tiny_pdf.text(second)])
    texts = [block.text for block in parse_document(path)[0].blocks]
    assert texts == ["A river is a stream of water that flows to the sea, or to a lake.", "A well- Known one."]


def test_a_caption_in_the_midst_of_a_sentence_comes_after_it(tmp_path: Path) -> None:
    pytest.importorskip("pdfplumber")
    first = [*long_lines(50, 100, "first", 90), (50.0, 170.0, 10.0, "The river flows"), (50.0, 300.0, 7.0, "A picture")]
    second = [(50.0, 100.0, 10.0, "to the sea.[2]"), (50.0, 140.0, 10.0, "It ends.")]
    path = tiny_pdf.write_pdf(tmp_path / "x.pdf", [tiny_pdf.text(first), tiny_pdf.text(second)])
    texts = [block.text for block in parse_document(path)[0].blocks]
    assert texts[1:] == ["The river flows to the sea.[2]", "A picture", "It ends."]


def test_bold_lines_are_headings_and_numbered_lines_are_lists(tmp_path: Path) -> None:
    pytest.importorskip("pdfplumber")
    items = [(50.0, 70.0, 10.0, "*Bold title"), *long_lines(50, 100, "text", 90), (50.0, 170.0, 10.0, "1. First item")]
    path = tiny_pdf.write_pdf(tmp_path / "x.pdf", [tiny_pdf.text([*items, (50.0, 182.0, 10.0, "2. Second item")])])
    found = [(block.kind, block.text[:14]) for block in parse_document(path)[0].blocks]
    assert found[0] == ("heading", "Bold title")
    assert found[1][0] == "paragraph"
    assert found[2:] == [("list", "1. First item"), ("list", "2. Second item")]


def test_a_page_without_text_is_reported(tmp_path: Path) -> None:
    pytest.importorskip("pdfplumber")
    text = tiny_pdf.text([(50, 100, 10, "Some text.")])
    path = tiny_pdf.write_pdf(tmp_path / "x.pdf", [text, tiny_pdf.picture(), b""])
    document, faults = parse_document(path)
    assert [block.text for block in document.blocks] == ["Some text."]
    assert [(fault.file_name, fault.page) for fault in faults] == [("x.pdf", 2), ("x.pdf", 3)]
    assert "it is a scan" in str(faults[0])
    assert str(faults[1]) == "x.pdf page 3: the page has no text"


def test_without_the_package_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pdfplumber", None)
    path = tiny_pdf.write_pdf(tmp_path / "x.pdf", [b""])
    with pytest.raises(MissingPackageError, match=r"needs the package pdfplumber: .*curation\[taxonomy\]"):
        parse_document(path)


def words(text: str) -> int:
    return len(text.split())


def document_of(*blocks: Block) -> Document:
    return Document("x.md", blocks)


def test_chunks_have_their_headings_and_repeat_sentences(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("# A\n\n## B\n\n" + " ".join(f"Sentence number {n} here." for n in range(10)))
    document = parse_document(tmp_path / "x.md")[0]
    found = chunks(document, tokens=20, overlap=4, count=words)
    assert [chunk.index for chunk in found] == list(range(len(found)))
    assert {chunk.headings for chunk in found} == {("A", "B")}
    assert found[0].text.startswith("# A\n\n## B\n\nSentence number 0 here. Sentence")
    assert [re.findall(r"\d", chunk.text) for chunk in found] == [list("0123"), list("3456"), list("6789")]
    assert [re.findall(r"\d", chunk.text) for chunk in chunks(document, 20, 0, words)] == [
        list("0123"),
        list("4567"),
        list("89"),
    ]


def test_small_sections_share_a_chunk_and_large_ones_begin_their_own(tmp_path: Path) -> None:
    body = " ".join(["word"] * 14) + "."
    (tmp_path / "x.md").write_text(f"# A\n\nShort.\n\n## B\n\nShort too.\n\n## C\n\n{body}\n\n## D\n\nLast.\n")
    found = chunks(parse_document(tmp_path / "x.md")[0], 22, 0, words)
    assert [chunk.text for chunk in found] == [
        "# A\n\nShort.\n\n## B\n\nShort too.",
        f"# A\n\n## C\n\n{body}",
        "# A\n\n## D\n\nLast.",
    ]


def test_a_table_is_divided_between_rows_and_repeats_its_header() -> None:
    rows = [f"| row {n} | {'cell ' * n}|" for n in range(12)]
    table = Block("table", "\n".join(["| a | b |", "| --- | --- |", *rows]), ("T",))
    found = chunks(document_of(Block("paragraph", "Before.", ("T",)), table), 30, 0, words)
    seen = []
    for chunk in found:
        lines = chunk.text.split("\n")
        first = lines.index("| a | b |")
        assert lines[first + 1] == "| --- | --- |"
        seen += lines[first + 2 :]
    assert seen == rows
    whole = chunks(document_of(Block("paragraph", "Before. " * 20, ("T",)), table), 300, 0, words)
    assert len(whole) == 1
    kept = chunks(document_of(Block("paragraph", "Before. " * 100, ("T",)), table), 170, 0, words)
    assert kept[-1].text.split("\n")[2:] == table.text.split("\n")


def test_a_sentence_that_is_too_long_is_divided() -> None:
    found = chunks(document_of(Block("paragraph", "word " * 100), Block("code", "x" * 400)), 30, 0, len)
    assert all(chunk.tokens <= 30 for chunk in found)
    assert "".join(chunk.text for chunk in found).replace(" ", "").replace("\n", "") == "word" * 100 + "x" * 400


@pytest.mark.parametrize(("tokens", "overlap"), [(0, 0), (10, 10), (10, -1)])
def test_an_overlap_that_makes_no_sense_is_refused(tokens: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap must be"):
        chunks(document_of(), tokens, overlap)


SENTENCES = st.lists(st.sampled_from(["One two.", "Three four five six.", "Seven!", "Eight nine ten"]), min_size=1)
BLOCKS = st.lists(st.tuples(SENTENCES, st.sampled_from([("A",), ("A", "B"), ("C",)])), max_size=8)


@settings(max_examples=50, deadline=None)
@given(BLOCKS, st.integers(8, 60), st.integers(0, 7))
def test_chunks_hold_all_of_a_document_and_fit(
    parts: list[tuple[list[str], tuple[str, ...]]], tokens: int, overlap: int
) -> None:
    blocks = [Block("paragraph", " ".join(sentences), headings) for sentences, headings in parts]
    found = chunks(document_of(*blocks), tokens, overlap, words)
    assert found == chunks(document_of(*blocks), tokens, overlap, words)
    assert all(chunk.tokens == words(chunk.text) <= tokens for chunk in found)
    if overlap == 0:
        text = " ".join(line for chunk in found for line in chunk.text.split("\n") if not line.startswith("#"))
        assert text.split() == " ".join(block.text for block in blocks).split()


def plain(markdown: str) -> str:
    """Markdown without its links, and letters and digits alone."""
    text = re.sub(r"\[([^\]]*)\]\((?:[^()]|\([^()]*\))*\)", r"\1", markdown, flags=re.DOTALL)
    return LETTERS.sub("", re.sub(r"<[^>]+>|\[\d+\]", "", text).lower())


def found_in(text: str, blocks: Sequence[Block]) -> bool:
    """Whether one block holds the text, but for a few characters."""
    return any(
        block.kind == "paragraph" and difflib.SequenceMatcher(None, text, plain(block.text), False).ratio() > 0.95
        for block in blocks
    )


@pytest.mark.slow
def test_the_same_document_as_markdown_and_as_pdf() -> None:
    pytest.importorskip("pdfplumber")
    folder = shared_data() / "knowledge_docs"
    wanted, given_pdf = (parse_document(folder / f"phoenix.{suffix}") for suffix in ("md", "pdf"))
    assert given_pdf[1] == []
    titles = [block.text for block in given_pdf[0].blocks if block.kind == "heading"]
    headings = [block.text for block in wanted[0].blocks if block.kind == "heading"]
    paragraphs = [plain(block.text) for block in wanted[0].blocks if block.kind == "paragraph"]
    matched = [found_in(text, given_pdf[0].blocks) for text in paragraphs]
    assert [title for title in titles if title in headings] == headings
    assert (len(headings), len(matched)) == (7, 16)
    assert sum(matched) >= 15  # one is divided by a box beside it, over two pages
