"""The output folder: lock, atomic publishing, checksums, errors of the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from curation.core.errors import DiskError, LockedError
from curation.engine.store import LOCK, MANIFEST, Manifest, Stage, Store, sha256_of, write_durably, writing


def manifest(signature: str = "s1") -> Manifest:
    return Manifest(stage="clean", round=0, signature=signature, rows_in=3, rows_out=2, dropped={"low_score": 1})


def publish(store: Store, text: str, signature: str = "s1") -> Stage:
    folder = store.stage_folder("40-clean", 0)
    with store.workspace(folder) as workspace:
        (workspace / "part-00000.parquet").write_text(text)
        (workspace / "left-00000.parquet").write_text("left")
        full = store.publish(workspace, folder, manifest(signature))
    return Stage(folder, full)


def test_a_published_folder_is_whole_and_its_manifest_has_checksums(tmp_path: Path) -> None:
    stage = publish(Store(tmp_path), "rows")
    assert Manifest.read(stage.folder) == stage.manifest
    assert stage.manifest.files["part-00000.parquet"] == sha256_of(stage.folder / "part-00000.parquet")
    assert [path.name for path in stage.parts] == ["part-00000.parquet"]
    assert [path.name for path in stage.left] == ["left-00000.parquet"]
    assert [path.name for path in stage.folder.parent.iterdir()] == ["40-clean"]


def test_publishing_again_replaces_the_folder(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = publish(store, "rows")
    second = publish(store, "other rows", "s2")
    assert (second.folder / "part-00000.parquet").read_text() == "other rows"
    assert second.digest != first.digest
    assert [path.name for path in second.folder.parent.iterdir()] == ["40-clean"]


def test_a_stage_is_found_by_its_signature_and_only_whole(tmp_path: Path) -> None:
    store = Store(tmp_path)
    stage = publish(store, "rows")
    assert store.find(stage.folder, "s1") == stage.manifest
    assert store.find(stage.folder, "s2") is None
    (stage.folder / "part-00000.parquet").unlink()
    assert store.find(stage.folder, "s1") is None


class TestReading:
    def test_a_folder_that_no_run_has_held(self, tmp_path: Path) -> None:
        with Store(tmp_path).reading("reader") as at_work:
            assert not at_work
        assert list(tmp_path.iterdir()) == []

    def test_a_run_at_work_is_left_alone(self, tmp_path: Path) -> None:
        with Store(tmp_path).lock():
            owner = (tmp_path / LOCK).read_text()
            with Store(tmp_path).reading("reader") as at_work:
                assert at_work
            assert (tmp_path / LOCK).read_text() == owner

    def test_it_keeps_runs_out_but_no_other_reader(self, tmp_path: Path) -> None:
        with Store(tmp_path).lock():
            pass
        with Store(tmp_path).reading("reader"), Store(tmp_path).reading("other") as at_work:
            assert not at_work
            with (
                pytest.raises(LockedError, match=r"in use by process \d+ on .* \(other\): wait"),
                Store(tmp_path).lock(),
            ):
                pass
        with Store(tmp_path).lock():
            pass


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stage": "clean"}'])
def test_a_broken_manifest_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    assert Manifest.read(tmp_path) is None


def test_a_failed_stage_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.stage_folder("40-clean", 0)

    def fail() -> None:
        with store.workspace(folder) as workspace:
            (workspace / "part-00000.parquet").write_text("half")
            raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        fail()
    assert list(folder.parent.iterdir()) == []


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with Store(tmp_path).lock():
        code = (
            "import sys; from pathlib import Path; from curation.engine.store import Store\n"
            "from curation.core.errors import LockedError\n"
            "try:\n  Store(Path(sys.argv[1])).lock().__enter__()\n"
            "except LockedError as error:\n  print(error)"
        )
        said = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    assert "is in use by process" in said
    with Store(tmp_path).lock():  # free again
        pass


def test_the_lock_names_its_owner(tmp_path: Path) -> None:
    with Store(tmp_path).lock(), pytest.raises(LockedError, match=r"process .* on .*choose another --output"):
        Store(tmp_path).lock().__enter__()


def test_an_output_that_is_a_file_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="a file stands where a folder should"):
        Store(tmp_path / "file")


def test_a_full_disk_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"the disk is full.*The same command goes on"), writing(tmp_path):
        Path("/dev/full").write_text("x" * 10_000)


def test_a_durable_write_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    write_durably(path, b"a longer text")
    write_durably(path, b"short")
    assert path.read_bytes() == b"short"
    assert [file.name for file in tmp_path.iterdir()] == ["plan.yaml"]
