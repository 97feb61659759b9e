"""Calls of a language model within limits: told beforehand, never beyond, each with what it took."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.config import Config
from pipeline.describer import STOP, TRIES, TROUBLE, Answer, Describer, server
from pipeline.prompts import Prompt

_FAILURES = 3  # calls in a row that fail before the server, or a model that never answered, is left alone


def announce(what: str, prompts: Sequence[Prompt], config: Config) -> None:
    """Say what asking these takes, before it is paid; `what` it is for."""
    counts = [prompt.expected for prompt in prompts]
    n_tokens = sum(map(sum, counts))
    cost = sum(price(config, *count) or 0.0 for count in counts)
    told = f"about ${cost:,.4f}" if config.prices else "cost unknown: PRICE (--price) is not set"
    dry = "; none is made: DRY_RUN" if config.dry_run else ""
    print(
        f"{what}: {len(counts):,} calls of {config.describer_model}, about {n_tokens:,} tokens, "
        f"{told}{dry}",
        file=sys.stderr,
        flush=True,
    )


def price(config: Config, prompt_tokens: int | None, answer_tokens: int | None) -> float | None:
    """In USD; null where no price is set or nothing was counted."""
    if config.prices is None or prompt_tokens is None or answer_tokens is None:
        return None
    read, written = config.prices
    return (prompt_tokens * read + answer_tokens * written) / 1e6


class Budget:
    """Asks the describer's model, until a limit is reached or the server says that it is of no use.

    Several threads may ask. Until the first good answer one at a time does, so that a key or a model that
    is refused is refused once.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.describer = None if config.dry_run else Describer(config.describer_model)
        self.over = "DRY_RUN" if config.dry_run else None  # why nothing more is asked
        self.n_calls, self.spent, self.failures = 0, 0.0, 0
        self._under_way: list[tuple[int, float]] = []  # the tries and USD that calls may still take
        self._proven = False
        self._settled = threading.Condition()

    def stop(self) -> None:
        """Ask nothing more, and give up trying again."""
        with self._settled:
            self.over = self.over or "interrupted"
            self._settled.notify_all()
        if self.describer:
            self.describer.stop()

    def ask(self, prompt: Prompt) -> tuple[str | None, dict[str, Any]]:
        """The text, null unless all is well; and status, reason and the columns of a call."""
        own = dict(
            prompt_sha256=prompt.sha256, describer_model=self.config.describer_model, server=server()
        )
        reserved = self._reserve(prompt)
        if reserved is None:
            return None, own | dict(status="not_asked", reason=self.over)
        answer = self.describer.ask(prompt.messages, prompt.most_tokens, reserved[0])
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
            reason=answer.reason,
            called=datetime.now(UTC).replace(tzinfo=None),
            tries=answer.tries,
            seconds=answer.seconds,
            prompt_tokens=answer.prompt_tokens,
            answer_tokens=answer.answer_tokens,
            price_usd=took,
            most_usd=most,
        )

    def _reserve(self, prompt: Prompt) -> tuple[int, float] | None:
        """The tries that this may take without passing a limit, and what they may cost; null where nothing
        more is asked. Waits for calls under way while they hold what is left."""
        one = price(self.config, *prompt.at_most) or 0.0  # a try whose answer is lost may be paid
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
        """How often a call at most so dear may be tried beside those under way, and what limits it."""
        calls, cost = self.config.max_calls, self.config.max_cost
        limits = [(TRIES, "")]
        if calls is not None:
            limits.append((calls - self.n_calls - held_calls, "MAX_CALLS is reached"))
        if cost is not None and one:
            left = min((cost - self.spent - held_usd) / one, TRIES)
            limits.append((int(left), "MAX_COST would be passed"))
        return min(limits)

    def _price(self, prompt: Prompt, answer: Answer) -> tuple[float | None, float | None]:
        """What a call cost, as far as was counted, and at most, answers that never came whole included."""
        took = price(self.config, answer.prompt_tokens, answer.answer_tokens)
        one = price(self.config, *prompt.at_most)
        if one is None:
            return None, None
        return took, (took or 0.0) + answer.unsure * one
