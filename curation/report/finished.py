"""A finished run as its folder tells it: what the report shows and `curation.verify` proves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from curation.core.errors import InputError
from curation.engine.store import Manifest, Stage

REFERENCE: Final = "reference"
"""The stage with the set that the dataset is compared with: none of its rows is handed on."""


@dataclass(frozen=True)
class Finished:
    """The folder of a run that came to its end.

    Args:
        root: the run's output folder.
        run: the contents of `run.json`.
        plan_text: `plan.yaml` as it stands.
    """

    root: Path
    run: dict[str, Any]
    plan_text: str

    @classmethod
    def open(cls, root: Path) -> Finished:
        """Reads `run.json` and `plan.yaml`; everything else is read when it is asked for.

        Raises:
            InputError: there is no such folder, or no finished run in it.
        """
        if not root.is_dir():
            raise InputError(f"{root} is not a folder: name the --output folder of a finished run")
        try:
            run = orjson.loads((root / "run.json").read_bytes())
            plan_text = (root / "plan.yaml").read_text(encoding="utf-8")
            yaml.safe_load(plan_text)
            run["stages"], run["exports"], run["ended"]
        except FileNotFoundError as error:
            missing = Path(error.filename).name
            raise InputError(
                f"{root} holds no finished run: {missing} is missing. The command that made it resumes it."
            ) from error
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise InputError(f"{root} holds no readable run: run.json or plan.yaml is damaged ({error})") from error
        return cls(root, run, plan_text)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """The plan's values."""
        values: dict[str, Any] = yaml.safe_load(self.plan_text)
        return values

    @cached_property
    def stages(self) -> list[Stage]:
        """Every stage in the order in which they ran. One whose manifest can't be read has the numbers of
        `run.json` and no files."""
        return [Stage(self.root / entry["folder"], self._manifest(entry)) for entry in self.run["stages"]]

    @property
    def exports(self) -> list[Path]:
        """The folders that were written for readers: `final`, `handoff/…`."""
        return [self.root / entry["stage"] for entry in self.run["exports"]]

    @property
    def rounds(self) -> list[list[Stage]]:
        """The stages of each round, 0 first: what the dataset's own records went through."""
        own = [stage for stage in self.stages if stage.manifest.stage != REFERENCE]
        numbers = sorted({stage.manifest.round for stage in own})
        return [[stage for stage in own if stage.manifest.round == number] for number in numbers]

    @property
    def dataset(self) -> list[Stage]:
        """The stages whose rows together are the dataset: the split, then the last stage of every round."""
        return [stages[-1] for stages in self.rounds]

    def named(self, name: str) -> list[Stage]:
        """The stages of this name, a round each."""
        return [stage for stage in self.stages if stage.manifest.stage == name]

    def _manifest(self, entry: dict[str, Any]) -> Manifest:
        numbers = ("stage", "round", "rows_in", "rows_out", "dropped", "seconds")
        return Manifest.read(self.root / entry["folder"]) or Manifest(
            signature="", **{name: entry[name] for name in numbers}
        )


def batches(files: Sequence[Path], columns: Sequence[str], size: int = 4096) -> Iterator[Any]:
    """The rows of Parquet files as Arrow record batches of a few columns: memory holds one at a time."""
    import pyarrow.parquet as pq

    for path in files:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=size, columns=list(columns))
