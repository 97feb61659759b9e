"""A Hub that does not answer is given up with one line, whatever keeps it from answering."""

import socket
import threading
from contextlib import contextmanager

import httpx2
import pytest
from servers.web import loopback

from pipeline.errors import PipelineError, UserError
from pipeline.web import hugging_face

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])


@contextmanager
def hub(answer):
    """The address of a server that gives each connection to `answer`, with an event that ends waits."""
    loopback()
    ended, listening = threading.Event(), socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection, ended), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    ended.set()
    listening.close()


def silent(connection, ended):
    """Take a request, and never answer."""
    connection.recv(4096)
    ended.wait(20)
    connection.close()


def trickling(connection, ended):
    """Send headers without end, so that no single read takes long."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not ended.wait(0.05):
        connection.sendall(b"X-A: b\r\n")
    connection.close()


def broken(connection, ended):
    """Break the connection off."""
    connection.close()


def no_http(connection, ended):
    """Answer with something else."""
    connection.recv(4096)
    connection.sendall(b"220 mail.example ESMTP\r\n")
    connection.close()


def status(code):
    """Answer with a status."""

    def answer(connection, ended):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % code)
        connection.close()

    return answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (silent, "no answer in 1 s"),
        (trickling, "no answer in 1 s"),
        (broken, ""),
        (no_http, ""),
        (status(503), "HTTP 503"),
        (status(429), "HTTP 429"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_a_hub_that_gives_no_answer_is_told_once_and_given_up(monkeypatch, capsys, answer, told):
    with hub(answer) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(PipelineError) as caught:
            hugging_face.reach("TEXT", "ada/texts", "datasets", within_s=1)
    assert not isinstance(caught.value, UserError)
    assert str(caught.value).startswith(f"TEXT: cannot fetch ada/texts from the Hub at {address}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    asking = f"TEXT: asking the Hub, {address}/api/datasets/ada/texts, for at most 1 s\n"
    assert capsys.readouterr().err == asking


def test_a_hub_that_nobody_serves_is_told(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(PipelineError, match="cannot fetch gpt2 from the Hub at http:.*refused"):
        hugging_face.reach("MODEL", "gpt2", "models", within_s=5)


@pytest.mark.parametrize("code", [200, 401, 403, 404])
def test_a_refusal_is_an_answer_which_the_library_explains(monkeypatch, code):
    with hub(status(code)) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        hugging_face.reach("MODEL", "gpt2", "models", within_s=5)


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_nothing_is_asked_where_a_variable_says_so(monkeypatch, capsys, name):
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hugging_face.reach("MODEL", "gpt2", "models", within_s=5)
    assert capsys.readouterr().err == ""


def test_an_address_or_proxy_that_cannot_be_is_named(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    with pytest.raises(UserError, match="HF_ENDPOINT is 'huggingface.co'; give an address"):
        hugging_face.reach("MODEL", "gpt2", "models")
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1")
    with pytest.raises(UserError, match="ALL_PROXY"):
        hugging_face.reach("MODEL", "gpt2", "models")


def test_a_hub_that_falls_silent_ends_what_the_library_asks(monkeypatch):
    """The first request is answered, all later ones are not."""
    import huggingface_hub

    answered = threading.Event()

    def answer(connection, ended):
        (silent if answered.is_set() else status(200))(connection, ended)
        answered.set()

    with hub(answer) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        hugging_face.reach("MODEL", "gpt2", "models", within_s=1)
        try:
            with pytest.raises(httpx2.TimeoutException):
                huggingface_hub.get_session().get(f"{address}/gpt2/resolve/main/config.json")
            with pytest.raises(
                PipelineError, match="MODEL: no answer from 127.0.0.1 in 1 s; check"
            ) as caught:
                huggingface_hub.get_session().get(f"{address}/gpt2/resolve/main/config.json")
            wrapped = OSError("cannot load the configuration")
            wrapped.__context__ = caught.value
            assert hugging_face.silence(wrapped) is caught.value
            assert hugging_face.silence(OSError("another")) is None
        finally:
            hugging_face.unwatched()
        with pytest.raises(httpx2.TimeoutException):  # what has to wait longer is left alone again
            huggingface_hub.get_session().get(f"{address}/gpt2", timeout=0.1)


def test_a_model_that_was_fetched_before_is_taken_where_the_hub_is_silent(monkeypatch, capsys, tmp_path):
    import huggingface_hub

    folder = tmp_path / "models--ada--small"
    (folder / "snapshots" / "c0ffee").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("c0ffee")
    (folder / "snapshots" / "c0ffee" / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert huggingface_hub.try_to_load_from_cache("ada/small", "config.json")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert hugging_face.reach_or_kept("MODEL", "ada/small") == folder / "snapshots" / "c0ffee"
    assert "taking what was fetched before" in capsys.readouterr().err
    with pytest.raises(PipelineError):
        hugging_face.reach_or_kept("MODEL", "ada/other")
