from __future__ import annotations

import html
import json
import pickle
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import dask
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from distributed import Client

from curation.core.encoder import Encoder
from curation.core.errors import CurationError, DiskError, PlanError
from curation.core.pairs import COMPARED, best_across, compared_texts, connected_groups, keep_best, normalize
from curation.core.records import SYNTHETIC, Record, frame, human
from curation.core.sketch import Axes, principal_axes, worthwhile_axes
from curation.core.vectors import VectorCache, Vectors, hash_of, load_vectors, take
from curation.dedupers import _blocks, _near, _search
from curation.dedupers._near import near_pairs
from curation.dedupers.exact import Exact
from curation.dedupers.semantic import Semantic
from tests.core.tiny_encoder import write_tiny_encoder
from tests.dedupers.tables import all_pairs, ranks_of, table_of
from tests.shared_data import shared_data

MORE_THAN_DIMENSIONS = 100

LAW = [
    human("1", title="Deposit", question="Can my landlord keep the deposit for normal wear?", answer="No."),
    human("2", title="Deposit", question="Can my landlord keep the deposit for normal wear", answer="Rarely.", line=2),
    human("3", title="Deposit", question="May a landlord keep a deposit because of ordinary wear?", answer="No!"),
    human("4", title="Fences", question="Who pays for a fence between two gardens?", answer="Both neighbours."),
    human("5", title=None, question="Is a verbal contract binding?", answer="Often.", question_score=3.0),
    human("6", title="", question="Is a verbal contract binding?", answer="Mostly it is."),
    human("7", title=None, question=None, answer="An answer without a question."),
    human("8", title="", question="  ", answer="Another answer without a question."),
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny"))


def planted(count: int, prefix: str, cache: VectorCache, seed: int, spread: float = 0.25) -> list[Record]:
    """Records whose texts have vectors, put into the cache, that lie close to a few centres."""
    chance = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((6, 16))
    rows = []
    for number in range(count):
        question, answer = (f"{prefix} {kind} {chance.integers(count)}" for kind in ("question", "answer"))
        rows.append(human(f"{prefix}{number:03d}", question=question, answer=answer, question_score=float(number % 3)))
    texts = sorted({row[name] for row in rows for name in ("question", "answer")})
    vectors = centres[chance.integers(6, size=len(texts))] + spread * chance.standard_normal((len(texts), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cache.add([hash_of(text) for text in texts], vectors.astype(np.float32))
    return rows


class Oracle:
    """The similarity of two records by brute force."""

    def __init__(self, by: str, threshold: float, rows: list[Record], folder: Path, fingerprint: str) -> None:
        self.threshold = threshold
        texts = zip(*compared_texts(frame(rows), by), strict=True)
        self.texts = dict(zip([row["id"] for row in rows], texts, strict=True))
        hashes = sorted({hash_of(text) for texts in self.texts.values() for text in texts if text})
        self.vectors = dict(zip(hashes, load_vectors(folder, fingerprint, hashes).astype(float), strict=True))

    def __call__(self, one: Record, other: Record) -> float | None:
        mine, theirs = self.texts[one["id"]], self.texts[other["id"]]
        if not any(mine) or not any(theirs):
            return None
        value = min(
            round(float(self.vectors[hash_of(a)] @ self.vectors[hash_of(b)]), 6)
            for a, b in zip(mine, theirs, strict=True)
        )
        return value if value >= self.threshold else None


def assert_enough(found: pd.DataFrame, every: pd.DataFrame, rows: list[Record], threshold: float) -> None:
    """No pair is a false one, and those that were left out would change nothing about who leaves."""
    listed = found.dropna(subset="similarity")
    assert len(listed.merge(every)) == len(listed)
    rank = ranks_of(rows)
    pd.testing.assert_frame_equal(keep_best(found, rank, threshold)[["id"]], keep_best(every, rank, threshold)[["id"]])


def assert_same_groups(found: pd.DataFrame, every: pd.DataFrame, rows: list[Record]) -> None:
    ids = [row["id"] for row in rows]
    pd.testing.assert_series_equal(connected_groups(ids, found), connected_groups(ids, every))


class TestAgainstBruteForce:
    @pytest.mark.parametrize("by", ["question", "answer", "both"])
    @pytest.mark.parametrize("block_size", [7, 4096])
    def test_planted_vectors(self, by: str, block_size: int, tiny: str, tmp_path: Path) -> None:
        fingerprint = Encoder(tiny).fingerprint
        cache = VectorCache(tmp_path, fingerprint)
        rows, others = planted(70, "a", cache, 1), planted(25, "b", cache, 2)
        threshold = 0.9
        oracle = Oracle(by, threshold, [*rows, *others], tmp_path, fingerprint)
        deduper = Semantic(threshold, by, tiny, cache=str(tmp_path), block_size=block_size)
        found = deduper.find(table_of(rows, 5), table_of(others, 2))
        every = all_pairs(rows, others, oracle)
        assert len(every) > 50
        assert_enough(found, every, [*rows, *others], threshold)
        alone = deduper.find(table_of(rows, 4, seed=1))
        assert_enough(alone, all_pairs(rows, [], oracle), rows, threshold)
        assert_same_groups(alone, all_pairs(rows, [], oracle), rows)

    def test_partitions_order_and_blocks_change_nothing(self, tiny: str, tmp_path: Path) -> None:
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        rows, others = planted(60, "a", cache, 3), planted(20, "b", cache, 4)
        expected = Semantic(0.85, "both", tiny, cache=str(tmp_path)).find(table_of(rows, 1), table_of(others, 1))
        assert len(expected) > 20
        for seed in range(3):
            again = Semantic(0.85, "both", tiny, cache=str(tmp_path), block_size=11 + seed)
            pd.testing.assert_frame_equal(again.find(table_of(rows, 8, seed), table_of(others, 3, seed)), expected)

    def test_a_pair_on_the_threshold_counts(self, tiny: str, tmp_path: Path) -> None:
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        angle = np.arccos(0.97)
        vectors = np.array([[1, 0], [np.cos(angle), np.sin(angle)], [np.cos(2e-5 + angle), -np.sin(2e-5 + angle)]])
        cache.add([hash_of(text) for text in "abc"], vectors.astype(np.float32))
        rows = [human(text, question=text) for text in "abc"]
        found = Semantic(0.97, "question", tiny, cache=str(tmp_path)).find(table_of(rows))
        assert found.to_dict("records") == [{"id": "b", "kept_id": "a", "similarity": 0.97}]


def shaped(shape: str, count: int, dimensions: int) -> Vectors:
    """Unit vectors of one kind, each tenth a near duplicate of the one before it where the kind allows that."""
    chance = np.random.default_rng(len(shape))
    vectors = chance.standard_normal((count, dimensions))
    if shape == "power law":
        vectors = vectors / np.sqrt(np.arange(1, dimensions + 1))
    elif shape == "clustered":
        vectors = chance.standard_normal((40, dimensions))[chance.integers(40, size=count)] + 0.3 * vectors
    elif shape == "duplicates":
        vectors = vectors[chance.integers(count // 3, size=count)]
    elif shape == "all equal":
        vectors = np.ones((count, dimensions))
    if shape not in ("duplicates", "all equal"):
        tenth = slice(9, None, 10)
        vectors[tenth] = vectors[8::10][: len(vectors[tenth])] + 0.3 * vectors[tenth]
    scaled: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def places_of(vectors: Vectors, folder: Path, new: int | None = None) -> pd.DataFrame:
    """The vectors in the cache, and where they are there, as `near_pairs` wants to know it."""
    cache = VectorCache(folder, "shaped")
    hashes = [hash_of(str(number)) for number in range(len(vectors))]
    for start in range(0, len(vectors), 700):
        cache.add(hashes[start : start + 700], vectors[start : start + 700])
    places = cache.index().loc[hashes]
    is_new = np.arange(len(vectors)) < (len(vectors) if new is None else new)
    return pd.DataFrame({"file_0": places["file"].to_numpy(), "row_0": places["row"].to_numpy(), "new": is_new})


def full_product(vectors: Vectors, threshold: float, new: int | None = None) -> pd.DataFrame:
    """All pairs the long way, in double precision."""
    exact = vectors.astype(np.float64)
    cosines = np.triu((exact @ exact.T).round(6), 1)
    first, second = np.nonzero((cosines >= threshold) & (np.arange(len(exact)) < (new or len(exact)))[:, None])
    return pd.DataFrame({"first": first, "second": second, "similarity": cosines[first, second]})


def assert_same_pairs(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    ordered = found.sort_values(["first", "second"], ignore_index=True)
    pd.testing.assert_frame_equal(ordered, expected, check_exact=False, rtol=0, atol=1.1e-6)  # sums in another order
    assert ordered[["first", "second"]].equals(expected[["first", "second"]])


class TestCrowds:
    """Pairs of two texts with many near ones are not listed; who leaves and what belongs together stays the same."""

    @pytest.mark.parametrize(("spread", "crowd", "by"), [(0.05, 0, "both"), (0.25, 6, "question"), (0.05, 6, "both")])
    def test_the_same_leave(
        self, spread: float, crowd: int, by: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        rows, others = planted(90, "a", cache, 1, spread), planted(40, "b", cache, 2, spread)
        oracle = Oracle(by, 0.85, [*rows, *others], tmp_path, Encoder(tiny).fingerprint)
        monkeypatch.setattr(_near, "CROWD", crowd)
        for threshold in (0.85, 0.95):
            deduper = Semantic(threshold, by, tiny, cache=str(tmp_path), block_size=17, lowest=0.85)
            every, alone = all_pairs(rows, others, oracle), all_pairs(rows, [], oracle)
            found = deduper.find(table_of(rows, 5), table_of(others, 2))
            assert_enough(found, every, [*rows, *others], threshold)
            among = deduper.find(table_of(rows, 3, seed=1))
            assert_enough(among, alone, rows, threshold)
            assert_same_groups(among, alone, rows)
            again = Semantic(threshold, by, tiny, cache=str(tmp_path), block_size=29, lowest=0.85)
            pd.testing.assert_frame_equal(again.find(table_of(rows, 2, seed=4), table_of(others, 3)), found)

    def test_a_template_is_not_multiplied_out(self, tiny: str, tmp_path: Path) -> None:
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        rows = planted(3000, "a", cache, 1, spread=0.01)
        found = Semantic(0.9, encoder=tiny, cache=str(tmp_path), block_size=500).find(table_of(rows, 3))
        kept = len(rows) - len(keep_best(found, ranks_of(rows), 0.9))
        assert kept == 6  # one of each centre
        assert len(found) < 3 * len(rows)  # of 750,000 pairs
        led = found.dropna(subset="similarity")
        nearest = keep_best(found, ranks_of(rows), 0.9)
        assert nearest["similarity"].min() >= 0.9
        assert set(nearest["id"]) <= set(led["id"])


class TestMatch:
    @pytest.mark.parametrize("by", ["question", "both"])
    @pytest.mark.parametrize("spread", [0.02, 0.25])
    def test_the_nearest_of_the_others(self, spread: float, by: str, tiny: str, tmp_path: Path) -> None:
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        rows, others = planted(70, "a", cache, 1, spread), planted(50, "b", cache, 2, spread)
        others += [{**row, "id": f"c{row['id']}"} for row in rows[:5]]
        oracle = Oracle(by, 0.9, [*rows, *others], tmp_path, Encoder(tiny).fingerprint)
        expected = best_across(all_pairs(rows, others, oracle), [row["id"] for row in rows])
        assert 5 <= len(expected) <= len(rows)
        for block_size in (11, 4096):
            deduper = Semantic(0.9, by, tiny, cache=str(tmp_path), block_size=block_size)
            found = deduper.match(table_of(rows, 5), table_of(others, 2, seed=3))
            pd.testing.assert_frame_equal(found, expected)
        assert deduper.match(table_of([], 1), table_of(others, 1)).empty
        assert deduper.match(table_of(rows, 1), table_of([], 1)).empty

    def test_any_deduper_can(self) -> None:
        rows, others = LAW[:4], [{**row, "id": f"c{row['id']}"} for row in LAW[1:3]]
        found = Exact("question").match(table_of(rows, 2), table_of(others, 1))
        assert found[["id", "kept_id"]].to_numpy().tolist() == [["1", "c2"], ["2", "c2"], ["3", "c3"]]


class TestKeep:
    def test_hard_and_easy_are_reverse_but_for_equals(self, tiny: str, tmp_path: Path) -> None:
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        rows = planted(60, "a", cache, 1)
        order = {}
        for keep in ("hard", "easy", "random"):
            deduper = Semantic(0.9, encoder=tiny, cache=str(tmp_path), keep=keep, block_size=13)
            ranks = deduper.rank(table_of(rows, 4))
            assert ranks is not None
            other = deduper.rank(table_of(rows, 2, seed=3))
            assert other is not None
            pd.testing.assert_series_equal(ranks.sort_index(), other.sort_index())
            pairs = deduper.find(table_of(rows, 3))
            assert (ranks.reindex(pairs["kept_id"]).to_numpy() < ranks.reindex(pairs["id"]).to_numpy()).all()
            order[keep] = ranks.sort_values().index.tolist()
        texts = {row["id"]: row["question"] for row in rows}
        hard, easy = ([texts[name] for name in order[keep]] for keep in ("hard", "easy"))
        assert list(dict.fromkeys(hard)) == list(dict.fromkeys(easy))[::-1]
        assert order["random"] not in (order["hard"], order["easy"], sorted(order["hard"]))
        assert Semantic(0.9, encoder=tiny).rank(table_of(rows)) is None

    def test_the_hardest_is_furthest_from_the_mean(self, tiny: str, tmp_path: Path) -> None:
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        angles = np.array([0.0, 0.1, 0.2, 0.9])
        cache.add([hash_of(text) for text in "abcd"], np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32))
        rows = [human(text, question=text, question_score=float(number)) for number, text in enumerate("abcd")]
        ranks = Semantic(0.9, encoder=tiny, cache=str(tmp_path), keep="hard").rank(table_of(rows))
        assert ranks is not None
        assert ranks.sort_values().index.tolist() == ["d", "a", "b", "c"]  # the mean lies at 0.3

    def test_a_human_record_is_never_the_worse(self, tiny: str) -> None:
        rows = [human("h", question="Who pays?"), {**human("s", question="Who pays"), "origin": SYNTHETIC, "round": 1}]
        for keep in ("hard", "easy", "random"):
            found = Semantic(0.9, encoder=tiny, keep=keep).find(table_of(rows))
            assert found[["id", "kept_id"]].to_numpy().tolist() == [["s", "h"]]

    def test_an_unknown_one(self) -> None:
        with pytest.raises(PlanError, match="keep is one of best, hard, easy, random, not 'worst'"):
            Semantic(keep="worst")


class TestPrecision:
    """Vectors that are a little off decide nothing: what they can't tell, exact ones do."""

    @pytest.mark.parametrize(("seed", "crowd"), [(0, 6), (1, 256)])
    def test_the_same_leave(
        self, seed: int, crowd: int, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        error = 0.01
        monkeypatch.setattr(_near, "CROWD", crowd)
        monkeypatch.setattr(Encoder, "error", property(lambda self: error if self.resolved == "bf16" else 0.0))
        exact, blurred = (VectorCache(tmp_path, Encoder(tiny, precision=name).fingerprint) for name in ("fp32", "bf16"))
        rows = planted(120, "a", exact, seed)
        others = planted(40, "b", exact, seed + 50)
        hashes = sorted({hash_of(text) for row in [*rows, *others] for text in (row["question"], row["answer"])})
        vectors = load_vectors(tmp_path, exact.fingerprint, hashes)
        off = np.random.default_rng(seed).standard_normal(vectors.shape)
        off *= 0.99 * error / np.linalg.norm(off, axis=1, keepdims=True) / 1.1
        moved = vectors + off
        blurred.add(hashes, (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype(np.float32))
        for by in ("question", "both"):
            found = {}
            for precision in ("fp32", "bf16"):
                deduper = Semantic(0.93, by, tiny, cache=str(tmp_path), lowest=0.88, precision=precision, block_size=31)
                pairs = deduper.find(table_of(rows, 3), table_of(others, 2))
                alone = deduper.find(table_of(rows, 2))
                ids = [row["id"] for row in rows]
                found[precision] = (
                    keep_best(pairs, ranks_of([*rows, *others]), 0.93)["id"].tolist(),
                    connected_groups(ids, alone).tolist(),
                    deduper.match(table_of(rows, 3), table_of(others, 2)),
                )
            assert found["fp32"][0]
            assert found["bf16"][:2] == found["fp32"][:2]
            pd.testing.assert_frame_equal(found["bf16"][2], found["fp32"][2])

    def test_without_exact_vectors_it_would_decide_otherwise(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Encoder, "error", property(lambda self: 0.02 if self.resolved == "bf16" else 0.0))
        exact, blurred = (VectorCache(tmp_path, Encoder(tiny, precision=name).fingerprint) for name in ("fp32", "bf16"))
        for cache, angle in ((exact, 0.25), (blurred, 0.24)):  # cosines of 0.9689 and 0.9713
            vectors = np.array([[1.0, 0.0], [np.cos(angle), np.sin(angle)]])
            cache.add([hash_of(text) for text in "ab"], vectors.astype(np.float32))
        rows = [human(text, question=text) for text in "ab"]
        found = [
            Semantic(0.97, encoder=tiny, cache=str(tmp_path), precision=name).find(table_of(rows))
            for name in ("fp32", "bf16")
        ]
        assert [len(pairs) for pairs in found] == [0, 0]
        monkeypatch.setattr(Encoder, "error", property(lambda self: 0.0))
        assert len(Semantic(0.97, encoder=tiny, cache=str(tmp_path), precision="bf16").find(table_of(rows))) == 1

    def test_real_texts(self, tmp_path: Path) -> None:
        found = [
            Semantic(0.95, cache=str(tmp_path), precision=name).find(table_of(LAW, 2)) for name in ("fp32", "bf16")
        ]
        pd.testing.assert_frame_equal(found[0][["id", "kept_id"]], found[1][["id", "kept_id"]])


class TestGuard:
    SAID = (
        "Convert {} degrees Celsius to Fahrenheit for the recipe of my grandmother",
        "Convert {} degrees Fahrenheit to Celsius for the recipe of my grandmother",
    )

    @pytest.mark.parametrize("crowd", [256, 2])
    def test_what_says_something_else_stays(
        self, crowd: int, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_near, "CROWD", crowd)
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        texts = [text.format(number) for text in self.SAID for number in (20, 30, 40)]
        texts += [f"please {text[0].lower()}{text[1:]}" for text in texts]
        rows = [human(f"{number:02d}", question=text) for number, text in enumerate(texts)]
        vectors = np.ones((len(texts), 16)) + 1e-3 * np.random.default_rng(0).standard_normal((len(texts), 16))
        cache.add([hash_of(text) for text in texts], (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype("f4"))
        for partitions in (1, 4):
            deduper = Semantic(0.95, encoder=tiny, cache=str(tmp_path), guard=True, block_size=5)
            found = deduper.find(table_of(rows, partitions, seed=partitions))
            left = keep_best(found, ranks_of(rows), 0.95)
            assert len(left) == 6  # of each question the worse wording
            assert all(
                texts[int(row.id)].lower()[-60:] == texts[int(row.kept_id)].lower()[-60:] for row in left.itertuples()
            )
            assert connected_groups([row["id"] for row in rows], found).nunique() == 1  # still one split
        unguarded = Semantic(0.95, encoder=tiny, cache=str(tmp_path)).find(table_of(rows))
        assert len(keep_best(unguarded, ranks_of(rows), 0.95)) == 11


class TestBounds:
    @pytest.mark.parametrize("threshold", [0.5, 0.9, 0.95, 0.999])
    @pytest.mark.parametrize("shape", ["isotropic", "power law", "clustered", "duplicates"])
    def test_the_pairs_of_the_full_product(
        self, shape: str, threshold: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_near, "CROWD", 3000)
        vectors = shaped(shape, 3000, 64)
        texts = places_of(vectors, tmp_path)
        expected = near_pairs(texts, threshold, None, block_size=3000).pairs
        assert_same_pairs(expected, full_product(vectors, threshold))
        assert shape == "clustered" or threshold > 0.95 or len(expected) > 100
        for number in (3, 16, MORE_THAN_DIMENSIONS):
            found = near_pairs(texts, threshold, principal_axes(vectors[:500], number), block_size=1100).pairs
            ordered = found.sort_values(["first", "second"], ignore_index=True)
            pd.testing.assert_frame_equal(ordered, expected, check_exact=True)

    @pytest.mark.parametrize("count", [1, 2, 5, 200])
    @pytest.mark.parametrize("shape", ["isotropic", "all equal"])
    def test_few_or_equal_vectors(self, shape: str, count: int, tmp_path: Path) -> None:
        vectors = shaped(shape, count, 64)
        texts = places_of(vectors, tmp_path)
        for axes in (worthwhile_axes(vectors, 0.9), principal_axes(vectors[:0], 4)):
            assert_same_pairs(near_pairs(texts, 0.9, axes, block_size=100).pairs, full_product(vectors, 0.9))

    def test_old_ones_are_not_compared_with_each_other(self, tmp_path: Path) -> None:
        vectors = shaped("duplicates", 900, 64)
        texts = places_of(vectors, tmp_path, new=130)
        found = near_pairs(texts, 0.9, principal_axes(vectors, 16), block_size=250).pairs
        assert_same_pairs(found, full_product(vectors, 0.9, new=130))

    @pytest.mark.parametrize("worth_checking", [0.0, 1.0])
    def test_checking_each_pair_or_multiplying_all_is_the_same(
        self, worth_checking: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_blocks, "_WORTH_CHECKING", worth_checking)
        vectors = shaped("clustered", 600, 64)
        found = near_pairs(places_of(vectors, tmp_path), 0.8, principal_axes(vectors, 8), block_size=256).pairs
        assert_same_pairs(found, full_product(vectors, 0.8))

    def test_vectors_are_read_only_where_bounds_let_them_pass(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: list[int] = []

        def spy(files: npt.NDArray[np.object_], rows: npt.NDArray[np.int64]) -> Vectors:
            read.append(len(rows))
            return take(files, rows)

        vectors = shaped("power law", 2000, 384)
        texts = places_of(vectors, tmp_path)
        axes = worthwhile_axes(vectors, 0.95)
        monkeypatch.setattr(_blocks, "take", spy)
        found = near_pairs(texts, 0.95, axes, block_size=1000).pairs
        assert_same_pairs(found, full_product(vectors, 0.95))
        assert sum(read) < 2000 + 1000  # all of them once, to sketch them, and then few

    @pytest.mark.parametrize("by", ["question", "both"])
    def test_find_sketches_what_is_worth_it(
        self, by: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chosen: list[Axes | None] = []

        def spy(sample: Vectors, threshold: float) -> Axes | None:
            chosen.append(worthwhile_axes(sample, threshold))
            return chosen[-1]

        monkeypatch.setattr(_search, "worthwhile_axes", spy)
        cache = VectorCache(tmp_path, Encoder(tiny).fingerprint)
        vectors = shaped("power law", 400, 384)
        rows = [human(f"{one:03d}", question=f"q {one}", answer=f"a {one}") for one in range(200)]
        texts = [row[name] for name in ("question", "answer") for row in rows]
        cache.add([hash_of(text) for text in texts], vectors)
        oracle = Oracle(by, 0.9, rows, tmp_path, Encoder(tiny).fingerprint)
        for seed in range(2):
            found = Semantic(0.9, by, tiny, cache=str(tmp_path), block_size=70).find(table_of(rows, 4, seed))
            assert_enough(found, all_pairs(rows, [], oracle), rows, 0.9)
            assert len(found) > 5
        assert chosen[0] is not None
        assert chosen[1] is not None
        np.testing.assert_array_equal(chosen[0], chosen[1])


def real_records(count: int) -> list[Record]:
    """Titles, then first sentences of answers and questions, of Stack Exchange: all texts different."""
    texts: dict[str, None] = {}
    sites = [json.loads(path.read_bytes()) for path in sorted((shared_data() / "stackexchange").glob("*.json"))]
    questions = [question for site in sites for question in site]
    texts.update(dict.fromkeys(question["question_title"] for question in questions))
    bodies = [body for one in questions for body in (one["question_body"], *(a["body"] for a in one["answers"]))]
    for body in bodies:
        for part in re.split(r"</?(?:p|li|br|pre|h\d)\s*/?>", body):
            words = html.unescape(re.sub(r"<[^>]+>", " ", part)).split()
            if len(words) > 4:
                texts[" ".join(words[:12])] = None
    different = {normalize(text): text for text in texts}.values()
    return [human(f"{number:05d}", question=text) for number, text in zip(range(count), different, strict=False)]


class TestFind:
    def test_real_texts(self, tmp_path: Path) -> None:
        found = Semantic(0.95, cache=str(tmp_path)).find(table_of(LAW, 4))
        pairs = {(row.id, row.kept_id): row.similarity for row in found.itertuples()}
        assert pairs[("6", "5")] == 1.0
        assert pairs[("1", "2")] > 0.97  # the longer one is kept
        assert not {"4", "7", "8"} & {name for pair in pairs for name in pair}

    @pytest.mark.parametrize("by", list(COMPARED))
    def test_every_way_to_compare(self, by: str, tiny: str) -> None:
        rows = [*LAW, human("9", title="Deposit", question=LAW[0]["question"], answer="No.")]
        found = Semantic(1.0, by, tiny).find(table_of(rows))
        assert "9" in set(found["id"])

    def test_both_empty_answers_are_equal_but_empty_records_are_not_compared(self, tiny: str) -> None:
        rows = [human(name, question="Is it?") for name in "ab"] + [human(name) for name in "cd"]
        found = Semantic(1.0, "both", tiny).find(table_of(rows))
        assert found[["id", "kept_id"]].to_numpy().tolist() == [["b", "a"]]

    def test_all_equal(self, tiny: str) -> None:
        rows = [human(f"{number:02d}", question="The same again") for number in range(40)]
        found = Semantic(0.9, encoder=tiny).find(table_of(rows, 5, seed=2))
        assert found["id"].tolist() == [row["id"] for row in rows[1:]]
        assert set(found["kept_id"]) == {"00"}

    @pytest.mark.parametrize("rows", [[], LAW[:1], LAW[6:]])
    def test_nothing_to_find(self, rows: list[Record], tiny: str) -> None:
        found = Semantic(0.9, encoder=tiny).find(table_of(rows, 4))
        assert found.empty
        assert found.dtypes.astype(str).to_dict() == {"id": "object", "kept_id": "object", "similarity": "float64"}

    def test_against_is_not_compared_with_itself(self, tiny: str) -> None:
        published = [human(name, question="Who pays?") for name in "pq"]
        new = [{**human("n", question="Who pays?"), "origin": SYNTHETIC, "round": 1}]
        found = Semantic(0.9, encoder=tiny).find(table_of(new, 1), table_of(published, 1))
        assert found[["id", "kept_id"]].to_numpy().tolist() == [["n", "p"]]
        assert Semantic(0.9, encoder=tiny).find(table_of([], 1), table_of(published, 1)).empty


class TestCache:
    def test_a_later_round_embeds_only_what_is_new(
        self, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        encode = Encoder.encode

        def spy(self: Encoder, texts: Sequence[str]) -> Vectors:
            asked.extend(texts)
            return encode(self, texts)

        monkeypatch.setattr(Encoder, "encode", spy)
        deduper = Semantic(0.9, encoder=tiny, cache=str(tmp_path))
        first = deduper.find(table_of(LAW, 3))
        assert len(asked) == len(set(asked)) == 4  # two of LAW are equal but for a question mark
        asked.clear()
        new = [{**human("n", question="Something new"), "origin": SYNTHETIC, "round": 1}]
        deduper.find(table_of(new, 1), table_of(LAW, 2))
        assert asked == ["Something new"]
        asked.clear()
        pd.testing.assert_frame_equal(deduper.find(table_of(LAW, 5, seed=1)), first)
        assert asked == []

    def test_a_damaged_file_is_made_again(self, tiny: str, tmp_path: Path) -> None:
        deduper = Semantic(0.9, encoder=tiny, cache=str(tmp_path))
        first = deduper.find(table_of(LAW, 1))
        for path in tmp_path.rglob("*.arrow"):
            path.write_bytes(path.read_bytes()[:100])
        pd.testing.assert_frame_equal(deduper.find(table_of(LAW, 1)), first)

    def test_vectors_are_those_of_the_encoder(self, tiny: str, tmp_path: Path) -> None:
        Semantic(0.9, encoder=tiny, cache=str(tmp_path)).find(table_of(LAW))
        texts = ["Fences\nWho pays for a fence between two gardens?", "Is a verbal contract binding?"]
        encoder = Encoder(tiny)
        loaded = load_vectors(tmp_path, encoder.fingerprint, [hash_of(text) for text in texts])
        assert loaded.tobytes() == encoder.encode(texts).tobytes()
        with pytest.raises(CurationError, match="1 of 3 embeddings are missing"):
            load_vectors(tmp_path, encoder.fingerprint, [hash_of(text) for text in [*texts, "never seen"]])

    def test_no_vectors(self, tmp_path: Path) -> None:
        assert load_vectors(tmp_path, "none", []).shape[0] == 0

    def test_a_cache_that_cannot_be_written(self, tiny: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(DiskError, match="embeddings can't be written"):
            Semantic(0.9, encoder=tiny, cache=str(tmp_path / "file")).find(table_of(LAW))


@pytest.fixture
def _on_the_cluster(client: Client) -> Iterator[None]:
    with client.as_current(), dask.config.set(scheduler="distributed"):
        yield


@pytest.mark.usefixtures("_on_the_cluster")
class TestCluster:
    @pytest.mark.slow
    def test_two_processes_find_what_one_finds(self, tiny: str, tmp_path: Path) -> None:
        rows = [
            human(f"{number:03d}", question=f"who pays {number % 37} {'ab ' * (number % 5)}") for number in range(90)
        ]
        far = Semantic(0.95, encoder=tiny, cache=str(tmp_path), block_size=10).find(table_of(rows, 6, seed=1))
        assert len(list(tmp_path.rglob("*.arrow"))) > 1
        with dask.config.set(scheduler="synchronous"):
            near = Semantic(0.95, encoder=tiny).find(table_of(rows, 1))
        assert len(near) > 90
        pd.testing.assert_frame_equal(far, near)
        texts = [row["question"] for row in rows]
        vectors = load_vectors(tmp_path, Encoder(tiny).fingerprint, [hash_of(text) for text in texts])
        assert vectors.tobytes() == Encoder(tiny).encode(texts).tobytes()

    @pytest.mark.slow
    def test_five_thousand_real_records(self, tmp_path: Path) -> None:
        rows = real_records(5000)
        found = Semantic(0.9, "question", cache=str(tmp_path), block_size=1500).find(table_of(rows, 6))
        texts = compared_texts(frame(rows), "question")[0]
        vectors = load_vectors(tmp_path, Encoder().fingerprint, [hash_of(text) for text in texts]).astype(float)
        cosines = np.triu((vectors @ vectors.T).round(6), 1)
        ids, rank = [row["id"] for row in rows], ranks_of(rows)
        first, second = np.nonzero(cosines >= 0.9)
        every = pd.DataFrame(
            [
                (*sorted((ids[a], ids[b]), key=rank.__getitem__, reverse=True), cosines[a, b])
                for a, b in zip(first, second, strict=True)
            ],
            columns=["id", "kept_id", "similarity"],
        ).sort_values(["id", "kept_id"], ignore_index=True)
        assert len(rows) == 5000
        assert len(every) > 50
        pd.testing.assert_frame_equal(found, every)


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"threshold": 0}, "threshold is a cosine above 0"),
            ({"threshold": 1.5}, "threshold is a cosine above 0"),
            ({"by": "title"}, "by is one of question, answer, both, text"),
            ({"block_size": 0}, "block_size is at least 1"),
        ],
    )
    def test_impossible_ones_are_refused(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(PlanError, match=message):
            Semantic(**arguments)  # type: ignore[arg-type]

    def test_travels(self) -> None:
        deduper = Semantic(0.9, "both")
        assert vars(pickle.loads(pickle.dumps(deduper))) == vars(deduper)
