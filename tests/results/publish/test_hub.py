"""Publishing with the Hub's real client to a server of our own on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, tables_of
from servers.hub import READER, TOKEN, Repository, break_off, refuse

from pipeline.cli import main
from pipeline.errors import HubError, UserError
from pipeline.results.publish import dataset, hub

pytestmark = [
    pytest.mark.block_network(allowed_hosts=["127.0.0.1"]),
    pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning"),  # huggingface_hub's own
]
REPO = "ada/neurons"

LOAD = """
import sys
from datasets import load_dataset
repo, tag, folder, *names = sys.argv[1:]
for name in names:
    rows = load_dataset(repo, name, split="train", revision=tag, cache_dir=f"{folder}/cache")
    rows.to_parquet(f"{folder}/{name}.parquet")
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """The Hub's client waits between tries for as long as it thinks fit: here it does not."""
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "dataset"
    return dataset.write(small, tables_of(small), folder, REPO)


@pytest.fixture
def made(whole, tmp_path):
    """A data set of three tables, to change as one likes."""
    folder = tmp_path / "dataset"
    for name in ("README.md", "feature-neurons.json", "neurons.sql"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(whole.folder / name, folder / name)
    for name in ("candidates", "averages", "feature_neurons"):
        shutil.copytree(whole.folder / name, folder / name)
    return with_files(whole, folder)


def with_files(before, folder, tag=None):
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
    return dataset.Dataset(folder, tag or before.tag, files)


def publish(made, repo=REPO, *, public=False):
    return hub.publish(made.folder, list(made.files), made.tag, repo, public=public)


def test_everything_is_there_and_private_and_tagged(hub_server, made):
    found = publish(made)
    there = hub_server.repositories[REPO]
    assert sorted(found.sent) == sorted(made.files)
    assert there.private and len(there.commits) == 2
    assert there.tags == {made.tag: 1}
    for name in made.files:
        assert there.commits[-1][name] == (made.folder / name).read_bytes(), name


def test_the_same_content_again_makes_no_commit(hub_server, made):
    publish(made)
    found = publish(made)
    assert not found.changed
    assert len(hub_server.repositories[REPO].commits) == 2
    assert hub_server.asked("/commit/") == 1


def test_only_what_changed_is_sent_and_stale_shards_go(hub_server, made):
    old = made.folder / "averages/train-00000-of-00001.parquet"
    for i in range(2):
        shutil.copyfile(old, made.folder / f"averages/train-{i:05}-of-00002.parquet")
    old.unlink()
    publish(with_files(made, made.folder))
    hub_server.repositories[REPO].commits[-1]["notes/mine.md"] = b"put there by hand"
    for i in range(2):
        (made.folder / f"averages/train-{i:05}-of-00002.parquet").unlink()
    pq.write_table(pa.table({"x": [1]}), old)
    found = publish(with_files(made, made.folder, "v9"))
    assert found.sent == ("averages/train-00000-of-00001.parquet",)
    assert len(found.deleted) == 2
    there = hub_server.repositories[REPO]
    assert there.commits[-1].keys() == {*made.files, "notes/mine.md", ".gitattributes"}
    assert there.tags == {made.tag: 1, "v9": 2}


def test_what_came_back_from_the_hub_equals_the_folder(hub_server, whole, small_tables, tmp_path):
    publish(whole, public=True)
    names = ("feature_neurons", "vectors", "samples")
    subprocess.run(
        [sys.executable, "-c", LOAD, REPO, whole.tag, tmp_path, *names],
        check=True,
        capture_output=True,
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
    )
    for name in names:
        expected = small_tables[name]
        assert pq.read_table(tmp_path / f"{name}.parquet").cast(expected.schema).equals(expected), name
        local = pq.read_table(whole.folder / name)
        assert local.cast(expected.schema).equals(expected), name


def test_public_is_what_was_asked_for_and_nothing_else(hub_server, made):
    publish(made)
    assert publish(made, public=True).public
    assert not hub_server.repositories[REPO].private
    with pytest.raises(UserError, match="can be seen by everybody; say PUBLIC=1"):
        publish(made)
    assert publish(made, public=True).address == f"{hub_server.address}/datasets/{REPO}"
    publish(made, "guild/open", public=True)
    assert not hub_server.repositories["guild/open"].private


def test_what_is_not_ours_is_left_alone(hub_server, made):
    mine = Repository(True, [{"README.md": b"mine", "data/train-00000-of-00001.parquet": b"PAR1"}])
    hub_server.repositories[REPO] = mine
    with pytest.raises(UserError, match="ada/neurons holds something else; give another name"):
        publish(made)
    assert len(mine.commits) == 1


@pytest.mark.parametrize("part", ["/lfs/", "/commit/", "/tag/", "/preupload/", "/tree/", "repos/create"])
def test_a_connection_lost_midway_is_told_and_the_next_try_completes(hub_server, made, part):
    hub_server.faults = [(part, break_off)] * 30
    with pytest.raises(HubError, match=r"connection with the Hub was lost .*the same command again"):
        publish(made)
    hub_server.faults.clear()
    publish(made)
    there = hub_server.repositories[REPO]
    assert there.tags == {made.tag: 1}
    assert len(there.commits) == 2
    assert there.commits[1].keys() >= made.files.keys()


def test_a_server_error_and_somebody_elses_commit_are_told(hub_server, made):
    hub_server.faults = [("/commit/", refuse(500, "we are on fire"))] * 30
    with pytest.raises(HubError, match="HTTP 500: we are on fire.*the same command again"):
        publish(made)
    hub_server.faults = [("/commit/", refuse(412, "A commit has happened since"))]
    with pytest.raises(HubError, match="changed by somebody else in the meantime"):
        publish(made)


def test_nobody_publishes_without_a_token(hub_server, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match=r"no token for the Hub.*HF_TOKEN.*hf auth login"):
        hub.sign_in(REPO)
    assert hub_server.log == []


@pytest.mark.parametrize(
    ("token", "repo", "told"),
    [
        ("hf_gone", REPO, "does not know this token"),
        (READER, REPO, "may only read"),
        (TOKEN, "bob/neurons", r"may not write to 'bob'; yours: REPO=ada/\.\.\., REPO=guild/"),
        (TOKEN, "nobody/neurons", "no user or organisation 'nobody'; yours: REPO=ada/"),
    ],
)
def test_who_may_not_is_told_at_once(hub_server, monkeypatch, token, repo, told):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises((UserError, HubError), match=told) as caught:
        hub.sign_in(repo)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("HF_TOKEN", "hf_ü", "characters that no token has"), ("HF_ENDPOINT", "nonsense", "is 'nonsense'")],
)
def test_an_odd_environment_is_told(hub_server, monkeypatch, name, value, told):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=told):
        hub.sign_in(REPO)


def test_a_token_without_rights_is_told(hub_server, made, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(HubError, match=r"may not write to ada/neurons \(HTTP 403"):
        publish(made)


@pytest.mark.parametrize(
    "odd",
    ["neurons", "ada/", "/x", "a/b/c", "ada/ne urons", "../x", "ada/..", "a/b.git", "ada/-x", "ada/x\n"],
)
def test_odd_names_are_refused_before_anything_is_asked(odd):
    with pytest.raises(UserError, match="REPO is"):
        hub.check(odd)


@pytest.mark.parametrize("good", ["ada/neurons", "a/b", "My-Org/solu-8l_pile.v2"])
def test_good_names_pass(good):
    hub.check(good)


def test_a_dry_run_writes_the_folder_lists_it_and_sends_nothing(hub_server, small, tmp_path, capsys):
    args = ["publish", REPO, str(tmp_path / "set"), "--dry-run", *given(small)]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert hub_server.log == []
    for path in (tmp_path / "set").rglob("*.*"):
        if path.is_file():
            name = path.relative_to(tmp_path / "set").as_posix()
            assert f"{path.stat().st_size:>13,}  {name}\n" in out
    assert f"nothing was sent; without DRY_RUN this goes to {REPO}, for you alone" in out


def test_the_command_publishes_and_says_where(hub_server, small, tmp_path, capsys):
    assert main(["publish", REPO, str(tmp_path / "set"), *given(small)]) == 0
    assert f"private: {hub_server.address}/datasets/{REPO}" in capsys.readouterr().out
    assert main(["publish", REPO, str(tmp_path / "set"), *given(small)]) == 0
    assert "nothing new; private" in capsys.readouterr().out
    assert len(hub_server.repositories[REPO].commits) == 2


def test_without_a_token_the_command_ends_before_any_work(tmp_path, capsys):
    assert "HF_TOKEN" not in os.environ
    assert main(["publish", REPO, "--data", str(tmp_path / "new")]) == 2
    assert capsys.readouterr().err.startswith("error: there is no token for the Hub")
    assert not (tmp_path / "new").exists()


def test_make_wants_a_name():
    done = subprocess.run(
        ["make", "--dry-run", "publish"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "REPO is missing: make publish REPO=user/name" in done.stdout


def given(config):
    """The options of the small run."""
    names = ("source", "text", "data", "signs", "neurons", "similarity", "activation", "synonyms")
    return [part for name in names for part in (f"--{name}", str(getattr(config, name)))]


def test_the_mark_is_json(whole):
    assert json.loads((whole.folder / "feature-neurons.json").read_text())["kind"] == "dataset"


def test_the_server_can_be_tried_by_hand():
    with subprocess.Popen(
        [sys.executable, ROOT / "tests/servers/hub.py", "0"], stderr=subprocess.PIPE, text=True
    ) as served:
        told = served.stderr.readline()
        served.terminate()
    assert re.match(rf"HF_ENDPOINT=http://127\.0\.0\.1:\d+ HF_TOKEN={TOKEN} ", told)
