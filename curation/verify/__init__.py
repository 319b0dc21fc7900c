"""The proof that a finished run is sound, from its files alone: `python -m curation.verify OUT`.

Nothing is run again, and nothing is asked of a cluster, a model or a network. Each check prints a line:

    ok    ids are unique and in order
    FAIL  no group and no root lies in two splits: group law-0007 lies in test, train
    skip  no near duplicates lie in two splits: the plan has no dedup.semantic

The exit code is 0 if no check fails, 1 if one does, and 2 if there is no finished run to look at. Memory holds the
ids and hashes of all records, never their texts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from curation.core.errors import CurationError
from curation.report.finished import Finished
from curation.verify.evidence import Evidence, NothingToProveError
from curation.verify.exports import handoff, preference
from curation.verify.files import account, checksums, strays
from curation.verify.final import content, ids, lineage
from curation.verify.leaks import against, exact, groups
from curation.verify.near_duplicates import near
from curation.verify.rows import balance, flow, ledger, totals
from curation.verify.spending import bill

__all__ = [
    "CHECKS",
    "SHOWN",
    "Finding",
    "account",
    "against",
    "balance",
    "bill",
    "checksums",
    "content",
    "exact",
    "flow",
    "groups",
    "handoff",
    "ids",
    "ledger",
    "lineage",
    "main",
    "near",
    "preference",
    "strays",
    "totals",
    "verify",
]

SHOWN = 5
"""Faults that a line names; the rest are counted."""

Check = Callable[[Evidence], Iterator[str]]

CHECKS: Mapping[str, Check] = {
    "every file has the checksum of its manifest": checksums,
    "final and handoff hold no other files": strays,
    "run.json tells what the manifests tell": account,
    "at every stage and export, rows in = rows out + rows in the ledger": balance,
    "every stage took in what the one before it handed on": flow,
    "the ledger holds what left the stages and the exports, and nothing else": ledger,
    "final holds the records of the last stages, byte for byte": content,
    "ids are unique and in order": ids,
    "every record that came in or was asked for is in final or in the ledger": totals,
    "no group and no root lies in two splits": groups,
    "synthetic records are in train, as their parents are, and come from human ones or seeds": lineage,
    "no exact duplicates lie in two splits": exact,
    "no near duplicates lie in two splits": near,
    "no record says what a record of the other set says": against,
    "the hand-off holds the splits' own records once in each form, or the ledger does": handoff,
    "preference pairs are of two records written from one human record of train": preference,
    "what models were paid is logged, and within the budget": bill,
}
"""What is proved, in the order in which it is printed."""


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Args:
        check: what it proves.
        faults: the first of what speaks against it, naming files and ids.
        count: how many faults there are.
        skipped: why there was nothing to prove.
    """

    check: str
    faults: tuple[str, ...] = ()
    count: int = 0
    skipped: str = ""

    def __str__(self) -> str:
        if self.skipped:
            return f"skip  {self.check}: {self.skipped}"
        if not self.count:
            return f"ok    {self.check}"
        more = f"; and {self.count - len(self.faults):,} more" if self.count > len(self.faults) else ""
        return f"FAIL  {self.check}: {'; '.join(self.faults)}{more}"


def verify(root: Path) -> list[Finding]:
    """Every check of `CHECKS` on a finished run.

    Raises:
        InputError: there is no finished run in `root`.
    """
    evidence = Evidence(Finished.open(root))
    return [_finding(name, check, evidence) for name, check in CHECKS.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        The exit code: 0 if the run is sound, 1 if a check fails, 2 if there is no finished run.
    """
    parser = argparse.ArgumentParser(
        prog="python -m curation.verify",
        description="Proves from its files alone that a finished run lost nothing and leaks nothing.",
    )
    parser.add_argument("output", type=Path, metavar="OUT", help="the run's folder")
    root = parser.parse_args(arguments).output
    try:
        findings = verify(root)
    except CurationError as error:
        print(f"curation: {error}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    return int(any(finding.count for finding in findings))


def _finding(name: str, check: Check, evidence: Evidence) -> Finding:
    """A check that can't be carried out has failed: what it should prove is not proved."""
    faults = check(evidence)
    shown: list[str] = []
    try:
        shown.extend(islice(faults, SHOWN))
        count = len(shown) + sum(1 for _ in faults)
    except NothingToProveError as reason:
        return Finding(name, skipped=str(reason))
    except (OSError, ValueError, KeyError, TypeError, CurationError) as error:
        shown = [*shown[: SHOWN - 1], f"can't be checked: {type(error).__name__}: {error}"]
        count = len(shown)
    return Finding(name, tuple(shown), count)
