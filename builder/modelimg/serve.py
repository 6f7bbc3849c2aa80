"""Serving a model package without a container: the image's own runtime, on this host.

It reloads: when the package changes, a new server loads it beside the old one, on the same listening socket, and takes
its place when it is ready. A package that the new server refuses changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NoReturn

import modelimg_runtime
from modelimg.errors import EngineError, PackageError
from modelimg.pack.package import read_package
from modelimg_runtime import activation, contract

Report = Callable[[str], None]

_POLL_SECONDS = 0.5
_BACKLOG = 2048
_STOPS = (signal.SIGTERM, signal.SIGINT)
_ACTIVATED = """\
import os, sys
descriptor = int(sys.argv.pop(1))
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 15)  # PR_SET_PDEATHSIG, SIGTERM: it ends with who started it, however that ended
if descriptor == 3:
    os.set_inheritable(3, True)
else:
    os.dup2(descriptor, 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "modelimg_runtime", "serve"])
"""
"""The process id is known to the process only, and stays when it becomes the server."""


def serve_package(package: Path, host: str, port: int) -> NoReturn:
    """Become the server of a package: this process is replaced, so that signals and exit codes are the server's.

    Raises:
        PackageError: it is no sound model package.
    """
    folder = read_package(package).path.absolute()
    environment = _environment(folder) | {contract.ENV_HOST: host, contract.ENV_PORT: str(port)}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "modelimg_runtime", "serve"], environment)  # noqa: S606 - our own


def serve_and_reload(package: Path, host: str, port: int, report: Report) -> int:
    """Serve a package, and what takes its place, until SIGTERM or SIGINT.

    Args:
        package: its folder.
        host: IPv4 address to listen on.
        port: TCP port.
        report: takes a line when the package was reloaded, or why it was not.

    Returns:
        The last server's exit code.

    Raises:
        PackageError: at the start, it is no sound model package.
        EngineError: the port cannot be listened on.
    """
    folder = package.absolute()
    with _listener(host, port) as listener, _stoppable() as stopped, tempfile.TemporaryDirectory() as aside:
        servers = _Servers(listener, Path(aside), stopped)
        seen = _fingerprint(folder)
        current = servers.start(folder)
        while not stopped(_POLL_SECONDS) and current.process.poll() is None:
            if (now := _fingerprint(folder)) == seen or now is None:
                continue
            try:
                current = servers.replace(current, folder)
                report(f"reloaded {package}")
            except (PackageError, _Refused) as error:
                report(f"{package} was not reloaded, the one before is still served: {error}")
            seen = now
        return current.end()


class _Refused(Exception):  # noqa: N818 - it says what is the case
    """A server ended before it was ready; it has said why."""


@dataclass(frozen=True)
class _Server:
    process: subprocess.Popen[bytes]
    copy: Path

    def end(self) -> int:
        """Let it answer what it accepted; its exit code."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        code = self.process.wait()
        shutil.rmtree(self.copy, ignore_errors=True)
        return code


class _Servers:
    """Starts servers on one socket, each with the package as it was then.

    Args:
        listener: shared by all of them.
        aside: folder for copies of packages; a server reads some files only when they are first needed.
        stopped: whether the user wants to end.
    """

    def __init__(self, listener: socket.socket, aside: Path, stopped: Callable[[float], bool]) -> None:
        self._listener, self._aside, self._stopped = listener, aside, stopped
        self._started = 0

    def start(self, folder: Path) -> _Server:
        """Start a server, without waiting until it is ready.

        Raises:
            PackageError: the folder holds no sound model package.
        """
        return self._start(folder, {})

    def replace(self, old: _Server, folder: Path) -> _Server:
        """Start another server, and end the old one when it is ready.

        Raises:
            PackageError: the folder holds no sound model package.
            _Refused: the new server may not serve it.
        """
        address = str(self._aside / "ready")
        Path(address).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(address)
            told.settimeout(_POLL_SECONDS)
            fresh = self._start(folder, {activation.ENV_NOTIFY: address})
            while not _received(told):
                if fresh.process.poll() is not None or self._stopped(0):
                    raise _Refused(f"its server ended with exit code {fresh.end()}")
        old.end()
        return fresh

    def _start(self, folder: Path, environment: dict[str, str]) -> _Server:
        self._started += 1
        copy = self._aside / str(self._started)
        try:
            _copy_package(folder, copy)
        except PackageError:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        descriptor = self._listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-c", _ACTIVATED, str(descriptor)],
            env=_environment(copy) | environment,
            pass_fds=(descriptor,),
            start_new_session=True,  # Ctrl-C in a terminal is for us to pass on
        )
        return _Server(process, copy)


def _environment(folder: Path) -> dict[str, str]:
    paths = [str(Path(modelimg_runtime.__file__).parents[1]), str(folder / contract.CODE_DIR)]
    return {
        **os.environ,
        contract.ENV_MODEL_DIR: str(folder),
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def _fingerprint(folder: Path) -> str | None:
    """Digest of the manifest, which names the digests of all else; None while there is none."""
    with suppress(OSError):
        return hashlib.sha256((folder / contract.MANIFEST).read_bytes()).hexdigest()
    return None


def _copy_package(folder: Path, copy: Path) -> None:
    """Copy a package and check the copy.

    Raises:
        PackageError: it is no sound model package; the message names the folder, not the copy.
    """
    try:
        if not folder.is_dir():
            read_package(folder)
        shutil.copytree(folder, copy, copy_function=_link_or_copy)
        read_package(copy)
    except PackageError as error:
        raise PackageError(error.message.replace(str(copy), str(folder)), hint=error.hint) from error
    except OSError as error:
        raise PackageError(f"{folder} cannot be read, or was changed meanwhile: {error}") from error


def _link_or_copy(source: str, target: str) -> None:
    """A package is replaced as a whole and never edited, so that a second name keeps its files as they are."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)


def _received(told: socket.socket) -> bool:
    with suppress(TimeoutError):
        return told.recv(64) == b"READY=1"
    return False


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=_BACKLOG)
    except OSError as error:
        raise EngineError(
            f"{host}:{port} cannot be listened on: {error.strerror}", hint="--host and --port name another address"
        ) from error


@contextmanager
def _stoppable() -> Iterator[Callable[[float], bool]]:
    """A function that waits for SIGTERM or SIGINT, for some seconds at most, and says whether one came."""
    arrived: SimpleQueue[int] = SimpleQueue()  # a signal handler may put there whatever the process is doing
    came: list[int] = []

    def stopped(seconds: float) -> bool:
        if not came:
            with suppress(Empty):
                came.append(arrived.get(timeout=seconds))
        return bool(came)

    before = {one: signal.signal(one, lambda number, _frame: arrived.put(number)) for one in _STOPS}
    try:
        yield stopped
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
