"""What decides numbers on a machine: this package's code, and the versions of others."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.engine import code
from pipeline.tables import fingerprint

_PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Versions:
    """The packages that decide numbers, and this one: the bytes of its files, and what they are as code."""

    packages: tuple[tuple[str, str], ...]
    files: str
    code: str

    def refusal(self, machine: str) -> str:
        """Why this machine, called `machine`, gives other numbers than where these versions are; empty
        where it gives the same."""
        own = dict(_packages())
        differ = [
            f"{name} {own.get(name, 'missing')} (here {theirs})"
            for name, theirs in self.packages
            if own.get(name) != theirs
        ]
        if self.files != _files() and self.code != _code():
            differ.append(f"another code of this package, {_code()} (here {self.code})")
        return f"{machine} has {', '.join(differ)}; install the same there" if differ else ""


def here() -> Versions:
    """Those of this machine."""
    return Versions(_packages(), _files(), _code())


def _packages() -> tuple[tuple[str, str], ...]:
    found = [("python", ".".join(platform.python_version_tuple()[:2]))]
    for name in code.deciding():
        try:
            found.append((name, version(name).split("+")[0]))  # a build for another device is the same code
        except PackageNotFoundError:
            continue
    return tuple(found)


@lru_cache(maxsize=1)
def _files() -> str:
    """Of all modules' bytes: quick, and where it differs, the code may still be the same."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def _code() -> str:
    return fingerprint.of_value(code.of_package())
