"""The hand-off folder: what is in it, and how its data avoids what trainers stumble over."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.core.contracts import Exported
from curation.core.records import SPLITS, Record, human
from curation.exporters.handoff import Handoff
from tests.models.tiny_llama import write_tiny_llama

ROW = human("a", title="Rent — due?", question="May he\u2028raise it? \n", answer="No. ")
GROUNDED = human("g", title="Notice", question="How long?", answer="A month.", context="Act: one month.")


def written(folder: Path, exporter: Handoff, rows: Sequence[Record], split: str = "train") -> dict[str, Any]:
    """What the exporter leaves in `folder`, and what it answers with."""
    folder.mkdir(exist_ok=True)
    refused = {refusal.id for refusal in exporter.refuse(rows)}
    kept = [row for row in rows if row["id"] not in refused]
    for name in SPLITS:
        exporter.write(name, kept if name == split else [], folder)
    counts = {name: {"human": len(kept)} if name == split and kept else {} for name in SPLITS}
    return dict(exporter.finish(folder, Exported(counts=counts)))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


class TestForms:
    @pytest.mark.parametrize(
        ("task", "asked", "ends", "output"),
        [
            ("title", "May he\u2028raise it?", "\nTITLE:", "Rent — due?"),
            ("qa", "Rent — due?\nMay he\u2028raise it?", "\nANSWER:", "No."),
        ],
    )
    def test_both_say_the_same(self, tmp_path: Path, task: str, asked: str, ends: str, output: str) -> None:
        exporter = Handoff(task)
        written(tmp_path, exporter, [ROW])
        (prompt,), (chat,) = (lines(tmp_path / form / "training.jsonl") for form in ("nemo", "chat"))
        assert list(prompt) == ["input", "output", "id"]
        assert prompt["input"] == f"{exporter.prompt} \nQUESTION: {asked} {ends}"
        assert (prompt["output"], prompt["id"]) == (output, "a")
        assert chat["id"] == "a"
        assert [(turn["role"], turn["content"]) for turn in chat["messages"]] == [
            ("system", exporter.prompt),
            ("user", asked),
            ("assistant", output),
        ]
        assert exporter.folder == f"handoff/{task}"

    def test_the_title_is_not_in_what_asks_for_it(self, tmp_path: Path) -> None:
        written(tmp_path, Handoff("title"), [ROW])
        assert "Rent" not in lines(tmp_path / "nemo/training.jsonl")[0]["input"]
        assert "Rent" not in lines(tmp_path / "chat/training.jsonl")[0]["messages"][1]["content"]

    def test_a_context_comes_before_the_question(self, tmp_path: Path) -> None:
        written(tmp_path, Handoff("qa", prompt="Say:"), [GROUNDED])
        (prompt,), (chat,) = (lines(tmp_path / form / "training.jsonl") for form in ("nemo", "chat"))
        assert prompt["input"] == "Say: \nCONTEXT: Act: one month. \nQUESTION: Notice\nHow long? \nANSWER:"
        assert chat["messages"][1]["content"] == "Act: one month.\n\nNotice\nHow long?"

    def test_a_task_of_ones_own(self, tmp_path: Path) -> None:
        exporter = Handoff("summary", "Sum — up.", ["question", "answer", "context"], "title")
        assert [refusal.field for refusal in exporter.refuse([human("x", answer="a", title="t")])] == ["question"]
        written(tmp_path, exporter, [ROW, GROUNDED])
        rows = lines(tmp_path / "nemo/training.jsonl")
        assert rows[0]["input"] == "Sum — up. \nQUESTION: May he\u2028raise it? \nANSWER: No. \nTITLE:"
        assert rows[1]["input"].endswith("CONTEXT: Act: one month. \nTITLE:")
        # Letters beyond ASCII in a template are made unreadable by its readers: in the data they are kept.
        assert (tmp_path / "nemo/training.jsonl").read_bytes().isascii()

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            ({"task": "poem"}, "the task is 'title' or 'qa', or brings prompt, input and output; not 'poem'"),
            ({"task": "../x", "prompt": "p", "input": ["question"], "output": "answer"}, "can't name a folder"),
            ({"task": "x", "prompt": " ", "input": ["question"], "output": "answer"}, "has no prompt"),
            ({"task": "x", "prompt": "p", "input": [], "output": "answer"}, "has no input"),
            ({"task": "x", "prompt": "p", "input": ["body"], "output": "answer"}, "there is no text 'body'"),
            ({"task": "qa", "input": ["question", "answer"]}, "names a text twice"),
        ],
    )
    def test_a_task_that_can_not_be_asked(self, arguments: dict[str, Any], fault: str) -> None:
        with pytest.raises(ValueError, match=fault):
            Handoff(**arguments)


class TestTraps:
    """What readers stumble over, as the facts about them tell; none of it is in a file."""

    ROWS = (
        human("a", title=" t\u2028 ", question="q\x85\n\n", answer="\n ä\u2029b \n"),
        human("b", title="t", question="no answer"),
        human("c", title="\n", question="q", answer="no title"),
        human("d", title="t", question="  ", answer="no question"),
    )

    @pytest.mark.parametrize(("task", "missing"), [("title", {"c": "title", "d": "question"}),
                                                   ("qa", {"b": "answer", "d": "question"})])  # fmt: skip
    def test_no_null_no_blank_line_no_line_end_within_a_line(
        self, tmp_path: Path, task: str, missing: dict[str, str]
    ) -> None:
        exporter = Handoff(task)
        found = exporter.refuse(self.ROWS)
        assert {refusal.id: refusal.field for refusal in found} == missing
        assert {refusal.reason for refusal in found} == {"incomplete"}
        written(tmp_path, exporter, self.ROWS)
        for form in ("chat", "nemo"):
            data = (tmp_path / form / "training.jsonl").read_bytes()
            assert data.isascii()  # one reader takes U+2028 for the end of a line
            assert data.count(b"\n") == len(data.decode().splitlines()) == 2
            assert all(json.loads(line) for line in data.splitlines())
            assert b"null" not in data

    def test_an_input_ends_without_white_space(self, tmp_path: Path) -> None:
        """Training strips it, generation does not."""
        exporter = Handoff("qa", prompt="Say. \n")
        written(tmp_path, exporter, self.ROWS)
        (row, _) = lines(tmp_path / "nemo/training.jsonl")
        assert row["input"] == row["input"].rstrip()
        assert row["input"].startswith("Say. \nQUESTION: t\nq")
        assert row["output"] == row["output"].strip() == "ä\u2029b"


class TestLengths:
    """A printable ASCII character is a token of the test's tokenizer; it begins a text, and a turn, with one more."""

    QUESTION = "abcde"

    def row(self, identifier: str, answer: str) -> Record:
        return human(identifier, question=self.QUESTION, answer=answer)

    @pytest.mark.parametrize("template", [None, "{% for m in messages %}<s>{{ m.content }}{{ 'x' * 60 }}{% endfor %}"])
    def test_what_is_too_long_leaves_whole(self, tmp_path: Path, template: str | None) -> None:
        write_tiny_llama(tmp_path / "tokenizer", template)
        prompt = "p \nQUESTION: abcde \nANSWER:"
        continued = 1 + len(prompt) + 1 + 4 + 1  # begin, prompt, space, answer, end
        chatted = 3 + 180 + 1 + 5 + 4
        limit = chatted if template else continued
        rows = [self.row("fits", "1234"), self.row("over", "12345")]
        exporter = Handoff("qa", prompt="p", tokenizer=str(tmp_path / "tokenizer"), max_tokens=limit)
        assert written(tmp_path / "out", pickle.loads(pickle.dumps(exporter)), rows)["template_id"]
        (refusal,) = exporter.refuse(rows)
        assert (refusal.id, refusal.reason, refusal.score) == ("over", "over_length", limit + 1)
        assert refusal.bound == f"tokens <= {limit}"
        for form in ("chat", "nemo"):
            assert [row["id"] for row in lines(tmp_path / "out" / form / "training.jsonl")] == ["fits"]
        stats = json.loads((tmp_path / "out/token_stats.json").read_bytes())
        assert (stats["unit"], stats["tokenizer"]) == ("tokens", "tokenizer")
        assert stats["splits"]["training"]["example"]["max"] == limit
        assert stats["splits"]["training"]["input"]["max"] == 1 + len(prompt)
        assert stats["splits"]["training"]["output"]["max"] == 1 + 4 + 1
        assert json.loads((tmp_path / "out/recipes/facts.json").read_bytes())["max_tokens"] == limit
        assert str(tmp_path) not in "".join(
            path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*.*") if path.is_file()
        )

    def test_without_a_tokenizer_words_are_counted_and_nothing_leaves(self, tmp_path: Path) -> None:
        rows = [human(f"r{number:02}", question="q " * 9, answer="w " * (number + 1)) for number in range(20)]
        exporter = Handoff("qa", max_tokens=1)
        assert exporter.refuse(rows) == []
        written(tmp_path, exporter, rows)
        stats = json.loads((tmp_path / "token_stats.json").read_bytes())
        assert (stats["unit"], stats["tokenizer"]) == ("words", None)
        assert stats["splits"]["training"]["output"] == {"min": 1, "mean": 10.5, "p50": 10, "p95": 19, "max": 20}
        assert stats["splits"]["test"] == {
            "examples": 0,
            **{name: dict.fromkeys(("min", "mean", "p50", "p95", "max")) for name in ("input", "output", "example")},
        }
        assert json.loads((tmp_path / "recipes/facts.json").read_bytes())["max_tokens"] is None

    def test_a_tokenizer_that_changes_makes_another_folder(self, tmp_path: Path) -> None:
        write_tiny_llama(tmp_path, None)
        before = Handoff("qa", tokenizer=str(tmp_path)).fingerprint()
        assert before == Handoff("qa", tokenizer=str(tmp_path)).fingerprint() != Handoff("qa").fingerprint()
        (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
        assert Handoff("qa", tokenizer=str(tmp_path)).fingerprint() != before


class TestCard:
    EXPORTED = Exported(
        counts={"train": {"human": 3, "synthetic": 1}, "validation": {}, "test": {"human": 1}},
        licenses={"CC BY-SA 4.0": 4, "<script>alert(1)</script> | [x](http://y)": 1},
        refused={"over_length": 2},
        run={
            "Models": {"teacher": "a|b\n\n# <b>x</b> `rm` ![i](https://z) www.q.r"},
            "Steps": [{"step": "exact", "in": 1234, "out": 1232, "left": {"exact_duplicate": 2}}],
        },
    )

    def card(self, folder: Path, exported: Exported) -> str:
        folder.mkdir(exist_ok=True)
        exporter = Handoff("title")
        for split in SPLITS:
            exporter.write(split, [], folder)
        exporter.finish(folder, exported)
        return (folder / "README.md").read_text(encoding="utf-8")

    def test_what_comes_from_the_run_is_nothing_but_text(self, tmp_path: Path) -> None:
        _, head, body = self.card(tmp_path, self.EXPORTED).split("---\n", 2)
        assert yaml.safe_load(head)["license"] == ["cc-by-sa-4.0", "other"]
        assert r"- teacher: a\|b \# \<b\>x\</b\> \`rm\` \!\[i\](https\://z) www\.q.r" in body
        assert r"- \<script\>alert(1)\</script\> \| \[x\](http\://y): 1 records" in body
        assert r"| exact | 1,234 | 1,232 | 2 exact\_duplicate |" in body
        assert "| training | 3 | 1 | 4 |" in body
        assert r"- left out: 2 over\_length" in body

    def test_its_head_tells_the_hub(self, tmp_path: Path) -> None:
        head = yaml.safe_load(self.card(tmp_path, self.EXPORTED).split("---\n")[1])
        assert head["size_categories"] == ["n<1K"]
        assert head["tags"] == ["curation", "fine-tuning", "synthetic", "title"]
        chat, nemo = head["configs"]
        assert (chat["config_name"], nemo["config_name"], chat["default"]) == ("chat", "nemo", True)
        # `datasets` fails at a file without a line.
        assert chat["data_files"] == [
            {"split": "train", "path": "chat/training.jsonl"},
            {"split": "test", "path": "chat/test.jsonl"},
        ]
        none = yaml.safe_load(self.card(tmp_path / "none", Exported(counts={})).split("---\n")[1])
        assert not {"configs", "license"} & none.keys()

    def test_datasets_reads_the_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        import datasets

        rows = [ROW, human("b", title="t", question="q", answer="a")]
        exporter = Handoff("qa")
        for split in SPLITS:
            exporter.write(split, rows[:1] if split == "test" else rows if split == "train" else [], tmp_path)
        exporter.finish(tmp_path, Exported(counts={"train": {"human": 2}, "validation": {}, "test": {"human": 1}}))
        for form, column in (("chat", "messages"), ("nemo", "input")):
            found = datasets.load_dataset(str(tmp_path), form, cache_dir=str(tmp_path / f"cache-{form}"))
            assert {split: table["id"] for split, table in found.items()} == {"train": ["a", "b"], "test": ["a"]}
            assert found["train"][column] == [row[column] for row in lines(tmp_path / form / "training.jsonl")]


def test_the_manifest_tells_template_and_share(tmp_path: Path) -> None:
    exporter = Handoff("qa")
    for split in SPLITS:
        exporter.write(split, [], tmp_path)
    told = exporter.finish(tmp_path, TestCard.EXPORTED)
    assert told["synthetic_share"] == 0.2
    assert told["template_id"] == exporter.template.id != Handoff("qa", prompt="Other.").template.id
    assert told["card"]["run"] == TestCard.EXPORTED.run
    assert {path.name for path in (tmp_path / "recipes").iterdir()} >= {"facts.json", "hf_peft_lora.py"}
