"""Connecting to a cluster, and what is said when there is none."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import pytest

from curation.core.errors import CurationError, MissingPackageError
from curation.engine.cluster import connect

if TYPE_CHECKING:
    from distributed import Client


def test_a_local_cluster_listens_on_the_loopback_alone(client: Client) -> None:
    addresses = [client.scheduler.address, *client.scheduler_info()["workers"], client.dashboard_link]
    assert len(addresses) == 4
    assert all("//127.0.0.1:" in address for address in addresses)


def test_another_client_joins_a_scheduler_that_runs(client: Client) -> None:
    with connect(scheduler_address=client.scheduler.address) as second:
        assert second.submit(sum, [1, 2]).result() == 3
    assert client.submit(sum, [1, 2, 3]).result() == 6  # what it did not start it does not stop


def test_no_scheduler_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from nemo_curator.utils import distributed_utils

    def refuse(**_options: Any) -> None:
        raise OSError("Timed out trying to connect")

    monkeypatch.setattr(distributed_utils, "get_client", refuse)
    with pytest.raises(CurationError, match=r"no Dask cluster at tcp://127\.0\.0\.1:9: Timed out"):
        connect(scheduler_address="tcp://127.0.0.1:9").__enter__()


def test_a_gpu_without_rapids_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.engine.cluster.find_spec", lambda _name: None)
    with pytest.raises(
        MissingPackageError, match=r"needs RAPIDS.*dask_cuda and cudf are not installed.*curation\[gpu\]"
    ):
        connect(device="gpu").__enter__()


@pytest.mark.gpu
def test_a_gpu_cluster_has_a_worker_a_gpu() -> None:
    if importlib.util.find_spec("dask_cuda") is None:
        pytest.skip("dask-cuda is not installed: pip install 'curation[gpu]'")
    import torch

    with connect(device="gpu", rmm_pool_size="1GB") as client:
        assert len(client.scheduler_info()["workers"]) == torch.cuda.device_count()
