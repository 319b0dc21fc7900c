from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import orjson
import pytest

from curation.core.records import digest
from curation.engine import index as index_module
from curation.engine.index import Covered, Index, Place, Run, Saved, discard, load

SIZES = {"a.jsonl": 100, "b.jsonl": 50}


def key(number: int) -> bytes:
    return bytes.fromhex(digest(number))


def places(count: int) -> dict[bytes, Place]:
    return {key(number): (number % 7, number << 33) for number in range(count)}


def filled(entries: dict[bytes, Place], base: Run | None = None) -> Index:
    index = Index(base)
    assert all(index.add(one, place) for one, place in entries.items())
    return index


@pytest.fixture
def small_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are made and merged after a few entries."""
    monkeypatch.setattr(index_module, "_TAIL", 8)


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    saved = Saved(Run.of(places(50)), [Covered("a.jsonl", 100, 90), Covered("b.jsonl", 40, 40)], {"m": {"replies": 50}})
    saved.save(tmp_path)
    return saved


@pytest.mark.usefixtures("small_tail")
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 500])
def test_what_was_added_is_found_and_nothing_else(count: int) -> None:
    entries = places(count)
    index = filled(entries)
    assert len(index) == count
    assert all(index.find(one) == place for one, place in entries.items())
    assert all(index.find(key(number)) is None for number in range(count, count + 100))
    whole = index.whole()
    assert {whole.key(at): (int(whole.segment[at]), int(whole.offset[at])) for at in range(count)} == entries
    assert (np.diff(whole.high.astype(object)) >= 0).all()


@pytest.mark.usefixtures("small_tail")
def test_the_first_place_of_a_key_stays() -> None:
    index = filled(places(100))
    assert not any(index.add(one, (9, 9)) for one in places(100))
    assert (len(index), index.find(key(3))) == (100, (3, 3 << 33))


@pytest.mark.usefixtures("small_tail")
def test_keys_that_begin_alike_are_told_apart() -> None:
    alike = {bytes(8) + number.to_bytes(8): (number, number) for number in range(100)}
    index = filled(alike)
    assert all(index.find(one) == place for one, place in alike.items())
    assert index.find(bytes(8) + (100).to_bytes(8)) is None
    assert index.find(b"\xff" * 16) is None


@pytest.mark.usefixtures("small_tail")
def test_runs_stay_few_and_entries_small() -> None:
    index = filled(places(8 * 1000))
    runs, tail = index._grown
    assert (len(runs) <= 6, len(tail)) == (True, 0)
    arrays = [getattr(run, name) for run in runs for name in ("high", "low", "segment", "offset")]
    assert sum(array.nbytes for array in arrays) == 28 * len(index)
    assert all(array.flags.c_contiguous and array.base is None for array in arrays)


@pytest.mark.usefixtures("small_tail")
def test_looking_up_does_not_wait_for_who_adds() -> None:
    index, done = filled(places(100)), threading.Event()

    def add() -> None:
        for one, place in list(places(5000).items())[100:]:
            index.add(one, place)
        done.set()

    thread = threading.Thread(target=add)
    thread.start()
    looked_up = 0
    while not done.is_set() or not looked_up:
        assert all(index.find(key(number)) == (number % 7, number << 33) for number in range(100))
        looked_up += 1
    thread.join()
    assert len(index) == 5000


def test_a_saved_index_comes_back_mapped(tmp_path: Path, saved: Saved) -> None:
    again = load(tmp_path, SIZES, check=True)
    assert again is not None
    assert (again.segments, again.totals) == (saved.segments, saved.totals)
    assert isinstance(again.run.high.base, np.memmap), "processes of a machine share its pages"
    index = filled({key(number): (1, number) for number in range(50, 80)}, again.run)
    assert (len(index), index.find(key(7)), index.find(key(60))) == (80, (0, 7 << 33), (1, 60))
    assert len(index.whole()) == 80


def test_an_empty_index_can_be_saved(tmp_path: Path) -> None:
    Saved(Index().whole(), [], {}).save(tmp_path)
    again = load(tmp_path, {}, check=True)
    assert again is not None
    assert Index(again.run).find(key(1)) is None


def test_saving_again_replaces_what_was_there(tmp_path: Path, saved: Saved) -> None:
    Saved(Run.of(places(60)), saved.segments, {}).save(tmp_path)
    again = load(tmp_path, SIZES)
    assert again is not None
    assert len(again.run) == 60
    assert len(list(tmp_path.iterdir())) == 2
    discard(tmp_path)
    assert load(tmp_path, SIZES) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sizes", "is_true"),
    [
        (SIZES, True),
        ({**SIZES, "b.jsonl": 40}, True),
        ({**SIZES, "b.jsonl": 39}, False),
        ({"a.jsonl": 100}, False),
        ({**SIZES, "c.jsonl": 9}, True),
    ],
)
@pytest.mark.usefixtures("saved")
def test_an_index_is_stale_when_what_it_covers_is_gone(tmp_path: Path, sizes: dict[str, int], is_true: bool) -> None:
    assert (load(tmp_path, sizes) is not None) == is_true


@pytest.mark.parametrize("name", ["index.json", "high.npy", "low.npy", "segment.npy", "offset.npy"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "noise"])
@pytest.mark.usefixtures("saved")
def test_a_damaged_index_is_none(tmp_path: Path, name: str, damage: str) -> None:
    (path,) = tmp_path.rglob(name)
    whole = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "half": whole[: len(whole) // 2], "noise": b"\xff" * len(whole)}[damage])
    assert load(tmp_path, SIZES) is None


@pytest.mark.parametrize("name", ["high.npy", "low.npy", "segment.npy", "offset.npy"])
@pytest.mark.usefixtures("saved")
def test_a_single_wrong_bit_is_found_by_the_check(tmp_path: Path, name: str) -> None:
    (path,) = tmp_path.rglob(name)
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    assert load(tmp_path, SIZES) is not None
    assert load(tmp_path, SIZES, check=True) is None


@pytest.mark.parametrize(
    "manifest", [b"[]", b"{}", b"null", b'"text"', b'{"arrays": 1}', b'{"arrays": "index-x", "segments": 1}']
)
@pytest.mark.usefixtures("saved")
def test_a_manifest_of_another_form_is_none(tmp_path: Path, manifest: bytes) -> None:
    (tmp_path / "index.json").write_bytes(manifest)
    assert load(tmp_path, SIZES) is None


@pytest.mark.parametrize("change", [{"entries": 49}, {"segments": [{"file": "a"}]}, {"segments": None}])
@pytest.mark.usefixtures("saved")
def test_a_manifest_that_does_not_fit_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "index.json"
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    assert load(tmp_path, SIZES) is None
