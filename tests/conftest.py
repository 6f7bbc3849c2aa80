"""What all tests share: a cache that survives between runs, the packed examples, and a scripted server on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelimg.base.deb import resolve_debian_base
from modelimg.base.resolve import ResolvedBase
from modelimg.cache import ENV_CACHE_DIR, Cache
from modelimg.fetch import Fetcher
from modelimg.oci.values import Platform
from modelimg.tar import Spool
from modelimg_runtime import contract

pytest.register_assert_rewrite(
    "bad_input", "chromium", "compiling", "lane_inputs", "monitor_page", "real_registry", "registry_server"
)

ROOT = Path(__file__).parents[1]
TEST_CACHE = ROOT / ".work" / "cache"
_SHOWN = "shown"


@pytest.fixture(autouse=True, scope="session")
def _own_environment() -> Iterator[None]:
    """Tests use a cache of their own, and nothing of the caller's settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENV_CACHE_DIR, str(TEST_CACHE))
        for name in (
            "SOURCE_DATE_EPOCH",
            "MODELIMG_DEBIAN_MIRROR",
            "MODELIMG_DEBIAN_SECURITY_MIRROR",
            "MODELIMG_DEBIAN_SNAPSHOT",
            "PORT",
            "AIP_HTTP_PORT",
            "AIP_HEALTH_ROUTE",
            "AIP_PREDICT_ROUTE",
            "MODELIMG_FAST_PATH",
        ):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def shared_cache(_own_environment: None) -> Cache:
    """The cache that all tests share, for downloads that are checked by their digest."""
    return Cache.default()


@pytest.fixture(scope="session")
def fetcher(shared_cache: Cache) -> Iterator[Fetcher]:
    """Fetches through the shared cache."""
    with Fetcher(shared_cache) as fetcher:
        yield fetcher


@pytest.fixture(scope="session")
def bookworm(fetcher: Fetcher) -> ResolvedBase:
    """The real base, made from Debian's packages."""
    return resolve_debian_base("deb:bookworm", Platform("linux", "amd64"), fetcher)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Where contents are kept that are longer than memory."""
    with (tmp_path / "spool").open("wb") as stream:
        yield Spool(stream, tmp_path / "spool")


@dataclass
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_modelimg(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> Run:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "modelimg", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return Run(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def cli(_own_environment: None) -> Callable[..., Run]:
    return run_modelimg


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A. Tester", "-c", "user.email=tester@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def breast_cancer(tmp_path_factory: pytest.TempPathFactory, _own_environment: None) -> Path:
    """The package that the breast-cancer example writes, trained from a committed tree."""
    folder = tmp_path_factory.mktemp("breast-cancer")
    shutil.copy(ROOT / "examples/breast_cancer/train.py", folder)
    git(folder, "init", "--quiet")
    git(folder, "add", "train.py")
    git(folder, "commit", "--quiet", "--message", "A model", "--date", "2026-01-02T03:04:05Z")
    git(folder, "remote", "add", "origin", "https://ci:secret@git.example.com/team/models.git")
    subprocess.run([sys.executable, "train.py", "dist/package"], cwd=folder, check=True, capture_output=True)
    return folder / "dist/package"


@pytest.fixture(scope="session")
def penguins(tmp_path_factory: pytest.TempPathFactory, _own_environment: None) -> Path:
    """The package of the mixed-type example, packed on the command line."""
    folder = tmp_path_factory.mktemp("penguins") / "src"
    shutil.copytree(ROOT / "examples/penguins", folder)
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, capture_output=True)
    packed = run_modelimg("pack", "-f", "modelimg.toml", "-o", "package", cwd=folder)
    assert packed.code == 0, packed.err
    return folder / "package"


@pytest.fixture
def show(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tell the reader of the run something, such as a fuzz test's counts, which are worth reading when it passes, too."""
    return lambda text: record_property(_SHOWN, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have shown, also those that another process ran."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, ())]
    lines = {f"{report.nodeid}: {text}" for report in reports for text in _shown(report)}
    if lines:
        terminalreporter.section("what tests counted")
        for line in sorted(lines):
            terminalreporter.write_line(line)


def _shown(report: pytest.TestReport) -> Iterator[str]:
    return (str(text) for name, text in report.user_properties if name == _SHOWN)


@pytest.fixture(scope="session")
def resign() -> Callable[[Path, str, str], None]:
    """Change a file of a package and its digest in the manifest, as somebody who repacked it would."""

    def change(package: Path, name: str, text: str) -> None:
        (package / name).write_text(text)
        manifest = json.loads((package / contract.MANIFEST).read_text())
        manifest["files"][name] = hashlib.sha256(text.encode()).hexdigest()
        (package / contract.MANIFEST).write_text(json.dumps(manifest))

    return change


@pytest.fixture(scope="session")
def examples_of() -> Callable[[Path], tuple[list[dict[str, Any]], list[Any]]]:
    """A package's examples: rows as a client sends them, and what the model says of them."""

    def read(package: Path) -> tuple[list[dict[str, Any]], list[Any]]:
        examples = json.loads((package / contract.EXAMPLES).read_text())
        rows = [dict(zip(examples["columns"], row, strict=True)) for row in examples["rows"]]
        return rows, examples["predictions"]

    return read


@dataclass
class Answer:
    """What the server says once."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""


class LoopbackServer:
    """A real HTTP server on loopback that answers as scripted; the last answer of a path repeats."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                script = outer.answers.get(self.path, [Answer(404)])
                answer = script.pop(0) if len(script) > 1 else script[0]
                self.send_response(answer.status)
                for key, value in {"content-length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(answer.body[: answer.cut_after])
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, path: str, *answers: Answer | bytes) -> str:
        """Script a path; returns its URL."""
        self.answers[path] = [Answer(body=a) if isinstance(a, bytes) else a for a in answers]
        return self.url + path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def loopback() -> Iterator[LoopbackServer]:
    server = LoopbackServer()
    yield server
    server.close()


@pytest.fixture
def answer() -> Callable[..., Answer]:
    return Answer
