"""LoRA with NeMo 2, on the examples of this folder: NeMo's own recipe for Llama 3.1 8B, on the Instruct model.

Needs: the NeMo container 25.x (nemo-toolkit 2.7, nemo_run 0.4), GPUs with 40 GB or more, and the model imported once:
       nemo llm import model=llama31_8b source=hf://meta-llama/Llama-3.1-8B-Instruct
Run:   python nemo2_lora.py --gpus 1        here; with --slurm ACCOUNT --partition P --container IMAGE, on a cluster
       python nemo2_lora.py --dryrun        shows what would run, and runs nothing
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import nemo_run as run
from nemo.collections import llm
from nemo.collections.common.tokenizers.huggingface.auto_tokenizer import AutoTokenizer
from nemo.collections.llm.gpt.data.packed_sequence import PackedSequenceSpecs

HERE = Path(__file__).resolve().parent
FACTS = json.loads((HERE / "facts.json").read_text(encoding="utf-8"))
TEMPLATE = HERE / "llama31_chat_template_generation.jinja"
HOME = Path(os.environ.get("NEMO_HOME", Path.home() / ".cache" / "nemo")).resolve()


def flags(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=FACTS["model"], help="name under which the model was imported")
    parser.add_argument("--tokenizer", help="folder of the tokenizer; that of the imported model by default")
    parser.add_argument("--data", type=Path, default=HERE.parent, help="folder with chat/ and nemo/, seen by all nodes")
    parser.add_argument("--form", choices=["chat", "nemo"], default="chat", help="chats, or prompts that are continued")
    parser.add_argument("--pack", action="store_true", help="several prompts in one sequence; not for chats")
    parser.add_argument("--output", type=Path, default=Path("nemo2_lora"), help="folder to write")
    parser.add_argument("--name", default=f"lora-{FACTS['task']}")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=32, help="examples for one step")
    parser.add_argument("--micro-batch", type=int, default=1)
    parser.add_argument("--seq-length", type=int, default=FACTS["seq_length"])
    parser.add_argument("--gpus", type=int, default=1, help="GPUs of each node")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--slurm", metavar="ACCOUNT", help="start it through Slurm, from a login node")
    parser.add_argument("--partition")
    parser.add_argument("--container", help="image that the nodes run")
    parser.add_argument("--mount", action="append", default=[], help="HOST:CONTAINER, beside the data; may be repeated")
    parser.add_argument("--time", default="04:00:00")
    parser.add_argument("--dryrun", action="store_true")
    args = parser.parse_args(words)
    if args.pack and args.form == "chat":
        parser.error("NeMo packs prompts, not chats: add --form nemo")
    if FACTS["max_tokens"] and args.seq_length < FACTS["max_tokens"]:
        parser.error(f"the longest example has {FACTS['max_tokens']} tokens: with fewer, NeMo cuts the ends of prompts")
    if args.slurm and not (args.partition and args.container):
        parser.error("--slurm needs --partition and --container")
    return args


def forget_old_indexes(folder: Path) -> None:
    """NeMo leaves an index beside each file, and packed files, and never looks whether they are still its own."""
    for data in folder.glob("*.jsonl"):
        made = [*folder.glob(f"{data.name}.idx.*"), *folder.glob(f"packed/*/{data.stem}_*.npy")]
        stale = [path for path in made if path.stat().st_mtime_ns <= data.stat().st_mtime_ns]
        if any(path.suffix == ".npy" and path.parent != folder for path in stale):
            stale += folder.glob("packed/*/*_metadata.jsonl")
        for path in stale:
            path.unlink(missing_ok=True)


def tokenizer_of(args: argparse.Namespace) -> Any:
    """The model's tokenizer, with a template that marks the assistant's turn: without it every token is learned."""
    imported = HOME / "models" / args.model / "context" / "nemo_tokenizer"
    return run.Config(
        AutoTokenizer,
        pretrained_model_name=args.tokenizer or str(imported),
        chat_template=TEMPLATE.read_text(encoding="utf-8"),
        pad_token="<|finetune_right_pad_id|>",  # noqa: S106
    )


def data_of(args: argparse.Namespace) -> Any:
    """The data module of a form. NeMo's default for chats knows no system turn; the tokenizer's template does."""
    common = {
        "dataset_root": str(args.data.resolve() / args.form),
        "seq_length": args.seq_length,
        "global_batch_size": args.batch,
        "micro_batch_size": args.micro_batch,
    }
    if args.form == "chat":
        return run.Config(llm.ChatDataModule, use_hf_tokenizer_chat_template=True, **common)
    # Llama has never read a text without the token that begins it.
    data = run.Config(llm.FineTuningDataModule, dataset_kwargs={"add_bos": True}, **common)
    if args.pack:
        data.packed_sequence_specs = run.Config(PackedSequenceSpecs, packed_sequence_size=args.seq_length)
        data.dataset_kwargs["pad_to_max_length"] = True
    return data


def recipe_of(args: argparse.Namespace) -> Any:
    recipe = llm.llama31_8b.finetune_recipe(
        dir=str(args.output.resolve()),
        name=args.name,
        num_nodes=args.nodes,
        num_gpus_per_node=args.gpus,
        peft_scheme="lora",
        seq_length=args.seq_length,
    )
    recipe.data = data_of(args)
    recipe.tokenizer = tokenizer_of(args)
    recipe.resume.restore_config.path = f"nemo://{args.model}"  # the recipe's own is the model without instructions
    recipe.resume.resume_if_exists = True
    recipe.peft.dim, recipe.peft.alpha = args.rank, args.alpha
    recipe.optim.config.lr = args.lr
    recipe.trainer.max_steps = args.steps
    recipe.trainer.val_check_interval = min(100, args.steps)
    validations = min(32, FACTS["counts"].get("validation", 0) // args.batch)  # NeMo drops a batch that is not full
    recipe.trainer.limit_val_batches = validations
    if not validations:  # NeMo keeps the checkpoints with the lowest validation loss, which there is none of
        recipe.log.ckpt.monitor, recipe.log.ckpt.filename = "reduced_train_loss", "{model_name}--{step}"
    return recipe


def executor_of(args: argparse.Namespace) -> Any:
    if not args.slurm:
        return run.LocalExecutor(ntasks_per_node=args.gpus, launcher="torchrun")
    needed = [args.data.resolve(), args.output.resolve(), HOME]
    return run.SlurmExecutor(
        account=args.slurm,
        partition=args.partition,
        container_image=args.container,
        container_mounts=[f"{folder}:{folder}" for folder in needed] + args.mount,
        env_vars={"NEMO_HOME": str(HOME)},
        nodes=args.nodes,
        ntasks_per_node=args.gpus,
        gpus_per_node=args.gpus,
        time=args.time,
        exclusive=True,
        mem="0",
        packager=run.Packager(),
        tunnel=run.LocalTunnel(job_dir=str(args.output.resolve() / "slurm")),
    )


def main() -> None:
    args = flags()
    with run.Experiment(args.name) as experiment:
        experiment.add(recipe_of(args), executor=executor_of(args), name=args.name)
        if args.dryrun:
            experiment.dryrun()
            return
        forget_old_indexes(args.data / args.form)
        experiment.run(detach=bool(args.slurm))


if __name__ == "__main__":
    main()
