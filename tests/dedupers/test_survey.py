"""`Semantic.survey`: how near pairs are, counted, and what each threshold removes."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curation.core.encoder import Encoder
from curation.core.errors import PlanError
from curation.core.pairs import compared_texts, keep_best
from curation.core.records import Record, frame, human
from curation.core.sketch import principal_axes
from curation.core.vectors import VectorCache, hash_of, load_vectors
from curation.dedupers import _blocks, _near, _survey
from curation.dedupers._hashing import mixed
from curation.dedupers._survey import Sampling, Surveyed, bins_of, survey
from curation.dedupers.semantic import Semantic, Survey
from tests.core.tiny_encoder import write_tiny_encoder
from tests.dedupers.tables import ranks_of, table_of

THRESHOLDS = (0.8, 0.9, 0.925, 0.99)
WANTED = Sampling(70, frozenset({79, 80, 90, 99}), 3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def planted(count: int, tiny: str, folder: Path, precision: str = "fp32") -> list[Record]:
    """Records about a few subjects, some of the same text, some but for a number, with vectors near their subject's."""
    chance, rows = np.random.default_rng(5), []
    for number in range(count):
        name = "".join("abcdefghij"[int(digit)] for digit in str(chance.integers(count)))
        text = f"What about subject {name} of {number % 3}?"
        rows.append(human(f"r{number:03d}", question=text, answer="So.", question_score=float(number % 4)))
    texts = sorted({row["question"] for row in rows})
    centres = np.random.default_rng(1).standard_normal((4, 16))
    vectors = centres[chance.integers(4, size=len(texts))]
    vectors = vectors + chance.uniform(0, 0.6, (len(texts), 1)) * chance.standard_normal((len(texts), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    VectorCache(folder, Encoder(tiny, precision=precision).fingerprint).add(
        [hash_of(text) for text in texts], vectors.astype(np.float32)
    )
    return rows


def every_pair(rows: list[Record], tiny: str, folder: Path) -> dict[frozenset[str], float]:
    """The similarity of all pairs of different texts, by the ids of their best records, the long way."""
    rank = ranks_of(rows)
    texts: dict[str, str] = {}
    for row, text in zip(rows, compared_texts(frame(rows), "question")[0], strict=True):
        texts[text] = min(texts.get(text, row["id"]), row["id"], key=rank.__getitem__)
    vectors = load_vectors(folder, Encoder(tiny).fingerprint, [hash_of(text) for text in texts]).astype(np.float64)
    named = dict(zip(texts.values(), vectors, strict=True))
    return {frozenset(ends): round(float(named[ends[0]] @ named[ends[1]]), 6) for ends in combinations(named, 2)}


def binned(similarities: list[float]) -> dict[int, int]:
    counts = Counter(bins_of(np.array(similarities)).tolist())
    return {number: counts[number] for number in range(70, 100)}


def assert_equal(one: Survey, other: Survey) -> None:
    assert (one.records, one.texts, one.counts, one.removed) == (
        other.records,
        other.texts,
        other.counts,
        other.removed,
    )
    pd.testing.assert_frame_equal(one.pairs, other.pairs)


class TestCounts:
    @pytest.mark.parametrize("block_size", [7, 50, 4096])
    def test_all_pairs_of_different_texts_in_and_outside_of_crowds(
        self, block_size: int, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_near, "CROWD", 5)
        monkeypatch.setattr(_blocks, "_PANEL", {"cpu": 20})
        monkeypatch.setattr(_survey, "_COUNTED_ROWS", 6)
        rows = planted(120, tiny, tmp_path)
        found = Semantic(encoder=tiny, cache=str(tmp_path), block_size=block_size).survey(table_of(rows), [0.9], WANTED)
        every = every_pair(rows, tiny, tmp_path)
        assert found.counts == binned(list(every.values()))
        assert sum(found.counts.values()) > 1000
        assert (found.records, found.texts) == (120, len({row["question"] for row in rows}))
        assert found.texts < found.records

    def test_sketches_and_full_products_count_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        chance = np.random.default_rng(2)
        vectors = chance.standard_normal((90, 24)) * 0.7 ** np.arange(24)
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        cache = VectorCache(tmp_path, "any")
        hashes = [f"{number:032x}" for number in range(90)]
        cache.add(hashes, vectors)
        places = cache.index().reindex(hashes)
        texts = pd.DataFrame({"file_0": places["file"].to_numpy(), "row_0": places["row"].to_numpy(), "new": True})
        texts["draw"] = chance.integers(2**63, size=90, dtype=np.uint64)
        full = survey(texts, WANTED, None, block_size=40)
        monkeypatch.setattr(_blocks, "_WORTH_CHECKING", 1.0)  # never too many places for the bound
        bounded = survey(texts, WANTED, principal_axes(vectors, 8), block_size=25)
        assert full.counts.sum() > 100
        np.testing.assert_array_equal(bounded.counts, full.counts)
        pd.testing.assert_frame_equal(bounded.drawn, full.drawn)

    def test_a_pair_on_a_bound_counts_above_it_and_equal_vectors_in_the_last(self) -> None:
        values = np.array([0.7, 0.709999, 0.71, 0.97, 0.99, 1.0])
        assert bins_of(values).tolist() == [70, 70, 71, 97, 99, 99]

    def test_no_record_with_a_text_is_no_pair(self, tiny: str) -> None:
        rows = [human("a", question="", answer="Yes."), human("b", question=" ", answer="No.")]
        found = Semantic(encoder=tiny).survey(table_of(rows, 1), [0.9], WANTED)
        assert (found.records, found.texts, found.removed, len(found.pairs)) == (0, 0, {0.9: 0}, 0)
        assert set(found.counts.values()) == {0}

    def test_one_text_is_no_pair(self, tiny: str) -> None:
        found = Semantic(encoder=tiny).survey(table_of([human("a", question="Why?", answer="So.")], 1), [0.9], WANTED)
        assert (found.records, sum(found.counts.values()), found.removed, len(found.pairs)) == (1, 0, {0.9: 0}, 0)


class TestPairs:
    def test_some_of_each_hundredth_that_was_asked_for(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_blocks, "_PANEL", {"cpu": 20})
        monkeypatch.setattr(_survey, "_COUNTED_ROWS", 6)
        rows = planted(120, tiny, tmp_path)
        found = Semantic(encoder=tiny, cache=str(tmp_path)).survey(table_of(rows), [0.9], WANTED)
        every, rank = every_pair(rows, tiny, tmp_path), ranks_of(rows)
        assert Counter(found.pairs["bin"]) == {number: min(3, found.counts[number]) for number in (79, 80, 90, 99)}
        for pair in found.pairs.itertuples():
            assert pair.similarity == pytest.approx(every[frozenset({pair.id, pair.kept_id})], abs=2e-6)
            assert bins_of(np.array([pair.similarity])) == pair.bin
            assert rank[pair.kept_id] < rank[pair.id]
        assert list(found.pairs["bin"]) == sorted(found.pairs["bin"], reverse=True)

    def test_none_where_none_are_wanted(self, tiny: str, tmp_path: Path) -> None:
        rows = planted(40, tiny, tmp_path)
        found = Semantic(encoder=tiny, cache=str(tmp_path)).survey(table_of(rows), [0.9], Sampling(70))
        assert len(found.pairs) == 0
        assert sum(found.counts.values()) > 0

    def test_partitions_order_and_blocks_change_nothing(self, tiny: str, tmp_path: Path) -> None:
        rows = planted(120, tiny, tmp_path)
        deduper = Semantic(encoder=tiny, cache=str(tmp_path))
        expected = deduper.survey(table_of(rows, 1), THRESHOLDS, WANTED)
        for seed in range(2):
            small = Semantic(encoder=tiny, cache=str(tmp_path), block_size=11 + seed)
            assert_equal(small.survey(table_of(rows, 5, seed=seed), THRESHOLDS, WANTED), expected)

    def test_where_vectors_lie_changes_nothing(self, tiny: str, tmp_path: Path) -> None:
        rows = planted(120, tiny, tmp_path / "one")
        fingerprint = Encoder(tiny).fingerprint
        hashes = sorted({hash_of(text) for text in compared_texts(frame(rows), "question")[0]}, reverse=True)
        chance = np.random.default_rng(8)
        for part in np.array_split(chance.permutation(hashes), 3):
            vectors = load_vectors(tmp_path / "one", fingerprint, part.tolist())
            VectorCache(tmp_path / "other", fingerprint).add(part.tolist(), vectors)
        found = [
            Semantic(encoder=tiny, cache=str(tmp_path / name)).survey(table_of(rows), THRESHOLDS, WANTED)
            for name in ("one", "other")
        ]
        assert_equal(*found)

    def test_each_pair_is_as_likely_as_any_other(self) -> None:
        draws = np.arange(1, 41, dtype=np.uint64) << np.uint64(40)  # far from random, as no digest is
        sums = mixed(draws[:, None] + draws)
        first = [np.unravel_index(int(row.argmin()), (40,))[0] for row in sums]
        assert len(set(first)) > 10

    def test_what_is_drawn_of_parts_is_drawn_of_all(self) -> None:
        parts = [
            Surveyed(
                np.full(100, number),
                pd.DataFrame({"first": [number], "second": 9, "bin": 80, "draw": np.uint64(9 - number)}),
            )
            for number in range(4)
        ]
        whole = Surveyed.of(parts, 2)
        assert whole.counts.tolist() == [6] * 100
        assert whole.drawn["first"].tolist() == [3, 2]


class TestRemoved:
    @pytest.mark.parametrize("crowd", [256, 3])
    @pytest.mark.parametrize("keep", ["best", "hard", "random"])
    @pytest.mark.parametrize("guard", [False, True])
    def test_as_many_as_the_run_would_remove(
        self, crowd: int, keep: str, guard: bool, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_near, "CROWD", crowd)
        rows = planted(90, tiny, tmp_path)
        make = partial(Semantic, encoder=tiny, cache=str(tmp_path), keep=keep, guard=guard)
        table = table_of(rows)
        found = make().survey(table, THRESHOLDS, WANTED)
        for threshold in THRESHOLDS:
            deduper = make(threshold)
            own = deduper.rank(table)
            leaves = keep_best(deduper.find(table), ranks_of(rows) if own is None else own, threshold)
            assert found.removed[threshold] == len(leaves)
        assert found.removed[0.8] > found.removed[0.99]

    def test_half_precision_removes_the_same_and_shows_exact_similarities(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Encoder, "error", property(lambda self: 0.02 if self.resolved == "bf16" else 0.0))
        rows = planted(60, tiny, tmp_path)
        fingerprints = [Encoder(tiny, precision=name).fingerprint for name in ("fp32", "bf16")]
        hashes = sorted({hash_of(text) for text in compared_texts(frame(rows), "question")[0]})
        vectors = load_vectors(tmp_path, fingerprints[0], hashes)
        blurred = vectors + np.random.default_rng(3).normal(scale=0.004, size=vectors.shape).astype(np.float32)
        blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
        VectorCache(tmp_path, fingerprints[1]).add(hashes, blurred)
        fine = [number / 100 for number in range(80, 100)]
        exact, half = (
            Semantic(encoder=tiny, cache=str(tmp_path), precision=name).survey(table_of(rows), fine, WANTED)
            for name in ("fp32", "bf16")
        )
        assert half.removed == exact.removed
        assert half.counts != exact.counts
        every = every_pair(rows, tiny, tmp_path)
        for pair in half.pairs.itertuples():
            assert pair.similarity == pytest.approx(every[frozenset({pair.id, pair.kept_id})], abs=2e-6)

    def test_nothing_is_embedded_twice(self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = planted(30, tiny, tmp_path)
        monkeypatch.setattr(Encoder, "encode", lambda *_: pytest.fail("embeds again"))
        found = Semantic(encoder=tiny, cache=str(tmp_path)).survey(table_of(rows), [0.9], WANTED)
        assert found.records == 30

    def test_rapids_looks_at_no_pair_of_different_clusters(self, tiny: str) -> None:
        with pytest.raises(PlanError, match="'rapids' can't survey all pairs"):
            Semantic(encoder=tiny, engine="rapids").survey(table_of([], 1), [0.9], WANTED)


class TestLowered:
    @pytest.mark.parametrize("keep", ["best", "hard"])
    def test_the_highest_thousandth_by_which_enough_leave(self, keep: str, tiny: str, tmp_path: Path) -> None:
        rows = planted(60, tiny, tmp_path)
        deduper = Semantic(0.9805, encoder=tiny, cache=str(tmp_path), keep=keep)
        tried = [0.9805, *(number / 1000 for number in range(980, 899, -1))]
        removed = deduper.survey(table_of(rows), [*tried, 0.5], WANTED).removed
        for wanted in (0, removed[0.9805], removed[0.9805] + 1, removed[0.95], removed[0.9]):
            expected = next(threshold for threshold in tried if removed[threshold] >= wanted)
            assert deduper.lowered(table_of(rows), wanted) == (expected, removed[expected])
        assert deduper.lowered(table_of(rows), 60) == (0.5, removed[0.5])

    def test_crowds_and_half_precision_change_nothing(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = planted(60, tiny, tmp_path)
        planted(60, tiny, tmp_path, "bf16")
        make = partial(Semantic, encoder=tiny, cache=str(tmp_path))
        expected = make().lowered(table_of(rows), 40)
        assert 0.5 < expected[0] < 0.97
        monkeypatch.setattr(_near, "CROWD", 3)
        monkeypatch.setattr(Encoder, "error", property(lambda self: 0.02 if self.resolved == "bf16" else 0.0))
        assert make().lowered(table_of(rows), 40) == expected
        assert make(precision="bf16").lowered(table_of(rows), 40) == expected

    def test_all_records_are_read_once(self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = planted(60, tiny, tmp_path)
        read: list[int] = []

        def spy(part: pd.DataFrame) -> pd.DataFrame:
            read.append(len(part))
            return part

        table = table_of(rows, 1).map_partitions(spy, meta=frame([]))
        monkeypatch.setattr(Encoder, "encode", lambda *_: pytest.fail("embeds again"))
        Semantic(encoder=tiny, cache=str(tmp_path)).lowered(table, 40)
        assert read == [60]

    def test_a_threshold_below_all_that_are_tried(self, tiny: str, tmp_path: Path) -> None:
        rows = planted(30, tiny, tmp_path)
        deduper = Semantic(0.4, encoder=tiny, cache=str(tmp_path))
        threshold, removed = deduper.lowered(table_of(rows), 31)
        assert (threshold, removed) == (0.4, deduper.survey(table_of(rows), [0.4], WANTED).removed[0.4])
        assert deduper.lowered(table_of([human("silent")]), 1) == (0.4, 0)

    def test_clusters_follow_from_no_threshold(self, tiny: str) -> None:
        with pytest.raises(PlanError, match="'rapids' can't lower its threshold"):
            Semantic(encoder=tiny, engine="rapids").lowered(table_of([], 1), 1)
