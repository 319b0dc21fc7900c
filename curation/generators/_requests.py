"""What the requests of all generators have in common."""

from __future__ import annotations

import json

from curation.core.records import Record, seed_of


def request_seed(seed: int, record: Record, *what: object) -> int:
    """The sampling seed of one request: another for each record, each `_round` (0 without one) and all of `what`.

    It has 31 bits: endpoints read it as a signed integer.
    """
    return seed_of(seed, record["id"], record.get("_round", 0), *what) >> 33


def tokens_at_most(*texts: str) -> int:
    """Room for texts half as long again as these.

    A token has four bytes or more in English and about three in other scripts, so three eighths of the bytes are 1.5
    times the tokens in English and more than the tokens elsewhere.
    """
    return len(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass")) * 3 // 8
