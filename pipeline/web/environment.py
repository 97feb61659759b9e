"""What the environment says of proxies and certificates, held against what is there before it is used.

The libraries that ask read these variables themselves, and fail with a traceback, or without naming one.
"""

from __future__ import annotations

import importlib.util
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from pipeline.errors import UserError


@dataclass(frozen=True)
class Library:
    """A library that asks: what it needs for a SOCKS proxy, and the variables that name certificates."""

    socks: tuple[str, ...]
    module: str
    package: str
    certificates: tuple[str, ...]


REQUESTS = Library(
    ("socks4", "socks4a", "socks5", "socks5h"),
    "socks",
    "PySocks",
    ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
HTTPX = Library(("socks5", "socks5h"), "socksio", "socksio", ("SSL_CERT_FILE", "SSL_CERT_DIR"))


def check_requests(address: str, *, direct: bool) -> None:
    """Raise UserError where a variable keeps requests from an address; `direct` where it takes no proxy."""
    scheme = urlsplit(address).scheme
    if not direct:
        used = [name for name in (_variable(scheme), _variable("all")) if name]
        for name in used[:1]:
            _check_proxy(name, REQUESTS)
    if scheme == "https":
        _check_certificates(REQUESTS)


def check_httpx() -> None:
    """Raise UserError where httpx2 could not ask anybody: it prepares for all proxies before it asks."""
    for kind in ("http", "https", "all"):
        name = _variable(kind)
        if name and "*" not in (part.strip() for part in _no_proxy().split(",")):
            _check_proxy(name, HTTPX)
    _check_certificates(HTTPX)


def for_httpx(address: str) -> dict[str, Any]:
    """What a client of httpx2 for one address has to be told beside its own settings.

    Raises UserError as check_httpx, but not for a proxy that NO_PROXY keeps from this address.
    """
    try:
        check_httpx()
    except UserError:
        _check_certificates(HTTPX)
        if not proxy_bypass(urlsplit(address).netloc):
            raise
        import httpx2

        return {"trust_env": False, "verify": httpx2.create_ssl_context()}
    return {}


def _no_proxy() -> str:
    return os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))


def _variable(kind: str) -> str | None:
    """The variable that names the proxy of a kind: in small letters it counts first, even if empty."""
    names = [name for name in (f"{kind}_proxy", f"{kind}_proxy".upper()) if name in os.environ]
    return names[0] if names and os.environ[names[0]] else None


def _check_proxy(name: str, library: Library) -> None:
    """Raise UserError for a proxy that a library cannot use; its address may hold a password: not told."""
    given = os.environ[name]
    try:
        parts = urlsplit(given if "://" in given else f"http://{given}")
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        has_host = False
    way_out = "give one such as http://proxy.example:3128, or unset it"
    if not has_host or not given.isprintable() or " " in given:
        raise UserError(f"{name} is no address of a proxy; {way_out}")
    if parts.scheme in library.socks:
        if importlib.util.find_spec(library.module) is None:
            raise UserError(
                f"{name} names a {parts.scheme} proxy, which needs the package {library.package}; install "
                f"it, or {way_out}"
            )
    elif parts.scheme not in ("http", "https"):
        raise UserError(f"{name} names a proxy of the unknown scheme {parts.scheme!r}; {way_out}")


def _check_certificates(library: Library) -> None:
    """Raise UserError for a file or folder of certificates that is not there or holds none."""
    for name in library.certificates:
        given = os.environ.get(name)
        if not given:
            continue
        paths = given.split(os.pathsep) if name.endswith("_DIR") else [given]
        is_folder = not name.endswith("_FILE") and any(map(os.path.isdir, paths))
        if not is_folder and (name.endswith("_DIR") or not os.path.isfile(given)):
            what = "folder" if name.endswith("_DIR") else "file"
            raise UserError(f"{name}: there is no {what} {given}; name one with certificates, or unset it")
        try:
            if not is_folder:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(given)
        except OSError as exc:
            reason = exc.strerror or str(exc)
            raise UserError(f"{name}: cannot read certificates from {given}: {reason}; unset it") from exc
        break  # the first one that is set counts
    if keys := os.environ.get("SSLKEYLOGFILE"):  # which Python opens for every connection
        try:
            Path(keys).open("a").close()
        except OSError as exc:
            raise UserError(f"SSLKEYLOGFILE: cannot write {keys}: {exc.strerror}; unset it") from exc
