"""What the report says of the set that the dataset is kept apart from: what matched where, by which check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pandas as pd

from curation.core.records import digest
from curation.report._survey import EXAMPLES, rows_by_id
from curation.report.finished import REFERENCE, Finished, batches

MATCHES_FILE: Final = "matches.parquet"  # what a stage found
_CHECKS: Final = {"exact": "the same question", "ngram": "a run of words in common", "near": "nearly the same meaning"}


def comparison(done: Finished) -> dict[str, Any] | None:
    """The matches by file and by check, with a few of each; None where there is no other set."""
    stages = done.named("against")
    others = done.named(REFERENCE)
    if not stages or not others:
        return None
    matches = _matches([stage.folder / MATCHES_FILE for stage in stages])
    rows = Counter(name for batch in batches(others[0].parts, ["file_name"]) for name in batch.column(0).to_pylist())
    settings = stages[0].manifest.settings
    made = {"exact": settings.get("exact"), "ngram": settings.get("ngram"), "near": settings.get("threshold")}
    checks = [check for check in _CHECKS if made[check]]
    counts = Counter(zip(matches["file"], matches["check"], strict=True))
    found = matches.groupby("file")["kept_id"].nunique()
    return {
        "records": matches["id"].nunique(),
        "files": [
            {"name": name, "rows": rows[name], "counts": [counts[name, check] for check in checks],
             "found": int(found.get(name, 0))}
            for name in sorted(rows)
        ],
        "checks": _examples(done, matches, checks),
    }  # fmt: skip


def _matches(files: Sequence[Path]) -> pd.DataFrame:
    columns = ["id", "check", "kept_id", "similarity", "detail", "file"]
    tables = [batch.to_pandas() for batch in batches(files, columns)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _examples(done: Finished, matches: pd.DataFrame, checks: Sequence[str]) -> list[dict[str, Any]]:
    drawn = matches.assign(draw=[digest("match", identifier) for identifier in matches["id"]]).sort_values("draw")
    chosen = drawn.groupby("check").head(EXAMPLES)
    left = _left(done, set(chosen["id"]))
    others = rows_by_id(done.named(REFERENCE), set(chosen["kept_id"]), ("id", "title", "question"))
    counts = Counter(matches["check"])
    return [
        {
            "means": _CHECKS[check],
            "count": counts[check],
            "examples": [
                {
                    "id": row.id,
                    "kept_id": row.kept_id,
                    "similarity": row.similarity,
                    "detail": row.detail,
                    "text": _shown(left.get(row.id, {})),
                    "other": _shown(others.get(row.kept_id, {})),
                }
                for row in chosen[chosen["check"] == check].itertuples()
            ],
        }
        for check in checks
    ]


def _left(done: Finished, ids: set[str]) -> dict[str, Any]:
    """The records of the ledger with these ids."""
    files = [path for stage in done.named("against") for path in stage.left]
    found: dict[str, Any] = {}
    for batch in batches(files, ["id", "record"]):
        entries = zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
        found.update((identifier, orjson.loads(record)) for identifier, record in entries if identifier in ids)
    return found


def _shown(row: dict[str, Any]) -> str:
    return ": ".join(text for text in (row.get("title"), row.get("question")) if text)
