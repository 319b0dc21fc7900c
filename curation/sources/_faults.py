"""Why a source could not use a row: the ledger's words."""

from __future__ import annotations

from typing import Final

MALFORMED: Final = "malformed"  # not JSON
WRONG_TYPE: Final = "wrong_type"  # a number where a text belongs, a list where an object belongs, …
MISSING_COLUMN: Final = "missing_column"  # a required column is absent or null
EMPTY_RECORD: Final = "empty_record"  # the question or the answer is blank
EMPTY_FILE: Final = "empty_file"  # a file without a single row; stands for the file in one row
INVALID_UTF8: Final = "invalid_utf8"
NUL_BYTE: Final = "nul_byte"
LONE_SURROGATE: Final = "lone_surrogate"
MISSING_DOCUMENT: Final = "missing_document"  # what a leaf names can't be fetched, or is not there
UNREADABLE_DOCUMENT: Final = "unreadable_document"  # a document, or one of its pages, has no text that can be read
DUPLICATE_ID: Final = "duplicate_id"  # set by whoever sees all rows: a source reads its partitions one by one

UNANSWERED: Final = "unanswered"
"""Nobody has answered the question: no fault of the input, and so not among `BAD_INPUT`."""

BAD_INPUT: Final = frozenset(
    {
        MALFORMED,
        WRONG_TYPE,
        MISSING_COLUMN,
        EMPTY_RECORD,
        EMPTY_FILE,
        INVALID_UTF8,
        NUL_BYTE,
        LONE_SURROGATE,
        MISSING_DOCUMENT,
        UNREADABLE_DOCUMENT,
        DUPLICATE_ID,
    }
)
"""What counts against `max_bad_ratio`."""
