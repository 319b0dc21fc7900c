"""Rounds that go on until every group has its records, though a teacher gives little for some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import pytest

from curation import rounds, summary
from curation.config import Keys, Plan
from curation.core.contracts import ChatModel, Generator
from curation.core.errors import InputError
from curation.core.records import Record, rejected, seed_of
from curation.engine.progress import Silent
from curation.engine.run import Run
from curation.engine.store import Store
from curation.estimate import estimate

if TYPE_CHECKING:
    from distributed import Client

LEAVES = ("arts/music", "reasoning/tables", "science/birds")


class Uneven(Generator):
    """Writes `variants` from each parent; of the `rare` leaf only every so many are any good."""

    needs_model: ClassVar[bool] = False

    def __init__(self, rare: str = LEAVES[1], one_in: int = 10, variants: int = 4, fixed: bool = False) -> None:
        self.rare = rare
        self.one_in = one_in
        self.variants = variants
        self.fixed = fixed

    async def expand(self, record: Record, model: ChatModel | None) -> list[Record]:
        leaf = orjson.loads(record["extra"])["leaf"]
        round_number = 0 if self.fixed else record["_round"]
        names = [f"{record['id']} {round_number} {number}" for number in range(self.variants)]
        drafts: list[Record] = [
            {"question": f"What of {name}?", "answer": f"It is {name}.", "strategy": "uneven"} for name in names
        ]
        lucky = [leaf != self.rare or seed_of(name) % self.one_in == 0 for name in names]
        return [
            draft if is_good else rejected(draft, "unreadable_reply", "…")
            for draft, is_good in zip(drafts, lucky, strict=True)
        ]


def plan_for(folder: Path, rounds: Mapping[str, Any], **arguments: Any) -> Plan:
    source = folder / "seeds.jsonl"
    if not source.exists():
        seeds = [
            {"question": f"Of {leaf}, {number}?", "answer": f"Yes: {number}.", "leaf": leaf}
            for leaf in LEAVES
            for number in range(10)
        ]
        source.write_bytes(b"".join(orjson.dumps(seed, option=orjson.OPT_APPEND_NEWLINE) for seed in seeds))
    return Plan.model_validate(
        {
            "output": folder / "out",
            "input": [str(source)],
            "clean": [],
            "dedup": {"semantic": None},
            "split": {"train": 1, "validation": 0, "test": 0},
            "tasks": ["qa"],
            "rounds": {**rounds, "diversity": None},
            "generation": {"generator": {"name": "tests.test_balance.Uneven", "arguments": arguments}, "critic": None},
        }
    )


def curate(client: Client, plan: Plan) -> tuple[rounds.Result, dict[str, Any]]:
    store = Store(plan.output)
    with store.lock():
        run = Run(store, client, Silent())
        result = rounds.curate(run, plan, Keys())
    return result, summary.balance(run.stages, result.dataset, plan.rounds.balance)  # type: ignore[return-value]


def sizes(plan: Plan) -> Counter[str]:
    lines = (plan.output / "final" / "train.jsonl").read_bytes().splitlines()
    return Counter(orjson.loads(line)["leaf"] for line in lines)


def test_a_leaf_that_yields_a_tenth_is_drawn_from_until_it_has_as_much_as_the_others(
    client: Client, tmp_path: Path
) -> None:
    plan = plan_for(tmp_path, {"count": 30, "balance": {"each": 16}}, variants=6)
    result, told = curate(client, plan)
    assert result.ended == "every group has its records"
    assert sizes(plan) == dict.fromkeys(LEAVES, 16)
    assert told["evenness"] == 1
    by_name = {group["group"]: group for group in told["groups"]}
    common, rare = by_name[LEAVES[0]], by_name[LEAVES[1]]
    assert (common["parents"], common["new"], common["left"]) == (1, 6, {})
    assert rare["new"] == 6
    assert rare["parents"] > 5 * common["parents"]
    assert rare["left"]["unreadable_reply"] > 5 * rare["new"]


def test_the_cap_on_parents_ends_it(client: Client, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, {"count": 30, "balance": {"each": 20, "max_parents": 9}}, one_in=10**9)
    result, told = curate(client, plan)
    assert result.ended == "a group is still 10 records short, with no parents left"
    assert sizes(plan) == {LEAVES[0]: 20, LEAVES[1]: 10, LEAVES[2]: 20}
    assert [group["parents"] for group in told["groups"]] == [3, 9, 3]
    assert 0.9 < told["evenness"] < 0.98


def test_what_a_group_cannot_supply_the_others_share(client: Client, tmp_path: Path) -> None:
    rounds = {"count": 30, "target_size": 61, "balance": {"max_parents": 9}}
    plan = plan_for(tmp_path, rounds, one_in=10**9)
    result, _ = curate(client, plan)
    assert result.ended == "the training split has reached its target of 61 records"
    assert sizes(plan) == {LEAVES[0]: 26, LEAVES[1]: 10, LEAVES[2]: 25}


def test_duplicates_do_not_count(client: Client, tmp_path: Path) -> None:
    """After the first of its rounds the generator only repeats itself."""
    plan = plan_for(tmp_path, {"count": 2, "balance": {"each": 100}}, fixed=True, one_in=1)
    result, told = curate(client, plan)
    assert result.ended == "2 of 2 rounds are done"
    assert set(sizes(plan).values()) == {50}
    assert told["groups"][0]["left"]["exact_duplicate"] == 40


def test_a_dry_run_counts_what_could_be_drawn_at_most(client: Client, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, {"count": 3, "balance": {"each": 20, "max_parents": 25}})
    with Store(plan.output).lock():
        forecast = estimate(Run(Store(plan.output), client, Silent()), plan, Keys())
    assert "9 parents in round 1, 75 in 3 rounds, at most:" in forecast


def test_a_column_that_nobody_has(client: Client, tmp_path: Path) -> None:
    plan = plan_for(tmp_path, {"balance": {"by": "leav", "each": 5}})
    with pytest.raises(InputError, match=r"balance\.by: no record has a column 'leav'\. Did you mean 'leaf'\?"):
        curate(client, plan)
