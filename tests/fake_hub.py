"""A Hugging Face hub of one's own: an HTTP server on this machine, for tests.

It answers what ``huggingface_hub`` asks: what a repository holds (``/api/models/...``), and its
files (``/owner/name/resolve/main/...``). Gated repositories answer as the real ones do: 401 to a
stranger, 403 to someone who is logged in and was not let in.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

ACCEPTED, REFUSED = "hf_accepted", "hf_refused"


@dataclass
class FakeHub:
    """Repositories by id, each a folder.

    Attributes:
        folders: Where the files of each repository lie.
        gated: Ids of those that ask for a token.
        url: For HF_ENDPOINT.
        fetched: The files that were downloaded, as "owner/name/file".
        status: If set, what every question is answered with.
        tricks: What else is answered, by "owner/name" (what the repository holds) or
            "owner/name/file": a status, the bytes of a page that is no hub's, "loop" for a redirect
            that leads nowhere, "cut" for a connection that ends in the middle, or "short" for a
            file of another length than was announced.
        sizes: Of files, where a repository shall say another size than theirs.
        etags: What identifies a file, if not its content.
        headers: Sent with every status that is no success.
        asked: The paths of all questions.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    url: str = ""
    fetched: list[str] = field(default_factory=list)
    status: int = 0
    tricks: dict[str, int | bytes | str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def commit(self, repository: str) -> str:
        return hashlib.sha1(repository.encode()).hexdigest()

    def files(self, repository: str) -> list[str]:
        folder = self.folders[repository]
        paths = (path for path in folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(folder).as_posix() for path in paths)


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve ``hub`` while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._answer(with_body=True)

    def do_HEAD(self):
        self._answer(with_body=False)

    def _answer(self, with_body):
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        about = parts[:2] == ["api", "models"]
        owner, name, *rest = [*parts[2:], "", ""] if about else [*parts, "", ""]
        repository = f"{owner}/{name}"
        inside = "" if about else "/".join(part for part in rest[2:] if part)
        trick = self.hub.tricks.get(f"{repository}/{inside}".rstrip("/"), self.hub.status)
        self.hub.asked.append(self.path)
        if isinstance(trick, int) and trick:
            self._send(trick, b"", self.hub.headers)
        elif isinstance(trick, bytes):
            self._send(200, trick, {"Content-Type": "text/html"}, with_body)
        elif trick == "loop":
            self._send(302, b"", {"Location": self.path})
        elif trick in ("cut", "short") and with_body:
            self._break_off(repository, inside, trick)
        elif repository not in self.hub.folders:
            self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
        elif about:
            tree = rest[:1] == ["tree"]
            contents = self._tree(repository) if tree else self._info(repository)
            if "blobs=" not in urlsplit(self.path).query and not tree:
                contents["siblings"] = [{"rfilename": f["rfilename"]} for f in contents["siblings"]]
            self._send(200, json.dumps(contents).encode(), {"Content-Type": "application/json"})
        else:
            self._file(repository, inside, with_body)

    def _info(self, repository):
        folder = self.hub.folders[repository]
        files = [
            {"rfilename": name, "size": self.hub.sizes.get(name, (folder / name).stat().st_size)}
            for name in self.hub.files(repository)
        ]
        sha = self.hub.commit(repository)
        gated = "manual" if repository in self.hub.gated else False
        return {"id": repository, "sha": sha, "gated": gated, "siblings": files}

    def _tree(self, repository):
        folder = self.hub.folders[repository]
        return [
            {"type": "file", "path": name, "oid": self.hub.commit(name), "size": size}
            for name in self.hub.files(repository)
            for size in [(folder / name).stat().st_size]
        ]

    def _file(self, repository, name, with_body):
        headers = {"X-Repo-Commit": self.hub.commit(repository)}
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if repository in self.hub.gated and token != ACCEPTED:
            self._send(403 if token else 401, b"", {**headers, "X-Error-Code": "GatedRepo"})
            return
        path = self.hub.folders[repository] / name
        if not path.is_file():
            self._send(404, b"", {**headers, "X-Error-Code": "EntryNotFound"})
            return
        data = path.read_bytes()
        if with_body:
            self.hub.fetched.append(f"{repository}/{name}")
        etag = self.hub.etags.get(f"{repository}/{name}", hashlib.sha1(data).hexdigest())
        self._send(200, data, {**headers, "ETag": f'"{etag}"'}, with_body)

    def _break_off(self, repository, name, trick):
        data = (self.hub.folders[repository] / name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) // (1 if trick == "cut" else 2)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def _send(self, status, data, headers=(), with_body=True):
        self.send_response(status)
        for key, value in dict(headers).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if with_body and self.command == "GET":
            self.wfile.write(data)
