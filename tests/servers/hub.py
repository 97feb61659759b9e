"""A server of the Hub's protocol on this machine, for the tests: repositories of data sets in memory.

It knows two accounts by their tokens, and answers what the real client asks; nothing in it is the real Hub.
`python tests/servers/hub.py` serves it on port 8809, or on another that is given.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))  # of a program that is run as a file
from servers.web import loopback, serve

TOKEN, READER = "hf_secretOfTheTests", "hf_mayOnlyRead"
ACCOUNTS = {TOKEN: ("ada", "write"), READER: ("ada", "read")}
OTHERS = {"bob"}  # users there are besides
LARGE = ".parquet"
PORT = 8809


def break_off(handler: Any) -> None:
    """A fault: the connection breaks before there is an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def refuse(status: int, message: str) -> Callable:
    """A fault: the Hub refuses."""
    return lambda handler: handler.give({"error": message}, status, {"X-Error-Message": message})


@dataclass
class Repository:
    """A data set: its files as of each commit, and its tags."""

    private: bool
    commits: list[dict[str, bytes]] = field(default_factory=lambda: [{".gitattributes": b"lfs\n"}])
    tags: dict[str, int] = field(default_factory=dict)

    @staticmethod
    def sha(number: int) -> str:
        return hashlib.sha1(b"%d" % number).hexdigest()

    def number(self, revision: str) -> int:
        """The commit that a branch, tag or hash names; KeyError where there is none."""
        if revision == "main":
            return len(self.commits) - 1
        if revision in self.tags:
            return self.tags[revision]
        return {self.sha(i): i for i in range(len(self.commits))}[revision]


class HubServer:
    """Serves repositories. `faults` are (part of a path, fault) pairs, each used for the first request that
    it fits. `log` holds method and path of every request."""

    def __init__(self, port: int = 0) -> None:
        loopback()
        self.repositories: dict[str, Repository] = {}
        self.faults: list[tuple[str, Callable]] = []
        self.log: list[tuple[str, str]] = []
        self.large: dict[str, bytes] = {}
        outer = self

        class Handler(_Handler):
            hub = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def asked(self, part: str) -> int:
        """The number of requests with this in their path."""
        return sum(part in path for _, path in self.log)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: HubServer

    def log_message(self, *args: object) -> None: ...

    def give(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        sent = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
        for name, value in sent.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_HEAD = do_GET

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self._chunks()
        for at, (part, fault) in enumerate(self.hub.faults):
            if part in path:
                del self.hub.faults[at]
                return fault(self)
        if path.startswith("/lfs/"):
            self.hub.large[hashlib.sha256(body).hexdigest()] = body
            return self.give({})
        if (refused := self._refusal(path)) is not None:
            return refused(self)
        for pattern, method in _ROUTES:
            if found := re.fullmatch(pattern, path):
                try:
                    return getattr(self, method)(body, *found.groups())
                except KeyError:
                    return self.give(
                        {"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"}
                    )
        return self.give({"error": f"no {path}"}, 404)

    def _refusal(self, path: str) -> Callable | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token not in ACCOUNTS:
            return refuse(401, "Invalid user token")
        if ACCOUNTS[token][1] == "read" and self.command in ("POST", "PUT") and "validate" not in path:
            return refuse(403, "You have read access but not the required permissions")
        return None

    def _chunks(self) -> bytes:
        found = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return found

    def whoami(self, body: bytes) -> None:
        name, role = ACCOUNTS[self.headers["Authorization"].removeprefix("Bearer ")]
        auth = dict(type="access_token", accessToken=dict(displayName="t", role=role))
        self.give(dict(type="user", id="1", name=name, orgs=[dict(name="guild")], auth=auth))

    def user(self, body: bytes, name: str) -> None:
        if name not in OTHERS:
            return self.give({"error": "User not found"}, 404)
        return self.give(dict(user=name, fullname=name))

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'ada'}/{asked['name']}"
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[name] = Repository(bool(private))
        self.give(dict(url=f"{self.hub.address}/datasets/{name}", name=name))

    def info(self, body: bytes, name: str, revision: str | None = None) -> None:
        found = self.hub.repositories[name]
        number = found.number(revision or "main")
        files = [dict(rfilename=path) for path in found.commits[number]]
        told = dict(id=name, sha=found.sha(number), private=found.private, tags=[], siblings=files)
        self.give(told | dict(downloads=0, likes=0, gated=False, disabled=False))

    def tree(self, body: bytes, name: str, revision: str, under: str | None = None) -> None:
        found = self.hub.repositories[name]
        files = found.commits[found.number(revision)].items()
        under = f"{under.strip('/')}/" if under else ""
        folders = sorted({path.rpartition("/")[0] for path, _ in files} - {""})
        found = [dict(type="directory", path=path, oid="0" * 40, size=0) for path in folders]
        found += [_entry(path, content) for path, content in files]
        self.give([entry for entry in found if entry["path"].startswith(under)])

    def paths(self, body: bytes, name: str, revision: str) -> None:
        found = self.hub.repositories[name]
        files = found.commits[found.number(revision)]
        asked = re.findall(r"paths=([^&]+)", unquote(body.decode())) or json.loads(body)["paths"]
        self.give([_entry(path, files[path]) for path in asked if path in files])

    def yaml(self, body: bytes) -> None:
        self.give(dict(errors=[], warnings=[]))

    def preupload(self, body: bytes, name: str, revision: str) -> None:
        assert name in self.hub.repositories
        modes = [
            dict(path=path, uploadMode="lfs" if path.endswith(LARGE) else "regular", shouldIgnore=False)
            for path in (each["path"] for each in json.loads(body)["files"])
        ]
        self.give(dict(files=modes))

    def batch(self, body: bytes, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            upload = dict(href=f"{self.headers['X-Here'] or self.hub.address}/lfs/{each['oid']}", header={})
            known = each["oid"] in self.hub.large
            objects.append(each | ({} if known else dict(actions=dict(upload=upload))))
        self.give(dict(transfer="basic", objects=objects))

    def commit(self, body: bytes, name: str, revision: str) -> None:
        found = self.hub.repositories[name]
        files = dict(found.commits[-1])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                if value.get("parentCommit") not in (None, found.sha(len(found.commits) - 1)):
                    return refuse(412, "A commit has happened since")(self)
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        found.commits.append(files)
        sha = found.sha(len(found.commits) - 1)
        url = f"{self.hub.address}/datasets/{name}/commit/{sha}"
        return self.give(dict(success=True, commitOid=sha, commitUrl=url, hookOutput=""))

    def tag(self, body: bytes, name: str, revision: str) -> None:
        found = self.hub.repositories[name]
        tag = json.loads(body)["tag"]
        if tag in found.tags:
            return refuse(409, "Tag exists already")(self)
        found.tags[tag] = found.number(revision)
        return self.give({})

    def settings(self, body: bytes, name: str) -> None:
        self.hub.repositories[name].private = json.loads(body)["visibility"] == "private"
        self.give({})

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        found = self.hub.repositories[name]
        number = found.number(revision)
        if path not in found.commits[number]:
            return self.give({"error": "no such file"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = found.commits[number][path]
        etag = hashlib.sha256(content).hexdigest()
        return self.give(content, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": found.sha(number)})


_ID = r"([^/]+/[^/]+)"
_ROUTES = (
    (r"/api/whoami-v2", "whoami"),
    (r"/api/(?:users|organizations)/([^/]+)/overview", "user"),
    (r"/api/repos/create", "create"),
    (r"/api/validate-yaml", "yaml"),
    (rf"/api/datasets/{_ID}", "info"),
    (rf"/api/datasets/{_ID}/revision/([^/]+)", "info"),
    (rf"/api/datasets/{_ID}/tree/([^/]+)(/.*)?", "tree"),
    (rf"/api/datasets/{_ID}/paths-info/([^/]+)", "paths"),
    (rf"/api/datasets/{_ID}/preupload/([^/]+)", "preupload"),
    (rf"/datasets/{_ID}\.git/info/lfs/objects/batch", "batch"),
    (rf"/api/datasets/{_ID}/commit/([^/]+)", "commit"),
    (rf"/api/datasets/{_ID}/tag/([^/]+)", "tag"),
    (rf"/api/datasets/{_ID}/settings", "settings"),
    (rf"/datasets/{_ID}/resolve/([^/]+)/(.+)", "resolve"),
)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    found = dict(type="file", path=path, size=len(content), oid=oid)
    if path.endswith(LARGE):
        found["lfs"] = dict(oid=hashlib.sha256(content).hexdigest(), size=len(content), pointerSize=130)
    return found


@pytest.fixture
def hub_server(monkeypatch):
    """The server, with its address and the token of an account that may write in the environment."""
    server = HubServer()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.close()


if __name__ == "__main__":
    served = HubServer(int(sys.argv[1]) if sys.argv[1:] else PORT)
    serve(served, f"HF_ENDPOINT={served.address} HF_TOKEN={TOKEN}")
