"""Near texts as NeMo Curator finds them: k-means on GPUs, then products within each cluster.

It is there for parity with NeMo Curator's `SemDedup`, whose own classes do the work on this program's embeddings. It is
approximate: a pair whose texts lie in different clusters is missed, and of each text only the nearest one that ranks
before it in its cluster is listed. The search of `_near.py` misses nothing, on CPUs and GPUs alike.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from curation.core.errors import CurationError, DiskError, MissingPackageError
from curation.dedupers._blocks import Block, similarities

_PACKAGES: Final = ("cudf", "cuml", "dask_cudf")
_MOST_CLUSTERS: Final = 10_000  # √N of 100 million texts: beyond, k-means itself would take longest
_ROWS_A_FILE: Final = 65_536  # of embeddings: about 100 MB at 384 dimensions, enough files for several GPUs
_AT_ONCE: Final = 65_536  # pairs whose cosines are computed again
_SLACK: Final = 1e-3  # what NeMo Curator's single precision may be off, amply: the exact cosine decides


@dataclass(frozen=True)
class Clustering:
    """NeMo Curator's settings, by its names.

    Args:
        n_clusters: of k-means; by default √N, at most 10,000.
        max_iter: rounds of k-means at most.
        random_state: of k-means.
        which_to_keep: who ranks first in a cluster: `hard` (far from its centre), `easy` (near to it), or `random`.
        sim_metric: `cosine` or `l2`, by which the distance from the centre is measured.
    """

    n_clusters: int | None = None
    max_iter: int = 100
    random_state: int = 1234
    which_to_keep: str = "hard"
    sim_metric: str = "cosine"

    def clusters_for(self, count: int) -> int:
        """How many clusters so many texts are put into: cuML takes no more than there are texts."""
        return min(self.n_clusters or min(math.isqrt(count), _MOST_CLUSTERS), count)


def require_rapids() -> None:
    """Raises MissingPackageError, which names all that is missing, unless RAPIDS and a CUDA device are here."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if not _sees_a_gpu():
        missing.append("a CUDA device that PyTorch can use")
    if missing:
        raise MissingPackageError(
            f"RAPIDS can't be used here, for want of {', '.join(missing)}: run pip install '.[gpu]' on a machine with "
            "an NVIDIA GPU, or choose engine torch, which finds every pair, on a CPU as well"
        )


def find_with_rapids(
    texts: pd.DataFrame,
    threshold: float,
    folder: str,
    clustering: Clustering | None = None,
) -> pd.DataFrame:
    """Pairs of near texts by NeMo Curator's `ClusteringModel` and `SemanticClusterLevelDedup`.

    Needs a Dask client whose workers have a GPU each (`connect(device="gpu")`). Where two texts of a record are
    compared, NeMo Curator gets both vectors as one, so it looks for a high mean of the two cosines.

    Args:
        texts: located ones (`_embeddings.Library.located`), with or without the column `new`.
        threshold: lowest similarity of a pair.
        folder: one that exists and all workers see; a temporary folder in it holds embeddings and clusters.
        clustering: by default NeMo Curator's own settings, but for the number of clusters.

    Returns:
        Columns `first` and `second` (positions in `texts`; NeMo Curator would remove `first`) and `similarity`, the
        exact one. At least one of the two is new.

    Raises:
        MissingPackageError: see `require_rapids`.
        CurationError: there is no client, or NeMo Curator's output lacks texts.
        DiskError: the folder can't be written.
    """
    require_rapids()
    _require_client()
    if len(texts) < 2:
        return _pairs_of(pd.DataFrame({"id": [], "max_id": [], "cosine_sim_score": []}), texts, threshold)
    with TemporaryDirectory(prefix="rapids-", dir=folder) as own:
        files = write_embeddings(texts, Path(own) / "embeddings")
        compared = _compare(files, len(texts), Path(own) / "clusters", clustering or Clustering())
        matches = read_matches(compared, len(texts))
    return _pairs_of(matches, texts, threshold)


def write_embeddings(texts: pd.DataFrame, folder: Path, rows_a_file: int = _ROWS_A_FILE) -> list[str]:
    """Has the workers write Parquet files with the columns `id` (position) and `embeddings` (list of float32).

    The vectors of a record of which two texts are compared follow each other in one list. No file is empty.

    Raises:
        DiskError: the folder can't be written.
    """
    import dask

    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise DiskError(f"{folder}: embeddings can't be written: {error.strerror or error}") from error
    starts = range(0, len(texts), rows_a_file)
    files = [str(folder / f"part-{number:05d}.parquet") for number in range(len(starts))]
    dask.compute(
        *(
            dask.delayed(_write)(dask.delayed(Block.of(texts, start, start + rows_a_file), traverse=False), file)
            for start, file in zip(starts, files, strict=True)
        )
    )
    return files


def read_matches(folder: Path, count: int) -> pd.DataFrame:
    """What `SemanticClusterLevelDedup` has written, of all clusters: columns `id`, `max_id`, `cosine_sim_score`.

    Raises:
        CurationError: it does not hold each of so many texts once.
    """
    columns = ["id", "max_id", "cosine_sim_score"]
    # A cluster of one has a whole number as its score, so types differ between files.
    parts = [
        pq.read_table(file, columns=columns).to_pandas(ignore_metadata=True).astype({"cosine_sim_score": "float64"})
        for file in sorted(folder.glob("cluster_*.parquet"))
    ]
    matches = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    if matches["id"].nunique() != count:
        raise CurationError(
            f"{folder}: NeMo Curator has compared {matches['id'].nunique()} of {count} texts; do all workers see this "
            "folder?"
        )
    return matches


def close_gaps(folder: Path) -> int:
    """Numbers the clusters from 0 without gaps, and counts them.

    A cluster that k-means left empty has no folder, and NeMo Curator would fail when it reads it.
    """
    numbers = sorted(int(path.name.partition("=")[2]) for path in folder.glob("nearest_cent=*"))
    for place, number in enumerate(numbers):
        if place != number:
            (folder / f"nearest_cent={number}").rename(folder / f"nearest_cent={place}")
    return len(numbers)


def _compare(files: list[str], count: int, folder: Path, clustering: Clustering) -> Path:
    """Has NeMo Curator cluster and compare the texts of files, and says where it has put what it found."""
    import dask.dataframe as dd
    from nemo_curator.datasets import DocumentDataset
    from nemo_curator.modules.semantic_dedup.clusteringmodel import ClusteringModel
    from nemo_curator.modules.semantic_dedup.semanticclusterleveldedup import SemanticClusterLevelDedup

    logger = logging.getLogger(__name__)
    cluster = ClusteringModel(
        id_column="id",
        max_iter=clustering.max_iter,
        n_clusters=clustering.clusters_for(count),
        clustering_output_dir=str(folder),
        embedding_column="embeddings",
        random_state=clustering.random_state,
        clustering_input_partition_size=None,  # the files have a fit size
        logger=logger,
    )
    with suppress(FileNotFoundError):  # it looks into cluster 0 once all is written, and that one may be empty
        cluster(DocumentDataset(dd.from_map(_read, files)))
    compare = SemanticClusterLevelDedup(
        n_clusters=close_gaps(folder / "embs_by_nearest_center"),
        emb_by_clust_dir=str(folder / "embs_by_nearest_center"),
        id_column="id",
        which_to_keep=clustering.which_to_keep,
        sim_metric=clustering.sim_metric,
        output_dir=str(folder),
        embedding_column="embeddings",
        logger=logger,
    )
    compare.compute_semantic_match_dfs()
    return folder / "semdedup_pruning_tables"


def _pairs_of(matches: pd.DataFrame, texts: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The matches of two different texts, one of them new, whose exact similarity is high enough.

    Who ranks first in a cluster is matched with nobody; NeMo Curator then names the first itself, at similarity 0.
    """
    near = (matches["id"] != matches["max_id"]) & (matches["cosine_sim_score"] >= threshold - _SLACK)
    pairs = matches.loc[near, ["id", "max_id"]].astype("int64").set_axis(["first", "second"], axis=1)
    if "new" in texts:
        new = texts["new"].to_numpy(dtype=bool)
        pairs = pairs[new[pairs["first"]] | new[pairs["second"]]]
    pairs = pairs.sort_values(["first", "second"], ignore_index=True)
    block, found = Block.of(texts), [np.empty(0)]
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs.iloc[start : start + _AT_ONCE]
        found.append(similarities(block, block, part["first"].to_numpy(), part["second"].to_numpy()))
    pairs["similarity"] = np.concatenate(found)
    return pairs[pairs["similarity"] >= threshold].reset_index(drop=True)


def _write(block: Block, file: str) -> None:
    vectors = np.concatenate(block.vectors(), axis=1)
    ends = np.arange(len(vectors) + 1, dtype=np.int32) * vectors.shape[1]
    lists = pa.ListArray.from_arrays(pa.array(ends), pa.array(vectors.ravel()))
    ids = np.arange(block.start, block.start + len(block), dtype=np.int64)
    try:
        pq.write_table(pa.table({"id": ids, "embeddings": lists}), file)
    except OSError as error:
        raise DiskError(f"{file}: embeddings can't be written: {error.strerror or error}") from error


def _read(file: str) -> Any:
    import cudf

    return cudf.read_parquet(file)


def _require_client() -> None:
    from distributed import default_client

    try:
        default_client()
    except ValueError as error:
        raise CurationError("engine rapids needs a Dask cluster of GPUs: connect with device gpu") from error


def _sees_a_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
