"""Questions and answers in the JSON of Hugging Face's `ymoslem/Law-StackExchange`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from curation.core.errors import RecordError
from curation.sources import _json_files
from curation.sources._download import fetch
from curation.sources._faults import MISSING_COLUMN, UNANSWERED, WRONG_TYPE
from curation.sources._file_source import FileSource, pack
from curation.sources._files import InputFile
from curation.sources._rows import Place, RowReader, lazy_table

if TYPE_CHECKING:
    import dask.dataframe as dd

FILE_NAME: Final = "law-stackexchange-questions-answers.json"
DEFAULT_URL: Final = f"https://huggingface.co/datasets/ymoslem/Law-StackExchange/resolve/main/{FILE_NAME}"


class LawStackexchange(FileSource):
    """One big JSON array of questions, each with all its answers, or the same objects as JSON Lines.

    The answer of a record is the one with the highest score (of equals, the one with the smallest `answer_id`), never
    the first. HTML is left as it is. `link`, `license`, `answer_id` and whatever else there is go to `extra`.

    Args:
        paths: files, folders and globs; by default `url` is downloaded.
        url: where the file is when no paths are given; not downloaded again while its checksum is right.
        download_dir: where it is kept.
        id_prefix: what an id begins with, before `-` and the question's id; by default the file's name without its
            ending and `-qa`, and `law-stackexchange-qa` for the dataset's own file.
        partition_bytes: a partition ends with the question that reaches it; by default it fits the input.
        files_per_partition: at most so many small files share a partition; by default `partition_bytes` alone decides.
        num_files: reads only the first so many files, in order of path.
    """

    suffixes = (".json", ".jsonl", ".ndjson")

    def __init__(
        self,
        paths: Sequence[str] | str | None = None,
        url: str = DEFAULT_URL,
        download_dir: str = "data/raw",
        id_prefix: str | None = None,
        partition_bytes: int | None = None,
        files_per_partition: int | None = None,
        num_files: int | None = None,
    ) -> None:
        super().__init__(paths or [], partition_bytes, files_per_partition, num_files)
        self.url = url
        self.download_dir = download_dir
        self.id_prefix = id_prefix
        self._reader = _QuestionReader(id_prefix)

    def files(self) -> list[InputFile]:
        """The files to read, downloaded if need be.

        Raises:
            InputError: a path stands for no file, or the download fails.
        """
        if self.paths:
            return super().files()
        path = fetch(self.url, Path(self.download_dir))
        return [InputFile(path, path.name)]

    def read(self) -> dd.DataFrame:
        """See `Source.read`. Unanswered questions are marked `unanswered`."""
        files = self.files()
        size = self.size_of_partitions(files)
        parts = pack(_json_files.spans(files, arrays=True, partition_bytes=size), size, self.files_per_partition)
        return lazy_table(_json_files.read_part, parts, reader=self._reader, label="read-law-stackexchange")


class _QuestionReader(RowReader):
    """Puts the best answer beside the question's own columns."""

    def __init__(self, id_prefix: str | None) -> None:
        super().__init__(
            {"id": "question_id", "title": "question_title", "question": "question_body", "question_score": "score"}
        )
        self.id_prefix = id_prefix

    def prepare(self, value: dict[str, Any]) -> tuple[dict[str, Any], RecordError | None]:
        question = {key: item for key, item in value.items() if key != "answers"}
        try:
            best = _best(value)
        except RecordError as fault:
            return {**question, "answers": value.get("answers")}, fault
        return {
            **question,
            "answer": best["body"],
            "answer_score": best["score"],
            "answer_id": best["answer_id"],
        }, None

    def identify(self, key: str, place: Place) -> str:
        return f"{self.id_prefix or _prefix(place.file_name)}-{key}"


def _best(value: dict[str, Any]) -> dict[str, Any]:
    answers = value.get("answers")
    if answers is None:
        raise RecordError(MISSING_COLUMN, f"'answers' is missing; there are: {', '.join(value)}")
    if not isinstance(answers, list) or not all(map(_is_answer, answers)):
        raise RecordError(
            WRONG_TYPE,
            "'answers' is not a list of objects with a whole number 'answer_id', a text 'body' and a number 'score'",
        )
    if not answers:
        raise RecordError(UNANSWERED, "the question has no answer")
    return max(answers, key=lambda answer: (answer["score"], -answer["answer_id"]))


def _is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and isinstance(answer.get("body"), str)
        and isinstance(answer.get("answer_id"), int)
        and isinstance(answer.get("score"), int | float)
    )


def _prefix(file_name: str) -> str:
    stem = Path(file_name).name.partition(".json")[0].partition(".ndjson")[0]
    return "law-stackexchange-qa" if f"{stem}.json" == FILE_NAME else f"{stem}-qa"
