"""Repairs of Unicode text: NeMo Curator's UnicodeReformatter (ftfy), asked only about texts that it might change."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Final

from ftfy.badness import is_bad
from ftfy.chardata import HTML_ENTITY_RE
from nemo_curator.modifiers import UnicodeReformatter

from curation.core.nemo import Modifier

# The gate rests on a reading of this release's source (the one that NeMo Curator 0.9 pins); it is off for another.
_PROVEN: Final = version("ftfy") == "6.1.1"
_DEFAULT: Final = UnicodeReformatter().config

_UNUSUAL: Final = re.compile(r"[^\t\n\f\r -~]+")
_REMOVED: Final = re.compile("[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc\ud800-\udfff]")
_REACH: Final = 7  # characters of the longest pattern that ftfy takes for mojibake; each has a non-ASCII one


class Unicode(UnicodeReformatter, Modifier):  # type: ignore[misc]  # NeMo Curator is untyped
    """Fixes mojibake, entities, surrogates, control characters and terminal escapes, exactly as UnicodeReformatter.

    Takes UnicodeReformatter's arguments. With the default ones, a text that ftfy would not change is recognised in a
    tenth of the time; every other text, and every text under other arguments, goes to ftfy.
    """

    def modify_document(self, text: str) -> str:
        """The text as `ftfy.fix_text` mends it."""
        if _PROVEN and self.config == _DEFAULT and _is_clean(text):
            return text
        fixed: str = super().modify_document(text)
        return fixed


def _is_clean(text: str) -> bool:
    """Whether none of ftfy 6.1.1's default fixers can find anything in `text`.

    Its fixers look for: HTML entities; characters that it removes, surrogates among them; and mojibake, which it mends
    only in a line for which `is_bad` holds (C1 controls are always bad). The surroundings of unusual characters
    suffice for `is_bad`, because its patterns look at most `_REACH` characters far and never match pure ASCII; only
    its `^[ÃÂ] ` depends on where a line begins, so it is answered for anywhere.
    """
    if "&" in text and HTML_ENTITY_RE.search(text):
        return False
    if text.isascii():
        return not _REMOVED.search(text)
    near = "".join([text[max(0, m.start() - _REACH) : m.end() + _REACH] for m in _UNUSUAL.finditer(text)])
    return not (_REMOVED.search(near) or "Ã " in near or "Â " in near or is_bad(near))
