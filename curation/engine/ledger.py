"""What left the dataset, and why: every row that a stage does not hand on is a row here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from curation.core.records import COLUMNS, LEDGER_COLUMNS, SCHEMA, to_json


def entries(rows: pd.DataFrame, stage: str, round_number: int, **why: Any) -> pd.DataFrame:
    """The ledger's entries for `rows`, in their order.

    Args:
        rows: at least the columns of `records.SCHEMA` that are known; a column of the ledger that `rows` has too
            (`reason`, `field`, `score`, …) is taken over.
        stage: the stage that they leave at.
        round_number: the round of that stage.
        why: the ledger's other columns, as one value for all rows or a sequence of one each.

    Returns:
        A frame of exactly `records.LEDGER_COLUMNS`.
    """
    own = [name for name in COLUMNS if name in rows.columns]
    given = {name: rows[name].to_numpy() for name in LEDGER_COLUMNS if name in rows.columns}
    table = pd.DataFrame({**given, **why, "stage": stage, "round": round_number}, index=range(len(rows)))
    table["record"] = [to_json(_plain(row)) for row in rows[own].to_dict("records")]
    return table.reindex(columns=list(LEDGER_COLUMNS))


def empty() -> pd.DataFrame:
    """A ledger without entries."""
    return pd.DataFrame(columns=list(LEDGER_COLUMNS))


def to_arrow(table: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame as a table of exactly this schema: what is missing or NaN is null, lone surrogates are replaced."""
    columns = []
    for field in schema:
        values = table[field.name] if field.name in table else pd.Series([None] * len(table), dtype=object)
        if pa.types.is_string(field.type):
            columns.append(_strings(values))
        else:
            numbers = pd.to_numeric(values).astype("float64")
            columns.append(pa.array(numbers, from_pandas=True).cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _strings(values: pd.Series) -> pa.Array:
    texts = [None if missing else str(value) for value, missing in zip(values, pd.isna(values), strict=True)]
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array(
            [None if text is None else text.encode("utf-8", "replace").decode() for text in texts], pa.string()
        )


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    """The row without NaN, and with whole numbers where the schema has them."""
    plain: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or (isinstance(value, float) and np.isnan(value)):
            plain[name] = None
        elif pa.types.is_integer(SCHEMA.field(name).type):
            plain[name] = int(value)
        elif isinstance(value, str):
            plain[name] = value.encode("utf-8", "replace").decode()
        else:
            plain[name] = value
    return plain
