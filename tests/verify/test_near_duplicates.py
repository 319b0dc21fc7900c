"""Near duplicates in two splits, and vectors that prove nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation.core.pairs import compared_texts
from curation.core.vectors import VectorCache, hash_of, take
from curation.verify import near_duplicates
from tests.verify.broken import failing, lines, name_of


class TestNearDuplicates:
    def replace_vectors(self, root: Path, work: Callable[[dict[str, Any]], None]) -> None:
        """Writes the cache anew, after `work` has changed the vectors by id."""
        rows = pd.concat([pd.DataFrame(lines(path)) for path in sorted((root / "final").glob("*.jsonl"))])
        hashes = [hash_of(text) for text in compared_texts(rows, "question")[0]]
        folder = root / "embeddings"
        index = VectorCache(folder, "encoder-1").index().reindex(hashes)
        vectors = take(index["file"].to_numpy(dtype=object), index["row"].to_numpy(dtype="int64"))
        by_id = dict(zip(rows["id"], vectors, strict=True))
        work(by_id)
        shutil.rmtree(folder)
        kept = [(key, by_id[name]) for key, name in zip(hashes, rows["id"], strict=True) if name in by_id]
        VectorCache(folder, "encoder-1").add([key for key, _ in kept], np.stack([vector for _, vector in kept]))

    @pytest.mark.parametrize(("cosine", "leaks"), [(0.91, True), (0.9001, True), (0.8999, False)])
    def test_two_splits_hold_near_records(self, run: Path, cosine: float, leaks: bool) -> None:
        one, other = (lines(run / f"final/{split}.jsonl")[0]["id"] for split in ("train", "validation"))

        def approach(vectors: dict[str, Any]) -> None:
            across = vectors[other] - (vectors[other] @ vectors[one]) * vectors[one]
            across /= np.linalg.norm(across)
            vectors[other] = (cosine * vectors[one] + np.sqrt(1 - cosine**2) * across).astype(np.float32)

        self.replace_vectors(run, approach)
        expected = {"near": f"FAIL  {name_of('near')}: {one} (train) and {other} (validation): cosine {cosine:.4f}"}
        assert failing(run) == (expected if leaks else {})

    def test_blocks_change_nothing(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        one, other = (lines(run / f"final/{split}.jsonl")[-1]["id"] for split in ("train", "test"))
        self.replace_vectors(run, lambda vectors: vectors.update({one: vectors[other]}))
        whole = failing(run)["near"]
        monkeypatch.setattr(near_duplicates, "_BLOCK", 2)
        assert failing(run)["near"] == whole
        assert f"{one} (train) and {other} (test)" in whole

    def test_a_vector_is_gone(self, run: Path) -> None:
        gone = lines(run / "final/test.jsonl")[0]["id"]
        self.replace_vectors(run, lambda vectors: vectors.pop(gone))
        assert f"record {gone} has no vector" in failing(run)["near"]

    def test_a_vector_is_damaged(self, run: Path) -> None:
        damaged = lines(run / "final/test.jsonl")[0]["id"]
        self.replace_vectors(run, lambda vectors: vectors.update({damaged: 3 * vectors[damaged]}))
        assert f"record {damaged} has a damaged vector" in failing(run)["near"]

    def test_no_vectors_prove_nothing(self, run: Path) -> None:
        shutil.rmtree(run / "embeddings")
        (run / "embeddings/encoder-1").mkdir(parents=True)
        assert "has no vector in embeddings/" in failing(run)["near"]
