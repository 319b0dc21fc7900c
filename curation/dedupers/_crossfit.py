"""Embeddings as NeMo Curator computes them: its `EmbeddingCreator`, on crossfit, over texts in GPU memory.

For parity with NeMo Curator, again: `core.encoder` needs none of this, and embeds every word of a text. Crossfit cuts a
text at the model's longest sequence, multiplies in half precision, and reads an empty text as the word `unknown`.
"""

from __future__ import annotations

import logging
import shutil
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from curation.core.errors import CurationError
from curation.core.records import digest
from curation.core.vectors import VectorCache, Vectors
from curation.dedupers._rapids import require_rapids

if TYPE_CHECKING:
    import dask.dataframe as dd

STRATEGIES: Final = {"mean": "mean_pooling", "last_token": "last_token"}  # poolings, and NeMo Curator's names for them

_ALGORITHM: Final = 1  # part of the fingerprint: raise it when the same text would get another vector
_FILES: Final = ("*.json", "*.txt", "*.model", "*.safetensors")  # never pickled weights


def crossfit_fingerprint(fingerprint: str, pooling: str) -> str:
    """The name of crossfit's vectors in a `VectorCache`, which differ a little from those of `Encoder`.

    Args:
        fingerprint: `Encoder.fingerprint` of the same model.
        pooling: see `encode_with_crossfit`.
    """
    return digest("crossfit", _ALGORITHM, pooling, fingerprint)


def encode_with_crossfit(
    texts: dd.DataFrame, cache: VectorCache, model: str, pooling: str = "mean", batch_size: int = 128
) -> None:
    """Has the workers, which have a GPU each, embed texts and add the vectors to the cache.

    Args:
        texts: columns `hash` (see `vectors.hash_of`) and `text`.
        cache: with the fingerprint that `crossfit_fingerprint` says; in a folder that all workers see.
        model: a folder with the model's files.
        pooling: `mean` or `last_token`.
        batch_size: texts a batch at first; crossfit takes fewer where memory is short.

    Raises:
        MissingPackageError: see `require_rapids`.
        CurationError: the pooling is another one, or the folder holds no model.
    """
    require_rapids()
    if pooling not in STRATEGIES:
        raise CurationError(f"crossfit pools by {' or '.join(STRATEGIES)}, not '{pooling}': choose engine torch")
    mend_crossfit()
    _on_all_workers()
    import dask
    from nemo_curator.modules.semantic_dedup.embeddings import EmbeddingCreator

    cache.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="crossfit-", dir=cache.folder.absolute()) as folder:
        copy_model(Path(model), Path(folder))
        creator = EmbeddingCreator(
            embedding_model_name_or_path=folder,
            embedding_batch_size=batch_size,
            embedding_pooling_strategy=STRATEGIES[pooling],
            write_embeddings_to_disk=False,
            logger=logging.getLogger(__name__),
        )
        embedded = creator.create_embeddings(filled(texts).to_backend("cudf"), "text")
        dask.compute(*(dask.delayed(_keep)(part, cache) for part in embedded.to_delayed()))


def mend_crossfit() -> None:
    """Puts stand-ins where crossfit imports what cuDF lacks since 25.10, or cuVS, in this process.

    Crossfit hides the failed imports, and then has no `Tokenizer` or `Predictor` at all. NeMo Curator asks for the
    model's own tokenizer and searches nothing, so neither cuDF's nor cuVS is ever called.
    """
    tokenizer = type("SubwordTokenizer", (), {"__init__": _refuse})
    stand_in("cudf.core.subword_tokenizer", SubwordTokenizer=tokenizer, _cast_to_appropriate_type=_cast)
    stand_in("cudf.utils.hash_vocab_utils", hash_vocab=_refuse)
    stand_in("cuvs", __version__="25.10")
    stand_in("cuvs.neighbors")
    stand_in("cuvs.neighbors.brute_force", search=_refuse)
    op = import_module("crossfit.op")
    for name, module in (("Tokenizer", "crossfit.op.tokenize"), ("Predictor", "crossfit.backend.torch.op.base")):
        if not hasattr(op, name):  # crossfit was imported before
            setattr(op, name, getattr(import_module(module), name))


def stand_in(name: str, **content: Any) -> None:
    """Makes a module of such content, in this process, where the package that it would be in has none of that name."""
    if name not in sys.modules and find_spec(name) is None:
        sys.modules[name] = module_from_spec(ModuleSpec(name, None, is_package=True))
        vars(sys.modules[name]).update(content)


def copy_model(model: Path, folder: Path) -> None:
    """Copies the files of a model: crossfit reads and writes a pickle beside them.

    Raises:
        CurationError: there are no weights.
    """
    for path in (path for pattern in _FILES for path in model.glob(pattern)):
        shutil.copyfile(path, folder / path.name)
    if not any(folder.glob("*.safetensors")):
        raise CurationError(f"{model} holds no model with weights in safetensors")


def filled(texts: dd.DataFrame) -> dd.DataFrame:
    """The partitions that hold anything, rows numbered in each: crossfit fails without rows, and sorts by the index."""
    counts = texts.map_partitions(len).compute()
    chosen = [number for number, count in enumerate(counts) if count]
    return texts[["hash", "text"]].partitions[chosen].map_partitions(pd.DataFrame.reset_index, drop=True)


def unit_vectors(lists: pa.ListArray) -> Vectors:
    """Lists of equal length as float32 vectors of length 1; shape (lists, dimensions)."""
    vectors = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(lists), -1).astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not (norms > 0).all():  # neither zero nor undefined
        raise CurationError("crossfit yields no usable vectors: the model overflows in half precision")
    unit: Vectors = (vectors / norms).astype(np.float32)
    return unit


def _keep(part: Any, cache: VectorCache) -> None:
    cache.add(part["hash"].to_arrow().to_pylist(), unit_vectors(part["embeddings"].to_arrow()))


def _cast(array: Any, kind: str) -> Any:
    """Crossfit's token numbers as they are (`cp`), or as a tensor on the same device (`pt`)."""
    if kind == "cp":
        return array
    import torch

    return torch.as_tensor(array.astype("int32"))


def _refuse(*_arguments: Any, **_options: Any) -> None:
    raise CurationError("this part of RAPIDS is not installed, and embedding does not need it")


def _on_all_workers() -> None:
    """Mends crossfit in the workers of the current cluster, if there is one."""
    from distributed import default_client

    try:
        client = default_client()
    except ValueError:
        return
    client.run(mend_crossfit)
