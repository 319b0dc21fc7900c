"""Connects to a Dask cluster: processes of this machine, its GPUs, or a scheduler that already runs."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from curation.core.errors import CurationError, MissingPackageError

if TYPE_CHECKING:
    from distributed import Client

MAX_LOCAL_WORKERS = 8
_GPU_PACKAGES = ("dask_cuda", "cudf")


@contextmanager
def connect(
    device: str = "cpu",
    n_workers: int | None = None,
    threads_per_worker: int = 1,
    scheduler_address: str | None = None,
    scheduler_file: str | None = None,
    protocol: str = "tcp",
    nvlink_only: bool = False,
    rmm_pool_size: str | None = None,
    memory_limit: str = "auto",
    tls: dict[str, str] | None = None,
) -> Iterator[Client]:
    """A client of the cluster, through NeMo Curator's `get_client`; closes what it started.

    A local cluster listens on the loopback interface alone. At most 8 local workers are started unless
    `n_workers` asks for fewer; a GPU cluster has one worker a GPU.

    Raises:
        MissingPackageError: `device` is "gpu" and RAPIDS is not installed.
        CurationError: no scheduler answers, no worker is there, no GPU, or the cluster goes away while in use.
    """
    import dask
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
    from distributed.gc import disable_gc_diagnosis

    settings: dict[str, Any] = {
        "dataframe.convert-string": False,  # importing nemo_curator would set it, too late for our first tables
        "distributed.worker.daemon": True,
    }
    for ours, theirs in (("ca_file", "ca-file"), ("cert", "client.cert"), ("key", "client.key")):
        if tls:
            settings[f"distributed.comm.tls.{theirs}"] = tls[ours]
    with dask.config.set(settings):
        client = _client(
            device,
            scheduler_address=scheduler_address,
            scheduler_file=scheduler_file,
            n_workers=min(n_workers or os.cpu_count() or 1, MAX_LOCAL_WORKERS),
            threads_per_worker=threads_per_worker,
            protocol=protocol,
            nvlink_only=nvlink_only,
            rmm_pool_size=rmm_pool_size,
            memory_limit=memory_limit,
        )
        disable_gc_diagnosis(force=True)  # Python drops an interrupt that arrives in a callback of its collector
        cluster = client.cluster
        if cluster is not None:
            client.register_worker_callbacks(_hush)
        try:
            yield client
        except (CommClosedError, FutureCancelledError) as error:
            raise CurationError(
                "the Dask cluster went away. Start it again; the same command goes on from the last stage."
            ) from error
        finally:
            # All that counts is on disk, so nobody waits for workers that take their time to unload their models.
            with _silence():
                _kill_workers(cluster)
                client.close()
                if cluster is not None:
                    cluster.close()


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing is logged within: Dask would complain of workers that are killed on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started within, threads and processes alike, never sees a Ctrl-C.

    A terminal sends it to all processes of a run; ending the workers is the driver's affair, which hears it afterwards.
    """
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # or else a thread that needs it starts it, and hears again from then on
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def _hush() -> None:
    """On a worker: what makes a task fail goes to the driver, which says it once and without a traceback."""
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)


def _kill_workers(cluster: Any) -> None:
    """Ends local workers at once; those of a run that failed would go on asking models for it."""
    for nanny in cluster.workers.values() if cluster is not None else ():
        nanny.close_gracefully()  # or else it would start its worker again
        with suppress(ProcessLookupError):  # this one has ended by itself
            if nanny.pid is not None:
                os.kill(nanny.pid, signal.SIGKILL)


def _client(device: str, **options: Any) -> Client:
    local = not (options["scheduler_address"] or options["scheduler_file"])
    if device == "gpu" and local:
        _require_gpu_packages()
    from nemo_curator.utils.distributed_utils import NoWorkerError, get_client

    if local:
        options |= {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    if device == "cpu":
        options.pop("nvlink_only")
        options.pop("rmm_pool_size")
        options.pop("protocol")
    else:
        options.pop("n_workers")  # one worker a GPU
    try:
        with _deaf_to_interrupts():
            return get_client(cluster_type=device, set_torch_to_use_rmm=False, **options)
    except (OSError, TimeoutError, NoWorkerError) as error:
        where = options["scheduler_address"] or options["scheduler_file"] or "this machine"
        raise CurationError(f"no Dask cluster at {where}: {error}. Start a scheduler and workers first.") from error
    except Exception as error:
        if type(error).__module__.startswith("pynvml"):
            raise CurationError("--device gpu: no NVIDIA driver or GPU was found here; use --device cpu") from error
        raise


def _require_gpu_packages() -> None:
    missing = [name for name in _GPU_PACKAGES if find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"--device gpu needs RAPIDS, and {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not "
            "installed: run pip install 'curation[gpu]' on a machine with an NVIDIA GPU, or use --device cpu"
        )
