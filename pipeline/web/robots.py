"""What a site's robots.txt asks of us; the only module that imports `protego`."""

from __future__ import annotations

from protego import Protego

MOST_BYTES = 500 * 1024  # RFC 9309: a reader may stop there, and not before
_MOST_RULES = 2**22  # a rule is kept once for each agent that it is given for


class TooManyRulesError(ValueError):
    """Reading these rules would take minutes; the message says how many there are."""


class Robots:
    """The rules of a robots.txt for one agent.

    What stands after the first `MOST_BYTES` does not count; `is_cut` says that there is more. Raises
    TooManyRulesError where agents times rules are more than 4,194,304.
    """

    def __init__(self, body: bytes, agent: str) -> None:
        self._agent = agent
        self.is_cut = len(body) > MOST_BYTES
        if self.is_cut:  # at the end of a line: half a rule is another rule
            body = body[: max(body.rfind(end, 0, MOST_BYTES + 1) for end in (b"\n", b"\r")) + 1]
        text = body.decode("utf-8-sig", errors="replace")
        lines = [line.lstrip().lower() for line in text.splitlines()]
        n_agents = sum(line.startswith("user") for line in lines)
        if n_agents * (len(lines) - n_agents) > _MOST_RULES:
            raise TooManyRulesError(f"{len(lines) - n_agents:,} rules for {n_agents:,} agents")
        self._rules = Protego.parse(text)

    def allows(self, address: str) -> bool:
        """Whether a page may be fetched."""
        return self._rules.can_fetch(address, self._agent)

    @property
    def gap_s(self) -> float:
        """Seconds between two requests, at least."""
        asked = self._rules.request_rate(self._agent)
        rate = min(asked.seconds, 10**12) / min(asked.requests, 10**12) if asked else 0.0
        return max(self._rules.crawl_delay(self._agent) or 0.0, rate)
