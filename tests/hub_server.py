"""A small model hub on the loopback address, so that the real clients make real HTTP requests.

It keeps repositories in memory and answers the routes that pushing, listing and downloading use:
one commit an upload, large files by git-lfs with their sha256 checked, error codes as the Hub's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN = "hf_token_of_the_tests"
USER = "someone"
_LARGE = (".safetensors", ".parquet", ".arrow", ".png")
_TYPES = ("models", "datasets", "spaces")


@dataclass
class Repository:
    """Files of every commit: `commits[oid][path] = content`; the last commit is `main`."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    messages: list[str] = field(default_factory=list)
    private: bool = False

    @property
    def head(self) -> str:
        return next(reversed(self.commits))

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]


class Hub(ThreadingHTTPServer):
    """The server; `repositories["models", "someone/name"]` is what was pushed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.gated: set[str] = set()  # names that nobody has been let in to
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        # (method, part of the path) → answers that come first: a status, or 0 for a cut connection
        self.trouble: dict[tuple[str, str], list[int]] = {}
        self.lock = Lock()


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Starts a hub on a free port, and stops it."""
    hub = Hub()
    thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _HubError(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


def _is_large(path: str) -> bool:
    return path.endswith(_LARGE)


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
    entry["oid"] = _blob_id(content)
    if _is_large(path):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
    return entry


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the requests are kept in `Hub.requests`."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        address = urlsplit(self.path)
        path, query = unquote(address.path), parse_qs(address.query)
        with self.server.lock:
            self.server.requests.append(f"{self.command} {path}")
            try:
                for (method, part), answers in self.server.trouble.items():
                    if answers and method == self.command and part in path:
                        if not (status := answers.pop(0)):
                            self.close_connection = True
                            return
                        raise _HubError(status, "trouble, as the test wants it")
                for methods, pattern, function in _ROUTES:
                    match = re.fullmatch(pattern, path)
                    if self.command in methods.split() and match:
                        function(self, body, query, *match.groups())
                        return
                raise _HubError(404, f"no route for {self.command} {path}")
            except _HubError as error:
                headers = {"X-Error-Code": error.code} if error.code else {}
                self._send(
                    error.status,
                    json.dumps({"error": str(error)}).encode(),
                    {**headers, "X-Error-Message": str(error)},
                )

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
        } | headers
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {})

    def _repository(self, kind: str | None, name: str) -> Repository:
        if name in self.server.gated:
            raise _HubError(403, f"access to {name} is restricted", "GatedRepo")
        found = self.server.repositories.get(((kind or "models/").strip("/"), name))
        # who may not read a private one is not told that it is there
        if found is None or (found.private and not self._has_token()):
            raise _HubError(404, f"no repository {name}", "RepoNotFound")
        return found

    def _has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _commit(self, repository: Repository, revision: str | None) -> tuple[str, dict[str, bytes]]:
        oid = repository.head if revision in (None, "main", "refs/heads/main") else revision
        if oid not in repository.commits:
            raise _HubError(404, f"no revision {revision}", "RevisionNotFound")
        return str(oid), repository.commits[str(oid)]

    def _needs_token(self) -> None:
        if not self._has_token():
            raise _HubError(401, "a token is needed to write")

    def who(self, body: bytes, query: dict[str, list[str]]) -> None:
        self._needs_token()
        self._json({"type": "user", "name": USER, "orgs": [], "auth": {"type": "access_token"}})

    def create(self, body: bytes, query: dict[str, list[str]]) -> None:
        self._needs_token()
        asked = json.loads(body)
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        key = (asked.get("type", "model") + "s", name)
        if key in self.server.repositories:
            answer = {"error": "exists", "url": f"{self.server.url}/{name}"}
            self._send(409, json.dumps(answer).encode(), {})
            return
        self.server.repositories[key] = Repository(
            # the latter from clients before 2.0
            private=asked.get("visibility") == "private" or asked.get("private") is True
        )
        prefix = "" if key[0] == "models" else key[0] + "/"
        self._json({"url": f"{self.server.url}/{prefix}{name}", "name": name, "id": name})

    def validate(self, body: bytes, query: dict[str, list[str]]) -> None:
        head = re.match(r"---\n(.*?)\n---\n", json.loads(body)["content"], re.DOTALL)
        errors = []
        try:
            if not head or not isinstance(yaml.safe_load(head[1]), dict):
                errors.append({"message": "the card has no YAML head"})
        except yaml.YAMLError as error:
            errors.append({"message": str(error)})
        answer = json.dumps({"errors": errors, "warnings": []}).encode()
        self._send(400 if errors else 200, answer, {})

    def preupload(
        self, body: bytes, query: dict[str, list[str]], kind: str, name: str, rev: str
    ) -> None:
        self._needs_token()
        self._repository(kind, name)
        files = [
            {
                "path": asked["path"],
                "uploadMode": "lfs" if _is_large(asked["path"]) else "regular",
                "shouldIgnore": False,
            }
            for asked in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def batch(self, body: bytes, query: dict[str, list[str]], kind: str | None, name: str) -> None:
        self._needs_token()
        objects = []
        for asked in json.loads(body)["objects"]:
            answer = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.server.large:
                href = f"{self.server.url}/large/{asked['oid']}"
                answer["actions"] = {"upload": {"href": href, "header": {}}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def put(self, body: bytes, query: dict[str, list[str]], oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise _HubError(422, "the content has another sha256")
        self.server.large[oid] = body
        self._send(200, b"", {})

    def commit(
        self, body: bytes, query: dict[str, list[str]], kind: str, name: str, rev: str
    ) -> None:
        self._needs_token()
        repository = self._repository(kind, name)
        files = dict(repository.files)
        for line in body.decode().splitlines():
            action = json.loads(line)
            value = action["value"]
            if action["key"] == "header":
                repository.messages.append(value["summary"])
            elif action["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif action["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
            elif action["key"] == "deletedFile":
                files.pop(value["path"])
        oid = hashlib.sha1(repository.head.encode() + body).hexdigest()
        repository.commits[oid] = files
        url = f"{self.server.url}/{name}/commit/{oid}"
        self._json({"success": True, "commitOid": oid, "commitUrl": url})

    def info(
        self, body: bytes, query: dict[str, list[str]], kind: str, name: str, rev: str | None
    ) -> None:
        repository = self._repository(kind, name)
        oid, files = self._commit(repository, rev)
        siblings = [{"rfilename": path} for path in files]
        self._json(
            {
                "id": name,
                "sha": oid,
                "private": repository.private,
                "siblings": siblings,
                "tags": [],
            }
        )

    def tree(
        self, body: bytes, query: dict[str, list[str]], kind: str, name: str, rev: str, under: str
    ) -> None:
        _, files = self._commit(self._repository(kind, name), rev)
        prefix = under.strip("/") + "/" if under and under.strip("/") else ""
        recursive = query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries: dict[str, dict[str, Any]] = {}
        for path, content in files.items():
            if not path.startswith(prefix):
                continue
            *folders, _ = path[len(prefix) :].split("/")
            for depth in range(1, len(folders) + 1 if recursive else min(len(folders), 1) + 1):
                folder = prefix + "/".join(folders[:depth])
                oid = _blob_id(folder.encode())
                entries[folder] = {"type": "directory", "path": folder, "oid": oid, "size": 0}
            if recursive or not folders:
                entries[path] = _entry(path, content)
        if prefix and not entries:
            raise _HubError(404, f"no folder {under}", "EntryNotFound")
        self._json(list(entries.values()))

    def paths(
        self, body: bytes, query: dict[str, list[str]], kind: str, name: str, rev: str
    ) -> None:
        _, files = self._commit(self._repository(kind, name), rev)
        if "json" in self.headers.get("Content-Type", ""):
            asked = json.loads(body)["paths"]
        else:
            asked = parse_qs(body.decode()).get("paths", [])
        self._json([_entry(path, files[path]) for path in asked if path in files])

    def refs(self, body: bytes, query: dict[str, list[str]], kind: str, name: str) -> None:
        head = self._repository(kind, name).head
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": head}
        self._json({"branches": [main], "converts": [], "tags": []})

    def resolve(
        self,
        body: bytes,
        query: dict[str, list[str]],
        kind: str | None,
        name: str,
        rev: str,
        path: str,
    ) -> None:
        oid, files = self._commit(self._repository(kind, name), rev)
        if path not in files:
            raise _HubError(404, f"no file {path}", "EntryNotFound")
        content = files[path]
        entry = _entry(path, content)
        etag = entry["lfs"]["oid"] if "lfs" in entry else entry["oid"]
        headers = {
            "X-Repo-Commit": oid,
            "ETag": f'"{etag}"',
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
        }
        if "lfs" in entry:
            headers |= {"X-Linked-ETag": f'"{etag}"', "X-Linked-Size": str(len(content))}
        status = 200
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), int(asked[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        self._send(status, content, headers)


_KIND = rf"({'|'.join(_TYPES)})"
_NAME = r"([^/]+/[^/]+)"
_PREFIX = r"/(datasets/|spaces/)?"
_ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/api/whoami-v2", _Handler.who),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", f"/api/{_KIND}/{_NAME}/preupload/(.+)", _Handler.preupload),
    ("POST", f"{_PREFIX}{_NAME}.git/info/lfs/objects/batch", _Handler.batch),
    ("PUT", "/large/([0-9a-f]{64})", _Handler.put),
    ("POST", f"/api/{_KIND}/{_NAME}/commit/(.+)", _Handler.commit),
    ("GET", f"/api/{_KIND}/{_NAME}(?:/revision/(.+))?", _Handler.info),
    ("GET", f"/api/{_KIND}/{_NAME}/tree/([^/]+)(/.*)?", _Handler.tree),
    ("POST", f"/api/{_KIND}/{_NAME}/paths-info/(.+)", _Handler.paths),
    ("GET", f"/api/{_KIND}/{_NAME}/refs", _Handler.refs),
    ("GET HEAD", f"{_PREFIX}{_NAME}/resolve/([^/]+)/(.+)", _Handler.resolve),
]
