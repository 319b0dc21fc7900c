"""The plan of a run: defaults, a YAML file, flags and `key=value` overrides in one frozen object.

Every fault is found at once, before a cluster starts or a token is paid. The defaults are those of NVIDIA's
PEFT curation tutorial; `configs/law.yaml` spells them out.
"""

from curation.config.curating import (
    AgainstPlan,
    CleanStep,
    DedupPlan,
    ExactPlan,
    FuzzyPlan,
    RapidsPlan,
    SemanticPlan,
    SourcePlan,
    SplitPlan,
)
from curation.config.generation import CriticPlan, GenerationPlan, ModelPlan, PricePlan
from curation.config.handoff import HandoffPlan, TaskPlan
from curation.config.loading import Flag, dump, key_variable, load
from curation.config.plan import BalancePlan, BudgetPlan, ClusterPlan, DiversityPlan, Keys, Plan, RoundsPlan, TlsPlan
from curation.config.section import Component, Section

__all__ = [
    "AgainstPlan",
    "BalancePlan",
    "BudgetPlan",
    "CleanStep",
    "ClusterPlan",
    "Component",
    "CriticPlan",
    "DedupPlan",
    "DiversityPlan",
    "ExactPlan",
    "Flag",
    "FuzzyPlan",
    "GenerationPlan",
    "HandoffPlan",
    "Keys",
    "ModelPlan",
    "Plan",
    "PricePlan",
    "RapidsPlan",
    "RoundsPlan",
    "Section",
    "SemanticPlan",
    "SourcePlan",
    "SplitPlan",
    "TaskPlan",
    "TlsPlan",
    "dump",
    "key_variable",
    "load",
]
