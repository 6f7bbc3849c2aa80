"""`modelimg serve`: the server without a container."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(package: Path) -> tuple[subprocess.Popen[str], str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "modelimg", "serve", str(package), "--port", str(port)]
        started.append(subprocess.Popen(command, cwd=package.parent, stderr=subprocess.PIPE, text=True))
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                    return started[-1], url
            except OSError:
                assert started[-1].poll() is None, started[-1].communicate()[1]
                time.sleep(0.1)
        raise AssertionError("it never became ready")

    yield start
    for process in started:
        process.kill()
        process.communicate()


def predict(url: str, rows: list[dict[str, object]]) -> dict[str, object]:
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.mark.parametrize("example", ["breast_cancer", "penguins"])
def test_the_packed_examples_come_out_the_same(
    request: pytest.FixtureRequest, serve, examples_of, example: str
) -> None:
    package: Path = request.getfixturevalue(example)
    _, url = serve(package)
    rows, predictions = examples_of(package)
    assert predict(url, rows)["predictions"] == predictions
    with pytest.raises(urllib.error.HTTPError, match="422"):
        predict(url, [{"no such column": 1}])


def test_it_listens_on_loopback_only(serve, breast_cancer: Path) -> None:
    process, _ = serve(breast_cancer)
    tcp = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    mine = {str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
    listening = [line.split() for line in tcp if line.split()[3] == "0A"]
    addresses = [fields[1].partition(":")[0] for fields in listening if f"socket:[{fields[9]}]" in mine]
    assert addresses == ["0100007F"]


def test_it_ends_well_when_it_is_told_to(serve, breast_cancer: Path) -> None:
    process, _ = serve(breast_cancer)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent"], 1, "absent"),
        (["."], 1, "modelimg.json"),
        (["absent", "--port", "70000"], 2, "less than or equal to 65535"),
        (["absent", "--port", "0"], 2, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_served_is_refused(cli, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    refused = cli("serve", *arguments, cwd=tmp_path)
    assert (refused.code, refused.out) == (code, "")
    assert message in refused.err


def test_a_package_that_was_changed_is_not_served(cli, breast_cancer: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(breast_cancer, tmp_path / "copy")
    (copy / "model.joblib").write_bytes(b"other bytes")
    refused = cli("serve", copy)
    assert refused.code == 1
    assert "model.joblib" in refused.err
