"""Chat completions of OpenAI, or of any server with its protocol; the only module that imports openai.

`OPENAI_API_KEY` and `OPENAI_BASE_URL` come from the environment; the key is sent to that server only. A
failure becomes a status, never a text.
"""

from __future__ import annotations

import ipaddress
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.generation import forms
from pipeline.generation.deadline import Calls, EndedError
from pipeline.generation.request import Request
from pipeline.generation.secret import blotted
from pipeline.printable import line, plain
from pipeline.web import environment
from pipeline.web.retry_after import retry_after

OPENAI = "https://api.openai.com/v1"
TRIES = 6  # with growing waits, where the server is in trouble
_LONGEST_WAIT_S = 120.0  # a server that asks for more is not asked again
_LARGEST = 2**20  # bytes of an answer
_MOST_COUNTED = 2**40  # more tokens than this are not a count
_LONGEST = 200  # characters of a reason
_LONGEST_RAW = 2**16  # characters kept of an answer that cannot be read
_GRACE_S = 3.0  # in which calls under way may still end once no more are wanted
_ELSEWHERE = (401, 403, 404, 408, 409, 429)  # HTTP statuses that are not about the form of a request
_EXAMPLE = "http://127.0.0.1:11434/v1"
STOP = ("unauthorised", "no_such_model", "no_quota")  # the next call would fail in the same way
TROUBLE = ("rate_limited", "server_error", "timeout", "no_connection", "unreadable")
_UNPAID = (*STOP, "rate_limited", "bad_request")  # statuses for which no server charges


@dataclass(frozen=True)
class Answer:
    """The result of one call: the text, None unless `status` is "ok", and what the call took.

    `raw` is what came where it is no text to read. `unsure` counts tries that may have been charged
    although no tokens were reported.
    """

    status: str
    text: str | None
    reason: str | None
    tries: int = 1
    unsure: int = 0
    seconds: float = 0.0
    prompt_tokens: int | None = None
    answer_tokens: int | None = None
    raw: str | None = None


def address() -> str:
    """The address that is asked, as it was given; raises UserError for one that is not valid."""
    given = os.environ.get("OPENAI_BASE_URL", "").strip()
    if not given:
        return OPENAI
    if blotted(given, os.environ.get("OPENAI_API_KEY", "").strip()) != given:
        raise UserError("OPENAI_BASE_URL holds the key; it belongs into OPENAI_API_KEY alone")
    if re.search(r"\A(?:[^/]*//)?[^/]*@|[?#]", given) or not given.isprintable():
        raise UserError("OPENAI_BASE_URL: give an address without user name, password, query or fragment")
    try:
        parts = urlsplit(given)
        _ = parts.port
    except ValueError as exc:
        raise UserError(f"OPENAI_BASE_URL is {given!r}: {exc}; give one such as {_EXAMPLE}") from exc
    if parts.scheme not in ("http", "https") or not re.fullmatch(
        r"[\w.-]+|[0-9a-f:]+", parts.hostname or ""
    ):
        raise UserError(f"OPENAI_BASE_URL is {given!r}; give an address such as {_EXAMPLE}")
    return given


def server() -> str:
    """The name of the server that is asked: its address in one spelling, so that answers are paid once.

    Lower case, without the scheme's own port, a dot after the host, and empty parts of the path; this
    machine is 127.0.0.1. Raises UserError for an address that is not valid.
    """
    parts = urlsplit(address())
    host = (parts.hostname or "").rstrip(".")
    if _is_this_machine(host):
        host = "127.0.0.1"
    host = f"[{host}]" if ":" in host else host
    own_port = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, own_port) else f":{parts.port}"
    path = "".join(f"/{part}" for part in parts.path.split("/") if part)
    return urlunsplit(SplitResult(parts.scheme, host + port, path, "", ""))


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


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

    `wait_s` is the wait before the second try where the server gives none, and doubles after each.
    `timeout_s` limits one try from its first step to the last byte of its answer.
    """

    model: str
    wait_s: float = 0.5
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        import openai

        self._key, self._server, self._ending = key(), server(), threading.Event()
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=address(),
            max_retries=0,
            timeout=None,  # each call has a deadline of its own
            default_headers={"Accept-Encoding": "identity"},
            http_client=openai.DefaultAsyncHttpxClient(
                follow_redirects=False,
                event_hooks={"response": [_cap]},
                **environment.for_httpx(self._server),
            ),
        )
        self._calls = Calls()
        self._request, self._taken = Request.of(self.model), False

    def stop(self) -> None:
        """End all waits for another try at once, and calls under way soon."""
        self._ending.set()
        self._calls.end(_GRACE_S)

    def ask(
        self,
        messages: list[dict[str, str]],
        most_tokens: int,
        tries: int = TRIES,
        schema: dict[str, Any] | None = None,
    ) -> Answer:
        """Make one call, with at most `tries` where another may help. Never raises for a failed call.

        `schema` is the JSON schema of the answer, which servers that know none are not sent.
        """
        start, unsure, request = time.monotonic(), 0, self._request
        for n in range(1, tries + 1):
            parts, after = self._once(request, messages, most_tokens, schema)
            counted = None not in (parts.get("prompt_tokens"), parts.get("answer_tokens"))
            unsure += parts["status"] not in _UNPAID and not counted
            if n == tries or after is None or self._ending.is_set():
                break
            if isinstance(after, Request):
                request = after
            elif self._ending.wait(after or self.wait_s * 2 ** (n - 1)):
                break
        for name, most in (("text", _LARGEST), ("reason", _LONGEST_RAW), ("raw", _LONGEST_RAW)):
            parts[name] = self._harmless(parts.get(name), most)
        parts["reason"] = parts["reason"] and line(parts["reason"])[:_LONGEST]
        return Answer(**parts, tries=n, unsure=unsure, seconds=time.monotonic() - start)

    def _once(
        self,
        request: Request,
        messages: list[dict[str, str]],
        most_tokens: int,
        schema: dict[str, Any] | None,
    ) -> tuple[dict[str, Any], float | Request | None]:
        """One try, and what another needs: the seconds to wait, 0 where not given, or another form of the
        request; None where none helps."""
        import openai

        raw = None
        try:
            raw_responses: Any = self._client.chat.completions.with_raw_response
            sent = request.arguments(messages, most_tokens, schema)  # servers differ in what they know
            response = self._waited(raw_responses.create(model=self.model, **sent))
            raw = response.text
            found, wait_s = _read(response.parse(), raw, most_tokens)
            if wait_s is None:
                self._request, self._taken = request, True
            return found, wait_s
        except openai.APIStatusError as exc:
            status, wait_s = _refused(exc)
            reason = self._gone() if status == "no_such_model" else _said(exc)
            if exc.status_code not in _ELSEWHERE and status != "no_quota":
                other = request.after(
                    exc.response.text, reason, exc.status_code, taken=self._taken, shaped=bool(schema)
                )
                if other:
                    return dict(status=status, text=None, reason=reason), other
        except EndedError:
            status, wait_s, reason = "interrupted", None, "the run was ended before the answer was there"
        except TimeoutError:
            limit = f"{self.timeout_s:g} s; ANSWER_TIMEOUT_S (--answer-timeout-s) is the limit"
            status, wait_s, reason = "timeout", 0.0, f"no whole answer in {limit}"
        except openai.APIConnectionError as exc:
            status, wait_s, reason = "no_connection", 0.0, str(exc.__cause__ or exc)
        except (openai.OpenAIError, ValueError, RecursionError) as exc:  # a body that is not JSON
            status, wait_s, reason = "unreadable", 0.0, str(exc)
        return dict(status=status, text=None, reason=reason, raw=raw), wait_s

    def _waited(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self._calls.wait(call, self.timeout_s)

    def _gone(self) -> str:
        """The reason for a missing model, with the date of its shutdown if the server gives one."""
        import openai

        try:
            date = getattr(self._waited(self._client.models.retrieve(self.model)), "shutdown_date", None)
        except (openai.OpenAIError, ValueError, RecursionError, TimeoutError, EndedError):
            date = None
        gone = f"; it was shut down on {date}" if date else ""
        hint = "" if self._server == OPENAI else "; many servers want OPENAI_BASE_URL to end in /v1"
        return f"there is no model {self.model}{gone}: give another with DESCRIBER_MODEL{hint}"

    def _harmless(self, text: str | None, most: int) -> str | None:
        """At most so many of a server's characters with *** for the key, without those that steer a
        terminal. What is left out may have stood in the key, so it is looked for again."""
        if text is None:
            return None
        text = blotted(text[:most].encode("utf-8", "replace").decode(), self._key)
        return blotted("\n".join(map(plain, text.split("\n"))), self._key)


async def _cap(response: Any) -> None:
    """Cap a response's body at 1 MiB."""
    import httpx2

    stream = response.stream

    class Capped(httpx2.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for part in stream:
                size += len(part)
                if size > _LARGEST:
                    raise httpx2.ReadError(f"the answer is longer than {_LARGEST:,} bytes")
                yield part

        async def aclose(self) -> None:
            await stream.aclose()

    response.stream = Capped()


def _said(exc: Any) -> str:
    """What a server says with an HTTP error: its message, or all of it where there is none."""
    if 300 <= exc.status_code < 400:
        place = exc.response.headers.get("location", "another address")
        return f"HTTP {exc.status_code}: the server is at {place}; give that one as OPENAI_BASE_URL"
    body = exc.body if isinstance(exc.body, dict) else {"message": exc.body}
    message = body.get("message") or body.get("detail")
    return f"HTTP {exc.status_code}: {message if isinstance(message, str) else exc.response.text}"


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


def _read(completion: Any, raw: str, most_tokens: int) -> tuple[dict[str, Any], float | None]:
    """A completion (`raw`: the whole response) as the parts of an answer, and the seconds to wait for
    another try. Anything that is missing becomes a status: the client checks no types."""
    if not hasattr(completion, "choices") and not hasattr(completion, "id"):
        reason = "the answer is not a JSON object"
        return dict(status="unreadable", text=None, reason=reason, raw=raw), 0.0
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
    if not isinstance(choices, list) or not choices:
        reason = "the answer holds no choices"
        return dict(status="no_choices", text=None, reason=reason, raw=raw, **took), None
    message, ended = getattr(choices[0], "message", None), getattr(choices[0], "finish_reason", None)
    status, why = _judged(message, ended, full=(took["answer_tokens"] or 0) >= most_tokens)
    if status == "length":
        limit = f"ANSWER_TOKENS (--answer-tokens) is {most_tokens:,}, reasoning included"
        why = f"the answer was cut off; {limit}"
    said = forms.words(getattr(message, "content", None))
    if status == "ok":
        return dict(status=status, text=said, reason=None, **took), None
    came = said if said and said.strip() else raw
    return dict(status=status, text=None, reason=why, raw=came, **took), None


def _judged(message: Any, ended: Any, *, full: bool) -> tuple[str, str | None]:
    """Status and reason of a message that a server ended for some reason; `full`: of as many tokens as are
    allowed, so that it was cut where it holds no answer or the server gives no reason."""
    content = getattr(message, "content", None)
    refusal = getattr(message, "refusal", None) or forms.refusal(content)
    status, said = forms.ending(ended), forms.words(content)
    if refusal or status == "refused":
        return "refused", str(refusal or "the model refused")
    if status is None and full and not (ended and forms.said(said or "")):
        status = "length"
    if status == "length":
        return status, None
    if status == "content_filter":
        return status, "a content filter ended the answer"
    if not said or not said.strip():
        return "empty", "the answer is empty"
    if not forms.said(said):
        return "empty", "the answer is reasoning alone"
    return "ok", None
