"""The elements that a text can be required to have, told by the marks of Markdown (CommonMark, and GitHub's tables)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_BULLETS: Final = r"(?m)^[ \t]*[-*+•][ \t]{1,4}\S*\w"
_NUMBERED: Final = r"(?m)^[ \t]*\d{1,9}[.)][ \t]{1,4}\S*\w"
_FENCE: Final = r"(?m)^[ \t]*(?:```|~~~)"
_TARGET: Final = r"\[[^\[\]\n]{1,300}\]\(\S"  # [text](target

ELEMENTS: Final = {
    "bold": r"(?<![\w*])\*\*(?=\S)[^*\n]{1,300}\*\*|(?<!\w)__(?=\S)[^_\n]{1,300}__(?!\w)",
    "bulleted_list": _BULLETS,
    "code": rf"{_FENCE}|`[^`\n]+`",  # a block, or a span in a line
    "code_block": _FENCE,
    "heading": r"(?m)^ {0,3}#{1,6}[ \t]{1,8}\S",
    "image": r"!\[[^\[\]\n]{0,300}\]\(\S",
    "link": rf"(?<!!){_TARGET}|(?<!\]\()\bhttps?://\w",  # or a bare address
    "list": rf"{_BULLETS}|{_NUMBERED.removeprefix('(?m)')}",
    "math": r"\\\(|\\\[|\$\$|\$(?=\S)[^$\n]{1,300}(?<=\S)\$(?!\d)",  # TeX; of dollars as Pandoc reads them
    "number": r"(?<![\w.])\d",
    "numbered_list": _NUMBERED,
    "paragraphs": r"\S[ \t\r]{0,8}\n[ \t\r]{0,8}\n\s{0,8}\S",  # two or more
    "question_mark": "[?？؟]",
    "quote": r"(?m)^ {0,3}>[ \t]{0,4}\S",
    "table": r"(?m)^(?=[ :|\t]*+-)(?=[-: \t]*+\|)[-:| \t\r]++$",  # the row of dashes under its head
}
"""What each looks like. All are found in a time that grows with the text's length alone."""

_IN_FENCES: Final = re.compile(r"(?ms)^[ \t]*(```|~~~).*?(?:^[ \t]*\1|\Z)")


def lacking(text: str, elements: Iterable[str]) -> list[str]:
    """Those of `elements` that a text has not; what stands in a block of code is code alone, no heading or list."""
    prose = _IN_FENCES.sub("", text) if "```" in text or "~~~" in text else text
    return [
        name for name in elements if not re.search(ELEMENTS[name], text if name in ("code", "code_block") else prose)
    ]
