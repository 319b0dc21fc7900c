"""What models of local weights share: where the weights lie, how they load, how requests become batches.

A process holds each model's weights once, and one thread at a time uses them: whatever waits when the model becomes
free is run together, whichever event loop, thread or component it comes from.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from curation.core.contracts import ChatModel
from curation.core.errors import CurationError, EndpointError, InputError, RequestError
from curation.core.records import digest

if TYPE_CHECKING:
    import torch

DEVICES: Final = ("auto", "cpu", "gpu")
DTYPES: Final = ("auto", "float32", "bfloat16", "float16")

_QUIET: Final = 0.01
"""Seconds without a further request after which a batch that is not full begins: callers come in swarms."""
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_FILES: Final = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")  # what is fetched; never pickled weights

_SAMPLE: Final = 1 << 20
"""Bytes of a file of weights of which a hash is made at a time."""

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Weights:
    """Which weights run where: what equals in this is loaded once.

    Args:
        path: a folder, or a name on the Hugging Face hub.
        device: one of `DEVICES`; `auto` is the GPU that this process sees first, and the CPU where it sees none.
        dtype: one of `DTYPES`; `auto` is float32 on a CPU, and on a GPU what the weights are stored in.
        auto_class: the class of transformers that loads them.
    """

    path: str
    device: str
    dtype: str
    auto_class: str


@dataclass(frozen=True)
class Limits:
    """How large a batch may be: its rows, and its tokens, which are rows times the longest prompt and reply."""

    rows: int
    tokens: int


@dataclass(eq=False)
class Row(Generic[Asked, Answer]):
    """One line of a batch.

    Args:
        asked: what a component asks for.
        limits: the component's.
        future: gets the answer; cancelled where nobody waits for it any more.
        inputs: by `Network.encode`: the network's inputs by name, each with one number a token.
        room: by `Network.encode`: how many tokens its reply may have.
    """

    asked: Asked
    limits: Limits
    future: Future[Answer] = field(default_factory=Future)
    inputs: dict[str, list[int]] = field(default_factory=dict)
    room: int = 0

    @property
    def length(self) -> int:
        """The prompt's tokens."""
        return len(self.inputs["input_ids"])

    def answer(self, answer: Answer) -> None:
        """Hands the answer to whoever waits for it."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Hands an error to whoever still waits for an answer."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Network(ABC, Generic[Asked, Answer]):
    """Loaded weights, which one thread at a time uses.

    Raises:
        EndpointError: they can't be loaded.
    """

    positions: int
    """The longest sequence, in tokens, that it takes."""

    @abstractmethod
    def __init__(self, weights: Weights) -> None: ...

    @abstractmethod
    def encode(self, row: Row[Asked, Answer]) -> None:
        """Sets `inputs` and `room`.

        Raises:
            EndpointError: nothing can be asked of this model in this way.
            RequestError: `bad_request`: too long, or no conversation that the model knows.
        """

    @abstractmethod
    def run(self, rows: Sequence[Row[Asked, Answer]]) -> None:
        """Answers each of the rows."""


class LocalModel(ChatModel):
    """A model whose weights are loaded in the process that first asks it, and only once there.

    It pickles without them, and `close` leaves them where they are.

    Raises:
        InputError: no such folder, or not one of weights that `auto_class` loads.
        ValueError: an argument that can't be.
    """

    auto_class: ClassVar[str]
    network: ClassVar[type[Network[Any, Any]]]

    def __init__(
        self, path: str, device: str, dtype: str, batch_size: int, batch_tokens: int, name: str | None = None
    ) -> None:
        for what, value, known in (("device", device, DEVICES), ("dtype", dtype, DTYPES)):
            if value not in known:
                raise ValueError(f"{what} is {', '.join(known[:-1])} or {known[-1]}, not '{value}'")
        if batch_size < 1 or batch_tokens < 1:
            raise ValueError(f"batch_size and batch_tokens are at least 1, not {batch_size} and {batch_tokens}")
        folder = Path(path).expanduser()
        if folder.is_dir():
            check_folder(folder, self.auto_class)
        elif not _may_be_on_hub(path):
            raise InputError(f"there is no folder {folder}: give the one that holds the model's config.json")
        self.path = path
        self.device = device
        self.dtype = dtype
        self.batch_size = batch_size
        self.batch_tokens = batch_tokens
        self.name = name or (folder.absolute().name if folder.is_dir() else path)

    @property
    def identity(self) -> str:
        """The name, and a hash of the weights and of all that is set: other weights in the same folder are another.

        Of a file of weights its size and a few samples count: all of its values change when a model is trained.
        """
        folder = Path(self.path).expanduser()
        counts_not = {"device", "batch_size", "batch_tokens", *(["path"] if folder.is_dir() else [])}
        settings = {name: value for name, value in vars(self).items() if name not in counts_not}
        files = sorted({file for pattern in _FILES for file in folder.glob(pattern)}) if folder.is_dir() else []
        samples = [sample for file in files for sample in (file.name, *_samples(file))]
        return f"{self.name}@{digest(json.dumps(settings, sort_keys=True, default=str), *samples)}"

    async def _ask(self, asked: Any) -> Any:
        """The network's answer.

        Raises:
            EndpointError: the weights can't be loaded, or can't be asked in this way.
            RequestError: this request can't be answered.
        """
        return await self._batcher().ask(asked, Limits(self.batch_size, self.batch_tokens))

    def _batcher(self) -> Batcher[Any, Any]:
        """The one that all components of this process with the same weights share."""
        folder = Path(self.path).expanduser()
        path = str(folder.absolute()) if folder.is_dir() else self.path
        weights = Weights(path, self.device, self.dtype, self.auto_class)
        with _opening:
            if weights not in _batchers:
                _batchers[weights] = Batcher(partial(self.network, weights))
            return _batchers[weights]


def _samples(file: Path) -> list[bytes]:
    """The file's size, and its content: all of a small one, of a large one some of its beginning, middle and end."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= 8 * _SAMPLE:
            return [stream.read()]
        parts = [str(size).encode()]
        for start in (0, size // 2, size - _SAMPLE):
            stream.seek(start)
            parts.append(stream.read(_SAMPLE))
        return parts


def check_folder(folder: Path, auto_class: str) -> None:
    """Looks at a model's folder without loading anything.

    Raises:
        InputError: it lacks its configuration or its weights, or they are another kind of model's.
    """
    config = _config_in(folder)
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        hint = "pickled weights are never loaded, save them as safetensors" if pickled else "are they elsewhere?"
        raise InputError(f"{folder} has no weights (*.safetensors): {hint}")
    known, what = _KINDS[auto_class]
    architectures = [str(name) for name in config.get("architectures") or ()]
    strange = architectures and not any(name.endswith(known) for name in architectures)
    if strange or config.get("is_encoder_decoder"):
        raise InputError(f"{folder} holds {', '.join(architectures) or 'an encoder and a decoder'}, which is no {what}")


_KINDS: Final = {
    "AutoModelForCausalLM": (
        ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration"),
        "causal language model: a teacher writes text from left to right",
    ),
    "AutoModelForSequenceClassification": (
        ("ForSequenceClassification",),
        "sequence classifier: a reward model gives numbers to a conversation",
    ),
}


def _config_in(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        adapter = (folder / "adapter_config.json").exists()
        hint = "an adapter has to be merged into its model first" if adapter else "is it the folder of a model?"
        raise InputError(f"{folder} has no config.json: {hint}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'config.json'} can't be read: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{folder / 'config.json'} is no model's configuration")
    return config


def _may_be_on_hub(path: str) -> bool:
    """Whether it looks like a hub's name, and not like a place in a folder of this machine."""
    owner, slash, _ = path.partition("/")
    return _HUB_NAME.fullmatch(path) is not None and not Path(path).exists() and not (slash and Path(owner).is_dir())


@dataclass(frozen=True)
class Loaded:
    """What `load` has loaded.

    Args:
        tokenizer, network: of transformers.
        folder: where they come from.
        device: PyTorch's name of where the network is.
    """

    tokenizer: Any
    network: Any
    folder: Path
    device: str

    def padded(self, rows: Sequence[Sequence[int]], fill: int, left: bool) -> torch.Tensor:
        """Rows of tokens as one matrix on the device; shape (rows, longest row)."""
        import torch

        width = max(map(len, rows))
        filled = [[fill] * (width - len(row)) for row in rows]
        whole = [[*some, *row] if left else [*row, *some] for row, some in zip(rows, filled, strict=True)]
        return torch.tensor(whole, device=self.device)


def load(weights: Weights) -> Loaded:
    """Loads tokenizer and network, from files of this machine alone once they are there.

    Raises:
        EndpointError: they can't be loaded, some of them are missing, or no GPU is here.
    """
    import torch

    if weights.device == "gpu" and not torch.cuda.is_available():
        raise EndpointError("device gpu: PyTorch finds no CUDA device here; use cpu, or install PyTorch for CUDA")
    device = "cuda" if weights.device != "cpu" and torch.cuda.is_available() else "cpu"
    folder = _fetched(weights.path)
    dtype = weights.dtype if weights.dtype != "auto" or device == "cuda" else "float32"
    try:
        check_folder(folder, weights.auto_class)
        tokenizer, network, missing = _from_pretrained(folder, weights.auto_class, dtype)
        if not missing:
            return Loaded(tokenizer, network.eval().to(device), folder, device)
    except CurationError as error:
        raise EndpointError(str(error)) from None
    except Exception as error:  # as many kinds as there are kinds of damage
        raise EndpointError(f"the weights in {folder} can't be loaded: {error}") from error
    raise EndpointError(f"the weights in {folder} are incomplete: {', '.join(sorted(missing)[:3])} would be random")


_loading = threading.Lock()  # transformers sets PyTorch's default dtype while it loads


def _from_pretrained(folder: Path, auto_class: str, dtype: str) -> tuple[Any, Any, Sequence[str]]:
    """Tokenizer, network and the names of weights that the files lack."""
    import transformers
    from transformers.utils import logging

    with _loading:
        verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            from_files = {"local_files_only": True, "trust_remote_code": False}
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **from_files)
            network, info = getattr(transformers, auto_class).from_pretrained(
                folder, use_safetensors=True, dtype=dtype, output_loading_info=True, **from_files
            )
        finally:
            logging.set_verbosity(verbosity)
            if bars:
                logging.enable_progress_bar()
    return tokenizer, network, info["missing_keys"]


def _fetched(path: str) -> Path:
    """The model's folder; a model of the hub is fetched where its files are not here yet."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(path, allow_patterns=list(_FILES), ignore_patterns=["consolidated*"]))
    except (OSError, ValueError) as error:
        raise EndpointError(
            f"model '{path}' is neither a folder, nor can it be fetched from the Hugging Face hub "
            f"({type(error).__name__}). Give a folder that holds its files, or fetch it where there is a network."
        ) from error


class Batcher(Generic[Asked, Answer]):
    """Collects what the callers of a process ask, and runs it in batches.

    Args:
        load: called once, in the thread that runs the batches.
    """

    def __init__(self, load: Callable[[], Network[Asked, Answer]]) -> None:
        self._load = load
        self._network: Network[Asked, Answer] | None = None
        self._waiting: list[Row[Asked, Answer]] = []
        self._changed = threading.Condition()
        self._serving = False

    async def ask(self, asked: Asked, limits: Limits) -> Answer:
        """The answer, once a batch had room for it.

        Raises:
            EndpointError: from loading.
            RequestError: from `Network.encode`, or where the device's memory can't hold this request by itself.
        """
        row = Row[Asked, Answer](asked, limits)
        with self._changed:
            self._waiting.append(row)
            self._changed.notify()
            if not self._serving:
                self._serving = True
                threading.Thread(target=self._serve, name="curation-weights", daemon=True).start()
        return await asyncio.wrap_future(row.future)

    def _serve(self) -> None:
        while rows := self._gathered():
            try:
                self._advance(rows)
            except Exception as error:
                for row in rows:
                    row.fail(error)

    def _gathered(self) -> list[Row[Asked, Answer]]:
        """All that waits, the oldest first; nothing where this thread may end."""
        with self._changed:
            self._waiting = [row for row in self._waiting if not row.future.done()]
            if not self._waiting:
                self._serving = False
                return []
            while len(self._waiting) < self._waiting[0].limits.rows and self._changed.wait(_QUIET):
                pass
            return list(self._waiting)

    def _advance(self, rows: Sequence[Row[Asked, Answer]]) -> None:
        """Encodes what has come, and runs one batch."""
        if self._network is None:
            self._network = self._load()
        for row in rows:
            if not row.inputs:
                try:
                    self._network.encode(row)
                except Exception as error:
                    row.fail(error)
        ready = [row for row in rows if not row.future.done()]
        if ready:
            _run(self._network, next_batch(ready, self._network.positions))


def next_batch(rows: Sequence[Row[Asked, Answer]], positions: int) -> list[Row[Asked, Answer]]:
    """The first row, so that none waits for ever, and those nearest to it in length, so that little is padded.

    The longest prompt and the longest reply of a batch fit into `positions` together: the network goes on with rows
    whose reply is finished until the last one is.
    """
    first, *others = rows
    batch, prompt, room = [first], first.length, first.room
    for row in sorted(others, key=lambda row: abs(row.length - first.length)):
        if len(batch) == first.limits.rows:
            break
        width = max(prompt, row.length) + max(room, row.room)
        if width <= positions and width * (len(batch) + 1) <= first.limits.tokens:
            batch, prompt, room = [*batch, row], max(prompt, row.length), max(room, row.room)
    return batch


def _run(network: Network[Asked, Answer], rows: Sequence[Row[Asked, Answer]]) -> None:
    """Runs a batch; one that the device's memory can't hold is halved."""
    import torch

    try:
        network.run(rows)
        for row in rows:  # one that is left would be run again and again
            row.fail(AssertionError("the network left a row without an answer"))
        return
    except torch.OutOfMemoryError as error:
        crowded = RequestError("bad_request", f"{error}")
    except Exception as error:
        for row in rows:
            row.fail(error)
        return
    torch.cuda.empty_cache()
    left = [row for row in rows if not row.future.done()]
    if len(rows) == 1:
        rows[0].fail(crowded)
    elif left:
        for part in (left[::2], left[1::2]):
            if part:
                _run(network, part)


_batchers: dict[Weights, Batcher[Any, Any]] = {}
_opening = threading.Lock()
