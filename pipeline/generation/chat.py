"""Chat completions of OpenAI, or of any server with its protocol; the only module that imports openai.

`OPENAI_API_KEY` and `OPENAI_BASE_URL` come from the environment; the key is sent to that server only. A
failure becomes a status, never a text.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.printable import line
from pipeline.web import environment
from pipeline.web.retry_after import retry_after

OPENAI = "https://api.openai.com/v1"
TRIES = 6  # with growing waits, where the server is in trouble
_LONGEST_WAIT_S = 120.0  # a server that asks for more is not asked again
_LARGEST = 2**20  # bytes of an answer
_MOST_COUNTED = 2**40  # more tokens than this are not a count
_LONGEST = 200  # characters of a reason
_SECRET = 12  # characters from which a key counts as a secret
STOP = ("unauthorised", "no_such_model", "no_quota")  # the next call would fail in the same way
TROUBLE = ("rate_limited", "server_error", "timeout", "no_connection", "unreadable")
_UNPAID = (*STOP, "rate_limited", "bad_request")  # statuses for which no server charges


@dataclass(frozen=True)
class Answer:
    """The result of one call: the text, None unless `status` is "ok", and what the call took.

    `unsure` counts tries that may have been charged although no tokens were reported.
    """

    status: str
    text: str | None
    reason: str | None
    tries: int = 1
    unsure: int = 0
    seconds: float = 0.0
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


def server() -> str:
    """The address of the server that is asked; raises UserError for an address that is not valid."""
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
        raise UserError(f"OPENAI_BASE_URL is {given!r}; give an address such as http://127.0.0.1:11434/v1")
    if "@" in parts.netloc or parts.query or parts.fragment or not given.isprintable():
        raise UserError("OPENAI_BASE_URL: give an address without user name, password, query or fragment")
    return given


def contents(config: Config) -> dict[str, str]:
    """What stands in a key for DESCRIBER_MODEL: the model and the server that has it."""
    return {"name": config.describer_model, "server": server()}


def key() -> str:
    """The key in the environment, or "none" for a server without keys.

    Raises UserError where the server needs a key and none is set, or where it is not valid.
    """
    given = os.environ.get("OPENAI_API_KEY", "").strip()
    if not given and server() == OPENAI:
        raise UserError(
            "DESCRIBER is openai, and the environment has no OPENAI_API_KEY; set it, or for a server "
            "without keys OPENAI_BASE_URL, or use DESCRIBER=lexical, which needs neither"
        )
    if not re.fullmatch(r"[!-~]*", given):
        raise UserError("OPENAI_API_KEY holds characters that no key has, such as a space or a line break")
    return given or "none"


@dataclass
class Describer:
    """One model of a server.

    `parameters` are sent with each prompt, except those that the server refused. `wait_s` is the wait
    before the second try where the server gives none, and doubles after each. `timeout_s` limits one try,
    however slowly its answer comes.
    """

    model: str
    parameters: dict[str, Any] = field(default_factory=dict)
    wait_s: float = 0.5
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        import openai

        self._key, self._server, self._ending = key(), server(), threading.Event()
        self._client = openai.OpenAI(
            api_key=self._key,
            base_url=self._server,
            max_retries=0,
            timeout=self.timeout_s,
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultHttpxClient(
                follow_redirects=False,
                event_hooks={"response": [partial(_cap, self.timeout_s)]},
                **environment.for_httpx(self._server),
            ),
        )
        # OpenAI's own models can answer without reasoning, and have another name for the limit
        self._limit = "max_completion_tokens" if re.match(r"gpt-|o\d", self.model) else "max_tokens"
        if self.model.startswith("gpt-"):
            self.parameters.setdefault("reasoning_effort", "none")

    def stop(self) -> None:
        """End all waits for another try."""
        self._ending.set()

    def ask(self, messages: list[dict[str, str]], most_tokens: int, tries: int = TRIES) -> Answer:
        """Make one call, with at most `tries` where another may help. Never raises for a failed call."""
        start, unsure = time.monotonic(), 0
        for n in range(1, tries + 1):
            parts, wait_s = self._once(messages, most_tokens)
            counted = None not in (parts.get("prompt_tokens"), parts.get("answer_tokens"))
            unsure += parts["status"] not in _UNPAID and not counted
            if wait_s is None or n == tries or self._ending.wait(wait_s or self.wait_s * 2 ** (n - 1)):
                break
        for name in ("text", "reason"):
            parts[name] = self._hidden(parts[name])
        parts["reason"] = parts["reason"] and parts["reason"][:_LONGEST]
        return Answer(**parts, tries=n, unsure=unsure, seconds=time.monotonic() - start)

    def _once(
        self, messages: list[dict[str, str]], most_tokens: int
    ) -> tuple[dict[str, Any], float | None]:
        """One try, and the seconds to wait for the next: 0 where not given, None for no other."""
        import openai

        try:
            create: Any = self._client.chat.completions.create  # servers differ in the parameters they know
            completion = create(
                model=self.model,
                messages=messages,
                **{self._limit: most_tokens},
                **self.parameters,
            )
            return _read(completion)
        except openai.APIStatusError as exc:
            status, wait_s = _refused(exc)
            if exc.status_code == 400 and self._without(str(exc.message)):
                wait_s = 0.001
            reason = self._gone() if status == "no_such_model" else str(exc.message)
        except openai.APITimeoutError:
            status, wait_s, reason = "timeout", 0.0, f"no whole answer in {self.timeout_s:.0f} s"
        except openai.APIConnectionError as exc:
            status, wait_s, reason = "no_connection", 0.0, str(exc.__cause__ or exc)
        except (openai.OpenAIError, ValueError, RecursionError) as exc:  # a body that is not JSON
            status, wait_s, reason = "unreadable", 0.0, str(exc)
        return dict(status=status, text=None, reason=reason), wait_s

    def _without(self, refusal: str) -> bool:
        """Leave out or rename a parameter that a server refused; False where there is none to change."""
        if "reasoning_effort" in refusal and self.parameters.pop("reasoning_effort", None):
            return True
        if self._limit == "max_tokens" and "max_completion_tokens" in refusal:
            self._limit = "max_completion_tokens"
            return True
        return False

    def _gone(self) -> str:
        """The reason for a missing model, with the date of its shutdown if the server gives one."""
        import openai

        try:
            date = getattr(self._client.models.retrieve(self.model), "shutdown_date", None)
        except (openai.OpenAIError, ValueError, RecursionError):
            date = None
        gone = f"; it was shut down on {date}" if date else ""
        hint = "" if self._server == OPENAI else "; many servers want OPENAI_BASE_URL to end in /v1"
        return f"there is no model {self.model}{gone}: give another with DESCRIBER_MODEL{hint}"

    def _hidden(self, text: str | None) -> str | None:
        """A server's words on one line, with *** for the key. A key of a few characters, as people make up
        for servers without keys, is not a secret."""
        if text is None or len(self._key) < _SECRET:
            return text and line(text)
        return line(text.replace(self._key, "***"))


def _cap(timeout_s: float, response: Any) -> None:
    """Cap a response's body at `timeout_s` and 1 MiB."""
    import httpx2

    deadline, stream = time.monotonic() + timeout_s, response.stream

    class Capped(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in stream:
                size += len(part)
                if size > _LARGEST:
                    raise httpx2.ReadError(f"the answer is longer than {_LARGEST:,} bytes")
                if time.monotonic() > deadline:
                    raise httpx2.ReadTimeout("the answer takes too long")
                yield part

        def close(self) -> None:
            stream.close()

    response.stream = Capped()


def _refused(exc: Any) -> tuple[str, float | None]:
    """The status of an HTTP error, and the seconds to wait for another try: None for no other."""
    code = exc.status_code
    body = exc.body if isinstance(exc.body, dict) else {}
    if "insufficient_quota" in (body.get("code"), body.get("type")):
        return "no_quota", None
    if code == 429 or code in (408, 409) or code >= 500:
        wait_s = _wait(exc.response.headers)
        status = "rate_limited" if code == 429 else "server_error"
        return status, None if wait_s > _LONGEST_WAIT_S else wait_s
    return {401: "unauthorised", 403: "unauthorised", 404: "no_such_model"}.get(code, "bad_request"), None


def _wait(headers: Any) -> float:
    """Seconds that the server asks to wait; 0 where it does not say."""
    return retry_after(headers.get("retry-after-ms")) / 1000 or retry_after(headers.get("retry-after"))


def _read(completion: Any) -> tuple[dict[str, Any], float | None]:
    """A completion as the parts of an answer, and the seconds to wait for another try. Anything that is
    missing becomes a status: the client checks no types."""
    if not hasattr(completion, "choices") and not hasattr(completion, "id"):
        return dict(status="unreadable", text=None, reason="the answer is not a JSON object"), 0.0
    usage = getattr(completion, "usage", None)
    took = {
        name: count if type(count) is int and 0 <= count <= _MOST_COUNTED else None
        for name, count in (
            ("prompt_tokens", getattr(usage, "prompt_tokens", None)),
            ("answer_tokens", getattr(usage, "completion_tokens", None)),
        )
    }
    choices, error = getattr(completion, "choices", None), getattr(completion, "error", None)
    if error and not choices:  # routers report errors with HTTP status 200
        return dict(status="server_error", text=None, reason=str(error)), 0.0
    status, text, reason = _judged(choices)
    return dict(status=status, text=text, reason=reason, **took), None


def _judged(choices: Any) -> tuple[str, str | None, str | None]:
    """Status, text and reason of the first choice of a completion."""
    if not isinstance(choices, list) or not choices:
        return "no_choices", None, "the answer holds no choices"
    message = getattr(choices[0], "message", None)
    text, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
    ended = getattr(choices[0], "finish_reason", None)
    if refusal:
        return "refused", None, str(refusal)
    if ended == "length":
        return ended, None, "the answer was cut off; a model that reasons before it answers cannot be used"
    if ended == "content_filter":
        return ended, None, "a content filter ended the answer"
    if not isinstance(text, str) or not text.strip():
        return "empty", None, "the answer is empty"
    return "ok", text, None
