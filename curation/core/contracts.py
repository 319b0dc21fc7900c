"""What each kind of component promises. Modifiers and filters are NeMo Curator's own kinds: `core/nemo.py`.

Components take plain arguments (never the plan), hold no open handles and pickle: they travel to workers.
Every public argument of `__init__` is kept under its own name, so that a component can be shown and compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from curation.core.errors import RecordError

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

    from curation.core.ratings import Scale
    from curation.core.records import Record


class Message(TypedDict):
    """One turn of a conversation, as OpenAI's chat API takes it."""

    role: str
    content: str


@dataclass(frozen=True)
class Usage:
    """Tokens that one request cost, as the endpoint counted them (0 where it does not say)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class Completion:
    """A model's reply.

    Args:
        texts: one text per choice; never empty.
        finish_reason: of the first choice: `stop`, `length` (the reply was cut), …
        usage: tokens of the whole request.
        logprobs: (token, log probability) pairs of the first choice, where the endpoint sends them.
        model: the name by which the endpoint calls the model.
    """

    texts: tuple[str, ...]
    finish_reason: str | None = None
    usage: Usage = Usage()
    logprobs: tuple[tuple[str, float], ...] | None = None
    model: str = ""

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.texts[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Completion:
        """The reverse of `to_dict`, also after a trip through JSON (which turns tuples into lists)."""
        logprobs = value["logprobs"]
        return cls(
            texts=tuple(value["texts"]),
            finish_reason=value["finish_reason"],
            usage=Usage(**value["usage"]),
            logprobs=None if logprobs is None else tuple((token, number) for token, number in logprobs),
            model=value["model"],
        )


Scores = dict[str, float]
"""A critic's attributes, by name."""


class Source(ABC):
    """Where raw records come from."""

    @abstractmethod
    def read(self) -> dd.DataFrame:
        """A lazy table with the columns of `records.SCHEMA`, and `_reason`, `_detail` set on rows that can't be used.

        Nothing is dropped here: the read stage moves marked rows to the ledger. `_reason` is `unanswered` (not a
        fault), or one of `sources._faults.BAD_INPUT` (counted against `max_bad_ratio`); `_detail` names file and line.

        Raises:
            InputError: nothing at all can be read, with the path and what to do.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when the input changes (paths, sizes and modification times, or a checksum)."""


class Deduper(ABC):
    """Finds duplicates; removing them is the stage's affair."""

    threshold: float
    """Lowest similarity of a pair that `find` answers with (1.0 for an exact deduper)."""

    @abstractmethod
    def find(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.DataFrame:
        """All pairs of duplicates within `table`, and between `table` and `against` (not within `against`).

        Returns:
            Columns `id`, `kept_id` (the better of the two), `similarity`; sorted by (`id`, `kept_id`); the same rows
            whatever the partitions, workers and order of the input. Pairs may be left out that change neither who
            leaves at `threshold` (`pairs.keep_best`) nor, without `against`, what belongs together; a pair without a
            similarity says that two records belong together over others.
        """

    def rank(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.Series | None:
        """Each record's place, by id, in the order by which `find` tells the better one; None: `quality_rank`'s."""
        return None

    def match(self, table: dd.DataFrame, against: dd.DataFrame) -> pd.DataFrame:
        """Each record of `table` that has a duplicate in `against`, with the most similar one, or the smallest id.

        Args:
            table: records, whose ids are none of `against`.
            against: what they are compared with.

        Returns:
            Columns `id` (of `table`), `kept_id` (of `against`), `similarity`; sorted by `id`.
        """
        from curation.core.pairs import best_across

        return best_across(self.find(table, against), table["id"].compute())


class ChatModel(ABC):
    """A language model that answers conversations."""

    name: str
    """What the lineage calls it."""

    @property
    def identity(self) -> str:
        """All that a reply depends on besides the request; what is kept of another is none of this model's."""
        return self.name

    @abstractmethod
    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        """Asks once.

        Args:
            messages: the conversation so far.
            sampling: OpenAI's names: `temperature`, `top_p`, `max_tokens`, `seed`, `n`, `stop`, `response_format`.

        Raises:
            EndpointError: every request will fail alike (key, model, address).
            RequestError: this request fails for good.
        """

    async def close(self) -> None:  # noqa: B027 - most models hold nothing open
        """Closes what `chat` opened; the model may be used again afterwards, in another event loop too."""


class Generator(ABC):
    """Writes new records from one."""

    needs_model: ClassVar[bool]
    """Whether `expand` asks a teacher."""
    variants: int
    """How many records it tries to write from each parent: what is missing goes to the ledger."""

    @abstractmethod
    async def expand(self, record: Record, model: ChatModel | None) -> list[Record]:
        """Drafts from `record`: the text columns they change, `strategy`, `model`, `prompt_id`.

        The stage completes them with ids and lineage (`records.child`). A draft that can't be used is handed over
        with `records.rejected`, so that the ledger has the reply's text.

        Raises:
            RecordError: no draft at all came of it.
        """

    async def rehearse(self, record: Record, model: ChatModel | None) -> list[Record]:
        """Asks, for a dry run, all that `expand` would ask if nothing had to be asked again.

        Args:
            model: fails every request as a RequestError, and counts it; None for a generator that asks nobody.

        Returns:
            Drafts about as long as `expand`'s: by default without texts of their own, which stand for the parent's.
        """
        if model is not None:
            with suppress(RecordError):
                await self.expand(record, model)
        return [{} for _ in range(self.variants)]


class Critic(ABC):
    """Scores one record."""

    needs_model: ClassVar[bool]
    """Whether `judge` asks a model."""
    asks: ClassVar[str | None] = None
    """The kind of model that it always asks, made of its own arguments; None: any that the plan names."""

    @property
    def gives(self) -> Mapping[str, Scale | None] | None:
        """Every attribute that `judge` may answer with, and its scale where it is a whole number on one.

        None where they are not known beforehand: then no rule over them can be checked before the run.
        """
        return None

    def fingerprint(self) -> str:
        """What its scores depend on besides its source and its arguments, such as a hash of a file that it has read."""
        return ""

    @abstractmethod
    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        """The attributes of `record`, which was generated from `parent`.

        Raises:
            RecordError: it could not be scored; the record goes to the ledger, never to a default number.
        """

    def grade(self, scores: Scores) -> float:
        """What stands for people's votes in `question_score` and `answer_score`; 0 is neutral."""
        return 0.0


@dataclass(frozen=True)
class Refusal:
    """A record that a form can't take: `reason` and the rest are the ledger's columns of that name."""

    id: str
    reason: str
    field: str | None = None
    score: float | None = None
    bound: str | None = None


@dataclass(frozen=True)
class Exported:
    """What an exporter's files were made of.

    Args:
        counts: records handed to `write`, by split, then by origin.
        licenses: records by the license that their source names for them; those without one are not counted.
        refused: records in the ledger, by reason.
        run: what the plan and the run tell of how the records came about; empty unless `tells_run`.
    """

    counts: Mapping[str, Mapping[str, int]]
    licenses: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)


class Exporter(ABC):
    """Writes splits for those who train on them."""

    folder: str
    """Where its files lie below the output folder, such as `final` or `handoff/qa`."""
    needs_left: ClassVar[bool] = False
    """Whether it writes new records as well that did not get into the dataset: then `write_left` is called."""
    tells_run: ClassVar[bool] = False
    """Whether `finish` tells how the records came about: then its files depend on the plan and the run's counts."""

    def fingerprint(self) -> str:
        """What its files depend on besides its source, its arguments and the records, such as a hash of a file."""
        return ""

    def refuse(self, rows: Sequence[Record]) -> list[Refusal]:
        """The records among `rows` that this form can't take: they go to the ledger, and `write` never sees them."""
        return []

    @abstractmethod
    def write(self, split: str, rows: Sequence[Record], folder: Path) -> int:
        """Appends `rows` (a batch of a split's records, in order of id; perhaps none) to the split's file in `folder`.

        Returns:
            How many of them were written: one that this form is not for is left out.
        """

    def write_left(self, rows: Sequence[Record], folder: Path) -> None:  # noqa: B027 - most exporters write none
        """Appends synthetic `rows` that left, as the ledger has them: stage by stage, in order of id within each.

        Each has its reason in `records.REASON`.
        """

    def finish(self, folder: Path, exported: Exported) -> Mapping[str, Any]:
        """Called once, after all rows: writes what tells of all of them.

        Returns:
            Plain values for the manifest's settings; `splits` in them stands for the counts that `write` answered with.
        """
        return {}
