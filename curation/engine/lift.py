"""Runs a component that knows one partition, or one record, over a whole table.

`over` is the one way in which work reaches the workers, and `run_async` the one place where asyncio meets Dask.
Each partition is written by the worker that computed it, so that nothing is computed twice and no rows pass through
the driver. A partition may be run twice, when its worker is lost or only seems so: each try writes files of its own,
and those of the one try that the driver hears of get the partition's names.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import pandas as pd

from curation.core.errors import CurationError
from curation.core.records import LEDGER_SCHEMA, SCHEMA
from curation.engine import ledger
from curation.engine.store import writing

if TYPE_CHECKING:
    import dask.dataframe as dd
    from distributed import Client

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Outcome:
    """What a stage's work makes of one partition.

    Args:
        kept: the rows that go on, with the columns of `records.SCHEMA`.
        left: the ledger's entries of those that don't.
        expected: how many rows had to come out of it, kept or left, where that is not the number that went in
            (a generator makes several of each).
    """

    kept: pd.DataFrame
    left: pd.DataFrame = field(default_factory=ledger.empty)
    expected: int | None = None


Work = Callable[[pd.DataFrame], Outcome]


@dataclass(frozen=True)
class PartCount:
    """The numbers of one finished partition.

    Args:
        rows_in, rows_out: `rows_in == rows_out + sum(dropped.values())`.
        dropped: rows in the ledger by reason.
        files: by its name in the stage, the hidden file that this try has written.
    """

    rows_in: int
    rows_out: int
    dropped: dict[str, int]
    files: dict[str, str]


def over(
    client: Client, table: dd.DataFrame, work: Work, folder: Path, on_part: Callable[[PartCount], None]
) -> list[PartCount]:
    """Runs `work` once over every partition of `table`, writing `part-*` and `left-*` files into `folder`.

    Args:
        client: a cluster whose workers see `folder` under the same path.
        table: lazy; computed partition by partition.
        work: pickled once for every partition; what is large belongs into a file that it reads.
        folder: exists.
        on_part: told of each finished partition, in the order in which they finish.

    Raises:
        CurationError: from `work`, or when a worker is lost again and again over the same partition.
    """
    import dask
    from distributed import KilledWorker, as_completed

    # `partial` keeps Dask from searching the work for tables of its own.
    task = dask.delayed(partial(run_partition, work=work, folder=folder), name="curate", pure=False)
    tasks = [task(part, number=number) for number, part in enumerate(table.to_delayed())]
    futures = client.compute(tasks)
    counts = []
    try:
        for future in as_completed(futures):
            count = future.result()
            future.release()  # its worker may be lost from now on: there is nothing to compute again
            adopt(count, folder)
            on_part(count)
            counts.append(count)
    except KilledWorker as error:
        raise CurationError(
            f"a worker was lost several times over the same rows, most likely for want of memory: {error}. Use fewer "
            "workers, a higher memory_limit or smaller partitions; the same command goes on from the last stage."
        ) from error
    finally:
        client.cancel(futures)
    return counts


def run_partition(rows: pd.DataFrame, work: Work, folder: Path, number: int) -> PartCount:
    """Runs on a worker: applies `work`, checks that no row is lost, and writes hidden files for `adopt`."""
    outcome = work(rows)
    expected = len(rows) if outcome.expected is None else outcome.expected
    if expected != len(outcome.kept) + len(outcome.left):
        raise AssertionError(
            f"rows went missing: {expected} expected, {len(outcome.kept)} kept, {len(outcome.left)} in the ledger"
        )
    names = [f"{kind}-{number:05d}.parquet" for kind in ("part", "left")]
    files = {name: f".{name}.{uuid4().hex}.tmp" for name in names}
    tables = ((outcome.kept, SCHEMA), (outcome.left, LEDGER_SCHEMA))
    for file, (table, schema) in zip(files.values(), tables, strict=True):
        write_parquet(folder / file, table.sort_values("id", kind="stable"), schema)
    dropped = {str(reason): int(count) for reason, count in outcome.left["reason"].value_counts().items()}
    return PartCount(expected, len(outcome.kept), dropped, files)


def adopt(part: PartCount, folder: Path) -> None:
    """Runs on the driver: gives the files of a finished partition their names."""
    with writing(folder):
        for name, file in part.files.items():
            (folder / file).replace(folder / name)


def write_parquet(path: Path, table: pd.DataFrame, schema: Any) -> None:
    """Writes a frame as Parquet of exactly this schema."""
    import pyarrow.parquet as pq

    with writing(path):
        pq.write_table(ledger.to_arrow(table, schema), path, compression="zstd")


async def window(
    items: Sequence[Item],
    work: Callable[[Item], Awaitable[Result]],
    size: int,
    last_begun: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Awaits `work` for every item, at most `size` at a time: a slow one delays nobody.

    The first error that `work` lets through cancels the rest and is raised.

    Args:
        last_begun: called once, when there is room for more items than there are.

    Returns:
        The results in the order of `items`.
    """
    results: dict[int, Result] = {}
    waiting = iter(enumerate(items))
    told = False

    async def lane() -> None:
        nonlocal told
        for position, item in waiting:
            results[position] = await work(item)
        if not told:
            told = True
            last_begun()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(size, len(items))):
            group.create_task(lane())
    return [results[position] for position in range(len(items))]


def run_async(
    work: Callable[[Callable[[], None]], Coroutine[Any, Any, Result]] | Coroutine[Any, Any, Result],
) -> Result:
    """Runs a coroutine in the event loop of this process, which lives as long as the process does.

    There is one loop for all partitions, so that connections stay open between them, and what is shared by all
    requests needs no locks.

    Args:
        work: a coroutine; or a function that makes one from a callback, with which it says that its last items have
            begun. A task then leaves its place at the worker to the next partition: nobody waits for its slowest.

    Raises:
        CurationError: of a group of errors, the user's own.
    """
    drained = Future[None]()

    def last_begun() -> None:
        if not drained.done():
            drained.set_result(None)

    running = asyncio.run_coroutine_threadsafe(work(last_begun) if callable(work) else work, _loop())
    try:
        either: list[Future[Any]] = [running, drained]
        wait(either, return_when=FIRST_COMPLETED)
        if not running.done():
            _leave_place()
        return running.result()
    except BaseException as error:
        running.cancel()
        if not isinstance(error, ExceptionGroup):
            raise
        first: BaseException = error.subgroup(CurationError) or error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    # Raised without the group that it came in: an error that holds itself can't travel back to the driver.
    raise first


def _leave_place() -> None:
    """Lets this task's worker begin the next one; outside of a worker there is nothing to leave."""
    from distributed import get_worker, secede

    try:
        get_worker()
    except ValueError:
        return
    secede()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """This process's event loop, in a thread of its own."""
    import uvloop

    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="curation-requests", daemon=True).start()
    return loop
