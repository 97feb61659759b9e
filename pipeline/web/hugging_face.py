"""Whether the Hub of Hugging Face answers, asked before the libraries that fetch from it.

They try again for many minutes, and say nothing. HF_ENDPOINT names another server of the same protocol.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline import setting_checks
from pipeline.errors import PipelineError, UserError
from pipeline.output import tell
from pipeline.printable import line
from pipeline.web import environment

HUB = "https://huggingface.co"
_LONGEST_S = 20.0  # a Hub that is there answers within a second
_WAY_OUT = (
    "check the connection, give a folder or file that is there, or set HF_HUB_OFFLINE=1 for what was "
    "fetched before"
)
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def endpoint() -> str:
    """The address of the Hub; raises UserError for one that is not valid."""
    given = os.environ.get("HF_ENDPOINT")
    if given is not None and not setting_checks.is_address("HF_ENDPOINT", given):
        raise UserError(f"HF_ENDPOINT is {given!r}; give an address such as {HUB}")
    return (given or HUB).rstrip("/")


def reach(setting: str, name: str, kind: str, *, within_s: float = _LONGEST_S) -> None:
    """Say that the Hub is asked for `name`, one of its models or datasets (`kind`), and wait for an answer.

    Raises UserError for a variable that keeps it from being asked, PipelineError where it gives no answer
    within `within_s` seconds, whatever keeps it. Asks nothing where a variable says that it is not to be.
    """
    if any(os.environ.get(each, "").upper() in ("1", "ON", "YES", "TRUE") for each in _OFFLINE):
        return
    environment.check_httpx()
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # it tells of each try
    _reached(setting, name, f"{endpoint()}/api/{kind}/{name}", within_s)
    _watch(setting, within_s)


def reach_or_kept(setting: str, model: str) -> Path | None:
    """As `reach`, but where the Hub gives no answer, the folder of a model that was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    try:
        reach(setting, model, "models")
    except UserError:
        raise
    except PipelineError as exc:
        file = try_to_load_from_cache(model, "config.json")
        if not isinstance(file, str):
            raise
        tell(f"{exc}; taking what was fetched before")
        return Path(file).parent
    return None


@lru_cache
def _reached(setting: str, name: str, address: str, within_s: float) -> None:
    """Ask once; a failure is asked anew."""
    tell(f"{setting}: asking the Hub, {address}, for at most {within_s:.0f} s")
    said: list[str | None] = []
    # a name that is not found or headers that trickle hold a call up for longer than any limit of its own
    asking = threading.Thread(target=lambda: said.append(_fault(address, within_s)), daemon=True)
    asking.start()
    asking.join(within_s)
    if fault := said[0] if said else f"no answer in {within_s:.0f} s":
        raise PipelineError(
            f"{setting}: cannot fetch {name} from the Hub at {endpoint()}: {fault}; {_WAY_OUT}"
        )


def _watch(setting: str, silent_s: float) -> None:
    """End what the library asks from now on once nothing at all was answered for `silent_s` seconds.

    The library itself waits a minute for each answer, and asks for each file six times.
    """
    import httpx2

    waiting: list[float] = []  # since when, while nothing is answered

    def asks(request: httpx2.Request) -> None:
        now = time.monotonic()
        if waiting and now - waiting[0] > silent_s:
            raise PipelineError(
                f"{setting}: no answer from {request.url.host} in {silent_s:.0f} s; {_WAY_OUT}"
            )
        waiting[:] = waiting or [now]
        limits = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            name: min(limits.get(name) or silent_s, silent_s)
            for name in ("connect", "read", "write", "pool")
        }

    _call([asks], [lambda response: waiting.clear()])


def unwatched() -> None:
    """Let the library take its time again, as it has to where it sends something."""
    _call([], [])


def _call(asks: list[Callable[[Any], object]], answers: list[Callable[[Any], object]]) -> None:
    """Make the library's client call functions for each request and for each response, beside its own."""
    import httpx2
    import huggingface_hub

    usual = _usual_hooks()
    hooks: dict[str, list[Any]] = {
        "request": [*usual["request"], *asks],
        "response": [*usual["response"], *answers],
    }
    huggingface_hub.set_client_factory(
        lambda: httpx2.Client(event_hooks=hooks, follow_redirects=True, timeout=None)
    )


@lru_cache(maxsize=1)
def _usual_hooks() -> dict[str, list[Any]]:
    """What the library itself does with each request, before anything is added."""
    import huggingface_hub

    return dict(huggingface_hub.get_session().event_hooks)


def silence(exc: BaseException) -> PipelineError | None:
    """The error that ended what a library asked of a silent Hub, where its own error came of that."""
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, PipelineError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _fault(address: str, within_s: float) -> str | None:
    """Why the Hub does not answer; None where it does, be it with a refusal, which the library explains."""
    import httpx2

    deadline = time.monotonic() + within_s
    for wait_s in (0.5, 1, 2, 4, 8, None):
        try:
            with httpx2.stream("GET", address, timeout=within_s) as response:
                status = response.status_code
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError) as exc:
            return line(str(exc))[:200] or type(exc).__name__
        if status != 429 and status < 500:
            return None
        if wait_s is None or time.monotonic() + wait_s > deadline:
            break
        time.sleep(wait_s)
    return f"HTTP {status}"
