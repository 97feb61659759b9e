"""The store holds whole tables or none."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time

import pandas as pd
import pyarrow as pa
import pytest
from conftest import CANDIDATE, no_file_grows, rows

from pipeline import tables
from pipeline.errors import DamagedError, StoreError, TableError
from pipeline.tables import disk
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
    with pytest.raises(DamagedError, match="checksum has changed"):
        store.verified("candidates", "k")
    with pytest.raises(StoreError, match="no table at"):
        store.verified("candidates", "other")


def test_a_second_writer_of_the_same_table_does_no_harm(store):
    store.write("candidates", "k", DATA, FACTS)
    store.write("candidates", "k", DATA, FACTS)
    assert sorted(p.name for p in (store.folder / "candidates").iterdir()) == ["k", "k.json"]


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


def test_what_there_is_of_a_table_goes_when_it_is_made_or_after_thirty_days(store):
    made, forgotten, other = (store.unfinished("candidates", key) for key in ("k", "old", "other"))
    for folder in (made, forgotten, other):
        folder.mkdir(parents=True)
        (folder / "rows").touch()
    month_s = 30 * 24 * 3600
    for folder, age_s in ((forgotten, month_s + 3600), (other, month_s - 3600)):
        os.utime(folder, (time.time() - age_s,) * 2)
    store.prepare()
    assert (made.exists(), forgotten.exists(), other.exists()) == (True, False, True)
    store.write("candidates", "k", DATA, FACTS)
    assert (made.exists(), other.exists()) == (False, True)
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
    with pytest.raises(DamagedError, match="size has changed"):
        store.manifest("candidates", "k")


@pytest.mark.parametrize("at", [3, 8, 60, -30, -1])
def test_a_changed_byte_is_noticed(store, at):
    store.write("candidates", "k", DATA, FACTS)
    damage(only_file(store), at=at)
    [fault] = store.faults()
    assert "candidates/k/part-00000.parquet is damaged (its checksum has changed)" in fault
    with pytest.raises(DamagedError, match="checksum has changed"):
        store.read("candidates", "k")


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"rows": 2}), json.dumps(FACTS | {"rows": 2})])
def test_a_damaged_manifest_is_noticed(store, text):
    store.write("candidates", "k", DATA, FACTS)
    store.manifest_path("candidates", "k").write_text(text)
    with pytest.raises(DamagedError, match="is damaged"):
        store.manifest("candidates", "k")


def test_a_missing_file_is_noticed(store):
    store.write("candidates", "k", DATA, FACTS)
    only_file(store).unlink()
    with pytest.raises(DamagedError, match="is missing"):
        store.manifest("candidates", "k")


def test_a_manifest_that_lists_another_file_is_noticed(store):
    store.write("candidates", "k", DATA, FACTS)
    file = store.manifest_path("candidates", "k")
    file.write_text(file.read_text().replace("part-00000", "part-00001"))
    with pytest.raises(DamagedError, match=r"part-00001.parquet is damaged \(it is missing"):
        store.manifest("candidates", "k")


HARM = {
    "cut": lambda store: damage(only_file(store), cut=100),
    "changed": lambda store: damage(only_file(store), at=60),
    "missing": lambda store: only_file(store).unlink(),
    "no folder": lambda store: shutil.rmtree(store.path("candidates", "k")),
    "empty manifest": lambda store: store.manifest_path("candidates", "k").write_text(""),
    "manifest of another form": lambda store: store.manifest_path("candidates", "k").write_text("[1]"),
    "manifest that is no text": lambda store: store.manifest_path("candidates", "k").write_bytes(b"\xff"),
}


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM)
def test_what_is_damaged_is_set_aside_and_can_be_written_again(store, harm):
    store.write("candidates", "k", DATA, FACTS)
    assert store.set_aside("candidates", "k") is None
    for _ in range(2):  # the second time something lies there already
        harm(store)
        assert "is damaged" in store.set_aside("candidates", "k")
        assert store.manifest("candidates", "k") is None
        assert list(store.faults()) == []
        store.write("candidates", "k", DATA, FACTS)
        assert store.read("candidates", "k").equals(DATA)
    assert (store.folder / "candidates/k.damaged").is_dir()


@pytest.mark.parametrize("harm", [HARM["cut"], HARM["empty manifest"]])
def test_a_writer_replaces_what_is_damaged(store, harm):
    store.write("candidates", "k", DATA, FACTS)
    harm(store)
    store.write("candidates", "k", DATA, FACTS)
    assert store.read("candidates", "k").equals(DATA)


def test_a_table_is_there_once_its_manifest_is(store):
    store.write("candidates", "k", DATA, FACTS)
    store.manifest_path("candidates", "k").unlink()  # as a run that dies just before leaves it
    assert store.manifest("candidates", "k") is None
    [fault] = store.faults()
    assert "candidates/k has no manifest beside it" in fault
    store.write("candidates", "k", DATA, FACTS)
    assert list(store.faults()) == []


def test_a_file_that_the_machine_does_not_give_is_not_called_damaged(store):
    store.write("candidates", "k", DATA, FACTS)
    shutil.rmtree(store.path("candidates", "k"))
    store.path("candidates", "k").symlink_to("k")  # leads nowhere: an error of the system, not of a reader
    for look in (store.manifest, store.read, store.set_aside):
        with pytest.raises(StoreError, match="cannot (read|write)") as found:
            look("candidates", "k")
        assert not isinstance(found.value, DamagedError)


def replace_often(folder):
    """Replace an unfinished table by others of another size, for a second."""
    store, end = Store(folder), time.monotonic() + 1
    while time.monotonic() < end:
        for n in (1, 2):
            store.write("candidates", "k", DATA.slice(0, n), FACTS | {"unfinished": True})


def test_a_reader_sees_whole_tables_while_another_run_replaces_them(store):
    store.write("candidates", "k", DATA, FACTS | {"unfinished": True})
    process = multiprocessing.get_context("spawn").Process(target=replace_often, args=(store.folder,))
    process.start()
    seen = set()
    while process.is_alive():
        store.manifest("candidates", "k")
        store.verified("candidates", "k")
        seen.add(store.set_aside("candidates", "k"))
    assert process.exitcode == 0
    assert seen == {None}


def calls_of_the_system(work):
    """The functions of `os` that bring something to the disk or move it, in the order of their calls."""
    known, called = {os.fsync: "sync", os.replace: "move", os.rename: "move"}, []

    def note(frame, event, function):
        if event == "c_call" and function in known:
            called.append(known[function])

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return called


@pytest.mark.parametrize(
    "work",
    [
        lambda store: store.write("candidates", "k", DATA, FACTS),
        lambda store: store.keep("candidates", "answers", KEPT),
        lambda store: disk.put(store.folder / ".lock", store.folder / "other"),
    ],
    ids=["a table", "kept rows", "any file"],
)
def test_what_is_moved_to_its_place_is_on_the_disk_before_and_its_folder_after(store, work):
    store.write("candidates", "other", DATA, FACTS)
    called = calls_of_the_system(lambda: work(store))
    moves = [place for place, name in enumerate(called) if name == "move"]
    assert moves
    for place in moves:
        assert called[place - 1 : place + 2] == ["sync", "move", "sync"]


def test_other_programs_read_the_folder_of_a_table(store):
    from datasets import load_dataset  # not in the processes above

    store.write("candidates", "k", DATA, FACTS)
    folder = store.path("candidates", "k")
    assert [path.name for path in folder.iterdir()] == ["part-00000.parquet"]
    assert pd.read_parquet(folder).neuron.tolist() == [0, 1]
    assert load_dataset(str(folder), split="train")["neuron"][:] == [0, 1]


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
