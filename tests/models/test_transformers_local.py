from __future__ import annotations

import asyncio
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from curation.core.contracts import Completion, Message
from curation.core.errors import EndpointError, InputError, PlanError, RequestError
from curation.core.registry import Spec
from curation.engine.guard import Guard
from curation.models import _batches
from curation.models import transformers_local as module
from curation.models._batches import Limits, Row, next_batch
from curation.models.transformers_local import Prompt, Sampling, TransformersLocal
from tests.core.tiny_encoder import write_tiny_encoder
from tests.models.tiny_llama import CONTEXT, together, write_tiny_classifier, write_tiny_llama

TEXTS = ["hello", "What does the lease say about repairs? " * 3, "?", "Who pays the rent, and when is it due?", "a b c"]
Asked = tuple[list[Message], dict[str, Any]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("llama") / "tiny-llama")


@pytest.fixture
def model(tiny: Path) -> TransformersLocal:
    return TransformersLocal(str(tiny), device="cpu")


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each batch has that is run meanwhile."""
    seen: list[int] = []
    run = module._Teacher.run

    def counting(network: Any, rows: Sequence[Any]) -> None:
        seen.append(len(rows))
        run(network, rows)

    monkeypatch.setattr(module._Teacher, "run", counting)
    return seen


def say(text: str, role: str = "user") -> list[Message]:
    return [{"role": role, "content": text}]


def ask(model: TransformersLocal, messages: list[Message], **sampling: Any) -> Completion:
    return asyncio.run(model.chat(messages, **sampling))


def ask_together(model: TransformersLocal, asked: Sequence[Asked]) -> list[Completion]:
    return together(model, [model.chat(messages, **sampling) for messages, sampling in asked])


class TestBatches:
    def test_greedy_replies_are_those_of_plain_transformers(self, tiny: Path, model: TransformersLocal) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(tiny)
        network = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
        replies = ask_together(model, [(say(text), {"temperature": 0, "max_tokens": 30}) for text in TEXTS])
        for text, reply in zip(TEXTS, replies, strict=True):
            prompt = tokenizer.apply_chat_template(say(text), add_generation_prompt=True, return_tensors="pt")
            tokens = network.generate(prompt, max_new_tokens=30, do_sample=False)[0, prompt.shape[1] :]
            assert reply.text == tokenizer.decode(tokens, skip_special_tokens=True)
            assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (prompt.shape[1], len(tokens))

    @pytest.mark.parametrize("shared", [{"temperature": 0}, {"temperature": 1.0}, {"temperature": 0.8, "seed": 5}])
    def test_a_reply_does_not_depend_on_its_company(
        self, model: TransformersLocal, sizes: list[int], shared: dict[str, Any]
    ) -> None:
        asked: list[Asked] = [(say(text), {**shared, "max_tokens": 15 + len(text) % 7}) for text in TEXTS]
        alone = [ask(model, messages, **sampling) for messages, sampling in asked]
        assert sizes == [1] * len(TEXTS)
        assert ask_together(model, asked) == alone
        assert ask_together(model, asked[::-1]) == alone[::-1]
        assert sizes[len(TEXTS) :] == [len(TEXTS)] * 2

    def test_each_row_of_a_batch_is_sampled_by_its_own_rules(self, model: TransformersLocal, sizes: list[int]) -> None:
        rules: list[dict[str, Any]] = [
            {"temperature": 0},
            {"temperature": 0.6, "seed": 1},
            {"temperature": 1.5, "top_p": 0.6, "seed": 1},
            {"temperature": 1.5, "top_k": 4, "seed": 1},
            {"temperature": 1.5, "top_k": 30, "top_p": 0.9, "seed": 2},
            {"temperature": 5, "seed": 1},
        ]
        asked: list[Asked] = [(say("hello"), {**rule, "max_tokens": 20}) for rule in rules]
        together = ask_together(model, asked)
        assert sizes == [len(rules)]
        assert together == [ask(model, messages, **sampling) for messages, sampling in asked]
        assert len({reply.text for reply in together}) == len(rules)

    def test_no_batch_is_larger_than_it_may_be(self, tiny: Path, sizes: list[int]) -> None:
        asked: list[Asked] = [(say(f"question {number}"), {"max_tokens": 4}) for number in range(7)]
        model = TransformersLocal(str(tiny), device="cpu", batch_size=3)
        ask_together(model, asked)
        assert sizes == [3, 3, 1]
        narrow = TransformersLocal(str(tiny), device="cpu", batch_tokens=70)
        ask_together(narrow, asked)
        assert sizes[3:] == [2, 2, 2, 1]

    def test_the_oldest_row_goes_first_with_those_of_like_length(self) -> None:
        def row(length: int, room: int = 10) -> Row[str, str]:
            return Row("", Limits(3, 400), inputs={"input_ids": [0] * length}, room=room)

        rows = [row(50), row(8), row(60), row(45), row(49, room=60)]
        assert next_batch(rows, 100) == [rows[0], rows[3], rows[2]]  # together, 50 and 60 would not fit into 100
        assert next_batch(rows, 200) == [rows[0], rows[4], rows[3]]
        assert next_batch([row(500), row(500)], 1000)[1:] == []  # a row too large for any batch runs by itself

    def test_event_loops_and_threads_share_one_network(self, model: TransformersLocal) -> None:
        asked: list[Asked] = [(say(text), {"max_tokens": 12, "seed": seed}) for text in TEXTS for seed in range(4)]
        alone = [ask(model, messages, **sampling) for messages, sampling in asked]
        with ThreadPoolExecutor(5) as pool:
            parts = pool.map(lambda start: ask_together(model, asked[start::5]), range(5))
            assert list(parts) == [alone[start::5] for start in range(5)]

    def test_who_gives_up_holds_up_nobody(self, model: TransformersLocal, monkeypatch: pytest.MonkeyPatch) -> None:
        run, steps = module._Teacher.run, []
        follow = module._Writing.__call__

        def given_up(network: Any, rows: Sequence[Any]) -> None:
            max(rows, key=lambda row: row.room).future.cancel()
            run(network, rows)

        def counting(writing: Any, *step: Any) -> Any:
            steps.append(step)
            return follow(writing, *step)

        expected = ask(model, say("hello"), max_tokens=9, temperature=0)
        monkeypatch.setattr(module._Teacher, "run", given_up)
        monkeypatch.setattr(module._Writing, "__call__", counting)

        chats = [model.chat(say("hello"), max_tokens=room, temperature=0) for room in (200, 9)]
        given, reply = together(model, chats)
        assert isinstance(given, asyncio.CancelledError)
        assert reply == expected
        assert len(steps) == 9

    def test_who_gives_up_early_is_never_run(self, model: TransformersLocal, sizes: list[int]) -> None:
        row = Row[Any, Any](Prompt((("user", "hello"),), None, Sampling(5), 0), Limits(4, 400))
        row.future.cancel()
        batcher = model._batcher()
        batcher._waiting.append(row)
        ask(model, say("hello"), max_tokens=5)
        assert sizes == [1]
        assert not row.inputs

    def test_a_batch_that_memory_cannot_hold_is_halved(
        self, model: TransformersLocal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch

        asked: list[Asked] = [(say(text), {"max_tokens": 5, "temperature": 0}) for text in TEXTS]
        expected = ask_together(model, asked)
        run = module._Teacher.run

        def short_of_memory(network: Any, rows: Sequence[Any]) -> None:
            if sum(row.length for row in rows) > 150:
                raise torch.OutOfMemoryError("out of memory")
            run(network, rows)

        monkeypatch.setattr(module._Teacher, "run", short_of_memory)
        assert ask_together(model, asked) == expected
        with pytest.raises(RequestError, match="bad_request: out of memory"):
            ask(model, say("x" * 150), max_tokens=5)

    def test_a_failure_reaches_all_who_wait(self, model: TransformersLocal, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(network: Any, rows: Sequence[Any]) -> None:
            raise RuntimeError("the device is lost")

        def silent(network: Any, rows: Sequence[Any]) -> None:
            return

        expected = ask(model, say("hello"), max_tokens=3)
        with monkeypatch.context() as patched:
            patched.setattr(module._Teacher, "run", broken)
            with pytest.raises(RuntimeError, match="the device is lost"):
                ask(model, say("hello"), max_tokens=3, n=3)
            patched.setattr(module._Teacher, "run", silent)
            with pytest.raises(AssertionError, match="left a row without an answer"):
                ask(model, say("hello"), max_tokens=3)
        assert ask(model, say("hello"), max_tokens=3) == expected


class TestSampling:
    def test_tokens_come_as_often_as_they_are_likely(self, tiny: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        count = 600
        prompt = AutoTokenizer.from_pretrained(tiny).apply_chat_template(
            say("hello"), add_generation_prompt=True, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = AutoModelForCausalLM.from_pretrained(tiny)(prompt).logits[0, -1]
        shares, tokens = (logits / 0.7).topk(4)[0].softmax(-1).tolist(), logits.topk(4)[1]
        letters = AutoTokenizer.from_pretrained(tiny).convert_ids_to_tokens(tokens)
        model = TransformersLocal(str(tiny), device="cpu", batch_size=count)
        drawn = Counter(ask(model, say("hello"), n=count, max_tokens=1, temperature=0.7, top_k=4).texts)
        assert set(drawn) <= set(letters)
        for letter, share in zip(letters, shares, strict=True):
            assert abs(drawn[letter] / count - share) < 4 * (share * (1 - share) / count) ** 0.5

    @pytest.mark.parametrize(("top_k", "top_p"), [(0, 0.5), (7, 1.0), (12, 0.8), (1, 1.0), (0, 0.0), (0, 1.0)])
    def test_what_is_cut_is_what_transformers_cuts(self, top_k: int, top_p: float) -> None:
        import torch
        from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

        logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * 3
        warpers = [TemperatureLogitsWarper(0.9), *([TopKLogitsWarper(top_k)] if top_k else []), TopPLogitsWarper(top_p)]
        expected = LogitsProcessorList(warpers)(torch.zeros(3, 1), logits.clone())
        prompt = Prompt((), None, Sampling(9, temperature=0.9, top_k=top_k, top_p=top_p), 0)
        sampler = module._Sampler([Row(prompt, Limits(1, 1), room=9) for _ in range(3)], "cpu")
        torch.testing.assert_close(sampler._cut(logits / 0.9), expected)

    def test_as_good_as_no_temperature(self, model: TransformersLocal) -> None:
        cold = [ask(model, say("hello"), max_tokens=20, temperature=warmth) for warmth in (0, 1e-300)]
        assert cold[0] == cold[1]

    def test_the_same_request_gets_the_same_reply(self, model: TransformersLocal) -> None:
        first = ask(model, say("hello"), max_tokens=20)
        assert ask(model, say("hello"), max_tokens=20) == first
        others = [ask(model, say("hello"), max_tokens=20, seed=seed).text for seed in range(4)]
        assert len({first.text, *others}) == 5
        assert ask(model, say("hello"), max_tokens=9).text == first.text[:9]

    def test_several_choices(self, model: TransformersLocal, sizes: list[int]) -> None:
        one = ask(model, say("hello"), max_tokens=10, seed=3)
        three = ask(model, say("hello"), max_tokens=10, seed=3, n=3)
        assert sizes == [1, 3]
        assert three.text == one.text
        assert len(set(three.texts)) == 3
        assert (three.usage.prompt_tokens, three.usage.completion_tokens) == (one.usage.prompt_tokens, 30)
        assert (three.model, three.finish_reason) == ("tiny-llama", "length")

    def test_what_is_not_said_or_ignored_changes_nothing(self, model: TransformersLocal) -> None:
        said = ask(model, say("hello"), max_tokens=10, temperature=1.0)
        unsaid = {"top_p": None, "seed": None, "stop": None, "n": None, "response_format": {"type": "json_object"}}
        assert ask(model, say("hello"), max_completion_tokens=10, **unsaid) == said

    @pytest.mark.parametrize(
        "sampling",
        [
            {"temperature": -1},
            {"temperature": "hot"},
            {"temperature": float("nan")},
            {"top_p": 1.1},
            {"top_k": 2.5},
            {"max_tokens": 0},
            {"n": 0},
            {"stop": ["a", ""]},
            {"stop": 7},
        ],
    )
    def test_a_value_that_can_not_be(self, model: TransformersLocal, sampling: dict[str, Any]) -> None:
        with pytest.raises(RequestError, match="bad_request"):
            ask(model, say("hello"), **sampling)

    def test_an_unknown_name_fails_every_request(self, model: TransformersLocal) -> None:
        with pytest.raises(EndpointError, match="knows no sampling 'min_p'; it knows max_tokens, temperature"):
            ask(model, say("hello"), min_p=0.1)


class TestEnds:
    def test_a_stop_string_ends_the_reply_and_is_not_part_of_it(self, model: TransformersLocal) -> None:
        whole = ask(model, say("hello"), temperature=0, max_tokens=30)
        place = next(place for place in range(5, 20) if whole.text.find(whole.text[place : place + 3]) == place)
        late, early = whole.text[-4:], whole.text[place : place + 3]
        stopped = ask(model, say("hello"), temperature=0, max_tokens=30, stop=[late, early, "never"])
        assert (stopped.text, stopped.finish_reason) == (whole.text[:place], "stop")
        assert stopped.usage.completion_tokens == place + 3
        assert ask(model, say("hello"), temperature=0, max_tokens=place + 3, stop=early) == stopped
        unstopped = ask(model, say("hello"), temperature=0, max_tokens=place + 2, stop=early)
        assert (unstopped.text, unstopped.finish_reason) == (whole.text[: place + 2], "length")

    def test_any_end_of_the_generation_config_ends_the_reply(self, tmp_path: Path, model: TransformersLocal) -> None:
        whole = ask(model, say("hello"), temperature=0, max_tokens=30).text
        place = next(place for place in range(5, 30) if whole.find(whole[place]) == place)
        folder = write_tiny_llama(tmp_path / "tiny", ends=[98, ord(whole[place]) - 32])
        ended = ask(TransformersLocal(str(folder), device="cpu"), say("hello"), temperature=0, max_tokens=30)
        assert (ended.text, ended.finish_reason) == (whole[:place], "stop")
        assert ended.usage.completion_tokens == place + 1

    def test_a_reply_ends_with_the_context(self, model: TransformersLocal) -> None:
        asked = "x" * (CONTEXT - 30)
        cut = ask(model, say(asked), max_tokens=1000)
        assert cut.finish_reason == "length"
        assert cut.usage.prompt_tokens + cut.usage.completion_tokens == CONTEXT
        with pytest.raises(RequestError, match=rf"bad_request: the prompt has {CONTEXT + 48} tokens"):
            ask(model, say("x" * (CONTEXT + 30)))

    def test_without_a_bound_the_models_own_holds(self, tiny: Path) -> None:
        model = TransformersLocal(str(tiny), device="cpu", max_tokens=6)
        assert ask(model, say("hello"), temperature=0).usage.completion_tokens == 6


class TestTemplates:
    def test_without_a_template_it_says_what_to_do(self, tmp_path: Path) -> None:
        folder = str(write_tiny_llama(tmp_path / "base", template=None))
        with pytest.raises(EndpointError, match=r"no chat template.*chat_template to a Jinja template or to 'plain'"):
            ask(TransformersLocal(folder, device="cpu"), say("hello"))
        plain = TransformersLocal(folder, device="cpu", chat_template="plain")
        own = TransformersLocal(folder, device="cpu", chat_template="<s>User: {{ messages[0].content }}\n\nAssistant:")
        replies = [ask(one, say("hello"), temperature=0, max_tokens=12) for one in (plain, own)]
        assert replies[0] == replies[1]
        assert replies[0].usage.prompt_tokens == 1 + len("User: hello\n\nAssistant:")
        assert Prompt((), "plain", Sampling(9, stop=("x",)), 0).stop == ("x", "\n\nUser:")

    def test_roles_that_the_template_does_not_know(self, model: TransformersLocal) -> None:
        with pytest.raises(RequestError, match="bad_request: the tokenizer refuses the conversation: no wizards"):
            ask(model, say("hello", role="wizard"))

    def test_a_text_that_is_none(self, model: TransformersLocal) -> None:
        with pytest.raises(RequestError, match="bad_request: the tokenizer refuses"):
            ask(model, say("half a character: \ud800"))


class TestWeights:
    def test_components_share_them_and_pickle_without_them(self, tiny: Path, model: TransformersLocal) -> None:
        before = pickle.dumps(model)
        reply = ask(model, say("hello"), max_tokens=8)
        other = pickle.loads(pickle.dumps(model))
        assert pickle.dumps(model) == before
        assert ask(other, say("hello"), max_tokens=8) == reply
        assert other._batcher() is TransformersLocal(str(tiny), device="cpu", batch_size=2)._batcher()
        network = model._batcher()._network
        asyncio.run(model.close())
        assert ask(model, say("hello"), max_tokens=8) == reply
        assert model._batcher()._network is network
        assert network is not None

    def test_other_weights_of_the_same_name_are_another_model(self, tiny: Path, tmp_path: Path) -> None:
        moved = Path(shutil.copytree(tiny, tmp_path / tiny.name))
        one = TransformersLocal(str(tiny))
        assert TransformersLocal(str(moved), batch_size=3, device="cpu").identity == one.identity
        assert TransformersLocal(str(tiny), max_tokens=9).identity != one.identity
        weights = moved / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        trained = TransformersLocal(str(moved))
        assert trained.name == one.name
        assert trained.identity != one.identity
        assert Guard(trained).identity == trained.identity

    def test_a_plan_names_it_and_loads_nothing(self, tiny: Path) -> None:
        code = (
            "import sys; from curation.core.registry import Spec\n"
            f"model = Spec('model', 'transformers_local', {{'path': {str(tiny)!r}}}).create()\n"
            "print(model.name, sorted({'torch', 'transformers'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == ("tiny-llama []\n", "")
        assert TransformersLocal(str(tiny), name="mine").name == "mine"

    def test_a_folder_that_holds_none_is_told_at_once(self, tiny: Path, tmp_path: Path) -> None:
        def broken(name: str) -> Path:
            return Path(shutil.copytree(tiny, tmp_path / name))

        for path in ("./no/such", "/no/such/folder", "no/such/folder", str(tmp_path / "none"), f"{tmp_path}/x"):
            with pytest.raises(InputError, match="there is no folder"):
                TransformersLocal(path)
        with pytest.raises(InputError, match="there is no folder"):
            TransformersLocal(str(tiny / "config.json"))
        with pytest.raises(InputError, match=r"has no config\.json: is it the folder of a model"):
            TransformersLocal(str(tmp_path))
        adapter = broken("adapter")
        (adapter / "config.json").rename(adapter / "adapter_config.json")
        with pytest.raises(InputError, match="an adapter has to be merged"):
            TransformersLocal(str(adapter))
        for content in ("{", "[]"):
            (adapter / "config.json").write_text(content)
            with pytest.raises(InputError, match=r"config\.json (can't be read|is no model's)"):
                TransformersLocal(str(adapter))
        pickled = broken("pickled")
        (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
        with pytest.raises(InputError, match="pickled weights are never loaded"):
            TransformersLocal(str(pickled))
        (pickled / "pytorch_model.bin").unlink()
        with pytest.raises(InputError, match="are they elsewhere"):
            TransformersLocal(str(pickled))

    def test_weights_of_another_kind_are_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds BertModel, which is no causal language model"):
            TransformersLocal(str(write_tiny_encoder(tmp_path / "encoder")))
        with pytest.raises(InputError, match="holds LlamaForSequenceClassification, which is no causal"):
            TransformersLocal(str(write_tiny_classifier(tmp_path / "judge", ["reward"])))

    def test_weights_that_can_not_be_loaded_fail_every_request(self, tiny: Path, tmp_path: Path) -> None:
        damaged = Path(shutil.copytree(tiny, tmp_path / "damaged"))
        (damaged / "model.safetensors").write_bytes(b"no weights")
        with pytest.raises(EndpointError, match=r"the weights in .*damaged can't be loaded"):
            ask(TransformersLocal(str(damaged), device="cpu"), say("hello"), n=2)
        headless = Path(shutil.copytree(tiny, tmp_path / "headless"))
        _drop_weight(headless, "lm_head.weight")
        with pytest.raises(EndpointError, match=r"are incomplete: lm_head\.weight would be random"):
            ask(TransformersLocal(str(headless), device="cpu"), say("hello"))

    def test_a_name_of_the_hub_without_a_network(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.chdir(tmp_path)
        model = TransformersLocal("nobody/no-such-model", device="cpu")
        assert model.name == "nobody/no-such-model"
        with pytest.raises(EndpointError, match="neither a folder, nor can it be fetched from the Hugging Face hub"):
            ask(model, say("hello"))
        (tmp_path / "nobody").mkdir()
        with pytest.raises(InputError, match="there is no folder"):
            TransformersLocal("nobody/no-such-model")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"device": "tpu"}, "device is auto, cpu or gpu, not 'tpu'"),
            ({"dtype": "int3"}, "dtype is auto, float32, bfloat16 or float16, not 'int3'"),
            ({"batch_size": 0}, "batch_size and batch_tokens are at least 1, not 0"),
            ({"max_tokens": 0}, "max_tokens is at least 1, not 0"),
            ({"chat_template": "chatml"}, "chat_template is 'plain' or the text of a Jinja template"),
        ],
    )
    def test_an_argument_that_can_not_be(self, tiny: Path, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            TransformersLocal(str(tiny), **arguments)
        with pytest.raises(PlanError, match=message):
            Spec("model", "transformers_local", {"path": str(tiny), **arguments}).create()

    def test_a_gpu_that_is_not_there(self, tiny: Path) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("a GPU is here")
        with pytest.raises(EndpointError, match="finds no CUDA device here"):
            ask(TransformersLocal(str(tiny), device="gpu"), say("hello"))
        loaded = _batches.load(_batches.Weights(str(tiny), "auto", "bfloat16", "AutoModelForCausalLM"))
        assert (loaded.device, loaded.network.dtype) == ("cpu", torch.bfloat16)


@pytest.mark.gpu
def test_on_a_gpu_a_reply_does_not_depend_on_its_company(tiny: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU is here")
    model = TransformersLocal(str(tiny), device="gpu", dtype="float32")
    asked: list[Asked] = [(say(text), {"max_tokens": 12, "temperature": 0.8, "seed": 1}) for text in TEXTS]
    assert ask_together(model, asked) == [ask(model, messages, **sampling) for messages, sampling in asked]
    network: Any = model._batcher()._network
    assert network.loaded.network.device.type == "cuda"


def _drop_weight(folder: Path, name: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
