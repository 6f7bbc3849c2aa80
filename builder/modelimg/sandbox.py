"""Running a command of an image without a container runtime: Linux namespaces around an unpacked root filesystem.

User, mount, process, network, IPC and host-name namespaces of its own, as root or as anybody: the command sees the
root, read-only, as an ordinary user without capabilities, and nothing of the host: no file, no process, no network, no
variable. ``_sandbox_entry`` is what runs on the other side.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, BinaryIO

from modelimg.errors import EngineError, SandboxUnavailable
from modelimg.oci.values import Platform

USER_ID = 65532
"""Who the command is inside: the user that images of ours name."""

_ENTRY = Path(__file__).with_name("_sandbox_entry.py")
_CHUNK = 1 << 16
_KEPT = 4 << 20
"""Bytes of each captured stream that are kept: the last ones, since verdicts come last."""
_LIMITS = tuple(f"max_{kind}_namespaces" for kind in ("user", "mnt", "pid", "net", "ipc", "uts"))
_HINT = "use a host that permits user namespaces, or where a container runtime answers"


@dataclass(frozen=True)
class Finished:
    """How a command ended.

    Attributes:
        exit_code: its own, or 128 and the number of the signal that ended it.
        stdout: the last of what it wrote; empty where it went to a file.
        stderr: the same.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes


def run_in_rootfs(
    root: Path,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    working_dir: str = "/",
    timeout: float = 300,
) -> Finished:
    """Run a command with a folder as its root.

    Args:
        root: an unpacked root filesystem, readable by all; folders to mount ``/proc`` and ``/dev`` on are made in it.
        command: absolute path inside the root, and its arguments.
        env: the whole environment.
        stdin: an open file of this host that it may read; nothing by default.
        stdout: an open file of this host that takes its output, which is captured by default.
        working_dir: inside the root.
        timeout: seconds until everything inside is ended.

    Raises:
        SandboxUnavailable: this host does not permit the namespaces.
        EngineError: the command cannot be started, or did not end in time.
    """
    status_read, status = os.pipe()
    request = {
        "root": str(root.resolve()),
        "command": list(command),
        "env": dict(env),
        "working_dir": working_dir,
        "user": USER_ID,
        "status": status,
        "parent": os.getpid(),
    }
    with open(status_read, "rb") as failure:  # noqa: PTH123 - a descriptor
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_ENTRY), json.dumps(request)],
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={},
                pass_fds=(status,),
                start_new_session=True,
            )
        finally:
            os.close(status)
        with process:
            try:
                captured = capture(process, command, timeout)
                exit_code = process.wait()
            finally:
                process.kill()  # and the kernel ends everything in the namespaces with it
        if reported := failure.read():
            raise _failure(command, **json.loads(reported))
    return Finished(exit_code, *captured)


def capture(process: subprocess.Popen[bytes], command: Sequence[str], timeout: float) -> tuple[bytes, bytes]:
    """The last of what a process writes to each of its pipes, until nobody holds them open any more.

    Args:
        process: started; whoever started it ends it.
        command: how a message names it.
        timeout: in seconds.

    Raises:
        EngineError: it takes longer.
    """
    deadline = time.monotonic() + timeout
    kept: list[bytearray] = [bytearray(), bytearray()]
    with selectors.DefaultSelector() as waiting:
        for stream, buffer in zip((process.stdout, process.stderr), kept, strict=True):
            if stream:
                waiting.register(stream, selectors.EVENT_READ, buffer)
        while waiting.get_map():
            ready = waiting.select(deadline - time.monotonic())
            if time.monotonic() > deadline:
                raise EngineError(
                    f"{' '.join(command[:3])} did not end within {timeout:g} seconds, and was ended",
                    hint="run it by hand to see what it waits for; nothing of it is left running",
                )
            for key, _ in ready:
                if not _read_some(key.fileobj, key.data):  # type: ignore[arg-type]
                    waiting.unregister(key.fileobj)
    return bytes(kept[0][-_KEPT:]), bytes(kept[1][-_KEPT:])


def _read_some(stream: IO[bytes], buffer: bytearray) -> bool:
    chunk = os.read(stream.fileno(), _CHUNK)
    buffer += chunk
    if len(buffer) > 2 * _KEPT:
        del buffer[:-_KEPT]
    return bool(chunk)


def sandbox_obstacle(platform: Platform | None = None) -> str | None:
    """Why nothing can be run in a sandbox on this host, found by trying; None where it can.

    Args:
        platform: of the image that something of is to be run; this host's by default.
    """
    if sys.platform != "linux":
        return "only Linux has the namespaces that a sandbox needs"
    machine = os.uname().machine
    if platform and (platform.os, platform.machine) != ("linux", machine):
        return f"nothing for {platform} runs on this {machine} machine"
    return _refusal()


@cache
def _refusal() -> str | None:
    with tempfile.TemporaryDirectory(prefix="modelimg-") as folder:
        root = Path(folder, "root")
        root.mkdir()
        try:
            run_in_rootfs(root, [], env={}, timeout=30)
        except EngineError as error:
            return error.message
    return None


def _failure(command: Sequence[str], step: str, number: int) -> EngineError:
    """What the entry reported, as an error."""
    name, reason = command[0] if command else "nothing", os.strerror(number)
    if step == "exec":
        return EngineError(
            f"{name} cannot be run: {reason}",
            hint="the image's interpreter is missing, or is for another architecture",
        )
    if step in ("working directory", "opening the root"):
        return EngineError(f"{name} cannot be run: {step}: {reason}")
    return SandboxUnavailable(_explanation(step, number) or f"{step} is refused: {reason}", hint=_HINT)


def _explanation(step: str, number: int) -> str | None:
    """What usually lies behind a refusal."""
    if step == "noexec":
        return f"programs in {tempfile.gettempdir()} may not be run (noexec); TMPDIR can name another folder"
    if number == errno.ENOSPC:
        used_up = [name for name in _LIMITS if _sysctl(f"user/{name}") == "0"] or ["max_user_namespaces"]
        return f"no more namespaces may be made (sysctl user.{used_up[0]})"
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are for root only (sysctl kernel.unprivileged_userns_clone=0)"
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1" and os.geteuid():
        return "AppArmor restricts user namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=1)"
    if step == "unshare" and number == errno.EPERM:
        return "user namespaces are forbidden here, as they are by default inside a container"
    return None


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return None
