"""Removes duplicates, and synthetic records that would leak into validation or test.

A deduper finds pairs; what leaves is decided here, over the whole table, by one total order of quality. The pairs
stay beside the rows, for the split, the report, and whoever wants to try another threshold.

Seeds are no training data, so among what was read they duplicate nothing and tie nothing together. What is written from
them later, though, must not repeat them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.config import ExactPlan, FuzzyPlan, SemanticPlan
from curation.core.contracts import Deduper
from curation.core.encoder import Encoder
from curation.core.errors import PlanError
from curation.core.pairs import PAIR_COLUMNS, keep_best
from curation.core.records import SEED, TEXT_COLUMNS, quality_rank
from curation.core.registry import Spec
from curation.dedupers.semantic import Semantic, resolved
from curation.engine.run import Run, columns_of, table_of
from curation.engine.store import Stage, writing
from curation.stages._remove import Remove, write_verdicts

if TYPE_CHECKING:
    import dask.dataframe as dd

PAIRS: Final = "pairs.parquet"
HELD_OUT: Final = ("validation", "test")

_REASONS: Final = {"exact": "exact_duplicate", "fuzzy": "fuzzy_duplicate", "semantic": "near_duplicate"}
_MANY_RECORDS: Final = 20_000
SEARCH_CODE: Final = (
    "curation.core._linear",
    "curation.core.contrast",
    "curation.core.encoder",
    "curation.core.pairs",
    "curation.core.sketch",
    "curation.core.vectors",
    "curation.stages._remove",
)
"""The modules, but for those on their shelf, by which dedupers find what they find."""


def exact(run: Run, new: Stage, against: Sequence[Stage], plan: ExactPlan, round_number: int) -> Stage:
    """Removes rows of `new` whose text equals, after normalisation, that of a better record in `new` or `against`."""
    spec = Spec("deduper", "exact", {"by": plan.by})
    return _dedup(run, "50-exact", new, against, _Search(spec), round_number, spec.arguments)


def fuzzy(run: Run, new: Stage, against: Sequence[Stage], plan: FuzzyPlan, round_number: int) -> Stage:
    """Removes rows of `new` that are written nearly as a better record in `new` or `against`."""
    spec = Spec("deduper", "fuzzy", plan.model_dump())
    return _dedup(run, "55-fuzzy", new, against, _Search(spec), round_number, spec.arguments)


def near(
    run: Run,
    new: Stage,
    against: Sequence[Stage],
    plan: SemanticPlan,
    leak: float,
    device: str,
    round_number: int,
) -> Stage:
    """Removes rows of `new` that mean the same as a better record.

    Args:
        leak: the cosine from which on a new record is too near to a validation or test record. Where there is nothing
            to compare with yet, pairs from the lower of the two bounds on are listed, for the split groups by it.
        device: where embeddings and products are computed; it changes the speed only.
    """
    arguments = {**embedding(run, plan, device), **comparison(plan)}
    lowest = None if against else leak
    search = _Search(
        Spec(
            "deduper",
            "semantic",
            {**arguments, "pooling": plan.pooling, "threshold": plan.threshold, "lowest": lowest},
        ),
        Spec("deduper", "semantic", {**arguments, "threshold": leak, "guard": False}),
        None if against else plan.at_most,
    )
    settings = {
        **plan.model_dump(),
        "leak": leak,
        "precision": arguments["precision"],
        "vectors": vectors_of(arguments),
        "exact_vectors": vectors_of({**arguments, "precision": "fp32"}),
    }
    return _dedup(run, "60-near", new, against, search, round_number, settings)


@dataclass(frozen=True)
class _Search:
    """How duplicates are looked for.

    Args:
        duplicates: the deduper.
        leaks: what finds new records that are too near to held-out ones; by default the same.
        at_most: lower the threshold until no more records are left.
    """

    duplicates: Spec
    leaks: Spec | None = None
    at_most: int | None = None


def embedding(run: Run, plan: SemanticPlan, device: str) -> dict[str, Any]:
    """The arguments that say how texts become vectors: the same for the whole run, so that each is embedded once."""
    small = plan.precision == "auto" and _is_small(run)
    precision = "fp32" if small or plan.keep in ("hard", "easy") else plan.precision
    return embedding_at(run.store.root, plan, device, resolved(plan.encoder, device, precision))


def embedding_at(root: Path, plan: SemanticPlan, device: str, precision: str) -> dict[str, Any]:
    """The same for the run in a folder, whose precision is known.

    Pooling by the last token, which only the engine `rapids` can in its search for duplicates, is the encoder's own for
    everything else.
    """
    pooling = None if plan.pooling == "last_token" else plan.pooling
    cache = str(root / "embeddings")
    return {"encoder": plan.encoder, "pooling": pooling, "precision": precision, "device": device, "cache": cache}


def comparison(plan: SemanticPlan) -> dict[str, Any]:
    """The arguments that say how records are compared by their vectors, but for thresholds."""
    rapids = plan.rapids.model_dump() if plan.engine == "rapids" else None
    return {"by": plan.by, "keep": plan.keep, "guard": plan.guard, "engine": plan.engine, "rapids": rapids}


def compared(stage: Stage) -> dd.DataFrame:
    """The rows of a stage that may duplicate others: all but seeds."""
    table = table_of([stage])
    return table[table["origin"] != SEED]


def vectors_of(arguments: Mapping[str, Any]) -> str:
    """The name of the vectors that a semantic deduper of such arguments compares."""
    names = ("pooling", "precision")
    return Encoder(arguments["encoder"], **{name: arguments[name] for name in names}).fingerprint


def _is_small(run: Run) -> bool:
    """Whether the source has too few records for half precision to be worth loading a second network."""
    read = [stage.manifest.rows_out for stage in run.stages if stage.manifest.stage == "read"]
    return sum(read) < _MANY_RECORDS


def _dedup(
    run: Run, name: str, new: Stage, against: Sequence[Stage], search: _Search, round_number: int, settings: Any
) -> Stage:
    reason = _REASONS[search.duplicates.name]

    def prepare(folder: Path) -> tuple[Any, Remove]:
        table, others = compared(new), table_of(against) if against else None
        leaks = _leaks(search.leaks or search.duplicates, table, against)
        deduper: Deduper = search.duplicates.create()
        if search.at_most is not None:
            deduper = _lowered(run, search.duplicates, new, search.at_most)
        left = table[~table["id"].isin(leaks["id"].tolist())] if len(leaks) else table
        pairs = deduper.find(left, others)
        with writing(folder / PAIRS):
            _together(pairs, leaks[pairs.columns]).to_parquet(folder / PAIRS, index=False)
        duplicates = keep_best(pairs, _ranks(deduper, left, others, [new, *against]), deduper.threshold)
        duplicates = duplicates.assign(reason=reason, bound=f"similarity >= {deduper.threshold:g}")
        verdicts = _together(duplicates, leaks).sort_values("id", ignore_index=True)
        return table_of([new]), Remove(name.partition("-")[2], round_number, write_verdicts(folder, verdicts))

    specs = [spec for spec in (search.duplicates, search.leaks) if spec is not None]
    return run.stage(name, round_number, [new, *against], settings, [__name__, *SEARCH_CODE, *specs], prepare)


def _together(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Both tables; an empty one has no say in the types of columns."""
    return pd.concat([part for part in (one, other) if len(part)] or [one], ignore_index=True)


def _leaks(spec: Spec, table: dd.DataFrame, against: Sequence[Stage]) -> pd.DataFrame:
    """Records that are too near to one of validation or test, and to which: they leave first, and take nobody along."""
    held_out = columns_of(against, ["split"])["split"].isin(HELD_OUT).any() if against else False
    if not held_out:
        return pd.DataFrame(columns=[*PAIR_COLUMNS, "reason", "bound"])
    others = table_of(against)
    deduper: Deduper = spec.create()
    found = deduper.match(table, others[others["split"].isin(HELD_OUT)])
    return found.assign(reason="leak", bound=f"similarity >= {deduper.threshold:g}")


def _lowered(run: Run, spec: Spec, new: Stage, at_most: int) -> Deduper:
    """The deduper with its own threshold, or the highest one below it, in thousandths, that leaves so few records.

    Raises:
        PlanError: none from 0.5 on does.
    """
    deduper: Semantic = spec.create()
    rows = int((columns_of([new], ["origin"])["origin"] != SEED).sum())
    threshold, gone = deduper.lowered(compared(new), rows - at_most)
    if rows - gone > at_most:
        raise PlanError(
            [
                f"dedup.semantic.at_most={at_most} can't be reached: at a cosine of {threshold:g}, where texts hardly "
                f"have the same subject, {rows - gone} of {rows} records are left. Allow more, or filter before"
            ]
        )
    if threshold == deduper.threshold:
        return deduper
    run.progress.say(f"At most {at_most:,} records are to stay: near duplicates leave from a cosine of {threshold:g}.")
    lowered: Deduper = replace(spec, arguments={**spec.arguments, "threshold": threshold}).create()
    return lowered


def _ranks(deduper: Deduper, table: dd.DataFrame, others: dd.DataFrame | None, stages: Sequence[Stage]) -> pd.Series:
    """Each record's place in the order of quality, by id."""
    own = deduper.rank(table, others)
    if own is not None:
        return own
    quality = _quality(stages)
    return pd.Series(quality_rank(quality).to_numpy(), index=quality["id"].to_numpy())


def _quality(stages: Sequence[Stage]) -> pd.DataFrame:
    """The columns that `quality_rank` orders by, of all rows of `stages`: narrow, so in memory."""
    narrow = columns_of(stages, ["id", "origin", "round", "question_score", "answer_score"])
    lengths = [_lengths(part) for stage in stages for part in stage.parts]
    return narrow.assign(length=pd.concat(lengths, ignore_index=True))


def _lengths(part: Path) -> pd.Series:
    """Characters of each row's texts together."""
    table = pq.read_table(part, columns=list(TEXT_COLUMNS))
    columns = [pc.fill_null(pc.utf8_length(table[name]), 0) for name in TEXT_COLUMNS]
    total = columns[0]
    for column in columns[1:]:
        total = pc.add(total, column)
    return total.to_pandas().astype("int64")
