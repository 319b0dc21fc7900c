from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nemo_curator.filters import WordCountFilter
from nemo_curator.modifiers import UnicodeReformatter
from nemo_curator.utils.decorators import batched

from curation.core.checks import Validator
from curation.core.errors import MissingPackageError
from curation.core.nemo import Filter, Modifier
from curation.core.records import COLUMNS, Record, frame, human, to_json
from curation.core.registry import Spec
from curation.engine.onepass import FILTER, MODIFIER, VALIDATE, Step, clean_partition, schedule
from curation.filters.low_score import LowScore
from curation.filters.refusal import Refusal
from curation.modifiers.html import Html
from curation.modifiers.unicode import Unicode
from curation.modifiers.whitespace import Whitespace
from tests.shared_data import shared_data

TEXTS = ("title", "question", "answer")


def law_steps(html: Any = None, unicode: Any = None) -> list[Step]:
    """The tutorial's steps, in its order."""
    words = WordCountFilter(min_words=3, max_words=8)
    return [
        Step(MODIFIER, html or Html(), TEXTS, "Html()"),
        Step(MODIFIER, unicode or Unicode(), TEXTS, "Unicode()"),
        Step(FILTER, words, ("question", "answer"), "WordCountFilter(min_words=3, max_words=8)"),
        Step(FILTER, LowScore(minimum=0), ("question_score", "answer_score"), "LowScore(minimum=0)"),
    ]


def record(identifier: str, **columns: Any) -> Record:
    good = "<p>one two</p><p>three four</p>"
    defaults = {"title": "A title", "question": good, "answer": good, "question_score": 1.0, "answer_score": 2.0}
    return human(identifier, **{**defaults, **columns})


RECORDS = [
    record("good"),
    record("short question", question="<p>one</p>"),
    record("long answer", answer="<p>" + "word " * 9 + "</p>"),
    record("low question", question_score=-1.0),
    record("low answer", answer_score=-0.5, answer="<p>one</p>"),
    record("mojibake", title="sch\u00c3\u00b6n", question="<p>It\u00e2\u20ac\u2122s one two three</p>"),
    record("escaped", answer="<p>&lt;b&gt; is a tag &amp;amp; more</p>"),
    record("glued", question="<p>one</p><p>two</p><p>three</p>"),
    record("code", answer="<pre>a  b\n  c</pre>"),
    record("empty", question=""),
]


def outcomes(left: pd.DataFrame) -> dict[str, tuple[str, str]]:
    return {row.id: (row.reason, row.field) for row in left.itertuples()}


def rules(**by_name: dict[str, Any]) -> Step:
    validator = Validator.of(by_name)
    return Step(VALIDATE, validator, validator.fields, f"validate({', '.join(by_name)})")


class Counting(Modifier):
    """Passes text through and remembers which."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def modify_document(self, text: str) -> str:
        self.seen.append(text)
        return text


class BatchedUpper(Modifier):
    @batched
    def modify_document(self, texts: pd.Series) -> pd.Series:
        return texts.map(lambda text: text.upper() if text != "bad" else 1 / 0)


class BatchedLength(Filter):
    """Keeps what is shorter than `limit`, in batches."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit

    @batched
    def score_document(self, texts: pd.Series) -> pd.Series:
        return texts.str.len()

    @batched
    def keep_document(self, scores: pd.Series) -> pd.Series:
        return scores < self.limit


class Language(Filter):
    """A score that is not a number, as language identification gives."""

    def score_document(self, text: str) -> list[Any]:
        return [0.9, "EN" if text.isascii() else "FR"]

    def keep_document(self, scores: list[Any]) -> bool:
        return bool(scores[1] == "EN")


class Fragile(Filter):
    def score_document(self, text: str) -> float:
        return 1 / len(text)

    def keep_document(self, scores: float) -> bool:
        if scores == 0.5:
            raise ValueError("two letters")
        return True


class TestWhatLeaves:
    def test_every_record_stays_or_leaves_with_its_reason(self) -> None:
        kept, left = clean_partition(schedule(law_steps()), frame(RECORDS))
        assert kept["id"].tolist() == ["good", "mojibake", "escaped", "glued", "code"]
        assert outcomes(left) == {
            "short question": ("word_count", "question"),
            "long answer": ("word_count", "answer"),
            "low question": ("low_score", "question_score"),
            "low answer": ("low_score", "answer_score"),
            "empty": ("word_count", "question"),
        }
        assert len(kept) + len(left) == len(RECORDS)

    def test_score_bound_and_columns(self) -> None:
        kept, left = clean_partition(schedule(law_steps()), frame(RECORDS))
        assert tuple(kept.columns) == COLUMNS
        assert tuple(left.columns) == (*COLUMNS, "reason", "field", "score", "bound", "detail")
        row = left.set_index("id").loc["long answer"]
        assert (row["score"], row["bound"]) == (9.0, "WordCountFilter(min_words=3, max_words=8)")
        assert row["detail"] is None
        assert left.set_index("id").loc["low answer", "answer"] == "<p>one</p>"  # as it was when it left

    def test_what_stays_is_clean(self) -> None:
        kept = clean_partition(law_steps(), frame(RECORDS))[0].set_index("id")
        assert kept.loc["mojibake", "title"] == "sch\u00f6n"
        assert kept.loc["mojibake", "question"] == "It\u2019s one two three"
        assert kept.loc["escaped", "answer"] == "<b> is a tag &amp; more"
        assert kept.loc["code", "answer"] == "a  b\n  c"

    @pytest.mark.parametrize("rows", [[], RECORDS[1:2], RECORDS[:1]])
    def test_empty_sides_keep_columns_and_types(self, rows: list[Record]) -> None:
        kept, left = clean_partition(schedule(law_steps()), frame(rows))
        assert tuple(kept.columns) == COLUMNS
        assert tuple(left.columns)[len(COLUMNS) :] == ("reason", "field", "score", "bound", "detail")
        assert left["score"].dtype == "float64"
        assert {str(left[name].dtype) for name in ("reason", "field", "bound", "detail")} == {"object"}

    def test_the_input_is_left_alone(self) -> None:
        table = frame(RECORDS)
        before = table.copy(deep=True)
        clean_partition(schedule(law_steps()), table)
        pd.testing.assert_frame_equal(table, before)

    def test_partitions_and_index_don_t_matter(self) -> None:
        steps = schedule(law_steps())
        whole = clean_partition(steps, frame(RECORDS).set_index(pd.Index([7] * len(RECORDS))))
        parts = [clean_partition(steps, frame(RECORDS[start : start + 3])) for start in range(0, len(RECORDS), 3)]
        for side in (0, 1):
            joined = pd.concat([part[side] for part in parts if len(part[side])])
            ordered = [table.sort_values("id").reset_index(drop=True) for table in (whole[side], joined)]
            pd.testing.assert_frame_equal(*ordered)

    def test_arrow_strings_and_nulls(self) -> None:
        table = frame([record("a", title=None, context=None), record("b", answer=None)]).convert_dtypes(
            dtype_backend="pyarrow"
        )
        kept, left = clean_partition(schedule(law_steps()), table)
        assert kept["id"].tolist() == ["a"]
        assert kept["title"].isna().all()
        assert kept["answer"].tolist() == ["one two\n\nthree four"]
        assert kept["answer"].dtype == table["answer"].dtype
        assert outcomes(left) == {"b": ("missing_value", "answer")}


class TestNulls:
    def test_a_modifier_leaves_them_and_a_filter_drops_them(self) -> None:
        rows = [record("title", title=None), record("answer", answer=None), record("score", answer_score=np.nan)]
        kept, left = clean_partition(schedule(law_steps()), frame(rows))
        assert kept["id"].tolist() == ["title", "score"]
        assert kept["title"].tolist()[0] is None
        assert outcomes(left) == {"answer": ("missing_value", "answer")}
        assert left["bound"].tolist() == ["WordCountFilter(min_words=3, max_words=8)"]


class TestFailures:
    def test_a_modifier_that_raises_costs_its_record_alone(self) -> None:
        class Picky(Modifier):
            def modify_document(self, text: str) -> Any:
                return {"bad": None}[text] if text in ("bad", "worse") else text + "!"

        rows = [record("a", title="x"), record("b", title="worse"), record("c", title="bad"), record("d", title="y")]
        kept, left = clean_partition([Step(MODIFIER, Picky(), ("title",), "Picky()")], frame(rows))
        assert kept["title"].tolist() == ["x!", "y!"]
        assert left["detail"].tolist() == ["KeyError: 'worse'", "TypeError: it made NoneType of a text"]
        assert left["reason"].tolist() == ["component_error"] * 2
        assert left["title"].tolist() == ["worse", "bad"]

    def test_a_filter_that_raises_costs_its_record_alone(self) -> None:
        rows = [record("a", title="x"), record("b", title=""), record("c", title="ab")]
        kept, left = clean_partition([Step(FILTER, Fragile(), ("title",), "Fragile()")], frame(rows))
        assert kept["id"].tolist() == ["a"]
        assert left["detail"].tolist() == ["ZeroDivisionError: division by zero", "ValueError: two letters"]
        assert left["score"].isna().tolist() == [True, False]

    def test_a_batch_that_raises_is_asked_record_by_record(self) -> None:
        rows = [record("a", title="x"), record("b", title="bad"), record("c", title="y")]
        kept, left = clean_partition([Step(MODIFIER, BatchedUpper(), ("title",), "BatchedUpper()")], frame(rows))
        assert kept["title"].tolist() == ["X", "Y"]
        assert outcomes(left) == {"b": ("component_error", "title")}
        assert left["detail"].tolist() == ["ZeroDivisionError: division by zero"]

    def test_an_error_that_a_user_can_mend_ends_the_run(self) -> None:
        class Needy(Modifier):
            def modify_document(self, text: str) -> str:
                raise MissingPackageError("install it")

        with pytest.raises(MissingPackageError):
            clean_partition([Step(MODIFIER, Needy(), ("title",), "Needy()")], frame(RECORDS))


class TestComponents:
    def test_batched_ones(self) -> None:
        rows = [record("a", title="abc"), record("b", title="abcdef"), record("c", title=None)]
        steps = [
            Step(MODIFIER, BatchedUpper(), ("title",), "BatchedUpper()"),
            Step(FILTER, BatchedLength(5), ("title",), "BatchedLength(limit=5)"),
        ]
        kept, left = clean_partition(schedule(steps), frame(rows))
        assert kept["title"].tolist() == ["ABC"]
        assert outcomes(left) == {"b": ("batched_length", "title"), "c": ("missing_value", "title")}
        assert left.set_index("id").loc["b", "score"] == 6.0

    def test_a_score_that_is_no_number_is_null(self) -> None:
        rows = [record("a", title="plain"), record("b", title="caf\u00e9")]
        kept, left = clean_partition([Step(FILTER, Language(), ("title",), "Language()")], frame(rows))
        assert kept["id"].tolist() == ["a"]
        assert left["score"].isna().all()
        assert left["reason"].tolist() == ["language"]

    def test_a_filter_reads_the_source_s_other_columns(self) -> None:
        rows = [
            record("a", extra=to_json({"views": 10})),
            record("b", extra=to_json({"views": 1})),
            record("c", extra=to_json({"other": 1})),
            record("d", extra=None),
        ]
        kept, left = clean_partition(
            [Step(FILTER, LowScore(minimum=5), ("views",), "LowScore(minimum=5)")], frame(rows)
        )
        assert kept["id"].tolist() == ["a"]
        assert outcomes(left) == {
            "b": ("low_score", "views"),
            "c": ("missing_value", "views"),
            "d": ("missing_value", "views"),
        }

    def test_nemo_curators_by_dotted_path(self) -> None:
        words = Spec("filter", "nemo_curator.filters.WordCountFilter", {"min_words": 3, "max_words": 8}).create()
        steps = law_steps()
        steps[2] = Step(FILTER, words, ("question", "answer"), "WordCountFilter(min_words=3, max_words=8)")
        steps[1] = Step(MODIFIER, Spec("modifier", "nemo_curator.modifiers.UnicodeReformatter", {}).create(), TEXTS, "")
        assert clean_partition(schedule(steps), frame(RECORDS))[0]["id"].tolist() == [
            "good", "mojibake", "escaped", "glued", "code",
        ]  # fmt: skip

    def test_reasons(self) -> None:
        class HTMLThing(Filter):
            def score_document(self, text: str) -> float:
                return 0.0

            def keep_document(self, scores: float) -> bool:
                return False

        names = {
            Step(FILTER, component, ("title",), "").reason
            for component in (WordCountFilter(), LowScore(), Refusal(), HTMLThing())
        }
        assert names == {"word_count", "low_score", "refusal", "html_thing"}

    def test_steps_travel_to_workers(self) -> None:
        step = Step(FILTER, LowScore(minimum=1), ("answer_score",), "LowScore(minimum=1)")
        assert pickle.loads(pickle.dumps(step)).component.minimum == 1


class TestRules:
    def test_the_first_rule_that_is_not_kept_is_named_and_the_others_in_the_detail(self) -> None:
        step = rules(
            short={"field": "title", "max_words": 2},
            sourced={"citations": 1},
            known={"field": "court", "one_of": ["us", "uk"]},
        )
        rows = [
            record("good", answer="see § 8", extra=to_json({"court": "us"})),
            record("one", answer="none", extra=to_json({"court": "uk"})),
            record("all", title="a b c", answer="none", extra=to_json({"court": "eu"})),
            record("null", title=None, answer="see § 8", extra=None),
        ]
        kept, left = clean_partition(schedule([step]), frame(rows))
        assert kept["id"].tolist() == ["good"]
        assert tuple(left.columns) == (*COLUMNS, "reason", "field", "score", "bound", "detail")
        assert set(left["reason"]) == {"invalid"}
        told = {row.id: (row.field, row.bound, row.detail) for row in left.itertuples()}
        assert told == {
            "one": ("answer", "sourced: citations 1", "0 in 'none'"),
            "all": ("title", "short: max_words 2", "3 words: 'a b c'; also sourced: citations 1; known: one_of us, uk"),
            "null": ("title", "short: is missing", "also known: is missing"),
        }
        assert left.set_index("id")["score"].fillna(-1).to_dict() == {"one": 0.0, "all": 3.0, "null": -1.0}

    def test_columns_of_every_kind(self) -> None:
        step = rules(
            votes={"field": ["question_score", "line"], "minimum": 1},
            tagged={"field": "tags", "one_of": ["tax", "tort"], "optional": True},
            whole={"field": "extra", "json": {"required": ["views"]}},
            seen={"field": "views", "minimum": 10},
        )
        extra = to_json({"views": 10})
        rows = [
            record("good", line=3, extra=extra, tags="tax,tort"),
            record("low", line=3, extra=extra, question_score=0.5),
            record("unvoted", line=3, extra=extra, question_score=np.nan),
            record("tag", line=3, extra=extra, tags="tax,art"),
            record("unseen", line=3, extra=to_json({"views": "9"})),
            record("other", line=3, extra="{}"),
        ]
        for table in (frame(rows), frame(rows).convert_dtypes(dtype_backend="pyarrow")):
            kept, left = clean_partition([step], table)
            assert kept["id"].tolist() == ["good"]
            assert {row.id: (row.bound, row.field) for row in left.itertuples()} == {
                "low": ("votes: minimum 1", "question_score"),
                "unvoted": ("votes: is missing", "question_score"),
                "tag": ("tagged: one_of tax, tort", "tags"),
                "unseen": ("seen: minimum 10", "views"),
                "other": ('whole: json {"required": ["views"]}', "extra"),
            }

    def test_a_record_that_can_not_be_judged_leaves_alone(self) -> None:
        class Fickle:
            def violations(self, values: dict[str, Any]) -> list[Any]:
                return [] if values["title"] else [1 / 0]

        rows = [record("a"), record("b", title="")]
        kept, left = clean_partition([Step(VALIDATE, Fickle(), ("title", "views"), "validate(it)")], frame(rows))
        assert kept["id"].tolist() == ["a"]
        assert left[["reason", "field", "bound", "detail"]].to_numpy().tolist() == [
            ["component_error", "title, views", "validate(it)", "ZeroDivisionError: division by zero"]
        ]

    def test_they_see_what_the_steps_before_them_leave(self) -> None:
        seen = {"field": ["title", "answer"], "lacks": "<p>"}
        html = Step(MODIFIER, Html(), ("title", "answer"), "Html()")
        rows = frame([record("a", title="<p>title</p>")])
        assert len(clean_partition(schedule([html, rules(clean=seen)]), rows)[0]) == 1
        assert len(clean_partition(schedule([rules(clean=seen), html]), rows)[0]) == 0


class TestSchedule:
    def order(self, steps: Sequence[Step]) -> list[tuple[str, str]]:
        return [(step.label.partition("(")[0], step.fields[0]) for step in schedule(steps)]

    def test_law(self) -> None:
        assert self.order(law_steps()) == [
            ("LowScore", "question_score"),
            ("LowScore", "answer_score"),
            ("Html", "question"),
            ("Unicode", "question"),
            ("WordCountFilter", "question"),
            ("Html", "answer"),
            ("Unicode", "answer"),
            ("WordCountFilter", "answer"),
            ("Html", "title"),
            ("Unicode", "title"),
        ]

    def test_on_one_field_the_order_stays(self) -> None:
        one = ("title",)
        steps = [
            Step(FILTER, Refusal(), one, "raw"),
            Step(MODIFIER, Html(), one, "m1"),
            Step(FILTER, Refusal(), one, "f1"),
            Step(FILTER, Refusal(), one, "f2"),
            Step(MODIFIER, Whitespace(), one, "m2"),
            Step(FILTER, Refusal(), one, "f3"),
            Step(MODIFIER, Whitespace(), one, "m3"),
        ]
        assert [step.label for step in schedule(steps)] == ["raw", "m1", "f1", "f2", "m2", "f3", "m3"]

    def test_rules_are_hoisted_only_where_none_of_their_fields_is_touched(self) -> None:
        steps = [*law_steps(), rules(one={"field": ["question", "answer"], "min_words": 1})]
        untouched = rules(two={"field": ["tags", "court"], "min_words": 1})
        order = [label for label, _ in self.order([*steps, untouched])]
        assert order[:3] == ["LowScore", "LowScore", "validate"]
        assert order[3:] == [*["Html", "Unicode", "WordCountFilter"] * 2, "validate", "Html", "Unicode"]

    def test_a_later_filter_that_waits_for_less_does_not_change_what_rules_see(self) -> None:
        title, answer = ("title",), ("answer",)
        steps = [
            Step(MODIFIER, Html(), title, "m1"),
            Step(MODIFIER, Whitespace(), title, "m2"),
            rules(both={"field": ["title", "answer"], "min_words": 1}),
            Step(MODIFIER, Html(), answer, "m3"),
            Step(FILTER, Refusal(), answer, "f"),
            Step(FILTER, Refusal(), ("question",), "first"),
        ]
        order = ["first", "m1", "m2", "validate(both)", "m3", "f"]
        assert [step.label for step in schedule(steps)] == order

    def test_nothing_is_computed_for_what_a_cheaper_filter_drops(self) -> None:
        counting = Counting()
        steps = [Step(MODIFIER, counting, TEXTS, "Counting()"), *law_steps()[2:]]
        rows = [
            record("a", question="q one two", answer="a one two", title="kept"),
            record("b", question="q", answer="never read", title="never read"),
            record("c", question="never read", answer="never read", title="never read", answer_score=-1.0),
        ]
        kept, _ = clean_partition(schedule(steps), frame(rows))
        assert kept["id"].tolist() == ["a"]
        assert counting.seen == ["q one two", "q", "a one two", "kept"]

    def test_any_order_of_steps_keeps_the_same_records_as_its_schedule(self) -> None:
        steps = [*law_steps(), rules(plain={"field": ["title", "answer"], "lacks": "<p>"})]
        first, *rest = steps
        for rotated in ([*steps[2:], *steps[:2]], steps, steps[::-1], [first, *rest[1:], rest[0]]):
            plain = clean_partition(rotated, frame(RECORDS))[0]
            pd.testing.assert_frame_equal(plain, clean_partition(schedule(rotated), frame(RECORDS))[0])


def nemo_curator_keeps(steps: Sequence[Step], table: pd.DataFrame) -> pd.DataFrame:
    """What NeMo Curator's own modules keep, over a Dask table of several partitions."""
    import dask.dataframe as dd
    from nemo_curator import Modify, ScoreFilter, Sequential
    from nemo_curator.datasets import DocumentDataset

    modules = [
        Modify(step.component, text_field=field)
        if step.kind == MODIFIER
        else ScoreFilter(step.component, text_field=field, score_type=float)
        for step in steps
        for field in step.fields
    ]
    with np.errstate(all="ignore"):
        dataset = DocumentDataset(dd.from_pandas(table, npartitions=3))
        return Sequential(modules)(dataset).df.compute(scheduler="synchronous").sort_index()


@pytest.mark.parametrize("unicode", [Unicode(), UnicodeReformatter()])
def test_keeps_the_rows_of_nemo_curators_sequential(unicode: Any) -> None:
    steps = law_steps(unicode=unicode)
    table = frame(RECORDS)
    theirs = nemo_curator_keeps(steps, table)
    ours = clean_partition(schedule(steps), table)[0]
    assert 0 < len(ours) < len(RECORDS)
    pd.testing.assert_frame_equal(ours[["id", *TEXTS]], theirs[["id", *TEXTS]], check_dtype=False)


def test_keeps_the_rows_of_nemo_curators_sequential_with_batched_components() -> None:
    steps = [
        Step(MODIFIER, Whitespace(), TEXTS, "Whitespace()"),
        Step(MODIFIER, BatchedUpper(), ("title",), "BatchedUpper()"),
        Step(FILTER, BatchedLength(32), ("question", "answer"), "BatchedLength(limit=32)"),
        Step(FILTER, Refusal(), ("answer",), "Refusal()"),
    ]
    table = frame([*RECORDS, record("refused", answer="I'm sorry, but I can't help with that.")])
    theirs = nemo_curator_keeps(steps, table)
    ours = clean_partition(schedule(steps), table)[0]
    assert 0 < len(ours) < len(table)
    pd.testing.assert_frame_equal(ours[["id", *TEXTS]], theirs[["id", *TEXTS]], check_dtype=False)


def real_records(folder: Path) -> pd.DataFrame:
    questions = [(file.stem, row) for file in sorted(folder.glob("*.json")) for row in json.loads(file.read_text())]
    return frame(
        human(
            f"{site}-{question['question_id']}-{answer['answer_id']}",
            title=question["question_title"],
            question=question["question_body"],
            answer=answer["body"],
            question_score=float(question["score"]),
            answer_score=float(answer["score"]),
        )
        for site, question in questions
        for answer in question["answers"][:2]
    )


@pytest.mark.slow
@pytest.mark.parametrize("unicode", [Unicode(), UnicodeReformatter()])
def test_keeps_the_rows_of_nemo_curators_sequential_on_real_posts(unicode: Any) -> None:
    table = real_records(shared_data() / "stackexchange")
    steps = law_steps(unicode=unicode)
    words = WordCountFilter(min_words=50, max_words=500)
    steps[2] = Step(FILTER, words, ("question", "answer"), "WordCountFilter(min_words=50, max_words=500)")
    theirs = nemo_curator_keeps(steps, table)
    ours, left = clean_partition(schedule(steps), table)
    assert len(ours) > 500
    assert len(ours) + len(left) == len(table)
    assert len(left) > 500
    pd.testing.assert_frame_equal(ours[["id", *TEXTS]], theirs[["id", *TEXTS]], check_dtype=False)
