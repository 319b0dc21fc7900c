"""What trainers read: the tasks' folders in `handoff/`, and preference pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from curation.core.records import HUMAN, SPLITS, digest, to_json
from curation.engine.store import Stage
from curation.exporters._forms import FILES, FORMS, Template, read_lines
from curation.exporters.preference import Preference
from curation.verify.evidence import Evidence, NothingToProveError, records_of, values_of

_KEYS = {"chat": ["id", "messages"], "nemo": ["id", "input", "output"]}
_ROLES = ["system", "user", "assistant"]


def handoff(evidence: Evidence) -> Iterator[str]:
    """Each record of `final/` is one example in each form of a task, or in the ledger; nothing else is an example."""
    tasks = {stage.folder: stage for stage in evidence.exports if "template" in stage.manifest.settings}
    for task in evidence.run.plan["tasks"]:
        if evidence.run.root / "handoff" / task["name"] not in tasks:
            yield f"handoff/{task['name']} is missing, or its manifest names no template"
    splits = dict(zip(evidence.final["id"], evidence.final["file"], strict=True))
    for stage in tasks.values():
        refused = dict(zip(values_of(stage.left, "id"), values_of(stage.left, "reason"), strict=True))
        for identifier in refused.keys() - splits.keys():
            yield f"{evidence.shown(stage.folder)}: {identifier} in its ledger is no record of final/"
        for split in SPLITS:
            yield from _split_faults(evidence, stage, split, refused, splits)
        yield from _length_faults(evidence, stage)


def _split_faults(
    evidence: Evidence, stage: Stage, split: str, refused: Mapping[str, str], splits: Mapping[str, str]
) -> Iterator[str]:
    """What is wrong with a task's files of a split: its examples are made once more, and kept as hashes."""
    told = stage.manifest.settings["template"]
    template = Template(told["name"], told["prompt"], tuple(told["input"]), told["output"])
    expected: dict[str, dict[str, str]] = {form: {} for form in FORMS}
    for rows in records_of(evidence.path_of(split)):
        for row in rows.to_dict("records"):
            identifier, is_whole = row["id"], template.missing(row) is None
            if is_whole == (refused.get(identifier) == "incomplete"):
                yield f"{evidence.shown(stage.folder)}: {identifier} lacks no text, or is not in the ledger for it"
            if is_whole and identifier not in refused:
                expected["chat"][identifier] = digest(to_json(template.chat(row)))
                expected["nemo"][identifier] = digest(to_json(template.example(row)))
    for form, due in expected.items():
        path = stage.folder / form / f"{FILES[split]}.jsonl"
        seen: set[str] = set()
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                for fault in _example_faults(line, form, split, due, splits, seen):
                    yield f"{evidence.shown(path)}:{number} {fault}"
        for identifier in due.keys() - seen:
            yield f"{evidence.shown(path)}: record {identifier} is missing"
        if len(seen) != stage.manifest.settings["splits"].get(split):
            told_of = stage.manifest.settings["splits"].get(split)
            yield f"{evidence.shown(path)} has {len(seen)} examples, its manifest {told_of}"


def _example_faults(
    line: bytes, form: str, split: str, due: Mapping[str, str], splits: Mapping[str, str], seen: set[str]
) -> Iterator[str]:
    """What is wrong with one line of a hand-off file; notes its id in `seen`."""
    if not line.isascii() or not line.endswith(b"\n"):
        yield "is not ASCII, or is cut"
    try:
        example = orjson.loads(line)
    except ValueError:
        yield "is no JSON" if line.strip() else "is blank"
        return
    if fault := _form_fault(example, form):
        yield fault
        return
    identifier = example["id"]
    if identifier in seen:
        yield f"({identifier}) stands here twice"
    seen.add(identifier)
    if splits.get(identifier) != split:
        yield f"({identifier}) is no record of {split} in final/"
    elif identifier not in due:
        yield f"({identifier}) is in the ledger as well"
    elif digest(to_json(example)) != due[identifier]:
        yield f"({identifier}) is not what its record says"


def _form_fault(example: Any, form: str) -> str | None:
    """What a reader of the form would stumble over."""
    if not isinstance(example, dict) or sorted(example) != _KEYS[form] or not isinstance(example["id"], str):
        return f"has not exactly the keys {', '.join(_KEYS[form])}"
    texts = [example["id"], example.get("input", "-"), example.get("output", "-")]
    if form == "chat":
        turns = example["messages"]
        if not isinstance(turns, list) or [turn.get("role") for turn in turns if isinstance(turn, dict)] != _ROLES:
            return f"({example['id']}) is no chat of system, user and assistant"
        texts = [turn.get("content") for turn in turns]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        return f"({example['id']}) has a null or an empty text"
    if form == "nemo" and example["input"] != example["input"].rstrip():
        return f"({example['id']}) ends its input with white space"
    return None


def _length_faults(evidence: Evidence, stage: Stage) -> Iterator[str]:
    """Where a tokenizer has counted, nothing that is there is over length, and everything is that left for it."""
    plan = evidence.run.plan["handoff"]
    if not plan["tokenizer"]:
        return
    stats = orjson.loads((stage.folder / "token_stats.json").read_bytes())
    for name, split in stats["splits"].items():
        if split["examples"] and split["example"]["max"] > plan["max_tokens"]:
            yield f"{evidence.shown(stage.folder)}: {name} has an example of {split['example']['max']} tokens"
    for identifier, reason, score in zip(
        *(values_of(stage.left, name) for name in ("id", "reason", "score")), strict=True
    ):
        if reason == "over_length" and score <= plan["max_tokens"]:
            yield f"{evidence.shown(stage.folder)}: {identifier} left with {score:.0f} tokens"


def preference(evidence: Evidence) -> Iterator[str]:
    """A pair is of two records that were written from one human record of train; no record has pairs in both files."""
    folders = [stage.folder for stage in evidence.exports if stage.manifest.stage == Preference.folder]
    if not folders:
        raise NothingToProveError("the plan asks for none")
    final = evidence.final[evidence.final["file"] == "train"]
    parents = dict(zip(final["id"], final["parent_id"], strict=True))
    people = set(final.loc[final["origin"] == HUMAN, "id"])
    left = [path for stages in evidence.run.rounds[1:] for stage in stages for path in stage.left]
    written = {**dict(zip(values_of(left, "id"), values_of(left, "parent_id"), strict=True)), **parents}
    seen: set[str] = set()
    places: dict[str, str] = {}
    for path in sorted(folders[0].glob("*.jsonl")):
        for number, pair in enumerate(read_lines(path), 1):
            parent, where = pair["parent_id"], f"{evidence.shown(path)}:{number}"
            chosen, rejected = pair["chosen_id"], pair["rejected_id"]
            if parent not in people or places.setdefault(parent, path.name) != path.name:
                yield f"{where} is of {parent}, which is no human record of train, or has pairs in both files"
            if parents.get(chosen) != parent or written.get(rejected) != parent:
                yield f"{where} is of {chosen} and {rejected}, which were not written from {parent}"
            if pair["score_chosen"] < pair["score_rejected"] or pair["chosen"] == pair["rejected"]:
                yield f"{where} prefers what is graded lower, or says the same"
            if pair["id"] in seen:
                yield f"{where} has the id of another pair, {pair['id']}"
            seen.add(pair["id"])
