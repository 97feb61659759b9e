"""The forms in which servers take a request, and the next one to try where a server refuses.

Servers of one protocol differ in the parameters and roles that they know, and word refusals as they like.
So a refusal is only searched for what it is about.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

# names of the limit of tokens; one is always sent, since what a call may cost hangs on it
LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")  # of a model that can reason, least first
# who says the instructions: a message of the system, or the user, in a message before the data or in one
ROLES = ("system", "user before", "user")
# what a refusal is about
ABOUT = {
    "effort": r"reason|effort|thinking",
    "limit": r"max[ _.-]?(?:completion|output|new)?[ _.-]?tokens",
    "roles": r"\broles?\b|alternat|['\"`]system['\"`]|(?:system|developer)[ _-](?:message|prompt|instruct)",
}
_UNKNOWN = (
    r"unknown|unrecogni|unexpected|unsupported param|extra|permitted|no such|does(?: not|n.t) exist|allowed"
)
_SOMETHING = rf"{_UNKNOWN}|param|argument|field|input|propert|unsupported|not support|schema|valid"
# a refusal that says nothing, as proxies and small servers give
_NOTHING = r"HTTP \d+:[\W_]*(?:(?:bad|invalid)[\W_]request|error|null|none|400)?[\W_]*\Z"


@dataclass(frozen=True)
class Request:
    """A form of a request: the name of the limit, the effort (None: not sent), and who says the
    instructions. `refused` are the names and efforts that the server refused."""

    limit: str = "max_tokens"
    effort: str | None = None
    roles: str = "system"
    refused: frozenset[str] = frozenset()

    @classmethod
    def of(cls, model: str) -> Request:
        """The first form for a model: OpenAI's own can answer without reasoning, and have another name for
        the limit."""
        own = re.match(r"(?:.*/)?(?:gpt-|o\d)", model)
        return cls("max_completion_tokens", EFFORTS[0]) if own else cls()

    def arguments(self, messages: list[dict[str, str]], most_tokens: int) -> dict[str, Any]:
        """What is sent beside the model's name, for instructions of the system and data of the user."""
        known = self.limit in LIMITS[:2]  # to OpenAI's client
        limit: dict[str, Any] = {self.limit: most_tokens}
        effort = {} if self.effort is None else {"reasoning_effort": self.effort}
        return {"messages": self._said(messages), **(limit if known else {"extra_body": limit}), **effort}

    def _said(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        if self.roles == "system":
            return messages
        texts = [message["content"] for message in messages]
        if self.roles == "user":
            texts = ["\n\n".join(texts)]
        return [{"role": "user", "content": text} for text in texts]

    def after(self, refusal: str, message: str, code: int, *, taken: bool) -> Request | None:
        """The form to try after a refusal with an HTTP status, None where none is left.

        What the refusal names is changed. One whose `message` is about the form and names nothing changes
        one thing, unless the server has `taken` this form before.
        """
        named = [what for what, words in ABOUT.items() if re.search(words, refusal, re.IGNORECASE)]
        changed = self
        for what in named:
            changed = changed._other(what, refusal)
        if changed != self:
            return changed
        formal = code == 422 or (
            code < 500 and re.search(f"{_SOMETHING}|{_NOTHING}", message, re.IGNORECASE)
        )
        if named or taken or not formal:
            return None
        options = (self._other(what, refusal) for what in ("effort", "roles", "limit"))
        return next((other for other in options if other != self), None)

    def _other(self, what: str, refusal: str) -> Request:
        """This form with another value of one thing; the same where there is none."""
        if what == "effort":
            return self if self.effort is None else self._less_effort(refusal)
        values, value = (LIMITS, self.limit) if what == "limit" else (ROLES, self.roles)
        refused = self.refused | {value}
        left = [each for each in values if each not in refused]
        if not left:
            return self
        named = [each for each in left if re.search(rf"\b{each}\b", refusal)] if what == "limit" else []
        return dataclasses.replace(self, **{what: (named or left)[0]}, refused=refused)

    def _less_effort(self, refusal: str) -> Request:
        """This form with the least effort that the refusal names, else with the next one if it was the
        value that was refused, else with none."""
        refused = self.refused | {str(self.effort)}
        left = [each for each in EFFORTS if each not in refused]
        named = [each for each in left if re.search(rf"\b{each}\b", refusal)]
        value = re.search(rf"\b{self.effort}\b", refusal) and not re.search(
            _UNKNOWN, refusal, re.IGNORECASE
        )
        effort = named[0] if named else left[0] if left and value else None
        return dataclasses.replace(self, effort=effort, refused=refused)
