"""The stages: plain functions, published table in, published table out."""

from curation.stages.clean import clean
from curation.stages.dedup import exact, near
from curation.stages.export import export
from curation.stages.parents import parents
from curation.stages.read import read
from curation.stages.split import split
from curation.stages.synthesize import synthesize
from curation.stages.target import target

__all__ = ["clean", "exact", "export", "near", "parents", "read", "split", "synthesize", "target"]
