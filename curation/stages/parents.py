"""Draws the records of the training split that new ones are written from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from curation.core.records import COLUMNS, SYNTHETIC, frame, unit_interval
from curation.engine.lift import Outcome
from curation.engine.run import Run, columns_of, read_part
from curation.engine.store import Stage, writing
from curation.stages.balance import grouped

PARENTS = "parents.parquet"


@dataclass(frozen=True)
class Choose:
    """All rows of a table that holds nothing but the chosen ones: no row leaves the dataset here."""

    def __call__(self, rows: pd.DataFrame) -> Outcome:
        """One partition."""
        return Outcome(rows[list(COLUMNS)])


@dataclass(frozen=True)
class Wanted:
    """How many parents a round takes: `count` spread over tags, or so many of each group by the column `by`."""

    count: int
    by: str | None = None
    groups: Mapping[str, int] = field(default_factory=dict)


def parents(
    run: Run,
    dataset: Sequence[Stage],
    used: Sequence[Stage],
    wanted: Wanted,
    partitions: int,
    seed: int,
    round_number: int,
) -> Stage:
    """Human records of the training split, or seeds; those that no earlier round took first.

    Args:
        dataset: all stages of the dataset.
        used: the parents of earlier rounds.
        partitions: how many tables they come in, which is how many workers ask models at a time.
    """

    def prepare(folder: Path) -> tuple[Any, Choose]:
        files = [str(part) for stage in dataset for part in stage.parts]
        table = columns_of(dataset, ["id", "split", "origin", "tags"])
        table["file"] = np.repeat(np.arange(len(files)), [pq.read_metadata(file).num_rows for file in files])
        table = table[(table["split"] == "train") & (table["origin"] != SYNTHETIC)]
        taken = columns_of(used, ["id"])["id"]
        if wanted.by is None:
            ids = draw(table, set(taken), wanted.count, seed, round_number)
        else:
            group = table["id"].map(grouped(dataset, wanted.by).set_index("id")["group"])
            ids = [
                identifier
                for name, count in sorted(wanted.groups.items())
                for identifier in draw(table[group == name], set(taken), count, seed, round_number)
            ]
        # Neighbours in a file stay together, so that each partition reads few files.
        chosen = table.loc[table["id"].isin(ids), ["id", "file"]].sort_values(["file", "id"], ignore_index=True)
        chosen["partition"] = chosen.index * partitions // max(1, len(chosen))
        with writing(folder / PARENTS):
            chosen.to_parquet(folder / PARENTS, index=False)
        table = dd.from_map(_chosen, range(partitions), files=files, choice=str(folder / PARENTS), meta=frame([]))
        return table, Choose()

    settings = {**asdict(wanted), "seed": seed}
    code = [__name__, "curation.stages.balance"]
    return run.stage("20-parents", round_number, [*dataset, *used], settings, code, prepare)


def draw(table: pd.DataFrame, used: set[str], count: int, seed: int, round_number: int) -> list[str]:
    """Ids of `count` rows (all, where there are fewer), each drawn with a weight that keeps tags balanced.

    A record's weight is the mean of 1 / (records with that tag) over its tags, so that a rare tag is as likely to
    be drawn as a common one. Efraimidis and Spirakis' weighted sampling without replacement (2006): the largest
    u^(1/w) win, with u from the seed and the id alone, so that neither order nor partitions matter.

    Args:
        table: columns `id`, `tags`.
        used: ids that are drawn only when no others are left.
    """
    tags = table["tags"].fillna("").str.split(",")
    frequency = tags.explode().value_counts()
    weights = [sum(1 / frequency[tag] for tag in record) / len(record) for record in tags]
    keys = [
        (identifier in used, -math.log(unit_interval(seed, "parents", round_number, identifier)) / weight, identifier)
        for identifier, weight in zip(table["id"], weights, strict=True)
    ]
    return [identifier for _, _, identifier in sorted(keys)[:count]]


def _chosen(partition: int, files: list[str], choice: str) -> pd.DataFrame:
    """The chosen rows of one partition, out of the files of the dataset that hold them."""
    chosen = pd.read_parquet(choice)
    chosen = chosen[chosen["partition"] == partition]
    tables = [read_part(files[number]) for number in sorted(set(chosen["file"]))]
    tables = [rows[rows["id"].isin(chosen["id"])] for rows in tables]
    return pd.concat(tables or [frame([])], ignore_index=True)
