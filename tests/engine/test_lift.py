"""Work over partitions, on a real cluster, and the window that awaits models."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import dask.dataframe as dd
import pandas as pd
import pyarrow.parquet as pq
import pytest

from curation.core.errors import DiskError, EndpointError
from curation.core.records import LEDGER_SCHEMA, SCHEMA, frame, human
from curation.engine import ledger, lift

if TYPE_CHECKING:
    from distributed import Client


def table(rows: int, partitions: int) -> dd.DataFrame:
    return dd.from_pandas(frame(human(f"{number:03d}", question="q") for number in range(rows)), npartitions=partitions)


@dataclass(frozen=True)
class DropOdd:
    """Half of the rows leave."""

    def __call__(self, rows: pd.DataFrame) -> lift.Outcome:
        odd = rows["id"].astype(int) % 2 == 1
        return lift.Outcome(rows[~odd], ledger.entries(rows[odd], "clean", 0, reason="odd"))


@dataclass(frozen=True)
class DieOnce:
    """Kills its worker on the first try."""

    marker: Path

    def __call__(self, rows: pd.DataFrame) -> lift.Outcome:
        if not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return lift.Outcome(rows)


def lose_a_row(rows: pd.DataFrame) -> lift.Outcome:
    return lift.Outcome(rows.iloc[1:])


def fill_the_disk(rows: pd.DataFrame) -> lift.Outcome:
    raise DiskError("the disk is full")


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.glob(f"{name}-*.parquet"))])


def test_every_row_is_kept_or_in_the_ledger(client: Client, tmp_path: Path) -> None:
    seen: list[lift.PartCount] = []
    counts = lift.over(client, table(10, 3), DropOdd(), tmp_path, seen.append)
    assert counts == seen
    assert sum(count.rows_in for count in counts) == 10
    assert sum(count.dropped.get("odd", 0) for count in counts) == 5
    assert list(read(tmp_path, "part")["id"]) == [f"{number:03d}" for number in range(0, 10, 2)]
    assert list(read(tmp_path, "left")["id"]) == [f"{number:03d}" for number in range(1, 10, 2)]
    assert pq.read_schema(tmp_path / "part-00000.parquet").remove_metadata() == SCHEMA
    assert pq.read_schema(tmp_path / "left-00000.parquet").remove_metadata() == LEDGER_SCHEMA


def test_a_lost_row_stops_the_run(client: Client, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="rows went missing: 4 expected, 3 kept, 0 in the ledger"):
        lift.over(client, table(4, 1), lose_a_row, tmp_path, lambda _count: None)


def test_a_users_error_comes_back_as_it_is(client: Client, tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="the disk is full"):
        lift.over(client, table(4, 2), fill_the_disk, tmp_path, lambda _count: None)


def test_a_killed_worker_changes_nothing(client: Client, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    counts = lift.over(client, table(8, 2), DieOnce(tmp_path / "died"), tmp_path / "out", lambda _count: None)
    assert (tmp_path / "died").exists()
    assert sum(count.rows_out for count in counts) == 8
    assert len(read(tmp_path / "out", "part")) == 8
    client.wait_for_workers(2, timeout=60)


def test_a_window_keeps_order_and_never_exceeds_its_size() -> None:
    running, most = 0, 0

    async def work(item: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (item % 3))
        running -= 1
        return item * item

    assert lift.run_async(lift.window(range(20), work, 4)) == [item * item for item in range(20)]
    assert most == 4


def test_a_slow_item_delays_nobody() -> None:
    finished: list[int] = []
    release = asyncio.Event()

    async def work(item: int) -> None:
        if item == 0:
            await release.wait()
        finished.append(item)
        if item == 9:
            release.set()

    lift.run_async(lift.window(range(10), work, 2))
    assert finished == [*range(1, 10), 0]


def test_a_fatal_error_ends_the_window_with_its_own_type() -> None:
    async def work(item: int) -> None:
        if item == 3:
            raise EndpointError("wrong key")
        await asyncio.sleep(60)

    with pytest.raises(EndpointError, match="wrong key"):
        lift.run_async(lift.window(range(5), work, 5))


def test_no_items_need_no_window() -> None:
    async def work(item: int) -> int:
        return item

    assert lift.run_async(lift.window([], work, 4)) == []
