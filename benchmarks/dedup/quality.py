"""How well near duplicates are told from near misses: `python -m benchmarks.dedup.quality`.

The pairs of `labelled.py` are scored by the cosine of the embedded encoder, alone and behind the guard of
`curation/core/contrast.py` (a pair with a contrast comes last), by the Jaccard index of words and of runs of five
characters, and by semhash, where it is installed, with the same vectors. Thresholds are chosen on one part of the pairs
and judged on the other; the best threshold of the judged part itself shows what choosing costs.

The guard and the pairs have one author. So words for opposites that the guard does not know are among the pairs, and
clauses that were moved and numbers that were spelled out, which it must let pass; still, the share of contrasts that it
finds here is one among contrasts of these kinds.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.dedup.labelled import CLASSES, PARTS, Pair, labelled
from curation.core.contrast import contrast
from curation.core.encoder import Encoder
from curation.core.pairs import normalize
from curation.core.vectors import Vectors

SHARES: Final = (0.99, 0.97, 0.95, 0.90)
SHINGLE: Final = 5  # characters

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


def average_precision(scores: Scores, labels: Labels) -> float:
    """Precision, averaged over the duplicates from the highest score down; equal scores count as one step."""
    precision, recall, _ = _curve(scores, labels)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def best_threshold(scores: Scores, labels: Labels) -> float:
    """The lowest of the scores at which F1 is highest, where a pair is called a duplicate from the threshold on."""
    precision, recall, thresholds = _curve(scores, labels)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[np.flatnonzero(f1 == f1.max())[-1]])


def judged(scores: Scores, labels: Labels, threshold: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of calling duplicates what is at or above the threshold."""
    called = scores >= threshold
    right = int((called & labels).sum())
    precision, recall = right / max(1, int(called.sum())), right / max(1, int(labels.sum()))
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def _curve(scores: Scores, labels: Labels) -> tuple[Scores, Scores, Scores]:
    """Precision and recall at each different score, and the scores, from the highest on."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    right = np.cumsum(labels[order])[last]
    return right / (last + 1), right / max(1, int(labels.sum())), ranked[last]


@dataclass(frozen=True)
class Known:
    """The vectors of texts, computed once; semhash takes it for a model."""

    vectors: dict[str, Vectors]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Known:
        return cls(dict(zip(texts, Encoder().encode(texts), strict=True)))

    def encode(self, inputs: Sequence[str], **_: Any) -> Vectors:
        return np.stack([self.vectors[text] for text in inputs])

    def cosines(self, pairs: Sequence[Pair]) -> Scores:
        return np.array([float(self.vectors[pair.first] @ self.vectors[pair.second]) for pair in pairs])


def jaccard(pairs: Sequence[Pair], shingles: Callable[[str], set[str]]) -> Scores:
    """Shared shingles by all, of the texts as `pairs.normalize` leaves them."""
    sets = [(shingles(normalize(pair.first)), shingles(normalize(pair.second))) for pair in pairs]
    return np.array([len(one & other) / max(1, len(one | other)) for one, other in sets])


def words_of(text: str) -> set[str]:
    return set(text.split())


def characters_of(text: str) -> set[str]:
    return {text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1))}


def semhash(pairs: Sequence[Pair], known: Known) -> Scores | None:
    """What semhash says of the second text, asked against an index of the first alone; None where it is missing."""
    if find_spec("semhash") is None:
        return None
    from semhash import SemHash  # type: ignore[import-not-found, unused-ignore]

    scores = []
    for pair in pairs:
        found = SemHash.from_records([pair.first], model=known).deduplicate([pair.second], threshold=-1.0)
        scores.append(float(found.filtered[0].score))
    return np.array(scores)


def methods_of(pairs: Sequence[Pair], known: Known, guarded: Labels) -> dict[str, Scores | None]:
    """The scores of the pairs, by method."""
    cosines = known.cosines(pairs)
    return {
        "cosine": cosines,
        "cosine, guarded": np.where(guarded, -1.0, cosines),
        "words, Jaccard": jaccard(pairs, words_of),
        f"{SHINGLE} characters, Jaccard": jaccard(pairs, characters_of),
        "semhash, same vectors": semhash(pairs, known),
    }


def compare(pairs: dict[str, list[Pair]], methods: dict[str, dict[str, Scores | None]]) -> None:
    """Print a row a method: average precision, and F1 at thresholds from either part, on the judged part."""
    labels = {part: np.array([pair.duplicate for pair in pairs[part]]) for part in PARTS}
    print(f"\n{'judged':<24} average precision   threshold (tune)   precision   recall      F1   best F1 (at)")
    for name, scores in methods["judge"].items():
        tuning = methods["tune"][name]
        if scores is None or tuning is None:
            print(f"{name:<24} not installed")
            continue
        chosen, best = best_threshold(tuning, labels["tune"]), best_threshold(scores, labels["judge"])
        precision, recall, f1 = judged(scores, labels["judge"], chosen)
        print(
            f"{name:<24} {average_precision(scores, labels['judge']):17.3f} {chosen:18.3f} {precision:11.3f} "
            f"{recall:8.3f} {f1:7.3f} {judged(scores, labels['judge'], best)[2]:9.3f} ({best:.3f})"
        )
    print("\njudged, at fixed thresholds: precision / recall")
    for name in ("cosine", "cosine, guarded"):
        scores = methods["judge"][name]
        assert scores is not None
        cells = (judged(scores, labels["judge"], threshold) for threshold in SHARES)
        shown = (f"{threshold:.2f}: {p:.3f} / {r:.3f}" for threshold, (p, r, _) in zip(SHARES, cells, strict=True))
        print(f"{name:<24} {'   '.join(shown)}")


def by_class(pairs: dict[str, list[Pair]], methods: dict[str, dict[str, Scores | None]]) -> None:
    """Print, class by class, how many pairs reach a cosine, and of how many the guard says why they differ."""
    print(f"\n{'class':<28} share of cosines >= {' / '.join(map(str, SHARES))}, tune | judge; guarded")
    for kind, duplicate in CLASSES.items():
        shares, fired = [], []
        for part in PARTS:
            chosen = np.array([pair.kind == kind for pair in pairs[part]])
            cosines, guarded = methods[part]["cosine"], methods[part]["cosine, guarded"]
            assert cosines is not None
            assert guarded is not None
            shares.append(" / ".join(f"{(cosines[chosen] >= share).mean():.2f}" for share in SHARES))
            fired.append(f"{(guarded[chosen] == -1.0).mean():.2f}")
        print(f"{kind:<28}{'(same)' if duplicate else '':<7} {' | '.join(shares)};  {' | '.join(fired)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    pairs = {part: labelled(part, options.seed) for part in PARTS}
    known = Known.of(sorted({text for part in pairs.values() for pair in part for text in (pair.first, pair.second)}))
    methods = {}
    for part, given in pairs.items():
        reasons = [contrast(pair.first, pair.second) for pair in given]
        same = sum(pair.duplicate for pair in given)
        counts = ", ".join(f"{reason} {count}" for reason, count in sorted(Counter(filter(None, reasons)).items()))
        print(f"{part}: {len(given)} pairs of {', '.join(PARTS[part])}, {same} of them duplicates; guarded: {counts}")
        methods[part] = methods_of(given, known, np.array([reason is not None for reason in reasons]))
    compare(pairs, methods)
    by_class(pairs, methods)


if __name__ == "__main__":
    main()
