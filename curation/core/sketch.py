"""A few numbers a vector that bound its products with all others from above.

For any orthonormal split of the coordinates, x·y = x₁·y₁ + x₂·y₂ ≤ x₁·y₁ + ‖x₂‖‖y₂‖ (Cauchy and Schwarz). So a sketch
is a vector's coordinates along k axes and the norm of what they leave out, and the product of two sketches, k + 1
numbers long, is never below the product of the two vectors. It is close where the axes hold much of the vectors: so
they are principal axes, those of the largest second moments.

That holds for exact numbers. With vectors of norm up to 1.001 in single precision, at most 4,096 dimensions and at most
`MOST_AXES` axes, rounding takes at most this off a bound:

- computing coordinates and the norm of the rest in double precision: 1e-11 for the former, since k sums of 4,096
  products are off by 4,096 · 2⁻⁵³ each at most; 4e-6 for the latter, the root of as much;
- storing both sketches in single precision: 2 · 2⁻²⁴ of ‖x‖‖y‖, since a sketch's norm is its vector's;
- the product in single precision, in any order, fused or not: (k + 1) · 2⁻²⁴ of ‖x‖‖y‖.

Together that is below 2e-5, a fifth of `MARGIN`.

Products of numbers that are rounded to bfloat16, which have 8 significant bits, and of which the result is rounded
likewise, are off by 3 · 2⁻⁹ of ‖x‖‖y‖ more: `HALF_MARGIN` holds for them.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from curation.core.vectors import Vectors

Axes: TypeAlias = npt.NDArray[np.float64]
"""Orthonormal columns; shape (dimensions, k)."""

MARGIN: Final = 1e-4
"""A single-precision product of sketches, or of unit vectors with up to 1,500 dimensions, is never so far too low."""

HALF_MARGIN: Final = 6e-3
"""A product of such numbers in bfloat16 is never so far too low."""

MOST_AXES: Final = 128

_NUMBERS_OF_AXES: Final = (8, 16, 24, 32, 48, 64, 96, MOST_AXES)
_CHECKING: Final = 180  # what to look at one pair costs, in full products of a pair as part of a block, on a CPU
_LOOKING: Final = 8  # what to look at one product costs, in multiplications of a product as part of a block
_HALF: Final = 0.35  # what a multiplication in bfloat16 costs
_ROW: Final = 4096  # products of which one that passes has all of them looked at
_UNSEEN: Final = 2  # of vectors that the axes were not made from, so many times as many pass
_WORTHWHILE: Final = 0.5  # share of the full product's cost above which sketches aren't worth their own


def principal_axes(sample: Vectors, number: int) -> Axes:
    """The axes along which the sample is largest, the largest first.

    Moments are taken about the origin, not the mean: it is products that are bounded, not distances.

    Args:
        sample: finite vectors, shape (vectors, dimensions); any number of them, even none.
        number: how many axes; all of them, where there are fewer dimensions.
    """
    exact = sample.astype(np.float64)
    _, axes = np.linalg.eigh(exact.T @ exact)
    return np.ascontiguousarray(axes[:, ::-1][:, :number])


def sketch(vectors: Vectors, axes: Axes) -> Vectors:
    """Sketches whose products are nowhere more than `MARGIN` below those of the vectors.

    Args:
        vectors: unit vectors, shape (…, dimensions).
        axes: orthonormal, shape (dimensions, k).

    Returns:
        Shape (…, k + 1): the coordinates along the axes, and the norm of the rest.
    """
    exact = vectors.astype(np.float64)
    coordinates = exact @ axes
    rest = np.square(exact).sum(-1, keepdims=True) - np.square(coordinates).sum(-1, keepdims=True)
    sketches: Vectors = np.concatenate([coordinates, np.sqrt(np.maximum(rest, 0.0))], axis=-1).astype(np.float32)
    return sketches


def worthwhile_axes(sample: Vectors, threshold: float) -> Axes | None:
    """The axes by which the pairs at or above a threshold are found with the least work.

    Args:
        sample: unit vectors, shape (vectors, dimensions), of those that will be compared.
        threshold: lowest product of a pair.

    Returns:
        Principal axes of the sample, as many as make the product of sketches, and what it lets pass by mistake, the
        cheapest; None where that would be hardly less work than all products.
    """
    finite = sample[np.isfinite(sample).all(axis=1)]
    dimensions = sample.shape[1]
    axes = principal_axes(finite, MOST_AXES)
    pairs = _passing(finite, threshold - MARGIN)
    best, least = None, _WORTHWHILE * dimensions
    for number in _NUMBERS_OF_AXES:
        if number >= least:  # the cost of the product alone
            break
        sketches = sketch(finite, axes[:, :number])
        mistaken = _UNSEEN * max(_passing(sketches, threshold - MARGIN) - pairs, 0.0)
        rows = 1.0 - max(0.0, 1.0 - _UNSEEN * _passing(sketches, threshold - HALF_MARGIN)) ** _ROW
        cost = (
            _LOOKING
            + number * (_HALF if multiplies_halves() else 1.0)
            + rows * (number + _LOOKING)
            + _CHECKING * dimensions * mistaken
        )
        if cost < least:
            best, least = axes[:, :number], cost
    return None if best is None else np.ascontiguousarray(best)


def multiplies_halves(device: str = "cpu") -> bool:
    """Whether `cpu`, or `gpu`, multiplies bfloat16 numbers faster than single-precision ones here: where that has to
    be emulated, it is slower."""
    import torch

    if device == "gpu":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases can't tell
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _passing(vectors: Vectors, lowest: float) -> float:
    """The share of all pairs whose product is so high."""
    pairs = len(vectors) * (len(vectors) - 1) / 2
    return float(np.count_nonzero(np.triu(vectors @ vectors.T >= lowest, 1))) / max(pairs, 1.0)
