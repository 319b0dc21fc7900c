"""Writes questions and answers on a piece of a document of InstructLab's taxonomy."""

from __future__ import annotations

from curation.generators._taxonomy_knowledge import KnowledgeWriter


class TaxonomyKnowledge(KnowledgeWriter):
    """The knowledge flow of InstructLab's LAB method (arXiv:2403.01081): questions with answers, from a document alone.

    One request for all of them, with the leaf's domain and outline, the piece of the document, and the seed's context
    with its questions and answers as an example. A question that repeats another, or an example's, is dropped, and one
    more is asked for at once. The piece stays in each record as its `context`.

    Args:
        variants: records written on each piece. A piece may hold less than that.
        max_calls: requests for them at most.
        question_threshold: the cosine from which on two questions mean the same, as those of `open_qa`. None: only
            those repeat each other that are equal but for case, spacing and punctuation.
        encoder: what the cosines are of, see `core.encoder.Encoder`.
        temperature, top_p: how freely the teacher writes.
        max_tokens: the least bound of a reply; many variants, or long examples, raise it.
        seed: of the requests, with the record's id and its `_round` (0 without one), so that a piece that is drawn
            again in a later round gets other questions.
    """
