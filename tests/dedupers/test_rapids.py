from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.core.encoder import EMBEDDED, Encoder
from curation.core.errors import CurationError, DiskError, MissingPackageError
from curation.core.vectors import VectorCache, Vectors, hash_of, load_vectors
from curation.dedupers import _crossfit, _rapids
from curation.dedupers._crossfit import copy_model, crossfit_fingerprint, encode_with_crossfit, filled, unit_vectors
from curation.dedupers._curator_keys import WITHOUT_EFFECT, from_curator
from curation.dedupers._rapids import Clustering, close_gaps, find_with_rapids, read_matches, write_embeddings
from tests.core.tiny_encoder import write_tiny_encoder

TEXTS, DIMENSIONS = 60, 8


def located(folder: Path, compared: int = 1, count: int = TEXTS) -> tuple[pd.DataFrame, Vectors]:
    """Texts around five centres, as `Library.located` finds them, and their vectors; the first half is new."""
    chance = np.random.default_rng(5)
    centres = chance.standard_normal((5, DIMENSIONS))
    texts = pd.DataFrame({"new": np.arange(count) < count // 2})
    columns = []
    for number in range(compared):
        noise = 0.15 * chance.standard_normal((count, DIMENSIONS))
        vectors = (centres[np.arange(count) % 5] + noise).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cache, hashes = VectorCache(folder, "test"), [f"{number}-{place}" for place in range(count)]
        cache.add(hashes, vectors)
        texts[f"file_{number}"], texts[f"row_{number}"] = str(cache.path_of(hashes)), np.arange(count)
        columns.append(vectors)
    return texts, np.stack(columns)


def compare_by_hand(files: list[str], count: int, folder: Path, clustering: Clustering) -> Path:
    """What NeMo Curator's code writes, of clusters by number: the id modulo 5, and a last text that is alone."""
    tables = folder / "semdedup_pruning_tables"
    tables.mkdir(parents=True)
    frame = pd.concat([pd.read_parquet(file) for file in files])
    assert len(frame) == count
    cluster = np.where(frame["id"] == count - 1, 5, frame["id"] % 5)
    for number, part in frame.groupby(cluster):
        path, ids = tables / f"cluster_{number}.parquet", part["id"].to_numpy()
        if len(part) == 1:
            pd.DataFrame({"id": ids, "max_id": ids, "cosine_sim_score": [0]}, index=[3]).to_parquet(path)
            continue
        vectors = np.stack(part["embeddings"].to_list()).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        before = np.triu(vectors @ vectors.T, 1)
        scores = {"id": ids, "max_id": ids[before.argmax(axis=0)], "cosine_sim_score": before.max(axis=0)}
        pd.DataFrame(scores).to_parquet(path)
    return tables


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rapids, "require_rapids", lambda: None)
    monkeypatch.setattr(_rapids, "_require_client", lambda: None)
    monkeypatch.setattr(_rapids, "_compare", compare_by_hand)


@pytest.mark.parametrize("compared", [1, 2])
@pytest.mark.usefixtures("by_hand")
def test_pairs_are_the_nearest_before_in_a_cluster_at_exact_cosines(tmp_path: Path, compared: int) -> None:
    texts, vectors = located(tmp_path, compared)
    threshold = 0.9
    cosines = np.einsum("cid,cjd->cij", vectors.astype(float), vectors.astype(float))
    expected = {}
    for text in range(TEXTS - 1):
        before = [other for other in range(text) if other % 5 == text % 5]
        if before:
            nearest = max(before, key=lambda other: cosines[:, text, other].mean())
            similarity = cosines[:, text, nearest].min()
            if similarity >= threshold and (texts["new"][text] or texts["new"][nearest]):
                expected[text, nearest] = similarity
    pairs = find_with_rapids(texts, threshold, str(tmp_path))
    found = {(row.first, row.second): row.similarity for row in pairs.itertuples(index=False)}
    assert len(expected) > 20
    assert any(first >= TEXTS // 2 for first, _ in expected)
    assert found == pytest.approx(expected, abs=2e-6)
    above = pairs["similarity"].min() + 1e-5
    again = find_with_rapids(texts, above, str(tmp_path))
    assert len(again) == (pairs["similarity"] >= above).sum() < len(pairs), "exact cosines decide"
    assert [path.name for path in tmp_path.iterdir()] == ["test"], "what is temporary is removed"


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.usefixtures("by_hand")
def test_fewer_than_two_texts_have_no_pairs(tmp_path: Path, count: int) -> None:
    texts, _ = located(tmp_path)
    pairs = find_with_rapids(texts.iloc[:count], 0.5, str(tmp_path))
    assert pairs.empty
    assert list(pairs.columns) == ["first", "second", "similarity"]


def test_embeddings_lie_in_files_as_lists_by_position(tmp_path: Path) -> None:
    texts, vectors = located(tmp_path, compared=2)
    files = write_embeddings(texts, tmp_path / "out", rows_a_file=25)
    tables = [pq.read_table(file) for file in files]
    assert [len(table) for table in tables] == [25, 25, 10]
    assert tables[0].schema.types == [pa.int64(), pa.list_(pa.float32())]
    frame = pa.concat_tables(tables).to_pandas()
    assert list(frame["id"]) == list(range(TEXTS))
    assert (np.stack(frame["embeddings"].to_list()) == np.concatenate(vectors, axis=1)).all()
    with pytest.raises(DiskError, match="out: embeddings can't be written"):
        write_embeddings(texts, tmp_path / "out")


def test_output_that_lacks_texts_is_refused(tmp_path: Path) -> None:
    texts, _ = located(tmp_path)
    tables = compare_by_hand(write_embeddings(texts, tmp_path / "out"), TEXTS, tmp_path / "clusters", Clustering())
    assert len(read_matches(tables, TEXTS)) == TEXTS
    (tables / "cluster_2.parquet").unlink()
    with pytest.raises(CurationError, match=r"compared 48 of 60 texts"):
        read_matches(tables, TEXTS)
    with pytest.raises(CurationError, match=r"compared 0 of 60 texts"):
        read_matches(tmp_path / "nowhere", TEXTS)


def test_empty_clusters_are_closed_up(tmp_path: Path) -> None:
    for number in (1, 2, 5, 11):
        (tmp_path / f"nearest_cent={number}").mkdir()
        (tmp_path / f"nearest_cent={number}" / "part.0.parquet").write_text(str(number))
    assert close_gaps(tmp_path) == 4
    order = [(tmp_path / f"nearest_cent={place}" / "part.0.parquet").read_text() for place in range(4)]
    assert order == ["1", "2", "5", "11"]


@pytest.mark.parametrize(
    ("wanted", "count", "clusters"),
    [(None, 2, 1), (None, 10_000, 100), (None, 10**9, 10_000), (1000, 60, 60), (20, 60, 20), (50_000, 10**9, 50_000)],
)
def test_there_are_never_more_clusters_than_texts(wanted: int | None, count: int, clusters: int) -> None:
    assert Clustering(wanted).clusters_for(count) == clusters


def test_without_rapids_one_message_names_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rapids, "find_spec", lambda name: None if name != "cuml" else object())
    monkeypatch.setattr(_rapids, "_sees_a_gpu", lambda: False)
    texts, _ = located(tmp_path)
    text = dd.from_pandas(pd.DataFrame({"hash": ["a"], "text": ["b"]}), npartitions=1)
    message = r"want of cudf, dask_cudf, a CUDA device.*pip install '\.\[gpu\]'.*engine torch"
    with pytest.raises(MissingPackageError, match=message):
        find_with_rapids(texts, 0.9, str(tmp_path))
    with pytest.raises(MissingPackageError, match=message):
        encode_with_crossfit(text, VectorCache(tmp_path, "x"), str(tmp_path))


def test_without_a_cluster_there_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rapids, "require_rapids", lambda: None)
    monkeypatch.setattr("distributed.default_client", _no_client)
    with pytest.raises(CurationError, match="needs a Dask cluster of GPUs"):
        find_with_rapids(located(tmp_path)[0], 0.9, str(tmp_path))


def _no_client() -> None:
    raise ValueError("No clients found")


def test_crossfit_knows_two_poolings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_crossfit, "require_rapids", lambda: None)
    text = dd.from_pandas(pd.DataFrame({"hash": ["a"], "text": ["b"]}), npartitions=1)
    with pytest.raises(CurationError, match="pools by mean or last_token, not 'cls'"):
        encode_with_crossfit(text, VectorCache(tmp_path, "x"), str(tmp_path), pooling="cls")
    prints = {crossfit_fingerprint(encoder, pooling) for encoder in "ab" for pooling in ("mean", "last_token")}
    assert len(prints | {"a", "b"}) == 6


def test_a_stand_in_is_only_for_what_is_missing() -> None:
    try:
        _crossfit.stand_in("json.decoder", JSONDecoder=None)
        _crossfit.stand_in("json.missing_here", answer=42)
        _crossfit.stand_in("json.missing_here.below", answer=43)
        assert importlib.import_module("json.decoder").JSONDecoder is not None
        assert importlib.import_module("json.missing_here").answer == 42
        assert importlib.import_module("json.missing_here.below").answer == 43
    finally:
        for name in ("json.missing_here", "json.missing_here.below"):
            sys.modules.pop(name, None)


def test_token_numbers_become_tensors_where_crossfit_asks_for_them() -> None:
    numbers = np.array([[101, 7, 102]], dtype=np.int64)
    assert _crossfit._cast(numbers, "cp") is numbers
    tensor = _crossfit._cast(numbers, "pt")
    assert tensor.tolist() == [[101, 7, 102]]
    assert str(tensor.dtype) == "torch.int32"


def test_crossfit_gets_no_pickles_and_wants_weights(tmp_path: Path) -> None:
    model, copy, empty = write_tiny_encoder(tmp_path / "tiny"), tmp_path / "copy", tmp_path / "empty"
    (model / "mem_model.pkl").write_bytes(b"pickled")
    copy.mkdir()
    empty.mkdir()
    copy_model(model, copy)
    names = {path.name for path in copy.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "mem_model.pkl" not in names
    with pytest.raises(CurationError, match="no model with weights in safetensors"):
        copy_model(tmp_path / "nowhere", empty)


def test_partitions_without_rows_are_left_out() -> None:
    frame = pd.DataFrame({"id": range(4), "hash": list("abcd"), "text": list("wxyz")}, index=[7, 7, 9, 11])
    parts = [frame.iloc[:0], frame.iloc[:2], frame.iloc[:0], frame.iloc[2:]]
    texts = filled(dd.from_map(lambda number: parts[number], range(4), meta=frame.iloc[:0]))
    assert [list(part.index) for part in texts.partitions] == [[0, 1], [0, 1]]
    assert texts.compute().to_dict("list") == {"hash": list("abcd"), "text": list("wxyz")}


def test_lists_become_unit_vectors() -> None:
    vectors = unit_vectors(pa.array([[9.0, 9.0], [3.0, 4.0], [0.0, 2.0]], pa.list_(pa.float32())).slice(1))
    assert vectors.dtype == np.float32
    assert vectors.tolist() == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0]]))
    for bad in (0.0, math.nan):
        with pytest.raises(CurationError, match="no usable vectors"):
            unit_vectors(pa.array([[bad, 0.0]], pa.list_(pa.float32())))


def test_the_settings_of_every_release_are_known() -> None:
    from dataclasses import fields

    from nemo_curator.modules.config import SemDedupConfig

    defaults = {field.name: field.default for field in fields(SemDedupConfig)} | {"cache_dir": "cache"}
    assert from_curator(defaults) == {
        "threshold": 0.99,
        "encoder": EMBEDDED,
        "pooling": "mean",
        "keep": "hard",
        "rapids": {"n_clusters": 1000, "max_iter": 100, "random_state": 1234, "sim_metric": "cosine"},
    }
    oldest = {"seed": 7, "kmeans_with_cos_dist": False, "eps_thresholds": [0.1, 0.01], "eps_to_extract": 0.1}
    assert from_curator(oldest) == {"threshold": 0.9, "rapids": {"random_state": 7}}
    assert from_curator({"eps_thresholds": [0.07]}) == {"threshold": 0.93}
    assert from_curator({"embedding_model_name_or_path": "/models/e5", "embedding_pooling_strategy": "last_token"}) == {
        "encoder": "/models/e5",
        "pooling": "last_token",
    }
    assert from_curator(dict.fromkeys(WITHOUT_EFFECT)) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps_to_extrct": 0.1}, r"no setting 'eps_to_extrct'\. Did you mean 'eps_to_extract'\?"),
        ({"batched_cosine": 1}, r"Did you mean 'batched_cosine_similarity'\?"),
        ({"sim_metric": "cosin"}, r"sim_metric is one of cosine, l2, not 'cosin'\. Did you mean 'cosine'\?"),
        ({"which_to_keep": ["hard"]}, r"which_to_keep is one of hard, easy, random, not \['hard'\]"),
        ({"embedding_pooling_strategy": "mean"}, r"is one of mean_pooling, last_token, not 'mean'"),
        ({"eps_to_extract": 1}, r"eps_to_extract is a number from 0 to below 1, not 1"),
        ({"eps_to_extract": "0.1"}, r"not '0\.1'"),
        ({"n_clusters": True}, r"n_clusters is a whole number of at least 1, not True"),
        ({"seed": 1, "random_state": 2}, r"random_state contradicts another setting of the same: 2 and 1"),
        ({"eps_thresholds": [0.1, 0.2]}, r"say by eps_to_extract"),
        ({"eps_thresholds": [0.1, 0.2], "eps_to_extract": 0.3}, r"eps_to_extract 0\.3 is not among eps_thresholds"),
        ({"max_iter": 0, "embedding_model_name_or_path": 3}, r"max_iter is .*; embedding_model_name_or_path is "),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_curator(settings)


def test_what_has_no_effect_says_why() -> None:
    assert all(len(why.split()) > 4 for why in WITHOUT_EFFECT.values())


def _skip_without_rapids() -> None:
    try:
        _rapids.require_rapids()
    except MissingPackageError as error:
        pytest.skip(str(error))


@pytest.mark.gpu
@pytest.mark.parametrize("keep", ["hard", "easy", "random"])
def test_nemo_curator_finds_near_pairs(tmp_path: Path, keep: str) -> None:
    _skip_without_rapids()
    from curation.engine.cluster import connect

    texts, vectors = located(tmp_path)
    with connect(device="gpu"):
        pairs = find_with_rapids(texts, 0.9, str(tmp_path), Clustering(5, which_to_keep=keep))
        alone = find_with_rapids(texts, 0.9, str(tmp_path), Clustering(1000))
    exact = (vectors[0] @ vectors[0].T)[pairs["first"], pairs["second"]]
    assert len(pairs) > 20
    assert pairs["similarity"].to_numpy() == pytest.approx(exact, abs=1e-6)
    assert not pairs["first"].duplicated().any()
    assert len(alone) < len(pairs)


@pytest.mark.gpu
def test_crossfit_embeds_as_the_encoder_does(tmp_path: Path) -> None:
    _skip_without_rapids()
    from curation.engine.cluster import connect

    model = str(write_tiny_encoder(tmp_path / "tiny"))
    words = ["what is a fence", "who pays", "a contract", "a verbal contract"]
    frame = pd.DataFrame({"hash": [hash_of(text) for text in words], "text": words})
    cache = VectorCache(tmp_path / "cache", crossfit_fingerprint(Encoder(model).fingerprint, "mean"))
    with connect(device="gpu"):
        encode_with_crossfit(dd.from_pandas(frame, npartitions=2), cache, model)
    found = load_vectors(cache.folder, cache.fingerprint, list(frame["hash"]))
    assert (found * Encoder(model).encode(words)).sum(axis=1) == pytest.approx(1, abs=1e-3)
