"""Evens out white space, and keeps what it means: paragraphs, lines, and the indentation of code."""

from __future__ import annotations

from curation.core.nemo import Modifier


class Whitespace(Modifier):
    r"""Collapses white space without joining lines.

    - Every kind of line end becomes `\n`; two or more empty lines become one, so paragraphs stay apart.
    - Inside a line, a run of white space (tabs, non-breaking and other Unicode spaces) becomes one space. What a line
      begins with is kept, because it is the structure of code and of lists; what it ends with is removed.
    - The whole text is stripped.

    Doing it twice changes nothing more. Words, and so word counts, stay the same.
    """

    def modify_document(self, text: str) -> str:
        """The text, evened out."""
        lines: list[str] = []
        for line in text.splitlines():
            words = _even(line.strip())
            if words:
                lines.append(line[: len(line) - len(line.lstrip())] + words)
            elif lines and lines[-1]:
                lines.append("")
        return "\n".join(lines).strip()


def _even(line: str) -> str:
    # Of all white space only the ASCII space is printable: a quick look spares most lines the splitting.
    return " ".join(line.split()) if "  " in line or not line.isprintable() else line
