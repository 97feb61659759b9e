"""Proxies and certificates that cannot be used are named before anything is asked."""

import ssl

import pytest
from servers.chat import body, completion
from servers.web import WebServer

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.generation.chat import Describer
from pipeline.samples.neuroscope import sites
from pipeline.web import environment
from pipeline.web.site import Manners, Web

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
VARIABLES = [
    *(f"{kind}_proxy" for kind in ("http", "https", "all", "no")),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSLKEYLOGFILE"),
]


@pytest.fixture
def given(monkeypatch):
    """Set variables of the environment, in which there are no others of this kind."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def given(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))

    return given


def fault(check, *args, **kwargs):
    """The message of a refusal, which is one line; None where nothing is refused."""
    try:
        check(*args, **kwargs)
    except UserError as exc:
        assert "\n" not in str(exc)
        return str(exc)
    return None


PROXIES = [
    ("socks5://127.0.0.1:1080", "names a socks5 proxy, which needs the package"),
    ("socks5h://user:secret@host", "names a socks5h proxy, which needs the package"),
    ("ftp://127.0.0.1", "unknown scheme 'ftp'"),
    ("quic://127.0.0.1:1", "unknown scheme 'quic'"),
    ("http://", "is no address of a proxy"),
    ("http://user:secret@host:port", "is no address of a proxy"),
    ("http://[::1", "is no address of a proxy"),
    ("http://a b", "is no address of a proxy"),
]


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize(("address", "told"), PROXIES)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(given, name, address, told):
    given(**{name: address})
    for message in (
        fault(environment.check_httpx),
        fault(environment.check_requests, "http://10.0.0.1/", direct=False),
        fault(environment.for_httpx, "http://10.0.0.1/v1"),
    ):
        assert message.startswith(name)
        assert told in message
        assert "secret" not in message


@pytest.mark.parametrize(
    "address", ["http://proxy:3128", "https://a:b@proxy", "proxy:3128", "http://[::1]:1"]
)
def test_a_proxy_that_can_be_used_is_not_refused(given, address):
    given(ALL_PROXY=address)
    assert fault(environment.check_httpx) is None
    assert fault(environment.check_requests, "http://10.0.0.1/", direct=False) is None
    assert environment.for_httpx("http://10.0.0.1/v1") == {}


def test_the_package_that_is_missing_is_the_one_of_the_library(given):
    given(ALL_PROXY="socks4://127.0.0.1")
    assert "PySocks" in fault(environment.check_requests, "http://a/", direct=False)
    assert "unknown scheme" in fault(environment.check_httpx)
    given(ALL_PROXY="socks5://127.0.0.1")
    assert "socksio" in fault(environment.check_httpx)


def test_only_the_proxy_that_is_used_counts(given):
    given(HTTPS_PROXY="socks5://127.0.0.1", HTTP_PROXY="http://proxy:1", ALL_PROXY="socks5://127.0.0.1")
    assert fault(environment.check_requests, "http://a/", direct=False) is None
    assert "HTTPS_PROXY" in fault(environment.check_requests, "https://a/", direct=False)
    given(https_proxy="")
    assert "ALL_PROXY" in fault(environment.check_requests, "https://a/", direct=False)


@pytest.mark.parametrize("excepted", ["127.0.0.1", "localhost,127.0.0.1", "127.0.0.1:8819", "*"])
def test_what_needs_no_proxy_is_asked_without_it(given, excepted):
    given(ALL_PROXY="socks5://127.0.0.1:1080", NO_PROXY=excepted)
    found = environment.for_httpx("http://127.0.0.1:8819/v1")
    if excepted == "*":  # then httpx2 looks at no proxy at all
        assert found == {}
    else:
        assert found.keys() == {"trust_env", "verify"}
        assert found["trust_env"] is False
        assert isinstance(found["verify"], ssl.SSLContext)
        assert "ALL_PROXY" in fault(environment.for_httpx, "http://10.0.0.1/v1")


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "long"])
@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("SSL_CERT_FILE", environment.check_httpx),
        ("REQUESTS_CA_BUNDLE", lambda: environment.check_requests("https://a/", direct=True)),
        ("CURL_CA_BUNDLE", lambda: environment.check_requests("https://a/", direct=True)),
    ],
)
def test_certificates_that_are_not_there_are_named(given, tmp_path, name, check, kind):
    path = tmp_path / "ca.pem"
    if kind == "long":
        path = tmp_path / ("x" * 5000)
    elif kind != "missing":
        path.write_text("no certificates" if kind == "text" else "")
    given(**{name: path})
    message = fault(check)
    assert message.startswith(f"{name}: ")
    assert str(path) in message
    assert "unset it" in message


def test_a_folder_of_certificates_has_to_be_there_and_a_key_log_writable(given, tmp_path):
    given(SSL_CERT_DIR=tmp_path / "nowhere")
    assert fault(environment.check_httpx).startswith("SSL_CERT_DIR: there is no folder ")
    given(SSL_CERT_DIR=f"{tmp_path / 'nowhere'}:{tmp_path}")
    assert fault(environment.check_httpx) is None
    given(SSL_CERT_FILE=tmp_path)
    assert fault(environment.check_httpx).startswith("SSL_CERT_FILE: there is no file ")
    given(SSL_CERT_FILE="", SSLKEYLOGFILE=tmp_path / "nowhere" / "keys")
    assert fault(environment.check_httpx).startswith("SSLKEYLOGFILE: cannot write ")


def test_a_site_without_tls_needs_no_certificates(given):
    given(REQUESTS_CA_BUNDLE="/nowhere.pem")
    assert fault(environment.check_requests, "http://a/", direct=True) is None


@pytest.mark.parametrize(
    ("address", "variables", "name"),
    [
        ("http://10.0.0.1/", {"ALL_PROXY": "socks5://127.0.0.1:1080"}, "ALL_PROXY"),
        ("https://10.0.0.1/", {"https_proxy": "ftp://127.0.0.1"}, "https_proxy"),
        ("https://10.0.0.1/", {"REQUESTS_CA_BUNDLE": "/nowhere.pem"}, "REQUESTS_CA_BUNDLE"),
    ],
)
def test_a_site_is_not_tried_again_and_again_where_a_variable_keeps_from_it(
    given, capsys, address, variables, name
):
    given(**variables)
    web = Web(address, Manners(1000, 1, timeout_s=1, tries=3, wait_s=0.01))
    message = fault(web.get, "index.html", lambda body: None, None, None)
    assert message.startswith(name)
    assert capsys.readouterr().err == ""


def test_a_proxy_that_a_site_does_not_need_does_not_keep_from_it(given):
    given(ALL_PROXY="socks5://127.0.0.1:1080", NO_PROXY="127.0.0.1", REQUESTS_CA_BUNDLE="/nowhere.pem")
    with WebServer({"page": b"a page"}) as site:
        web = Web(site.address, Manners(1000, 1, timeout_s=5, tries=1, wait_s=0.01))
        assert web.get("page", lambda body: None, None, None).status == "ok"


def test_the_recording_of_the_embedded_model_needs_neither_proxy_nor_certificates(given):
    given(ALL_PROXY="socks5://127.0.0.1:1080", REQUESTS_CA_BUNDLE="/nowhere.pem")
    with sites.open_site(Config()) as site:
        assert site.get("index.html", lambda body: None, None, None).status == "ok"


def test_a_describer_that_needs_no_proxy_answers_although_there_is_one(given, chat):
    chat.always = body(completion("x"))
    given(ALL_PROXY="socks5://127.0.0.1:1080", NO_PROXY="127.0.0.1")
    answer = Describer("small", wait_s=0.001).ask([{"role": "user", "content": "⟦a⟧"}], 20)
    assert answer.status == "ok"
    given(NO_PROXY="")
    assert fault(Describer, "small").startswith("ALL_PROXY names a socks5 proxy")
