"""Connects to a Dask cluster: processes of this machine, its GPUs, or a scheduler that already runs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
        CurationError: no scheduler answers, no worker is there, or no GPU.
    """
    import dask

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
        cluster = client.cluster
        try:
            yield client
        finally:
            # Workers that load models take their time to end; that one had to be stopped is no news to anybody.
            logging.getLogger("distributed.nanny").setLevel(logging.ERROR)
            client.close()
            if cluster is not None:
                cluster.close()


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
