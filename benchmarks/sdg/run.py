"""Asking models, measured: `python -m benchmarks.sdg.run [throughput] [memory] [faults] [rates] [edits]`.

Each part prints what it measured beside its bound, and all ratios come from one run against one server. The parts on
killed runs and on budgets, which need a cluster, are `benchmarks.sdg.kills` and `benchmarks.sdg.caps`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.sdg.endpoint import LATENCY, Endpoint, running

PARTS = ("throughput", "memory", "faults", "rates", "edits")
FAULTS = {
    "p_429": 0.025,
    "p_500": 0.025,
    "p_hang": 0.01,
    "p_badjson": 0.005,
    "p_empty": 0.005,
    "p_drop": 0.015,
    "p_dropmid": 0.015,
    "retry_after": 0,
}


def client(who: str, endpoint: Endpoint, rows: int, in_flight: int, folder: Path, **more: Any) -> dict[str, Any]:
    """What one client measured of itself."""
    command = [sys.executable, "-m", "benchmarks.sdg.client", who, endpoint.url]
    options = {"rows": rows, "in-flight": in_flight, "folder": folder, **more}
    command += [part for name, value in options.items() for part in (f"--{name}", str(value))]
    answer: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return answer


def throughput(endpoint: Endpoint, folder: Path) -> None:
    """Against the ideal client, alternating; then with latencies so short that only the client's CPU counts."""
    for in_flight, rows in ((64, 6_000), (256, 20_000)):
        measured: dict[str, list[dict[str, Any]]] = {"ideal": [], "ours": []}
        for turn in range(2):
            for who, results in measured.items():
                endpoint.reset(**LATENCY)
                results.append(client(who, endpoint, rows, in_flight, folder / f"{who}{in_flight}{turn}"))
        speeds = {who: rows * len(results) / sum(one["wall"] for one in results) for who, results in measured.items()}
        cpu = {who: sum(one["cpu"] for one in results) / rows / len(results) for who, results in measured.items()}
        print(
            f"{in_flight} in flight: ideal {speeds['ideal']:.0f} rows/s, ours {speeds['ours']:.0f}: ratio "
            f"{speeds['ours'] / speeds['ideal']:.3f} (bound 0.95); CPU a request: ideal {cpu['ideal'] * 1e3:.2f} ms, "
            f"ours {cpu['ours'] * 1e3:.2f} ms (bound 0.35)"
        )
    endpoint.reset(median=0.02, sigma=0.1)
    fast = client("ours", endpoint, 20_000, 256, folder / "fast")
    print(
        f"short latencies, 256 in flight: {20_000 / fast['wall']:.0f} requests/s, {20_000 / fast['cpu']:.0f} a CPU "
        "second (bound 2,500)"
    )


def memory(endpoint: Endpoint, folder: Path) -> None:
    """Peak memory at 4,000 and at 100,000 requests."""
    peaks = {}
    for rows in (4_000, 100_000):
        endpoint.reset(median=0.02, sigma=0.1)
        peaks[rows] = client("ours", endpoint, rows, 256, folder / f"memory{rows}")["rss"]
    print("peak memory: " + ", ".join(f"{rows:,} requests {peak:.0f} MB" for rows, peak in peaks.items()))


def faults(endpoint: Endpoint, folder: Path) -> None:
    """Every row ends once; few requests more than the faults make unavoidable."""
    rows = 2_000
    endpoint.reset(median=0.2, sigma=0.5, hang_s=30, **FAULTS)
    result = client("ours", endpoint, rows, 64, folder / "faults", timeout=5)
    stats = endpoint.stats()
    unavoidable = rows / (1 - sum(value for name, value in FAULTS.items() if name.startswith("p_")))
    print(
        f"faults: {rows:,} rows ended as {result['done']}; {stats['requests']:,} requests, "
        f"{stats['requests'] / unavoidable:.3f} of the unavoidable {unavoidable:,.0f} (bound 1.1); "
        f"paid twice: {stats['repaid']}; {result['wall']:.0f} s"
    )
    endpoint.reset(median=0.1, sigma=0.5, p_poison=0.01)
    result = client("ours", endpoint, rows, 64, folder / "poison")
    attempts = endpoint.keys()["attempts"].values()
    print(f"poisoned prompts: rows ended as {result['done']}; most tries of one prompt: {max(attempts)}")


def rates(endpoint: Endpoint, folder: Path) -> None:
    """40 requests in 6 seconds, 429s without Retry-After."""
    for name, more, bound in (("told", {"per-minute": 400}, 10), ("not told", {}, 38)):
        endpoint.reset(median=0.2, sigma=0.5, rpm=40, rpm_window=6.0, retry_after=0)
        result = client("ours", endpoint, 400, 64, folder / f"rates-{name}", **more)
        limited = endpoint.stats()["by_status"].get("429", 0)
        print(
            f"40 requests per 6 s, limit {name}: {limited} 429s (bound {bound}), rows ended as {result['done']}, "
            f"{result['wall']:.0f} s (54 s can't be avoided)"
        )


def edits(endpoint: Endpoint, folder: Path) -> None:
    """A row more is a row's requests; so is a row whose text changed."""
    endpoint.reset(median=0.02, sigma=0.1)
    place = folder / "edits"
    client("ours", endpoint, 5_000, 256, place)
    endpoint.reset(median=0.02, sigma=0.1)
    client("ours", endpoint, 5_001, 256, place)
    print(f"one row added to 5,000: {endpoint.stats()['requests']} request")
    endpoint.reset(median=0.02, sigma=0.1)
    client("ours", endpoint, 5_001, 256, place, first=1)
    print(f"one row's text changed: {endpoint.stats()['requests']} request")


def main() -> None:
    """Runs the parts that are named, or all."""
    wanted = sys.argv[1:] or list(PARTS)
    with running() as endpoint, tempfile.TemporaryDirectory() as folder:
        for name in wanted:
            {"throughput": throughput, "memory": memory, "faults": faults, "rates": rates, "edits": edits}[name](
                endpoint, Path(folder)
            )


if __name__ == "__main__":
    main()
