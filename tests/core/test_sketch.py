from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.core.sketch import MARGIN, MOST_AXES, principal_axes, sketch, worthwhile_axes
from curation.core.vectors import Vectors


def unit(vectors: npt.NDArray[np.float64]) -> Vectors:
    scaled: Vectors = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


def decaying(count: int, dimensions: int, seed: int = 0) -> Vectors:
    """Unit vectors most of whose length lies along few directions."""
    rng = np.random.default_rng(seed)
    return unit(rng.standard_normal((count, dimensions)) / np.sqrt(np.arange(1, dimensions + 1)))


class TestBound:
    @given(
        dimensions=st.integers(1, 80),
        axes=st.integers(1, MOST_AXES),
        rank=st.integers(1, 80),
        spread=st.sampled_from([0.0, 1e-7, 1e-4, 1e-2, 1.0, 1e3]),
        sampled=st.integers(0, 30),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_never_below_the_product(
        self, dimensions: int, axes: int, rank: int, spread: float, sampled: int, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        directions = rng.standard_normal((rank, dimensions))
        vectors = unit(directions[0] + spread * rng.standard_normal((40, rank)) @ directions)
        sketches = sketch(vectors, principal_axes(vectors[:sampled], axes))
        assert sketches.shape == (40, min(axes, dimensions) + 1)
        exact = vectors.astype(np.float64)
        assert (sketches @ sketches.T - exact @ exact.T).min() >= -2e-5  # what the module proves

    @pytest.mark.parametrize("dimensions", [384, 1024])
    def test_many_dimensions(self, dimensions: int) -> None:
        vectors = decaying(300, dimensions)
        vectors[:5] = vectors[5]
        sketches = sketch(vectors, principal_axes(vectors, MOST_AXES))
        exact = vectors.astype(np.float64)
        assert (sketches @ sketches.T - exact @ exact.T).min() >= -2e-5
        assert MARGIN > 2e-5

    def test_all_axes_leave_nothing_out(self) -> None:
        vectors = decaying(50, 20)
        sketches = sketch(vectors, principal_axes(vectors, 20))
        np.testing.assert_allclose(sketches[:, -1], 0, atol=1e-5)
        np.testing.assert_allclose(sketches @ sketches.T, vectors @ vectors.T, atol=1e-5)

    def test_opposite_rests_are_bounded_by_their_norms(self) -> None:
        vectors = np.array([[0.6, 0.8], [0.6, -0.8]], dtype=np.float32)
        sketches = sketch(vectors, np.array([[1.0], [0.0]]))
        np.testing.assert_allclose(sketches, [[0.6, 0.8], [0.6, 0.8]], rtol=1e-6)

    def test_several_compared_texts(self) -> None:
        vectors = decaying(60, 12).reshape(2, 30, 12)
        axes = principal_axes(vectors[0], 5)
        np.testing.assert_array_equal(sketch(vectors, axes)[1], sketch(vectors[1], axes))


class TestPrincipalAxes:
    def test_the_largest_come_first(self) -> None:
        vectors = np.diag([1.0, 5.0, 3.0]).astype(np.float32)
        np.testing.assert_allclose(np.abs(principal_axes(vectors, 2)), [[0, 0], [1, 0], [0, 1]])

    @pytest.mark.parametrize("count", [0, 1, 7, 200])
    def test_orthonormal_whatever_the_sample(self, count: int) -> None:
        axes = principal_axes(decaying(200, 30)[:count], 10)
        np.testing.assert_allclose(axes.T @ axes, np.eye(10), atol=1e-12)


class TestWorthwhile:
    def test_fewer_axes_where_they_hold_more(self) -> None:
        rng = np.random.default_rng(1)
        narrow = unit(rng.standard_normal((600, 384)) * 0.6 ** np.arange(384))
        isotropic = unit(rng.standard_normal((600, 384)))
        few, many = worthwhile_axes(narrow, 0.97), worthwhile_axes(isotropic, 0.95)
        assert few is not None
        assert many is not None
        assert few.shape[1] < many.shape[1] < 192

    def test_none_where_the_full_product_is_cheaper(self) -> None:
        assert worthwhile_axes(unit(np.random.default_rng(1).standard_normal((600, 384))), 0.5) is None
        assert worthwhile_axes(decaying(100, 12), 0.9) is None  # eight axes are more than half of twelve

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_small_samples(self, count: int) -> None:
        axes = worthwhile_axes(decaying(2, 40)[:count], 0.9)
        assert axes is not None
        np.testing.assert_allclose(axes.T @ axes, np.eye(8), atol=1e-12)

    def test_vectors_that_are_none_do_not_count(self) -> None:
        vectors = decaying(300, 64)
        broken = np.concatenate([vectors, np.full((1, 64), np.nan, dtype=np.float32)])
        axes, expected = worthwhile_axes(broken, 0.95), worthwhile_axes(vectors, 0.95)
        assert axes is not None
        assert expected is not None
        np.testing.assert_array_equal(axes, expected)
