"""Folders that people name: replaced as a whole, or not touched."""

import pytest

from pipeline.errors import StoreError, UserError
from pipeline.results import folders

OURS = folders.is_a("thing")


def write(folder, text, **how):
    with folders.replaced(folder, OURS, **how) as new:
        (new / "text").write_text(text)
        folders.mark(new, "thing")


def test_what_was_written_here_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    write(tmp_path / "a", "one")
    write(tmp_path / "a", "two")
    assert (tmp_path / "a/text").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("mark", [None, "{", "[]", '{"kind": "other"}'])
def test_anything_else_is_refused(tmp_path, mark):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/mine").write_text("x")
    if mark:
        (tmp_path / "a/feature-neurons.json").write_text(mark)
    with pytest.raises(UserError, match="holds something else"):
        write(tmp_path / "a", "one")
    assert (tmp_path / "a/mine").read_text() == "x"


def test_a_folder_that_appeared_in_the_meantime_stays(tmp_path):
    replacing = folders.replaced(tmp_path / "a", OURS)
    with pytest.raises(UserError, match="holds something else"), replacing as new:
        (new / "text").write_text("x")
        (tmp_path / "a").mkdir()
        (tmp_path / "a/mine").write_text("mine")
    assert (tmp_path / "a/mine").read_text() == "mine"


@pytest.mark.parametrize("at", [1, 2])
def test_an_interrupted_replacement_leaves_what_was_there(tmp_path, at):
    write(tmp_path / "a", "one")
    done = []

    def interrupted(path, target):
        done.append(path)
        if len(done) == at:
            raise KeyboardInterrupt
        return path.rename(target)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a", "two", rename=interrupted)
    assert (tmp_path / "a/text").read_text() == "one"


def test_a_link_to_itself_and_a_file_in_the_way_are_refused(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((UserError, StoreError)):
        write(tmp_path / "loop", "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        write(tmp_path / "file", "x")
