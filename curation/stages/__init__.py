"""The stages: plain functions, published table in, published table out."""

from curation.stages._asking import SPENDING, asking
from curation.stages.against import decontaminate, reference
from curation.stages.clean import clean
from curation.stages.dedup import exact, fuzzy, near
from curation.stages.export import export
from curation.stages.parents import parents
from curation.stages.read import read
from curation.stages.split import split
from curation.stages.synthesize import BUDGET_SPENT, synthesize
from curation.stages.target import target

__all__ = [
    "BUDGET_SPENT",
    "SPENDING",
    "asking",
    "clean",
    "decontaminate",
    "exact",
    "export",
    "fuzzy",
    "near",
    "parents",
    "read",
    "reference",
    "split",
    "synthesize",
    "target",
]
