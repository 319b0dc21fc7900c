"""Measures of diversity, against the libraries of the field and by hand."""

from __future__ import annotations

import gzip
import math
import random
from pathlib import Path

import numpy as np
import pytest
import scipy.stats  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu  # type: ignore[import-untyped]
from nltk.util import ngrams  # type: ignore[import-untyped]
from vendi_score import vendi  # type: ignore[import-untyped]

from curation.core.diversity import (
    EMBEDDED,
    MORE_IS_VARIED,
    breaches,
    compression_ratio,
    distinct,
    length_quantiles,
    length_spread,
    self_bleu,
    topic_entropy,
    vendi_score,
    words_of,
)
from curation.core.vectors import Vectors

TEXTS = st.lists(st.lists(st.sampled_from("abcde"), max_size=9), max_size=6)


def said(count: int, length: int, vocabulary: int, seed: int) -> list[list[str]]:
    draw = random.Random(seed)
    return [[f"w{draw.randrange(vocabulary)}" for _ in range(draw.randrange(1, length))] for _ in range(count)]


def unit_vectors(count: int, dimensions: int, seed: int) -> Vectors:
    vectors = np.random.default_rng(seed).normal(0.5, size=(count, dimensions)).astype("float32")
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def test_words_have_neither_case_nor_punctuation() -> None:
    assert words_of("Is it, THE Straße's end?") == ["is", "it", "the", "strasse", "s", "end"]


@given(TEXTS, st.integers(1, 3))
def test_distinct_n_is_the_share_of_different_ngrams(texts: list[list[str]], n: int) -> None:
    grams = [gram for words in texts for gram in ngrams(words, n)]
    assert distinct(texts, n) == (len(set(grams)) / len(grams) if grams else None)


@settings(deadline=None)
@given(TEXTS)
def test_self_bleu_is_the_mean_of_what_nltk_says_of_each_text(texts: list[list[str]]) -> None:
    assert self_bleu(texts) == pytest.approx(oracle(texts), abs=1e-12)


@pytest.mark.parametrize(("length", "vocabulary"), [(30, 8), (60, 400), (4, 3)])
def test_self_bleu_of_longer_texts(length: int, vocabulary: int) -> None:
    texts = said(25, length, vocabulary, 7)
    assert self_bleu(texts) == pytest.approx(oracle(texts), abs=1e-12)
    assert self_bleu(texts[::-1]) == self_bleu(texts)


def oracle(texts: list[list[str]]) -> float | None:
    texts = [words for words in texts if words]
    if len(texts) < 2:
        return None
    smooth = SmoothingFunction().method1
    scores = [
        sentence_bleu(texts[:number] + texts[number + 1 :], words, smoothing_function=smooth)
        for number, words in enumerate(texts)
    ]
    return math.fsum(float(score) for score in scores) / len(texts)


@pytest.mark.parametrize(("count", "dimensions"), [(40, 12), (12, 40), (1, 8)])
def test_the_vendi_score_is_that_of_its_authors(count: int, dimensions: int) -> None:
    vectors = unit_vectors(count, dimensions, 3)
    assert vendi_score(vectors) == pytest.approx(vendi.score_dual(vectors.astype("float64"), normalize=False))


def test_the_vendi_score_counts_what_differs() -> None:
    axes = np.eye(6, dtype="float32")
    assert vendi_score(axes) == pytest.approx(6)
    assert vendi_score(np.repeat(axes[:2], 50, axis=0)) == pytest.approx(2)
    assert vendi_score(axes[:0]) is None


def test_the_compression_ratio_is_that_of_a_gzipped_file(tmp_path: Path) -> None:
    texts = [" ".join(words) for words in said(30, 40, 200, 5)]
    plain = "\n".join(sorted(texts)).encode()
    path = tmp_path / "packed"
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file) as packed:
        packed.write(plain)
    found = compression_ratio(texts)
    assert found == len(plain) / path.stat().st_size
    assert found == compression_ratio(texts[::-1])
    assert compression_ratio([]) is None


def test_copies_far_apart_are_seen_by_the_compression_ratio() -> None:
    texts = [" ".join(words) for words in said(200, 120, 100_000, 5)]
    once, twice = compression_ratio(texts), compression_ratio([*texts, *texts])
    assert once is not None
    assert twice is not None
    assert twice > 1.8 * once


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 50), max_size=8))
def test_topic_entropy_is_that_of_scipy(counts: dict[str, int]) -> None:
    found = topic_entropy(counts)
    if len(counts) < 2:
        assert found == (0.0 if counts else None)
    else:
        assert found == pytest.approx(scipy.stats.entropy(list(counts.values())) / math.log(len(counts)))


def test_the_spread_of_lengths() -> None:
    lengths = [10, 20, 30, 40, 150]
    assert length_spread(lengths) == pytest.approx(scipy.stats.variation(lengths))
    assert length_quantiles(lengths) == {"5": 12.0, "25": 20.0, "50": 30.0, "75": 40.0, "95": 128.0}
    assert length_spread([]) is None
    assert length_quantiles([]) == {}


@pytest.mark.parametrize("text", ["", "?!"])
def test_what_has_no_words_has_no_diversity(text: str) -> None:
    words = [words_of(text)] * 3
    assert (distinct(words, 1), self_bleu(words), length_spread([len(one) for one in words])) == (None, None, None)


@pytest.mark.parametrize(
    ("measure", "before", "after", "bound", "is_breached"),
    [
        ("distinct_2", 0.5, 0.2, 0.3, True),
        ("distinct_2", 0.5, 0.3, 0.3, False),
        ("distinct_2", 0.2, 0.25, 0.3, False),  # the round has made it better, if not good
        ("distinct_2", None, 0.2, 0.3, True),
        ("distinct_2", 0.5, None, 0.3, False),
        ("self_bleu", 0.2, 0.5, 0.3, True),
        ("self_bleu", 0.2, 0.1, 0.3, False),
        ("self_bleu", 0.6, 0.5, 0.3, False),
    ],
)
def test_a_round_breaches_a_bound_that_it_passes(
    measure: str, before: float | None, after: float | None, bound: float, is_breached: bool
) -> None:
    assert bool(breaches({measure: before}, {measure: after}, {measure: bound})) == is_breached


def test_a_breach_says_what_happened() -> None:
    low, high = breaches(
        {"vendi_score": 31.0}, {"vendi_score": 18.25, "self_bleu": 0.7}, {"vendi_score": 20, "self_bleu": 0.5}
    )
    assert (str(low), low.rule) == ("vendi_score is 18.25, from 31, and its bound 20", "vendi_score >= 20")
    assert (str(high), high.rule) == ("self_bleu is 0.7, and its bound 0.5", "self_bleu <= 0.5")


def test_what_needs_embeddings_is_a_measure() -> None:
    assert set(EMBEDDED) < set(MORE_IS_VARIED)
