"""NeMo Curator's settings of semantic dedup (`SemDedupConfig`, and what `SemDedup` takes), in this program's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from curation.core.encoder import EMBEDDED
from curation.core.registry import nearest

_EMBEDDED_NAMES: Final = ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2")
_POOLINGS: Final = {"mean_pooling": "mean", "last_token": "last_token"}

_MEMORY: Final = (
    "embeddings stay in files that are mapped into memory, and batches follow from the lengths of the texts"
)
_PLACE: Final = "embeddings are kept in the run's own folder, where other rounds find them"
_CLUSTERS: Final = "clusters are put into a temporary folder, which is removed afterwards"
_ID: Final = "each record has an id of this program, which is text"
_TEXT: Final = "`by` says which texts of a record are compared"
_BLOCKS: Final = "products are always computed in blocks, so that a large group needs little memory"

WITHOUT_EFFECT: Final = {
    "cache_dir": _PLACE,
    "embeddings_save_loc": _PLACE,
    "write_embeddings_to_disk": _PLACE,
    "write_to_filename": _PLACE,
    "embedding_column": "the column with the embeddings is seen by nobody",
    "embedding_batch_size": _MEMORY,
    "embedding_max_mem_gb": _MEMORY,
    "clustering_input_partition_size": _MEMORY,
    "clustering_save_loc": _CLUSTERS,
    "sort_clusters": _CLUSTERS,
    "batched_cosine_similarity": _BLOCKS,
    "largest_cluster_size_to_process": _BLOCKS,
    "kmeans_with_cos_dist": "NeMo Curator 0.9 has no such choice any more: its vectors have length 1 before k-means",
    "num_files": "the plan's input says which files are read",
    "id_field": _ID,
    "id_column": _ID,
    "id_column_type": _ID,
    "id_col_name": _ID,
    "id_col_type": _ID,
    "input_column": _TEXT,
    "text_field": _TEXT,
    "perform_removal": "duplicates always leave, and the ledger says because of which record",
    "profile_dir": "no profile of Dask is written",
    "logger": "messages go where those of the whole run go",
}


def from_curator(settings: dict[str, Any]) -> dict[str, Any]:
    """What NeMo Curator's keys, of its releases on Dask (0.4 to 0.9), are called here.

    Only what is given is translated: NeMo Curator's defaults are not filled in.

    Args:
        settings: as in NeMo Curator's YAML file. `eps_thresholds` alone must name a single one.

    Returns:
        `threshold` (1 - eps, a cosine), `encoder`, `pooling` (`mean` or `last_token`), `keep`, and `rapids`:
        `n_clusters`, `max_iter`, `random_state` and `sim_metric`, which the engine `rapids` alone heeds. Keys in
        `WITHOUT_EFFECT` are left out.

    Raises:
        ValueError: all unknown keys and unfit values, with the nearest spelling, separated by semicolons.
    """
    faults: list[str] = []
    ours: dict[str, Any] = {}
    rapids: dict[str, Any] = {}
    for key, value in settings.items():
        if key in WITHOUT_EFFECT:
            continue
        if key not in _OURS:
            faults.append(f"NeMo Curator has no setting '{key}'.{nearest(str(key), [*_OURS, *WITHOUT_EFFECT])}")
            continue
        name, read = _OURS[key]
        target = rapids if name in _RAPIDS else ours
        try:
            found = read(value)
        except ValueError as error:
            faults.append(f"{key} {error}")
            continue
        if target.setdefault(name, found) != found:
            faults.append(f"{key} contradicts another setting of the same: {found!r} and {target[name]!r}")
    faults += _doubts_of_thresholds(ours, settings)
    if faults:
        raise ValueError("; ".join(faults))
    return {**ours, "rapids": rapids} if rapids else ours


def _doubts_of_thresholds(ours: dict[str, Any], settings: dict[str, Any]) -> list[str]:
    """Older releases prepare several thresholds (`eps_thresholds`), and extract one of them."""
    thresholds = ours.pop("thresholds", None)
    if thresholds is None:
        return []
    if "threshold" in ours:
        known = ours["threshold"] in thresholds
        return [] if known else [f"eps_to_extract {settings['eps_to_extract']} is not among eps_thresholds"]
    if len(thresholds) != 1 and "eps_to_extract" not in settings:
        return ["eps_thresholds has several or none: say by eps_to_extract which one decides"]
    ours["threshold"] = thresholds[0]
    return []


def _threshold(eps: Any) -> float:
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps < 1:
        raise ValueError(f"is a number from 0 to below 1, not {eps!r}")
    return round(1 - eps, 12)


def _thresholds(several: Any) -> list[float]:
    return [_threshold(eps) for eps in (several if isinstance(several, list | tuple) else [several])]


def _encoder(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"is the name or the folder of a model, not {name!r}")
    return EMBEDDED if name in _EMBEDDED_NAMES else name


def _at_least(lowest: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(f"is a whole number of at least {lowest}, not {value!r}")
        return value

    return read


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"is one of {', '.join(choices)}, not {value!r}.{nearest(str(value), list(choices))}")
        return str(value)

    return read


def _pooling(value: Any) -> str:
    return _POOLINGS[_one_of(*_POOLINGS)(value)]


_RAPIDS: Final = ("n_clusters", "max_iter", "random_state", "sim_metric")
_OURS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "eps_to_extract": ("threshold", _threshold),
    "eps_thresholds": ("thresholds", _thresholds),
    "embedding_model_name_or_path": ("encoder", _encoder),
    "embedding_pooling_strategy": ("pooling", _pooling),
    "which_to_keep": ("keep", _one_of("hard", "easy", "random")),
    "n_clusters": ("n_clusters", _at_least(1)),
    "max_iter": ("max_iter", _at_least(1)),
    "random_state": ("random_state", _at_least(0)),
    "seed": ("random_state", _at_least(0)),
    "sim_metric": ("sim_metric", _one_of("cosine", "l2")),
}

CURATOR_KEYS: Final = frozenset({*_OURS, *WITHOUT_EFFECT})
"""What `from_curator` knows."""
