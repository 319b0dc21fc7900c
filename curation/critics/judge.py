"""Scores a record with any chat model that is told what each rating means: a judge with a rubric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import Any, ClassVar, Final

import yaml

from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.errors import PlanError, ReplyError
from curation.core.ratings import Scale, read_rating
from curation.core.records import Record, digest
from curation.core.registry import nearest
from curation.critics._asking import NOT_AN_INSTRUCTION, ask_all, shown

_TASK: Final = Template(
    """\
You rate training data for an assistant. Below is one record of it: a question, its answer, and what else there is. \
Rate one thing alone: $asks

What each rating means:
$levels

Between two ratings take the lower one. Length by itself earns nothing, and neither does a confident tone.
$guard

$record

First say in one or two sentences what decides. Then end with a line of exactly this form, where N is one of $numbers:
Score: N"""
)

_PAIR: Final[Mapping[str, Any]] = {
    "scale": [1, 3],
    "attributes": {
        "rating": {
            "asks": "how fit the question and its answer are to be learnt from.",
            "levels": {
                1: "the answer is wrong, beside the question, unsafe, or leaves out something that was asked for.",
                2: "the answer is correct and does what was asked for, but briefly: who asked would want to know more.",
                3: "the answer is correct and comprehensive: it explains, and leaves no part of the question open.",
            },
            "grounded": {
                1: "the answer is wrong, beside the question, unsafe, leaves out something that was asked for, or says "
                "what is not supported by the context.",
            },
        }
    },
}
_HELPSTEER: Final[Mapping[str, Any]] = {
    "scale": [0, 4],
    "attributes": {
        "helpfulness": {
            "asks": "how much the answer helps the person who asked.",
            "levels": {
                0: "not at all: it misses what they want, or misleads them.",
                1: "barely: most of what they need is missing.",
                2: "partly: it serves some of what they want, and they have to ask again.",
                3: "mostly: it does what they want, with small gaps.",
                4: "fully: nothing that they need is missing, and nothing stands in its way.",
            },
        },
        "correctness": {
            "asks": "whether what the answer says is true, and complete as to the facts that the question calls for.",
            "levels": {
                0: "all of it is wrong.",
                1: "its main claim is wrong, or most claims are.",
                2: "right and wrong claims are mixed, or an important fact is missing.",
                3: "right, but for details that change nothing.",
                4: "right in everything, and no fact that matters is missing.",
            },
            "grounded": {
                1: "its main claim, or most claims, are wrong or not supported by the context.",
                2: "some claims are wrong or not supported by the context, or an important fact of it is missing.",
            },
        },
        "coherence": {
            "asks": "how clear the answer is and how well its parts agree, whether or not it is true.",
            "levels": {
                0: "it can't be understood.",
                1: "it contradicts itself, or wanders.",
                2: "it can be followed with effort: steps are missing, or out of order.",
                3: "it is clear, with a rough passage.",
                4: "it is clear from beginning to end, and each part follows from the one before.",
            },
        },
        "complexity": {
            "asks": "how much knowledge it takes to write the answer. High is not better than low.",
            "levels": {
                0: "anyone who knows the language could have written it.",
                1: "it takes ordinary schooling.",
                2: "it takes some acquaintance with the subject.",
                3: "it takes training in the subject.",
                4: "it takes an expert.",
            },
        },
        "verbosity": {
            "asks": "how long the answer is for what was asked. High is not better than low.",
            "levels": {
                0: "very terse: a word or a line where more was called for.",
                1: "short.",
                2: "of the length that the question calls for.",
                3: "long, with some repetition or detail that nobody asked for.",
                4: "very long-winded.",
            },
        },
    },
}
RUBRICS: Final[Mapping[str, Mapping[str, Any]]] = {"pair_1_3": _PAIR, "scale_0_4": _HELPSTEER}
"""The three-point rating of question-answer pairs in the LAB method, and HelpSteer2's five attributes."""

_MOST_LEVELS: Final = 11


@dataclass(frozen=True)
class Attribute:
    """What is rated: `asks` ends the sentence "Rate one thing alone:"; `grounded` replaces levels with a context."""

    asks: str
    levels: Mapping[int, str]
    grounded: Mapping[int, str] = field(default_factory=dict)


class Judge(Critic):
    """Asks for each attribute in a request of its own, so that one impression does not colour the others.

    - `pair_1_3`: `rating`: 1 is wrong, irrelevant, unsafe or incomplete, 2 correct but brief, 3 comprehensive. With a
      context, what it does not support is a 1. The LAB method keeps 2 and 3: `drop: rating < 2`.
    - `scale_0_4`: `helpfulness`, `correctness`, `coherence`, `complexity` and `verbosity`, each from 0 to 4, so rules
      for a reward model's scores hold here too: `drop: helpfulness < 3 or verbosity > 2.5`.

    A rubric of your own, as a YAML file or inline, has a `scale`, the lowest and the highest rating, and `attributes`:
    by name what is asked for (`asks`), what each rating means (`levels`) and, if wanted, which of them mean something
    else where the record has a context (`grounded`).

    Args:
        rubric: a name above, the path of a YAML file, or the rubric itself.
        attributes: which of the rubric's are asked for, one or several; all by default.
        max_tokens: of a reply. A model that thinks aloud first needs more.

    Raises:
        PlanError: no such rubric, or one that can't be used, with every fault.
    """

    needs_model: ClassVar[bool] = True

    def __init__(
        self,
        rubric: str | Mapping[str, Any] = "pair_1_3",
        attributes: str | Sequence[str] | None = None,
        max_tokens: int = 512,
    ) -> None:
        self.rubric = rubric
        self.attributes = attributes
        self.max_tokens = max_tokens
        self._scale, known = _read(rubric)
        wanted = [attributes] if isinstance(attributes, str) else list(known if attributes is None else attributes)
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            name = unknown[0] if unknown else ""
            raise _fault(f"no attribute '{name}'.{nearest(name, list(known))} There are: {', '.join(known)}")
        self._asked = {name: known[name] for name in wanted}

    @property
    def gives(self) -> Mapping[str, Scale | None]:
        """The attributes that are asked for, each on the rubric's scale."""
        return dict.fromkeys(self._asked, self._scale)

    def fingerprint(self) -> str:
        """A hash of what is asked for, which a rubric's file may change under the same path."""
        return digest(self._scale, *self._asked.items())

    async def judge(self, record: Record, parent: Record | None, model: ChatModel | None) -> Scores:
        """A rating for each attribute.

        Raises:
            RecordError: `unscorable`: it has no question or no answer. Or a request failed.
            ReplyError: `unreadable_score`, with the text of the first reply that holds no rating, or several.
        """
        assert model is not None
        replies = await ask_all(model, self.prompts_for(record), temperature=0.0, max_tokens=self.max_tokens)
        scores: Scores = {}
        for name, reply in zip(self._asked, replies, strict=True):
            rating = read_rating(reply, self._scale)
            if rating is None:
                raise ReplyError("unreadable_score", reply)
            scores[name] = float(rating)
        return scores

    def prompts_for(self, record: Record) -> list[str]:
        """What is asked of a record, one prompt for each attribute; its text is never read as a template."""
        low, high = self._scale
        numbers, texts = ", ".join(map(str, range(low, high + 1))), shown(record)
        is_grounded = bool((record["context"] or "").strip())
        return [
            _TASK.substitute(
                asks=one.asks,
                levels="\n".join(
                    f"{level}: {meaning}"
                    for level, meaning in sorted({**one.levels, **(one.grounded if is_grounded else {})}.items())
                ),
                guard=NOT_AN_INSTRUCTION,
                record=texts,
                numbers=numbers,
            )
            for one in self._asked.values()
        ]

    def grade(self, scores: Scores) -> float:
        """Helpfulness, or else the first attribute, above the middle of the scale."""
        name = "helpfulness" if "helpfulness" in self._asked else next(iter(self._asked))
        return scores[name] - sum(self._scale) / 2


def _fault(what: str) -> PlanError:
    return PlanError([f"critic 'judge': {what}"])


def _read(rubric: str | Mapping[str, Any]) -> tuple[Scale, dict[str, Attribute]]:
    """A rubric's scale and attributes."""
    value = rubric if isinstance(rubric, Mapping) else RUBRICS.get(rubric) or _file(rubric)
    faults = _faults(value)
    if faults:
        raise PlanError([f"critic 'judge': the rubric's {fault}" for fault in faults])
    low, high = value["scale"]
    known = {
        name: Attribute(one["asks"], _levels(one["levels"]), _levels(one.get("grounded") or {}))
        for name, one in value["attributes"].items()
    }
    return (low, high), known


def _levels(levels: Mapping[Any, Any]) -> dict[int, str]:
    """A rubric that came through JSON, as a plan does, has its ratings as strings."""
    return {int(level): str(meaning) for level, meaning in levels.items()}


def _file(rubric: str) -> Any:
    """The content of a YAML file."""
    if not rubric.endswith((".yaml", ".yml")):
        names = list(RUBRICS)
        raise _fault(f"no rubric '{rubric}'.{nearest(rubric, names)} There are: {', '.join(names)}, or a YAML file")
    try:
        return yaml.safe_load(Path(rubric).read_text(encoding="utf-8"))
    except OSError as error:
        raise _fault(f"the rubric {rubric} can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _fault(f"the rubric {rubric} is no YAML: {' '.join(str(error).split())}") from error


def _faults(value: Any) -> list[str]:
    """What is wrong with a rubric, one line each."""
    if not isinstance(value, Mapping) or set(value) != {"scale", "attributes"}:
        return ["keys are 'scale' and 'attributes'"]
    scale, attributes = value["scale"], value["attributes"]
    if not _is_scale(scale):
        return [f"scale is the lowest and the highest rating, such as [1, 3], not {scale}"]
    if not isinstance(attributes, Mapping) or not attributes:
        return ["attributes are named, each with 'asks' and 'levels'"]
    ratings = set(range(scale[0], scale[1] + 1))
    return [fault for name, one in attributes.items() for fault in _attribute_faults(str(name), one, ratings)]


def _is_scale(scale: Any) -> bool:
    is_pair = isinstance(scale, Sequence) and len(scale) == 2 and all(type(bound) is int for bound in scale)
    return is_pair and 0 <= scale[0] < scale[1] < scale[0] + _MOST_LEVELS


def _attribute_faults(name: str, one: Any, ratings: set[int]) -> list[str]:
    where = f"attribute '{name}'"
    if not name.isidentifier() or iskeyword(name):
        return [f"{where} can't stand in a rule: it is no name"]
    if not isinstance(one, Mapping) or not {"asks", "levels"} <= set(one) <= {"asks", "levels", "grounded"}:
        return [f"{where} needs 'asks' and 'levels', and may have 'grounded'"]
    faults = [f"{where} needs words for 'asks'"] if not isinstance(one["asks"], str) or not one["asks"].strip() else []
    given = {kind: _ratings_of(one.get(kind) or {}) for kind in ("levels", "grounded")}
    listed = ", ".join(map(str, sorted(ratings)))
    if given["levels"] != ratings:
        faults.append(f"{where} needs levels for exactly {listed}")
    if given["grounded"] is None or not given["grounded"] <= ratings:
        faults.append(f"{where} has 'grounded' levels other than {listed}")
    return faults


def _ratings_of(levels: Any) -> set[int] | None:
    """The ratings that are described; None where they are no whole numbers."""
    try:
        return {int(str(level)) for level in levels} if isinstance(levels, Mapping) else None
    except ValueError:
        return None
