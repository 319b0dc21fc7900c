"""What makes two texts equal, which of two duplicates stays, and which records belong together. No Dask here."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import pandas as pd

PAIR_COLUMNS: Final = ("id", "kept_id", "similarity")

COMPARED: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "question": (("title", "question"),),
    "answer": (("answer",),),
    "both": (("title", "question"), ("answer",)),
    "text": (("title", "question", "answer"),),
}
"""By what records may be compared: for each way, the columns of each text. Texts are compared one by one, and two
records are as similar as their least similar texts."""

_KEPT_BY_NFKC = re.compile("[^²³¹\u1d2c-\u1d6a\u2070-\u209f]+")  # all but super- and subscripts: x² is not x2
_TYPOGRAPHY = str.maketrans({**dict.fromkeys("‘’‚‛", "'"), **dict.fromkeys("“”„«»", '"'), **dict.fromkeys("‐–—−", "-")})
_OPENING_MARKS = re.compile(r"""(?<!\S)["'¿¡]+(?=[^\W\d_]{2})""")
_CLOSING_MARKS = re.compile(r"""(?<=[^\W\d_]{2})[ ]?[.,;:!?"'。、]+(?!\S)""")


def normalize(text: str) -> str:
    """The form in which texts are compared for exact duplicates: equal forms say the same.

    1. Unicode NFKC with case folding, except that super- and subscripts stay what they are (`x²` is not `x2`).
    2. Typographic quotes and dashes become `'`, `"` and `-`; runs of white space become one space.
    3. Sentence marks and quotes (`. , ; : ! ? " '`) are dropped at the border of a word of two letters or more, also
       with a space between. Everywhere else punctuation carries meaning and stays: `C++` and `C#`, `3.5` and `3,5`,
       `n!` and `n`, `-5` and `5`, `f(x)`, `...` and `?!`.
    """
    folded = _KEPT_BY_NFKC.sub(lambda match: unicodedata.normalize("NFKC", match[0]), text).casefold()
    plain = " ".join(folded.translate(_TYPOGRAPHY).split())
    return " ".join(_CLOSING_MARKS.sub("", _OPENING_MARKS.sub("", plain)).split())


def compared_texts(rows: pd.DataFrame, by: str) -> list[list[str]]:
    """The texts by which records are compared: a list for each text of `COMPARED[by]`, an entry a row.

    Columns are joined by a line break; null and empty ones are left out. A record that lacks them all has `""`.
    """
    return [[_joined(row) for row in zip(*(rows[name] for name in columns), strict=True)] for columns in COMPARED[by]]


def _joined(values: Iterable[object]) -> str:
    return "\n".join(value for value in values if isinstance(value, str) and value)


def keep_best(pairs: pd.DataFrame, rank: pd.Series | Mapping[str, int], threshold: float) -> pd.DataFrame:
    """Which records leave: greedily from the best to the worst, a record leaves if a *kept* better one is too similar.

    So every record that leaves has a kept one at or above the threshold, and no two kept ones are that similar:
    neither holds when a whole component is reduced to one, or when a record yields to one that left itself.

    Args:
        pairs: columns `id`, `kept_id` (in either order), `similarity`.
        rank: each record's place in the order of quality by id, 0 the best, no two equal (`records.quality_rank`).
        threshold: lowest similarity that counts.

    Returns:
        A row for each record that leaves: `id`; `kept_id`, the most similar of the better ones that are kept (the
        better one where two are equally similar); `similarity`. Sorted by id, whatever the order of `pairs`.

    Raises:
        ValueError: a pair names a record that has no rank.
    """
    ranks = pd.Series(rank)
    near = pairs[(pairs["similarity"] >= threshold) & (pairs["id"] != pairs["kept_id"])]
    first, second = _ranks_of(near["id"], ranks), _ranks_of(near["kept_id"], ranks)
    worse, better = np.maximum(first, second), np.minimum(first, second)
    similarity = near["similarity"].to_numpy(dtype=np.float64)
    order = np.lexsort((better, -similarity, worse))
    columns = (worse[order].tolist(), better[order].tolist(), similarity[order].tolist())
    leaves: dict[int, tuple[int, float]] = {}
    for loser, winner, value in zip(*columns, strict=True):  # all pairs of the better record were seen before
        if loser not in leaves and winner not in leaves:
            leaves[loser] = (winner, value)
    names = pd.Series(ranks.index.to_numpy(), index=ranks.to_numpy(), dtype=object)
    removed = pd.DataFrame(
        {
            "id": names.reindex(list(leaves)).to_numpy(),
            "kept_id": names.reindex([winner for winner, _ in leaves.values()]).to_numpy(),
            "similarity": np.array([value for _, value in leaves.values()], dtype=np.float64),
        }
    )
    return removed.sort_values("id", ignore_index=True)


def best_across(pairs: pd.DataFrame, own: Iterable[str]) -> pd.DataFrame:
    """Of pairs that hold one of `own` and one of another set, the most similar for each of `own`.

    Records with a similarity of 1 are equal: what one of them is similar to, all are.

    Args:
        pairs: columns `id`, `kept_id` (in either order), `similarity`.
        own: ids of one of the two sets, none of which the other has.

    Returns:
        Columns `id` (of `own`), `kept_id` (the smaller id where two are equally similar), `similarity`; sorted by id.
    """
    if pairs.empty:
        return pairs[list(PAIR_COLUMNS)]
    wanted = pd.Index(own)
    names = pd.unique(pairs[["id", "kept_id"]].to_numpy(dtype=object).ravel())
    groups = connected_groups(names, pairs[pairs["similarity"] == 1])
    equals = pd.DataFrame({"name": groups.index, "group": groups.to_numpy()})
    turned = pairs.rename(columns={"id": "kept_id", "kept_id": "id"})[pairs.columns]
    itself = pd.DataFrame({"id": names, "kept_id": names, "similarity": 1.0})
    both = pd.concat([pairs, turned, itself], ignore_index=True)
    both = both.assign(one=both["id"].map(groups), other=both["kept_id"].map(groups))
    near = both.groupby(["one", "other"], as_index=False)["similarity"].max()
    mine = equals["name"].isin(wanted)
    across = near.merge(equals[mine], left_on="one", right_on="group").merge(
        equals[~mine].groupby("group", as_index=False)["name"].min(),
        left_on="other",
        right_on="group",
        suffixes=("", "_kept"),
    )
    best = across.sort_values(["name", "similarity", "name_kept"], ascending=[True, False, True]).drop_duplicates(
        "name"
    )
    return best[["name", "name_kept", "similarity"]].set_axis(list(PAIR_COLUMNS), axis=1).reset_index(drop=True)


def _ranks_of(ids: pd.Series, ranks: pd.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    found = ranks.reindex(ids.to_numpy())
    if found.isna().any():
        raise ValueError(f"record {found.index[found.isna()][0]} is in a pair but has no rank")
    return found.to_numpy(dtype=np.int64)  # type: ignore[no-any-return]  # pandas is untyped here


def connected_groups(ids: Iterable[str], pairs: pd.DataFrame) -> pd.Series:
    """The connected components of the graph whose edges are `pairs`.

    Args:
        ids: the records to answer for.
        pairs: columns `id`, `kept_id`. Records that only pairs name tie others together too, and may name a group.

    Returns:
        The smallest id of its component, by id, in the order of `ids`.
    """
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    wanted = pd.Index(ids, dtype=object)
    everyone = wanted.append([pd.Index(pairs["id"], dtype=object), pd.Index(pairs["kept_id"], dtype=object)])
    names = everyone.unique().sort_values()  # so a component's smallest position is its smallest id
    edges = (names.get_indexer(pairs["id"]), names.get_indexer(pairs["kept_id"]))
    graph = coo_array((np.ones(len(pairs), dtype=np.bool_), edges), shape=(len(names), len(names)))
    _, labels = connected_components(graph, directed=False)
    smallest = pd.Series(np.arange(len(names))).groupby(labels).transform("min")
    return pd.Series(names[smallest], index=names, dtype=object).reindex(wanted)
