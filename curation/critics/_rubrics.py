"""What judges are asked: the rubrics that there are by name, and what a rubric of one's own has to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import Any, Final

import yaml

from curation.core.errors import PlanError
from curation.core.ratings import Scale
from curation.core.records import TEXT_COLUMNS
from curation.core.registry import nearest

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
_QUESTION: Final[Mapping[str, Any]] = {
    "scale": [0, 1],
    "attributes": {
        "question_fit": {
            "asks": "whether the question is fit to be put to the assistant, so that a good answer can be learnt from.",
            "shows": ["extra.task_description", "context", "title", "question"],
            "levels": {
                0: "it is unclear, can't be answered in writing with what it brings along, asks for something harmful, "
                "or does not belong to the task, where a task_description says what that is.",
                1: "it is clear, harmless and can be answered as it stands, and it belongs to the task, where a "
                "task_description says what that is.",
            },
            "grounded": {
                0: "it is unclear, asks for something harmful, asks for what the context does not hold, or does not "
                "belong to the task, where a task_description says what that is.",
                1: "it is clear and harmless, the context holds all that an answer takes, and it belongs to the task, "
                "where a task_description says what that is.",
            },
        }
    },
}
_FAITHFUL: Final[Mapping[str, Any]] = {
    "scale": [0, 1],
    "attributes": {
        "faithfulness": {
            "asks": "whether the context supports the answer. What you know from elsewhere does not count.",
            "needs": ["context"],
            "levels": {
                0: "the answer makes a claim, if only of a name, a number or a reason, that the context neither states "
                "nor implies, or that contradicts it.",
                1: "the context states or implies every claim of the answer.",
            },
        }
    },
}
_RELEVANCY: Final[Mapping[str, Any]] = {
    "scale": [0, 2],
    "attributes": {
        "relevancy": {
            "asks": "whether the answer answers the question, whether or not what it says is true.",
            "levels": {
                0: "it does not: it is about something else, or evades the question.",
                1: "it answers a part of the question, or hides its answer among things that nobody asked for.",
                2: "it answers what was asked, all of it, and keeps to it.",
            },
        }
    },
}
_STANDS_ALONE: Final[Mapping[str, Any]] = {
    "scale": [0, 1],
    "attributes": {
        "stands_alone": {
            "asks": "whether somebody who has nothing but this question in view can tell what it asks for.",
            "shows": ["title", "question"],
            "levels": {
                0: "it points at something that is not there, such as a document, a passage, a table, an example or an "
                "author without a name, or leaves open what or whom it is about.",
                1: "it names all that it is about, so that who knows the subject can answer it with no text at hand.",
            },
        }
    },
}
RUBRICS: Final[Mapping[str, Mapping[str, Any]]] = {
    "pair_1_3": _PAIR,
    "scale_0_4": _HELPSTEER,
    "question_0_1": _QUESTION,
    "faithful_0_1": _FAITHFUL,
    "relevancy_0_2": _RELEVANCY,
    "stands_alone_0_1": _STANDS_ALONE,
}
"""`scale_0_4` has HelpSteer2's five attributes; the others are the filters of the LAB method, in our words."""

EXTRA: Final = "extra."
"""Before the name of a text of `extra`, where a rubric says what is shown."""

_KEYS: Final = {"asks", "levels", "grounded", "shows", "needs"}
_REQUIRED: Final = {"asks", "levels"}
_DEFAULT_SHOWN: Final = ("context", "title", "question", "answer")
_ALWAYS_NEEDED: Final = ("question", "answer")
_MOST_LEVELS: Final = 11


@dataclass(frozen=True)
class Attribute:
    """What is rated.

    Args:
        asks: ends the sentence "Rate one thing alone:".
        levels: what each rating means.
        grounded: levels in place of those, for a record with a context.
        shows: the texts that are shown, in their order: columns, and `extra.NAME`.
        needs: those without which a record can't be rated.
    """

    asks: str
    levels: Mapping[int, str]
    grounded: Mapping[int, str] = field(default_factory=dict)
    shows: tuple[str, ...] = _DEFAULT_SHOWN
    needs: tuple[str, ...] = _ALWAYS_NEEDED


def refused(what: str) -> PlanError:
    """Why a judge can't be made."""
    return PlanError([f"critic 'judge': {what}"])


def shows_all(one: Attribute) -> bool:
    """Whether a prompt shows the record as it is, not a part of it."""
    return one.shows == _DEFAULT_SHOWN


def read_rubric(rubric: str | Mapping[str, Any]) -> tuple[Scale, dict[str, Attribute]]:
    """A rubric's scale and attributes."""
    value = rubric if isinstance(rubric, Mapping) else RUBRICS.get(rubric) or _file(rubric)
    faults = _faults(value)
    if faults:
        raise PlanError([f"critic 'judge': the rubric's {one}" for one in faults])
    low, high = value["scale"]
    known = {
        name: Attribute(
            one["asks"], _levels(one["levels"]), _levels(one.get("grounded") or {}), _shows(one), _needs(one)
        )
        for name, one in value["attributes"].items()
    }
    return (low, high), known


def _shows(one: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(one.get("shows") or _DEFAULT_SHOWN)


def _needs(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Question and answer as far as they are shown, and what the rubric adds."""
    always = [name for name in _ALWAYS_NEEDED if name in _shows(one)]
    return tuple(dict.fromkeys([*always, *(one.get("needs") or ())]))


def _levels(levels: Mapping[Any, Any]) -> dict[int, str]:
    """A rubric that came through JSON, as a plan does, has its ratings as strings."""
    return {int(level): str(meaning) for level, meaning in levels.items()}


def _file(rubric: str) -> Any:
    """The content of a YAML file."""
    if not rubric.endswith((".yaml", ".yml")):
        names = list(RUBRICS)
        raise refused(f"no rubric '{rubric}'.{nearest(rubric, names)} There are: {', '.join(names)}, or a YAML file")
    try:
        return yaml.safe_load(Path(rubric).read_text(encoding="utf-8"))
    except OSError as error:
        raise refused(f"the rubric {rubric} can't be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise refused(f"the rubric {rubric} is no YAML: {' '.join(str(error).split())}") from error


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
    if not isinstance(one, Mapping) or not _REQUIRED <= set(one) <= _KEYS:
        return [f"{where} needs 'asks' and 'levels', and may have 'grounded', 'shows' and 'needs'"]
    faults = [f"{where} needs words for 'asks'"] if not isinstance(one["asks"], str) or not one["asks"].strip() else []
    given = {kind: _ratings_of(one.get(kind) or {}) for kind in ("levels", "grounded")}
    listed = ", ".join(map(str, sorted(ratings)))
    if given["levels"] != ratings:
        faults.append(f"{where} needs levels for exactly {listed}")
    if given["grounded"] is None or not given["grounded"] <= ratings:
        faults.append(f"{where} has 'grounded' levels other than {listed}")
    return faults + [f"{where} {fault}" for fault in _text_faults(one)]


def _text_faults(one: Mapping[str, Any]) -> list[str]:
    """What is wrong with the texts that an attribute shows and needs."""
    faults = [
        f"'{key}' is a list of {', '.join(TEXT_COLUMNS)} or {EXTRA}NAME"
        for key in ("shows", "needs")
        if key in one and not _are_texts(one[key])
    ]
    if faults:
        return faults
    hidden = [name for name in one.get("needs") or () if name not in _shows(one)]
    faults += [f"needs '{name}', which it does not show" for name in hidden]
    if one.get("grounded") and "context" not in _shows(one):
        faults.append("has 'grounded' levels, but does not show the context")
    return faults


def _are_texts(names: Any) -> bool:
    return (
        isinstance(names, Sequence)
        and not isinstance(names, str)
        and len(names) > 0
        and all(isinstance(name, str) and _is_text(name) for name in names)
    )


def _is_text(name: str) -> bool:
    return name in TEXT_COLUMNS or (name.startswith(EXTRA) and name != EXTRA)


def _ratings_of(levels: Any) -> set[int] | None:
    """The ratings that are described; None where they are no whole numbers."""
    try:
        return {int(str(level)) for level in levels} if isinstance(levels, Mapping) else None
    except ValueError:
        return None
