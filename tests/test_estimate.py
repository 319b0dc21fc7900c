"""The dry run: counts what would be asked, and asks nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from curation.engine.progress import Silent
from curation.engine.run import Run
from curation.engine.store import Store
from curation.estimate import estimate
from tests import law_like
from tests.core.tiny_encoder import write_tiny_encoder
from tests.mock_endpoint import MockEndpoint
from tests.test_rounds import KEYS, plan_for, taught

if TYPE_CHECKING:
    from distributed import Client


@pytest.fixture
def encoder(tmp_path: Path) -> str:
    return str(write_tiny_encoder(tmp_path / "encoder"))


def test_requests_are_counted_and_none_is_sent(client: Client, tmp_path: Path, encoder: str) -> None:
    source = str(law_like.write(tmp_path / "law.json"))
    with MockEndpoint() as server:
        plan = plan_for(tmp_path / "out", source, encoder, **taught(server))
        said = estimate(Run(Store(plan.output), client, Silent()), plan, KEYS)
        assert server.connections == 0
    parents = int(said.split(" parents a round")[0].split()[-1])
    assert parents > 5
    teacher, critic = (line for line in said.splitlines() if "requests" in line)
    assert teacher.split()[:3] == ["teacher", str(2 * parents), "requests,"]
    assert critic.split()[:3] == ["critic", str(2 * 2 * parents), "requests,"]
    assert "Nothing was sent" in said


def test_each_model_of_several_critics_has_its_line(client: Client, tmp_path: Path, encoder: str) -> None:
    source = str(law_like.write(tmp_path / "law.json"))
    critics = [
        "reward",
        "pairwise",
        {"name": "judge", "as": "pair", "judge": {"model": "rater", "price": {"prompt": 1000, "completion": 0}}},
        {"name": "rules", "arguments": {"rules": {"sourced": {"citations": 1}}}},
    ]
    with MockEndpoint() as server:
        generation = {**taught(server)["generation"], "critics": critics}
        plan = plan_for(tmp_path / "out", source, encoder, generation=generation)
        said = estimate(Run(Store(plan.output), client, Silent()), plan, KEYS)
        assert server.connections == 0
    parents = int(said.split(" parents a round")[0].split()[-1])
    _, judge, rater = (line for line in said.splitlines() if "requests" in line)
    children = 2 * 2 * parents
    assert judge.split()[:3] == ["critic", str(3 * children), "requests,"]  # one of `reward`, two of `pairwise`
    assert f"(judge at {server.url}, for reward, pairwise)" in judge
    assert rater.split()[:3] == ["critic", str(children), "requests,"]
    assert "$" in rater
    assert f"(rater at {server.url}, for judge as pair)" in rater


def test_without_a_model_there_is_nothing_to_ask(client: Client, tmp_path: Path, encoder: str) -> None:
    source = str(law_like.write(tmp_path / "law.json"))
    plan = plan_for(tmp_path / "out", source, encoder)
    said = estimate(Run(Store(plan.output), client, Silent()), plan, KEYS)
    assert said.count(" 0 requests") == 2
    plan = plan_for(tmp_path / "out", source, encoder, rounds={"count": 0})
    assert "0 rounds were asked for" in estimate(Run(Store(plan.output), client, Silent()), plan, KEYS)
