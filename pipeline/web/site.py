"""A web site, fetched politely, with `requests`.

One session identifies itself, honours robots.txt and never exceeds the rate it is given. When the site is
in trouble or asks for it, all threads wait, longer with every try. Nothing of another host is ever fetched.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

import requests
import urllib3

from pipeline import __version__
from pipeline.errors import PageError, PipelineError, UserError
from pipeline.output import tell
from pipeline.printable import line
from pipeline.web import environment, robots
from pipeline.web.deadline import Adapter, Deadline
from pipeline.web.retry_after import retry_after
from pipeline.web.robots import Robots, TooManyRulesError

AGENT = "feature-neurons"
MOST_BYTES = 16 * 2**20  # of a page; those of Neuroscope have 1 MB
_REDIRECTS = 5
_LONGEST_WAIT_S = 300.0  # if a site asks for more, the run stops
_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationValueError,
    UnicodeError,
)
_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError)
_LATE = (requests.Timeout, urllib3.exceptions.TimeoutError)


@dataclass(frozen=True)
class Manners:
    """How fast and how persistently a site is asked: requests per second and connections at most, seconds
    and bytes that a whole page may take, tries per page, and the wait after the first."""

    rate: float
    connections: int
    timeout_s: float
    tries: int
    wait_s: float
    n_bytes: int = MOST_BYTES


@dataclass(frozen=True)
class Answer:
    """A site's answer for one address.

    `status` is ok (with `body`), same (as before), missing, refused (a definite no), unreadable (not what
    was expected; with `body` unless it is too large) or failed (tried as often as allowed); the last three
    with their `reason`, which can be printed as it is.
    """

    status: str
    body: bytes | None = None
    reason: str | None = None
    etag: str | None = None
    last_modified: str | None = None


class StopError(PipelineError):
    """No further request must be sent to the site now; the message says why."""


class _TroubleError(Exception):
    """A try failed that may succeed later; `wait_s` is the wait that the site asks for."""

    def __init__(self, reason: str, wait_s: float = 0.0, body: bytes | None = None) -> None:
        super().__init__(line(reason))
        self.wait_s, self.body = wait_s, body


class Web:
    """A site below one address; can be used from several threads at once."""

    changes = False  # pages are fetched again only with REFRESH

    def __init__(self, address: str, manners: Manners, *, recorded: bool = False) -> None:
        self.address = address.rstrip("/") + "/"
        self.manners = manners
        self.stopped = threading.Event()
        self._pace = _Pace(manners.rate, self.stopped)
        self._session = requests.Session()
        self._session.trust_env = not recorded  # a recording needs no proxy and no certificates
        self._session.headers["User-Agent"] = f"{AGENT}/{__version__} (research on language-model neurons)"
        adapter = Adapter(pool_maxsize=manners.connections)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)
        self._robots: Robots | None = None
        self._reached = False
        self._opening = threading.Lock()

    def close(self) -> None:
        """End all waiting and close the connections."""
        self.stopped.set()
        self._session.close()

    def _read_robots(self) -> Robots:
        """What robots.txt allows; raises PipelineError where the site cannot be reached."""
        address = urljoin(self.address, "/robots.txt")
        if self._session.trust_env:
            direct = requests.utils.should_bypass_proxies(address, no_proxy=None)
            environment.check_requests(address, direct=direct)
        answer = self._tried(address, accept=None, known={})
        if answer.status == "failed":
            raise PipelineError(
                f"SITE: cannot reach {self.address}: {answer.reason}; check the address and the "
                "connection, or give a folder with a mirror of the site"
            )
        forbidden = answer.reason in ("HTTP 401", "HTTP 403")  # any other error: there is no robots.txt
        try:
            found = Robots(b"User-agent: *\nDisallow: /" if forbidden else answer.body or b"", AGENT)
        except TooManyRulesError as exc:
            raise StopError(
                f"SITE: {address} holds {exc}, more than are read; ask its owner, or use a mirror"
            ) from exc
        if found.is_cut:
            told = f"only its first {robots.MOST_BYTES:,} bytes count"
            tell(f"{address} is too large: {told}")
        if found.gap_s > _LONGEST_WAIT_S:
            raise StopError(
                f"SITE: {address} asks for {found.gap_s:,.0f} s between pages; ask its owner, or use a "
                "mirror"
            )
        self._pace.gap_s = max(self._pace.gap_s, found.gap_s)
        return found

    @property
    def connections(self) -> int:
        """Requests that may be open at once."""
        return self.manners.connections

    @property
    def rate(self) -> float:
        """Requests per second, after robots.txt."""
        return 1 / self._pace.gap_s if self._pace.gap_s else float("inf")

    def get(
        self, path: str, accept: Callable[[bytes], object], etag: str | None, last_modified: str | None
    ) -> Answer:
        """Ask for a page until it is there, missing, or tried too often.

        `accept` raises PageError for a body that is not what was expected; such a page is tried once more
        only, since the next answer will hardly differ. With `etag` or `last_modified` the answer may be
        `same`. Raises StopError where robots.txt forbids the page or the site asks to be left alone.
        """
        address = self.address + quote(path)
        with self._opening:
            if self._robots is None:
                self._robots = self._read_robots()
        if not self._robots.allows(address):
            raise StopError(f"SITE: robots.txt forbids {address}; ask the site's owner, or use a mirror")
        known = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        return self._tried(address, accept, {k: v for k, v in known.items() if v and _can_be_sent(v)})

    def _tried(
        self, address: str, accept: Callable[[bytes], object] | None, known: dict[str, str]
    ) -> Answer:
        """The answer after as many tries as it takes; without `accept` it is that for robots.txt."""
        n_bytes = self.manners.n_bytes if accept else robots.MOST_BYTES
        unreadable = 0
        for number in range(1, self.manners.tries + 1):
            try:
                answer = self._ask(address, known, n_bytes)
                if accept and answer.status == "ok":
                    body = answer.body or b""
                    if len(body) > n_bytes:
                        return Answer("unreadable", reason=f"more than {n_bytes:,} bytes")
                    accept(body)
                return answer
            except PageError as exc:
                unreadable += 1
                trouble = _TroubleError(str(exc), body=answer.body)
            except _TroubleError as exc:
                trouble = exc
            except _NO_ADDRESS as exc:
                raise UserError(f"SITE: {address} is not an address: {line(_short(exc))}") from exc
            if number == self.manners.tries or unreadable == 2:
                break
            wait_s = max(trouble.wait_s, self.manners.wait_s * 2 ** (number - 1))
            if not self._reached:  # later, failures are counted beside the progress
                tell(f"{address}: {trouble}; trying again")
            self._pace.hold(wait_s)
        if trouble.body is not None:
            return Answer("unreadable", trouble.body, str(trouble))
        return Answer("failed", reason=f"{trouble} ({number} tries)")

    def _ask(self, address: str, known: dict[str, str], n_bytes: int) -> Answer:
        """One try, redirects within the host followed; raises _TroubleError or what _NO_ADDRESS lists."""
        asked = address
        for _ in range(_REDIRECTS):
            try:
                found = self._once(address, known, n_bytes)
            except _NO_ADDRESS:
                if address == asked:
                    raise
                return _refused(f"redirects to {address[:100]}, which is not an address")
            if isinstance(found, Answer):
                self._reached = True
                return found
            if not _same_site(address, found):
                return _refused(f"redirects to {found[:100]}, another site")
            address = urljoin(address, found)
            if self._robots is not None and not self._robots.allows(address):
                return _refused(f"redirects to {address[:100]}, which robots.txt forbids")
        return _refused(f"more than {_REDIRECTS} redirects")

    def _once(self, address: str, known: dict[str, str], n_bytes: int) -> Answer | str:
        """The answer to one request, or the address to which it redirects."""
        timeout_s = self.manners.timeout_s
        late = _TroubleError(f"no whole answer in {timeout_s:g} s")
        with Deadline(timeout_s) as deadline:
            self._pace.turn()
            deadline.begin()
            try:
                with self._sent(address, known) as response:
                    found = _read(response, n_bytes, asked_if_changed=bool(known))
            except _NO_ADDRESS:
                raise
            except _BROKEN as exc:
                if deadline.passed or isinstance(exc, _LATE):
                    raise late from exc
                raise _TroubleError(_short(exc)) from exc
            if deadline.passed:  # a header, or a body of unknown length, ends early without an error
                raise late
        if isinstance(found, _TroubleError):
            raise found
        return found

    def _sent(self, address: str, headers: dict[str, str]) -> requests.Response:
        """The head of an answer. The session itself would look where it redirects, and fail there."""
        request = self._session.prepare_request(requests.Request("GET", address, headers))
        url = request.url or address
        found = self._session.merge_environment_settings(url, {}, True, None, None)
        return self._session.get_adapter(url).send(request, timeout=self.manners.timeout_s, **found)


def _refused(reason: str) -> Answer:
    return Answer("refused", reason=line(reason))


def _read(
    response: requests.Response, n_bytes: int, *, asked_if_changed: bool
) -> Answer | str | _TroubleError:
    """What an answer means: where it redirects, or a page.

    A body is not read further once it is larger than `n_bytes`.
    """
    if response.is_redirect:
        return response.headers["Location"].encode("latin-1", "replace").decode(errors="replace")
    if response.status_code != 200:
        return _without_page(response, asked_if_changed=asked_if_changed)
    return Answer(
        "ok",
        _body(response, n_bytes),
        etag=response.headers.get("ETag"),
        last_modified=response.headers.get("Last-Modified"),
    )


def _can_be_sent(value: str) -> bool:
    """Whether a header's value is one line of plain characters, as those to be sent have to be."""
    return value.isascii() and value.isprintable() and len(value) <= 1000


def _without_page(response: requests.Response, *, asked_if_changed: bool) -> Answer | _TroubleError:
    """What a response with another status than 200 means: trouble where that may pass."""
    code = response.status_code
    if code == 304 and asked_if_changed:
        return Answer("same")
    if code in (404, 410):
        return Answer("missing", reason=f"HTTP {code}")
    if code in (304, 408, 425, 429) or code >= 500:
        wait_s = retry_after(response.headers.get("Retry-After"))
        if wait_s > _LONGEST_WAIT_S:
            raise StopError(
                f"SITE: HTTP {code}: the site asks to be left alone for {wait_s / 60:.0f} min; what was "
                "fetched is kept, the same command continues then"
            )
        return _TroubleError(f"HTTP {code}", wait_s)
    return Answer("refused", reason=f"HTTP {code}")


def _same_site(address: str, target: str) -> bool:
    """Whether a redirect stays on its host and port, or only changes to TLS."""
    try:
        here, there = urlsplit(address), urlsplit(urljoin(address, target))
        secured = (here.scheme, here.port, there.scheme, there.port) == ("http", None, "https", None)
        same = (here.scheme, here.port) == (there.scheme, there.port)
    except ValueError:  # it is not an address at all
        return False
    return here.hostname == there.hostname and (same or secured)


def _body(response: requests.Response, n_bytes: int) -> bytes:
    """The body, decompressed; urllib3 raises where it is shorter than the server said."""
    parts, size = [], 0
    response.raw.decode_content = True
    while size <= n_bytes and (part := response.raw.read1(2**16)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _short(exc: BaseException) -> str:
    """What went wrong with a connection, without the libraries' nested names and addresses."""
    kinds = {
        requests.exceptions.SSLError: "no trusted TLS certificate",
        urllib3.exceptions.DecodeError: "damaged compression",
    }
    for kind, text in kinds.items():
        if isinstance(exc, kind):
            return text
    innermost: BaseException = exc
    while (cause := innermost.__cause__ or innermost.__context__) is not None:
        innermost = cause
    text = getattr(innermost, "strerror", None) or " ".join(str(innermost).split())[:120]
    return f"connection broken: {text}"


class _Pace:
    """Turns, at most `rate` a second for all threads together; `hold` makes all of them wait."""

    def __init__(self, rate: float, stopped: threading.Event) -> None:
        self.gap_s = 1 / rate
        self._stopped = stopped
        self._free = 0.0
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Wait for the next turn; raises StopError once the work has been stopped."""
        while not self._stopped.is_set():
            with self._lock:
                now = time.monotonic()
                if now >= self._free:
                    self._free = now + self.gap_s
                    return
                wait_s = self._free - now
            self._stopped.wait(wait_s)
        raise StopError("stopped")

    def hold(self, seconds: float) -> None:
        """Block all requests for `seconds`."""
        with self._lock:
            self._free = max(self._free, time.monotonic() + seconds)
