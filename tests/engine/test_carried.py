"""Files reach another machine by content: once, whole, and not at all where the disk is shared."""

import os
import pickle
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import Config
from pipeline.engine import carried
from pipeline.engine.stage import Inputs, Stage
from pipeline.errors import PipelineError, UndeclaredError


class Disk:
    """The driver's disk, which counts what is read from it."""

    def __init__(self):
        self.read = []

    def digest(self, path):
        return carried.digest(path)

    def chunks(self, path, size):
        self.read.append(path.name)
        for start in range(0, size, carried.CHUNK):
            yield carried.chunk(path, start)


@pytest.fixture
def model(tmp_path):
    """A folder with a file in a folder, one that is empty and one that is hidden."""
    folder = tmp_path / "driver/model"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/weights").write_bytes(b"w" + os.urandom(carried.CHUNK + 4))
    (folder / "empty").touch()
    (folder / ".hidden").write_text("no")
    return folder


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def node(tmp_path, disk):
    """What is kept on another machine."""
    return carried.Kept(disk, tmp_path / "node", shared=False)


def contents(folder):
    return {
        each.relative_to(folder).as_posix(): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }


def test_a_folder_is_brought_whole_under_its_own_name_and_without_hidden_files(model, node):
    there = node.path(carried.carried(model))
    right = contents(model)
    del right[".hidden"]
    assert contents(there) == right
    assert there.name == "model"


def test_a_file_is_brought_under_its_own_name(model, node):
    there = node.path(carried.carried(model / "sub/weights"))
    assert there.name == "weights"
    assert there.read_bytes() == (model / "sub/weights").read_bytes()


def test_a_link_is_followed_and_its_target_gives_the_name(model, node, tmp_path):
    (tmp_path / "link").symlink_to(model)
    assert node.path(carried.carried(tmp_path / "link")).name == "model"


def test_content_that_is_kept_is_not_brought_again_wherever_it_lay(model, disk, node, tmp_path):
    first = node.path(carried.carried(model))
    (tmp_path / "other").mkdir()
    model.rename(tmp_path / "other/model")
    again = carried.Kept(disk, tmp_path / "node", shared=False)
    assert again.path(carried.carried(tmp_path / "other/model")) == first
    assert sorted(disk.read) == ["empty", "weights"]


@pytest.mark.parametrize("change", ["content", "name"])
def test_other_content_is_kept_beside_the_first(model, node, change):
    first = node.path(carried.carried(model))
    if change == "content":
        (model / "empty").write_text("no more")
    else:
        (model / "empty").rename(model / "another")
    second = node.path(carried.carried(model))
    assert first != second
    assert contents(second) == {k: v for k, v in contents(model).items() if k != ".hidden"}


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_kept_content_that_was_damaged_is_brought_again(model, disk, node, tmp_path, damage):
    there = node.path(carried.carried(model)) / "sub/weights"
    there.unlink() if damage == "gone" else os.truncate(there, 7)
    carried.Kept(disk, tmp_path / "node", shared=False).path(carried.carried(model))
    assert there.read_bytes() == (model / "sub/weights").read_bytes()


def test_where_the_disk_is_shared_nothing_is_copied(model, disk, tmp_path):
    node = carried.Kept(disk, tmp_path / "node")
    assert node.path(carried.carried(model)) == model
    assert disk.read == []
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize("change", ["other bytes", "other time", "another size", "gone"])
def test_another_file_at_the_same_path_is_not_taken_for_the_drivers(model, tmp_path, change):
    file = model / "sub/weights"
    wanted = carried.carried(model)
    before, right = file.stat(), file.read_bytes()
    if change == "gone":
        file.unlink()
    elif change == "other time":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    else:
        file.write_bytes(b"x" + right[1:] if change == "other bytes" else right[:-1])
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not wanted.is_at(model)


def test_a_file_that_changes_while_it_is_read_is_refused_and_not_kept(model, tmp_path):
    class Changing(Disk):
        def chunks(self, path, size):
            yield os.urandom(size)

    node = carried.Kept(Changing(), tmp_path / "node", shared=False)
    with pytest.raises(PipelineError, match=r"sub/weights has changed while it was read; run again"):
        node.path(carried.carried(model))
    assert [each for each in (tmp_path / "node").iterdir() if each.is_dir()] == []


def test_what_is_long_unused_goes_when_something_else_comes(model, node, tmp_path):
    old = node.path(carried.carried(model / "empty"))
    used = node.path(carried.carried(model / ".hidden"))
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(old.parent, (long_ago, long_ago))
    node.path(carried.carried(model))
    assert not old.exists()
    assert used.exists()


def test_no_place_on_the_node_is_told_in_a_line(model, disk, tmp_path):
    (tmp_path / "node").write_text("a file")
    with pytest.raises(PipelineError, match=r"model cannot be kept on .*, in .*node: .*; make room there"):
        carried.Kept(disk, tmp_path / "node", shared=False).path(carried.carried(model))


def sent(value, kept):
    """A value as another machine gets it."""
    return carried.restored(pickle.loads(pickle.dumps(carried.reference(value))), kept)


def test_settings_name_what_lies_on_the_node_and_are_guarded_as_before(model, node, tmp_path):
    config = Config(model=str(model), text=str(model / "sub/weights.txt"), data=str(tmp_path), seed=7)
    (model / "sub/weights").rename(model / "sub/weights.txt")
    names = ("model", "weights", "text", "fasttext", "exact_tokens", "seed")
    there = sent(Stage("m", "110", "words", settings=names).handed(config), node)
    assert there.model_folder.is_relative_to(tmp_path / "node")
    assert (there.model_name, there.text_name, there.seed) == ("model", "weights.txt", 7)
    assert (there.fasttext, there.exact_tokens) == ("train", None)
    with pytest.raises(UndeclaredError, match="stage words reads the setting layer"):
        _ = there.layer


def test_the_embedded_model_and_text_are_the_nodes_own(node, disk):
    there = sent(Stage("m", "110", "words", settings=("model", "weights", "text")).handed(Config()), node)
    assert (there.model, there.text) == ("demo", "demo")
    assert disk.read == []


def test_a_table_is_brought_when_it_is_read_and_only_if_it_is_declared(node, disk, tmp_path):
    for name in ("maps", "words"):
        pq.write_table(pa.table({name: [1, 2]}), tmp_path / f"{name}.parquet")
    files = {name: tmp_path / f"{name}.parquet" for name in ("maps", "words")}
    there = sent(Inputs(files, "vectors", tmp_path / "unfinished"), node)
    assert disk.read == []
    assert there.unfinished is None
    assert len(there.rows("maps")) == 2
    assert disk.read == ["maps.parquet"]
    with pytest.raises(UndeclaredError, match="stage vectors reads the table samples"):
        there.file("samples")


@pytest.mark.parametrize("value", ["a text", 3, None, {"model": "x"}, Config()])
def test_nothing_else_is_replaced(value):
    assert carried.reference(value) is None
