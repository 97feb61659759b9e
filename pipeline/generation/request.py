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
FORMS = ("json_schema", "text")  # what an answer in JSON is held to
# what a refusal is about
ABOUT = {
    "effort": r"reason|effort|thinking",
    "form": r"response[ _.-]?format|json[ _]schema|structured[ _]output|grammar|m(?:in|ax)(?:Items|Length)",
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
    """A form of a request: the name of the limit, the effort (None: not sent), who says the instructions,
    and whether a JSON schema is sent. `refused` are the names and efforts that the server refused."""

    limit: str = "max_tokens"
    effort: str | None = None
    roles: str = "system"
    form: str = "json_schema"
    refused: frozenset[str] = frozenset()

    @classmethod
    def of(cls, model: str) -> Request:
        """The first form for a model: OpenAI's own can answer without reasoning, and have another name for
        the limit."""
        own = re.match(r"(?:.*/)?(?:gpt-|o\d)", model)
        return cls("max_completion_tokens", EFFORTS[0]) if own else cls()

    def arguments(
        self, messages: list[dict[str, str]], most_tokens: int, schema: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What is sent beside the model's name, for messages of which the first holds the instructions.
        `schema` is that of an answer in JSON, None for one in words."""
        known = self.limit in LIMITS[:2]  # to OpenAI's client
        sent: dict[str, Any] = {"messages": self._said(messages)}
        sent |= {self.limit: most_tokens} if known else {"extra_body": {self.limit: most_tokens}}
        if self.effort is not None:
            sent["reasoning_effort"] = self.effort
        if schema and self.form == "json_schema":
            named = {"name": "answer", "strict": True, "schema": schema}
            sent["response_format"] = {"type": "json_schema", "json_schema": named}
        return sent

    def _said(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        if self.roles == "system":
            return messages
        instructions, first, *others = messages
        if self.roles == "user before":
            return [instructions | {"role": "user"}, first, *others]
        return [first | {"content": f"{instructions['content']}\n\n{first['content']}"}, *others]

    def after(
        self, refusal: str, message: str, code: int, *, taken: bool, shaped: bool = False
    ) -> Request | None:
        """The form to try after a refusal with an HTTP status, None where none is left; `shaped`: of a
        request with a JSON schema.

        What the refusal names is changed. One whose `message` is about the form and names nothing changes
        one thing, unless the server has `taken` this form before.
        """
        kinds = ("effort", *(("form",) if shaped else ()), "roles", "limit")
        named = [what for what in kinds if re.search(ABOUT[what], refusal, re.IGNORECASE)]
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
        others = (self._other(what, refusal) for what in kinds)
        return next((other for other in others if other != self), None)

    def _other(self, what: str, refusal: str) -> Request:
        """This form with another value of one thing; the same where there is none."""
        if what == "effort":
            return self if self.effort is None else self._less_effort(refusal)
        values, value = {
            "limit": (LIMITS, self.limit),
            "roles": (ROLES, self.roles),
            "form": (FORMS, self.form),
        }[what]
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
