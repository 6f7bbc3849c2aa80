"""systemd's protocols: a socket that is inherited, and telling that we are ready."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from modelimg_runtime.activation import inherited_listener, notify_ready
from modelimg_runtime.errors import SettingRefused

CHILD = """
import json, os, socket, sys
from modelimg_runtime.activation import inherited_listener
from modelimg_runtime.errors import SettingRefused
environ = json.loads(sys.argv[1])
if environ.get("LISTEN_PID") == "own":
    environ["LISTEN_PID"] = str(os.getpid())
if sys.argv[2] == "closed":
    os.close(3)
else:
    os.dup2(int(sys.argv[2]), 3)
try:
    listener = inherited_listener(environ)
except SettingRefused as error:
    print("refused:", error)
else:
    print(listener and listener.getsockname()[1])
"""
OWN = {"LISTEN_FDS": "1", "LISTEN_PID": "own"}


def run(environ: dict[str, str], descriptor: int | str) -> str:
    passed = (descriptor,) if isinstance(descriptor, int) else ()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(environ), str(descriptor)],
        pass_fds=passed,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.stdout.strip()


def test_a_listening_socket_is_taken_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert run(OWN, listener.fileno()) == str(listener.getsockname()[1])


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": "own"},
        {"LISTEN_PID": "own"},
    ],
)
def test_what_was_meant_for_another_process_is_not_taken(environ: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert run(environ, listener.fileno()) == "None"


def test_what_does_not_listen_or_is_no_socket_or_are_several_is_refused(tmp_path: Path) -> None:
    with socket.socket() as idle, (tmp_path / "file").open("w") as file:
        assert run(OWN, idle.fileno()) == "refused: descriptor 3 is no socket that listens"
        assert run(OWN, file.fileno()).startswith("refused: descriptor 3 is no socket: ")
        assert run({**OWN, "LISTEN_FDS": "2"}, idle.fileno()).startswith("refused: LISTEN_FDS=2")
    assert inherited_listener({}) is None


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_who_asked_is_told(tmp_path: Path, kind: str) -> None:
    address = str(tmp_path / "told") if kind == "path" else f"@modelimg-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(address.replace("@", "\0") if kind == "abstract" else address)
        notify_ready({"NOTIFY_SOCKET": address})
        assert told.recv(64) == b"READY=1"


def test_where_nobody_asked_nothing_happens_and_an_address_without_anybody_is_refused(tmp_path: Path) -> None:
    notify_ready({})
    notify_ready({"NOTIFY_SOCKET": ""})
    with pytest.raises(SettingRefused, match="NOTIFY_SOCKET="):
        notify_ready({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
