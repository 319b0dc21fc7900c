"""Another set is read as it is and cleaned as the dataset; what matches a record of it leaves, naming that record."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from curation.config import AgainstPlan, CleanStep, SemanticPlan
from curation.core.errors import CurationError, InputError
from curation.core.records import Record, frame, human
from curation.engine.lift import Outcome
from curation.engine.progress import Progress
from curation.engine.run import Run, columns_of
from curation.engine.store import Stage
from curation.stages.against import MATCHES, decontaminate, reference
from tests import law_like
from tests.core.tiny_encoder import write_tiny_encoder
from tests.run_folder import Builder

if TYPE_CHECKING:
    from distributed import Client

STORY = "the quick brown fox jumps over the lazy dog while seven grey herons watch from the far bank"
HTML = [CleanStep(modifier="html", fields=["title", "question", "answer"])]


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "run")


@pytest.fixture
def run(build: Builder, client: Client) -> Run:
    return Run(build.store, client, Progress(StringIO()))


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def plan_of(*paths: str, **values: Any) -> AgainstPlan:
    return AgainstPlan.model_validate({"input": list(paths), "threshold": None, **values})


def read(run: Run, *paths: str, steps: list[CleanStep] | None = None, ratio: float = 0.0, **values: Any) -> Stage:
    return reference(run, plan_of(*paths, **values), steps or [], ratio)


def texts(stage: Stage) -> dict[str, tuple[Any, ...]]:
    rows = columns_of([stage], ["id", "title", "question", "answer"]).astype(object)
    return {row[0]: tuple(row[1:]) for row in rows.where(rows.notna(), None).itertuples(index=False)}


def published(build: Builder, rows: list[Record]) -> Stage:
    def keep(part: pd.DataFrame) -> Outcome:
        return Outcome(part)

    return build.stage("40-clean", 0, [frame(rows[::2]), frame(rows[1::2])], lambda _folder: keep)


def compared(run: Run, table: Stage, plan: AgainstPlan, encoder: str = "embedded") -> Stage:
    return decontaminate(run, table, reference(run, plan, [], 0.0), plan, SemanticPlan(encoder=encoder), "cpu", 0)


def left(stage: Stage) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in stage.left]).set_index("id")


class TestReading:
    def test_what_has_a_question_counts_whatever_it_lacks(self, run: Run, tmp_path: Path) -> None:
        path = write(
            tmp_path / "bench.jsonl",
            {"id": "a", "question": "One?", "answer": "Yes."},
            {"question": "Two?"},
            {"id": 3, "question": "Three?", "answer": 2, "options": ["x", "y"]},
            {"title": "Four?", "question": " ", "answer": "No."},
            {"id": "a", "question": "Five?", "answer": "", "title": 7},
        )
        assert texts(read(run, path)) == {
            "bench.jsonl:a": (None, "Five?", None),
            "bench.jsonl:2": (None, "Two?", None),
            "bench.jsonl:3": (None, "Three?", None),
            "bench.jsonl:4": ("Four?", None, "No."),
        }

    def test_its_texts_are_cleaned_but_nothing_is_filtered(self, run: Run, tmp_path: Path) -> None:
        path = write(tmp_path / "b.jsonl", {"question": "<p>What is <b>this</b>?</p>", "answer": "<i>A</i>"})
        words = {"min_words": 50, "max_words": 500}
        short = CleanStep(filter="nemo_curator.filters.WordCountFilter", fields=["question"], arguments=words)
        assert texts(read(run, path, steps=[short, *HTML])) == {"b.jsonl:1": (None, "What is this?", "A")}

    def test_each_path_has_its_own_kind_and_name(self, run: Run, tmp_path: Path) -> None:
        law_like.write(tmp_path / "law.json", 7)
        bare = write(tmp_path / "one" / "x.jsonl", {"question": "One?"})
        same = write(tmp_path / "two" / "x.jsonl", {"question": "Two?"})
        write(tmp_path / "more" / "a.jsonl", {"question": "Three?"})
        frame([human("h", question="Four?", answer="A")])[["id", "question", "answer"]].to_parquet(
            tmp_path / "p.parquet"
        )
        paths = [str(tmp_path / name) for name in ("law.json", "more", "p.parquet")]
        ids = sorted(texts(read(run, *paths, bare, same, bare)))
        assert ids == sorted(
            [*(f"law.json:law-qa-{n}" for n in range(7)), "more/a.jsonl:1", "p.parquet:h", f"{bare}:1", f"{same}:1"]
        )

    def test_arguments_map_its_columns(self, run: Run, tmp_path: Path) -> None:
        path = write(tmp_path / "b.jsonl", {"prompt": "One?", "output": "A"})
        arguments = {"columns": {"question": "prompt", "answer": "output"}}
        assert texts(read(run, path, arguments=arguments)) == {"b.jsonl:1": (None, "One?", "A")}

    def test_it_is_read_once(self, run: Run, tmp_path: Path) -> None:
        path = write(tmp_path / "b.jsonl", {"question": "One?"})
        first = read(run, path)
        times = [part.stat().st_mtime_ns for part in first.parts]
        assert [part.stat().st_mtime_ns for part in read(run, path).parts] == times
        write(tmp_path / "b.jsonl", {"question": "Another?"})
        assert texts(read(run, path)) == {"b.jsonl:1": (None, "Another?", None)}


class TestWhatCantBeRead:
    def test_there_is_no_such_path(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^--against: there is no .*none\.jsonl .*: correct the path$"):
            read(run, str(tmp_path / "none.jsonl"))

    def test_an_empty_file(self, run: Run, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^--against: there are no rows to read"):
            read(run, write(tmp_path / "b.jsonl"))

    def test_columns_have_other_names(self, run: Run, tmp_path: Path) -> None:
        path = write(tmp_path / "b.jsonl", {"prompt": "One?", "answer": "A"})
        with pytest.raises(
            InputError, match=r"^--against: no row of .*'question' is missing; .*columns: \{question: NAME"
        ):
            read(run, path, ratio=1.0)

    def test_a_path_without_a_readable_row_hides_behind_no_other(self, run: Run, tmp_path: Path) -> None:
        large = write(tmp_path / "large.jsonl", *({"question": f"Is it {number}?"} for number in range(300)))
        small = write(tmp_path / "small.jsonl", {"prompt": "One?"})
        with pytest.raises(InputError, match=r"no row of .*small\.jsonl has a readable question"):
            read(run, large, small, ratio=0.01)

    def test_more_bad_rows_than_are_allowed(self, run: Run, tmp_path: Path) -> None:
        path = write(tmp_path / "b.jsonl", {"question": "One?"}, {"question": None}, {"question": "Two?"})
        with pytest.raises(InputError, match=r"^--against: 1 of 3 rows can't be used, more than max_bad_ratio=0\.3"):
            read(run, path, ratio=0.3)
        stage = read(run, path, ratio=0.4)
        assert stage.manifest.dropped == {"missing_column": 1}
        assert left(stage).loc["b.jsonl:2", "stage"] == "reference"

    def test_a_modifier_fails_on_it(self, run: Run, tmp_path: Path) -> None:
        steps = [CleanStep(modifier="tests.stages.test_against.Refusing", fields=["question"])]
        with pytest.raises(CurationError, match="1 of 1 rows make a cleaning step fail"):
            read(run, write(tmp_path / "b.jsonl", {"question": "One?"}), steps=steps)


class Refusing:
    """A modifier that takes no text."""

    def modify_document(self, text: str) -> str:
        raise ValueError(f"not {text}")


class TestMatching:
    def test_each_check_finds_its_own(self, build: Builder, run: Run, tmp_path: Path) -> None:
        encoder = str(write_tiny_encoder(tmp_path / "encoder"))
        rows = [
            human("same", title="On dogs", question="May I keep one?", answer="No."),
            human("run", question="What is this?", answer=f"It says: {STORY}."),
            human("other", title="On cats", question="May I keep one?", answer="No."),
        ]
        path = write(
            tmp_path / "bench.jsonl",
            {"id": "dogs", "title": "on dogs", "question": "may I keep  one", "answer": "Yes."},
            {"question": f"Complete this: {STORY}"},
        )
        plan = plan_of(path, threshold=0.9999)
        stage = decontaminate(
            run, published(build, rows), reference(run, plan, [], 0.0), plan, SemanticPlan(encoder=encoder), "cpu", 0
        )
        assert stage.manifest.dropped == {"contaminated": 2}
        assert list(columns_of([stage], ["id"])["id"]) == ["other"]
        gone = left(stage)
        columns = ["stage", "reason", "field", "bound", "kept_id", "similarity"]
        assert gone.loc["same", columns].tolist() == [
            "against", "contaminated", "question", "exact(by='question')", "bench.jsonl:dogs", 1.0
        ]  # fmt: skip
        assert gone.loc["run", columns[2:5]].tolist() == ["answer", "ngram(n=13)", "bench.jsonl:2"]
        words = " ".join(STORY.split()[:13])
        assert gone.loc["run", "detail"] == f"ngram: its answer shares with the other's question: {words}"
        matches = pd.read_parquet(stage.folder / MATCHES)
        found = list(matches[["id", "check", "file"]].itertuples(index=False, name=None))
        assert ("run", "ngram", "bench.jsonl") in found
        assert ("same", "exact", "bench.jsonl") in found

    def test_near_by_meaning(self, build: Builder, run: Run, tmp_path: Path) -> None:
        encoder = str(write_tiny_encoder(tmp_path / "encoder"))
        rows = [human("a", question="May I keep a dog?"), human("b", question="Who pays?")]
        path = write(tmp_path / "bench.jsonl", {"question": "May I keep a dog?"})
        plan = plan_of(path, exact=False, ngram=None, threshold=0.9999)
        stage = decontaminate(
            run, published(build, rows), reference(run, plan, [], 0.0), plan, SemanticPlan(encoder=encoder), "cpu", 0
        )
        gone = left(stage)
        assert gone.loc["a", ["kept_id", "similarity", "bound", "detail"]].tolist() == [
            "bench.jsonl:1", 1.0, "similarity >= 0.9999", "near: title and question"
        ]  # fmt: skip

    @pytest.mark.parametrize("off", [{"exact": False}, {"ngram": None}])
    def test_a_check_can_be_left_out(self, build: Builder, run: Run, tmp_path: Path, off: dict[str, Any]) -> None:
        rows = [human("same", question="May I keep one?"), human("run", question=f"Why? {STORY}")]
        path = write(tmp_path / "bench.jsonl", {"question": "May I keep one?"}, {"question": STORY})
        plan = plan_of(path, **off)
        stage = decontaminate(
            run, published(build, rows), reference(run, plan, [], 0.0), plan, SemanticPlan(), "cpu", 0
        )
        assert list(left(stage).index) == (["run"] if "exact" in off else ["same"])

    def test_equal_records_all_leave(self, build: Builder, run: Run, tmp_path: Path) -> None:
        """Each of them is a match, not only the worse ones of its equals."""
        rows = [
            human(name, question="May I?", answer=name, question_score=score)
            for name, score in [("a", 9.0), ("b", 1.0)]
        ]
        path = write(tmp_path / "bench.jsonl", {"question": "may I"}, {"question": "May I?"})
        plan = plan_of(path)
        stage = decontaminate(
            run, published(build, rows), reference(run, plan, [], 0.0), plan, SemanticPlan(), "cpu", 0
        )
        assert sorted(left(stage).index) == ["a", "b"]

    def test_an_earlier_release_has_the_very_same_ids(self, build: Builder, run: Run, tmp_path: Path) -> None:
        rows = [human("a", question="May I?", answer="No."), human("b", question="Must I?", answer="Yes.")]
        path = write(tmp_path / "train.jsonl", rows[0], {**rows[1], "question": "Who must?"})
        plan = plan_of(path)
        stage = decontaminate(
            run, published(build, rows), reference(run, plan, [], 0.0), plan, SemanticPlan(), "cpu", 0
        )
        assert left(stage)["kept_id"].to_dict() == {"a": "train.jsonl:a"}

    def test_nothing_matches(self, build: Builder, run: Run, tmp_path: Path) -> None:
        plan = plan_of(write(tmp_path / "bench.jsonl", {"question": "What?"}))
        table = published(build, [human("a", question="May I?")])
        stage = compared(run, table, plan)
        assert (stage.manifest.rows_out, stage.manifest.dropped) == (1, {})

    def test_other_texts_of_the_set_compare_again(self, build: Builder, run: Run, tmp_path: Path) -> None:
        table = published(build, [human("a", question="May I?"), human("b", question="Must I?")])
        for question, gone in (("May I?", "a"), ("Must I?", "b")):
            plan = plan_of(write(tmp_path / "bench.jsonl", {"question": question}))
            stage = compared(run, table, plan)
            assert list(left(stage).index) == [gone]
