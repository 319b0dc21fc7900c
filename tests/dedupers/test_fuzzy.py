from __future__ import annotations

import pickle
import random
from collections.abc import Iterator, Sequence

import dask
import numpy as np
import pandas as pd
import pytest
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curation.core.errors import PlanError
from curation.core.pairs import COMPARED, compared_texts, connected_groups, keep_best, normalize
from curation.core.records import SYNTHETIC, Record, frame, human
from curation.dedupers import _minhash
from curation.dedupers._minhash import bands_for, bands_of
from curation.dedupers._shingles import Shingles
from curation.dedupers.fuzzy import UNITS, Fuzzy
from tests.dedupers.tables import all_pairs, ranks_of, table_of

WORDS = [f"{start}{middle}{end}" for start in "bdfgklmr" for middle in ("a", "eno", "iru") for end in ("st", "n", "")]
EMPTY_TYPES = {"id": "object", "kept_id": "object", "similarity": "float64"}


def shingles(text: str, unit: str, ngram: int) -> set[str]:
    units = normalize(text).split() if unit == "word" else list(normalize(text))
    length = min(ngram, len(units))
    joint = " " if unit == "word" else ""
    return {joint.join(units[start : start + length]) for start in range(len(units) - length + 1)} - {""}


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0


class Oracle:
    """The similarity of two records by brute force, on the shingles themselves."""

    def __init__(self, deduper: Fuzzy, rows: Sequence[Record]) -> None:
        self.threshold = deduper.threshold
        texts = zip(*compared_texts(frame(rows), deduper.by), strict=True)
        sets = ([shingles(text, deduper.unit, deduper.ngram) for text in row] for row in texts)
        self.sets = dict(zip([row["id"] for row in rows], sets, strict=True))

    def __call__(self, one: Record, other: Record) -> float | None:
        mine, theirs = self.sets[one["id"]], self.sets[other["id"]]
        if not any(mine) or not any(theirs):
            return None
        value = min(round(jaccard(a, b), 6) for a, b in zip(mine, theirs, strict=True))
        return value if value >= self.threshold else None


def with_typos(text: str, chance: random.Random) -> str:
    letters = list(text)
    for _ in range(chance.randrange(3)):
        letters[chance.randrange(len(letters))] = chance.choice("xyz")
    return "".join(letters)


def synthetic(count: int, seed: int, prefix: str = "r") -> list[Record]:
    """Records of few texts, some with typos, and of a template with changing numbers."""
    common = random.Random(0)
    originals = [" ".join(common.choice(WORDS) for _ in range(25)) for _ in range(12)]
    template = "dear customer, your order {} has left our house today and will be with you on the next working day"
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        text = with_typos(chance.choice(originals), chance) if number % 4 else template.format(chance.randrange(10**4))
        answer = f"{with_typos(chance.choice(originals[:3]), chance)} {prefix}{number}"
        score = float(chance.randrange(3))
        rows.append(human(f"{prefix}{number:03d}", question=text, answer=answer, question_score=score))
    return rows


def unequal(rows: list[Record]) -> list[Record]:
    """The same with texts that all differ."""
    return [{**row, "question": f"{row['question']} {row['id']}"} for row in rows]


def assert_true_pairs(found: pd.DataFrame, every: pd.DataFrame) -> None:
    """All of them are pairs, with their exact similarity and the better record second; sorted and each once."""
    assert not found.duplicated(["id", "kept_id"]).any()
    pd.testing.assert_frame_equal(found, found.merge(every).sort_values(["id", "kept_id"], ignore_index=True))


def assert_same_leave(found: pd.DataFrame, every: pd.DataFrame, rank: dict[str, int], threshold: float) -> None:
    pd.testing.assert_frame_equal(keep_best(found, rank, threshold)[["id"]], keep_best(every, rank, threshold)[["id"]])


@pytest.fixture
def _nothing_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bands so short that LSH misses no pair here, and crowds so large that there are none."""
    monkeypatch.setattr(_minhash, "RECALL", 1 - 1e-9)
    monkeypatch.setattr(_minhash, "CROWD", 1000)


WAYS = [
    ("question", "char", 5, 0.8),
    ("question", "word", 3, 0.7),
    ("answer", "char", 4, 0.75),
    ("both", "char", 5, 0.7),
    ("text", "word", 1, 0.8),
]


@pytest.mark.usefixtures("_nothing_missed")
class TestAgainstBruteForce:
    @pytest.mark.parametrize(("by", "unit", "ngram", "threshold"), WAYS)
    def test_all_pairs_where_no_texts_are_equal(self, by: str, unit: str, ngram: int, threshold: float) -> None:
        rows, others = unequal(synthetic(120, 1)), unequal(synthetic(40, 2, "s"))
        deduper = Fuzzy(threshold, by, ngram, unit)
        every = all_pairs(rows, others, Oracle(deduper, [*rows, *others]))
        assert len(every) > 100
        pd.testing.assert_frame_equal(deduper.find(table_of(rows, 5), table_of(others, 2)), every)

    @pytest.mark.parametrize("crowd", [1, 5, 100])
    @pytest.mark.parametrize(("by", "unit", "ngram", "threshold"), WAYS)
    def test_what_leaves_is_what_all_pairs_would_remove(
        self, by: str, unit: str, ngram: int, threshold: float, crowd: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_minhash, "CROWD", crowd)
        rows, others = synthetic(120, 3), synthetic(40, 4, "s")
        deduper = Fuzzy(threshold, by, ngram, unit)
        every = all_pairs(rows, others, Oracle(deduper, [*rows, *others]))
        found = deduper.find(table_of(rows, 5), table_of(others, 2))
        assert_true_pairs(found, every)
        assert_same_leave(found, every, ranks_of([*rows, *others]), threshold)

    def test_the_best_of_equals_ties_the_same_groups(self) -> None:
        rows = synthetic(150, 5)
        deduper = Fuzzy(0.8)
        every = all_pairs(rows, [], Oracle(deduper, rows))
        found = deduper.find(table_of(rows))
        assert len(found) < len(every)
        ids = [row["id"] for row in rows]
        pd.testing.assert_series_equal(connected_groups(ids, found), connected_groups(ids, every))
        for threshold in (0.85, 0.9, 0.95):
            assert_same_leave(found, every, ranks_of(rows), threshold)

    @pytest.mark.parametrize("crowd", [1, 5])
    def test_crowds_tie_the_same_groups(self, crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_minhash, "CROWD", crowd)
        words = [f"w{number:02d}" for number in range(60)]
        rows = [human(f"{n:02d}", question=" ".join(words[n : n + 8])) for n in range(52)]  # a chain
        rows += [human(f"{n}", question=" ".join(words[n % 7 :])) for n in range(60, 75)]
        deduper = Fuzzy(0.7, unit="word", ngram=1)
        every = all_pairs(rows, [], Oracle(deduper, rows))
        found = deduper.find(table_of(rows))
        ids = [row["id"] for row in rows]
        assert_true_pairs(found, every)
        pd.testing.assert_series_equal(connected_groups(ids, found), connected_groups(ids, every))

    @pytest.mark.parametrize("crowd", [1, 5, 100])
    def test_each_record_with_a_duplicate_elsewhere_is_matched(
        self, crowd: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(_minhash, "CROWD", crowd)
        rows, others = synthetic(60, 12), synthetic(40, 13, "s")
        deduper = Fuzzy(0.8)
        every = all_pairs(rows, others, Oracle(deduper, [*rows, *others]))
        own = {row["id"] for row in rows}
        across = every[every["id"].isin(own) != every["kept_id"].isin(own)]
        wanted = own & {*across["id"], *across["kept_id"]}
        assert len(wanted) > 20
        assert set(deduper.match(table_of(rows), table_of(others))["id"]) == wanted

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        texts=st.lists(st.tuples(st.text("ab ", max_size=9), st.text("ab ", max_size=4)), max_size=14),
        new=st.integers(0, 14),
        threshold=st.sampled_from([0.3, 0.5, 0.75, 1.0]),
        by=st.sampled_from(list(COMPARED)),
        unit=st.sampled_from(UNITS),
        ngram=st.integers(1, 3),
        crowd=st.sampled_from([1, 2, 100]),
    )
    def test_small_alphabets(
        self,
        texts: list[tuple[str, str]],
        new: int,
        threshold: float,
        by: str,
        unit: str,
        ngram: int,
        crowd: int,
    ) -> None:
        rows = [
            human(f"{number:02d}", question=question, answer=answer, question_score=float(number * 7 % 5))
            for number, (question, answer) in enumerate(texts)
        ]
        deduper = Fuzzy(threshold, by, ngram, unit)
        every = all_pairs(rows[:new], rows[new:], Oracle(deduper, rows))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_minhash, "CROWD", crowd)
            found = deduper.find(table_of(rows[:new], 2), table_of(rows[new:], 2))
        assert_true_pairs(found, every)
        assert_same_leave(found, every, ranks_of(rows), threshold)
        if new >= len(rows):
            ids = [row["id"] for row in rows]
            pd.testing.assert_series_equal(connected_groups(ids, found), connected_groups(ids, every))


@settings(max_examples=30)
@given(
    texts=st.lists(st.text("ab ", max_size=12), max_size=14),
    threshold=st.sampled_from([0.3, 0.5, 0.8]),
    permutations=st.sampled_from([1, 8, 32]),
    crowd=st.sampled_from([1, 2, 100]),
)
def test_what_leaves_is_what_all_verified_candidates_would_remove(
    texts: list[str], threshold: float, permutations: int, crowd: int
) -> None:
    """Where LSH misses pairs: candidates are those that agree in a band, verified by brute force."""
    rows = [human(f"{n:02d}", question=text, question_score=float(n * 7 % 5)) for n, text in enumerate(texts)]
    deduper = Fuzzy(threshold, ngram=2, permutations=permutations)
    oracle = Oracle(deduper, rows)
    spoken = [row for row in rows if any(oracle.sets[row["id"]])]
    values = bands_of(
        frame(spoken),
        np.arange(len(spoken)),
        Shingles("question", "char", 2),
        *bands_for(threshold, permutations),
    )
    bands = dict(zip([row["id"] for row in spoken], values, strict=True))

    def verified(one: Record, other: Record) -> float | None:
        return oracle(one, other) if (bands[one["id"]] == bands[other["id"]]).any() else None

    every = all_pairs(spoken, [], verified)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_minhash, "CROWD", crowd)
        found = deduper.find(table_of(rows, 2))
    assert_true_pairs(found, every)
    assert_same_leave(found, every, ranks_of(rows), threshold)


class TestBands:
    def test_recall(self) -> None:
        rows = unequal(synthetic(300, 3))
        deduper = Fuzzy(0.8)
        every = all_pairs(rows, [], Oracle(deduper, rows))
        found = deduper.find(table_of(rows))
        assert_true_pairs(found, every)
        assert (len(found), len(every)) == (4033, 4052)

    @pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.99])
    def test_a_pair_at_the_threshold_is_likely_found(self, threshold: float) -> None:
        bands, rows = bands_for(threshold, 128)
        assert bands * rows <= 128
        assert 1 - (1 - threshold**rows) ** bands >= 0.95
        assert 1 - (1 - threshold ** (rows + 1)) ** (128 // (rows + 1)) < 0.95

    def test_extremes(self) -> None:
        assert bands_for(0.8, 128) == (18, 7)
        assert bands_for(1.0, 128) == (1, 128)
        assert bands_for(0.01, 16) == (16, 1)
        assert bands_for(0.5, 1) == (1, 1)

    def test_signatures_agree_as_often_as_sets_overlap(self) -> None:
        rows = unequal(synthetic(80, 7))
        made = Shingles("question", "char", 5)
        signatures = bands_of(frame(rows), np.arange(len(rows)), made, 1024, 1)
        sets = [shingles(row["question"], "char", 5) for row in rows]
        errors = [
            np.mean(signatures[one] == signatures[other]) - jaccard(sets[one], sets[other])
            for one in range(len(rows))
            for other in range(one)
        ]
        assert abs(np.mean(errors)) < 0.005
        assert np.std(errors) < 0.02  # that of 1,024 draws is 0.0156 at most

    def test_constants_are_the_same_on_every_machine(self) -> None:
        made = Shingles("question", "char", 5)
        rows = frame([human("a", question="Who pays for a fence between two gardens?" * 100)])
        assert bands_of(rows, np.array([0]), made, 2, 3).tolist() == [[13399320318357278654, 16573928271428882555]]


class TestCrowds:
    def test_a_template_that_was_filled_in_often(self) -> None:
        text = "dear customer, your order {:05d} has left our house today and will be with you on the next working day"
        rows = [human(f"{number:03d}", question=text.format(number**3 % 99991)) for number in range(400)]
        deduper = Fuzzy(0.8)
        every = all_pairs(rows, [], Oracle(deduper, rows))
        found = deduper.find(table_of(rows, 4))
        assert len(every) == 400 * 399 / 2
        assert_true_pairs(found, every)
        assert len(found) < len(every) / 2
        assert keep_best(found, ranks_of(rows), 0.8)["id"].tolist() == [row["id"] for row in rows[1:]]

    def test_copies_of_two_similar_texts(self) -> None:
        text = "who pays for the fence between two gardens when it falls over"
        rows = [human(f"{number:04d}", question=text + "s" * (number % 2)) for number in range(2000)]
        found = Fuzzy(0.8).find(table_of(rows, 3))
        assert len(found) == 999 + 999 + 1000  # with the best of equals, and the one half with the best of the other
        assert set(found["kept_id"]) == {"0000", "0001"}


class TestFind:
    def test_typos_and_punctuation(self) -> None:
        rows = [
            human("a", question="Can my landlord keep the deposit for normal wear and tear of the carpet?"),
            human("b", question="can my  landlord keep the deposit for normal wear and tear of the carpet"),
            human("c", question="Can my landlord keep the deposit for normal waer and tear of the carpet?", line=2),
            human("d", question="Who pays for a fence between two gardens?"),
        ]
        found = Fuzzy(0.8).find(table_of(rows, 2))
        mine, theirs = (shingles(rows[place]["question"], "char", 5) for place in (0, 2))
        similarity = round(jaccard(mine, theirs), 6)
        assert found.to_dict("records") == [
            {"id": "b", "kept_id": "a", "similarity": 1.0},
            {"id": "c", "kept_id": "a", "similarity": similarity},
        ]

    @pytest.mark.parametrize("unit", UNITS)
    def test_a_short_text_is_one_shingle(self, unit: str) -> None:
        rows = [human(name, question=text) for name, text in zip("abcd", ["No", "no.", "Nor", "n"], strict=True)]
        found = Fuzzy(0.1, unit=unit).find(table_of(rows))
        assert found[["id", "kept_id"]].to_numpy().tolist() == [["a", "b"]]  # the longer one is kept

    def test_surrogates_and_other_scripts(self) -> None:
        texts = ["誰が庭の間の柵を払うのですか", "誰が庭の間の柵を払うのですか\ud800", "\ud800\ud801"]
        rows = [human(f"{number}", question=text) for number, text in enumerate(texts)]
        for unit in UNITS:
            found = Fuzzy(0.5, unit=unit).find(table_of(rows))
            assert found["id"].tolist() == (["0"] if unit == "char" else [])

    def test_both_empty_answers_are_equal_but_empty_records_are_not_compared(self) -> None:
        rows = [human(name, question=f"Is it so, {name}?") for name in "ab"] + [human(name) for name in "cd"]
        rows += [human("e", question="Is it so, a?", answer="Yes"), human("f", question="  ", answer="")]
        found = Fuzzy(0.5, "both").find(table_of(rows))
        assert found[["id", "kept_id"]].to_numpy().tolist() == [["b", "a"]]

    def test_all_equal(self) -> None:
        rows = [human(f"{number:02d}", question="The same again") for number in range(40)]
        found = Fuzzy().find(table_of(rows, 5, seed=2))
        assert found["id"].tolist() == [row["id"] for row in rows[1:]]
        assert set(found["kept_id"]) == {"00"}

    @pytest.mark.parametrize("crowd", [1, 100])
    def test_partitions_and_order_change_nothing(self, crowd: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_minhash, "CROWD", crowd)
        rows, others = synthetic(80, 8), synthetic(30, 9, "s")
        expected = Fuzzy(0.7, "both").find(table_of(rows, 1), table_of(others, 1))
        assert len(expected) > 20
        for seed, partitions in enumerate([1, 3, 7, 7]):
            again = Fuzzy(0.7, "both").find(table_of(rows, partitions, seed), table_of(others, 2, seed))
            pd.testing.assert_frame_equal(again, expected)

    @pytest.mark.parametrize("rows", [[], synthetic(1, 1), [human("a"), human("b", question=" ")]])
    def test_nothing_to_find(self, rows: list[Record]) -> None:
        found = Fuzzy().find(table_of(rows, 4))
        assert found.empty
        assert found.dtypes.astype(str).to_dict() == EMPTY_TYPES

    def test_against_is_not_compared_with_itself(self) -> None:
        published = [human(name, question="Who pays for the fence?" + "!" * number) for number, name in enumerate("pq")]
        new = [{**human("n", question="Who pays for the fences?"), "origin": SYNTHETIC, "round": 1}]
        found = Fuzzy(0.7).find(table_of(new, 1), table_of(published, 1))
        assert found[["id", "kept_id"]].to_numpy().tolist() == [["n", "q"]]
        assert Fuzzy(0.7).find(table_of([], 1), table_of(published, 1)).empty


@pytest.fixture
def _on_the_cluster(client: Client) -> Iterator[None]:
    with client.as_current(), dask.config.set(scheduler="distributed"):
        yield


@pytest.mark.usefixtures("_on_the_cluster")
def test_two_processes_find_what_one_finds() -> None:
    filled = (human(f"t{number:03d}", question=f"order {number:03d} of many goods") for number in range(400))
    rows = [*synthetic(90, 11), *filled]
    far = Fuzzy(0.3).find(table_of(rows, 6, seed=1))
    with dask.config.set(scheduler="synchronous"):
        near = Fuzzy(0.3).find(table_of(rows, 1))
    assert len(near) > 400
    pd.testing.assert_frame_equal(far, near)


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"threshold": 0}, "threshold is a Jaccard index above 0"),
            ({"threshold": 1.5}, "threshold is a Jaccard index above 0"),
            ({"by": "title"}, "by is one of question, answer, both, text"),
            ({"unit": "line"}, "unit is one of char, word, not 'line'"),
            ({"ngram": 0}, "ngram is at least 1"),
            ({"permutations": 0}, "permutations is at least 1"),
        ],
    )
    def test_impossible_ones_are_refused(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(PlanError, match=message):
            Fuzzy(**arguments)  # type: ignore[arg-type]

    def test_travels(self) -> None:
        deduper = Fuzzy(0.9, "both", 3, "word", 64)
        assert vars(pickle.loads(pickle.dumps(deduper))) == vars(deduper)
