"""Near texts of records: by vectors of half precision where that is enough, by those of single precision elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from curation.core.encoder import Encoder, cosine_margin
from curation.core.records import seed_of
from curation.core.sketch import Axes, worthwhile_axes
from curation.dedupers._blocks import Block, Places, similarities
from curation.dedupers._contrasts import Contrasts, contrasting
from curation.dedupers._crowd import leaders
from curation.dedupers._embeddings import Library, keys_of
from curation.dedupers._near import Found, near_pairs, nearest
from curation.dedupers._survey import BINS, Sampling, Surveyed, survey

_SAMPLE: Final = 2000  # vectors that the axes are chosen by: more would hardly turn them
_DECIDED_AT_ONCE: Final = 65536  # pairs that one task decides again


@dataclass(frozen=True)
class Search:
    """Looks for near texts of records.

    Args:
        records: see `_members.members`.
        library: where their vectors are.
        encoder: whose vectors are compared.
        block_size: vectors a side of a block.
    """

    records: pd.DataFrame
    library: Library
    encoder: Encoder
    block_size: int

    def near(self, texts: pd.DataFrame, lowest: float, threshold: float, guard: bool) -> tuple[pd.DataFrame, Places]:
        """Pairs of texts as `semantic.Semantic` describes them, and those that join what belongs together.

        Args:
            texts: located ones, new ones first.
            lowest: lowest similarity of a listed pair.
            threshold: lowest similarity because of which one leaves.
            guard: whether a pair whose words differ in what counts has no similarity.

        Returns:
            Columns `first`, `second` (positions in `texts`), `similarity`; and rows (position, position).
        """
        found = self._near_pairs(texts, cosine_margin(lowest, self.error)[0] if self.error else lowest)
        crowd, where = found.crowd, texts
        if self.error:
            found, crowd, where = self._decided(texts, found, lowest, threshold)
        pairs = self._guarded(texts, found.pairs, threshold) if guard else found.pairs
        if not len(crowd):
            return pairs, found.chains
        apart = Contrasts(self.library.texts(texts.iloc[crowd])).apart if guard else None
        led = leaders(where.iloc[crowd], crowd, pairs, texts["rank"].to_numpy(), threshold, apart)
        return pd.concat([pairs, led], ignore_index=True), found.chains

    @cached_property
    def error(self) -> float:
        """How far vectors are at most from those of single precision, as a worker measures it."""
        import dask

        if self.encoder.precision == "fp32":
            return 0.0
        (error,) = dask.compute(dask.delayed(_error_of)(self.encoder))
        return float(error)

    def nearest(self, texts: pd.DataFrame, lowest: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The located texts, and for each new one the nearest old ones (`_near.nearest`) by single precision."""
        texts = self.library.located(texts, self.encoder)
        low, high = cosine_margin(lowest, self.error) if self.error else (lowest, lowest)
        near = nearest(texts, low, 2 * (high - low), self._axes(texts, low), self.encoder.device, self.block_size)
        if self.error:
            chosen = np.union1d(near["first"], near["second"])
            near["similarity"] = self._similarities(self._precise(texts, chosen), near)
            near = near[near["similarity"] >= lowest]
        return texts, near[near["similarity"] == near.groupby("first")["similarity"].transform("max")]

    def survey(self, texts: pd.DataFrame, wanted: Sampling) -> Surveyed:
        """`_survey.survey` of located texts, whose drawn pairs have the similarities of single precision."""
        draws = np.array([seed_of("survey", identifier) for identifier in texts["id"]], dtype=np.uint64)
        axes = self._axes(texts, wanted.lowest / BINS)
        found = survey(texts.assign(draw=draws), wanted, axes, self.encoder.device, self.block_size)
        if not self.error or found.drawn.empty:
            return found
        precise = self._precise(texts, np.union1d(found.drawn["first"], found.drawn["second"]))
        return replace(found, drawn=found.drawn.assign(similarity=self._similarities(precise, found.drawn)))

    def _near_pairs(self, texts: pd.DataFrame, lowest: float) -> Found:
        return near_pairs(texts, lowest, self._axes(texts, lowest), self.encoder.device, self.block_size)

    def _guarded(self, texts: pd.DataFrame, pairs: pd.DataFrame, threshold: float) -> pd.DataFrame:
        """The pairs, without a similarity where that would make a record leave whose words say something else."""
        import dask

        task, partitions = dask.delayed(contrasting), self.library.partitions
        homes, rows = texts["partition"].to_numpy(), texts["row"].to_numpy()
        near = pairs[pairs["similarity"] >= threshold]
        first, second = near["first"].to_numpy(), near["second"].to_numpy()
        groups = list(near.groupby([homes[first], homes[second]]).indices.items())
        found = dask.compute(
            *(
                task(partitions[one], partitions[other], rows[first[places]], rows[second[places]], self.library.by)
                for (one, other), places in groups
            )
        )
        apart = np.zeros(len(near), dtype=np.bool_)
        for (_, places), flags in zip(groups, found, strict=True):
            apart[places] = flags
        return pairs.assign(similarity=pairs["similarity"].mask(pairs.index.isin(near.index[apart])))

    def _decided(
        self, texts: pd.DataFrame, found: Found, lowest: float, threshold: float
    ) -> tuple[Found, Places, pd.DataFrame]:
        """What vectors of half precision found, decided by those of single precision where they can't tell.

        Returns:
            What is near; who is in a crowd; and the texts with the places of their more precise vectors, as far as
            these were needed.
        """
        similarity = found.pairs["similarity"]
        bounds = [cosine_margin(bound, self.error) for bound in {lowest, threshold}]
        unsure = np.logical_or.reduce([similarity.between(low, high).to_numpy() for low, high in bounds])
        pairs = found.pairs[unsure]
        chosen = np.unique(np.concatenate([pairs["first"], pairs["second"], found.crowd]).astype(np.int64))
        precise = self._precise(texts, chosen)
        decided = found.pairs.copy()
        decided.loc[unsure, "similarity"] = self._similarities(precise, pairs)
        decided = decided[decided["similarity"] >= lowest]
        if not len(found.crowd):
            return Found(decided, found.degrees, found.chains), found.crowd, precise
        again = self._near_pairs(precise.iloc[found.crowd], lowest)
        inner = again.pairs.assign(**{end: found.crowd[again.pairs[end]] for end in ("first", "second")})
        both = pd.concat([decided, inner], ignore_index=True)
        return Found(both, again.degrees, found.crowd[again.chains]), found.crowd[again.crowd], precise

    def _precise(self, texts: pd.DataFrame, chosen: Places) -> pd.DataFrame:
        """The texts, of which chosen ones have the places of vectors of single precision."""
        encoder = Encoder(self.encoder.model, self.encoder.device, self.encoder.pooling, self.encoder.max_tokens)
        places = [name for name in texts.columns if name.startswith(("file_", "row_"))]
        located = self.library.located(texts.iloc[chosen].drop(columns=places).assign(position=chosen), encoder)
        precise = texts.copy()
        precise.loc[located["position"].to_numpy(), places] = located[places].to_numpy()
        return precise.astype({name: "int64" for name in places if name.startswith("row_")})

    @staticmethod
    def _similarities(texts: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
        import dask

        task, parts = dask.delayed(_similarities_at), []
        for start in range(0, len(pairs), _DECIDED_AT_ONCE):
            part = pairs.iloc[start : start + _DECIDED_AT_ONCE]
            parts.append(task(Block.of(texts.iloc[part["first"]]), Block.of(texts.iloc[part["second"]])))
        return pd.Series(np.concatenate([np.empty(0), *dask.compute(*parts)]), index=pairs.index)

    def _axes(self, texts: pd.DataFrame, lowest: float) -> Axes | None:
        """What to sketch by: the same axes in whatever order and partitions the records come."""
        order = pd.util.hash_pandas_object(texts[keys_of(self.library.by)], index=False).argsort(kind="stable")
        vectors = Block.of(texts.iloc[order[:_SAMPLE]]).vectors()
        return worthwhile_axes(vectors.reshape(-1, vectors.shape[-1]), lowest)


def _error_of(encoder: Encoder) -> float:
    return encoder.error


def _similarities_at(one: Block, other: Block) -> npt.NDArray[np.float64]:
    """Of the first text of one with the first of the other, and so on."""
    return similarities(one, other, np.arange(len(one)), np.arange(len(other)))
