"""A registry in memory, on loopback, that does what the distribution spec says, except where a test says otherwise.

It is a real HTTP server, so that what breaks breaks as it does in earnest: connections are reset, bodies cut, answers
lost. It also plays the proxy that clients are told to use: requests for any host end here.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit

NAME = r"(?P<name>[a-z0-9._/-]+)"
DIGEST = "docker-content-digest"


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Request:
    """What a client sent."""

    number: int
    method: str
    host: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    scheme: str = "http"
    body: bytes = b""

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Reply:
    """What the server says."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Fault:
    """What goes wrong with one request.

    Attributes:
        reply: instead of doing what was asked.
        edit: changes the answer after it was done.
        reset: the connection, before anything is read of the body, in the middle of it (a chunk's half is kept), or
            after it was done.
        cut: send only so many bytes of the answer's body, then close.
        garble: answer with something that is not HTTP.
        delay: seconds before the answer.
    """

    reply: Reply | None = None
    edit: Callable[[Reply], Reply] | None = None
    reset: Literal["before", "midway", "after"] | None = None
    cut: int | None = None
    garble: bool = False
    delay: float = 0.0


class Storage:
    """What a registry keeps."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.blobs: dict[str, dict[str, bytes]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.uploads: dict[str, tuple[str, bytearray]] = {}

    def add_blob(self, name: str, data: bytes) -> str:
        self.blobs.setdefault(name, {})[sha256(data)] = data
        return sha256(data)

    def add_manifest(self, name: str, media_type: str, data: bytes, *tags: str) -> str:
        self.manifests.setdefault(name, {})[sha256(data)] = (media_type, data)
        for tag in tags:
            self.tags.setdefault(name, {})[tag] = sha256(data)
        return sha256(data)

    def missing(self, name: str, data: bytes) -> list[str]:
        """What a manifest or an index names, and the repository has not."""
        value = json.loads(data)
        absent = [
            entry["digest"]
            for entry in [*value.get("layers", []), *([value["config"]] if "config" in value else [])]
            if len(self.blobs.get(name, {}).get(entry["digest"], b"")) != entry["size"]
        ]
        for entry in value.get("manifests", []):
            known = self.manifests.get(name, {}).get(entry["digest"])
            absent += self.missing(name, known[1]) if known else [entry["digest"]]
        return absent


class ScriptedRegistry:
    """The server.

    Attributes:
        storage: may be shared with another server.
        requests: every one, in the order of arrival.
        fault: says what goes wrong with a request.
        accounts: passwords by user; None where nobody needs to log in.
        scheme: of the challenge.
        identity_tokens: that the token server accepts.
        mounting: whether blobs can be taken over from other repositories.
        largest_chunk: bytes of a PATCH.
        chunks: False for a registry that knows no PATCH.
        uploads_at: base URL of the server that takes uploads; empty for relative addresses.
        blobs_at: base URL to which readers of blobs are redirected.
        realm: of the token server, where it is another.
        hides_digests: never send ``Docker-Content-Digest``.
        is_open: says which requests need no credentials.

    Args:
        tls: what it shows where it is used as a proxy for HTTPS.
        listen_tls: speak TLS from the first byte.
    """

    def __init__(
        self,
        storage: Storage | None = None,
        tls: ssl.SSLContext | None = None,
        listen_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.storage = storage or Storage()
        self.requests: list[Request] = []
        self.fault: Callable[[Request], Fault | None] = lambda request: None
        self.accounts: dict[str, str] | None = None
        self.scheme: Literal["basic", "bearer"] = "bearer"
        self.identity_tokens: set[str] = set()
        self.tokens: dict[str, set[tuple[str, str]]] = {}
        self.issued = 0
        self.token_life: int | None = None
        self.mounting = True
        self.chunks = True
        self.largest_chunk: int | None = None
        self.uploads_at = ""
        self.blobs_at = ""
        self.realm = ""
        self.hides_digests = False
        self.failures: list[BaseException] = []
        self.is_open: Callable[[Request], bool] = lambda request: False
        self.tls = tls
        self._server = _Server(self)
        if listen_tls:
            self._server.socket = listen_tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    @property
    def blob_bytes(self) -> int:
        """What clients sent of blobs."""
        return sum(len(r.body) for r in self.requests if "/blobs/uploads/" in r.path)

    def lines(self, *methods: str) -> list[str]:
        return [r.line for r in self.requests if not methods or r.method in methods]

    def fail_once(self, method: str, pattern: str, fault: Fault, times: int = 1) -> None:
        """The next requests whose method and path fit go wrong."""
        left = [times]

        def choose(request: Request) -> Fault | None:
            if left[0] and request.method == method and re.search(pattern, request.path):
                left[0] -= 1
                return fault
            return None

        self.fault = choose

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        assert self.failures == []

    # What clients may ask for.

    def answer(self, request: Request) -> Reply:
        if request.path == "/token":
            return self._token(request)
        if refusal := self._check_access(request):
            return refusal
        if request.path == "/v2/":
            return Reply(200)
        for pattern, methods in self._routes.items():
            match = re.fullmatch(pattern, request.path)
            if match and request.method in methods:
                with self.storage.lock:
                    return methods[request.method](self, request, *match.groups())
        return error(404, "UNSUPPORTED")

    def _check_access(self, request: Request) -> Reply | None:
        if self.accounts is None or self.is_open(request):
            return None
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        if self.scheme == "basic":
            if kind == "Basic" and self._user(value):
                return None
            return Reply(401, {"www-authenticate": 'Basic realm="test"'}, error(401, "UNAUTHORIZED").body)
        match = re.match(rf"/v2/{NAME}/(?:blobs|manifests)/", request.path)
        name, action = match["name"] if match else "", "pull" if request.method in ("GET", "HEAD") else "push"
        if kind == "Bearer" and value in self.tokens and (not name or (name, action) in self.tokens[value]):
            return None
        realm = self.realm or f"http://{request.headers['host']}/token"
        challenge = f'Bearer realm="{realm}",service="test"' + (f',scope="repository:{name}:{action}"' if name else "")
        return Reply(401, {"www-authenticate": challenge}, error(401, "UNAUTHORIZED").body)

    def _user(self, encoded: str) -> str | None:
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return user if self.accounts and self.accounts.get(user) == password else None

    def _token(self, request: Request) -> Reply:
        query = request.query if request.method == "GET" else parse_qs(request.body.decode())
        if request.method == "POST":
            if query.get("grant_type") != ["refresh_token"] or query["refresh_token"][0] not in self.identity_tokens:
                return Reply(401)
        elif not self._user(request.headers.get("authorization", "Basic ").partition(" ")[2]):
            return Reply(401)
        scopes = " ".join(query.get("scope", [])).split()
        allowed = {(s.split(":")[1], action) for s in scopes for action in s.split(":")[2].split(",")}
        token = f"token-{self.issued}"
        self.issued += 1
        self.tokens[token] = allowed
        life = {} if self.token_life is None else {"expires_in": self.token_life}
        return Reply(200, {"content-type": "application/json"}, json.dumps({"token": token, **life}).encode())

    def _blob(self, request: Request, name: str, digest: str) -> Reply:
        data = self.storage.blobs.get(name, {}).get(digest)
        if data is None:
            return error(404, "BLOB_UNKNOWN")
        if self.blobs_at not in ("", f"{request.scheme}://{request.host}") and request.method == "GET":
            return Reply(307, {"location": f"{self.blobs_at}{request.path}?signature=secret"})
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if not wanted:
            return Reply(200, {DIGEST: digest}, data)
        start = int(wanted[1])
        return Reply(206, {"content-range": f"bytes {start}-{len(data) - 1}/{len(data)}"}, data[start:])

    def _begin(self, request: Request, name: str) -> Reply:
        mount, source = request.query.get("mount", [""])[0], request.query.get("from", [""])[0]
        if self.mounting and mount in self.storage.blobs.get(source, {}):
            self.storage.add_blob(name, self.storage.blobs[source][mount])
            return Reply(201, {"location": f"/v2/{name}/blobs/{mount}", DIGEST: mount})
        session = f"s{len(self.storage.uploads)}"
        self.storage.uploads[session] = (name, bytearray())
        return self._session_reply(202, name, session)

    def _session_reply(self, status: int, name: str, session: str) -> Reply:
        size = len(self.storage.uploads[session][1])
        location = f"{self.uploads_at}/v2/{name}/blobs/uploads/{session}?state={quote(f'{session}/{size}')}"
        return Reply(status, {"location": location, "range": f"0-{max(size - 1, 0)}"})

    def _patch(self, request: Request, name: str, session: str) -> Reply:
        if not self.chunks:
            return error(405, "UNSUPPORTED")
        if self.largest_chunk and len(request.body) > self.largest_chunk:
            return error(416, "REQUESTED_RANGE_NOT_SATISFIABLE")
        if session not in self.storage.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        data = self.storage.uploads[session][1]
        expected = f"{len(data)}-{len(data) + int(request.headers['content-length']) - 1}"
        if request.headers.get("content-range") != expected:
            return error(416, "REQUESTED_RANGE_NOT_SATISFIABLE")
        data += request.body
        return self._session_reply(202, name, session)

    def _status(self, request: Request, name: str, session: str) -> Reply:
        if session not in self.storage.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        return self._session_reply(204, name, session)

    def _finish(self, request: Request, name: str, session: str) -> Reply:
        if session not in self.storage.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        data = bytes(self.storage.uploads[session][1]) + request.body
        digest = request.query["digest"][0]
        if sha256(data) != digest:
            return error(400, "DIGEST_INVALID")
        del self.storage.uploads[session]
        self.storage.add_blob(name, data)
        return Reply(201, {"location": f"/v2/{name}/blobs/{digest}", DIGEST: digest})

    def _manifest(self, request: Request, name: str, reference: str) -> Reply:
        digest = self.storage.tags.get(name, {}).get(reference, reference)
        if digest not in self.storage.manifests.get(name, {}):
            return error(404, "MANIFEST_UNKNOWN")
        media_type, data = self.storage.manifests[name][digest]
        return Reply(200, {"content-type": media_type, DIGEST: digest}, data)

    def _put_manifest(self, request: Request, name: str, reference: str) -> Reply:
        if self.storage.missing(name, request.body):
            return error(400, "MANIFEST_BLOB_UNKNOWN")
        digest = sha256(request.body)
        if ":" in reference and reference != digest:
            return error(400, "DIGEST_INVALID")
        tags = () if ":" in reference else (reference,)
        self.storage.add_manifest(name, request.headers["content-type"], request.body, *tags)
        return Reply(201, {"location": f"/v2/{name}/manifests/{digest}", DIGEST: digest})

    _routes: dict[str, dict[str, Callable[..., Reply]]] = {  # noqa: RUF012 - never changed
        rf"/v2/{NAME}/blobs/(sha256:[0-9a-f]+)": {"GET": _blob, "HEAD": _blob},
        rf"/v2/{NAME}/blobs/uploads/": {"POST": _begin},
        rf"/v2/{NAME}/blobs/uploads/(s\d+)": {"PATCH": _patch, "PUT": _finish, "GET": _status},
        rf"/v2/{NAME}/manifests/([A-Za-z0-9._:-]+)": {"GET": _manifest, "HEAD": _manifest, "PUT": _put_manifest},
    }


def error(status: int, code: str, message: str = "says the registry") -> Reply:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Reply(status, {"content-type": "application/json"}, body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, registry: ScriptedRegistry) -> None:
        self.registry = registry
        self.counting = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        import sys

        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):  # clients may go away when they like
            self.registry.failures.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_CONNECT(self) -> None:
        """As a proxy: the TLS of whatever host was asked for ends here."""
        registry = self.server.registry
        registry.requests.append(Request(len(registry.requests), "CONNECT", "", self.path, {}, dict(self.headers)))
        if registry.tls is None:
            self._write(Reply(502))
            return
        self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        self.connection = registry.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

    def _handle(self) -> None:
        registry = self.server.registry
        parts = urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        with self.server.counting:
            number, query = len(registry.requests), parse_qs(parts.query)
            request = Request(number, self.command, headers["host"], parts.path, query, headers, scheme)
            registry.requests.append(request)
            fault = registry.fault(request) or Fault()
        if fault.reset == "before":
            self._reset()
            return
        length = int(headers.get("content-length", 0))
        request.body = self.rfile.read(length // 2 if fault.reset == "midway" else length)
        if fault.reset == "midway" and request.method != "PATCH":
            self._reset()
            return
        reply = fault.reply or registry.answer(request)
        if fault.reset:
            self._reset()
            return
        if fault.edit:
            reply = fault.edit(reply)
        if registry.hides_digests:
            reply.headers.pop(DIGEST, None)
        time.sleep(fault.delay)
        self._write(reply, fault)

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _handle  # noqa: N815

    def _write(self, reply: Reply, fault: Fault | None = None) -> None:
        """All in one write: two would wait for each other's acknowledgement."""
        headers = {"content-length": str(len(reply.body)), **reply.headers}
        if reply.status == 204 or "transfer-encoding" in headers:
            del headers["content-length"]
        head = f"HTTP/1.1 {reply.status} {responses.get(reply.status, '?')}\r\n"
        head += "".join(f"{key}: {value}\r\n" for key, value in headers.items()) + "\r\n"
        body = b"" if self.command == "HEAD" else reply.body
        if fault and fault.garble:
            head, body = "SSH-2.0-OpenSSH_9.2\r\n", b""
        if fault and fault.cut is not None:
            body = body[: fault.cut]
        self.wfile.write(head.encode() + body)
        if fault and (fault.garble or fault.cut is not None):
            self.close_connection = True

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # TLS took the place of the socket that the server knows

    def _reset(self) -> None:
        """RST, so that the client loses what it has not read yet."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, *args: object) -> None:
        pass
