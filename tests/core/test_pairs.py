from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.core.pairs import COMPARED, PAIR_COLUMNS, compared_texts, connected_groups, keep_best, normalize
from curation.core.records import frame, human

IDS = [f"r{number}" for number in range(8)]
Edges = dict[tuple[str, str], float]


def pairs_from(edges: Edges | list[tuple[tuple[str, str], float]]) -> pd.DataFrame:
    items = edges.items() if isinstance(edges, dict) else edges
    return pd.DataFrame([(a, b, value) for (a, b), value in items], columns=list(PAIR_COLUMNS))


edges = st.dictionaries(
    st.tuples(st.sampled_from(IDS), st.sampled_from(IDS)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([0.8, 0.9, 0.95, 0.97, 1.0]),
)
ranks = st.permutations(range(len(IDS))).map(lambda places: dict(zip(IDS, places, strict=True)))


class TestNormalize:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("How do I brew coffee?", "how do i brew  coffee"),
            ("How do I brew coffee?", "How do I brew coffee ?"),
            ("Wait, what… really?!", "wait what really"),
            ("“Fresh” beans – don’t grind.", "'Fresh' beans - don't grind"),
            ("¿Dónde está?", "dónde está"),
            ("ﬁne\u00a0ｃｏｆｆｅｅ", "Fine coffee\n"),
            ("Straße", "STRASSE"),
            ("e\u0301t\u00e9", "\u00e9te\u0301"),
        ],
    )
    def test_what_says_the_same_is_equal(self, one: str, other: str) -> None:
        assert normalize(one) == normalize(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("What is C++?", "What is C#?"),
            ("What is C++?", "What is C?"),
            ("add 3.5 g", "add 3,5 g"),
            ("add 3.5 g", "add 35 g"),
            ("What is 5!?", "What is 5?"),
            ("What is n!", "What is n"),
            ("x² is even", "x2 is even"),
            ("2⁵ beans", "25 beans"),
            ("CO₂ in beer", "CO² in beer"),
            ("is -5 small", "is 5 small"),
            ("x < y", "x > y"),
            ("f(x)", "f x"),
            ("f' of x", "f of x"),
            ("""a 5" board""", "a 5' board"),
            ("(a + b) * c", "a + b * c"),
            ("and/or", "and or"),
            ("$HOME", "HOME"),
            ("...", "?!"),
            ("???", ""),
            ("?", "!"),
        ],
    )
    def test_what_says_something_else_is_not(self, one: str, other: str) -> None:
        assert normalize(one) != normalize(other)

    def test_only_white_space_is_empty(self) -> None:
        assert normalize(" \n\t\u00a0") == ""

    @given(st.text())
    def test_text_with_something_in_it_never_becomes_empty(self, text: str) -> None:
        assert bool(normalize(text)) == bool(text.strip())


class TestComparedTexts:
    @pytest.mark.parametrize(
        ("by", "texts"),
        [
            ("question", [["T\nQ", "Q2", ""]]),
            ("answer", [["A", "A2", ""]]),
            ("both", [["T\nQ", "Q2", ""], ["A", "A2", ""]]),
            ("text", [["T\nQ\nA", "Q2\nA2", ""]]),
        ],
    )
    def test_columns_are_joined_and_nulls_left_out(self, by: str, texts: list[list[str]]) -> None:
        rows = frame(
            [
                human("1", title="T", question="Q", answer="A"),
                human("2", title=None, question="Q2", answer="A2"),
                human("3", title="", question=None, answer=None),
            ]
        )
        assert compared_texts(rows, by) == texts
        assert by in COMPARED

    def test_no_rows(self) -> None:
        assert compared_texts(frame([]), "both") == [[], []]


class TestKeepBest:
    @given(edges, ranks, st.sampled_from([0.85, 0.95, 1.0]))
    @settings(max_examples=200)
    def test_every_record_that_leaves_has_its_best_kept_neighbour(
        self, near: Edges, rank: dict[str, int], threshold: float
    ) -> None:
        removed = keep_best(pairs_from(near), rank, threshold)
        gone = set(removed["id"])
        for loser, winner, similarity in removed.itertuples(index=False):
            options = {
                (value, -rank[other]): other
                for (a, b), value in near.items()
                for here, other in ((a, b), (b, a))
                if here == loser and other not in gone and rank[other] < rank[here] and value >= threshold
            }
            assert options[max(options)] == winner
            assert max(options)[0] == similarity

    @given(edges, ranks, st.sampled_from([0.85, 0.95, 1.0]))
    @settings(max_examples=200)
    def test_no_two_kept_records_are_too_similar(self, near: Edges, rank: dict[str, int], threshold: float) -> None:
        gone = set(keep_best(pairs_from(near), rank, threshold)["id"])
        assert not [pair for pair, value in near.items() if value >= threshold and not gone & set(pair)]

    @given(edges, ranks, st.data())
    def test_neither_the_order_nor_the_direction_of_pairs_matters(
        self, near: Edges, rank: dict[str, int], data: st.DataObject
    ) -> None:
        shuffled = data.draw(st.permutations(list(near.items())))
        turned = [((b, a) if data.draw(st.booleans()) else (a, b), value) for (a, b), value in shuffled]
        repeated = turned + turned[:2]
        pd.testing.assert_frame_equal(
            keep_best(pairs_from(near), rank, 0.9), keep_best(pairs_from(repeated), pd.Series(rank), 0.9)
        )

    def test_a_record_does_not_yield_to_one_that_left(self) -> None:
        chain: Edges = {("a", "b"): 0.95, ("b", "c"): 0.95}
        removed = keep_best(pairs_from(chain), {"a": 0, "b": 1, "c": 2}, 0.9)
        assert removed.to_dict("records") == [{"id": "b", "kept_id": "a", "similarity": 0.95}]

    def test_nothing_to_do(self) -> None:
        removed = keep_best(pairs_from({}), {}, 0.9)
        assert list(removed.columns) == list(PAIR_COLUMNS)
        assert removed.empty

    def test_a_record_paired_with_itself_stays(self) -> None:
        assert keep_best(pairs_from({("a", "a"): 1.0}), {"a": 0}, 0.9).empty

    def test_a_record_without_rank_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="record b is in a pair but has no rank"):
            keep_best(pairs_from({("a", "b"): 1.0}), {"a": 0}, 0.9)


class TestConnectedGroups:
    def test_the_smallest_id_names_the_group(self) -> None:
        groups = connected_groups(["d", "c", "a", "x"], pairs_from({("c", "d"): 1.0, ("b", "c"): 1.0}))
        assert groups.to_dict() == {"d": "b", "c": "b", "a": "a", "x": "x"}
        assert list(groups.index) == ["d", "c", "a", "x"]

    @given(edges, st.permutations(IDS))
    def test_as_a_walk_over_the_graph_finds_them(self, near: Edges, ids: list[str]) -> None:
        groups = connected_groups(ids, pairs_from(near))
        assert groups.to_dict() == {name: min(reachable(name, near)) for name in IDS}

    @pytest.mark.parametrize("ids", [[], ["a"]])
    def test_no_pairs(self, ids: list[str]) -> None:
        assert connected_groups(ids, pairs_from({})).to_dict() == {name: name for name in ids}

    def test_a_chain_of_a_hundred_thousand(self) -> None:
        ids = np.array([f"{number:06d}" for number in range(100_000)], dtype=object)
        chain = pd.DataFrame({"id": ids[1:], "kept_id": ids[:-1]})
        assert set(connected_groups(ids, chain)) == {"000000"}


def reachable(name: str, near: dict[tuple[str, str], Any]) -> set[str]:
    seen, frontier = {name}, [name]
    while frontier:
        here = frontier.pop()
        for pair in near:
            other = {*pair} - {here} if here in pair else set()
            frontier += other - seen
            seen |= other
    return seen
