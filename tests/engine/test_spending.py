"""The log of what was spent: never less than what an endpoint can have counted, whatever was killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from curation.core.contracts import Message, Usage
from curation.engine.spending import DOLLAR, Amount, Budget, Price, Spending, Tally, fold, most, shown, spent

WORST = Amount(1, 500, 7)


def write(folder: Path, ends: list[tuple[str, Usage, int, int] | None], durable: bool = True) -> None:
    """One process's segment: each request opened, and closed unless its end is None."""

    async def run() -> None:
        log = Spending(folder, durable)
        for end in ends:
            ticket = await log.open("teacher", WORST, retry=False)
            if end is not None:
                outcome, usage, money, unsettled = end
                log.close(ticket, outcome, usage, money, unsettled)
        await asyncio.sleep(0)
        log.shut()

    asyncio.run(run())


REPLY = ("reply", Usage(100, 20), 3, 0)


def test_what_ended_counts_as_it_ended_and_what_is_open_at_its_most(tmp_path: Path) -> None:
    write(tmp_path, [REPLY, ("limited", Usage(), 0, 0), ("lost", Usage(), 7, 500), ("unsent", Usage(), 0, 0), None])
    assert spent(tmp_path) == {
        "teacher": Tally(
            requests=4,
            replies=1,
            rate_limited=1,
            prompt_tokens=100,
            completion_tokens=20,
            unsettled_tokens=1000,
            money=3 + 7 + 7,
        )
    }
    assert spent(tmp_path)["teacher"].amount == Amount(4, 1120, 17)


def test_nothing_was_spent_where_nothing_was_asked(tmp_path: Path) -> None:
    assert spent(tmp_path / "none") == {} == fold(tmp_path / "none")


@pytest.mark.parametrize("cut", [1, 10, 30])
def test_a_torn_last_line_counts_as_never_written(tmp_path: Path, cut: int) -> None:
    write(tmp_path, [REPLY, REPLY])
    (segment,) = tmp_path.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes()[:-cut])
    # The second end is lost, so that its request counts at its most.
    assert spent(tmp_path)["teacher"].amount == Amount(2, 120 + 500, 3 + 7)


def test_segments_are_folded_into_their_sum(tmp_path: Path) -> None:
    for _ in range(3):
        write(tmp_path, [REPLY, None], durable=False)
    before = spent(tmp_path)
    assert fold(tmp_path) == before == spent(tmp_path) == fold(tmp_path)
    assert [path.name.partition("-")[0] for path in tmp_path.iterdir()] == ["sum"]
    write(tmp_path, [REPLY])
    assert fold(tmp_path)["teacher"].amount == before["teacher"].amount + Amount(1, 120, 3)


def test_a_crash_between_the_sum_and_the_removal_counts_nothing_twice(tmp_path: Path) -> None:
    for _ in range(2):
        write(tmp_path, [REPLY])
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    before = fold(tmp_path)
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    assert spent(tmp_path) == before == fold(tmp_path)


def test_a_price_is_rounded_up_and_sums_are_exact() -> None:
    price = Price(0.5, 1.5)
    assert price.of(Usage(1_000_000, 1_000_000)) == 2 * DOLLAR
    assert price.of(Usage(1, 0)) == 500
    assert Price(0.0001).of(Usage(1, 0)) == 1
    assert price.worst(Usage(10, 20)) == Amount(1, 30, 35_000)


def test_the_most_of_a_request_bounds_its_tokens_by_its_bytes() -> None:
    messages: list[Message] = [{"role": "user", "content": "ä" * 100}, {"role": "assistant", "content": ""}]
    usage = most(messages, {"max_tokens": 50, "n": 3}, 4096)
    assert usage.prompt_tokens >= 200
    assert usage.completion_tokens == 150
    assert most(messages, {}, 4096).completion_tokens == 4096
    assert most(messages, {"max_completion_tokens": 9}, 4096).completion_tokens == 9


def test_a_budget_bounds_what_it_names() -> None:
    assert not Budget().bounded
    assert Budget(tokens=5).counts_tokens
    assert Budget(dollars=0.1).counts_tokens
    assert not Budget(requests=5).counts_tokens
    assert Amount(10**9, 5, 10**12).fits(Budget(tokens=5).amount)
    assert not Amount(1, 6).fits(Budget(tokens=5).amount)
    assert not Amount(1, 1, 2).fits(Budget(dollars=1 / DOLLAR).amount)


def test_the_figures_are_shown_in_dollars() -> None:
    figures = shown(Tally(requests=2, replies=1, money=DOLLAR // 4, in_flight=3))
    assert figures["dollars"] == 0.25
    assert figures["requests"] == 2
    assert not {"in_flight", "money"} & set(figures)
