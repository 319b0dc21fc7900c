"""Every error of this package.

CurationError            a user can mend it: shown as one message, without a traceback, exit code 2
├── PlanError            faults of the plan (flags, YAML, component names), all of them at once
├── InputError           data that can't be read: names the file and, where there is one, the line
├── EndpointError        an endpoint refuses every request: wrong key, unknown model, unreachable address
├── DiskError            the output folder can't be written: full, read-only, not a folder
├── LockedError          another run holds the output folder
└── MissingPackageError  an optional package is not installed
RecordError              one record's own failure: it goes to the ledger, and the run goes on
├── RequestError         its request failed for good (after its retries, or at once: a prompt that is too long)
└── ReplyError           the model's reply can't be read
"""

from __future__ import annotations

from collections.abc import Sequence


class CurationError(Exception):
    """Says what was wrong, where, and what to do."""


class PlanError(CurationError):
    """All faults of a plan.

    Args:
        faults: one line each: the field, what is wrong with it, and the nearest valid spelling.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"the plan has {count}:\n" + "\n".join(f"  - {fault}" for fault in self.faults))

    def __reduce__(self) -> tuple[type[PlanError], tuple[list[str]]]:
        return type(self), (self.faults,)


class InputError(CurationError):
    """Input that can't be read."""


class EndpointError(CurationError):
    """An endpoint that refuses every request, so that going on would only fail again."""


class DiskError(CurationError):
    """A folder that can't be written."""


class LockedError(CurationError):
    """The output folder belongs to another run that is still alive."""


class MissingPackageError(CurationError):
    """An optional package that this plan needs is not installed."""


class RecordError(Exception):
    """One record's own failure.

    Args:
        reason: the ledger's short word, such as `unreadable_reply`.
        detail: what a person needs to understand it: the status, the message, or the reply's text.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")

    def __reduce__(self) -> tuple[type[RecordError], tuple[str, str]]:
        return type(self), (self.reason, self.detail)


class RequestError(RecordError):
    """A request that failed for good."""


class ReplyError(RecordError):
    """A reply that can't be read."""
