"""A finished run on disk, small but real: written by the engine's own functions, without a cluster or a model.

`finished_run` tells the story of 40 human records and two rounds, with every kind of departure in it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from curation import summary
from curation.config import Plan, dump
from curation.core.contracts import Completion, Usage
from curation.core.pairs import compared_texts
from curation.core.records import Record, child, frame, human, seed_of, to_json, unit_interval
from curation.core.vectors import VectorCache, Vectors, hash_of
from curation.engine import ledger
from curation.engine.lift import Outcome, Work, adopt, run_partition
from curation.engine.progress import Progress
from curation.engine.run import Run, columns_of, read_part
from curation.engine.spending import DOLLAR
from curation.engine.store import Manifest, Stage, Store, write_durably, write_json
from curation.job import collect_ledger
from curation.rounds import exporters
from curation.stages._remove import Remove, write_verdicts
from curation.stages.against import MATCHES
from curation.stages.dedup import PAIRS
from curation.stages.export import export
from curation.stages.split import Assign, assign

TOPICS = (
    ("Can a landlord keep the whole deposit for one stained carpet?", "deposit", "landlord,tenancy"),
    ("Is a verbal promise of a raise binding on my employer?", "promise", "contract,employment"),
    ("Who owns code that I wrote on a weekend?", "code", "copyright,employment"),
    ("May my neighbour's camera film our shared drive?", "camera", "privacy"),
    ("Does a missing signature void a lease of one year?", "lease", "contract,tenancy"),
    ("Must a shop honour the price on the shelf?", "price", "consumer"),
    ("When does a hobby seller become a trader?", "trader", "consumer,tax"),
    ("Can I record a call with my bank?", "recording", "privacy"),
)
VECTORS = "encoder-1"
"""The fingerprint of no encoder: the vectors are drawn."""
PLACES = ("Ohio", "Kent", "Bavaria", "Ontario", "Lyon")


@dataclass
class Builder:
    """Publishes stages one after another, as `Run.stage` does, on rows that are given or worked on here."""

    root: Path
    stages: list[Stage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.root)

    def stage(
        self,
        name: str,
        round_number: int,
        parts: Sequence[pd.DataFrame],
        work: Callable[[Path], Work],
        settings: Mapping[str, Any] | None = None,
    ) -> Stage:
        """`work`, decided over an empty stage folder, applied to the partitions and published."""
        folder = self.store.stage_folder(name, round_number)
        with self.store.workspace(folder) as workspace:
            decided = work(workspace)
            counts = [run_partition(part, decided, workspace, number) for number, part in enumerate(parts)]
            dropped: dict[str, int] = {}
            for count in counts:
                adopt(count, workspace)
                for reason, rows in count.dropped.items():
                    dropped[reason] = dropped.get(reason, 0) + rows
            manifest = Manifest(
                stage=name.partition("-")[2],
                round=round_number,
                signature=f"{round_number}-{name}",
                rows_in=sum(count.rows_in for count in counts),
                rows_out=sum(count.rows_out for count in counts),
                dropped=dict(sorted(dropped.items())),
                settings=dict(settings or {}),
                seconds=0.25,
            )
            stage = Stage(folder, self.store.publish(workspace, folder, manifest))
        self.stages.append(stage)
        return stage

    def remove(self, name: str, round_number: int, source: Stage, verdicts: Sequence[Record]) -> Stage:
        """A stage that moves the named rows to the ledger; duplicates among them become its pairs."""

        def decide(folder: Path) -> Work:
            table = pd.DataFrame(verdicts, columns=["id", "reason", "field", "score", "bound", "kept_id", "similarity"])
            if name in ("50-exact", "60-near"):
                pairs = table[["id", "kept_id", "similarity"]].astype({"similarity": "float64"})
                pairs.to_parquet(folder / PAIRS, index=False)
            if name == "45-against":
                found = table.assign(check="exact", detail="exact: title and question", file="bench.jsonl")
                found.to_parquet(folder / MATCHES, index=False)
            return Remove(name.partition("-")[2], round_number, write_verdicts(folder, table))

        settings: dict[str, dict[str, Any]] = {
            "45-against": {"exact": True, "ngram": 13, "threshold": None},
            "60-near": {"vectors": VECTORS},
        }
        return self.stage(name, round_number, _parts(source), decide, settings.get(name))


class _NoCluster:
    """What `Run` asks of a cluster's client before any work is done."""

    def subscribe_topic(self, topic: str, handler: object) -> None:
        """Nobody reports."""


def finished_run(
    root: Path, rounds: int = 2, handoff: Mapping[str, Any] | None = None, mute: Collection[int] = ()
) -> Path:
    """A sound run in `root`: stages, ledger, final, handoff, preference, embeddings, journal, plan and `run.json`.

    Args:
        handoff: what the plan says of it.
        mute: numbers of records without an answer.

    Returns:
        `root`.
    """
    build = Builder(root)
    dataset = [_source(build, mute)]
    for number in range(1, rounds + 1):
        dataset.append(_round(build, dataset, number))
    plan = _plan(rounds, handoff or {})
    write_durably(root / "plan.yaml", dump(plan).encode())
    ended = f"{rounds} of {rounds} rounds are done" if rounds else "no synthetic data: 0 rounds were asked for"
    finish(build, dataset, ended, plan)
    return root


def finish(build: Builder, dataset: Sequence[Stage], ended: str, plan: Plan) -> None:
    """What a run leaves beside its stages."""
    run = Run(build.store, cast(Any, _NoCluster()), Progress(StringIO()), stages=build.stages)
    exports = export(run, dataset, exporters(plan), plan)
    write_vectors(build.root, dataset)
    collect_ledger(build.store, [*build.stages, *(Stage(build.root / found.stage, found) for found in exports)])
    _write_journal(build.root)
    value = summary.summarize(build.root, build.stages, exports, ended)
    write_json(build.root / "run.json", value | {"finished": "2026-01-02T03:04:05+00:00"})


def _plan(rounds: int, handoff: Mapping[str, Any]) -> Plan:
    values = {
        "source": {"name": "sample"},
        "clean": [],
        "against": {"input": ["bench.jsonl"], "threshold": None},
        "rounds": {"count": rounds, "ratio": 0.25},
        "generation": {"generator": {"name": "noise", "arguments": {"variants": 2}}, "critic": None},
        "handoff": dict(handoff),
        "exporters": ["preference"],
    }
    return Plan.model_validate(values)


def _source(build: Builder, mute: Collection[int]) -> Stage:
    """Round 0, up to the split."""
    rows = [{**_record(number), **({"answer": None} if number in mute else {})} for number in range(40)]
    build.stage("05-reference", 0, [frame(_benchmark())], lambda _folder: _keep)
    read = build.stage("10-read", 0, [frame(rows[:20]), frame(rows[20:])], lambda _folder: _read)
    clean = build.remove(
        "40-clean",
        0,
        read,
        [
            *(
                _verdict(number, "low_score", field="answer_score", score=-number, bound="low_score(minimum=0)")
                for number in (3, 11, 17, 33)
            ),
            *(
                _verdict(number, "word_count", field="question", score=12, bound="WordCountFilter(min_words=50)")
                for number in (5, 21)
            ),
        ],
    )
    apart = build.remove("45-against", 0, clean, [])
    exact = build.remove("50-exact", 0, apart, [_verdict(8, "exact_duplicate", 0), _verdict(9, "exact_duplicate", 1)])
    near = build.remove("60-near", 0, exact, [_verdict(16, "near_duplicate", 24, 0.981)])

    def decide(folder: Path) -> Work:
        pairs = pd.concat([pd.read_parquet(stage.folder / PAIRS) for stage in (exact, near)])
        assign(columns_of([near], ["id"])["id"], pairs, Plan.model_fields["split"].get_default(), 42).to_parquet(
            folder / "splits.parquet", index=False
        )
        return Assign(folder / "splits.parquet")

    return build.stage("70-split", 0, _parts(near), decide)


def _round(build: Builder, dataset: Sequence[Stage], number: int) -> Stage:
    """Six parents, two children of each; one or two leave at every step."""
    train = [row for stage in dataset for part in _parts(stage) for row in part.to_dict("records")]
    ids = sorted(row["id"] for row in train if row["split"] == "train" and row["origin"] == "human")
    chosen = ids[number::4][:6]
    held_out = next(row["id"] for row in train if row["split"] == "test")
    rows = frame(row for row in train if row["id"] in chosen)
    parents = build.stage("20-parents", number, [rows[:3], rows[3:]], lambda _folder: _keep)
    table = build.stage("30-synthesize", number, _parts(parents), lambda _folder: _Expand(number))
    made = sorted(columns_of([table], ["id"])["id"])
    clean = build.remove(
        "40-clean",
        number,
        table,
        [{"id": made[0], "reason": "word_count", "field": "question", "score": 31, "bound": "WordCountFilter()"}],
    )
    apart = build.remove("45-against", number, clean, [])
    exact = build.remove(
        "50-exact", number, apart, [_duplicate(made[1], chosen[-1], "exact_duplicate", 1.0, "similarity >= 1")]
    )
    near = [_duplicate(made[3], made[2], "near_duplicate", 0.975, "similarity >= 0.97")]
    near += [_duplicate(made[4], held_out, "leak", 0.93, "similarity >= 0.9")]
    return build.remove("60-near", number, exact, near)


@dataclass(frozen=True)
class _Expand:
    """Two children of each parent: the question is said differently; the third and last reply can't be used."""

    round_number: int

    def __call__(self, parents: pd.DataFrame) -> Outcome:
        rows = [_child(row, index, self.round_number) for row in parents.to_dict("records") for index in range(2)]
        kept, left = frame(rows[:-1]), frame(rows[-1:])
        detail = 'the reply has no field \'question\': {"text": "<b>Sure!</b> Here is'
        return Outcome(
            kept,
            ledger.entries(left, "synthesize", self.round_number, reason="unreadable_reply", detail=detail),
            expected=len(rows),
        )


def _keep(rows: pd.DataFrame) -> Outcome:
    return Outcome(rows)


def _read(rows: pd.DataFrame) -> Outcome:
    """The source could not use two of its rows."""
    marked = rows.assign(reason=rows["id"].map({_id(30): "unanswered", _id(31): "malformed"}))
    bad = marked["reason"].notna()
    return Outcome(rows[~bad], ledger.entries(marked[bad], "read", 0, detail="law.jsonl: the row can't be used"))


def _parts(stage: Stage) -> list[pd.DataFrame]:
    return [read_part(str(path)) for path in stage.parts]


def _id(number: int) -> str:
    return f"law-{number:04d}"


def _record(number: int) -> Record:
    title, word, tags = TOPICS[number % len(TOPICS)]
    place = PLACES[number % len(PLACES)]
    question = (
        f"I live in {place} and this is case {number} about a {word}. We never put anything in writing. "
        f"The other side now says that the {word} settles the matter & that I have no <claim> at all. "
        "Is that right, and what should I do first?"
    )
    answer = (
        f"In {place} the {word} alone rarely settles it. Write down what was agreed, and when, while you remember it. "
        "Then ask the other side in writing to state the rule that they rely on. " + "Keep a copy. " * (number % 7)
    )
    return human(
        _id(number),
        title=title,
        question=question,
        answer=answer,
        tags=tags,
        question_score=float(number % 9),
        answer_score=float(number % 5),
        file_name="law.jsonl",
        line=number + 1,
        extra=to_json({"url": f"https://law.example/{number}"}),
    )


def _benchmark() -> list[Record]:
    """Two records of another set, which no record of the dataset matches."""
    questions = (
        "May a guest of the hotel bring a dog?",
        "Which court hears a dispute between two states of a federal union, and who pays?",
    )
    return [
        human(
            f"bench.jsonl:{line}", question=question, answer="It depends.", file_name="bench.jsonl", line=line, round=-1
        )
        for line, question in enumerate(questions, 1)
    ]


def _child(parent: Record, index: int, number: int) -> Record:
    question = parent["question"].replace("We never put", "nobody put").replace("Is that right", "Is this true")
    strategy = "noise:typos" if index else "noise:context"
    answer = parent["answer"] + index * f" That is all, {number}."
    draft = {"question": f"Hello. {question} Thanks {number}.{index}", "answer": answer, "strategy": strategy}
    grade = round(2 * unit_interval(parent["id"], index, number), 3)
    scores = {"copy_distance": grade / 4, "relevance": 1 - grade / 5}
    return {**child(parent, index, number, draft), "scores": to_json(scores), "answer_score": grade}


def _verdict(number: int, reason: str, kept: int | None = None, similarity: float = 1.0, **why: Any) -> Record:
    verdict: Record = {"id": _id(number), "reason": reason, **why}
    if kept is not None:
        verdict |= {"kept_id": _id(kept), "similarity": similarity, "bound": "similarity >= 0.97"}
    return verdict


def _duplicate(identifier: str, kept_id: str, reason: str, similarity: float, bound: str) -> Record:
    return {"id": identifier, "reason": reason, "kept_id": kept_id, "similarity": similarity, "bound": bound}


def _write_journal(root: Path) -> None:
    """Three replies of a teacher, and what was paid for them and for a request that was put off."""
    (root / "journal").mkdir(exist_ok=True)
    completion = Completion(("fine",), "stop", Usage(90, 60), model="teacher-8b").to_dict()
    lines = [{"key": f"{number:032x}", "model": "teacher-8b", "completion": completion} for number in range(3)]
    (root / "journal" / "host-1.jsonl").write_text("".join(to_json(line) + "\n" for line in lines) + '{"torn')
    (root / "spending").mkdir(exist_ok=True)
    figures = {"requests": 4, "replies": 3, "rate_limited": 1, "prompt_tokens": 270, "completion_tokens": 180}
    total = {"sum": {"teacher-8b": {**figures, "money": DOLLAR // 20}}, "of": []}
    (root / "spending" / "sum-1.jsonl").write_text(to_json(total) + "\n")


def write_vectors(root: Path, stages: Sequence[Stage], near: Mapping[str, str] | None = None) -> None:
    """A random unit vector for each text of `stages`; a text of `near` gets almost that of another record.

    Args:
        near: by the id of a record, that of the record which it shall resemble.
    """
    rows = pd.concat([part for stage in stages for part in _parts(stage)]).drop_duplicates("id")
    vectors = {row: _unit(row) for row in rows["id"]}
    for one, other in (near or {}).items():
        vectors[one] = vectors[other]
    hashes = [hash_of(text) for text in compared_texts(rows, "question")[0]]
    VectorCache(root / "embeddings", VECTORS).add(hashes, np.stack([vectors[row] for row in rows["id"]]))


def _unit(identifier: str) -> Vectors:
    values = np.random.default_rng(seed_of(identifier)).normal(size=64)
    return (values / np.linalg.norm(values)).astype(np.float32)
