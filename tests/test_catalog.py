"""`--list`: what there is to put into a plan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from curation.catalog import catalog
from curation.config import load
from curation.core import registry
from curation.core.errors import PlanError
from curation.main import main

FILTER = """
from nemo_curator.filters import DocumentFilter

class Shouting(DocumentFilter):
    \"\"\"Drops what is all capitals.\"\"\"

    def __init__(self, share: float = 0.9) -> None:
        super().__init__()
        self.share = share

    def score_document(self, text: str) -> float:
        return float(text.isupper())

    def keep_document(self, score: float) -> bool:
        return score < self.share
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The dotted path of a person's own filter."""
    (tmp_path / "my_shelf.py").write_text(FILTER)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_shelf.Shouting"


def test_every_component_is_listed_with_a_line_about_it() -> None:
    text = catalog()
    for kind in registry.SHELVES:
        shelf = text.split(f"{kind}s\n", 1)[1].split("\n\n")[0]
        for name in registry.names(kind):
            assert f"\n  {name}(" in f"\n{shelf}", name
        entries = [line for line in shelf.splitlines() if line.startswith("  ") and not line.startswith("   ")]
        abouts = [line for line in shelf.splitlines() if line.startswith("      ") and not line.startswith("       ")]
        assert len(abouts) >= len(entries)
    assert "low_score(minimum: float = 0.0)" in text


def test_a_dotted_path_joins_the_list(own: str, tmp_path: Path) -> None:
    assert catalog([own]) == f"filters\n  {own}(share: float = 0.9)\n      Drops what is all capitals."
    plan = tmp_path / "plan.yaml"
    plan.write_text(f"clean: [{{filter: {own}, fields: [question]}}, {{validate: {{it: {{min_words: 1}}}}}}]")
    assert f"  {own}(share: float = 0.9)" in catalog(["filters"], load(plan))


def test_so_do_critics_and_exporters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own.py").write_text(
        "from curation.critics.heuristic import Heuristic\n"
        "from curation.exporters.jsonl import Jsonl\n"
        "class Strict(Heuristic):\n    pass\n"
        "class Csv(Jsonl):\n    folder = 'csv'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    plan = tmp_path / "plan.yaml"
    plan.write_text("{exporters: [my_own.Csv], generation: {critics: [{name: pairwise}, my_own.Strict]}}")
    text = catalog((), load(plan))
    assert "  my_own.Strict(" in text
    assert "  my_own.Csv(" in text


def test_a_kind_or_a_name_is_enough() -> None:
    assert catalog(["critic"]) == catalog(["critics"])
    assert catalog(["exact"]).splitlines()[0] == "dedupers"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("filtrs", "there is no kind and no component called 'filtrs'. Did you mean 'filters'?"),
        ("pathlib.Path", "pathlib.Path is no component: it has none of read, "),
        ("nowhere.Thing", "there is no module nowhere"),
        ("pathlib.Pat", "pathlib has no class Pat"),
    ],
)
def test_what_is_not_there(word: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PlanError) as caught:
        catalog([word])
    assert message in str(caught.value)
    assert main(["--list", word]) == 2
    assert message in capsys.readouterr().err


def test_the_list_may_be_cut_short() -> None:
    command = f"{sys.executable} -m curation.main --list dedupers | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("dedupers\n", "")
