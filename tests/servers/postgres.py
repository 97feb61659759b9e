"""PostgreSQL on this machine, for the tests of what goes into a database: a server in a new folder."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

DEBIAN = "/usr/lib/postgresql/*/bin"  # where Debian puts the server's programs, outside of PATH
_QUIETLY = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
_OPTIONS = "-c listen_addresses='' -c fsync=off -k "


class RefusedError(Exception):
    """PostgreSQL refuses a statement; the message is its own."""


@dataclass(frozen=True)
class Postgres:
    """A running server: the folder of its socket."""

    socket: str
    psql: str

    def sql(self, text: str) -> list[str]:
        """The lines that statements answer, columns parted by a bar; all of them are done, or none.

        Raises RefusedError for the first that fails.
        """
        done = subprocess.run(
            [self.psql, *_QUIETLY, "-h", self.socket, "-U", "postgres", "-1", "-f", "-"],
            input=text,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PGCLIENTENCODING": "UTF8"},
            check=False,
        )
        if done.returncode:
            raise RefusedError(done.stderr)
        return done.stdout.removesuffix("\n").split("\n") if done.stdout else []


def programs() -> dict[str, str]:
    """Where initdb, pg_ctl and psql are; skips the test where one is missing."""
    newest = sorted(Path("/").glob(DEBIAN.lstrip("/")), key=lambda path: float(path.parent.name))[-1:]
    path = os.pathsep.join([*map(str, newest), os.environ.get("PATH", "")])
    found = {name: shutil.which(name, path=path) for name in ("initdb", "pg_ctl", "psql")}
    if missing := [name for name, where in found.items() if where is None]:
        pytest.skip(f"no PostgreSQL here ({', '.join(missing)}): apt-get install postgresql")
    return {name: where for name, where in found.items() if where}


def _user() -> dict[str, str | int]:
    """Who runs the server: it refuses root, for whom Debian's user `postgres` does."""
    if os.getuid():
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    return dict(user=user.pw_uid, group=user.pw_gid)


@contextmanager
def _started() -> Iterator[Postgres]:
    own, user = programs(), _user()
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:  # a short path: a socket's has few letters
        if user:
            os.chown(folder, int(user["user"]), int(user["group"]))
        data = f"{folder}/data"

        def run(*args: str) -> None:
            subprocess.run(args, check=True, stdout=subprocess.DEVNULL, cwd=folder, **user)

        run(own["initdb"], "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N", "--locale=C")
        control = (own["pg_ctl"], "-D", data, "-w")
        run(*control, "-l", f"{folder}/log", "-o", f"{_OPTIONS}{folder}", "start")
        try:
            yield Postgres(folder, own["psql"])
        finally:
            run(*control, "-m", "immediate", "stop")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server for the tests of a file; they are skipped where PostgreSQL is not installed."""
    with _started() as server:
        yield server
