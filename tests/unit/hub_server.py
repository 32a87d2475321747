"""A small hub on this machine: answers the real client as the real one; can be slow, gated or faulty."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

REVISION = "0123456789abcdef0123456789abcdef01234567"
LARGE = 10_000
_PIECE = 16_384


@dataclass
class Repo:
    """A repository: its files, what search says of it, and whether its terms must be accepted."""

    files: dict[str, bytes]
    gated: bool = False
    about: dict[str, Any] = field(default_factory=dict)


@dataclass
class Hub:
    """What the server has, and how it behaves. `sent` counts the bytes of content sent of each file."""

    models: dict[str, Repo] = field(default_factory=dict)
    datasets: dict[str, Repo] = field(default_factory=dict)
    # the token of an account that has accepted everything
    token: str = "hf_accepted"
    status: int = 200
    bytes_a_second: float = 0
    # how often a file's content arrives wrong, or its connection ends in the middle
    damage: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    # tokens that came with a request for a file
    tokens: set[str] = field(default_factory=set)
    # another hub that has the content of the files, as a store beside the hub has
    elsewhere: str = ""
    # files whose answer ignores what range was asked for, or never ends
    whole: set[str] = field(default_factory=set)
    endless: set[str] = field(default_factory=set)
    # what is said instead of an answer
    instead: bytes = b""
    address: str = ""


@contextmanager
def hub_server(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` on a free port of this machine."""

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Tests read what was asked from `Hub.asked`."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub, address = self.served, urlsplit(self.path)
        path = unquote(address.path)
        hub.asked.append(f"{self.command} {self.path}")
        if hub.instead:
            self._raw(hub.instead)
        elif hub.status != 200:
            self._json({"error": "trouble"}, hub.status)
        elif path == "/api/whoami-v2":
            known = self._token() == hub.token
            body = {
                "name": "someone",
                "type": "user",
                "auth": {"accessToken": {"displayName": "t", "role": "read"}},
            }
            self._json(body if known else {"error": "Invalid username or password."}, 200 if known else 401)
        elif path in ("/api/models", "/api/models/"):
            self._search(parse_qs(address.query))
        elif path.startswith("/api/"):
            kind, _, name = path.removeprefix("/api/").partition("/")
            self._info(kind, name.split("/revision/")[0])
        else:
            self._file(path)

    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _search(self, query: dict[str, list[str]]) -> None:
        text = query.get("search", [""])[0].lower()
        found = [
            {"_id": name, "id": name, "gated": "manual" if repo.gated else False, **repo.about}
            for name, repo in self.served.models.items()
            if text in name.lower()
        ]
        found.sort(key=lambda entry: -entry.get("downloads", 0))
        self._json(found[: int(query.get("limit", ["100"])[0])])

    def _repo(self, kind: str, name: str) -> Repo | None:
        return (self.served.datasets if kind == "datasets" else self.served.models).get(name)

    def _info(self, kind: str, name: str) -> None:
        repo = self._repo(kind, name)
        if repo is None:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [_sibling(path, raw) for path, raw in repo.files.items()]
        self._json(
            {"_id": name, "id": name, "sha": REVISION, "gated": repo.gated and "manual", "siblings": siblings}
        )

    def _file(self, path: str) -> None:
        kind, rest = ("datasets", path[10:]) if path.startswith("/datasets/") else ("models", path[1:])
        name, _, inner = rest.partition("/resolve/")
        repo = self._repo(kind, name)
        file = inner.partition("/")[2]
        self.served.tokens.add(self._token())
        if repo is None:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif repo.gated and self._token() != self.served.token:
            self._json({"error": "Access is restricted"}, 401, {"X-Error-Code": "GatedRepo"})
        elif file not in repo.files:
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        elif self.served.elsewhere:
            self._raw(b"", 302, {"Location": f"{self.served.elsewhere}{self.path}"})
        else:
            self._content(file, repo.files[file])

    def _content(self, path: str, raw: bytes) -> None:
        wanted = None if path in self.served.whole else self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("ETag", f'"{_etag(raw)}"')
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("Accept-Ranges", "bytes")
        if path not in self.served.endless:
            self.send_header("Content-Length", str(len(raw) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(raw) - 1}/{len(raw)}")
        self.end_headers()
        if self.command == "GET":
            self._send(path, raw, start)

    def _send(self, path: str, raw: bytes, start: int) -> None:
        hub = self.served
        if hub.damage[path] > 0:
            hub.damage[path] -= 1
            raw = raw[:-1] + bytes([raw[-1] ^ 1])
        if hub.cut[path] > 0:
            hub.cut[path] -= 1
            raw = raw[: (start + len(raw)) // 2]
            self.close_connection = True
        endless = path in hub.endless
        self.close_connection |= endless
        for at in itertools.count(start, _PIECE) if endless else range(start, len(raw), _PIECE):
            piece = raw[at : at + _PIECE] or bytes(_PIECE)
            try:
                self.wfile.write(piece)
            except OSError:
                return
            hub.sent[path] += len(piece)
            if hub.bytes_a_second and len(raw) > LARGE:
                time.sleep(len(piece) / hub.bytes_a_second)

    def _json(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._raw(json.dumps(body).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _raw(self, raw: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(raw)


def _sibling(path: str, raw: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path, "size": len(raw), "blobId": _git(raw)}
    if len(raw) > LARGE:
        entry["lfs"] = {"sha256": hashlib.sha256(raw).hexdigest(), "size": len(raw), "pointerSize": 134}
    return entry


def _etag(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest() if len(raw) > LARGE else _git(raw)


def _git(raw: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).hexdigest()
