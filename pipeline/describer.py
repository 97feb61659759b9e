"""Chat completions of OpenAI, or of any server that speaks its protocol; the only module that imports it.

`OPENAI_API_KEY` and `OPENAI_BASE_URL` come from the environment; the key goes nowhere else. Whatever goes
wrong becomes a status, never a text.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import UserError
from pipeline.printable import line
from pipeline.waits import retry_after

OPENAI = "https://api.openai.com/v1"
TRIES = 6  # with growing waits, where the server is in trouble
TIMEOUT_S = 60.0
_WAIT_S = 0.5
_LONGEST_S = 120.0
_LARGEST = 2**20  # bytes of an answer
_MOST_COUNTED = 2**40  # tokens that a server can have counted
_LONGEST = 200  # letters of a reason
_SECRET = 12  # letters from which a key is one
STOP = ("unauthorised", "no_such_model", "no_quota")  # the next call would fail in the same way
TROUBLE = ("rate_limited", "server_error", "timeout", "no_connection", "unreadable")
_UNPAID = (*STOP, "rate_limited", "bad_request")  # what no server takes money for


@dataclass(frozen=True)
class Answer:
    """What became of one call: the text, null unless `status` is "ok", and what it took; `unsure` are tries
    that may have been paid although nothing was counted."""

    status: str
    text: str | None
    reason: str | None
    tries: int = 1
    unsure: int = 0
    seconds: float = 0.0
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


def server() -> str:
    """The address of the server that is asked; raises UserError for one that cannot be."""
    given = os.environ.get("OPENAI_BASE_URL", "").strip()
    if not given:
        return OPENAI
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError as exc:
        raise UserError(f"OPENAI_BASE_URL is {given!r}: {exc}") from exc
    if parts.scheme not in ("http", "https") or not re.fullmatch(
        r"[\w.-]+|[0-9a-f:]+", parts.hostname or ""
    ):
        raise UserError(f"OPENAI_BASE_URL is {given!r}; an address is such as http://127.0.0.1:11434/v1")
    if "@" in parts.netloc or parts.query or parts.fragment or not given.isprintable():
        raise UserError("OPENAI_BASE_URL: an address has no name, password, query or fragment")
    return given


def key() -> str:
    """The key of the environment; raises UserError where there is none, offering what needs none."""
    found = os.environ.get("OPENAI_API_KEY", "").strip()
    if not found and server() == OPENAI:
        raise UserError(
            "DESCRIBER is openai, and the environment has no OPENAI_API_KEY; set it, or for a server "
            "without keys OPENAI_BASE_URL, or use DESCRIBER=lexical, which needs neither"
        )
    if not re.fullmatch(r"[!-~]*", found):
        raise UserError("OPENAI_API_KEY holds characters that no key has, such as a blank or a line's end")
    return found or "none"


@dataclass
class Describer:
    """One model of a server. `parameters` are what a call sends beside the prompt, less what the server
    refused."""

    model: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import openai

        self._key, self._server, self._ending = key(), server(), threading.Event()
        self._client = openai.OpenAI(
            api_key=self._key,
            base_url=self._server,
            max_retries=0,
            timeout=TIMEOUT_S,
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultHttpxClient(
                follow_redirects=False, event_hooks={"response": [_bound]}
            ),
        )
        # OpenAI's own models can do without thinking, and have their own name for the limit
        self._limit = "max_completion_tokens" if re.match(r"gpt-|o\d", self.model) else "max_tokens"
        if self.model.startswith("gpt-"):
            self.parameters.setdefault("reasoning_effort", "none")

    def stop(self) -> None:
        """Give up trying again, whoever waits for that."""
        self._ending.set()

    def ask(self, messages: list[dict[str, str]], most_tokens: int, tries: int = TRIES) -> Answer:
        """One call, of at most `tries` where trying again may help; never raises for what a server does."""
        start, unsure = time.monotonic(), 0
        for n in range(1, tries + 1):
            found, wait_s = self._once(messages, most_tokens)
            counted = None not in (found.get("prompt_tokens"), found.get("answer_tokens"))
            unsure += found["status"] not in _UNPAID and not counted
            if wait_s is None or n == tries or self._ending.wait(wait_s or _WAIT_S * 2 ** (n - 1)):
                break
        for name in ("text", "reason"):
            found[name] = self._hidden(found[name])
        found["reason"] = found["reason"] and found["reason"][:_LONGEST]
        return Answer(**found, tries=n, unsure=unsure, seconds=time.monotonic() - start)

    def _once(
        self, messages: list[dict[str, str]], most_tokens: int
    ) -> tuple[dict[str, Any], float | None]:
        """One try; and how long to wait for the next, 0 where the server does not say, null for none."""
        import openai

        try:
            found = self._client.chat.completions.create(
                model=self.model,
                messages=messages,  # type: ignore[arg-type]
                **{self._limit: most_tokens},
                **self.parameters,
            )
            return _read(found)
        except openai.APIStatusError as exc:
            status, wait_s = _refused(exc)
            if exc.status_code == 400 and self._without(str(exc.message)):
                wait_s = 0.001
            reason = self._gone() if status == "no_such_model" else str(exc.message)
        except openai.APITimeoutError:
            status, wait_s, reason = "timeout", 0.0, f"no whole answer in {TIMEOUT_S:.0f} s"
        except openai.APIConnectionError as exc:
            status, wait_s, reason = "no_connection", 0.0, str(exc.__cause__ or exc)
        except (openai.OpenAIError, ValueError, RecursionError) as exc:  # a body that is no JSON
            status, wait_s, reason = "unreadable", 0.0, str(exc)
        return dict(status=status, text=None, reason=reason), wait_s

    def _without(self, refusal: str) -> bool:
        """Whether a server refused a parameter that can be left out or renamed, which is then done."""
        if "reasoning_effort" in refusal and self.parameters.pop("reasoning_effort", None):
            return True
        if self._limit == "max_tokens" and "max_completion_tokens" in refusal:
            self._limit = "max_completion_tokens"
            return True
        return False

    def _gone(self) -> str:
        """Why there is no such model: since when it is not, if the server says."""
        import openai

        try:
            date = getattr(self._client.models.retrieve(self.model), "shutdown_date", None)
        except (openai.OpenAIError, ValueError, RecursionError):
            date = None
        gone = f"; it was shut down on {date}" if date else ""
        asked = "" if self._server == OPENAI else "; many servers want OPENAI_BASE_URL to end in /v1"
        return f"there is no model {self.model}{gone}: give another with DESCRIBER_MODEL{asked}"

    def _hidden(self, text: str | None) -> str | None:
        """A server's words on one line, the key blotted out; one of a few letters, such as servers without
        keys are given, is no secret."""
        if text is None or len(self._key) < _SECRET:
            return text and line(text)
        return line(text.replace(self._key, "***"))


def _bound(response: Any) -> None:
    """Let a body neither come for longer than is waited nor grow beyond what an answer can be."""
    import httpx2

    deadline, stream = time.monotonic() + TIMEOUT_S, response.stream

    class Bounded(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in stream:
                size += len(part)
                if size > _LARGEST:
                    raise httpx2.ReadError(f"the answer is longer than {_LARGEST:,} bytes")
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("the answer never ends")
                yield part

        def close(self) -> None:
            stream.close()

    response.stream = Bounded()


def _refused(exc: Any) -> tuple[str, float | None]:
    """The status of an HTTP error, and how long to wait before another try; null for none."""
    code = exc.status_code
    body = exc.body if isinstance(exc.body, dict) else {}
    if "insufficient_quota" in (body.get("code"), body.get("type")):
        return "no_quota", None
    if code == 429 or code in (408, 409) or code >= 500:
        wait_s = _wait(exc.response.headers)
        status = "rate_limited" if code == 429 else "server_error"
        return status, None if wait_s > _LONGEST_S else wait_s
    return {401: "unauthorised", 403: "unauthorised", 404: "no_such_model"}.get(code, "bad_request"), None


def _wait(headers: Any) -> float:
    """Seconds the server asks to wait; 0 where it does not say."""
    return retry_after(headers.get("retry-after-ms")) / 1000 or retry_after(headers.get("retry-after"))


def _read(found: Any) -> tuple[dict[str, Any], float | None]:
    """A completion as the parts of an answer, and how long to wait for another; whatever it lacks is a
    status. The client checks no types."""
    if not hasattr(found, "choices") and not hasattr(found, "id"):
        return dict(status="unreadable", text=None, reason="the answer is no JSON object"), 0.0
    usage = getattr(found, "usage", None)
    took = {
        name: count if type(count) is int and 0 <= count <= _MOST_COUNTED else None
        for name, count in (
            ("prompt_tokens", getattr(usage, "prompt_tokens", None)),
            ("answer_tokens", getattr(usage, "completion_tokens", None)),
        )
    }
    choices, error = getattr(found, "choices", None), getattr(found, "error", None)
    if error and not choices:  # routers say so with status 200
        return dict(status="server_error", text=None, reason=str(error)), 0.0
    status, text, reason = _judged(choices)
    return dict(status=status, text=text, reason=reason, **took), None


def _judged(choices: Any) -> tuple[str, str | None, str | None]:
    """Status, text and reason of what a completion holds."""
    if not isinstance(choices, list) or not choices:
        return "no_choices", None, "the answer holds no choices"
    message = getattr(choices[0], "message", None)
    text, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
    ended = getattr(choices[0], "finish_reason", None)
    if refusal:
        return "refused", None, str(refusal)
    if ended == "length":
        return ended, None, "the answer was cut off; a model that thinks before it answers cannot be used"
    if ended == "content_filter":
        return ended, None, "a content filter ended the answer"
    if not isinstance(text, str) or not text.strip():
        return "empty", None, "the answer is empty"
    return "ok", text, None
