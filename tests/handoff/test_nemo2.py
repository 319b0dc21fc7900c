"""NeMo 2's own data modules read the folder as its recipe says, and learn from the answers alone."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nemo.collections.llm", reason="`make test-handoff` runs this file")

import fiddle
import torch
from megatron.core import parallel_state

pytestmark = pytest.mark.slow
FORMS = ["chat", "nemo"]
END = "<|eot_id|>"


@pytest.fixture(scope="session", autouse=True)
def group() -> Iterator[None]:
    """What NeMo's data sets need, of one process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=0, world_size=1)
    parallel_state.initialize_model_parallel()
    yield
    parallel_state.destroy_model_parallel()
    torch.distributed.destroy_process_group()


@pytest.fixture
def recipe(handoff: Path) -> Any:
    """The recipe of the folder, as a module."""
    spec = importlib.util.spec_from_file_location("nemo2_lora", handoff / "recipes" / "nemo2_lora.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tokenizer(recipe: Any, model: Path) -> Any:
    return fiddle.build(recipe.tokenizer_of(recipe.flags(["--tokenizer", str(model)])))


@pytest.fixture
def read(recipe: Any, tokenizer: Any) -> Callable[..., Any]:
    """Reads a file of the folder as the recipe's data module does: `read(form, split, flags…, other=settings)`."""

    def reader(form: str, split: str = "training", *words: str, **other: Any) -> Any:
        data = fiddle.build(recipe.data_of(recipe.flags(["--form", form, *words])))
        data.tokenizer = tokenizer
        for name in [name for name in other if hasattr(data, name)]:
            setattr(data, name, other.pop(name))
        return data._create_dataset(
            data.dataset_root / f"{split}.jsonl", sanity_check_dist_workers=False, **data.dataset_kwargs, **other
        )

    return reader


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def answer_of(row: dict[str, Any]) -> str:
    """The text that shall be learned."""
    return f"{row['messages'][-1]['content']}{END}" if "messages" in row else f" {row['output']}{END}"


def texts(example: dict[str, Any], tokenizer: Any) -> tuple[str, str]:
    """What is read without loss, and what is learned."""
    pairs = list(zip([int(one) for one in example["input_ids"]], example["loss_mask"], strict=True))
    unseen, learned = ([token for token, loss in pairs if bool(loss) is wanted] for wanted in (False, True))
    return tokenizer.tokenizer.decode(unseen), tokenizer.tokenizer.decode(learned)


@pytest.mark.parametrize("split", ["training", "validation", "test"])
@pytest.mark.parametrize("form", FORMS)
def test_each_answer_is_learned_and_nothing_else(
    handoff: Path, read: Callable[..., Any], tokenizer: Any, form: str, split: str
) -> None:
    rows = rows_of(handoff / form / f"{split}.jsonl")
    data = read(form, split)
    assert len(data) == len(rows)
    for row, example in zip(rows, (data[at] for at in range(len(data))), strict=True):
        asked, learned = texts(example, tokenizer)
        assert learned == answer_of(row)
        question = row["messages"][1]["content"] if form == "chat" else row["input"]
        assert question in asked
        assert asked.startswith("<|begin_of_text|>")
        assert example["metadata"] == {"id": row["id"]}


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_has_loss_on_the_answers_tokens(handoff: Path, read: Callable[..., Any], form: str) -> None:
    data = read(form)
    examples = [data[at] for at in range(4)]
    batch = data.collate_fn(examples)
    assert batch["tokens"].shape == batch["loss_mask"].shape
    assert int(batch["loss_mask"].sum()) == sum(int(sum(example["loss_mask"])) for example in examples)
    rows = rows_of(handoff / form / "training.jsonl")[:4]
    learned = batch["labels"][batch["loss_mask"].bool()].tolist()
    assert data.tokenizer.tokenizer.decode(learned) == "".join(map(answer_of, rows))


def test_the_models_own_template_teaches_every_token(read: Callable[..., Any], tokenizer: Any, model: Path) -> None:
    tokenizer.tokenizer.chat_template = (model / "chat_template.jinja").read_text(encoding="utf-8")
    example = read("chat")[0]
    assert all(example["loss_mask"]), "why the recipe brings a template"


def test_nemos_own_template_knows_no_system_turn(read: Callable[..., Any]) -> None:
    with pytest.raises(KeyError, match="system"):
        read("chat", use_hf_tokenizer_chat_template=False)[0]


def test_padding_has_a_token_of_its_own(tokenizer: Any, model: Path) -> None:
    bare = type(tokenizer)(pretrained_model_name=str(model))
    assert bare.pad_id is None, "what the recipe prevents"
    assert tokenizer.ids_to_tokens([tokenizer.pad_id]) == ["<|finetune_right_pad_id|>"]
    assert len(tokenizer.tokenizer) == len(bare.tokenizer), "the model's embeddings stay as they are"


def test_training_reads_the_very_prompt_that_is_generated_from(
    handoff: Path, read: Callable[..., Any], tokenizer: Any
) -> None:
    rows = rows_of(handoff / "nemo" / "training.jsonl")
    data = read("nemo")
    for at, row in enumerate(rows):
        assert data[at]["context_ids"] == [tokenizer.bos_id, *tokenizer.text_to_ids(row["input"])]
    spaced = {"input": rows[0]["input"] + " ", "output": rows[0]["output"]}
    assert data._process_example(spaced)["context_ids"] != [
        tokenizer.bos_id,
        *tokenizer.text_to_ids(spaced["input"]),
    ], "why no input ends with a space"


def test_the_recipes_length_cuts_nothing_and_a_shorter_one_cuts_prompts(
    recipe: Any, handoff: Path, read: Callable[..., Any], tokenizer: Any
) -> None:
    whole, cut = read("nemo"), read("nemo", seq_length=48)
    assert texts(whole[0], tokenizer)[0].endswith("TITLE:")
    assert not texts(cut[0], tokenizer)[0].endswith("TITLE:")
    assert texts(cut[0], tokenizer)[1] == answer_of(rows_of(handoff / "nemo" / "training.jsonl")[0])
    longest = recipe.FACTS["max_tokens"]
    assert longest <= recipe.FACTS["seq_length"]
    with pytest.raises(SystemExit):
        recipe.flags(["--seq-length", str(longest - 1)])
    assert recipe.flags(["--seq-length", str(longest)])


def test_an_answer_beyond_the_length_leaves_no_prompt(read: Callable[..., Any]) -> None:
    example = read("nemo", seq_length=48)._process_example(
        {"input": "QUESTION: May he? \nTITLE:", "output": "sell the lease " * 40}
    )
    assert example["context_length"] == 1, "the token that begins a text is all that is left"


def test_a_chat_cut_before_its_answer_is_learned_whole(read: Callable[..., Any]) -> None:
    data = read("chat", seq_length=64)
    batch = data.collate_fn([data[0]])
    assert batch["loss_mask"].all(), "why examples beyond the length are never handed over"


@pytest.mark.parametrize("form", FORMS)
def test_an_index_of_other_data_is_forgotten(
    recipe: Any, handoff: Path, read: Callable[..., Any], tokenizer: Any, form: str
) -> None:
    path = handoff / form / "training.jsonl"
    read(form)
    lines = path.read_text(encoding="ascii").splitlines(keepends=True)
    path.write_text("".join(reversed(lines)), encoding="ascii")
    with pytest.raises(json.JSONDecodeError):
        [read(form)[at] for at in range(len(lines))]
    made = (handoff / form / "training.jsonl.idx.npy").stat()
    os.utime(path, ns=(made.st_atime_ns, made.st_mtime_ns + 1))
    recipe.forget_old_indexes(handoff / form)
    data = read(form)
    assert [texts(data[at], tokenizer)[1] for at in range(len(data))] == list(map(answer_of, rows_of(path)))


@pytest.mark.parametrize("broken", ["\n", "null\n", '{"input": "QUESTION: q"}\n', '{"input": null, "output": "a"}\n'])
def test_a_line_without_an_example_stops_a_run(handoff: Path, read: Callable[..., Any], broken: str) -> None:
    """Why none is ever written: all rows of the folder are read above."""
    path = handoff / "nemo" / "training.jsonl"
    lines = path.read_text(encoding="ascii").splitlines(keepends=True)
    assert all(line.strip() for line in lines)
    path.write_text("".join([lines[0], broken, *lines[1:]]), encoding="ascii")
    data = read("nemo")
    with pytest.raises((json.JSONDecodeError, KeyError, AttributeError, TypeError)):
        data[1]


def test_letters_beyond_ascii_belong_into_the_data(read: Callable[..., Any], tokenizer: Any) -> None:
    asked, learned = texts(read("nemo")[0], tokenizer)
    assert "—" in asked
    assert learned == f" End the lease — Zürich{END}"
    templated = read("nemo", prompt_template="Zürich: {input} {output}")
    assert not texts(templated[0], tokenizer)[0].startswith("<|begin_of_text|>Zürich")


def test_prompts_are_packed(recipe: Any, handoff: Path, tokenizer: Any) -> None:
    args = recipe.flags(["--form", "nemo", "--pack"])
    data = fiddle.build(recipe.data_of(args))
    data.tokenizer = tokenizer
    data.dataset_kwargs["sanity_check_dist_workers"] = False
    data.prepare_data()
    packed = data._create_dataset(data.train_path_packed, pack_metadata_path=data.pack_metadata, **data.dataset_kwargs)
    rows = rows_of(handoff / "nemo" / "training.jsonl")
    assert len(packed) < len(rows)
    batch = packed.collate_fn([packed[at] for at in range(len(packed))])
    assert batch["tokens"].shape == (len(packed), args.seq_length)
    learned = tokenizer.tokenizer.decode(batch["labels"][batch["loss_mask"].bool()].tolist())
    assert sorted(learned.split(END)[:-1]) == sorted(answer_of(row).removesuffix(END) for row in rows)
    assert "cu_seqlens" in batch

    made = data.train_path_packed.stat()
    os.utime(handoff / "nemo" / "training.jsonl", ns=(made.st_atime_ns, made.st_mtime_ns + 1))
    recipe.forget_old_indexes(handoff / "nemo")
    assert not data.train_path_packed.exists()
    assert not data.pack_metadata.exists()


def test_chats_are_not_packed(recipe: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recipe.flags(["--pack"])
    assert "--form nemo" in capsys.readouterr().err


def test_the_recipe_trains_an_adapter_of_the_instruct_model(recipe: Any, handoff: Path) -> None:
    config = recipe.recipe_of(recipe.flags([]))
    assert config.resume.restore_config.path == "nemo://meta-llama/Llama-3.1-8B-Instruct"
    assert (config.peft.dim, config.peft.alpha, config.trainer.max_steps) == (32, 32, 1000)
    assert config.data.dataset_root == str(handoff / "chat")
    assert config.data.seq_length == config.model.config.seq_length == recipe.FACTS["seq_length"]
    assert config.tokenizer.chat_template == (handoff / "recipes" / recipe.TEMPLATE.name).read_text()


def test_without_a_full_batch_to_validate_on_the_training_loss_chooses(recipe: Any) -> None:
    few, enough = (recipe.recipe_of(recipe.flags(["--batch", size])) for size in ("32", "8"))
    assert (few.trainer.limit_val_batches, enough.trainer.limit_val_batches) == (0, 1)
    assert fiddle.build(few.log.ckpt).monitor == "reduced_train_loss"
    assert fiddle.build(enough.log.ckpt).monitor == "val_loss"


@pytest.mark.parametrize(
    "words", [[], ["--form", "nemo", "--pack"], ["--slurm", "us", "--partition", "p", "--container", "i"]]
)
def test_a_dry_run_shows_what_would_run(handoff: Path, tmp_path: Path, words: list[str]) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, str(handoff / "recipes" / "nemo2_lora.py"), "--dryrun", *words],
        cwd=tmp_path,
        env=os.environ | {"NEMORUN_HOME": str(home), "NEMO_HOME": str(home), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lora-title" in done.stdout
    if "--slurm" in words:
        assert "#SBATCH --account=us" in done.stdout
        assert f"{handoff}:{handoff}" in done.stdout.replace("\n", "").replace(" ", "")


def test_a_tokenizer_saved_by_transformers_5_can_not_be_read(recipe: Any, made: Path) -> None:
    """Why each recipe reads the tokenizer that came with the model."""
    newer = made / "tokenizer5"
    if not newer.exists():
        pytest.skip("`make test-handoff` saves one in Automodel's environment")
    with pytest.raises(ValueError, match="TokenizersBackend"):
        fiddle.build(recipe.tokenizer_of(recipe.flags(["--tokenizer", str(newer)])))
