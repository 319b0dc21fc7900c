"""What leaves as a duplicate or as a leak, decided over the whole table."""

from __future__ import annotations

import math
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from curation.config import ExactPlan, FuzzyPlan, SemanticPlan
from curation.core.encoder import Encoder
from curation.core.errors import PlanError
from curation.core.records import Record, child, frame, human, seed
from curation.core.vectors import VectorCache, hash_of
from curation.engine.lift import Outcome
from curation.engine.progress import Progress
from curation.engine.run import Run, columns_of
from curation.engine.store import Stage
from curation.stages.dedup import PAIRS, embedding_at, exact, fuzzy, near, vectors_of
from tests.core.tiny_encoder import write_tiny_encoder
from tests.run_folder import Builder

if TYPE_CHECKING:
    from distributed import Client


def keep(rows: pd.DataFrame) -> Outcome:
    return Outcome(rows)


def published(build: Builder, name: str, round_number: int, rows: list[Record]) -> Stage:
    return build.stage(name, round_number, [frame(rows[::2]), frame(rows[1::2])], lambda _folder: keep)


def left(stage: Stage) -> dict[str, tuple[str, str, float]]:
    rows = pd.concat([pd.read_parquet(path) for path in stage.left])
    return {row.id: (row.reason, row.kept_id, row.similarity) for row in rows.itertuples()}


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


@pytest.fixture
def run(build: Builder, client: Client) -> Run:
    return Run(build.store, client, Progress(StringIO()))


def question(identifier: str, text: str, **columns: Any) -> Record:
    return human(identifier, question=text, answer=f"answer to {text}", title="t", **columns)


def test_of_equal_records_the_best_stays(build: Builder, run: Run) -> None:
    rows = [
        question("a", "May I sublet?", answer_score=1.0),
        question("b", "may I  sublet", answer_score=5.0),
        question("c", "May I sublet?!", answer_score=3.0),
        question("d", "May I keep a dog?"),
    ]
    for row in rows[:3]:
        row["answer"] = "No."
    stage = exact(run, published(build, "40-clean", 0, rows), [], ExactPlan(), 0)
    assert left(stage) == {"a": ("exact_duplicate", "b", 1.0), "c": ("exact_duplicate", "b", 1.0)}
    assert sorted(columns_of([stage], ["id"])["id"]) == ["b", "d"]
    assert len(pd.read_parquet(stage.folder / PAIRS)) == 2


def test_a_synthetic_record_that_repeats_a_held_out_one_is_a_leak(build: Builder, run: Run) -> None:
    parents = [question("train", "Is a text message a contract?", split="train", group_id="train")]
    held_out = [question("test", "Can he keep my ring?", split="test", group_id="test")]
    dataset = published(build, "70-split", 0, parents + held_out)
    drafts = [
        {"question": "can he keep my RING?", "answer": "answer to Can he keep my ring?"},
        {"question": "Is a text message a contract?", "answer": "answer to Is a text message a contract?"},
        {"question": "What makes a text message a contract?", "answer": "much"},
    ]
    new = published(build, "40-clean", 1, [child(parents[0], n, 1, draft) for n, draft in enumerate(drafts)])
    stage = exact(run, new, [dataset], ExactPlan(), 1)
    assert left(stage) == {
        "train-synth-1-0": ("leak", "test", 1.0),
        "train-synth-1-1": ("exact_duplicate", "train", 1.0),
    }
    assert list(columns_of([stage], ["id"])["id"]) == ["train-synth-1-2"]


def test_near_records_leave_at_the_threshold_and_leaks_at_the_lower_bound(
    build: Builder, run: Run, tmp_path: Path
) -> None:
    encoder = str(write_tiny_encoder(tmp_path / "encoder"))
    text = "the landlord kept the deposit for a stain that was there before"
    parents = [question("train", f"{text} we came", split="train", group_id="train")]
    held_out = [question("test", f"{text} we moved", split="test", group_id="test")]
    dataset = published(build, "70-split", 0, parents + held_out)
    new = published(build, "40-clean", 1, [child(parents[0], 0, 1, {"question": f"{text} we move"})])
    pairs = near(run, new, [dataset], SemanticPlan(threshold=1.0, encoder=encoder), 0.5, "cpu", 1)
    (reason, kept, similarity) = left(pairs)["train-synth-1-0"]
    assert (reason, kept) == ("leak", "test")
    assert 0.5 <= similarity < 1
    above = min(1.0, similarity + 1e-3)
    spared = near(run, new, [dataset], SemanticPlan(threshold=1.0, encoder=encoder), above, "cpu", 2)
    assert left(spared) == {}
    dropped = near(run, new, [dataset], SemanticPlan(threshold=similarity, encoder=encoder), above, "cpu", 3)
    assert left(dropped)["train-synth-1-0"][0] == "near_duplicate"
    assert dropped.manifest.settings["vectors"]


def test_what_is_written_nearly_the_same_leaves(build: Builder, run: Run) -> None:
    text = "The tenant must pay the rent for the month of {} before the third working day"
    rows = [question(f"{number}", text.format(month)) for number, month in enumerate(["May", "June", "July"])]
    rows += [question("other", "Who mends a broken window in a rented flat?")]
    stage = fuzzy(run, published(build, "50-exact", 0, rows), [], FuzzyPlan(threshold=0.7), 0)
    assert {identifier: entry[:2] for identifier, entry in left(stage).items()} == {
        "0": ("fuzzy_duplicate", "1"),
        "2": ("fuzzy_duplicate", "1"),
    }
    assert stage.folder.name == "55-fuzzy"


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return str(write_tiny_encoder(tmp_path / "encoder"))


def spread(run: Run, encoder: str, angles: list[float]) -> list[Record]:
    """Records whose vectors lie at such angles, the better the later."""
    rows = [question(f"{number:02d}", f"no {number}", answer_score=float(number)) for number in range(len(angles))]
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    cache = VectorCache(run.store.root / "embeddings", Encoder(encoder).fingerprint)
    cache.add([hash_of(f"t\n{row['question']}") for row in rows], vectors)
    return rows


def test_the_threshold_goes_down_until_few_enough_are_left(build: Builder, run: Run, encoder: str) -> None:
    angles = np.cumsum(np.linspace(0.05, 0.5, 12)).tolist()
    table = published(build, "50-exact", 0, spread(run, encoder, angles))
    plan = SemanticPlan(threshold=0.999, encoder=encoder)
    assert near(run, table, [], plan, 1.0, "cpu", 0).manifest.rows_out == 12
    stage = near(run, table, [], plan.model_copy(update={"at_most": 9}), 1.0, "cpu", 0)
    assert stage.manifest.rows_out == 9
    (bound,) = pd.concat([pd.read_parquet(path) for path in stage.left])["bound"].unique()
    threshold = float(bound.removeprefix("similarity >= "))
    higher = plan.model_copy(update={"threshold": round(threshold + 0.001, 3)})
    assert near(run, table, [], higher, 1.0, "cpu", 0).manifest.rows_out == 10  # no higher one would do
    assert near(run, table, [], plan.model_copy(update={"at_most": 12}), 1.0, "cpu", 0).manifest.rows_out == 12


def test_the_plans_own_threshold_is_tried_as_it_is(build: Builder, run: Run, encoder: str) -> None:
    table = published(build, "50-exact", 0, spread(run, encoder, [0.0, math.acos(0.9702)]))
    plan = SemanticPlan(threshold=0.9705, encoder=encoder)
    for at_most, bounds in ((2, []), (1, ["similarity >= 0.97"])):
        stage = near(run, table, [], plan.model_copy(update={"at_most": at_most}), 1.0, "cpu", 0)
        assert stage.manifest.rows_out == at_most
        assert pd.concat([pd.read_parquet(path) for path in stage.left])["bound"].tolist() == bounds


def test_a_number_that_no_threshold_reaches(build: Builder, run: Run, encoder: str) -> None:
    table = published(build, "50-exact", 0, spread(run, encoder, [0.0, 1.5, 3.0]))
    plan = SemanticPlan(encoder=encoder, at_most=2)
    with pytest.raises(PlanError, match=r"dedup\.semantic\.at_most=2 can't be reached: at a cosine of 0\.5, .* 3 of 3"):
        near(run, table, [], plan, 1.0, "cpu", 0)


@pytest.mark.parametrize(("keep_which", "stays"), [("best", "03"), ("hard", "02"), ("easy", "01")])
def test_another_order_of_quality(build: Builder, run: Run, encoder: str, keep_which: str, stays: str) -> None:
    table = published(build, "50-exact", 0, spread(run, encoder, [0.2, 0.1, -0.15, 0.25]))
    plan = SemanticPlan(threshold=0.9, encoder=encoder).model_copy(update={"keep": keep_which})
    stage = near(run, table, [], plan, 1.0, "cpu", 0)
    assert stays in set(columns_of([stage], ["id"])["id"])
    assert stage.manifest.rows_out == 1
    assert stage.manifest.settings["keep"] == keep_which


class TestSeeds:
    """Seeds with texts, as a taxonomy's are: written from, never training data."""

    TEXT = "Must the tenant pay the rent for the month of {} before the third working day"

    def seeds(self) -> list[Record]:
        texts = {"title": "t", "answer": "yes", "split": "train"}
        return [
            seed(name, question=self.TEXT.format(month), group_id=name, **texts)
            for name, month in (("s1", "May"), ("s2", "May"), ("s3", "June"))
        ]

    def deduped(self, step: str, run: Run, encoder: str, new: Stage, against: list[Stage], number: int) -> Stage:
        if step == "exact":
            return exact(run, new, against, ExactPlan(by="question"), number)
        if step == "fuzzy":
            return fuzzy(run, new, against, FuzzyPlan(threshold=0.7), number)
        return near(run, new, against, SemanticPlan(threshold=0.99, encoder=encoder), 0.5, "cpu", number)

    @pytest.mark.parametrize("step", ["exact", "fuzzy", "near"])
    def test_among_what_was_read_they_stay_and_tie_nobody(
        self, step: str, build: Builder, run: Run, encoder: str
    ) -> None:
        rows = [question(name, self.TEXT.format("May"), answer_score=5.0) for name in ("h1", "h2")]
        stage = self.deduped(step, run, encoder, published(build, "40-clean", 0, [*self.seeds(), *rows]), [], 0)
        assert {name: entry[1] for name, entry in left(stage).items()} == {"h2": "h1"}
        assert sorted(columns_of([stage], ["id"])["id"]) == ["h1", "s1", "s2", "s3"]
        assert pd.read_parquet(stage.folder / PAIRS)[["id", "kept_id"]].to_numpy().tolist() == [["h2", "h1"]]

    @pytest.mark.parametrize("step", ["exact", "fuzzy", "near"])
    def test_a_source_of_nothing_else(self, step: str, build: Builder, run: Run, encoder: str) -> None:
        stage = self.deduped(step, run, encoder, published(build, "40-clean", 0, self.seeds()), [], 0)
        assert stage.manifest.rows_out == 3
        assert pd.read_parquet(stage.folder / PAIRS).empty

    @pytest.mark.parametrize("step", ["exact", "fuzzy", "near"])
    def test_what_repeats_one_leaves(self, step: str, build: Builder, run: Run, encoder: str) -> None:
        parents = self.seeds()
        dataset = published(build, "70-split", 0, parents)
        drafts = [
            {"question": self.TEXT.format("June") + "?", "answer": "no"},
            {"question": "Who mends a broken window?", "answer": "he"},
        ]
        children = [child(parents[0], number, 1, draft) for number, draft in enumerate(drafts)]
        stage = self.deduped(step, run, encoder, published(build, "40-clean", 1, children), [dataset], 1)
        assert left(stage) == {"s1-synth-1-0": (f"{step}_duplicate", "s3", 1.0)}

    def test_they_count_for_no_size(self, build: Builder, run: Run, encoder: str) -> None:
        rows = spread(run, encoder, [0.0, 0.3, 1.5])
        table = published(build, "50-exact", 0, [*self.seeds(), *rows])
        stage = near(run, table, [], SemanticPlan(encoder=encoder, at_most=2), 1.0, "cpu", 0)
        assert stage.manifest.rows_out == 3 + 2


def test_a_pooling_that_only_rapids_knows_is_asked_of_nothing_else() -> None:
    arguments = embedding_at(Path("run"), SemanticPlan(pooling="last_token", engine="rapids"), "cpu", "fp32")
    assert vectors_of(arguments) == Encoder("embedded").fingerprint
