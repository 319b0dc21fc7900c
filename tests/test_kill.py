"""`kill -9` at any moment: the same command ends with the same bytes, and asks for no reply that had arrived."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from curation import verify
from curation.config import dump
from curation.engine.cluster import connect
from curation.engine.journal import Journal
from tests import law_like
from tests.core.tiny_encoder import write_tiny_encoder
from tests.mock_endpoint import MockEndpoint
from tests.test_rounds import curate, final, plan_for, taught, teach

IN_FLIGHT = 4


def start(plan: Path, output: Path) -> subprocess.Popen[bytes]:
    """The command line in a session of its own, so that a kill can be aimed at the driver alone."""
    command = [
        sys.executable,
        "-m",
        "curation.main",
        "--config",
        str(plan),
        "--output",
        str(output),
        "--n-workers",
        "2",
    ]
    environment = {**os.environ, "OPENAI_API_KEY": "sk-test-1234"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


@pytest.mark.slow  # several whole runs
def test_a_killed_driver_costs_nothing_but_what_was_in_flight(tmp_path: Path) -> None:
    encoder = str(write_tiny_encoder(tmp_path / "encoder"))
    source = str(law_like.write(tmp_path / "law.json"))
    config = tmp_path / "plan.yaml"
    rng = random.Random(4)
    with MockEndpoint() as server:
        server.default = teach
        plan = plan_for(tmp_path / "whole", source, encoder, **taught(server))
        values = yaml.safe_load(dump(plan))
        values["generation"]["teacher"]["max_in_flight"] = values["generation"]["judge"]["max_in_flight"] = IN_FLIGHT
        config.write_text(yaml.safe_dump(values))
        assert start(config, tmp_path / "whole").wait() == 0
        paid = len(server.requests)
        kills = 0
        while True:
            process = start(config, tmp_path / "killed")
            try:
                code = process.wait(timeout=rng.uniform(7, 11) + 2 * kills)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        assert code == 0
        assert kills >= 2
        again = len(server.requests) - 2 * paid
    assert final(tmp_path / "killed") == final(tmp_path / "whole")
    assert 0 <= again <= kills * 2 * IN_FLIGHT  # a teacher's and a judge's requests may be in flight
    assert len(Journal(tmp_path / "killed" / "journal")) == len(Journal(tmp_path / "whole" / "journal")) == paid
    assert verify.main([str(tmp_path / "killed")]) == 0


@pytest.mark.slow  # two whole runs
def test_a_worker_that_is_killed_while_it_asks_changes_nothing(tmp_path: Path) -> None:
    encoder = str(write_tiny_encoder(tmp_path / "encoder"))
    source = str(law_like.write(tmp_path / "law.json"))
    config = tmp_path / "plan.yaml"
    with MockEndpoint() as server:
        server.default = teach
        config.write_text(dump(plan_for(tmp_path / "whole", source, encoder, **taught(server))))
        assert start(config, tmp_path / "whole").wait() == 0
        paid = len(server.requests)
        process = start(config, tmp_path / "hurt")
        while len(server.requests) < paid + 3 and process.poll() is None:
            time.sleep(0.005)
        workers = [one for one in psutil.Process(process.pid).children() if "spawn_main" in " ".join(one.cmdline())]
        workers[-1].kill()
        assert process.wait() == 0
    assert final(tmp_path / "hurt") == final(tmp_path / "whole")
    ended = [json.loads((tmp_path / name / "run.json").read_text())["ended"] for name in ("whole", "hurt")]
    assert ended[0] == ended[1]


@pytest.mark.slow  # two whole runs
def test_a_worker_that_is_added_while_models_are_asked_changes_nothing(tmp_path: Path) -> None:
    encoder = str(write_tiny_encoder(tmp_path / "encoder"))
    source = str(law_like.write(tmp_path / "law.json"))
    with MockEndpoint() as server:
        server.default = lambda request: replace(teach(request), seconds=0.3)
        values = taught(server)
        values["generation"]["teacher"]["max_in_flight"] = 2
        with connect(n_workers=1) as client:
            curate(client, plan_for(tmp_path / "one", source, encoder, **values))
            paid = len(server.requests)

            def add() -> None:
                while len(server.requests) < paid + 3:
                    time.sleep(0.01)
                client.cluster.scale(2)

            thread = threading.Thread(target=add)
            thread.start()
            curate(client, plan_for(tmp_path / "more", source, encoder, **values))
            thread.join()
            client.wait_for_workers(2, timeout=60)
        assert len(server.requests) == 2 * paid
        assert server.peak <= 64
    assert final(tmp_path / "more") == final(tmp_path / "one")
