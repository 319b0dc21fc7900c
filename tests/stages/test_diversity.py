"""What a round does to the diversity of the training split, and what becomes of one that narrows it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from curation import job, rounds, verify
from curation.config import DiversityPlan, Keys, Plan, SemanticPlan, dump, load
from curation.core.diversity import self_bleu, topic_entropy, vendi_score, words_of
from curation.core.encoder import Encoder
from curation.core.errors import PlanError
from curation.core.records import Record, child, frame, human, seed, seed_of
from curation.core.vectors import Vectors
from curation.engine.lift import Outcome
from curation.engine.progress import Progress
from curation.engine.run import Run, columns_of
from curation.engine.store import Stage, write_durably
from curation.stages.diversity import MEASURES, breached, diversity, measures_of
from tests import law_like
from tests.core.tiny_encoder import write_tiny_encoder
from tests.run_folder import Builder

if TYPE_CHECKING:
    from distributed import Client

SUBJECTS = ("a lease of land", "the wages of a cook", "a stolen bicycle", "noise at night", "a will without a date")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture
def build(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


@pytest.fixture
def run(build: Builder, client: Client) -> Run:
    return Run(build.store, client, Progress(StringIO()))


def keep(rows: pd.DataFrame) -> Outcome:
    return Outcome(rows)


def published(build: Builder, name: str, round_number: int, rows: list[Record], parts: int = 2) -> Stage:
    return build.stage(name, round_number, [frame(rows[part::parts]) for part in range(parts)], lambda _folder: keep)


def asked(number: int, split: str = "train") -> Record:
    subject = SUBJECTS[number % len(SUBJECTS)]
    question = " ".join(f"word{seed_of(number, place) % 300}" for place in range(16))
    return human(
        f"h{number:02d}", title=subject, question=question, answer=f"Rule {number}", tags=subject, split=split,
        group_id=f"h{number:02d}",
    )  # fmt: skip


def source() -> list[Record]:
    """Ten records for training, two to test by, and a seed."""
    return [*map(asked, range(10)), asked(10, "test"), asked(11, "test"), seed("seed", tags="a will", split="train")]


def copies(parents: Sequence[Record]) -> list[Record]:
    """What a teacher makes that says one thing of everything."""
    return [
        child(parent, index, 1, {"question": "It depends on the law.", "answer": "Ask a lawyer.", "title": "Law"})
        for parent in parents
        for index in range(2)
    ]


def measured(run: Run, new: Stage, dataset: list[Stage], **how: Any) -> Stage:
    plan = DiversityPlan(**{key: how[key] for key in ("bounds", "on_breach") if key in how})
    return diversity(run, new, dataset, plan, how.get("semantic"), "cpu", how.get("seed", 1), 1)


def texts_of(rows: Sequence[Record]) -> list[str]:
    return ["\n".join(row[name] for name in ("title", "question", "answer")) for row in rows]


def test_before_after_and_new_are_measured(build: Builder, run: Run) -> None:
    dataset = [published(build, "70-split", 0, source())]
    made = copies(source()[:4])
    stage = measured(run, published(build, "60-near", 1, made), dataset)
    assert sorted(columns_of([stage], ["id"])["id"]) == sorted(row["id"] for row in made)
    found = measures_of(stage)
    assert {name: (told["records"], told["texts"]) for name, told in found.items()} == {
        "before": (10, 10),
        "new": (8, 8),
        "after": (18, 10),  # as many as before: of more texts fewer words would be new
    }
    human_words = [words_of(text) for text in texts_of(source()[:10])]
    before = found["before"]["measures"]
    assert before["self_bleu"] == round(self_bleu(human_words) or 0, 4)
    assert before["topic_entropy"] == 1.0
    assert (before["vendi_score"], before["parent_similarity"]) == (None, None)
    assert found["new"]["measures"]["self_bleu"] == 1.0
    tags = {subject: 2 + 2 * (place < 4) for place, subject in enumerate(SUBJECTS)}
    assert found["after"]["measures"]["topic_entropy"] == round(topic_entropy(tags) or 0, 4)
    assert found["after"]["measures"]["distinct_2"] < before["distinct_2"]
    assert found["new"]["words"]["50"] == 9


def test_neither_partitions_nor_order_matter(tmp_path: Path, client: Client, encoder: str) -> None:
    told = []
    for name, parts, step in (("a", 1, 1), ("b", 3, -1)):
        build = Builder(tmp_path / name)
        run = Run(build.store, client, Progress(StringIO()))
        dataset = [published(build, "70-split", 0, source()[::step], parts)]
        new = published(build, "60-near", 1, copies(source()[:4])[::step], parts)
        stage = measured(run, new, dataset, semantic=SemanticPlan(encoder=encoder))
        told.append((stage.folder / MEASURES).read_bytes())
    assert told[0] == told[1]


def test_a_sample_is_drawn_by_the_seed(build: Builder, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("curation.stages.diversity"), "SAMPLE", 4)
    dataset = [published(build, "70-split", 0, source())]
    new = published(build, "60-near", 1, copies(source()[:4]))
    drawn = [measures_of(measured(run, new, dataset, seed=number)) for number in (1, 2, 1)]
    assert [told["texts"] for told in drawn[0].values()] == [4, 4, 4]
    assert drawn[0] == drawn[2] != drawn[1]


@pytest.mark.parametrize("by", ["question", "both"])
def test_meaning_is_measured_with_the_vectors_of_the_dedup(build: Builder, run: Run, encoder: str, by: Any) -> None:
    dataset = [published(build, "70-split", 0, source())]
    made = [child(row, 0, 1, {"question": f"{row['question']} Please?"}) for row in source()[:3]]
    plan = SemanticPlan(encoder=encoder, by=by)
    found = measures_of(measured(run, published(build, "60-near", 1, made), dataset, semantic=plan))
    network = Encoder(encoder)

    def vectors(rows: Sequence[Record]) -> Vectors:
        columns = [[f"{row['title']}\n{row['question']}" for row in rows]]
        if by == "both":
            columns.append([row["answer"] for row in rows])
        joined: Vectors = np.hstack([network.encode(texts) for texts in columns]) / np.sqrt(len(columns))
        return joined

    cosines = (vectors(made) * vectors(source()[:3])).sum(axis=1)
    assert found["new"]["measures"]["parent_similarity"] == pytest.approx(cosines.mean(), abs=1e-4)
    assert found["after"]["measures"]["near_parent"] == pytest.approx((cosines >= 0.95).mean(), abs=1e-4)
    assert found["before"]["measures"]["near_parent"] is None
    assert found["before"]["measures"]["vendi_score"] == pytest.approx(vendi_score(vectors(source()[:10])), abs=1e-4)


def test_what_has_a_vector_is_not_embedded_again(build: Builder, run: Run, encoder: str) -> None:
    dataset = [published(build, "70-split", 0, source())]
    new = published(build, "60-near", 1, copies(source()[:4]))
    plan = SemanticPlan(encoder=encoder)
    measured(run, new, dataset, semantic=plan)
    files = sorted(build.root.glob("embeddings/*/*.arrow"))
    measured(run, new, dataset, semantic=plan, bounds={"vendi_score": 1})
    assert files
    assert sorted(build.root.glob("embeddings/*/*.arrow")) == files


def test_a_bound_may_need_vectors_that_the_dedup_does_not(build: Builder, run: Run) -> None:
    dataset = [published(build, "70-split", 0, source())]
    new = published(build, "60-near", 1, copies(source()[:4]))
    found = measures_of(measured(run, new, dataset, bounds={"vendi_score": 1}))
    assert found["new"]["measures"]["vendi_score"] == pytest.approx(1, abs=1e-3)
    assert 1.5 < found["before"]["measures"]["vendi_score"] < 10


def test_a_round_is_taken_back_as_a_whole(build: Builder, run: Run) -> None:
    dataset = [published(build, "70-split", 0, source())]
    made = copies(source()[:4])
    new = published(build, "60-near", 1, made)
    bounds = {"distinct_1": 0.0, "self_bleu": 0.3, "distinct_2": 0.9}
    stage = measured(run, new, dataset, bounds=bounds, on_breach="take_back")
    assert stage.manifest.dropped == {"low_diversity": len(made)}
    left = pd.concat([pd.read_parquet(path) for path in stage.left])
    assert sorted(left["id"]) == sorted(row["id"] for row in made)
    value = measures_of(stage)["after"]["measures"]["self_bleu"]
    why = {tuple(row) for row in left[["field", "score", "bound"]].to_numpy()}
    assert why == {("self_bleu", value, "self_bleu <= 0.3")}
    (detail,) = set(left["detail"])
    assert detail.startswith("of the training split, self_bleu is ")
    assert "; distinct_2 is " in detail


@pytest.mark.parametrize("on_breach", ["stop", "report"])
def test_otherwise_the_round_stays_as_it_is(build: Builder, run: Run, on_breach: Any) -> None:
    dataset = [published(build, "70-split", 0, source())]
    new = published(build, "60-near", 1, copies(source()[:4]))
    free = measured(run, new, dataset)
    stage = measured(run, new, dataset, bounds={"self_bleu": 0.3}, on_breach=on_breach)
    assert stage.manifest.dropped == {}
    assert stage.digest == free.digest  # so that what follows is not done again
    assert breached(stage, DiversityPlan(bounds={"self_bleu": 0.3}))


def test_what_cannot_be_measured_passes_no_bound_and_is_told(build: Builder, run: Run) -> None:
    out = StringIO()
    run.progress = Progress(out)
    rows = [{**row, "tags": None} for row in source()]
    dataset = [published(build, "70-split", 0, rows)]
    stage = measured(run, published(build, "60-near", 1, copies(rows[:4])), dataset, bounds={"topic_entropy": 0.5})
    assert not breached(stage, DiversityPlan(bounds={"topic_entropy": 0.5}))
    assert "topic_entropy can't be measured, so its bound is passed over" in out.getvalue()


def test_what_is_written_from_seeds_alone_has_nothing_before_it(build: Builder, run: Run, encoder: str) -> None:
    topic = seed("topic", tags="a will", split="train")
    dataset = [published(build, "70-split", 0, [topic])]
    made = [child(topic, index, 1, {"question": SUBJECTS[index], "answer": "So."}) for index in range(3)]
    stage = measured(run, published(build, "60-near", 1, made), dataset, semantic=SemanticPlan(encoder=encoder))
    found = measures_of(stage)
    assert (found["before"]["records"], found["after"]["texts"]) == (0, 3)
    assert set(found["before"]["measures"].values()) == {None}
    assert found["after"]["measures"]["vendi_score"] > 1
    assert found["after"]["measures"]["parent_similarity"] is None


def test_a_bound_names_a_measure() -> None:
    with pytest.raises(PlanError) as error:
        load(overrides=["rounds.diversity.bounds={vendi_scor: 20, self_bleu: .nan}"])
    unknown, endless = error.value.faults
    assert unknown.startswith(
        "rounds.diversity.bounds: there is no measure 'vendi_scor'. Did you mean 'vendi_score'? There are: distinct_1,"
    )
    assert endless == "rounds.diversity.bounds: the bound of self_bleu is no number"


def test_a_round_without_records_has_nothing_to_measure(build: Builder, run: Run, encoder: str) -> None:
    dataset = [published(build, "70-split", 0, [seed("topic", split="train")])]
    stage = measured(run, published(build, "60-near", 1, []), dataset, semantic=SemanticPlan(encoder=encoder))
    assert {value for told in measures_of(stage).values() for value in told["measures"].values()} == {None}


class TestRounds:
    """Whole runs, of a source with noise for a teacher: two rounds, if nothing ends them."""

    def curated(self, client: Client, root: Path, bounds: dict[str, float], on_breach: str) -> rounds.Result:
        plan = Plan.model_validate(
            {
                "output": root / "out",
                "input": [str(law_like.write(root / "law.json"))],
                "dedup": {"semantic": None},
                "rounds": {"count": 2, "ratio": 0.5, "diversity": {"bounds": bounds, "on_breach": on_breach}},
                "generation": {"generator": "noise", "critic": None},
            }
        )
        build = Builder(plan.output)
        run = Run(build.store, client, Progress(StringIO()))
        write_durably(plan.output / "plan.yaml", dump(plan).encode())
        result = rounds.curate(run, plan, Keys())
        job._finish(run, plan, result)
        assert [str(one) for one in verify.verify(plan.output) if one.count] == []
        return result

    def test_the_rounds_end_with_the_one_that_passes_a_bound(self, client: Client, tmp_path: Path) -> None:
        result = self.curated(client, tmp_path, {"self_bleu": 0.0}, "stop")
        assert result.ended.startswith("round 1 has narrowed the training split: self_bleu is ")
        assert len(result.dataset) == 2
        assert result.dataset[1].manifest.rows_out > 0

    def test_or_before_it(self, client: Client, tmp_path: Path) -> None:
        result = self.curated(client, tmp_path, {"self_bleu": 0.0}, "take_back")
        assert result.ended.endswith("; its records are in the ledger")
        assert result.dataset[1].manifest.rows_out == 0
        ledger = pd.read_parquet(tmp_path / "out/ledger/round-01-85-diversity.parquet")
        assert len(ledger) == result.dataset[1].manifest.rows_in > 0

    def test_bounds_that_are_kept_end_nothing(self, client: Client, tmp_path: Path) -> None:
        result = self.curated(client, tmp_path, {"self_bleu": 1.0, "distinct_2": 0.0}, "take_back")
        assert result.ended == "2 of 2 rounds are done"
        assert [stage.manifest.stage for stage in result.dataset] == ["split", "diversity", "diversity"]
