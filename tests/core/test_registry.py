"""Components by name or dotted path, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.core import registry
from curation.core.errors import PlanError
from curation.core.registry import Spec


def test_every_file_of_every_shelf_is_a_component_with_the_shelfs_method() -> None:
    found = 0
    for kind in registry.SHELVES:
        for name in registry.names(kind):
            component = registry.find(kind, name)
            assert callable(getattr(component, registry.METHODS[kind])), f"{kind} {name}"
            found += 1
    assert found >= 15


def test_a_wrong_name_is_answered_with_the_nearest_and_all_others() -> None:
    (fault,) = Spec("filter", "low_scroe", {}).faults()
    assert "no filter is called 'low_scroe'. Did you mean 'low_score'?" in fault
    assert "refusal" in fault


def test_wrong_and_missing_arguments_are_named() -> None:
    faults = Spec("source", "jsonl", {"path": "x"}).faults()
    assert any("has no argument 'path'. Did you mean 'paths'?" in fault for fault in faults)
    assert any("needs the argument 'paths'" in fault for fault in faults)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module.Thing", "there is no module no_such_module"),
        ("curation.core.records.Thing", "has no class Thing"),
        ("curation.core.contracts.Usage", "needs a method score_document"),
    ],
)
def test_a_wrong_dotted_path_says_what_is_wrong(path: str, message: str) -> None:
    (fault,) = Spec("filter", path, {}).faults()
    assert message in fault


def test_a_dotted_path_creates_a_component_of_another_package() -> None:
    component = Spec("filter", "nemo_curator.filters.WordCountFilter", {"min_words": 3, "max_words": 4}).create()
    assert component.keep_document(component.score_document("one two three"))
    assert not component.keep_document(component.score_document("one two"))


def test_a_constructors_own_complaint_is_a_fault_of_the_plan() -> None:
    with pytest.raises(PlanError, match="the task is 'title' or 'qa'"):
        Spec("exporter", "handoff", {"task": "poem"}).create()


def test_a_new_file_on_a_shelf_is_found_without_any_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import curation.filters

    (tmp_path / "always.py").write_text(
        "class Always:\n    def score_document(self, text): return 1\n    def keep_document(self, score): return True\n"
    )
    monkeypatch.setattr(curation.filters, "__path__", [*curation.filters.__path__, str(tmp_path)])
    monkeypatch.setattr(curation.filters.__spec__, "submodule_search_locations", curation.filters.__path__)
    assert "always" in registry.names("filter")
    assert Spec("filter", "always", {}).create().keep_document(1)


def test_code_version_changes_with_the_source_alone() -> None:
    assert Spec("filter", "low_score", {}).code_version() == Spec("filter", "low_score", {"minimum": 3}).code_version()
    assert Spec("filter", "low_score", {}).code_version() != Spec("filter", "refusal", {}).code_version()
