"""What was paid."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from tests.verify.broken import failing


class TestBill:
    def test_the_log_was_lost(self, run: Path) -> None:
        shutil.rmtree(run / "spending")
        said = failing(run)["bill"]
        assert "run.json tells other figures than spending/" in said
        assert "the journal holds 3 replies of teacher-8b, but only 0 requests were logged" in said

    def test_the_budget_was_exceeded(self, run: Path) -> None:
        plan = yaml.safe_load((run / "plan.yaml").read_text())
        plan["budget"] = {"max_tokens": 449}
        (run / "plan.yaml").write_text(yaml.safe_dump(plan))
        assert "4 requests, 450 tokens, $0.05 exceed the budget" in failing(run)["bill"]
