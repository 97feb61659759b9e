"""Chat completions of OpenAI, or of any server that speaks its protocol; the only module that imports it.

`OPENAI_API_KEY` and `OPENAI_BASE_URL` come from the environment and go nowhere else. Whatever goes wrong
becomes a status, never a text.
"""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import UserError
from pipeline.waits import retry_after

TRIES = 6  # with growing waits, where the server is in trouble
TIMEOUT_S = 60.0
_WAIT_S = 0.5
_LONGEST_S = 120.0
STOP = ("unauthorised", "no_such_model", "no_quota")  # the next call would fail in the same way
_LOST = ("timeout", "no_connection", "unreadable")
TROUBLE = ("rate_limited", "server_error", *_LOST)


@dataclass(frozen=True)
class Answer:
    """What became of one call: the text, null unless `status` is "ok", and what it took; `lost` are tries
    whose answer never came whole, but may have been paid."""

    status: str
    text: str | None
    reason: str | None
    tries: int = 1
    lost: int = 0
    seconds: float = 0.0
    prompt_tokens: int | None = None
    answer_tokens: int | None = None


def key() -> str:
    """The key of the environment; raises UserError where there is none, offering what needs none."""
    found = os.environ.get("OPENAI_API_KEY", "").strip()
    if not found and not os.environ.get("OPENAI_BASE_URL"):
        raise UserError(
            "DESCRIBER is openai, and the environment has no OPENAI_API_KEY; set it, or for a server "
            "without keys OPENAI_BASE_URL, or use DESCRIBER=lexical, which needs neither"
        )
    return found or "none"


@dataclass
class Describer:
    """One model of a server. `parameters` are what a call sends beside the prompt, less what the server
    refused."""

    model: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import openai

        self._key, self._ending = key(), threading.Event()
        try:
            self._client = openai.OpenAI(api_key=self._key, max_retries=0, timeout=TIMEOUT_S)
        except (openai.OpenAIError, ValueError) as exc:
            raise UserError(f"OPENAI_BASE_URL: {self._hidden(str(exc))}") from None
        # OpenAI's own models can do without thinking, and have their own name for the limit
        self._limit = "max_completion_tokens" if re.match(r"gpt-|o\d", self.model) else "max_tokens"
        if self.model.startswith("gpt-"):
            self.parameters.setdefault("reasoning_effort", "none")

    def stop(self) -> None:
        """Give up trying again, whoever waits for that."""
        self._ending.set()

    def ask(self, messages: list[dict[str, str]], most_tokens: int, tries: int = TRIES) -> Answer:
        """One call, of at most `tries` where trying again may help; never raises for what a server does."""
        start, lost = time.monotonic(), 0
        for n in range(1, tries + 1):
            found, wait_s = self._once(messages, most_tokens)
            lost += found["status"] in _LOST
            if wait_s is None or n == tries or self._ending.wait(wait_s or _WAIT_S * 2 ** (n - 1)):
                break
        return Answer(**found, tries=n, lost=lost, seconds=time.monotonic() - start)

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
            if self._without(exc):
                return self._once(messages, most_tokens)
            status, wait_s = _refused(exc)
            reason = self._gone() if status == "no_such_model" else str(exc.message)
        except openai.APITimeoutError:
            status, wait_s, reason = "timeout", 0.0, f"no answer in {TIMEOUT_S:.0f} s"
        except openai.APIConnectionError as exc:
            status, wait_s, reason = "no_connection", 0.0, str(exc.__cause__ or exc)
        except (openai.OpenAIError, ValueError) as exc:  # a body that is no JSON is a ValueError
            status, wait_s, reason = "unreadable", 0.0, str(exc)
        return dict(status=status, text=None, reason=self._hidden(reason)), wait_s

    def _without(self, exc: Any) -> bool:
        """Whether a server refused a parameter that can be left out or renamed, which is then done."""
        if exc.status_code != 400:
            return False
        if "reasoning_effort" in str(exc.message) and self.parameters.pop("reasoning_effort", None):
            return True
        other = {"max_tokens": "max_completion_tokens"}.get(self._limit)
        if other and other in str(exc.message):
            self._limit = other
            return True
        return False

    def _gone(self) -> str:
        """Why there is no such model: since when it is not, if the server says."""
        import openai

        try:
            date = getattr(self._client.models.retrieve(self.model), "shutdown_date", None)
        except (openai.OpenAIError, ValueError):
            date = None
        gone = f"; it was shut down on {date}" if date else ""
        return f"there is no model {self.model}{gone}: give another with DESCRIBER_MODEL"

    def _hidden(self, text: str) -> str:
        """A server's words, the key blotted out."""
        return _line(text.replace(self._key, "***"))


def _line(text: str) -> str:
    """A server's words on one line, cut to what a table shows."""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:200]


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
    """A completion as the parts of an answer; whatever it lacks is a status. The client checks no types."""
    if not hasattr(found, "choices") and not hasattr(found, "id"):
        return dict(status="unreadable", text=None, reason="the answer is no JSON object"), 0.0
    usage = getattr(found, "usage", None)
    took = {
        name: count if type(count) is int and count >= 0 else None
        for name, count in (
            ("prompt_tokens", getattr(usage, "prompt_tokens", None)),
            ("answer_tokens", getattr(usage, "completion_tokens", None)),
        )
    }
    status, text, reason = _judged(getattr(found, "choices", None))
    return dict(status=status, text=text, reason=reason, **took), None


def _judged(choices: Any) -> tuple[str, str | None, str | None]:
    """Status, text and reason of what a completion holds."""
    if not isinstance(choices, list) or not choices:
        return "no_choices", None, "the answer holds no choices"
    message = getattr(choices[0], "message", None)
    text, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
    ended = getattr(choices[0], "finish_reason", None)
    if refusal:
        return "refused", None, _line(str(refusal))
    if ended in ("content_filter", "length"):
        return ended, None, f"the answer ended by {ended}"
    if not isinstance(text, str) or not text.strip():
        return "empty", None, "the answer is empty"
    return "ok", text.encode("utf-8", "replace").decode().strip(), None
