"""Removes duplicates, and synthetic records that would leak into validation or test.

A deduper finds pairs; what leaves is decided here, over the whole table, by one total order of quality. The pairs
stay beside the rows, for the split, the report, and whoever wants to try another threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.config import ExactPlan, SemanticPlan
from curation.core.encoder import Encoder
from curation.core.pairs import keep_best
from curation.core.records import TEXT_COLUMNS, quality_rank
from curation.core.registry import Spec
from curation.engine.run import Run, columns_of, table_of
from curation.engine.store import Stage, writing
from curation.stages._remove import Remove, write_verdicts

PAIRS = "pairs.parquet"
_CODE = (
    __name__,
    "curation.core.encoder",
    "curation.core.pairs",
    "curation.core.sketch",
    "curation.core.vectors",
    "curation.stages._remove",
)


def exact(run: Run, new: Stage, against: Sequence[Stage], plan: ExactPlan, round_number: int) -> Stage:
    """Removes rows of `new` whose text equals, after normalisation, that of a better record in `new` or `against`."""
    spec = Spec("deduper", "exact", {"by": plan.by})
    return _dedup(run, "50-exact", new, against, spec, 1.0, 1.0, round_number, spec.arguments)


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
        leak: the cosine from which on a new record is too near to a validation or test record. All pairs from the
            lower of the two bounds on are found, since the split groups by `leak` as well.
        device: where embeddings and products are computed; it changes the speed only.
    """
    settings = {**plan.model_dump(), "leak": leak, "vectors": Encoder(plan.encoder).fingerprint}
    spec = Spec(
        "deduper",
        "semantic",
        {
            "threshold": min(plan.threshold, leak),
            "by": plan.by,
            "encoder": plan.encoder,
            "device": device,
            "cache": str(run.store.root / "embeddings"),
        },
    )
    return _dedup(run, "60-near", new, against, spec, plan.threshold, leak, round_number, settings)


def _dedup(
    run: Run,
    name: str,
    new: Stage,
    against: Sequence[Stage],
    spec: Spec,
    threshold: float,
    leak: float,
    round_number: int,
    settings: Any,
) -> Stage:
    def prepare(folder: Path) -> tuple[Any, Remove]:
        others = table_of(against) if against else None
        pairs = spec.create().find(table_of([new]), others)
        with writing(folder / PAIRS):
            pairs.to_parquet(folder / PAIRS, index=False)
        verdicts = _verdicts(pairs, [new, *against], columns_of([new], ["id"])["id"], threshold, leak)
        verdicts["bound"] = f"similarity >= {threshold:g}"
        verdicts.loc[verdicts["reason"] == "leak", "bound"] = f"similarity >= {leak:g}"
        reason = "exact_duplicate" if spec.name == "exact" else "near_duplicate"
        verdicts["reason"] = verdicts["reason"].where(verdicts["reason"] == "leak", reason)
        return table_of([new]), Remove(name.partition("-")[2], round_number, write_verdicts(folder, verdicts))

    return run.stage(name, round_number, [new, *against], settings, [*_CODE, spec], prepare)


def _verdicts(
    pairs: pd.DataFrame, stages: Sequence[Stage], new: pd.Series, threshold: float, leak: float
) -> pd.DataFrame:
    """What leaves: `id`, `kept_id`, `similarity`, `reason` (`leak` or `duplicate`), one row a record of `new`."""
    if pairs.empty:
        return pairs.assign(reason=pd.Series(dtype=object))
    quality = _quality(stages)
    rank = pd.Series(quality_rank(quality).to_numpy(), index=quality["id"].to_numpy())
    held_out = quality.loc[quality["split"].isin(["validation", "test"]), "id"]
    leaks = pairs[pairs["kept_id"].isin(held_out) & pairs["id"].isin(new) & (pairs["similarity"] >= leak)]
    leaks = leaks.sort_values(["id", "similarity", "kept_id"], ascending=[True, False, True]).drop_duplicates("id")
    rest = pairs[~pairs["id"].isin(leaks["id"]) & ~pairs["kept_id"].isin(leaks["id"])]
    duplicates = keep_best(rest, rank, threshold)
    return pd.concat(
        [leaks.assign(reason="leak"), duplicates.assign(reason="duplicate")], ignore_index=True
    ).sort_values("id", ignore_index=True)


def _quality(stages: Sequence[Stage]) -> pd.DataFrame:
    """The columns that `quality_rank` orders by, and the split, of all rows of `stages`: narrow, so in memory."""
    narrow = columns_of(stages, ["id", "origin", "round", "split", "question_score", "answer_score"])
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
