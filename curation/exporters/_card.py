"""The README.md of a hand-off folder: a dataset card as Hugging Face's hub and `datasets` read it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from curation.core.contracts import Exported
from curation.core.records import SYNTHETIC
from curation.exporters._forms import FILES, FORMS, Template

_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
    (10_000_000_000, "1B<n<10B"),
)
_LICENSES: Final = re.compile(
    r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[1-4]\.\d|mit|apache-2\.0|odc-by|odbl|gfdl|pddl|unlicense"
)
"""Those by which the hub's names for licenses can be told; another is called `other`."""
_SHOWN: Final = 20  # licenses
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#!|~$&@]|:(?=//)|(?<=www)\.)")
_ABOUT: Final = """\
Two forms of the same examples, each with the id of its record in `final/`:

- `chat/`: `messages` with the task as the system's, the question as the user's, and the answer as the assistant's.
- `nemo/`: `input` and `output`, a prompt that is continued.

`recipes/` has scripts that fine-tune on them; `token_stats.json` tells how long examples are, and `manifest.json` has
the SHA-256 of each file. Every record that is missing here is in `left-*.parquet`, with the reason.
"""
_LINEAGE: Final = """\
Records of people come from the source; a synthetic one was written from a record of the training split, and lies in
that split, as do all that descend from one record. Validation and test hold what people wrote, and nothing else.
"""


def card(template: Template, exported: Exported) -> str:
    """The whole text. Whatever comes from the run is escaped, so that it can be nothing but text."""
    head = yaml.safe_dump(_metadata(template, exported), sort_keys=False, allow_unicode=False, width=120)
    return f"---\n{head}---\n\n" + "\n".join(_sections(template, exported))


def escaped(text: object) -> str:
    """Markdown that shows `text` as it is, on one line, without links, HTML, tables or code."""
    words = " ".join(str(text).split())
    return _MARKUP.sub(r"\\\1", words.encode("utf-8", "replace").decode())


def license_of(licenses: Mapping[str, int]) -> str | list[str] | None:
    """The hub's name of what the source says; None where it says nothing."""
    known = sorted({_hub_name(name) for name in licenses})
    return (known[0] if len(known) == 1 else known) if known else None


def _hub_name(name: str) -> str:
    word = re.sub(r"[\s_]+", "-", name.strip().lower())
    return word if _LICENSES.fullmatch(word) else "other"


def _metadata(template: Template, exported: Exported) -> dict[str, Any]:
    total = sum(sum(counts.values()) for counts in exported.counts.values())
    is_part_synthetic = any(counts.get(SYNTHETIC) for counts in exported.counts.values())
    found: dict[str, Any] = {}
    if license_name := license_of(exported.licenses):
        found["license"] = license_name
    found["task_categories"] = ["question-answering" if template.name == "qa" else "text-generation"]
    found["tags"] = ["curation", "fine-tuning", *(["synthetic"] if is_part_synthetic else []), template.name]
    found["size_categories"] = [next((name for bound, name in _SIZES if total < bound), "n>1T")]
    # `datasets` fails at an empty file, so a split without examples is not named.
    splits = [split for split in FILES if sum(exported.counts.get(split, {}).values())]
    if splits:
        found["configs"] = [
            {
                "config_name": form,
                **({"default": True} if form == FORMS[0] else {}),
                "data_files": [{"split": split, "path": f"{form}/{FILES[split]}.jsonl"} for split in splits],
            }
            for form in FORMS
        ]
    return found


def _sections(template: Template, exported: Exported) -> Iterator[str]:
    yield f"# Task {escaped(template.name)}\n"
    yield _listed({"prompt": template.prompt, "asked with": ", ".join(template.input), "answer": template.output})
    yield _ABOUT
    yield "## Sizes\n"
    origins = sorted({origin for counts in exported.counts.values() for origin in counts})
    rows = [
        [FILES[split], *(f"{counts.get(origin, 0):,}" for origin in origins), f"{sum(counts.values()):,}"]
        for split, counts in exported.counts.items()
    ]
    yield _table(["file", *origins, "all"], rows)
    yield _listed({"left out": exported.refused})
    yield "## Lineage\n"
    yield _LINEAGE
    yield from _run(exported.run)
    yield "## License\n"
    most = sorted(exported.licenses.items(), key=lambda item: (-item[1], item[0]))
    yield _listed({name: f"{count:,} records" for name, count in most[:_SHOWN]} or {"license": "the source names none"})


def _run(run: Mapping[str, Any]) -> Iterator[str]:
    """What the plan and the run tell: by title, either what is called how, or a table of the stages."""
    for title, facts in run.items():
        yield f"## {escaped(title)}\n"
        if isinstance(facts, Mapping):
            yield _listed(facts)
        else:
            columns = list(facts[0]) if facts else []
            yield _table(columns, [[_value(row[name]) for name in columns] for row in facts])


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _counted(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escaped(value)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {escaped(name)}" for name, count in counts.items()) or "none"


def _listed(facts: Mapping[str, Any]) -> str:
    return "".join(f"- {escaped(name)}: {_value(value)}\n" for name, value in facts.items())


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
