"""How long examples are: in a tokenizer's tokens, as trainers count them, or in words where there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from curation.core.records import Record, digest

_BATCH: Final = 256
_ANY_LENGTH: Final = 2**31  # whoever asks how long a text is need not be warned that it is long
_FILES: Final = {".json", ".jinja", ".txt", ".model", ".tiktoken"}
"""A tokenizer's files, by how their names end."""


class Length(NamedTuple):
    """The length of an example.

    Args:
        input, output: of the prompt's two texts; in tokens, with those that begin and end a sequence.
        example: of the longer one of both forms.
    """

    input: int
    output: int
    example: int


class Words:
    """Counts what white space keeps apart.

    Args:
        name: of the tokenizer: none.
    """

    unit = "words"
    name: str | None = None

    def lengths(self, examples: Sequence[Record], chats: Sequence[Record]) -> list[Length]:
        """Of each example, which `chats` has in the same place as a chat."""
        pairs = [(len(one["input"].split()), len(one["output"].split())) for one in examples]
        return [Length(asked, answer, asked + answer) for asked, answer in pairs]


class Tokens:
    """Counts by a tokenizer in a folder; nothing is ever fetched.

    Args:
        folder: with the tokenizer's files, as transformers saves them.

    Raises:
        ValueError: it can't be read, or its chat template takes no system message.
    """

    unit = "tokens"

    def __init__(self, folder: Path) -> None:
        self.name: str | None = folder.absolute().name
        self._tokenizer = _load(folder)

    def lengths(self, examples: Sequence[Record], chats: Sequence[Record]) -> list[Length]:
        """Of each example, which `chats` has in the same place as a chat."""
        asked = self._counts([one["input"] for one in examples], special=True)
        answers = self._counts([f" {one['output']}" for one in examples], special=False)
        chatted = self._chats([one["messages"] for one in chats])
        return [
            Length(begun, rest + 1, max(begun + rest + 1, chat))  # and the token that ends it
            for begun, rest, chat in zip(asked, answers, chatted, strict=True)
        ]

    def _counts(self, texts: list[str], special: bool) -> list[int]:
        if not texts:
            return []
        return [len(ids) for ids in self._tokenizer(texts, add_special_tokens=special)["input_ids"]]

    def _chats(self, chats: Sequence[Any]) -> list[int]:
        if self._tokenizer.chat_template is None:
            return [0] * len(chats)
        return [len(ids) for ids in self._tokenizer.apply_chat_template(list(chats))] if chats else []


Counter = Words | Tokens


def fingerprint(folder: Path) -> str:
    """A hash of the tokenizer's files.

    Raises:
        OSError: one can't be read.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in _FILES and path.is_file())
    return digest(*(f"{path.name}:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files))


def in_batches(pairs: Iterable[tuple[Record, Record]], counter: Counter) -> Iterator[Length]:
    """The lengths of examples, each of which comes with its chat."""
    iterator = iter(pairs)
    while batch := list(islice(iterator, _BATCH)):
        yield from counter.lengths([example for example, _ in batch], [chat for _, chat in batch])


def summary(lengths: Iterable[Length]) -> dict[str, Any]:
    """How many examples, and of each length: `min`, `mean`, `p50`, `p95`, `max`; null where there is no example."""
    table = np.array(list(lengths), dtype="int64").reshape(-1, len(Length._fields))
    columns = zip(Length._fields, table.T, strict=True)
    return {"examples": len(table), **{name: _figures(values) for name, values in columns}}


def _figures(values: np.ndarray[Any, np.dtype[np.int64]]) -> Mapping[str, float | int | None]:
    if not len(values):
        return dict.fromkeys(("min", "mean", "p50", "p95", "max"))
    p50, p95 = (int(value) for value in np.percentile(values, [50, 95], method="inverted_cdf"))
    return {
        "min": int(values.min()),
        "mean": round(float(values.mean()), 1),
        "p50": p50,
        "p95": p95,
        "max": int(values.max()),
    }


def _load(folder: Path) -> Any:
    """The tokenizer, once it is known to count chats."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; a tokenizer is never downloaded here: save it with transformers")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, model_max_length=_ANY_LENGTH
        )
    except Exception as error:  # of many kinds, depending on what is broken
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{folder} holds no tokenizer that can be read: {reason}") from error
    if tokenizer.chat_template is not None:
        from jinja2 import TemplateError

        turns = [{"role": role, "content": "a"} for role in ("system", "user", "assistant")]
        try:
            tokenizer.apply_chat_template(turns)
        except TemplateError as error:
            raise ValueError(f"{folder}: the chat template takes no system message ({error})") from error
    return tokenizer
