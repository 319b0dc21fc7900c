"""Scores a record with any chat model that is told what each rating means: a judge with a rubric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import Template
from typing import Any, ClassVar, Final

import orjson

from curation.core.contracts import ChatModel, Critic, Scores
from curation.core.errors import RecordError, ReplyError
from curation.core.ratings import Scale, read_rating
from curation.core.records import Record, digest
from curation.core.registry import nearest
from curation.critics._asking import NOT_AN_INSTRUCTION, ask_all, fenced
from curation.critics._rubrics import EXTRA, Attribute, read_rubric, refused, shows_all

_TASK: Final = Template(
    """\
You rate training data for an assistant. Below is one record of it$told. \
Rate one thing alone: $asks

What each rating means:
$levels

Between two ratings take the lower one. Length by itself earns nothing, and neither does a confident tone.
$guard

$record

First say in one or two sentences what decides. Then end with a line of exactly this form, where N is one of $numbers:
Score: N"""
)
_WHOLE: Final = ": a question, its answer, and what else there is"
_PART: Final = ", of which this alone counts here: "


class Judge(Critic):
    """Asks for each attribute in a request of its own, so that one impression does not colour the others.

    - `pair_1_3`: `rating`: 1 is wrong, irrelevant, unsafe or incomplete, 2 correct but brief, 3 comprehensive. With a
      context, what it does not support is a 1. The LAB method keeps 2 and 3: `drop: rating < 2`.
    - `scale_0_4`: `helpfulness`, `correctness`, `coherence`, `complexity` and `verbosity`, each from 0 to 4, so rules
      for a reward model's scores hold here too: `drop: helpfulness < 3 or verbosity > 2.5`.
    - `question_0_1`: `question_fit`: 1 is clear, harmless, answerable and of the task that `extra` describes, if any;
      with a context, answerable from that. The answer is not shown.
    - `faithful_0_1`: `faithfulness`: 1 where the context supports every claim of the answer. Needs a context.
    - `relevancy_0_2`: `relevancy`: 0 is beside the question, 1 answers a part of it or much else, 2 just what was
      asked. The LAB method keeps 2.
    - `stands_alone_0_1`: `stands_alone`: 1 where the question can be understood without context and answer, which are
      not shown.

    A rubric of your own, as a YAML file or inline, has a `scale`, the lowest and the highest rating, and `attributes`:
    by name what is asked for (`asks`) and what each rating means (`levels`). If wanted, also

    - `grounded`: which of the levels mean something else where the record has a context;
    - `shows`: the texts that the prompt shows, in their order: `title`, `question`, `answer`, `context`, and
      `extra.NAME` for a text of `extra`. By default all but those of `extra`;
    - `needs`: which of these a record must have, beside question and answer as far as they are shown, to be rated at
      all.

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
        self._scale, known = read_rubric(rubric)
        wanted = [attributes] if isinstance(attributes, str) else list(known if attributes is None else attributes)
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            name = unknown[0] if unknown else ""
            raise refused(f"no attribute '{name}'.{nearest(name, list(known))} There are: {', '.join(known)}")
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
            RecordError: `unscorable`: it lacks a text that an attribute needs. Or a request failed.
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
        numbers = ", ".join(map(str, range(low, high + 1)))
        is_grounded = bool((record["context"] or "").strip())
        prompts = []
        for name, one in self._asked.items():
            texts = _texts(record, name, one)
            levels = {**one.levels, **(one.grounded if is_grounded else {})}
            prompts.append(
                _TASK.substitute(
                    told=_WHOLE if shows_all(one) else _PART + ", ".join(texts),
                    asks=one.asks,
                    levels="\n".join(f"{level}: {meaning}" for level, meaning in sorted(levels.items())),
                    guard=NOT_AN_INSTRUCTION,
                    record="\n\n".join(f"{label}:\n{fenced(text)}" for label, text in texts.items()),
                    numbers=numbers,
                )
            )
        return prompts

    def grade(self, scores: Scores) -> float:
        """Helpfulness, or else the first attribute, above the middle of the scale."""
        name = "helpfulness" if "helpfulness" in self._asked else next(iter(self._asked))
        return scores[name] - sum(self._scale) / 2


def _texts(record: Record, name: str, one: Attribute) -> dict[str, str]:
    """What an attribute's prompt shows of a record, by the name that stands before it.

    Raises:
        RecordError: `unscorable`: something that it needs is missing.
    """
    extra = orjson.loads(record["extra"] or "{}")
    found = {key: extra.get(key.removeprefix(EXTRA)) if key.startswith(EXTRA) else record[key] for key in one.shows}
    texts = {key: text for key, text in found.items() if isinstance(text, str) and text.strip()}
    for key in one.needs:
        if key not in texts:
            raise RecordError("unscorable", f"there is no {key} to judge {name} by")
    return {key.removeprefix(EXTRA): text for key, text in texts.items()}
