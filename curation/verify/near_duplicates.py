"""No near duplicates lie in two splits, by the vectors that the run kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from curation.core.pairs import COMPARED
from curation.core.records import SPLITS
from curation.core.vectors import VectorCache, Vectors, take
from curation.verify.evidence import Evidence, NothingToProveError

TOLERANCE = 1e-6
"""The deduper judges cosines that are rounded to so much."""

_UNITY = 1e-3  # how far from 1 a vector's length may be
_MARGIN = 1e-4  # far above the error of a single-precision product, so that no pair is missed
_BLOCK = 4096  # vectors a side of a product


def near(evidence: Evidence) -> Iterator[str]:
    """No two records at or above the cosine `split.near` lie in two splits, by the vectors that the run kept.

    A record whose vector is gone or damaged is a fault: nothing is proved of it.
    """
    by = evidence.by("semantic")
    if not by:
        raise NothingToProveError("the plan has no dedup.semantic")
    names = [f"near_{number}" for number in range(len(COMPARED[by]))]
    texts = _located(evidence, names)
    for identifier in texts.loc[texts["row_0"].isna(), "id"]:
        yield f"record {identifier} has no vector in embeddings/"
    texts = texts[texts["row_0"].notna()]
    for block in _blocks(texts):
        norms = np.linalg.norm(_vectors(block), axis=2)
        for identifier in block.loc[(np.abs(norms - 1) > _UNITY).any(axis=0), "id"]:
            yield f"record {identifier} has a damaged vector in embeddings/"
    exact = _exact_cosines(evidence, names)
    bound = float(evidence.run.plan["split"]["near"]) + TOLERANCE
    for one, other in combinations(SPLITS, 2):
        for first, second, found in _pairs(texts[texts["file"] == one], texts[texts["file"] == other], bound):
            cosine = exact(first, second, found)
            if cosine >= bound:
                yield f"{first} ({one}) and {second} ({other}): cosine {cosine:.4f}"


def _located(evidence: Evidence, names: Sequence[str]) -> pd.DataFrame:
    """The records with texts to compare: `id`, `file`, and where in the cache the vector of each text is (`file_0`,
    `row_0`, …; null where one of them is missing), sorted so that neighbours lie in few files."""
    places = _places(evidence, names, _near_settings(evidence)["vectors"])
    return places.sort_values(["file_0", "row_0", "id"], ignore_index=True)


def _places(evidence: Evidence, names: Sequence[str], vectors: str) -> pd.DataFrame:
    """`_located` in the order of the records; `vectors` is the fingerprint of the encoder."""
    texts = evidence.final.dropna(subset=list(names))
    index = VectorCache(evidence.run.root / "embeddings", vectors).index()
    places = texts[["id", "file"]].reset_index(drop=True)
    for number, name in enumerate(names):
        found = index.reindex(texts[name])
        places[f"file_{number}"] = found["file"].to_numpy(dtype=object)
        places[f"row_{number}"] = found["row"].to_numpy(dtype="float64")
    places.loc[places.isna().any(axis=1), "row_0"] = np.nan
    return places


def _near_settings(evidence: Evidence) -> Mapping[str, Any]:
    (settings,) = (stage.manifest.settings for stage in evidence.run.rounds[0] if stage.manifest.stage == "near")
    return settings


def _exact_cosines(evidence: Evidence, names: Sequence[str]) -> Callable[[str, str, float], float]:
    """Tells a pair's cosine by vectors of single precision, where the run took these to decide it, or else as found."""
    settings = _near_settings(evidence)
    exact = settings.get("exact_vectors", settings["vectors"])
    if exact == settings["vectors"]:
        return lambda _first, _second, found: found
    places = _places(evidence, names, exact)
    known = places[places["row_0"].notna()].set_index("id")

    def cosine(first: str, second: str, found: float) -> float:
        if first not in known.index or second not in known.index:
            return found
        one, other = (_vectors(known.loc[[name]]).astype("float64")[:, 0] for name in (first, second))
        return float((one * other).sum(axis=1).min())

    return cosine


def _pairs(one: pd.DataFrame, other: pd.DataFrame, bound: float) -> Iterator[tuple[str, str, float]]:
    """The pairs of records, one of each table, whose least similar texts reach `bound`."""
    for rows in _blocks(one):
        left, names = _vectors(rows), rows["id"].to_numpy()
        for columns in _blocks(other):
            right, others = _vectors(columns), columns["id"].to_numpy()
            products = reduce(np.minimum, (a @ b.T for a, b in zip(left, right, strict=True)))
            if products.max() < bound - _MARGIN:
                continue
            for row, column in np.argwhere(products >= bound - _MARGIN):
                cosine = float((left[:, row].astype("float64") * right[:, column]).sum(axis=1).min())
                if cosine >= bound:
                    yield names[row], others[column], cosine


def _blocks(texts: pd.DataFrame) -> Iterator[pd.DataFrame]:
    return (texts.iloc[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))


def _vectors(block: pd.DataFrame) -> Vectors:
    """Shape (compared texts, records, dimensions)."""
    numbers = range(sum(name.startswith("file_") for name in block.columns))
    return np.stack(
        [
            take(block[f"file_{number}"].to_numpy(dtype=object), block[f"row_{number}"].to_numpy(dtype="int64"))
            for number in numbers
        ]
    )
