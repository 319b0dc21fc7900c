"""ROUGE of the model with and without its adapter, on the first test examples, as NeMo's tutorials measure it.

Needs: what hf_peft_lora.py needs, and pip install rouge-score.
Run:   python eval_rouge.py --model /models/Llama-3.1-8B-Instruct --adapter hf_peft_lora/adapter

The model always takes its likeliest token. ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum are F-measures over stemmed words,
as percentages, each the mean over the examples. The table goes to the screen, the figures to rouge.json, and each
answer beside what was expected to predictions.jsonl.
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from hf_peft_lora import FACTS, HERE, load_tokenizer, pieces, prompt_of, read
from peft import PeftModel
from rouge_score import rouge_scorer
from transformers import AutoModelForCausalLM

METRICS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the model and its tokenizer")
    parser.add_argument("--adapter", type=Path, help="folder of the adapter; without it the model alone is measured")
    parser.add_argument("--data", type=Path, default=HERE.parent, help="folder with chat/ and nemo/")
    parser.add_argument("--form", choices=["chat", "nemo"], default="chat", help="the form the adapter was trained on")
    parser.add_argument("--rows", type=int, default=128, help="how many of the first test examples")
    parser.add_argument("--batch", type=int, default=8, help="examples that are answered at once")
    parser.add_argument("--max-new-tokens", type=int, default=64 if FACTS["task"] == "title" else 512)
    parser.add_argument("--output", type=Path, default=Path("eval_rouge"), help="folder to write")
    return parser.parse_args()


def expected(row: dict[str, Any]) -> str:
    return str(row["messages"][-1]["content"] if "messages" in row else row["output"])


@torch.no_grad()
def answers(model: Any, tokenizer: Any, prompts: list[list[int]], args: argparse.Namespace) -> list[str]:
    """The likeliest continuation of each prompt, until a token that ends it. Prompts are padded on the left."""
    texts = []
    ends = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
    for some in pieces(prompts, args.batch):
        width = max(map(len, some))
        tokens = [[tokenizer.pad_token_id] * (width - len(prompt)) + prompt for prompt in some]
        seen = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in some]
        written = model.generate(
            input_ids=torch.tensor(tokens, device=model.device),
            attention_mask=torch.tensor(seen, device=model.device),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=args.max_new_tokens,
            eos_token_id=sorted(ends),
            pad_token_id=tokenizer.pad_token_id,
        )
        texts += tokenizer.batch_decode(written[:, width:], skip_special_tokens=True)
    return [text.strip() for text in texts]


def rouge(references: list[str], texts: list[str]) -> dict[str, float]:
    scorer = rouge_scorer.RougeScorer(METRICS, use_stemmer=True)
    scores = [scorer.score(reference, text) for reference, text in zip(references, texts, strict=True)]
    return {name: round(100 * sum(score[name].fmeasure for score in scores) / len(scores), 2) for name in METRICS}


def main() -> None:
    args = flags()
    tokenizer = load_tokenizer(args.model)
    rows = read(args.data / args.form / "test.jsonl")[: args.rows]
    if not rows:
        raise SystemExit(f"{args.data / args.form / 'test.jsonl'}: there is nothing to measure on")
    prompts, references = [prompt_of(row, tokenizer) for row in rows], [expected(row) for row in rows]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model: Any = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, local_files_only=True).to(device).eval()
    if args.adapter:
        model = PeftModel.from_pretrained(model, args.adapter).eval()
    with model.disable_adapter() if args.adapter else nullcontext():
        texts = {"base": answers(model, tokenizer, prompts, args)}
    if args.adapter:
        texts["adapter"] = answers(model, tokenizer, prompts, args)
    figures = {name: rouge(references, ours) for name, ours in texts.items()}
    write(args.output, rows, references, texts, figures)
    print(f"{len(rows)} examples   " + " ".join(f"{name:>10}" for name in METRICS))
    for name, figure in figures.items():
        print(f"{name:<15}" + " ".join(f"{figure[metric]:>10.2f}" for metric in METRICS))


def write(
    folder: Path,
    rows: list[dict[str, Any]],
    references: list[str],
    texts: dict[str, list[str]],
    figures: dict[str, dict[str, float]],
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report = {"task": FACTS["task"], "rows": len(rows), **figures}
    (folder / "rouge.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    with (folder / "predictions.jsonl").open("w", encoding="utf-8") as out:
        for place, row in enumerate(rows):
            ours = {name: every[place] for name, every in texts.items()}
            out.write(json.dumps({"id": row["id"], "expected": references[place], **ours}) + "\n")


if __name__ == "__main__":
    main()
