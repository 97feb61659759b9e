"""The store holds whole tables or none."""

import json
import multiprocessing
import os
import signal

import pyarrow as pa
import pytest
from conftest import CANDIDATE, no_file_grows, rows

from pipeline import tables
from pipeline.errors import StoreError, TableError
from pipeline.tables.store import Store

DATA = rows("candidates", CANDIDATE, CANDIDATE | {"neuron": 1, "similarity": 0.6})
FACTS = {"created": "2026-01-01", "warnings": [], "made_of": {}}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def only_file(store):
    [path] = store.folder.glob("candidates/*/*.parquet")
    return path


def test_what_is_written_is_read_back(store):
    store.write("candidates", "k", DATA, FACTS)
    assert store.read("candidates", "k").equals(DATA)
    assert store.manifest("candidates", "k")["rows"] == 2
    assert store.manifest("candidates", "other") is None
    assert list(store.faults()) == []


def test_a_table_that_breaks_its_schema_is_not_written(store):
    with pytest.raises(TableError):
        store.write("candidates", "k", rows("candidates", CANDIDATE | {"p": None}), FACTS)
    assert not store.folder.exists()


def test_parts_make_the_same_table(store):
    store.write("candidates", "k", iter([DATA.slice(0, 1), DATA.slice(1)]), FACTS)
    assert store.read("candidates", "k").equals(DATA)
    assert store.verified("candidates", "k") == only_file(store)
    assert store.manifest("candidates", "k")["rows"] == 2


@pytest.mark.parametrize("parts", [[DATA.slice(1), DATA.slice(0, 1)], [DATA, DATA.slice(1)]])
def test_parts_out_of_order_leave_nothing(store, parts):
    with pytest.raises(TableError, match="order"):
        store.write("candidates", "k", iter(parts), FACTS)
    assert list((store.folder / "candidates").iterdir()) == []


def test_a_file_that_was_changed_is_not_handed_on(store):
    store.write("candidates", "k", DATA, FACTS)
    damage(only_file(store), at=60)
    with pytest.raises(StoreError, match=r"checksum has changed.*delete .*candidates/k and run again"):
        store.verified("candidates", "k")
    with pytest.raises(StoreError, match="no table at"):
        store.verified("candidates", "other")


def test_a_second_writer_of_the_same_table_does_no_harm(store):
    store.write("candidates", "k", DATA, FACTS)
    store.write("candidates", "k", DATA, FACTS)
    assert [p.name for p in (store.folder / "candidates").iterdir()] == ["k"]


def test_a_failure_while_writing_leaves_nothing(store):
    with no_file_grows(), pytest.raises(StoreError, match=r"cannot write to .*; free some space"):
        store.write("candidates", "k", DATA, FACTS)
    assert list((store.folder / "candidates").iterdir()) == []


def parts_until_death():
    """The first part of a table, and then the end of the process."""
    yield DATA
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_writing(folder):
    Store(folder).write("candidates", "k", parts_until_death(), FACTS)


def test_a_writer_killed_half_way_leaves_no_table_and_its_remains_are_cleared_in_time(store):
    process = multiprocessing.get_context("spawn").Process(target=die_while_writing, args=(store.folder,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert store.manifest("candidates", "k") is None
    [remains] = (store.folder / "candidates").iterdir()
    store.prepare()
    assert remains.exists()  # it might belong to a run that is alive
    os.utime(remains, (0, 0))
    store.prepare()
    assert not remains.exists()
    store.write("candidates", "k", DATA, FACTS)
    assert list(store.faults()) == []


def damage(path, *, at=None, cut=None):
    content = bytearray(path.read_bytes())
    if cut is not None:
        content = content[:cut]
    else:
        content[at] ^= 0xFF
    path.write_bytes(bytes(content))


def test_a_cut_off_file_is_noticed_at_once(store):
    store.write("candidates", "k", DATA, FACTS)
    damage(only_file(store), cut=100)
    with pytest.raises(StoreError, match=r"size has changed.*delete .*candidates/k and run again"):
        store.manifest("candidates", "k")


@pytest.mark.parametrize("at", [3, 8, 60, -30, -1])
def test_a_changed_byte_is_noticed(store, at):
    store.write("candidates", "k", DATA, FACTS)
    damage(only_file(store), at=at)
    [fault] = store.faults()
    assert "candidates/k and run again: only that is made again" in fault


def test_a_damaged_page_is_not_read(store):
    store.write("candidates", "k", DATA, FACTS)
    damage(only_file(store), at=60)
    with pytest.raises(StoreError, match="is damaged"):
        store.read("candidates", "k")


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"rows": 2}), json.dumps(FACTS | {"rows": 2})])
def test_a_damaged_manifest_is_noticed(store, text):
    store.write("candidates", "k", DATA, FACTS)
    (store.path("candidates", "k") / "manifest.json").write_text(text)
    with pytest.raises(StoreError, match="is damaged"):
        store.manifest("candidates", "k")


def test_a_missing_file_is_noticed(store):
    store.write("candidates", "k", DATA, FACTS)
    only_file(store).unlink()
    with pytest.raises(StoreError, match="is missing"):
        store.manifest("candidates", "k")


def test_a_manifest_that_lists_another_file_is_noticed(store):
    store.write("candidates", "k", DATA, FACTS)
    file = store.path("candidates", "k") / "manifest.json"
    file.write_text(file.read_text().replace("part-00000", "part-00001"))
    with pytest.raises(StoreError, match="part-00001.parquet is missing"):
        store.manifest("candidates", "k")


KEPT = pa.table(
    {
        "key": ["k", "l"],
        "similarity": [0.5, 0.6],
        "mat_similarity": pa.array([None, 0.5], pa.float64()),
        "p": [0.1, 0.2],
        "q": [0.1, 0.2],
        "way": ["chance", "chance"],
    },
    schema=tables.TABLES["candidates"].kept,
)


def test_kept_rows_are_read_back_whoever_kept_them(store):
    assert len(store.kept("candidates", "own")) == 0
    assert store.kept("candidates", "own").schema.equals(KEPT.schema)
    store.keep("candidates", "own", KEPT.slice(0, 1))
    store.keep("candidates", "own", KEPT.slice(1))
    store.keep("candidates", "other", KEPT)
    assert store.kept("candidates", "own").sort_by("key").equals(KEPT)


def test_a_damaged_file_of_kept_rows_is_reported_and_left_out(store, capsys):
    store.keep("candidates", "own", KEPT)
    [path] = (store.folder / "candidates/kept/own").glob("*.parquet")
    damage(path, cut=200)
    assert len(list(store.faults())) == 1
    assert len(store.kept("candidates", "own")) == 0
    assert "is damaged" in capsys.readouterr().err
    assert list(store.faults()) == []  # it was set aside
    assert path.with_suffix(".damaged").is_file()


def test_kept_rows_with_a_changed_byte_are_never_read_as_others(store):
    store.keep("candidates", "own", KEPT)
    [path] = (store.folder / "candidates/kept/own").glob("*.parquet")
    whole = path.read_bytes()
    noticed, places = 0, range(0, len(whole), 3)
    for at in places:
        damage(path, at=at)
        found = store.kept("candidates", "own")
        assert len(found) == 0 or found.equals(KEPT)
        noticed += len(found) == 0
        path.write_bytes(whole)
    assert noticed > len(places) / 4


def test_a_folder_that_is_not_a_tables_is_a_fault(store):
    (store.folder / "odd" / "k").mkdir(parents=True)
    [fault] = store.faults()
    assert "no such table" in fault
