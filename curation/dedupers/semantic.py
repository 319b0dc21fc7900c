"""Records that mean nearly the same: all pairs of embeddings at or above a cosine, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.contracts import Deduper
from curation.core.encoder import EMBEDDED, Encoder
from curation.core.errors import PlanError
from curation.core.pairs import best_across, connected_groups, keep_best
from curation.core.records import HUMAN, digest
from curation.dedupers._blocks import DECIMALS, Block, Places
from curation.dedupers._embeddings import Hashes, Library, different_texts, folder_of, keys_of
from curation.dedupers._members import check_by, in_order, members, pairs_of_equals, pairs_of_near, partitions_of
from curation.dedupers._rapids import Clustering, find_with_rapids, require_rapids
from curation.dedupers._search import Search
from curation.dedupers._survey import BINS, Sampling

if TYPE_CHECKING:
    import dask.dataframe as dd

KEEPS: Final = ("best", "hard", "easy", "random")
ENGINES: Final = ("torch", "rapids")

LOWEST: Final = 500
"""The lowest threshold, in thousandths, that `Semantic.lowered` tries: texts hardly have the same subject there."""

_CENTRED_AT_ONCE: Final = 16384  # texts


@dataclass(frozen=True)
class Survey:
    """How near records are to each other, and what thresholds would do.

    Args:
        records: how many have a text to compare.
        texts: how many of their texts differ after `pairs.normalize`.
        counts: pairs of different texts in each hundredth, by its lower bound in hundredths.
        pairs: columns `id`, `kept_id` (the better one), `similarity`, `bin` (the hundredth in which the pair is
            counted): some pairs of each of the hundredths that were asked for, the nearest first.
        removed: how many records leave, by threshold, ascending.
    """

    records: int
    texts: int
    counts: dict[int, int]
    pairs: pd.DataFrame
    removed: dict[float, int]


class Semantic(Deduper):
    """Pairs of records whose embeddings' cosine is at or above a threshold.

    Records whose texts are equal after `pairs.normalize` are merged first: each is paired with the best of them alone,
    at similarity 1, and the best one's text stands for them all. The workers embed the texts that the cache does not
    hold yet, then compare blocks of vectors with each other (`_near.py`): exactly, with no pair missed.

    In ordinary data all pairs of different texts are found. Of two texts with more than 256 near ones each (a crowd: a
    template that was filled in often) the pair is left out, unless it is needed to tell who leaves, by
    `pairs.keep_best` at `threshold`, or what belongs together: then a pair without a similarity joins two records.

    With vectors of half precision, pairs whose cosine is too close to a bound to be told are decided again by vectors
    of single precision, as are all texts in crowds. So the precision changes similarities by a few thousandths, but not
    what leaves.

    Memory: a task holds the vectors of two blocks, a few rows of their product, and up to 40 bytes a listed pair; the
    workers together hold a sketch a compared text (at most 516 bytes), one task the vectors of all texts in crowds; the
    driver holds a few numbers a record, and all listed pairs.

    Args:
        threshold: lowest cosine because of which a record leaves, above 0 and at most 1.
        by: `question` (with its title), `answer`, `both` (embedded apart; the similarity is the smaller of the two),
            or `text` (title, question and answer as one text). A record without any text to compare is a duplicate
            of nothing.
        encoder: see `Encoder`'s `model`.
        device: `cpu` or `gpu`, for embeddings and products.
        cache: folder for the embeddings, which all workers see; what it holds is never embedded again. None: a
            temporary folder on this machine.
        block_size: vectors a side of a block.
        lowest: lowest cosine of a pair that is listed, where that is below `threshold`.
        keep: which one of several similar records is the better, after human before synthetic and an earlier round
            before a later one: `best`, as `records.quality_rank` says; `hard`, the one furthest from the mean of all
            vectors; `easy`, the one nearest to it; or `random`. The last three are NeMo Curator's, which measures from
            the mean of a cluster.
        precision: see `Encoder`; `hard` and `easy` take vectors of single precision, whatever it says.
        guard: whether records stay whose texts say something different by their words (`contrast.contrast`), however
            near their vectors are. Such pairs join records without a similarity.
        pooling: see `Encoder`.
        engine: `torch`, or `rapids`: NeMo Curator's own search (`_rapids.py`) on its own embeddings (`_crossfit.py`),
            which needs RAPIDS and misses pairs; `match` is torch's all the same.
        rapids: arguments of `_rapids.Clustering`, which `rapids` alone heeds: they change what it misses.
    """

    def __init__(
        self,
        threshold: float = 0.97,
        by: str = "question",
        encoder: str = EMBEDDED,
        device: str = "cpu",
        cache: str | None = None,
        block_size: int = 4096,
        lowest: float | None = None,
        keep: str = "best",
        precision: str = "fp32",
        guard: bool = False,
        pooling: str | None = None,
        engine: str = "torch",
        rapids: Mapping[str, Any] | None = None,
    ) -> None:
        check_by("semantic", by)
        for name, value in (("threshold", threshold), ("lowest", lowest)):
            if value is not None and not 0 < value <= 1:
                raise PlanError([f"deduper 'semantic': {name} is a cosine above 0 and at most 1, not {value}"])
        if block_size < 1:
            raise PlanError([f"deduper 'semantic': block_size is at least 1, not {block_size}"])
        if keep not in KEEPS:
            raise PlanError([f"deduper 'semantic': keep is one of {', '.join(KEEPS)}, not '{keep}'"])
        if engine not in ENGINES:
            raise PlanError([f"deduper 'semantic': engine is one of {', '.join(ENGINES)}, not '{engine}'"])
        self.threshold = threshold
        self.by = by
        self.encoder = encoder
        self.device = device
        self.cache = cache
        self.block_size = block_size
        self.lowest = lowest
        self.keep = keep
        self.precision = precision
        self.guard = guard
        self.pooling = pooling
        self.engine = engine
        self.rapids = rapids

    def find(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.DataFrame:
        """See `Deduper.find`, and above which pairs are left out."""
        if self.engine == "rapids":
            return self._find_with_rapids(table, against)
        with folder_of(self.cache) as folder:
            search = self._search(table, against, folder)
            if not search.records["new"].any():
                return in_order()
            records, texts = self._ranked(search)
            near, chains = search.near(texts, min(self.threshold, self.lowest or 1.0), self.threshold, self.guard)
        records = self._numbered(records, texts)
        return in_order(pairs_of_equals(records), pairs_of_near(records, near), _joined(texts, chains))

    def _find_with_rapids(self, table: dd.DataFrame, against: dd.DataFrame | None) -> pd.DataFrame:
        require_rapids()
        kept: dict[str, Any] = {"which_to_keep": self.keep} if self.keep != "best" else {}
        clustering = Clustering(**kept, **(self.rapids or {}))
        with folder_of(self.cache) as folder:
            search = self._search(table, against, folder)
            if not search.records["new"].any():
                return in_order()
            texts = search.library.located_by_crossfit(different_texts(search.records, self.by), search.encoder)
            near = find_with_rapids(texts, min(self.threshold, self.lowest or 1.0), folder, clustering)
        records = self._numbered(search.records, texts)
        return in_order(pairs_of_equals(records), pairs_of_near(records, near))

    def _numbered(self, records: pd.DataFrame, texts: pd.DataFrame) -> pd.DataFrame:
        """The records with the position of their text as `key`."""
        keys = keys_of(self.by)
        return records.merge(texts.assign(key=np.arange(len(texts)))[[*keys, "key"]], on=keys, validate="m:1")

    def match(self, table: dd.DataFrame, against: dd.DataFrame) -> pd.DataFrame:
        """See `Deduper.match`."""
        with folder_of(self.cache) as folder:
            search = self._search(table, against, folder)
            new = search.records["new"].astype(bool)
            if not new.any() or new.all():
                return in_order()
            own, others = search.records[new], search.records[~new]
            equal = own[["id", *keys_of(self.by)]].merge(others, on=keys_of(self.by), suffixes=("", "_kept"))
            texts = pd.concat([different_texts(part, self.by) for part in (own, others)], ignore_index=True)
            texts, near = search.nearest(texts, self.threshold)
        names = [
            part.merge(texts[keys_of(self.by)].reset_index(names="text"), on=keys_of(self.by))[["text", "id"]]
            for part in (own, others)
        ]
        matched = near.merge(names[0], left_on="first", right_on="text").merge(
            names[1], left_on="second", right_on="text", suffixes=("", "_kept")
        )
        pairs = pd.concat([equal.assign(similarity=1.0), matched])[["id", "id_kept", "similarity"]]
        return best_across(in_order(pairs.set_axis(["id", "kept_id", "similarity"], axis=1)), own["id"])

    def rank(self, table: dd.DataFrame, against: dd.DataFrame | None = None) -> pd.Series | None:
        """See `Deduper.rank`; records without any text to compare are left out."""
        if self.keep == "best":
            return None
        with folder_of(self.cache) as folder:
            records, _ = self._ranked(self._search(table, against, folder))
        return pd.Series(records["rank"].to_numpy(), index=records["id"].to_numpy())

    def survey(self, table: dd.DataFrame, thresholds: Collection[float], wanted: Sampling) -> Survey:
        """How near all pairs of records are, and how many leave at each of some thresholds: as many as `find` and
        `pairs.keep_best` would say there.

        Texts that are equal after normalisation count as one. Pairs are drawn by their ids alone. With vectors of half
        precision pairs are counted by these, a few thousandths off; what leaves, and the similarities of drawn pairs,
        single precision says.

        Args:
            table: the records.
            thresholds: above 0 and at most 1.
            wanted: what to count and draw.

        Raises:
            PlanError: the engine is `rapids`, which does not look at all pairs.
        """
        self._require_torch("survey all pairs")
        with folder_of(self.cache) as folder:
            search = self._search(table, None, folder)
            if search.records.empty:
                none = in_order().assign(bin=np.empty(0, np.int64))
                return Survey(0, 0, dict.fromkeys(range(wanted.lowest, BINS), 0), none, dict.fromkeys(thresholds, 0))
            records, texts = self._ranked(search)
            found = search.survey(texts, wanted)
            leaving = _Leaving(search, self._numbered(records, texts), texts, self.guard)
            removed = {threshold: leaving.at(threshold) for threshold in sorted(thresholds)}
        counts = {number: int(count) for number, count in enumerate(found.counts) if number >= wanted.lowest}
        return Survey(len(records), len(texts), counts, _named(texts, found.drawn), removed)

    def lowered(self, table: dd.DataFrame, wanted: int) -> tuple[float, int]:
        """The highest threshold because of which at least so many records leave: its own, or a thousandth below it.

        Args:
            table: the records.
            wanted: how many shall leave.

        Returns:
            The threshold, and how many leave; 0.5 (or its own, if lower), where even that takes too few.

        Raises:
            PlanError: the engine is `rapids`, whose clusters follow from no threshold.
        """
        self._require_torch("lower its threshold")
        with folder_of(self.cache) as folder:
            search = self._search(table, None, folder)
            if search.records.empty:
                return self.threshold, 0
            records, texts = self._ranked(search)
            leaving = _Leaving(search, self._numbered(records, texts), texts, self.guard)
            return _highest(leaving.at, self.threshold, wanted)

    def _require_torch(self, what: str) -> None:
        if self.engine != "torch":
            raise PlanError([f"deduper 'semantic': engine '{self.engine}' can't {what}; 'torch' can"])

    def _search(self, table: dd.DataFrame, against: dd.DataFrame | None, folder: str) -> Search:
        partitions, own = partitions_of(table, against)
        records = members(partitions, own, Hashes(self.by))
        precision = "fp32" if self.keep in ("hard", "easy") else self.precision
        precision = resolved(self.encoder, self.device, precision)
        encoder = Encoder(self.encoder, self.device, self.pooling, precision=precision)
        return Search(records, Library(partitions, self.by, folder), encoder, self.block_size)

    def _ranked(self, search: Search) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The records, with the ranks that `keep` asks for, and their located texts."""
        records = search.records
        texts = search.library.located(different_texts(records, self.by), search.encoder)
        if self.keep == "best":
            return records, texts
        keys = keys_of(self.by)
        if self.keep == "random":
            liking: Any = [digest(*row) for row in texts[keys].itertuples(index=False)]
        else:
            liking = _centrality(texts) * (1 if self.keep == "hard" else -1)
        liked = records.merge(texts[keys].assign(liking=liking), on=keys, validate="m:1")
        order = liked.assign(made=liked["origin"] != HUMAN).sort_values(["made", "round", "liking", "rank"]).index
        ranked = liked.drop(columns="liking").loc[order].assign(rank=np.arange(len(order)))
        # Equal texts are liked alike, so that the best record of each is still the one that it was located by.
        rank = ranked.set_index("id")["rank"]
        return ranked, texts.assign(rank=rank.reindex(texts["id"]).to_numpy())


class _Leaving:
    """How many records leave, by threshold.

    Args:
        search: where their near texts are looked for.
        records: with the position of their text as `key`.
        texts: located ones.
        guard: see `Semantic`.
    """

    def __init__(self, search: Search, records: pd.DataFrame, texts: pd.DataFrame, guard: bool) -> None:
        self._search = search
        self._records = records
        self._texts = texts
        self._guard = guard
        self._rank = pd.Series(records["rank"].to_numpy(), index=records["id"])
        self._pairs = in_order()
        self._found_at = math.inf
        self._serves_higher = False

    def at(self, threshold: float) -> int:
        """As many as `Semantic.find` and `pairs.keep_best` would say.

        What a lower threshold has found serves a higher one as well, but for vectors that decide for one bound alone,
        and for crowds, whose pairs are listed as one threshold needs them.
        """
        if threshold < self._found_at or (threshold > self._found_at and not self._serves_higher):
            near, chains = self._search.near(self._texts, threshold, threshold, self._guard)
            self._pairs = in_order(pairs_of_equals(self._records), pairs_of_near(self._records, near))
            self._found_at, self._serves_higher = threshold, not (self._search.error or len(chains))
        return len(keep_best(self._pairs, self._rank, threshold))


def _highest(removed: Callable[[float], int], threshold: float, wanted: int) -> tuple[float, int]:
    """The highest of a threshold and the thousandths below it that removes at least `wanted`, and how many it does.

    Steps downward grow until one does, since the lower a threshold is, the more pairs are to be listed.
    """
    top = high = math.ceil(round(threshold * 1000, 9))
    if (gone := removed(threshold)) >= wanted or top <= LOWEST:
        return threshold, gone
    low = top - 1
    while (gone := removed(low / 1000)) < wanted:
        if low == LOWEST:
            return low / 1000, gone
        high, low = low, max(LOWEST, 2 * low - top - 1)
    while high - low > 1:
        middle = (low + high) // 2
        if (count := removed(middle / 1000)) >= wanted:
            low, gone = middle, count
        else:
            high = middle
    return low / 1000, gone


def resolved(encoder: str, device: str, precision: str) -> str:
    """The precision, `fp32` or `bf16`, in which the workers embed: they have the processor, or the GPU, that counts."""
    import dask

    if precision != "auto":
        return precision
    (found,) = dask.compute(dask.delayed(_resolved_here)(encoder, device))
    return str(found)


def _resolved_here(encoder: str, device: str) -> str:
    return Encoder(encoder, device, precision="auto").resolved


def _centrality(texts: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The cosine of each text's vectors, as one, with the mean of all."""
    import dask

    blocks = [
        dask.delayed(Block.of(texts, start, start + _CENTRED_AT_ONCE), traverse=False)
        for start in range(0, len(texts), _CENTRED_AT_ONCE)
    ]
    mean = np.sum(dask.compute(*(dask.delayed(_sum_of)(block) for block in blocks)), axis=0)
    products = dask.compute(*(dask.delayed(_products_with)(block, mean / np.linalg.norm(mean)) for block in blocks))
    centrality: npt.NDArray[np.float64] = np.concatenate(products).round(DECIMALS)
    return centrality


def _sum_of(block: Block) -> npt.NDArray[np.float64]:
    """Shape (compared texts, dimensions)."""
    total: npt.NDArray[np.float64] = block.vectors().sum(axis=1, dtype=np.float64)
    return total


def _products_with(block: Block, mean: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    products: npt.NDArray[np.float64] = np.einsum("ctd,cd->t", block.vectors(), mean)
    return products


def _named(texts: pd.DataFrame, drawn: pd.DataFrame) -> pd.DataFrame:
    """`Survey.pairs` of drawn ones."""
    ids, rank = texts["id"].to_numpy(dtype=object), texts["rank"].to_numpy()
    first, second = drawn["first"].to_numpy(), drawn["second"].to_numpy()
    swap = rank[first] > rank[second]
    worse, better = ids[np.where(swap, first, second)], ids[np.where(swap, second, first)]
    pairs = drawn[["similarity", "bin"]].assign(id=worse, kept_id=better)
    columns = ["id", "kept_id", "similarity", "bin"]
    return pairs[columns].sort_values(["bin", "similarity", "id"], ascending=[False, False, True], ignore_index=True)


def _joined(texts: pd.DataFrame, chains: Places) -> pd.DataFrame:
    """Pairs without a similarity: each text that `chains` join, and the smallest id of all that it is joined to."""
    ids = texts["id"].to_numpy(dtype=object)
    pairs = pd.DataFrame({"id": ids[chains[:, 0]], "kept_id": ids[chains[:, 1]]})
    groups = connected_groups(pd.unique(pairs.to_numpy(dtype=object).ravel()), pairs)
    others = groups[groups != groups.index]
    return pd.DataFrame({"id": others.index, "kept_id": others.to_numpy(), "similarity": np.nan})
