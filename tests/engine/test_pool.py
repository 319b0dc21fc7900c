"""What processes share: places, rates and the budget, however they come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from curation.core.contracts import ChatModel, Completion, Message, Usage
from curation.core.errors import RequestError
from curation.engine import lift, pool, share
from curation.engine.guard import Guard
from curation.engine.pace import Limits
from curation.engine.pool import Demand, Pool
from curation.engine.share import Share, StoppedError, Terms
from curation.engine.spending import Amount, Budget, spent

if TYPE_CHECKING:
    from distributed import Client

HERE = "https://host/v1"
NOTHING = [0, 0, 0]


def report(in_flight: int = 0, waiting: int = 0, **more: Any) -> dict[str, Any]:
    amounts = {"spent": NOTHING, "held": NOTHING, "first": NOTHING, "all": NOTHING}
    demand = asdict(Demand(in_flight=in_flight, waiting=waiting))
    return {"endpoints": {HERE: demand}, "tallies": {}, "finished": 0, **amounts, **more}


def places(answer: dict[str, Any]) -> int:
    return int(answer["endpoints"][HERE]["places"])


def test_places_are_divided_evenly_and_never_given_twice() -> None:
    shared = Pool({HERE: Limits(max_in_flight=10)})
    first = places(shared.exchange("a", "tcp://a", report(0, 100), 0.0))
    assert first == 10
    # b comes: nothing is free before a has heard, and its requests have ended.
    assert places(shared.exchange("b", "tcp://b", report(0, 100), 0.1)) == 0
    assert places(shared.exchange("a", "tcp://a", report(10, 90), 0.2)) == 5
    assert places(shared.exchange("b", "tcp://b", report(0, 100), 0.3)) == 0
    assert places(shared.exchange("a", "tcp://a", report(5, 90), 0.4)) == 5
    assert places(shared.exchange("b", "tcp://b", report(0, 100), 0.5)) == 5


def test_who_wants_little_leaves_the_rest_to_others() -> None:
    shared = Pool({HERE: Limits(max_in_flight=10)})
    shared.exchange("a", "tcp://a", report(0, 2), 0.0)
    assert places(shared.exchange("b", "tcp://b", report(0, 100), 0.1)) == 8
    shared.exchange("a", "tcp://a", report(0, 0), 0.2)
    assert places(shared.exchange("b", "tcp://b", report(8, 100), 0.3)) == 10


def test_a_lost_workers_places_are_free_again_and_its_credit_is_spent() -> None:
    shared = Pool({HERE: Limits(max_in_flight=10)}, Amount(100, 1000, 0))
    need = {"first": [1, 100, 0], "all": [8, 800, 0]}
    answer = shared.exchange("a", "tcp://a", report(0, 8, **need), 0.0)
    assert answer["credit"] == [8, 800, 0]
    shared.lose("tcp://a")
    answer = shared.exchange("b", "tcp://b", report(0, 8, **need), 0.1)
    assert places(answer) == 8
    assert answer["credit"] == [1, 100, 0]


def test_credit_that_is_not_used_comes_back() -> None:
    shared = Pool({HERE: Limits()}, Amount(10, 1000, 0))
    need = {"first": [1, 600, 0], "all": [1, 600, 0]}
    assert shared.exchange("a", None, report(0, 1, **need), 0.0)["credit"] == [1, 600, 0]
    # a's request is out: there is no room for b's, but there may be.
    answer = shared.exchange("b", None, report(0, 1, **need), 0.1)
    assert answer["credit"] == NOTHING
    assert "last_room" not in answer
    shared.exchange("a", None, report(0, 0, spent=[1, 50, 0]), 0.2)
    assert shared.exchange("b", None, report(0, 1, **need), 0.3)["credit"] == [1, 600, 0]
    shared.exchange("b", None, report(0, 0, spent=[1, 500, 0]), 0.4)
    assert shared.exchange("b", None, report(0, 1, **need), 0.5)["last_room"] == [8, 450, 0]


class Counted(ChatModel):
    """Answers after a moment; knows how many it answers at a time."""

    name = "counted"

    def __init__(self, tokens: int = 100) -> None:
        self.tokens = tokens
        self.running = self.most = self.calls = 0

    async def chat(self, messages: Sequence[Message], **sampling: Any) -> Completion:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        return Completion(("fine",), "stop", Usage(self.tokens // 2, self.tokens - self.tokens // 2))


def ask(guards: Sequence[Guard], count: int) -> list[Completion | BaseException]:
    async def run() -> list[Completion | BaseException]:
        requests = [
            guards[number % len(guards)].chat([{"role": "user", "content": f"row {number}"}], max_tokens=60)
            for number in range(count)
        ]
        return await asyncio.gather(*requests, return_exceptions=True)

    return asyncio.run(run())


def members(shared: Pool, model: ChatModel, count: int, bounded: bool) -> list[Guard]:
    """Several processes' guards, as far as the pool can tell."""

    def member(name: str) -> Guard:
        async def exchange(message: dict[str, Any]) -> dict[str, Any]:
            await asyncio.sleep(0.001)
            return shared.exchange(name, name, message, time.monotonic())

        return Guard(model, Share(exchange, bounded=bounded), Terms(HERE, "counted"), reply_tokens=60)

    return [member(f"member {number}") for number in range(count)]


def test_all_members_together_keep_the_bound_on_requests_in_flight() -> None:
    model = Counted()
    answers = ask(members(Pool({HERE: Limits(max_in_flight=7)}), model, 3, bounded=False), 120)
    assert all(isinstance(answer, Completion) for answer in answers)
    assert 1 < model.most <= 7


@pytest.mark.parametrize(("bound", "most"), [(Amount(25, 10**9, 10**9), 25), (Amount(10**9, 5_000, 10**9), 50)])
def test_all_members_together_keep_the_budget_and_use_it(bound: Amount, most: int) -> None:
    model = Counted(tokens=100)
    answers = ask(members(Pool({HERE: Limits(max_in_flight=16)}, bound), model, 3, bounded=True), 100)
    refused = [answer for answer in answers if isinstance(answer, RequestError)]
    assert model.calls == 100 - len(refused)
    assert {error.reason for error in refused} == {"budget_spent"}
    # The last requests are refused when their most (about 230 tokens) doesn't fit any more.
    assert most - 3 <= model.calls <= most


def test_a_rate_is_kept_by_all_members_together() -> None:
    model = Counted()
    limits = Limits(max_in_flight=50, requests_per_minute=60 * 40, period=60.0)
    started = time.monotonic()
    shared = Pool({HERE: Limits(max_in_flight=50, requests_per_minute=16, period=0.4)})
    assert limits.max_in_flight == 50
    ask(members(shared, model, 3, bounded=False), 40)
    # 16 in any 0.4 s: 40 can't go in less than two periods, whoever sends them.
    assert time.monotonic() - started >= 0.8


def test_a_run_that_is_over_sends_everybody_home() -> None:
    shared = Pool({HERE: Limits()})
    shared.stop()
    answers = ask(members(shared, Counted(), 1, bounded=False), 3)
    assert [type(answer) for answer in answers] == [StoppedError] * 3


def test_a_request_that_is_given_up_leaves_its_place() -> None:
    model = Counted()
    guard = Guard(model, max_in_flight=1)

    async def run() -> Completion:
        first = asyncio.create_task(guard.chat([{"role": "user", "content": "first"}]))
        second = asyncio.create_task(guard.chat([{"role": "user", "content": "second"}]))
        await asyncio.sleep(0.001)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        return await guard.chat([{"role": "user", "content": "third"}])

    assert asyncio.run(run()).text == "fine"
    assert guard.tally.in_flight == 0


def ask_on_worker(name: str, folder: Path, count: int) -> list[str]:
    from distributed import get_worker

    mine = share.of_worker(get_worker(), name, folder, Budget(requests=30))
    guard = Guard(Counted(), mine, Terms(HERE, "counted"))

    async def one(number: int) -> str:
        try:
            return (await guard.chat([{"role": "user", "content": f"row {number}"}])).text
        except RequestError as error:
            return error.reason

    return lift.run_async(lift.window(range(count), one, 10))


def test_workers_of_a_cluster_share_what_the_driver_has_registered(client: Client, tmp_path: Path) -> None:
    pool.register(client, "run", Pool({HERE: Limits(max_in_flight=4)}, Budget(requests=30).amount))
    workers = list(client.scheduler_info()["workers"])
    futures = [client.submit(ask_on_worker, "run", tmp_path, 40, workers=[one], pure=False) for one in workers]
    answers = [answer for future in futures for answer in future.result()]
    assert (answers.count("fine"), answers.count("budget_spent")) == (30, 50)
    figures = pool.ask(client, "run", "figures")
    assert figures["tallies"]["counted"]["replies"] == 30
    assert spent(tmp_path)["counted"].amount == Amount(30, 3000, 0)
    pool.ask(client, "run", "close")
    client.run(share.forget, "run")
    with pytest.raises(StoppedError):
        client.submit(ask_on_worker, "run", tmp_path, 1, pure=False).result()
    client.run(share.forget, "run")
