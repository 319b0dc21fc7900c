"""The stages: plain functions, published table in, published table out."""

from curation.stages._asking import SPENDING, asking
from curation.stages.against import decontaminate, reference
from curation.stages.balance import Need, need
from curation.stages.clean import clean
from curation.stages.dedup import exact, fuzzy, near
from curation.stages.diversity import breached, diversity
from curation.stages.export import export
from curation.stages.parents import Wanted, parents
from curation.stages.read import read
from curation.stages.split import split
from curation.stages.synthesize import BUDGET_SPENT, synthesize
from curation.stages.target import target, target_groups

__all__ = [
    "BUDGET_SPENT",
    "SPENDING",
    "Need",
    "Wanted",
    "asking",
    "breached",
    "clean",
    "decontaminate",
    "diversity",
    "exact",
    "export",
    "fuzzy",
    "near",
    "need",
    "parents",
    "read",
    "reference",
    "split",
    "synthesize",
    "target",
    "target_groups",
]
