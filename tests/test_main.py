"""The command line: flags, exit codes, and how quickly it answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from curation import main as command
from curation.config import BudgetPlan, Keys, Plan, load

TUTORIAL_FLAGS = (
    "--device --n-workers --threads-per-worker --scheduler-address --scheduler-file --protocol --nvlink-only "
    "--rmm-pool-size --files-per-partition --num-files --synth-gen-endpoint --synth-gen-model --synth-gen-ratio "
    "--synth-gen-rounds --synth-n-variants --api-key --api-timeout"
)
OUR_FLAGS = (
    "--config --input --against --output --target-size --reward-model --reward-endpoint --seed --dry-run "
    "--no-progress --version"
)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Plan, Keys, bool]]:
    """What the job would have been started with."""
    from curation import job

    calls: list[tuple[Plan, Keys, bool]] = []

    def run(plan: Plan, keys: Keys, dry: bool, quiet: bool) -> int:
        calls.append((plan, keys, dry))
        return 0

    monkeypatch.setattr(job, "run", run)
    return calls


def test_help_shows_every_flag_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom curation.main import main\n"
        "try:\n  main(['--help'])\nexcept SystemExit:\n  pass\n"
        "heavy = {'dask', 'torch', 'pandas', 'nemo_curator', 'openai', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for flag in f"{TUTORIAL_FLAGS} {OUR_FLAGS}".split():
        assert flag in said


def test_no_flags_mean_the_tutorials_defaults(started: list[tuple[Plan, Keys, bool]]) -> None:
    assert command.main([]) == 0
    plan = started[0][0]
    assert plan == Plan()
    assert plan.generation.teacher.endpoint == "https://integrate.api.nvidia.com/v1"
    assert plan.generation.teacher.model == "nvidia/nemotron-4-340b-instruct"
    assert (plan.rounds.ratio, plan.rounds.count, plan.generation.teacher.timeout) == (0.001, 1, 120)
    assert str(plan.output) == "data/curated"


def test_flags_land_in_the_plan(started: list[tuple[Plan, Keys, bool]]) -> None:
    line = (
        "--device cpu --n-workers 3 --threads-per-worker 2 --scheduler-address tcp://h:1 --protocol tcp --nvlink-only "
        "--rmm-pool-size 2GB --files-per-partition 4 --num-files 5 --synth-gen-endpoint http://localhost:1/v1 "
        "--synth-gen-model m --synth-gen-ratio 0.5 --synth-gen-rounds 2 --synth-n-variants 3 --api-timeout 7 "
        "--output o --target-size 9 --reward-model r --reward-endpoint http://localhost:2/v1 --seed 1 --dry-run "
        "--input a.jsonl b.jsonl max_bad_ratio=0.5 --against c.jsonl d.parquet against.ngram=8"
    )
    assert command.main(line.split()) == 0
    plan, _, dry = started[0]
    cluster, generation = plan.cluster, plan.generation
    assert (cluster.n_workers, cluster.threads_per_worker, cluster.nvlink_only) == (3, 2, True)
    assert (cluster.scheduler_address, cluster.rmm_pool_size) == ("tcp://h:1", "2GB")
    assert (plan.files_per_partition, plan.num_files, plan.input) == (4, 5, ["a.jsonl", "b.jsonl"])
    assert (generation.teacher.endpoint, generation.teacher.model) == ("http://localhost:1/v1", "m")
    assert (generation.judge_model.endpoint, generation.judge.model) == ("http://localhost:2/v1", "r")
    assert (generation.teacher.timeout, generation.judge.timeout) == (7, 7)
    assert generation.generator.arguments == {"variants": 3}
    assert (plan.rounds.ratio, plan.rounds.count, plan.rounds.target_size) == (0.5, 2, 9)
    assert (plan.seed, str(plan.output), plan.max_bad_ratio) == (1, "o", 0.5)
    assert (plan.against.input, plan.against.ngram) == (["c.jsonl", "d.parquet"], 8)
    assert dry


def test_a_wrong_plan_is_one_message_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--synth-gen-rounds", "-1", "sede=3"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("curation: the plan has 2 faults:")
    assert "Did you mean 'seed'?" in said
    assert "Traceback" not in said


def test_each_endpoint_gets_its_own_key(
    started: list[tuple[Plan, Keys, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVIDIA_API_KEY", "nv-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    command.main(["--reward-endpoint", "https://api.openai.com/v1"])
    plan, keys, _ = started[0]
    found = [keys.of(model) for model in (plan.generation.teacher, plan.generation.judge_model)]
    assert [key and key.get_secret_value() for key in found] == ["nv-secret", "sk-secret"]
    assert "secret" not in repr(keys)


def test_the_models_of_several_critics_get_their_keys_too(
    started: list[tuple[Plan, Keys, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    critics = "[{name: judge, as: pair, judge: {model: r, endpoint: 'https://api.openai.com/v1'}}]"
    command.main([f"generation.critics={critics}"])
    plan, keys, _ = started[0]
    key = keys.of(dict(plan.generation.asked)["critics.0.judge"])
    assert key is not None
    assert key.get_secret_value() == "sk-secret"


def test_a_key_on_the_command_line_is_accepted_with_a_warning(
    started: list[tuple[Plan, Keys, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(["--api-key", "nv-secret"])
    plan, keys, _ = started[0]
    key = keys.of(plan.generation.teacher)
    assert key is not None
    assert key.get_secret_value() == "nv-secret"
    said = capsys.readouterr().err
    assert "warning: a key on the command line" in said
    assert "nv-secret" not in said


def test_bounds_are_flags(started: list[tuple[Plan, Keys, bool]]) -> None:
    command.main(["--max-requests", "7", "--max-tokens", "900", "--max-in-flight", "12", "--api-timeout", "3"])
    plan = started[0][0]
    assert plan.budget == BudgetPlan(max_requests=7, max_tokens=900)
    for model in (plan.generation.teacher, plan.generation.judge):
        assert (model.max_in_flight, model.timeout) == (12, 3)


def test_a_bound_on_money_needs_prices(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--max-cost", "5"]) == 2
    said = capsys.readouterr().err
    assert "generation.teacher.price: budget.max_cost needs the price of nvidia/nemotron-4-340b-instruct" in said
    assert "generation.judge.price" in said


def test_configs_and_the_sample_start_from_anywhere(started: list[tuple[Plan, Keys, bool]], tmp_path: Path) -> None:
    config = Path(__file__).parents[1] / "configs" / "sample.yaml"
    assert command.main(["--config", str(config), "--output", str(tmp_path)]) == 0
    assert started[0][0] == load(config, flags=[("output", str(tmp_path))])
