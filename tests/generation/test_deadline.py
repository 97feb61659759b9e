"""A call has one deadline for all of its steps, and ends when it is told to."""

import asyncio
import socket
import threading
import time

import pytest
from servers.chat import KEY, hang, interim, silent, slow_header, slow_headers, trickle

from pipeline.generation.chat import Describer
from pipeline.generation.deadline import Calls

pytestmark = pytest.mark.block_network(allowed_hosts=["127.0.0.1"])
MESSAGES = [dict(role="system", content="Say what."), dict(role="user", content='{"phrases": ["a⟦ b⟧"]}')]


def test_a_hang_ends(chat):
    chat.always = hang
    answer = Describer("small", wait_s=0.001, timeout_s=0.2).ask(MESSAGES, 9, tries=2)
    assert (answer.status, answer.tries, answer.unsure) == ("timeout", 2, 2)
    assert len(chat.asked) == 2


@pytest.mark.parametrize("fault", [trickle, slow_header, slow_headers, interim, silent])
def test_a_try_that_trickles_ends_wherever_it_is(chat, fault):
    """Each byte comes in time, the last one never."""
    chat.always = fault
    answer = Describer("small", timeout_s=0.4).ask(MESSAGES, 9, tries=1)
    assert (answer.status, answer.text) == ("timeout", None)
    assert "no whole answer in 0.4 s; ANSWER_TIMEOUT_S" in answer.reason


def test_a_server_that_is_found_and_never_speaks_ends(monkeypatch):
    """A connection that is taken by the system, and by no program."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", f"https://127.0.0.1:{deaf.getsockname()[1]}/v1")
        assert Describer("small", timeout_s=0.4).ask(MESSAGES, 9, tries=1).status == "timeout"


def test_a_name_that_is_looked_up_for_ever_ends():
    stuck = threading.Event()
    calls = Calls(find=lambda *args, **how: stuck.wait(30))
    with pytest.raises(TimeoutError):
        calls.wait(asyncio.open_connection("somewhere.example", 80), 0.2)
    stuck.set()


def test_a_name_that_is_not_found_is_the_error_of_whoever_looked():
    def find(host, port, **how):
        raise socket.gaierror(f"no {host}")

    with pytest.raises(socket.gaierror, match="no somewhere"):
        Calls(find).wait(asyncio.open_connection("somewhere.example", 80), 20)


@pytest.mark.parametrize("fault", [trickle, slow_header, silent])
def test_a_call_under_way_ends_soon_after_it_is_told_to(chat, fault):
    chat.always, describer, answers = fault, Describer("small"), []
    waiting = threading.Thread(target=lambda: answers.append(describer.ask(MESSAGES, 9)))
    waiting.start()
    while not chat.asked:
        time.sleep(0.01)
    describer.stop()
    waiting.join(20)
    [answer] = answers
    assert (answer.status, answer.tries, answer.unsure) == ("interrupted", 1, 1)


def test_a_call_that_ends_just_after_it_is_told_to_is_answered(chat):
    chat.delay_s, describer, answers = 0.5, Describer("small"), []
    waiting = threading.Thread(target=lambda: answers.append(describer.ask(MESSAGES, 9)))
    waiting.start()
    while not chat.asked:
        time.sleep(0.01)
    describer.stop()
    waiting.join(20)
    assert [answer.status for answer in answers] == ["ok"]
