"""The key and the server of the environment: what is refused, and the one name that a server has."""

import pytest
from servers.chat import KEY

from pipeline.errors import UserError
from pipeline.generation.chat import OPENAI, Describer, server

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
MESSAGES = [dict(role="system", content="Say what."), dict(role="user", content='{"phrases": ["a⟦ b⟧"]}')]


@pytest.mark.parametrize("key", ["sk-one\ntwo", "sk-ä", "sk-1 2"])
def test_a_key_that_is_not_valid_is_refused_and_not_shown(monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY holds characters") as caught:
        Describer("small")
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["localhost:8808", "http://[::1", "http://a:b:c/v1", "ftp://h", "http://u:p@h/v1", "http://h\nx"],
)
def test_an_address_that_is_not_valid_is_refused(monkeypatch, address):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    with pytest.raises(UserError, match="OPENAI_BASE_URL"):
        Describer("small")
    monkeypatch.setenv("OPENAI_BASE_URL", " ")
    assert server() == OPENAI


@pytest.mark.parametrize(
    ("spellings", "name"),
    [
        (
            [
                "http://127.0.0.1:8811/v1",
                "http://127.0.0.1:8811/v1/",
                "http://localhost:8811/v1",
                "HTTP://LOCALHOST:8811//v1//",
                "http://localhost.:8811/v1",
                "http://[::1]:8811/v1",
                "http://0.0.0.0:8811/v1",
                "http://127.0.0.2:8811/v1",
                " http://127.0.0.1:08811/v1 ",
            ],
            "http://127.0.0.1:8811/v1",
        ),
        (
            ["https://a.example/v1", "https://A.example:443/v1/", "https://a.example./v1"],
            "https://a.example/v1",
        ),
        (["http://a.example", "http://a.example:80/", "http://A.EXAMPLE:"], "http://a.example"),
        (["https://api.openai.com/v1/", "https://API.openai.com:443/v1"], OPENAI),
        (["http://[FE80::1]:80/V1"], "http://[fe80::1]/V1"),
    ],
)
def test_a_server_has_one_name_however_it_is_spelt(monkeypatch, spellings, name):
    for spelling in spellings:
        monkeypatch.setenv("OPENAI_BASE_URL", spelling)
        assert server() == name


def test_other_servers_have_other_names(monkeypatch):
    given = [
        "http://a:1/v1",
        "http://a:2/v1",
        "https://a:1/v1",
        "http://b:1/v1",
        "http://a:1/v2",
        "http://a:1/V1",
    ]
    names = set()
    for address in given:
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        names.add(server())
    assert len(names) == len(given)


def test_the_address_is_asked_as_it_was_given(chat, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", chat.address.replace("127.0.0.1", "localhost") + "/")
    assert Describer("small").ask(MESSAGES, 9).status == "ok"


def test_a_key_in_the_address_is_refused_and_not_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for address in (
        f"http://h/{KEY}/v1",
        f"http://{KEY}/v1",
        f"ftp://u:{KEY}@h",
        f"http://h:{KEY}",
        f"http://h/v1?k={KEY}",
    ):
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        with pytest.raises(UserError, match="OPENAI_BASE_URL") as caught:
            Describer("small")
        assert KEY not in str(caught.value)
