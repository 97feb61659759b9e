"""Publishing replayed from recordings of the tests' own hub (`make record`)."""

import shutil

import pytest
from conftest import ROOT
from servers import recorded
from servers.hub import READER, TOKEN, HubServer

from pipeline.errors import HubError, UserError
from pipeline.results.publish import hub
from pipeline.results.publish.dataset import Dataset

CASSETTES = ROOT / "cassettes/hub"
ADDRESS = "http://hub.example"
HEADERS = ("content-type", "x-error-message", "x-error-code")
REPO = "ada/neurons"
CARD = "---\nconfigs:\n- config_name: candidates\n---\n# A data set of the tests\n"

pytestmark = [
    pytest.mark.block_network(allowed_hosts=["127.0.0.1"]),
    pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning"),  # huggingface_hub's own
]


@pytest.fixture(scope="module")
def vcr_config():
    return recorded.settings(ADDRESS, HEADERS)


@pytest.fixture(scope="module")
def vcr_cassette_dir():
    return str(CASSETTES)


@pytest.fixture(autouse=True)
def server(monkeypatch, record_mode):
    """The address of the recordings; while recording, the hub behind it."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    if record_mode == "none":
        monkeypatch.setenv("HF_ENDPOINT", ADDRESS)
        yield
        return
    found = HubServer()
    monkeypatch.setenv("HF_ENDPOINT", found.address)
    yield
    found.close()


@pytest.fixture
def made(tmp_path):
    """A data set whose bytes never change: its Parquet file lies beside the recordings."""
    (tmp_path / "candidates").mkdir()
    shutil.copyfile(CASSETTES / "candidates.parquet", tmp_path / "candidates/train-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "feature-neurons.json").write_text('{"kind": "dataset"}\n')
    names = ("README.md", "candidates/train-00000-of-00001.parquet", "feature-neurons.json")
    return Dataset(tmp_path, "v0.0.0-recorded", {name: (tmp_path / name).stat().st_size for name in names})


def publish(made):
    return hub.publish(made.folder, list(made.files), made.tag, REPO, public=False)


@pytest.mark.vcr
def test_a_data_set_is_published_then_nothing_is_new(made):
    hub.sign_in(REPO)
    found = publish(made)
    assert sorted(found.sent) == sorted(made.files)
    assert not found.public
    assert not publish(made).changed


@pytest.mark.vcr
@pytest.mark.parametrize(
    ("repo", "told"),
    [("bob/neurons", "may not write to 'bob'"), ("nobody/neurons", "no user or org")],
    ids=["not_mine", "no_such_user"],
)
def test_who_may_not_is_told(repo, told):
    with pytest.raises(UserError, match=told):
        hub.sign_in(repo)


@pytest.mark.vcr
def test_no_rights_are_told(made, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    with pytest.raises(UserError, match="may only read"):
        hub.sign_in(REPO)
    with pytest.raises(HubError, match="may not write"):
        publish(made)


@pytest.mark.vcr
def test_an_unknown_token_is_told(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_gone")
    with pytest.raises(HubError, match="does not know this token"):
        hub.sign_in(REPO)


def test_the_recordings_hold_no_token_and_no_other_host():
    found = sorted(CASSETTES.glob("*.yaml"))
    assert len(found) == 5
    for path in found:
        recorded.check(path.read_text(), ADDRESS, HEADERS)
