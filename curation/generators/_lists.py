"""Lists that a teacher fills, without repeats: what it offers again is dropped, and others are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from curation.core.errors import RecordError, ReplyError
from curation.core.pairs import normalize
from curation.core.parse import is_refusal, read_json, read_list

if TYPE_CHECKING:
    from curation.core.vectors import Vectors

_DECIMALS: Final = 6
"""Of a cosine: what single precision can tell."""


@dataclass
class Listing:
    """A list of texts that a teacher is asked for.

    Args:
        wanted: how many texts it is to hold.
        about: what the teacher is told of it, by name.
        titles_only: whether an item is its title alone, without an explanation behind it.
        known: what the teacher is shown as an example: to offer it again is an echo.
        items: what it holds so far.
        repeats: what was offered, but is held already, by another list perhaps, or is an echo.
        echoes: those that the last reply offered.
        reason, detail: why it lacks the rest, as the ledger says it.
        ended: whether asking again is of no use.
    """

    wanted: int
    about: dict[str, Any]
    titles_only: bool = False
    known: tuple[str, ...] = ()
    items: list[str] = field(default_factory=list)
    repeats: list[str] = field(default_factory=list)
    echoes: list[str] = field(default_factory=list)
    reason: str = "missing_variant"
    detail: str = ""
    ended: bool = False

    @property
    def missing(self) -> int:
        """How many texts it lacks."""
        return self.wanted - len(self.items)

    @property
    def taken(self) -> list[str]:
        """What must not be offered again."""
        return list(dict.fromkeys([*self.known, *self.items, *self.repeats]))

    @property
    def lacks(self) -> list[tuple[str, str]]:
        """Reason and detail, as the ledger says them, of each text that it lacks."""
        echoes = [("echo", text) for text in self.echoes[: self.missing]]
        return echoes + [(self.reason, self.detail)] * (self.missing - len(echoes))


class Distinct:
    """Says of texts whether they repeat one that was kept: equal after `pairs.normalize`, or too similar in meaning.

    Args:
        threshold: the cosine from which on two texts mean the same; None: only equal ones do.
        encoder: see `core.encoder.Encoder`; loaded when it is first needed.
        context: what stands before each text when its meaning is compared: a name alone says little.
    """

    def __init__(self, threshold: float | None, encoder: str, context: str = "") -> None:
        self.threshold = threshold
        self.encoder = encoder
        self.context = context
        self._forms: dict[str, str] = {}
        self._kept: list[tuple[str, Vectors]] = []

    def fill(self, listings: Sequence[Listing], offers: Sequence[Sequence[str]]) -> None:
        """Puts what was offered for each list into it, in order, as far as it is new and there is room."""
        if not any(offers):
            return  # no encoder is loaded for nothing
        known = [text for listing in listings for text in listing.known if normalize(text) not in self._forms]
        vectors = iter(self._vectors([*known, *(text for offer in offers for text in offer)]))
        for text in known:
            self._keep(text, next(vectors))
        for listing, offer in zip(listings, offers, strict=True):
            for text in offer:
                vector = next(vectors)
                if listing.missing <= 0:
                    continue
                twin = self._twin(text, vector)
                if twin is None:
                    self._keep(text, vector)
                    listing.items.append(text)
                    continue
                listing.repeats.append(text)
                if twin in listing.known:
                    listing.echoes.append(text)

    def _vectors(self, texts: Sequence[str]) -> Sequence[Any]:
        if self.threshold is None or not texts:
            return [None] * len(texts)
        from curation.core.encoder import Encoder

        return list(Encoder(self.encoder).encode([self.context + text for text in texts]))

    def _twin(self, text: str, vector: Any) -> str | None:
        """The first text kept that this one repeats."""
        equal = self._forms.get(normalize(text))
        if equal is not None or vector is None:
            return equal
        assert self.threshold is not None
        # One by one, so that a cosine's bits don't depend on how many others there are.
        near = (kept for kept, other in self._kept if round(float(vector @ other), _DECIMALS) >= self.threshold)
        return next(near, None)

    def _keep(self, text: str, vector: Any) -> None:
        self._forms.setdefault(normalize(text), text)
        if vector is not None:
            self._kept.append((text, vector))


def check_threshold(name: str, bound: float | None) -> None:
    """Raises ValueError for a cosine from which on everything, or nothing, means the same."""
    if bound is not None and not 0 < bound <= 1:
        raise ValueError(f"{name} must be above 0 and at most 1, not {bound}")


Read = Callable[[str], list[str]]
"""What a reply offers; raises ReplyError."""


async def fill(
    listings: Sequence[Listing],
    distinct: Distinct,
    ask: Callable[[Listing, int], Awaitable[str]],
    max_calls: int,
    read: Read | None = None,
) -> None:
    """Asks for what the lists lack, all of them at a time, until they are full or each was asked for `max_calls` times.

    The replies of one turn are gone through in the order of the lists, so that who repeats whom does not depend on
    which reply comes first.

    Args:
        ask: the reply to the request for a list, by the list and the number of the turn.
        read: what a reply offers; by default the items of `read_list`.
    """
    for turn in range(max_calls):
        waiting = [listing for listing in listings if listing.missing > 0 and not listing.ended]
        if not waiting:
            return
        offers = await asyncio.gather(*(_offer(listing, ask, turn, read) for listing in waiting))
        # An encoder works for a while: the replies to others must not wait for it.
        await asyncio.to_thread(distinct.fill, waiting, offers)


async def _offer(
    listing: Listing, ask: Callable[[Listing, int], Awaitable[str]], turn: int, read: Read | None
) -> list[str]:
    """What the teacher names; the list notes why it names nothing."""
    listing.echoes = []
    try:
        text = await ask(listing, turn)
        items = read(text) if read else read_list(text, titles_only=listing.titles_only)
    except RecordError as error:
        # Only a reply that could not be read may be another the next time.
        listing.ended = not isinstance(error, ReplyError) or error.reason == "refusal"
        is_first = not listing.items and not listing.repeats
        listing.reason = error.reason if listing.ended or is_first else "missing_variant"
        listing.detail = error.detail
        return []
    listing.reason, listing.detail = "missing_variant", text
    return [item for item in items if is_sound(item)]


def read_items(text: str) -> list[str]:
    """The texts of a reply in the form `{"items": ["…", "…"]}`, of any other those of `read_list`.

    In that form code, tables and numbered steps stay as they are, of which `read_list` takes the markup off.

    Raises:
        ReplyError: as `read_list`.
    """
    try:
        value = read_json(text)
    except ReplyError:
        value = None
    items = value.get("items") if isinstance(value, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return read_list(text)
    if len(items) == 1 and is_refusal(items[0]):
        raise ReplyError("refusal", text)
    return [item.strip() for item in items if any(map(str.isalnum, item))]


def is_sound(text: str) -> bool:
    """Whether a record may hold the text: no NUL character, no half of a surrogate pair."""
    return "\0" not in text and text == text.encode("utf-8", "replace").decode()
