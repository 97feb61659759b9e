"""Calls of a language model within limits: announced, never exceeding them, each recorded with its cost."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.config import Config
from pipeline.generation.chat import STOP, TRIES, TROUBLE, Answer, Describer, server
from pipeline.output import tell

if TYPE_CHECKING:
    from pipeline.generation.prompts import Prompt

_FAILURES = 3  # failed calls in a row after which a server, or a model that never answered, is given up


def announce(what: str, prompts: Sequence[Prompt], config: Config) -> None:
    """Print how many calls, tokens and USD these prompts will take; `what` names their purpose."""
    counts = [prompt.expected for prompt in prompts]
    n_tokens = sum(map(sum, counts))
    cost = sum(price(config, *count) or 0.0 for count in counts)
    price_told = f"about ${cost:,.4f}" if config.prices else "cost unknown: PRICE (--price) is not set"
    dry = "; none is made: DRY_RUN" if config.dry_run else ""
    tell(
        f"{what}: {len(counts):,} calls of {config.describer_model}, about {n_tokens:,} tokens, "
        f"{price_told}{dry}"
    )


def price(config: Config, prompt_tokens: int | None, answer_tokens: int | None) -> float | None:
    """The price in USD; None where no price is set or a count is missing."""
    if config.prices is None or prompt_tokens is None or answer_tokens is None:
        return None
    read, written = config.prices
    return (prompt_tokens * read + answer_tokens * written) / 1e6


def _describer(config: Config) -> Describer:
    return Describer(config.describer_model, timeout_s=config.answer_timeout_s)


def _told(answer: Answer) -> str | None:
    """Why there is no text, and what came instead."""
    return answer.reason if answer.raw is None else f"{answer.reason}; it said '{answer.raw}'"


class Budget:
    """Asks the describer's model until a limit is reached or the server refuses for good.

    Several threads may ask. Until the first good answer only one call is made at a time, so that a key or a
    model that is refused is refused once. `describer` replaces the one of DESCRIBER_MODEL.
    """

    def __init__(self, config: Config, describer: Describer | None = None) -> None:
        self.config = config
        self.describer = None if config.dry_run else describer or _describer(config)
        self.over = "DRY_RUN" if config.dry_run else None  # why nothing more is asked
        self.n_calls, self.spent, self.failures = 0, 0.0, 0
        self._under_way: list[tuple[int, float]] = []  # tries and USD reserved for calls under way
        self._proven = False
        self._settled = threading.Condition()

    def stop(self) -> None:
        """Make no more calls, and end all waits for another try."""
        with self._settled:
            self.over = self.over or "interrupted"
            self._settled.notify_all()
        if self.describer:
            self.describer.stop()

    def ask(self, prompt: Prompt) -> tuple[str | None, dict[str, Any]]:
        """The text, None unless the call succeeded; and status, reason and the columns of a call."""
        own = dict(
            prompt_sha256=prompt.sha256, describer_model=self.config.describer_model, server=server()
        )
        prompt = dataclasses.replace(prompt, most_tokens=self.config.answer_tokens)
        reserved = self._reserve(prompt)
        if reserved is None or self.describer is None:
            return None, own | dict(status="not_asked", reason=self.over)
        answer = self.describer.ask(prompt.messages, prompt.most_tokens, reserved[0], prompt.schema)
        took, most = self._price(prompt, answer)
        with self._settled:
            self._under_way.remove(reserved)
            self.n_calls += answer.tries
            self.spent += most or 0.0
            self._proven = self._proven or answer.status == "ok"
            failed = answer.status in TROUBLE or not self._proven
            self.failures = self.failures + 1 if failed else 0
            if answer.status in STOP or self.failures == _FAILURES:
                self.over = self.over or answer.reason
            self._settled.notify_all()
        return answer.text, own | dict(
            status=answer.status,
            reason=_told(answer),
            called=datetime.now(UTC).replace(tzinfo=None),
            tries=answer.tries,
            seconds=answer.seconds,
            prompt_tokens=answer.prompt_tokens,
            answer_tokens=answer.answer_tokens,
            price_usd=took,
            most_usd=most,
        )

    def _reserve(self, prompt: Prompt) -> tuple[int, float] | None:
        """Reserve the tries that fit into the limits, and what they may cost; None where no more calls are
        made. Waits for calls under way while they hold what is left."""
        one = price(self.config, *prompt.at_most) or 0.0  # a lost answer may be charged
        with self._settled:
            while True:
                held = [sum(each) for each in zip(*self._under_way, strict=True)] or [0, 0.0]
                tries, why = self._tries(one, *held)
                if self.over or not (held[0] and (tries < 1 or not self._proven)):
                    break
                self._settled.wait()
            self.over = self.over or (why if tries < 1 else None)
            if self.over:
                return None
            self._under_way.append((tries, tries * one))
            return self._under_way[-1]

    def _tries(self, one: float, held_calls: int, held_usd: float) -> tuple[int, str]:
        """How many tries at this price (`one`) fit beside those under way, and which limit decides."""
        calls, cost = self.config.max_calls, self.config.max_cost
        limits = [(TRIES, "")]
        if calls is not None:
            limits.append((calls - self.n_calls - held_calls, "MAX_CALLS is reached"))
        if cost is not None and one:
            left = min((cost - self.spent - held_usd) / one, TRIES)
            limits.append((int(left), "MAX_COST would be passed"))
        return min(limits)

    def _price(self, prompt: Prompt, answer: Answer) -> tuple[float | None, float | None]:
        """The cost of a call by its counted tokens, and the most it can have cost with lost answers."""
        took = price(self.config, answer.prompt_tokens, answer.answer_tokens)
        one = price(self.config, *prompt.at_most)
        if one is None:
            return None, None
        return took, (took or 0.0) + answer.unsure * one
