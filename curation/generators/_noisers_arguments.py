"""Checks of the arguments that the noise generators share."""

from __future__ import annotations

from collections.abc import Sequence


def check_words(name: str, words: Sequence[str]) -> None:
    """Raises ValueError where an argument is no list of texts, or one of them is blank."""
    if isinstance(words, str) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError(f"{name} must be words or phrases, none of them blank, not {words!r}")
