"""Folders that people name: replaced as a whole, or not touched."""

import pytest

from pipeline import folders
from pipeline.errors import StoreError, UserError

OURS = folders.is_a("thing")


def write(folder, text):
    with folders.replaced(folder, OURS) as new:
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


def test_a_folder_that_came_to_be_meanwhile_stays(tmp_path):
    meanwhile = folders.replaced(tmp_path / "a", OURS)
    with pytest.raises(UserError, match="holds something else"), meanwhile as new:
        (new / "text").write_text("x")
        (tmp_path / "a").mkdir()
        (tmp_path / "a/mine").write_text("mine")
    assert (tmp_path / "a/mine").read_text() == "mine"


@pytest.mark.parametrize("at", [1, 2])
def test_whatever_ends_it_early_leaves_what_was_there(tmp_path, monkeypatch, at):
    write(tmp_path / "a", "one")
    rename, done = type(tmp_path).rename, []

    def interrupted(self, target):
        done.append(self)
        if len(done) == at:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "a", "two")
    assert (tmp_path / "a/text").read_text() == "one"


def test_a_link_to_itself_and_a_file_in_the_way_are_said_in_a_line(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((UserError, StoreError)):
        write(tmp_path / "loop", "x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="holds something else"):
        write(tmp_path / "file", "x")
