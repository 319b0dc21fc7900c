"""What the tests of several sources need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from curation.core.contracts import Source
from curation.core.records import DETAIL, REASON, SCHEMA


def collect(source: Source) -> pd.DataFrame:
    """All rows, checked against the contract's columns and types."""
    import pyarrow as pa

    lazy = source.read()
    table = lazy.compute()
    assert list(table.columns) == [*SCHEMA.names, REASON, DETAIL]
    assert table.dtypes.to_dict() == lazy.dtypes.to_dict()
    pa.Table.from_pandas(table[SCHEMA.names], schema=SCHEMA, preserve_index=False).validate(full=True)
    return table.reset_index(drop=True)


def rows(source: Source) -> list[dict[str, Any]]:
    """All rows, as dicts."""
    return [{str(key): value for key, value in row.items()} for row in collect(source).to_dict("records")]


def write(path: Path, *lines: str | bytes) -> str:
    """A file of these lines, and its path as a user gives it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return str(path)
