"""`modelimg serve`: what takes the package's place is served when it is ready, and nobody is refused meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelimg_runtime import contract

SECONDS = 60


@dataclass
class Reloading:
    """A running `modelimg serve`, and the lines that it printed."""

    process: subprocess.Popen[str]
    url: str
    lines: list[str] = field(default_factory=list)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=SECONDS) as response:
            return json.load(response)

    def wait_for(self, text: str) -> str:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            found = [line for line in self.lines if text in line]
            if found:
                return found[0]
            assert self.process.poll() is None, self.lines
            time.sleep(0.05)
        raise AssertionError(f"{text!r} never came: {self.lines}")

    @property
    def reloads(self) -> int:
        return len([line for line in self.lines if line.startswith("reloaded ")])

    @property
    def title(self) -> str:
        return str(self.get("/info")["metadata"].get("title"))


def wait_until_listening(port: int) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("nobody listens")


@pytest.fixture
def package(breast_cancer: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(breast_cancer, tmp_path / "package"))


@pytest.fixture
def reloading(package: Path) -> Iterator[Reloading]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "modelimg", "serve", str(package), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    served = Reloading(process, f"http://127.0.0.1:{port}")
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: served.lines.extend(iter(process.stderr.readline, "")), daemon=True)
    reader.start()
    wait_until_listening(port)
    assert served.get("/readyz") == {"status": "ready"}  # who connects before it is waits for the answer
    yield served
    process.terminate()
    assert process.wait(timeout=SECONDS) == 0
    reader.join(SECONDS)
    process.stderr.close()


def replace(package: Path, change: Callable[[Path], None]) -> None:
    """Put a changed copy in the package's place, as packing does."""
    fresh = shutil.copytree(package, package.with_name("fresh"))
    change(fresh)
    package.rename(package.with_name("old"))
    fresh.rename(package)
    shutil.rmtree(package.with_name("old"))


def edit(file: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.unlink()  # the server's copy may be another name of it
    file.write_text(json.dumps(document))


def entitle(title: str) -> Callable[[Path], None]:
    return lambda folder: edit(folder / contract.MANIFEST, lambda manifest: manifest["metadata"].update(title=title))


def test_a_new_package_takes_the_place_of_the_old_and_every_request_is_answered(
    reloading: Reloading, package: Path
) -> None:
    answered, failed, over = [], [], threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                answered.append(reloading.title)
            except OSError as error:
                failed.append(error)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for title in ("second", "third"):
        replace(package, entitle(title))
        until = time.monotonic() + SECONDS
        while reloading.title != title and time.monotonic() < until:
            time.sleep(0.05)
    until = time.monotonic() + SECONDS
    while reloading.reloads < 2 and time.monotonic() < until:
        time.sleep(0.05)
    over.set()
    for thread in asking:
        thread.join()
    assert failed == []
    assert list(dict.fromkeys(answered)) == ["None", "second", "third"]
    assert reloading.reloads == 2


def break_digest(folder: Path) -> None:
    (folder / "model.joblib").unlink()
    (folder / "model.joblib").write_bytes(b"other bytes")
    entitle("changed")(folder)


def break_answers(folder: Path) -> None:
    import hashlib

    edit(folder / contract.EXAMPLES, lambda examples: examples["predictions"].__setitem__(0, "neither"))
    sha256 = hashlib.sha256((folder / contract.EXAMPLES).read_bytes()).hexdigest()
    edit(folder / contract.MANIFEST, lambda manifest: manifest["files"].update({contract.EXAMPLES: sha256}))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (break_digest, "model.joblib is not the file that was packed"),
        (break_answers, "its server ended with exit code 1"),
        (lambda folder: (folder / contract.MANIFEST).write_text("{"), "no model package"),
    ],
)
def test_what_may_not_be_served_changes_nothing_and_says_why(
    reloading: Reloading, package: Path, harm: Callable[[Path], None], reason: str
) -> None:
    def harmful(folder: Path) -> None:
        (folder / contract.MANIFEST).rename(folder / "kept")
        shutil.copy(folder / "kept", folder / contract.MANIFEST)
        (folder / "kept").unlink()
        harm(folder)

    replace(package, harmful)
    assert reason in reloading.wait_for("was not reloaded")
    assert reloading.title == "None"
    replace(package, lambda folder: None)  # still harmed, and the same: nothing is tried again
    assert len([line for line in reloading.lines if "was not reloaded" in line]) == 1


def test_a_folder_that_is_gone_for_a_while_is_waited_for(reloading: Reloading, package: Path) -> None:
    aside = package.rename(package.with_name("aside"))
    time.sleep(1)
    assert reloading.title == "None"
    entitle("back")(aside)
    aside.rename(package)
    reloading.wait_for("reloaded")
    assert reloading.title == "back"


def children(process: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_a_server_ends_with_who_started_it_however_that_ended(package: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "modelimg", "serve", str(package), "--port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_until_listening(port)
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
        found = children(process.pid)
        process.send_signal(signal.SIGKILL)
    until = time.monotonic() + SECONDS
    while Path(f"/proc/{found[0]}/cmdline").exists() and time.monotonic() < until:
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(found[0], 0)


def test_an_address_that_is_taken_is_refused_in_a_sentence(cli, package: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = cli("serve", package, "--port", taken.getsockname()[1])
    assert (refused.code, refused.out) == (1, "")
    assert "cannot be listened on: Address already in use" in refused.err
