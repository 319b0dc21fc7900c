"""`python -m curation.thresholds` on folders of runs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from curation import thresholds
from curation.config import Plan, dump
from curation.core.encoder import Encoder
from curation.core.errors import LockedError
from curation.core.pairs import compared_texts
from curation.core.records import SEED, Record, frame, human
from curation.core.vectors import VectorCache, hash_of
from curation.dedupers import _near, semantic
from curation.engine import cluster
from curation.engine.lift import Outcome
from curation.engine.store import Manifest, Store
from tests.core.tiny_encoder import write_tiny_encoder
from tests.run_folder import Builder

if TYPE_CHECKING:
    from distributed import Client

STAGE = "stages/round-00/50-exact"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """In this process instead of a cluster; how one would have been started."""
    started: list[dict[str, Any]] = []

    def connect(**settings: Any) -> Any:
        started.append(settings)
        return nullcontext()

    monkeypatch.setattr(cluster, "connect", connect)
    return started


def records() -> list[Record]:
    """Ten questions, each asked three times in nearly the same words, and one record without any."""
    names = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay"]
    rows = [
        human(f"{name}-{number}", title=f"The {name}", question=f"Is <b>a {name}</b> {word}?", answer="Yes.")
        for name in names
        for number, word in enumerate(("brave", "very brave", "not brave"))
    ]
    return [*rows, human("silent", question="", answer="An answer.")]


def write_run(root: Path, encoder: str, partitions: int = 2, seeds: Sequence[Record] = (), **plan: Any) -> Path:
    """A run that has come to its end of `50-exact`, with vectors: of a question's three the second is at a cosine of
    about 0.96 to the first, and the third of 0.88."""
    rows = [*records(), *seeds]
    parts = [frame(rows[start::partitions]) for start in range(partitions)]
    Builder(root).stage("50-exact", 0, parts, lambda _folder: Outcome, {"by": "both"})
    dedup = plan.pop("dedup", {"semantic": {}})
    if dedup["semantic"] is not None:
        dedup = {**dedup, "semantic": {"encoder": encoder, **dedup["semantic"]}}
    values = {"source": {"name": "sample"}, "clean": [], "dedup": dedup, **plan}
    (root / "plan.yaml").write_text(dump(Plan.model_validate(values)), encoding="utf-8")
    write_vectors(root, encoder, records())
    return root


def write_vectors(root: Path, encoder: str, rows: list[Record]) -> None:
    vectors = np.zeros((len(rows), 24), dtype=np.float64)
    for place in range(len(rows)):
        lean = (0.0, 0.3, 0.55)[place % 3]
        vectors[place, place // 3] = 1.0
        vectors[place, 12 + place % 3] = lean
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hashes = [hash_of(text) for text in compared_texts(frame(rows), "question")[0]]
    VectorCache(root / "embeddings", Encoder(encoder).fingerprint).add(hashes, vectors.astype(np.float32))


def removed(text: str) -> dict[str, tuple[int, int]]:
    """The table that was printed: what each threshold removes and keeps."""
    rows = re.findall(r"^ +(0\.\d+|1\.00) +([\d,]+) +([\d,]+)", text.partition("threshold   removes")[2], re.MULTILINE)
    return {threshold: (int(gone), int(left)) for threshold, gone, left in rows}


class TestTable:
    def test_what_each_threshold_removes(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, tiny)
        assert thresholds.main([str(tmp_path), "--thresholds", "0.8,0.9,0.955,0.99"]) == 0
        said = capsys.readouterr()
        assert removed(said.out) == {
            "0.80": (20, 11), "0.90": (10, 21), "0.955": (10, 21), "0.97": (0, 31), "0.99": (0, 31),
        }  # fmt: skip
        assert re.search(r"^ +0.97 .*  the plan's$", said.out, re.MULTILINE)
        assert "31 records, as 50-exact of round 0 left them; compared by their titles and questions" in said.out
        assert "1 without such a text" in said.out
        assert re.search(r"^0.95 to 0.96 +10  #+$", said.out, re.MULTILINE)
        assert re.search(r"^0.98 to 0.99 +0$", said.out, re.MULTILINE)
        assert "dedup.semantic.threshold=0.97" in said.out
        assert "dedup.semantic.at_most=11" in said.out
        assert str(tmp_path / "thresholds.html") in said.out
        assert said.err == ""
        assert here[0]["scheduler_address"] is None

    def test_seeds_are_no_records(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, tiny, seeds=[{**row, "id": f"seed-{row['id']}", "origin": SEED} for row in records()])
        assert thresholds.main([str(tmp_path), "--thresholds", "0.8,0.9"]) == 0
        said = capsys.readouterr().out
        assert removed(said) == {"0.80": (20, 11), "0.90": (10, 21), "0.97": (0, 31)}
        assert "31 records, as 50-exact" in said

    def test_the_guard_of_the_plan_counts(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, tiny, dedup={"semantic": {"guard": True, "threshold": 0.8}})
        assert thresholds.main([str(tmp_path), "--thresholds", "0.9"]) == 0
        said = capsys.readouterr().out
        assert removed(said) == {"0.80": (10, 21), "0.90": (10, 21)}  # who is not brave stays
        assert "those whose words contrast stay (guard)" in said

    def test_a_plan_without_near_duplicates_gets_the_defaults(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        write_run(tmp_path, tiny, dedup={"semantic": None})
        monkeypatch.setattr(thresholds, "_deduper", lambda run, root, device: replace_encoder(run, root, device, tiny))
        assert thresholds.main([str(tmp_path)]) == 0
        assert re.search(
            r"^ +0.97 .*  the default; the plan looks for no near duplicates$", capsys.readouterr().out, re.MULTILINE
        )

    def test_counting_starts_where_it_is_told_to(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, tiny)
        assert thresholds.main([str(tmp_path), "--lowest", "0.92", "--samples", "1"]) == 0
        said = capsys.readouterr().out
        assert "0.92 to 0.93" in said
        assert "0.91 to 0.92" not in said
        assert (tmp_path / "thresholds.html").read_text(encoding="utf-8").count("<article") == 1

    def test_one_process_and_two_workers_say_the_same(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], client: Client, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        pages, tables = [], []
        for name, partitions, context in (("one", 1, nullcontext()), ("two", 5, client.as_current())):
            root = write_run(tmp_path / name, tiny, partitions)
            with context:
                assert thresholds.main([str(root)]) == 0
            pages.append((root / "thresholds.html").read_bytes())
            tables.append(capsys.readouterr().out.replace(str(root), "OUT"))
        assert pages[0] == pages[1]
        assert tables[0] == tables[1]

    def test_the_clusters_settings_are_the_plans_unless_told(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]]
    ) -> None:
        write_run(tmp_path, tiny, cluster={"n_workers": 3, "scheduler_address": "tcp://gone:8786"})
        thresholds.main([str(tmp_path)])
        thresholds.main([str(tmp_path), "--n-workers", "1", "--scheduler-address", "tcp://head:8786"])
        assert [(got["n_workers"], got["scheduler_address"]) for got in here] == [(3, None), (1, "tcp://head:8786")]


def replace_encoder(run: Any, root: Path, device: str, encoder: str) -> semantic.Semantic:
    """The deduper of a plan that names no encoder, with a small one."""
    return semantic.Semantic(encoder=encoder, cache=str(root / "embeddings"), device=device)


class TestTheRunsOwn:
    def test_nothing_is_embedded_twice(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_run(tmp_path, tiny)
        monkeypatch.setattr(Encoder, "encode", lambda *_: pytest.fail("embeds again"))
        assert thresholds.main([str(tmp_path)]) == 0

    @pytest.mark.parametrize(
        ("published", "asked", "expected"),
        [("bf16", "auto", "bf16"), (None, "auto", "fp32"), (None, "bf16", "bf16"), ("fp32", "auto", "fp32")],
    )
    def test_its_vectors_are_of_the_precision_that_the_run_chose(
        self, published: str | None, asked: str, expected: str, tiny: str, tmp_path: Path
    ) -> None:
        write_run(tmp_path, tiny, dedup={"semantic": {"precision": asked}})
        if published:
            settings = {"encoder": tiny, "pooling": None, "precision": published}
            Builder(tmp_path).stage("60-near", 0, [frame(records())], lambda _folder: Outcome, settings)
        assert thresholds._Run.open(tmp_path).precision == expected

    def test_another_encoders_near_stage_says_nothing(self, tiny: str, tmp_path: Path) -> None:
        write_run(tmp_path, tiny)
        settings = {"encoder": "another", "pooling": None, "precision": "bf16"}
        Builder(tmp_path).stage("60-near", 0, [frame(records())], lambda _folder: Outcome, settings)
        assert thresholds._Run.open(tmp_path).precision == "fp32"

    @pytest.mark.parametrize(
        ("plan", "stage"),
        [
            ({"dedup": {"fuzzy": {}, "semantic": {}}}, "55-fuzzy"),
            ({"dedup": {"exact": None, "semantic": {}}}, "40-clean"),
            ({"dedup": {"exact": None, "semantic": {}}, "against": {"input": ["bench.jsonl"]}}, "45-against"),
        ],
    )
    def test_the_stage_before_near_duplicates_leave_follows_from_the_plan(
        self, plan: dict[str, Any], stage: str, tiny: str, tmp_path: Path
    ) -> None:
        write_run(tmp_path, tiny, **plan)
        Builder(tmp_path).stage(stage, 0, [frame(records())], lambda _folder: Outcome)
        assert thresholds._Run.open(tmp_path).records.folder.name == stage


class TestErrors:
    def said(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
        """The one message of a command that ends with 2."""
        assert thresholds.main(arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("curation: ")
        return said.err

    def test_no_folder(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "is not a folder" in self.said([str(tmp_path / "none")], capsys)
        assert not (tmp_path / "none").exists()

    def test_no_run(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "holds no run: plan.yaml is missing" in self.said([str(tmp_path)], capsys)
        assert list(tmp_path.iterdir()) == []

    def test_a_damaged_plan(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "plan.yaml").write_text("dedup: {semantic: {threshold: 7}}", encoding="utf-8")
        assert "dedup.semantic.threshold" in self.said([str(tmp_path)], capsys)

    def test_a_run_that_has_not_come_so_far(
        self, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, tiny)
        (tmp_path / STAGE / "manifest.json").unlink()
        message = self.said([str(tmp_path)], capsys)
        assert f"has not published {STAGE} yet" in message
        assert "resumes the run" in message

    def test_a_stage_that_lost_a_file(self, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_run(tmp_path, tiny)
        (tmp_path / STAGE / "part-00001.parquet").unlink()
        assert f"has not published {STAGE} yet" in self.said([str(tmp_path)], capsys)

    def test_an_engine_that_does_not_look_at_all_pairs(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, tiny, dedup={"semantic": {"engine": "rapids"}})
        assert "'rapids' can't survey all pairs" in self.said([str(tmp_path)], capsys)

    @pytest.mark.parametrize(
        "flags",
        [
            ["--thresholds", "0.9,1.5"], ["--thresholds", "high"], ["--lowest", "0.705"], ["--lowest", "1"],
            ["--samples", "-1"], ["--n-workers", "0"],
        ],
    )  # fmt: skip
    def test_a_wrong_flag(self, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            thresholds.main([str(tmp_path), *flags])
        assert stopped.value.code == 2
        assert flags[0] in capsys.readouterr().err

    def test_an_interrupt(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def interrupted(**_: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(cluster, "connect", interrupted)
        assert thresholds.main([str(write_run(tmp_path, tiny))]) == 130
        assert capsys.readouterr().err == "curation: stopped.\n"


class TestBesideARun:
    def test_a_run_at_work_is_left_alone(
        self, tiny: str, tmp_path: Path, here: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_run(tmp_path, tiny)
        with Store(tmp_path).lock():
            owner = (tmp_path / ".lock").read_text()
            assert thresholds.main([str(tmp_path)]) == 0
            assert (tmp_path / ".lock").read_text() == owner
        assert "A run is at work in this folder" in capsys.readouterr().err

    def test_no_run_starts_meanwhile_and_one_may_afterwards(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_run(tmp_path, tiny)
        with Store(tmp_path).lock():
            pass

        @contextmanager
        def connect(**_: Any) -> Iterator[None]:
            with (
                pytest.raises(LockedError, match=r"in use by process \d+ on .* \(curation.thresholds\)"),
                Store(tmp_path).lock(),
            ):
                pass
            yield

        monkeypatch.setattr(cluster, "connect", connect)
        assert thresholds.main([str(tmp_path)]) == 0
        with Store(tmp_path).lock():
            pass

    @pytest.mark.parametrize("gone", [False, True])
    def test_a_stage_that_a_run_replaces_meanwhile_is_told(
        self, gone: bool, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        write_run(tmp_path, tiny)

        @contextmanager
        def connect(**_: Any) -> Iterator[None]:
            folder = tmp_path / STAGE
            manifest = Manifest.read(folder)
            assert manifest
            if gone:
                folder.rename(folder.with_name(".50-exact.old"))
            else:
                store = Store(tmp_path)
                with store.workspace(folder) as hidden:
                    for part in folder.glob("part-*"):
                        (hidden / part.name).write_bytes(part.read_bytes())
                    store.publish(hidden, folder, replace(manifest, signature="another"))
            yield

        monkeypatch.setattr(cluster, "connect", connect)
        assert thresholds.main([str(tmp_path)]) == 2
        assert "a run has replaced it in the meantime" in capsys.readouterr().err
        assert not (tmp_path / "thresholds.html").exists()


def test_it_asks_for_pairs_on_both_sides_of_each_threshold() -> None:
    assert sorted(set(thresholds._about([0.95, 0.955, 1.0, 0.7, 0.6], 70))) == [70, 94, 95, 99]
    assert sorted(thresholds._about([0.29, 0.57, 0.58], 1)) == [28, 29, 56, 57, 57, 58]  # as floats times 100 no whole


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom curation.thresholds import main\n"
        "try:\n  main(['--help'])\nexcept SystemExit:\n  pass\n"
        "heavy = {'dask', 'torch', 'pandas', 'nemo_curator', 'pydantic'} & set(sys.modules)\nassert not heavy, heavy"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for flag in ("--thresholds", "--lowest", "--samples", "--device", "--n-workers", "--scheduler-address"):
        assert flag in said


def test_a_crowd_is_counted_whole(
    tiny: str, tmp_path: Path, here: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_run(tmp_path, tiny)
    assert thresholds.main([str(tmp_path)]) == 0
    expected = capsys.readouterr().out
    monkeypatch.setattr(_near, "CROWD", 1)
    assert thresholds.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == expected
