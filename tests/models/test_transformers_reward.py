from __future__ import annotations

import asyncio
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from curation.core.contracts import ChatModel, Completion, Message
from curation.core.errors import EndpointError, InputError, RequestError
from curation.core.parse import REWARD_ATTRIBUTES, read_attributes, read_scores
from curation.core.records import human
from curation.core.registry import Spec
from curation.models import transformers_reward as module
from curation.models.transformers_reward import TransformersReward
from tests.core.tiny_encoder import write_tiny_encoder
from tests.models.tiny_llama import CONTEXT, together, write_tiny_classifier, write_tiny_llama

ANSWERS = ["Yes.", "Only if the contract says so. " * 4, "No, the landlord does.", "?"]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_classifier(tmp_path_factory.mktemp("judge") / "one", ["LABEL_0"])


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = [name.capitalize() for name in reversed(REWARD_ATTRIBUTES)]
    return write_tiny_classifier(tmp_path_factory.mktemp("judge") / "five", labels, padding=False)


def talk(answer: str) -> list[Message]:
    return [{"role": "user", "content": "Who pays?"}, {"role": "assistant", "content": answer}]


def rate(model: ChatModel, messages: list[Message]) -> Completion:
    return asyncio.run(model.chat(messages))


def rate_together(model: TransformersReward, talks: Sequence[list[Message]]) -> list[Completion]:
    return together(model, map(model.chat, talks))


def logits_of(folder: Path, talks: Sequence[list[Message]]) -> list[list[float]]:
    """By plain transformers, one by one."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    found = []
    for messages in talks:
        if tokenizer.chat_template:
            inputs = {"input_ids": tokenizer.apply_chat_template(messages, return_tensors="pt")}
        else:
            inputs = tokenizer(messages[0]["content"], messages[1]["content"], return_tensors="pt")
        with torch.inference_mode():
            found.append(network(**inputs).logits[0].tolist())
    return found


def test_one_label_is_the_reward(one: Path) -> None:
    talks = [talk(answer) for answer in ANSWERS]
    model = TransformersReward(str(one), device="cpu")
    rated = rate_together(model, talks)
    for completion, (number,) in zip(rated, logits_of(one, talks), strict=True):
        assert read_scores(completion) == {"reward": pytest.approx(number, abs=1e-5)}
        assert read_attributes(completion.text) == read_scores(completion)
    assert len({completion.text for completion in rated}) == len(ANSWERS)
    assert (rated[0].model, rated[0].finish_reason) == ("one", "stop")
    assert rated[0].usage.prompt_tokens == 4 + len("user:Who pays?" + "assistant:Yes.")


def test_five_labels_are_the_attributes_of_helpsteer(five: Path) -> None:
    talks = [talk(answer) for answer in ANSWERS]
    rated = rate_together(TransformersReward(str(five), device="cpu"), talks)
    for completion, numbers in zip(rated, logits_of(five, talks), strict=True):
        expected = dict(zip(reversed(REWARD_ATTRIBUTES), numbers, strict=True))
        assert read_scores(completion) == pytest.approx(expected, abs=1e-5)
        assert list(read_scores(completion)) == list(REWARD_ATTRIBUTES)
        assert read_attributes(completion.text) == dict(completion.logprobs or ())


def test_the_company_of_a_conversation_does_not_count(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = module._Judge.run

    def counting(network: Any, rows: Sequence[Any]) -> None:
        sizes.append(len(rows))
        run(network, rows)

    monkeypatch.setattr(module._Judge, "run", counting)
    model = TransformersReward(str(one), device="cpu", batch_size=3)
    alone = [read_scores(rate(model, talk(answer)))["reward"] for answer in ANSWERS]
    rated = rate_together(model, [talk(answer) for answer in ANSWERS])
    assert sizes == [1] * len(ANSWERS) + [3, 1]
    assert [read_scores(completion)["reward"] for completion in rated] == pytest.approx(alone, abs=1e-5)


def test_an_encoder_reads_a_pair_of_texts(tmp_path: Path) -> None:
    folder = _write_encoder_judge(tmp_path / "bert")
    model = TransformersReward(str(folder), device="cpu")
    talks = [talk(answer) for answer in ("yes", "no it is the landlord", "?")]
    rated = rate_together(model, talks)
    for completion, (number,) in zip(rated, logits_of(folder, talks), strict=True):
        assert read_scores(completion) == {"reward": pytest.approx(number, abs=1e-5)}
    assert rate(model, talk("z " * 53)).usage.prompt_tokens == 64
    with pytest.raises(RequestError, match="bad_request: the conversation has 65 tokens; the model takes 64"):
        rate(model, talk("z " * 54))


def test_a_long_conversation_is_never_cut(one: Path) -> None:
    model = TransformersReward(str(one), device="cpu")
    room = CONTEXT - rate(model, talk("")).usage.prompt_tokens
    assert rate(model, talk("x" * room)).usage.prompt_tokens == CONTEXT
    with pytest.raises(RequestError, match=f"bad_request: the conversation has {CONTEXT + 1} tokens"):
        rate(model, talk("x" * (room + 1)))


def test_a_conversation_that_can_not_be_scored(one: Path) -> None:
    model = TransformersReward(str(one), device="cpu")
    for messages in ([], talk("x")[:1], talk("x")[1:], talk("x")[::-1]):
        with pytest.raises(RequestError, match="bad_request: a reward model scores the assistant's message"):
            rate(model, messages)
    wizard: Message = {"role": "wizard", "content": "x"}
    for broken in ([wizard, *talk("x")], talk("\ud800")):
        with pytest.raises(RequestError, match="bad_request: the tokenizer refuses"):
            rate(model, broken)


def test_the_reward_critic_asks_it(five: Path) -> None:
    model = Spec("model", "transformers_reward", {"path": str(five), "device": "cpu"}).create()
    critic = Spec("critic", "reward", {}).create()
    record = human("1", title="Who pays?", question="The rent.", answer="The tenant.")
    scores = asyncio.run(critic.judge(record, None, pickle.loads(pickle.dumps(model))))
    assert set(scores) == set(REWARD_ATTRIBUTES)


def test_weights_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        TransformersReward(str(tmp_path / "none"))
    with pytest.raises(InputError, match="holds LlamaForCausalLM, which is no sequence classifier"):
        TransformersReward(str(write_tiny_llama(tmp_path / "llama")))
    two = write_tiny_classifier(tmp_path / "two", ["good", "bad"])
    with pytest.raises(EndpointError, match=r"has one label, or the labels helpfulness, .* has good, bad"):
        rate(TransformersReward(str(two), device="cpu"), talk("x"))


@pytest.mark.gpu
def test_on_a_gpu_the_scores_are_those_of_the_cpu(one: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU is here")
    talks = [talk(answer) for answer in ANSWERS]
    scores = [
        [read_scores(completion)["reward"] for completion in rate_together(model, talks)]
        for model in (TransformersReward(str(one), device=device, dtype="float32") for device in ("cpu", "gpu"))
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


def _write_encoder_judge(folder: Path) -> Path:
    """A BERT with one number, and no chat template."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(7)
    write_tiny_encoder(folder)
    BertForSequenceClassification.from_pretrained(folder, num_labels=1).save_pretrained(folder)
    return folder
