"""How a dataset came about, for whoever is handed it: what the plan asked for, and what the run did.

Nothing in it depends on the time or the machine, and no address, path or key is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from curation.config import GenerationPlan, ModelPlan, Plan
from curation.engine.store import Stage

_NONE = "none"


def provenance(plan: Plan, stages: Sequence[Stage]) -> dict[str, Any]:
    """By title: what is called how, or, of the steps, a list of their counts.

    Args:
        stages: those of the run, in order.
    """
    was_generated = any(stage.manifest.stage == "synthesize" for stage in stages)
    return {
        "Source": _source(plan),
        **({"Models and critics": _models(plan.generation)} if was_generated else {}),
        "Duplicates": _dedup(plan),
        "Splits": {
            "shares": f"train {plan.split.train:g}, validation {plan.split.validation:g}, test {plan.split.test:g}",
            "kept apart": "duplicates, relatives"
            + (f", records at a cosine of {plan.split.near:g} or more" if plan.dedup.semantic else ""),
            "seed": str(plan.seed),
        },
        "Steps": [_step(stage) for stage in stages],
    }


def _source(plan: Plan) -> dict[str, str]:
    steps = [
        f"{step.modifier or step.filter or 'rules'} ({', '.join(step.fields or step.rules or ())})"
        for step in plan.clean
    ]
    against = plan.against
    checks = {"the same question": against.exact, f"cosine {against.threshold}": against.threshold}
    checks[f"{against.ngram} words in a row"] = against.ngram
    apart = ", ".join(check for check, wanted in checks.items() if wanted)
    return {
        "source": plan.source_spec().name,
        "cleaned by": "; ".join(steps) or _NONE,
        "kept apart from another set by": apart if against.input else _NONE,
    }


def _models(generation: GenerationPlan) -> dict[str, str]:
    asked = dict(generation.asked)
    critics = [
        f"{critic.label}, asking {_called(asked[judge])}" if judge else critic.label
        for critic, judge in zip(generation.panel, generation.judges, strict=True)
    ]
    teachers = [_called(model) for name, model in asked.items() if name.startswith("teacher")]
    return {
        "generator": generation.generator.name,
        "teachers": ", ".join(teachers) or _NONE,
        "critics": "; ".join(critics) or _NONE,
        "dropped if": generation.drop or _NONE,
        "graded by": _NONE if generation.grader is None else generation.panel[generation.grader].label,
    }


def _dedup(plan: Plan) -> dict[str, str]:
    dedup = plan.dedup
    return {
        "exact": f"by {dedup.exact.by}" if dedup.exact else _NONE,
        "fuzzy": f"by {dedup.fuzzy.by}, Jaccard index {dedup.fuzzy.threshold:g}" if dedup.fuzzy else _NONE,
        "semantic": f"by {dedup.semantic.by}, cosine {dedup.semantic.threshold:g}, encoder "
        f"{_bare(dedup.semantic.encoder)}"
        if dedup.semantic
        else _NONE,
    }


def _step(stage: Stage) -> Mapping[str, Any]:
    manifest = stage.manifest
    return {
        "round": manifest.round,
        "step": manifest.stage,
        "in": manifest.rows_in,
        "out": manifest.rows_out,
        "left": manifest.dropped,
    }


def _called(model: ModelPlan) -> str:
    """A model's name; of weights on this machine the folder's."""
    named = model.model or model.arguments.get("name") or model.arguments.get("path") or model.kind
    return _bare(str(named))


def _bare(name: str) -> str:
    """A name as it is, of a path only its end."""
    path = PurePath(name)
    return path.name if path.is_absolute() or name.startswith((".", "~")) or len(path.parts) > 2 else name
