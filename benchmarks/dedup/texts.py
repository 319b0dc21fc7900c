"""Real English for the benchmarks: sentences of the documentation that the installed packages carry in their code.

Nothing is downloaded, and nothing of it lies in this repository. Documentation has what curated data has too: plain
prose, templates with a changing word, boilerplate, and sentences that were copied and edited.
"""

from __future__ import annotations

import ast
import re
import sysconfig
import warnings
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

_SENTENCE = re.compile(r"[A-Z][^\n]*?[a-z)][.?!](?=\s|$)")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def sentences(count: int, least: int = 8, most: int = 40) -> list[str]:
    """Different sentences of `least` to `most` words, always the same ones from the same packages.

    Raises:
        SystemExit: the installed packages hold fewer.
    """
    found = {text for text in _documentation() if least <= text.count(" ") + 1 <= most}
    if len(found) < count:
        raise SystemExit(f"the installed packages' documentation has only {len(found):,} sentences, not {count:,}")
    return sorted(found, key=lambda text: blake2b(text.encode()).digest())[:count]


def _documentation() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED):
                for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
                    yield from _SENTENCE.findall(" ".join(paragraph.split()))
