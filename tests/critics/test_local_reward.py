from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from curation.config import GenerationPlan, load
from curation.core.errors import PlanError
from curation.core.parse import REWARD_ATTRIBUTES
from curation.core.records import human
from curation.stages._asking import model_of
from curation.stages._panel import Panel
from tests.models.tiny_llama import write_tiny_classifier

RECORD = human("a", title="Entry?", question="May he enter?", answer="Not without notice.")


def plan_of(path: Path, **rest: object) -> GenerationPlan:
    critic = {"name": "local_reward", "arguments": {"path": str(path), "device": "cpu"}, **rest}
    return GenerationPlan.model_validate({"generator": "noise", "critic": critic})


def test_its_folder_is_the_model_that_it_asks(tmp_path: Path) -> None:
    folder = write_tiny_classifier(tmp_path / "five", list(REWARD_ATTRIBUTES))
    plan = plan_of(folder)
    ((name, model),) = plan.asked
    assert (name, model.kind, model.arguments["path"]) == ("critic.judge", "transformers_reward", str(folder))
    (seat,) = Panel.of(plan).seats
    opinion = asyncio.run(seat.opinion(RECORD, RECORD, {name: model_of(model, None)}))
    assert not isinstance(opinion, Exception)
    assert set(opinion.scores) == set(REWARD_ATTRIBUTES)
    assert opinion.grade == opinion.scores["helpfulness"] - 2


def test_a_plan_that_was_written_out_is_read_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert GenerationPlan.model_validate(plan.model_dump(mode="json")) == plan


def test_it_takes_no_other_model(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="asks the model of its own arguments"):
        load(overrides=["generation.critic={name: local_reward, arguments: {path: a}, judge: {model: m}}"])
