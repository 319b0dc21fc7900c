"""Writes questions and answers that call for a skill of InstructLab's taxonomy, from one of its seed examples."""

from __future__ import annotations

from curation.generators._taxonomy_skill import SkillWriter


class TaxonomySkill(SkillWriter):
    """The skills flows of InstructLab's LAB method (arXiv:2403.01081), decided for each seed by itself.

    A freeform seed: one request for a list of questions, then one for each answer, with the seed as its example. A
    grounded seed, which has a context: one request for a list of new contexts, one for a few questions on each of them,
    then one for each answer. What repeats another, or the seed, is dropped, and one more is asked for at once.

    Args:
        variants: records written from each seed.
        questions_per_context: at most, of a grounded seed: `variants` are spread evenly over as few contexts as it
            takes.
        max_calls: requests for one list (the contexts, or the questions on one of them) at most.
        question_threshold: the cosine from which on two questions mean the same, as those of `open_qa`; on two contexts
            the same may be asked. None: only those repeat each other that are equal but for case, spacing and
            punctuation.
        context_threshold: the same for two contexts.
        encoder: what the cosines are of, see `core.encoder.Encoder`.
        temperature, top_p: how freely the teacher writes.
        max_tokens: the bound of an answer; a long answer of the seed raises it.
        seed: of the requests, with the record's id and its `_round` (0 without one), so that a seed that is drawn again
            in a later round gets other questions.
    """
