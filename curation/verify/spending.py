"""What models were asked, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator

from curation.engine.journal import Journal
from curation.engine.spending import DOLLAR, Amount, Budget, shown, spent
from curation.stages import SPENDING
from curation.verify.evidence import Evidence


def bill(evidence: Evidence) -> Iterator[str]:
    """What models were asked is in the log of what was spent, within the budget, and told by `run.json`."""
    root = evidence.run.root
    paid = spent(root / SPENDING)
    if {model: shown(tally) for model, tally in paid.items()} != evidence.run.run.get("models"):
        yield "run.json tells other figures than spending/"
    plan = evidence.run.plan.get("budget") or {}
    budget = Budget(plan.get("max_requests"), plan.get("max_tokens"), plan.get("max_cost"))
    amount = sum((tally.amount for tally in paid.values()), Amount())
    if not amount.fits(budget.amount):
        yield f"{amount.requests} requests, {amount.tokens} tokens, ${amount.money / DOLLAR:.2f} exceed the budget"
    for model, kept in Journal(root / "journal").totals().items():
        requests = paid[model].requests if model in paid else 0
        if kept["replies"] > requests:
            yield f"the journal holds {kept['replies']} replies of {model}, but only {requests} requests were logged"
