"""A stand-in for the Hugging Face Hub on this machine: as much of its API as fetching and uploading models takes."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_somebody"


class Hub:
    """Repositories by name, each a mapping of paths to bytes.

    Attributes:
        asked: method and path of every request.
    """

    def __init__(self) -> None:
        self.models: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.address = ""

    def sha(self, name: str) -> str:
        digest = hashlib.sha1()
        for path, content in sorted(self.models[name].items()):
            digest.update(path.encode() + hashlib.sha1(content).digest())
        return digest.hexdigest()

    def get(self, parts: list[str]) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        if parts[:2] == ["api", "models"]:
            name, rest = "/".join(parts[2:4]), parts[4:]
        else:
            name, rest = "/".join(parts[:2]), parts[2:]
        if name not in self.models:
            return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
        files, sha = self.models[name], self.sha(name)
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", sha):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        if rest[:1] == ["tree"]:
            entries = [
                {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for path, content in sorted(files.items())
            ]
            return 200, {}, json.dumps(entries).encode()
        if rest[:1] == ["resolve"]:
            path = "/".join(rest[2:])
            if path not in files:
                return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha}, b""
            return 200, {"ETag": f'"{hashlib.sha1(files[path]).hexdigest()}"', "X-Repo-Commit": sha}, files[path]
        siblings = [{"rfilename": path} for path in sorted(files)]
        told = {"id": name, "modelId": name, "sha": sha, "private": False, "tags": [], "siblings": siblings}
        return 200, {}, json.dumps(told).encode()

    def post(self, parts: list[str], body: bytes, token: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        if token != f"Bearer {TOKEN}":
            return 401, {"error": "Invalid username or password."}
        if parts == ["api", "repos", "create"]:
            told = json.loads(body)
            name = f"{told.get('organization') or 'user'}/{told['name']}"
            self.models.setdefault(name, {})
            return 200, {"url": f"{self.address}/{name}", "name": name}
        name = "/".join(parts[2:4])
        if parts[4:5] == ["preupload"]:
            return 200, {"files": [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                                   for file in json.loads(body)["files"]]}  # fmt: skip
        if parts[4:5] == ["commit"]:
            for line in body.splitlines():
                one = json.loads(line)
                if one["key"] == "file":
                    self.models[name][one["value"]["path"]] = base64.b64decode(one["value"]["content"])
            sha = self.sha(name)
            return 200, {"commitUrl": f"{self.address}/{name}/commit/{sha}", "commitOid": sha, "hookOutput": ""}
        return 200, {}  # what is asked of a card before it is uploaded


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub on a free port."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            pass

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def _parts(self) -> list[str]:
            path = urlsplit(self.path).path
            hub.asked.append(f"{self.command} {path}")
            return [unquote(part) for part in path.strip("/").split("/")]

        def do_GET(self) -> None:
            self._answer(*hub.get(self._parts()))

        do_HEAD = do_GET

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, told = hub.post(self._parts(), body, self.headers.get("Authorization", ""))
            self._answer(status, {"Content-Type": "application/json"}, json.dumps(told).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
