"""Datasets of Hugging Face, from a folder."""

from __future__ import annotations

from pathlib import Path

import datasets
import pandas as pd
import pytest

from curation.core.errors import InputError
from curation.sources.hf_dataset import HfDataset
from tests.sources.helpers import collect, rows


def made(count: int) -> datasets.Dataset:
    texts = [f"text {number}" for number in range(count)]
    return datasets.Dataset.from_dict({"key": texts, "question": texts, "answer": texts, "label": [1] * count})


def test_a_saved_folder_in_any_partitions(tmp_path: Path) -> None:
    made(20).select(range(3, 13)).save_to_disk(tmp_path / "set")
    whole = HfDataset(str(tmp_path / "set"), columns={"id": "key"})
    small = HfDataset(str(tmp_path / "set"), columns={"id": "key"}, partition_bytes=100)
    assert small.read().npartitions > 1
    pd.testing.assert_frame_equal(collect(whole), collect(small))
    first = rows(whole)[0]
    assert (first["id"], first["line"], first["file_name"], first["extra"]) == ("text 3", 1, "set", '{"label":1}')
    assert whole.fingerprint() == small.fingerprint()


def test_splits(tmp_path: Path) -> None:
    datasets.DatasetDict({"train": made(2), "test": made(1), "none": made(0)}).save_to_disk(tmp_path / "set")
    assert len(collect(HfDataset(str(tmp_path / "set")))) == 2
    assert len(collect(HfDataset(str(tmp_path / "set"), split="test"))) == 1
    with pytest.raises(InputError, match=r"no split 'tset'. Did you mean 'test'\? It has: train, test"):
        HfDataset(str(tmp_path / "set"), split="tset").read()
    with pytest.raises(InputError, match="no rows"):
        HfDataset(str(tmp_path / "set"), split="none").read()


def test_missing_columns_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(2).save_to_disk(tmp_path / "set")
    with pytest.raises(InputError, match="no column 'prompt'"):
        HfDataset(str(tmp_path / "set"), columns={"question": "prompt"}).read()
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="without a network"):
        HfDataset(str(tmp_path / "gone")).read()
