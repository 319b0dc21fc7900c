"""The job as a recipe: curate what people wrote, split it, then generate, judge and curate in rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from curation import stages
from curation.config import Keys, Plan, SemanticPlan, key_variable
from curation.core.endpoints import is_local
from curation.core.records import SEED
from curation.core.registry import Spec
from curation.engine.run import Run, columns_of
from curation.engine.store import Manifest, Stage

PARENTS_IN_A_PARTITION = 2_000
"""Most of them that come in one table: what a worker holds in memory, and does again when it is lost."""


@dataclass
class Result:
    """What a run made.

    Args:
        dataset: the stages whose rows together are the dataset: the split, then what each round added.
        exports: the manifests of the written folders.
        ended: why no further round was run, in a sentence.
    """

    dataset: list[Stage]
    exports: list[Manifest] = field(default_factory=list)
    ended: str = ""


def curate(run: Run, plan: Plan, keys: Keys) -> Result:
    """Runs the plan; stages that an earlier try published are read back."""
    other = read_other(run, plan)
    result = Result([curate_source(run, plan, other)])
    obstacle = why_no_rounds(plan, keys)
    if obstacle:
        result.ended = f"no synthetic data: {obstacle}"
        run.progress.say(f"Skipping the rounds of generation: {obstacle}.")
    else:
        with stages.asking(run, plan):
            _rounds(run, plan, keys, result, other)
        run.progress.say(f"Rounds ended: {result.ended}.")
    result.exports = stages.export(run, result.dataset, exporters(plan), plan)
    return result


def read_other(run: Run, plan: Plan) -> Stage | None:
    """The set that must stay out of the dataset, where the plan names one."""
    return stages.reference(run, plan.against, plan.clean, plan.max_bad_ratio) if plan.against.input else None


def curate_source(run: Run, plan: Plan, other: Stage | None = None) -> Stage:
    """Reads, cleans, deduplicates and splits the records of the source; none that matches the other set stays."""
    raw = stages.read(run, plan.source_spec(), plan.max_bad_ratio)
    table = _clean(run, plan, raw, other, 0)
    deduped = _dedup(run, plan, table, [], 0)
    return stages.split(run, deduped[-1] if deduped else table, deduped, plan.split, plan.seed)


def draw_parents(
    run: Run, plan: Plan, dataset: list[Stage], used: list[Stage], need: stages.Need | None, round_number: int
) -> Stage:
    """The parents of a round: what groups need, or a share of the training records and seeds.

    No more of them than could still be wanted.
    """
    if plan.rounds.balance and need:
        wanted = stages.Wanted(sum(need.parents.values()), plan.rounds.balance.by, need.parents)
    else:
        train = _train_size(dataset)
        count = max(1, round(plan.rounds.ratio * (train + _seeds(dataset)))) if plan.rounds.ratio else 0
        if plan.rounds.target_size:
            count = min(count, plan.rounds.target_size - train)
        wanted = stages.Wanted(count)
    workers = sum(run.client.nthreads().values())
    partitions = max(workers, math.ceil(wanted.count / PARENTS_IN_A_PARTITION))
    return stages.parents(run, dataset, used, wanted, max(1, min(partitions, wanted.count)), plan.seed, round_number)


def needed(plan: Plan, dataset: list[Stage], used: list[Stage]) -> stages.Need | None:
    """What the groups of the dataset still need, where the plan balances them."""
    balance = plan.rounds.balance
    if balance is None:
        return None
    variants = plan.generation.generator.spec("generator").create().variants
    return stages.need(dataset, used, balance, plan.rounds.target_size, variants)


def why_no_rounds(plan: Plan, keys: Keys) -> str | None:
    """What is missing for generation, or None. A plan of 0 rounds, or a ratio of 0, is a reason too."""
    if not plan.rounds.count:
        return "0 rounds were asked for"
    if not plan.rounds.ratio and not plan.rounds.balance:
        return "the ratio of parents is 0"
    for name, model in plan.generation.asked:
        who = {"judge": "the critic", "teacher": "the generator"}.get(name, f"generation.{name}")
        if model.kind != "openai_compatible":
            continue
        if not model.endpoint:
            return f"{who} has no endpoint (--synth-gen-endpoint, --reward-endpoint)"
        if not model.model:
            return f"{who} has no model (--synth-gen-model, --reward-model)"
        if keys.of(model) is None and not is_local(model.endpoint):
            return f"{who} has no key for {model.endpoint} (set {key_variable(model.endpoint)})"
    return None


def exporters(plan: Plan) -> list[Spec]:
    """What is written at the end."""
    tasks = [{**task.model_dump(exclude={"name"}), "task": task.name} for task in plan.tasks]
    handoff = [Spec("exporter", "handoff", {**task, **plan.handoff.model_dump()}) for task in tasks]
    return [Spec("exporter", "jsonl", {}), *handoff, *(exporter.spec("exporter") for exporter in plan.exporters)]


def _rounds(run: Run, plan: Plan, keys: Keys, result: Result, other: Stage | None) -> None:
    used: list[Stage] = []
    for number in range(1, plan.rounds.count + 1):
        need = needed(plan, result.dataset, used)
        if ended := _why_no_more(plan, result.dataset, need):
            result.ended = ended
            return
        used.append(draw_parents(run, plan, result.dataset, used, need, number))
        table = written = stages.synthesize(run, used[-1], plan, keys, number)
        table = _clean(run, plan, table, other, number)
        table = [table, *_dedup(run, plan, table, result.dataset, number)][-1]
        table = _cut(run, plan, table, result.dataset, need, number)
        table = _measure(run, plan, table, result.dataset, number)
        result.dataset.append(table)
        if ended := _why_too_narrow(plan, table, number):
            result.ended = ended
            return
        if stages.BUDGET_SPENT in written.manifest.dropped:
            result.ended = f"what the run may spend is used up in round {number}; a higher budget goes on from here"
            return
        gain = table.manifest.rows_out
        if need is None and gain < plan.rounds.min_gain:
            result.ended = f"round {number} added {gain}, fewer than min_gain={plan.rounds.min_gain}"
            return
    ended = _why_no_more(plan, result.dataset, needed(plan, result.dataset, used))
    result.ended = ended or f"{plan.rounds.count} of {plan.rounds.count} rounds are done"


def _why_no_more(plan: Plan, dataset: list[Stage], need: stages.Need | None) -> str | None:
    """Why no further round is wanted, in a sentence; None where one is."""
    size = _train_size(dataset)
    if not size + _seeds(dataset):
        return "the training split is empty: there is nothing to write new records from"
    if plan.rounds.target_size and size >= plan.rounds.target_size:
        return f"the training split has reached its target of {plan.rounds.target_size:,} records"
    if need is None or need.parents:
        return None
    short = sum(need.room.values())
    groups = f"{len(need.room)} groups are" if len(need.room) > 1 else "a group is"
    return f"{groups} still {short:,} records short, with no parents left" if short else "every group has its records"


def _cut(run: Run, plan: Plan, new: Stage, dataset: list[Stage], need: stages.Need | None, round_number: int) -> Stage:
    """The new records, less those that are more than were wanted."""
    if plan.rounds.balance and need:
        return stages.target_groups(run, new, need.room, plan.rounds.balance.by, plan.seed, round_number)
    if plan.rounds.target_size:
        return stages.target(run, new, plan.rounds.target_size - _train_size(dataset), plan.seed, round_number)
    return new


def _measure(run: Run, plan: Plan, new: Stage, dataset: list[Stage], round_number: int) -> Stage:
    """The new records, with what they do to diversity; none of them where the plan takes them back for it."""
    wanted = plan.rounds.diversity
    if wanted is None:
        return new
    device = plan.cluster.device
    return stages.diversity(run, new, dataset, wanted, plan.dedup.semantic, device, plan.seed, round_number)


def _why_too_narrow(plan: Plan, new: Stage, round_number: int) -> str | None:
    """Why no round follows one that has passed a bound of diversity, in a sentence; None where one may."""
    wanted = plan.rounds.diversity
    found = stages.breached(new, wanted) if wanted else []
    if wanted is None or not found:
        return None
    passed = f"round {round_number} has narrowed the training split: {'; '.join(map(str, found))}"
    if wanted.on_breach == "take_back":
        return f"{passed}; its records are in the ledger"
    return passed if wanted.on_breach == "stop" else None


def _clean(run: Run, plan: Plan, table: Stage, other: Stage | None, round_number: int) -> Stage:
    """What passes the filters, less what matches the other set."""
    table = stages.clean(run, table, plan.clean, plan.max_bad_ratio, round_number)
    if other is None:
        return table
    semantic = plan.dedup.semantic or SemanticPlan()
    return stages.decontaminate(run, table, other, plan.against, semantic, plan.cluster.device, round_number)


def _dedup(run: Run, plan: Plan, table: Stage, against: list[Stage], round_number: int) -> list[Stage]:
    """The dedup stages that the plan asks for, in order; none where it asks for none."""
    done: list[Stage] = []
    if plan.dedup.exact:
        done.append(stages.exact(run, table, against, plan.dedup.exact, round_number))
        table = done[-1]
    if plan.dedup.fuzzy:
        done.append(stages.fuzzy(run, table, against, plan.dedup.fuzzy, round_number))
        table = done[-1]
    if plan.dedup.semantic:
        device = plan.cluster.device
        done.append(stages.near(run, table, against, plan.dedup.semantic, plan.split.near, device, round_number))
    return done


def _train_size(dataset: list[Stage]) -> int:
    rows = columns_of(dataset, ["split", "origin"])
    return int(((rows["split"] == "train") & (rows["origin"] != SEED)).sum())


def _seeds(dataset: list[Stage]) -> int:
    return int((columns_of(dataset[:1], ["origin"])["origin"] == SEED).sum())
