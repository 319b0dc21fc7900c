"""InstructLab's taxonomy: leaves, seeds, documents, git, and every fault with its file, line and reason."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.core.documents import Documents, chunks, parse_document
from curation.core.errors import InputError, MissingPackageError
from curation.sources._faults import BAD_INPUT
from curation.sources.taxonomy import Taxonomy, read_taxonomy
from tests.shared_data import shared_data
from tests.sources import tiny_pdf
from tests.sources.helpers import collect, rows

pytest.importorskip("instructlab.schema", reason="the extra 'taxonomy' is not installed")
pytest.importorskip("jsonschema")

SKILL = """\
version: 3
task_description: Names of young animals.
created_by: somebody
seed_examples:
  - question: What is a young cow called?
    answer: A calf.
  - question: What is a young cat called?
    answer: |
      A kitten.
  - context: A young swan is a cygnet.
    question: What is a young swan called?
    answer: A cygnet.
  - question: What is a young dog called?
    answer: A puppy.
  - question: What is a young horse called?
    answer: A foal.
"""
PAIRS = "".join(f"      - question: Question {{0}}{n}?\n        answer: Answer {{0}}{n}.\n" for n in range(3))
KNOWLEDGE = """\
version: 3
domain: Rivers
created_by: somebody
document_outline: Rivers of a made-up land.
document:
  repo: docs
  commit: main
  patterns: ["*.md"]
seed_examples:
""" + "".join(f"  - context: Context {n}.\n    questions_and_answers:\n{PAIRS.format(n)}" for n in range(5))


def leaf(root: Path, path: str, text: str | bytes, name: str = "qna.yaml") -> Path:
    file = root / path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


LAND = "# Land\n\n" + "\n\n".join(f"## River {n}\n\nRiver {n} is {n}00 km long." for n in range(3)) + "\n"
SMALL: dict[str, Any] = {"chunk_tokens": 14}
"""Each river makes a chunk."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "land.md").write_text(LAND)
    leaf(tmp_path, "compositional_skills/animals", SKILL)
    leaf(tmp_path, "knowledge/rivers", KNOWLEDGE)
    leaf(tmp_path, "foundational_skills/young", SKILL.replace("version: 3\n", ""))
    return tmp_path


def test_leaves_of_all_three_roots(root: Path) -> None:
    leaves, faults = read_taxonomy(root)
    assert faults == []
    assert [(found.kind, found.path, len(found.seeds)) for found in leaves] == [
        ("compositional_skills", "compositional_skills/animals", 5),
        ("foundational_skills", "foundational_skills/young", 5),
        ("knowledge", "knowledge/rivers", 5),
    ]
    skill, _, knowledge = leaves
    assert skill.task_description == "Names of young animals."
    assert [seed.context for seed in skill.seeds] == [None, None, "A young swan is a cygnet.", None, None]
    assert [seed.pairs[0].answer for seed in skill.seeds][:2] == ["A calf.", "A kitten."]
    assert (skill.seeds[1].line, skill.seeds[1].pairs[0].line) == (7, 7)
    assert (knowledge.domain, knowledge.document_outline) == ("Rivers", "Rivers of a made-up land.")
    assert knowledge.document == Documents("docs", "main", ("*.md",))
    assert knowledge.document_line == 6
    assert [seed.context for seed in knowledge.seeds] == [f"Context {n}." for n in range(5)]
    assert [pair.question for pair in knowledge.seeds[4].pairs] == [f"Question 4{n}?" for n in range(3)]
    assert [pair.line for pair in knowledge.seeds[0].pairs] == [12, 14, 16]


def test_paths_never_collide_and_may_hold_a_roots_name(tmp_path: Path) -> None:
    paths = ["compositional_skills/a/b_c", "compositional_skills/a_b/c", "knowledge/compositional_skills/x"]
    for path in paths:
        leaf(tmp_path, path, KNOWLEDGE if path.startswith("knowledge") else SKILL)
    leaves, faults = read_taxonomy(tmp_path)
    assert ([found.path for found in leaves], faults) == (paths, [])
    assert leaves[2].kind == "knowledge"


def without(text: str, line: str) -> str:
    assert line in text
    return text.replace(line, "", 1)


REPEATED = SKILL.replace("created_by: somebody\n", "created_by: somebody\ncreated_by: another\n")
FAULTS: dict[str, tuple[str, str | bytes, int, str, str]] = {
    "indentation": ("skill", SKILL.replace("    answer: A calf", "   answer: A calf"), 6, "malformed", "can't be read"),
    "colon": ("skill", SKILL.replace("created_by: somebody", "created_by somebody"), 4, "malformed", "':'"),
    "block scalar": ("skill", SKILL.replace("answer: |", "answer: | A kitten"), 8, "malformed", "comment or a line"),
    "tab": (
        "skill",
        SKILL.replace("  - question: What is a young dog", "\t- question: What"),
        13,
        "malformed",
        "can't",
    ),
    "control character": ("skill", SKILL.replace("calf", "ca\x07lf"), 6, "malformed", "U+0007"),
    "two documents": ("skill", SKILL + "---\na: 1\n", 17, "malformed", "another document"),
    "not utf-8": ("skill", SKILL.encode().replace(b"calf", b"c\xe9lf"), 6, "invalid_utf8", "0xe9"),
    "nul": ("skill", SKILL.replace("A calf.", '"A\\0"'), 6, "nul_byte", "NUL"),
    "surrogate": ("skill", SKILL.replace("A calf.", '"A\\ud800"'), 6, "lone_surrogate", "surrogate"),
    "empty": ("skill", "# nothing\n", 0, "empty_file", "empty"),
    "list": ("skill", "- a\n", 1, "wrong_type", "a list where a mapping"),
    "text": ("knowledge", "just words\n", 1, "wrong_type", "a text where a mapping"),
    "itself": ("skill", SKILL.replace("A calf.", "&a [*a]"), 6, "wrong_type", "a list where a text"),
    "repeated key": ("skill", REPEATED, 4, "malformed", "'created_by' stands twice"),
    "attribution": ("skill", SKILL + "attribution: x\n", 17, "wrong_type", "may not have 'attribution'"),
    "near key": ("skill", SKILL + "created_bye: x\n", 17, "wrong_type", "Did you mean 'created_by'?"),
    "no created_by": ("skill", without(SKILL, "created_by: somebody\n"), 1, "missing_column", "no 'created_by'"),
    "no answer": ("skill", without(SKILL, "    answer: A puppy.\n"), 13, "missing_column", "'seed_examples[4]' has no"),
    "number": ("skill", SKILL.replace("A puppy.", "42"), 14, "wrong_type", "a number where a text belongs"),
    "null": ("skill", SKILL.replace("A puppy.", ""), 14, "wrong_type", "null where a text belongs"),
    "empty text": ("skill", SKILL.replace("A puppy.", "''"), 14, "empty_record", "'seed_examples[4].answer' is empty"),
    "few seeds": ("skill", SKILL[: SKILL.index("  - context")], 5, "missing_column", "2 of at least 5"),
    "no version": ("knowledge", without(KNOWLEDGE, "version: 3\n"), 1, "wrong_type", "Minimum supported version is 3"),
    "old knowledge": ("knowledge", KNOWLEDGE.replace("3", "2", 1), 1, "wrong_type", "Minimum supported version is 3"),
    "new version": ("skill", SKILL.replace("version: 3", "version: 9"), 1, "wrong_type", "there are: 1, 2, 3"),
    "odd version": ("skill", SKILL.replace("version: 3", "version: v3"), 1, "wrong_type", "not a whole number"),
    "document in a seed": (
        "knowledge",
        KNOWLEDGE.replace("  - context: Context 0.\n", "  - context: Context 0.\n    document: x\n"),
        11,
        "wrong_type",
        "'seed_examples[1]' may not have 'document'",
    ),
    "few pairs": (
        "knowledge",
        without(KNOWLEDGE, "      - question: Question 00?\n        answer: Answer 00.\n"),
        12,
        "missing_column",
        "2 of at least 3",
    ),
    "no patterns": ("knowledge", KNOWLEDGE.replace('["*.md"]', "[]"), 8, "missing_column", "0 of at least 1"),
    "equal pairs": ("knowledge", KNOWLEDGE.replace("02", "01"), 16, "wrong_type", "number 2 and number 3"),
    "number as commit": (
        "knowledge",
        KNOWLEDGE.replace("commit: main", "commit: 951999"),
        7,
        "wrong_type",
        "'document.commit'",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_has_file_line_and_reason_and_hides_no_other_leaf(root: Path, case: str) -> None:
    kind, text, line, reason, words = FAULTS[case]
    path = f"{'knowledge' if kind == 'knowledge' else 'compositional_skills'}/broken"
    leaf(root, path, text)
    leaves, faults = read_taxonomy(root)
    assert len(leaves) == 3
    assert [(fault.leaf, fault.file_name, fault.line, fault.reason) for fault in faults] == [
        (path, f"{path}/qna.yaml", line, reason)
    ]
    assert words in faults[0].detail
    assert reason in BAD_INPUT
    bad = [row for row in rows(Taxonomy(str(root))) if row["_reason"]]
    assert [(row["_reason"], row["line"], row["file_name"]) for row in bad] == [(reason, line, f"{path}/qna.yaml")]
    assert bad[0]["_detail"].startswith(f"{path}/qna.yaml:{line}: ")
    assert words in bad[0]["_detail"]


def test_a_yaml_error_has_its_column(root: Path) -> None:
    leaf(root, "knowledge/broken", "a: b: c\n")
    [fault] = read_taxonomy(root)[1]
    assert (fault.line, fault.column) == (1, 5)
    assert str(fault).startswith("knowledge/broken/qna.yaml:1:5: ")


def test_every_fault_of_a_leaf_is_named(root: Path) -> None:
    text = without(SKILL, "created_by: somebody\n").replace("A puppy.", "42") + "attribution: x\nlicense: y\n"
    leaf(root, "compositional_skills/broken", text)
    faults = read_taxonomy(root)[1]
    assert [fault.line for fault in faults] == [1, 13, 16, 17]
    table = collect(Taxonomy(str(root)))
    assert table["id"].is_unique
    assert table["_reason"].notna().sum() == 4


@pytest.mark.parametrize("name", ["qna.yml", "QNA.yaml", "Qna.YML"])
def test_a_file_whose_name_is_nearly_right(root: Path, name: str) -> None:
    leaf(root, "knowledge/other", KNOWLEDGE, name)
    leaves, faults = read_taxonomy(root)
    assert len(leaves) == 3
    assert [(fault.file_name, fault.reason) for fault in faults] == [(f"knowledge/other/{name}", "malformed")]
    assert "must be called exactly qna.yaml" in faults[0].detail
    assert collect(Taxonomy(str(root)))["_detail"].dropna().tolist()[0].startswith(f"knowledge/other/{name}:0: ")


def test_an_old_skill_may_have_one_seed(tmp_path: Path) -> None:
    leaf(
        tmp_path, "compositional_skills/x", SKILL[: SKILL.index("  - question: What is a young cat")].split("\n", 1)[1]
    )
    assert len(read_taxonomy(tmp_path)[0][0].seeds) == 1


def test_a_skill_has_a_row_for_each_example(root: Path) -> None:
    table = rows(Taxonomy(str(root), kinds=["compositional_skills", "foundational_skills"]))
    assert len(table) == 10
    row = table[2]
    wanted = {
        "question": "What is a young swan called?",
        "answer": "A cygnet.",
        "context": "A young swan is a cygnet.",
        "tags": "compositional_skills/animals",
        "file_name": "compositional_skills/animals/qna.yaml",
        "line": 10,
        "_reason": None,
    }
    assert {key: row[key] for key in wanted} == wanted
    assert json.loads(row["extra"]) == {
        "leaf": "compositional_skills/animals",
        "kind": "compositional_skills",
        "created_by": "somebody",
        "task_description": "Names of young animals.",
    }
    assert table[0]["context"] is None  # freeform, though another seed of the leaf is not


def test_knowledge_has_a_row_for_each_chunk_and_example(root: Path) -> None:
    table = rows(Taxonomy(str(root), kinds=["knowledge"], **SMALL))
    found = chunks(parse_document(root / "docs" / "land.md")[0], 14)
    assert [chunk.headings for chunk in found] == [("Land", f"River {n}") for n in range(3)]
    assert [(row["context"], row["line"]) for row in table] == [
        (chunk.text, 10 + 8 * n) for chunk in found for n in range(5)
    ]
    assert {(row["question"], row["answer"], row["title"], row["_reason"]) for row in table} == {(None,) * 4}
    assert {row["tags"] for row in table} == {"knowledge/rivers"}
    assert {row["file_name"] for row in table} == {"knowledge/rivers/qna.yaml"}
    assert json.loads(table[5 + 4]["extra"]) == {
        "leaf": "knowledge/rivers",
        "kind": "knowledge",
        "created_by": "somebody",
        "domain": "Rivers",
        "document_outline": "Rivers of a made-up land.",
        "document": {"repo": "docs", "commit": "main", "patterns": ["*.md"]},
        "chunk": "land.md#1",
        "headings": ["Land", "River 1"],
        "page": 0,
        "example": {
            "context": "Context 4.",
            "pairs": [{"question": f"Question 4{n}?", "answer": f"Answer 4{n}."} for n in range(3)],
        },
    }


def test_every_row_is_a_seed(root: Path) -> None:
    leaf(root, "compositional_skills/broken", "# nothing\n")
    leaf(root, "compositional_skills/x", SKILL.replace("A puppy.", "'  '"))
    assert {row["origin"] for row in rows(Taxonomy(str(root)))} == {"seed"}


def test_ids_depend_on_the_leaf_and_the_texts_alone(root: Path, tmp_path: Path) -> None:
    before = collect(Taxonomy(str(root)))
    assert before["id"].is_unique  # two leaves hold the same seeds
    leaf(root, "compositional_skills/animals", "# a comment\n" + SKILL.replace("A foal.", "A colt or a filly."))
    after = collect(Taxonomy(str(root)))
    assert (before["id"] != after["id"]).sum() == 1


@pytest.mark.parametrize(
    ("edited", "old", "new", "changed"),
    [
        ("docs/land.md", "River 1 is 100 km", "River 1 is 101 km", 5),  # one chunk, with each example
        ("knowledge/rivers/qna.yaml", "Answer 31", "Another answer", 3),  # one example, with each chunk
        ("knowledge/rivers/qna.yaml", "domain", "# a comment\ndomain", 0),
    ],
)
def test_an_edit_changes_its_own_ids_alone(root: Path, edited: str, old: str, new: str, changed: int) -> None:
    before = collect(Taxonomy(str(root), **SMALL))
    assert before["id"].is_unique
    text = (root / edited).read_text()
    assert old in text
    (root / edited).write_text(text.replace(old, new))
    after = collect(Taxonomy(str(root), **SMALL))
    assert len(after) == len(before) == 25
    assert (before["id"] != after["id"]).sum() == changed


def test_a_blank_answer_is_marked(root: Path) -> None:
    leaf(root, "compositional_skills/x", SKILL.replace("A puppy.", "'  '"))
    [bad] = [row for row in rows(Taxonomy(str(root))) if row["_reason"]]
    assert (bad["_reason"], bad["line"], bad["question"]) == ("empty_record", 13, "What is a young dog called?")


def test_an_example_of_knowledge_with_a_blank_is_marked_and_not_used(root: Path) -> None:
    leaf(root, "knowledge/rivers", KNOWLEDGE.replace("Answer 11.", "' '").replace("Context 3.", "' '"))
    table = rows(Taxonomy(str(root), kinds=["knowledge"], **SMALL))
    assert [(row["_reason"], row["line"], row["_detail"].split(": ")[1]) for row in table if row["_reason"]] == [
        ("empty_record", 22, "'answer' is blank"),
        ("empty_record", 34, "'context' is blank"),
    ]
    examples = {json.loads(row["extra"])["example"]["context"] for row in table if not row["_reason"]}
    assert (len(table), examples) == (2 + 3 * 3, {"Context 0.", "Context 2.", "Context 4."})


def bad_rows(source: Taxonomy) -> list[tuple[str, int, str]]:
    found = [(str(row["_reason"]), int(row["line"]), str(row["_detail"])) for row in rows(source) if row["_reason"]]
    assert {reason for reason, _, _ in found} <= BAD_INPUT
    return found


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("repo: docs", "repo: nowhere", "nowhere is neither a git address nor a folder"),
        ("repo: docs", "repo: file:///nowhere/x.git", "file:///nowhere/x.git can't be fetched with git"),
        ("repo: docs", "repo: https://me:p@secret@127.0.0.1:9/x.git", "https://127.0.0.1:9/x.git can't be fetched"),
        ("repo: docs", "repo: ssh://-oProxyCommand=x/y", "may begin with '-'"),
        ('["*.md"]', '["lake.md", "*.pdf"]', "no file that ends in .md or .pdf fits the patterns lake.md, *.pdf in"),
        ('["*.md"]', '["../*.md"]', "the pattern '../*.md' must stay in the documents' folder"),
    ],
)
def test_documents_that_can_not_be_had_are_one_fault_and_hide_no_leaf(
    root: Path, old: str, new: str, words: str
) -> None:
    assert old in KNOWLEDGE
    leaf(root, "knowledge/dry", KNOWLEDGE.replace(old, new))
    source = Taxonomy(str(root), str(root / "downloads"))
    [(reason, line, detail)] = bad_rows(source)
    assert (reason, line) == ("missing_document", 6)
    assert detail.startswith("knowledge/dry/qna.yaml:6: ")
    assert words in detail
    assert "secret" not in detail
    assert len(collect(source)) == 1 + 15
    assert source.fingerprint() == source.fingerprint()


def test_a_pattern_without_a_file_and_a_file_without_text_hide_no_other(root: Path) -> None:
    pytest.importorskip("pdfplumber")
    leaf(root, "knowledge/rivers", KNOWLEDGE.replace('["*.md"]', '["lake.md", "*"]'))
    page = tiny_pdf.text([(50, 100, 10, "Some text.")])
    tiny_pdf.write_pdf(root / "docs" / "scan.pdf", [tiny_pdf.picture(), page, tiny_pdf.picture()])
    (root / "docs" / "a.md").write_bytes(b"\xe9")
    (root / "docs" / "b.md").write_text("# A heading alone\n")
    (root / "docs" / "c.md").write_text("A NUL: \0.\n")
    source = Taxonomy(str(root), kinds=["knowledge"], **SMALL)
    found = [(reason, detail.removeprefix("knowledge/rivers/qna.yaml:6: ")) for reason, _, detail in bad_rows(source)]
    assert [reason for reason, _ in found] == ["missing_document", *["unreadable_document"] * 4, "nul_byte"]
    beginnings = [
        "lake.md: no file that ends in .md or .pdf fits this pattern in ",
        "a.md: line 1 is not UTF-8",
        "b.md: the file has no text below its headings",
        "scan.pdf page 1: the page has a picture but no text",
        "scan.pdf page 3: the page has a picture but no text",
        "c.md#0: a NUL character",
    ]
    assert all(detail.startswith(beginning) for (_, detail), beginning in zip(found, beginnings, strict=True))
    good = [row for row in rows(source) if not row["_reason"]]
    assert len(good) == (3 + 1) * 5
    assert {json.loads(row["extra"])["page"] for row in good if row["context"] == "Some text."} == {2}


def test_documents_in_place_of_the_leaves_repositories(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    away = tmp_path_factory.mktemp("away")
    for name in ("all", "lakes"):
        (away / name).mkdir()
        (away / name / "x.md").write_text(f"Text of {name}.")
    for path in ("knowledge/lakes/deep", "knowledge/lakes_far"):
        leaf(root, path, KNOWLEDGE.replace("repo: docs", "repo: https://127.0.0.1:9/x.git"))

    def texts(documents: str | dict[str, str]) -> list[tuple[str, str]]:
        source = Taxonomy(str(root), kinds=["knowledge"], documents=documents)
        return [(row["tags"], row["context"]) for row in rows(source)[::5]]

    assert {text for _, text in texts(str(away / "all"))} == {"Text of all."}
    assert texts({"knowledge": str(away / "all"), "knowledge/lakes": str(away / "lakes")}) == [
        ("knowledge/lakes/deep", "Text of lakes."),
        ("knowledge/lakes_far", "Text of all."),
        ("knowledge/rivers", "Text of all."),
    ]
    with pytest.raises(InputError, match="there is no knowledge leaf 'knowlege'"):
        texts({"knowlege": str(away / "all")})
    with pytest.raises(InputError, match="documents: there is no folder nowhere"):
        texts("nowhere")


def test_kinds_and_numbers_are_checked(root: Path) -> None:
    table = collect(Taxonomy(str(root), kinds=["foundational_skills"], documents=str(root / "docs")))
    assert table["tags"].unique().tolist() == ["foundational_skills/young"]
    with pytest.raises(ValueError, match=r"no 'skills'.* There are: compositional_skills, "):
        Taxonomy(str(root), kinds=["skills"])
    with pytest.raises(ValueError, match="kinds is a list"):
        Taxonomy(str(root), kinds="knowledge")
    with pytest.raises(ValueError, match="from 0 to below chunk_tokens=50, not 50"):
        Taxonomy(str(root), chunk_tokens=50, chunk_overlap=50)
    (root / "knowledge").rename(root / "elsewhere")
    with pytest.raises(InputError, match="none of the folders knowledge"):
        Taxonomy(str(root), kinds=["knowledge"]).read()


def test_partitions_change_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leaf(root, "knowledge/other", KNOWLEDGE, "qna.yml")
    whole, parts = Taxonomy(str(root)), Taxonomy(str(root), files_per_partition=1)
    assert (whole.read().npartitions, parts.read().npartitions) == (2, 4)
    assert collect(whole).equals(collect(pickle.loads(pickle.dumps(parts))))
    with pytest.raises(ValueError, match="at least 1"):
        Taxonomy(str(root), files_per_partition=0)
    table = collect(whole)
    monkeypatch.setattr("curation.sources.taxonomy._BYTES", 1)
    assert whole.read().npartitions == 3  # documents that are large stand apart
    assert collect(whole).equals(table)


def test_the_fingerprint_changes_with_the_files(root: Path) -> None:
    before = Taxonomy(str(root)).fingerprint()
    assert Taxonomy(str(root)).fingerprint() == before
    leaf(root, "compositional_skills/animals", SKILL + "# more\n")
    changed = Taxonomy(str(root)).fingerprint()
    leaf(root, "compositional_skills/animals", SKILL, "qna.yml")
    misnamed = Taxonomy(str(root)).fingerprint()
    (root / "docs" / "land.md").write_text("Another text.")
    edited = Taxonomy(str(root)).fingerprint()
    (root / "docs" / "land.md").unlink()
    gone = Taxonomy(str(root)).fingerprint()
    assert len({before, changed, misnamed, edited, gone}) == 5


def test_what_is_no_taxonomy_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        read_taxonomy(root / "nowhere")
    with pytest.raises(InputError, match=rf"is not a taxonomy.*: pass {root}$"):
        read_taxonomy(root / "knowledge" / "rivers")
    (tmp_path / "empty" / "knowledge").mkdir(parents=True)
    with pytest.raises(InputError, match=r"has no qna\.yaml at all"):
        Taxonomy(str(tmp_path / "empty")).read()


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def bare(work: Path, target: Path) -> str:
    """A bare repository with the files of a folder; its address."""
    git(work, "init", "-q")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "all")
    git(work, "clone", "-q", "--bare", str(work), str(target))
    return target.as_uri()


@pytest.mark.parametrize("scheme", ["file", "folder"])
def test_a_git_address(root: Path, tmp_path_factory: pytest.TempPathFactory, scheme: str) -> None:
    away = tmp_path_factory.mktemp("away")
    address = bare(root, away / "taxonomy.git")
    path = address if scheme == "file" else str(away / "taxonomy.git")
    assert read_taxonomy(path, away / "downloads")[0] == read_taxonomy(root)[0]
    source = Taxonomy(path, str(away / "downloads"))
    assert collect(source)["id"].tolist() == collect(Taxonomy(str(root)))["id"].tolist()
    assert source.fingerprint() == Taxonomy(path, str(away / "elsewhere")).fingerprint()
    assert len(list((away / "downloads").iterdir())) == 1


def test_a_fetched_taxonomy_names_no_folder_of_this_machine(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away")
    (away / "private").mkdir()
    (away / "private" / "x.md").write_text("Private.")
    for number, repo in enumerate([str(away / "private"), (away / "private").as_uri(), "../private", "docs"]):
        leaf(root, f"knowledge/{number}", KNOWLEDGE.replace("repo: docs", f"repo: {repo}"))
    source = Taxonomy(bare(root, away / "taxonomy.git"), str(away / "downloads"), kinds=["knowledge"])
    found = bad_rows(source)
    assert [reason for reason, _, _ in found] == ["missing_document"] * 3
    assert all("may not name a folder of this machine" in detail for _, _, detail in found)
    assert len(collect(source)) == 3 + 2 * 5


def test_documents_of_a_repository_are_those_of_the_commit(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    away = tmp_path_factory.mktemp("away")
    address = bare(root / "docs", away / "docs.git")
    leaf(root, "knowledge/rivers", KNOWLEDGE.replace("repo: docs", f"repo: {address}"))
    source = Taxonomy(str(root), str(away / "downloads"), kinds=["knowledge"])
    before, table = source.fingerprint(), collect(source)
    (root / "docs" / "land.md").write_text("Another text.")
    git(root / "docs", "commit", "-q", "-a", "-m", "more")
    git(root / "docs", "push", "-q", str(away / "docs.git"), "main")
    assert source.fingerprint() == before  # the branch is fetched once
    assert collect(source).equals(table)
    assert Taxonomy(str(root), str(away / "elsewhere"), kinds=["knowledge"]).fingerprint() != before


def test_a_git_address_that_can_not_be_reached(tmp_path: Path) -> None:
    address = (tmp_path / "none.git").as_uri().replace("file://", "file://me:secret@")
    with pytest.raises(InputError, match="can't be fetched with git") as caught:
        read_taxonomy(address, tmp_path / "downloads")
    assert "secret" not in str(caught.value)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_without_the_package_the_message_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "instructlab.schema", None)
    with pytest.raises(MissingPackageError, match=r"instructlab-schema: install it with .*curation\[taxonomy\]"):
        Taxonomy(str(root)).read()


@pytest.mark.slow
def test_the_real_taxonomy() -> None:
    path = shared_data() / "taxonomy"
    leaves, faults = read_taxonomy(path)
    assert (len(leaves), faults) == (16, [])
    assert [found.path.split("/")[0] for found in leaves].count("foundational_skills") == 11
    for found in leaves:
        value = yaml.safe_load((path / found.file_name).read_text())
        counts = [len(seed.get("questions_and_answers", [seed])) for seed in value["seed_examples"]]
        assert [len(seed.pairs) for seed in found.seeds] == counts
    assert sum(len(seed.pairs) for found in leaves for seed in found.seeds) == 97
    docs = shared_data() / "knowledge_docs"
    source = Taxonomy(str(path), documents=str(docs))
    skills = sum(len(found.seeds) for found in leaves if found.kind != "knowledge")
    table = collect(source)
    assert table["_reason"].isna().sum() == skills == 67
    details = [detail for reason, _, detail in bad_rows(source) if reason == "missing_document"]
    wanted = ["swifties.md", "chickadee.md"]
    assert all(f"fits the patterns {name} in {docs}" in text for name, text in zip(wanted, details, strict=True))
