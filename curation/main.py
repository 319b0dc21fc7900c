"""The command line: `python -m curation.main`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from curation import __version__

if TYPE_CHECKING:
    from curation.config import Flag, Keys, Plan


class _Flag(NamedTuple):
    """A flag that sets one field of the plan."""

    name: str
    field: str
    type: type
    help: str
    metavar: str | None = None
    choices: Sequence[str] | None = None
    nargs: str | None = None


_FLAGS = {
    "input and output": (
        _Flag("--input", "input", str, "files, folders, globs (default: download the law dataset)", "PATH", nargs="+"),
        _Flag("--against", "against.input", str, "the same: what matches a record of these leaves", "PATH",
              nargs="+"),
        _Flag("--output", "output", str, "the run's folder (default: data/curated)", "DIR"),
        _Flag("--num-files", "num_files", int, "read only so many input files (default: all)", "N"),
        _Flag("--files-per-partition", "files_per_partition", int, "input files in one partition (default: 2)", "N"),
        _Flag("--tokenizer", "handoff.tokenizer", str,
              "folder: examples over handoff.max_tokens tokens leave (default: none; nothing is downloaded)", "PATH"),
        _Flag("--seed", "seed", int, "of everything that is drawn (default: 42)", "N"),
    ),
    "cluster": (
        _Flag("--device", "cluster.device", str, "where to compute (default: cpu)", choices=("cpu", "gpu")),
        _Flag("--n-workers", "cluster.n_workers", int, "worker processes (default: one a core; 8 at most)", "N"),
        _Flag("--threads-per-worker", "cluster.threads_per_worker", int, "threads of each (default: 1)", "N"),
        _Flag("--scheduler-address", "cluster.scheduler_address", str, "a Dask scheduler that already runs", "ADDRESS"),
        _Flag("--scheduler-file", "cluster.scheduler_file", str, "its scheduler file instead", "FILE"),
        _Flag("--protocol", "cluster.protocol", str, "between workers (default: tcp)", choices=("tcp", "tls", "ucx")),
        _Flag("--rmm-pool-size", "cluster.rmm_pool_size", str, "GPU memory pool of a worker (default: 14GB)", "SIZE"),
    ),
    "rounds of generation": (
        _Flag("--synth-gen-endpoint", "generation.teacher.endpoint", str,
              "OpenAI-compatible; '' skips the rounds (default: https://integrate.api.nvidia.com/v1)", "URL"),
        _Flag("--synth-gen-model", "generation.teacher.model", str,
              "the teacher; '' skips the rounds (default: nvidia/nemotron-4-340b-instruct)", "NAME"),
        _Flag("--synth-gen-ratio", "rounds.ratio", float,
              "share of the training records that a round starts from; 0 skips (default: 0.001)", "SHARE"),
        _Flag("--synth-gen-rounds", "rounds.count", int, "how many rounds (default: 1)", "N"),
        _Flag("--synth-n-variants", "generation.generator.arguments.variants", int,
              "new records from each parent (default: 1)", "N"),
        _Flag("--target-size", "rounds.target_size", int, "end when the training split has so many records", "N"),
        _Flag("--reward-model", "generation.judge.model", str,
              "the critic (default: nvidia/nemotron-4-340b-reward)", "NAME"),
        _Flag("--max-requests", "budget.max_requests", int, "most requests over all tries of the run", "N"),
        _Flag("--max-tokens", "budget.max_tokens", int, "most tokens, in and out", "N"),
        _Flag("--max-cost", "budget.max_cost", float, "most dollars, by the prices in the plan", "DOLLARS"),
        _Flag("--reward-endpoint", "generation.judge.endpoint", str, "where it is asked (default: the teacher's)",
              "URL"),
    ),
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        The exit code: 0; 2 after an error that a user can mend; 130 after an interrupt.
    """
    from curation.core.errors import CurationError

    options = _parser().parse_intermixed_args(arguments)
    _split_paths(options)
    try:
        return _run(options)
    except CurationError as error:
        print(f"curation: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `--list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("curation: stopped. The same command goes on from here.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m curation.main",
        description="Curates question/answer data for fine-tuning: read, clean, filter, dedup, split, then rounds of "
        "generation and judgement. The same command again resumes a run.",
        epilog="Any field of the plan can be set as key=value, such as dedup.semantic.threshold=0.95.",
    )
    parser.add_argument("--version", "-v", action="version", version=f"curation {__version__}")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="a field of the plan and its value in YAML")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a plan in YAML; flags and key=value win over it")
    for title, flags in _FLAGS.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            group.add_argument(
                flag.name,
                dest=flag.field,
                type=flag.type,
                help=flag.help,
                metavar=flag.metavar,
                choices=flag.choices,
                nargs=flag.nargs,
            )
        if title == "cluster":
            group.add_argument(
                "--nvlink-only",
                dest="cluster.nvlink_only",
                action="store_true",
                default=None,
                help="GPU workers talk over NVLink alone",
            )
    parser.add_argument("--api-key", metavar="KEY", help="better in the environment: NVIDIA_API_KEY or OPENAI_API_KEY")
    parser.add_argument("--api-timeout", type=float, metavar="SECONDS", help="for one request (default: 120)")
    parser.add_argument(
        "--max-in-flight", type=int, metavar="N", help="most requests at a time to an endpoint (default: 64)"
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything and estimate the requests; send none")
    parser.add_argument(
        "--list", nargs="*", metavar="WHAT", help="show what there is: everything, a kind, a component, a dotted path"
    )
    parser.add_argument("--no-progress", action="store_true", help="only the lines that matter")
    return parser


def _run(options: argparse.Namespace) -> int:
    from curation.config import load

    if options.list is not None:
        from curation.catalog import catalog

        named = options.config or options.overrides
        print(catalog(options.list, load(options.config, (), options.overrides) if named else None))
        return 0
    plan = load(options.config, _flags(options), options.overrides)
    keys = _keys(plan, options.api_key)
    from curation import job  # Dask and pandas: not before the plan is known to be sound

    return job.run(plan, keys, dry=options.dry_run, quiet=options.no_progress)


def _split_paths(options: argparse.Namespace) -> None:
    """`--input a.jsonl seed=7`: argparse takes both for paths; what is a key and a value is an override."""
    for name in ("input", "against.input"):
        paths = getattr(options, name) or []
        overrides = [path for path in paths if re.match(r"[a-z_][\w.]*=", path) and not Path(path).exists()]
        setattr(options, name, [path for path in paths if path not in overrides] or None)
        options.overrides = [*overrides, *options.overrides]


def _flags(options: argparse.Namespace) -> list[Flag]:
    """The flags that were given, as fields of the plan."""
    fields = [flag.field for flags in _FLAGS.values() for flag in flags]
    values = vars(options)
    given = [(field, values[field]) for field in [*fields, "cluster.nvlink_only"] if values[field] is not None]
    for field, value in (("timeout", options.api_timeout), ("max_in_flight", options.max_in_flight)):
        if value is not None:
            given += [(f"generation.{model}.{field}", value) for model in ("teacher", "judge")]
    return given


def _keys(plan: Plan, key: str | None) -> Keys:
    """The key of the command line, or else each endpoint's own of the environment."""
    from pydantic import SecretStr

    from curation.config import Keys, key_variable

    if key:
        print(
            "curation: warning: a key on the command line can be seen by other users of this machine and stays in the "
            "shell's history; set NVIDIA_API_KEY or OPENAI_API_KEY instead",
            file=sys.stderr,
        )
        return Keys(SecretStr(key))
    endpoints = {model.endpoint for _, model in plan.generation.asked}
    found = {endpoint: os.environ.get(key_variable(endpoint)) for endpoint in endpoints if endpoint}
    return Keys(endpoints={endpoint: SecretStr(value) for endpoint, value in found.items() if value})


if __name__ == "__main__":
    sys.exit(main())
