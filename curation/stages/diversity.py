"""Measures how varied a round's new records are, and the training split before and after them.

Bounds are held against the training split: it is what is trained on, and what a narrow round narrows. Before and after
are compared by samples of one size, as many texts as people wrote for training, so that neither seems less varied for
being larger; and n-grams by as many words of them, or short texts would seem varied. Both sizes are the same in all
rounds. A round that passes a bound can be taken back as a whole: all of its records go to the ledger.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dask
import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.config import DiversityPlan, SemanticPlan
from curation.core.diversity import (
    EMBEDDED,
    MORE_IS_VARIED,
    NEAR_PARENT,
    Breach,
    Words,
    breaches,
    compression_ratio,
    distinct,
    length_quantiles,
    length_spread,
    self_bleu,
    topic_entropy,
    vendi_score,
    words_of,
)
from curation.core.encoder import Encoder
from curation.core.pairs import COMPARED, compared_texts
from curation.core.records import HUMAN, SEED, unit_interval
from curation.core.vectors import VectorCache, Vectors, hash_of, load_vectors
from curation.engine.run import Run, columns_of, table_of
from curation.engine.store import Stage, write_json
from curation.stages._remove import Remove, write_verdicts
from curation.stages.dedup import embedding, vectors_of

MEASURES: Final = "diversity.json"
"""What was measured: of the training split `before` and `after` the round and of the `new` records, how many `records`
there are, how many `texts` of them were looked at, their `measures`, and quantiles of their `words`."""
SAMPLE: Final = 1_000
"""Texts of each set that are looked at, at most."""
BLEU_SAMPLE: Final = 200
"""Those of them whose BLEU is taken with each other."""
LOW_DIVERSITY: Final = "low_diversity"

_TEXTS: Final = ("title", "question", "answer")
_NARROW: Final = ("id", "parent_id", "origin", "split", "tags")
_DECIMALS: Final = 4  # a bound is held against what is shown
_TEXTS_PER_TASK: Final = 256
_CODE: Final = ("core.balance", "core.diversity", "core.encoder", "core.pairs", "core.vectors", "stages._remove")


def diversity(
    run: Run,
    new: Stage,
    dataset: Sequence[Stage],
    plan: DiversityPlan,
    semantic: SemanticPlan | None,
    device: str,
    seed: int,
    round_number: int,
) -> Stage:
    """The rows of `new`, with the measures beside them; none of the rows where the plan takes such a round back.

    Args:
        dataset: all stages of the dataset before the round.
        semantic: how texts are embedded, as for the dedup. None where that embeds nothing: then nothing is embedded
            here either, unless a bound needs it.
        device: where texts are embedded; it changes the speed only.
    """
    needs_vectors = semantic is not None or not plan.bounds.keys().isdisjoint(EMBEDDED)
    semantic = semantic or SemanticPlan()
    vectors = embedding(run, semantic, device) if needs_vectors else None
    settings = {
        **plan.model_dump(),
        "seed": seed,
        "by": semantic.by,
        "vectors": vectors_of(vectors) if vectors else None,
    }

    def prepare(folder: Path) -> tuple[Any, Remove]:
        measured = _Train(dataset, new, seed).measured(semantic.by, vectors)
        write_json(folder / MEASURES, measured)
        for name in plan.bounds:
            if measured["after"]["measures"][name] is None:
                run.progress.say(f"Round {round_number}: {name} can't be measured, so its bound is passed over.")
        found = _breaches(measured, plan)
        if found and plan.on_breach == "report":
            run.progress.say(f"Round {round_number} has narrowed the training split: {'; '.join(map(str, found))}.")
        verdicts = _verdicts(new, found if plan.on_breach == "take_back" else [])
        return table_of([new]), Remove("diversity", round_number, write_verdicts(folder, verdicts))

    code = [__name__, *(f"curation.{name}" for name in _CODE)]
    return run.stage("85-diversity", round_number, [new, *dataset], settings, code, prepare)


def breached(stage: Stage, plan: DiversityPlan) -> list[Breach]:
    """The bounds that the round of such a stage has passed."""
    return _breaches(measures_of(stage), plan)


def measures_of(stage: Stage) -> dict[str, Any]:
    """What such a stage has measured; see `MEASURES`."""
    measured: dict[str, Any] = orjson.loads((stage.folder / MEASURES).read_bytes())
    return measured


def _breaches(measured: Mapping[str, Any], plan: DiversityPlan) -> list[Breach]:
    return breaches(measured["before"]["measures"], measured["after"]["measures"], plan.bounds)


def _verdicts(new: Stage, found: Sequence[Breach]) -> pd.DataFrame:
    """All rows of the round, with the ledger's columns; none where no bound is passed."""
    if not found:
        return pd.DataFrame(columns=["id", "reason"], dtype=object)
    first, detail = found[0], f"of the training split, {'; '.join(map(str, found))}"
    why = {"field": first.measure, "score": first.after, "bound": first.rule, "detail": detail}
    return columns_of([new], ["id"]).assign(reason=LOW_DIVERSITY, **why)


class _Train:
    """The training split before and after a round, in an order that the seed draws; its first records are a sample.

    Args:
        dataset: what there is before the round.
        new: what the round adds.
        seed: draws by the ids alone.
    """

    def __init__(self, dataset: Sequence[Stage], new: Stage, seed: int) -> None:
        self._stages = [*dataset, new]
        rows = [columns_of(dataset, _NARROW).assign(new=False), columns_of([new], _NARROW).assign(new=True)]
        train = pd.concat([part[(part["split"] == "train") & (part["origin"] != SEED)] for part in rows])
        train["draw"] = [unit_interval(seed, "diversity", identifier) for identifier in train["id"]]
        train = train.sort_values(["draw", "id"], ignore_index=True)
        self._sets = {"before": train[~train["new"]], "new": train[train["new"]], "after": train}
        self._human = train.loc[train["origin"] == HUMAN, "id"]  # in that order too
        self._size = min(SAMPLE, len(self._human) or SAMPLE)

    def measured(self, by: str, vectors: Mapping[str, Any] | None) -> dict[str, Any]:
        """See `MEASURES`.

        Args:
            by: by which texts the meaning of records is compared; see `pairs.COMPARED`.
            vectors: how texts are embedded; None to leave out what needs that.
        """
        samples = {name: rows.head(self._size) for name, rows in self._sets.items()}
        families = {name: self._family(rows) for name, rows in self._sets.items()}
        human = self._human.head(self._size)
        columns = [human, *(rows["id"] for rows in samples.values())]
        if vectors:
            columns += [rows[name] for rows in families.values() for name in ("id", "parent_id")]
        texts = _read_texts(self._stages, pd.concat(columns).unique())
        known = _Meanings(texts, by, vectors) if vectors else None
        limit = sum(len(words_of(text)) for text in texts.loc[human, "text"]) // 2  # a sample of shorter texts has it
        found = {}
        for name, rows in samples.items():
            said = texts.loc[rows["id"], "text"].tolist()
            words = [words_of(text) for text in said]
            measures = _of_texts(said, words, limit or math.inf)
            measures["topic_entropy"] = topic_entropy(_topics(self._sets[name]["tags"]))
            if known:
                measures |= _of_meanings(known, rows["id"], families[name])
            found[name] = {
                "records": len(self._sets[name]),
                "texts": len(rows),
                "measures": {key: _rounded(measures.get(key)) for key in MORE_IS_VARIED},
                "words": length_quantiles([len(text) for text in words]),
            }
        return found

    def _family(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Some of the new records with their parents; what was written from a seed has no parent with a text."""
        return rows[rows["parent_id"].isin(self._human)].head(SAMPLE)


class _Meanings:
    """The vectors of records, from the run's cache; what that lacks is embedded by the workers.

    Args:
        texts: as `_read_texts` reads them.
        by: see `pairs.COMPARED`. The cosine of two records is the mean of those of their compared texts.
        arguments: how texts are embedded (`dedup.embedding`).
    """

    def __init__(self, texts: pd.DataFrame, by: str, arguments: Mapping[str, Any]) -> None:
        compared = list(zip(*compared_texts(texts, by), strict=True))
        said = [number for number, row in enumerate(compared) if any(text.strip() for text in row)]
        flat = [text for number in said for text in compared[number]]
        vectors, each = _vectors_of(flat, arguments), len(COMPARED[by])
        self._vectors = vectors.reshape(len(said), each * vectors.shape[1]) / np.float32(math.sqrt(each))
        self._places = pd.Series(range(len(said)), index=texts.index[said])

    def of(self, ids: pd.Series) -> Vectors:
        """One unit vector a record; records without a text are left out."""
        places = self._places.reindex(ids).dropna().astype("int64")
        chosen: Vectors = self._vectors[places.to_numpy()]
        return chosen

    def knows(self, ids: pd.Series) -> pd.Series:
        """Which of the records have a vector."""
        return ids.isin(self._places.index)


def _vectors_of(texts: Sequence[str], arguments: Mapping[str, Any]) -> Vectors:
    names = ("device", "pooling", "precision")
    encoder = Encoder(arguments["encoder"], **{name: arguments[name] for name in names})
    cache = VectorCache(arguments["cache"], encoder.fingerprint)
    hashes = [hash_of(text) for text in texts]
    by_hash = dict(zip(hashes, texts, strict=True))
    missing = sorted(by_hash.keys() - set(cache.index().index))
    batches = [missing[start : start + _TEXTS_PER_TASK] for start in range(0, len(missing), _TEXTS_PER_TASK)]
    embed = dask.delayed(_embed)
    dask.compute(*(embed({one: by_hash[one] for one in batch}, encoder, cache) for batch in batches))
    return load_vectors(cache.folder, cache.fingerprint, hashes)


def _embed(texts: Mapping[str, str], encoder: Encoder, cache: VectorCache) -> None:
    """Runs on a worker; `texts` by their hashes."""
    cache.add(list(texts), encoder.encode(list(texts.values())))


def _read_texts(stages: Sequence[Stage], ids: Sequence[str]) -> pd.DataFrame:
    """The texts of the rows with these ids, by id; `text` is all of them together."""
    wanted = pc.field("id").isin(pa.array(ids, pa.string()))
    columns = ["id", *_TEXTS]
    tables = [pq.read_table(part, columns=columns, filters=wanted) for stage in stages for part in stage.parts]
    rows = pa.concat_tables(tables).to_pandas().set_index("id")
    (together,) = compared_texts(rows, "text")
    return rows.assign(text=together)


def _of_texts(texts: Sequence[str], words: Sequence[Words], limit: float) -> dict[str, float | None]:
    first = list(_first(words, limit))
    return {
        **{f"distinct_{n}": distinct(first, n) for n in (1, 2, 3)},
        "compression_ratio": compression_ratio(texts),
        "self_bleu": self_bleu(words[:BLEU_SAMPLE]),
        "length_spread": length_spread([len(text) for text in words]),
    }


def _first(texts: Sequence[Words], limit: float) -> Iterator[Words]:
    """So many words of the texts, and no more."""
    for words in texts:
        yield words if len(words) <= limit else words[: int(limit)]
        limit -= len(words)
        if limit <= 0:
            return


def _of_meanings(known: _Meanings, ids: pd.Series, family: pd.DataFrame) -> dict[str, float | None]:
    pairs = family[known.knows(family["id"]) & known.knows(family["parent_id"])]
    cosines = (known.of(pairs["id"]).astype("float64") * known.of(pairs["parent_id"])).sum(axis=1)
    return {
        "vendi_score": vendi_score(known.of(ids)),
        "parent_similarity": float(cosines.mean()) if len(cosines) else None,
        "near_parent": float((cosines >= NEAR_PARENT).mean()) if len(cosines) else None,
    }


def _topics(tags: pd.Series) -> Counter[str]:
    """Records by tag."""
    return Counter(tag for text in tags.dropna() for tag in text.split(",") if tag)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DECIMALS)
