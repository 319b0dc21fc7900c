from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import orjson
import pandas as pd
import pytest

from curation.core.errors import InputError
from curation.core.records import HUMAN, SYNTHETIC
from curation.report._survey import Survey
from curation.report.page import _charts, write_report
from tests.run_folder import finished_run

VOID = {"meta", "br"}


class Outline(HTMLParser):
    """Tags, attributes and text of a page; fails where tags don't close as they open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag, near {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


def outline(page: str) -> Outline:
    parsed = Outline()
    parsed.feed(page)
    assert parsed.open == []
    parsed.text = " ".join(parsed.text.split())
    return parsed


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_it_lies_in_the_runs_folder_and_is_the_same_each_time(run: Path, page: str) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    assert path.read_text(encoding="utf-8") == page


def test_it_loads_nothing_and_runs_nothing(page: str) -> None:
    found = outline(page)
    assert "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"" in page
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not [name for name, _ in found.attributes if name in ("src", "href", "srcset") or name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", page.partition("</head>")[0])
    assert not [value for _, value in found.attributes if "url(" in value or "//" in value]


def test_one_sentence_says_what_came_of_it(page: str) -> None:
    text = outline(page).text
    assert "40 records came in, 29 stayed, and 12 new ones were written." in text
    assert "Rounds ended: 2 of 2 rounds are done." in text
    assert "finished 2026-01-02 03:04 UTC" in text


def test_the_funnel_says_what_left_at_each_step(page: str) -> None:
    text = outline(page).text
    assert "What people wrote40 records, 29 stayed read read from the source 38 −2: malformed 1, unanswered 1" in text
    assert "near near duplicates removed 29 −1: near duplicate split split by groups 29" in text
    assert "clean cleaned and filtered 32 −6: low score 4, word count 2" in text
    assert "Round 2: new records6 parents, 6 new records added" in text


def test_splits_have_their_shares(page: str) -> None:
    assert "35train 85.4 %, 12 of them new 3validation 7.3 % 3test 7.3 %" in outline(page).text


def test_each_reason_has_its_rows(page: str) -> None:
    text = outline(page).text
    assert re.search(r"answer_score is -\d+, against low_score\(minimum=0\)", text)
    assert re.search(r"similarity 0\.981 \(similarity >= 0\.97\) to the kept “Can a landlord keep", text)
    assert "leak · too near to a validation or test record" in text
    assert "law-0011" in text


def test_new_records_stand_beside_their_parents(page: str) -> None:
    assert "<mark>Hello.</mark> I live in" in page
    assert "<mark>We never</mark> put anything in writing." in page
    text = outline(page).text
    assert "Written by: noise (12)." in text
    assert "Unchanged: title, answer" in text


def test_texts_of_the_data_are_escaped(page: str) -> None:
    assert "no &lt;claim&gt; at all" in page
    assert "{&#34;text&#34;: &#34;&lt;b&gt;Sure!&lt;/b&gt;" in page
    assert not {"claim"} & outline(page).tags


def test_distributions_and_bounds_are_drawn(page: str) -> None:
    assert "Words in the question" in page
    assert "New records: copy distance" in page
    assert "5 pairs of records are near each other" in outline(page).text


def test_models_plan_and_versions_are_told(page: str) -> None:
    text = outline(page).text
    assert "teacher-8b4312701800.05" in text
    assert "max_bad_ratio: 0.01" in text
    assert "nemo-curator" in text


def test_it_says_how_far_critics_agree(tmp_path: Path, page: str) -> None:
    assert "How far the critics agree" not in page  # there is one critic
    root = finished_run(tmp_path)
    run = orjson.loads((root / "run.json").read_bytes())
    run["agreement"] = [
        {"first": "a_rating", "second": "length", "records": 1200, "spearman": -0.1, "equal": None, "kappa": None},
        {"first": "a_rating", "second": "copied", "records": 1200, "spearman": None, "equal": None, "kappa": None},
        {"first": "a_rating", "second": "b_rating", "records": 1200, "spearman": 0.618, "equal": 0.75, "kappa": 0.5},
        {"first": "a_rating", "second": "c_rating", "records": 7, "spearman": None, "equal": 1.0, "kappa": None},
    ]
    (root / "run.json").write_bytes(orjson.dumps(run))
    text = outline(write_report(root).read_text(encoding="utf-8")).text
    assert "How far the critics agree" in text
    assert "a_ratingb_rating1,2000.6275 %0.50 a_ratingc_rating7–100 % a_ratinglength1,200-0.10" in text
    assert "copied" not in text


def test_it_says_how_even_the_groups_are(tmp_path: Path, page: str) -> None:
    assert "How even the groups are" not in page
    root = finished_run(tmp_path)
    run = orjson.loads((root / "run.json").read_bytes())
    groups = [
        {"group": "arts/<b>", "records": 1200, "new": 1150, "parents": 40, "left": {"failed_rule": 3, "refusal": 1200}},
        {"group": "science", "records": 300, "new": 0, "parents": 0, "left": {}},
    ]
    run["balance"] = {"by": "leaf", "evenness": 0.7219, "groups": groups}
    (root / "run.json").write_bytes(orjson.dumps(run))
    found = outline(write_report(root).read_text(encoding="utf-8"))
    assert "by leaf. Their evenness is 0.722:" in found.text
    assert "arts/<b>1,2001,150401,200 refusal, 3 failed rule science30000" in found.text
    assert [value for name, value in found.attributes if name == "style" and value == "width:25.0%"]


def test_new_records_have_their_colour_where_nobody_wrote_any() -> None:
    facts = Survey(words={"question": {HUMAN: [], SYNTHETIC: [3, 4, 5]}, "answer": {HUMAN: [], SYNTHETIC: []}})
    (chart,) = _charts(facts)
    assert 'class="s1"' in chart["svg"]
    assert 'class="s0"' not in chart["svg"]


def test_a_run_without_rounds_says_why(tmp_path: Path) -> None:
    text = outline(write_report(finished_run(tmp_path, rounds=0)).read_text(encoding="utf-8")).text
    assert "40 records came in, 29 stayed. No synthetic data: 0 rounds were asked for." in text
    assert "new" not in text.split("How it was made")[0].split("From the source")[0]
    assert "New records beside" not in text


def test_there_must_be_a_finished_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run\.json is missing"):
        write_report(tmp_path)


def test_pairs_that_only_belong_together_are_in_no_chart(tmp_path: Path) -> None:
    root = finished_run(tmp_path)
    before = write_report(root).read_text(encoding="utf-8")
    (path, *_) = sorted(root.glob("stages/round-00/60-near/pairs.parquet"))
    pairs = pd.read_parquet(path)
    joined = pd.DataFrame({"id": ["one"], "kept_id": ["other"], "similarity": [None]}).astype({"similarity": "float64"})
    pd.concat([pairs, joined]).to_parquet(path, index=False)
    assert write_report(root).read_text(encoding="utf-8") == before
