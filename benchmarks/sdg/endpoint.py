"""The endpoint of these benchmarks: a mock server with latency, limits and faults, in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER = (
    Path(os.environ.get("CURATION_SHARED_TOOLS", Path(__file__).resolve().parents[3] / "shared" / "tools"))
    / "mock_endpoint.py"
)
LATENCY = {"median": 0.2, "sigma": 0.9, "lat_max": 3.0}
"""Log-normal, in seconds: the replies of a busy endpoint."""


class Endpoint:
    """A running mock server.

    Args:
        port: on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.url = f"{self.root}/v1"

    def stats(self) -> dict[str, Any]:
        """Its counters since the last reset."""
        return self._call("/_stats")

    def reset(self, **settings: Any) -> None:
        """Sets all counters to 0 and these settings; the others get their defaults."""
        self._call("/_reset", settings or {"seed": 1})

    def keys(self) -> dict[str, Any]:
        """`attempts` and `served` by prompt."""
        return self._call("/_keys")

    def _call(self, route: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.root + route, data=data), timeout=30) as answer:
            value: dict[str, Any] = json.load(answer)
            return value


@contextmanager
def running() -> Iterator[Endpoint]:
    """A server on a free port, ended afterwards."""
    if not SERVER.is_file():
        raise SystemExit(f"there is no {SERVER}: set CURATION_SHARED_TOOLS to the folder of mock_endpoint.py")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(SERVER), "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        endpoint = Endpoint(port)
        for _ in range(100):
            try:
                endpoint.stats()
                break
            except OSError:
                time.sleep(0.1)
        yield endpoint
    finally:
        process.terminate()
        process.wait()
