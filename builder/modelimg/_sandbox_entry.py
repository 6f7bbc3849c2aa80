"""The way into a sandbox: a script that `sandbox` runs in an interpreter of its own, never imported by anything.

It makes the namespaces, builds what a container has around the root, gives up every privilege and becomes the command.
By system calls rather than util-linux's ``unshare``: that one leaves the host's mounts behind a ``chroot``, does not
tell which step a host refuses, and is missing or older on many hosts. An interpreter of its own, because only a process
with a single thread may enter a user namespace. Standard library only: it runs with ``-I -S``.

Source: user_namespaces(7), mount_namespaces(7), pid_namespaces(7), pivot_root(2), capabilities(7), prctl(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = 1 << 17, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
_SETUP_FAILED = 125
_HOSTNAME = b"sandbox"

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> NoReturn:
    """Run the request in the first argument, and end as its command ends; a failed step goes to the status pipe."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    os.set_inheritable(request["status"], False)
    try:
        code = _supervise(request)
    except OSError as error:
        code = _report(request["status"], error)
    os._exit(code)


def _report(status: int, error: OSError) -> int:
    os.write(status, json.dumps({"step": error.filename or "setup", "number": error.errno}).encode())
    return _SETUP_FAILED


def _supervise(request: dict[str, Any]) -> int:
    """Enter the namespaces, start the command as their first process, and wait for it."""
    _die_with_parent()
    if os.getppid() != request["parent"]:
        return _SETUP_FAILED
    # The namespace's copy of the working directory needs no path that its user could not walk.
    with _step("opening the root"):
        os.chdir(os.path.dirname(request["root"]))
    release = _start_mapper(request["user"])
    with _step("unshare"):
        _check(_libc.unshare(_NEW_USER | _NEW_MOUNTS | _NEW_PID | _NEW_NET | _NEW_IPC | _NEW_UTS))
    release()
    # What runs inside may not make namespaces of its own, as it could not in a container.
    with contextlib.suppress(OSError), open("/proc/sys/user/max_user_namespaces", "w") as limit:
        limit.write("0")
    alive, hold = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hold)
        _become(request, alive)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _start_mapper(user: int) -> Callable[[], None]:
    """Fork what will write the user and group map from outside; the function returned lets it, and waits for it.

    As root the map holds root and the sandbox's user; anybody else may map himself only, as that user.
    """
    go_read, go = os.pipe()
    supervisor, uid, gid = os.getpid(), os.geteuid(), os.getegid()
    mapper = os.fork()
    if mapper == 0:
        os.close(go)
        if not os.read(go_read, 1):
            os._exit(0)
        if uid == 0 and _write_maps(supervisor, f"0 0 1\n{user} {user} 1\n", f"0 0 1\n{user} {user} 1\n"):
            os._exit(0)
        with contextlib.suppress(OSError):
            _write(f"/proc/{supervisor}/setgroups", "deny")
        os._exit(0 if _write_maps(supervisor, f"{user} {uid} 1\n", f"{user} {gid} 1\n") else errno.EPERM)

    def release() -> None:
        os.write(go, b"1")
        _, status = os.waitpid(mapper, 0)
        if failed := os.waitstatus_to_exitcode(status):
            raise OSError(abs(failed), "", "mapping the user")

    return release


def _write_maps(process: int, users: str, groups: str) -> bool:
    try:
        _write(f"/proc/{process}/gid_map", groups)
        _write(f"/proc/{process}/uid_map", users)
    except OSError:
        return False
    return True


def _become(request: dict[str, Any], alive: int) -> NoReturn:
    """As process 1 of the namespaces: the mounts, no privileges, the command."""
    try:
        _mount_root(os.path.basename(request["root"]))
        _check(_libc.sethostname(_HOSTNAME, len(_HOSTNAME)))
        _drop_privileges(request["user"])
        _die_with_parent()
        os.set_blocking(alive, False)
        with contextlib.suppress(BlockingIOError):
            os.read(alive, 1)
            os._exit(_SETUP_FAILED)  # the supervisor went away before its death could reach us
        with _step("noexec"):
            _check(-1 if os.statvfs("/").f_flag & _NOEXEC else 0)
        if not request["command"]:
            os._exit(0)
        with _step("working directory"):
            os.chdir(request["working_dir"])
        with _step("exec"):
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would hand that on
                signal.signal(number, signal.SIG_DFL)
            os.execve(request["command"][0], request["command"], request["env"])
    except OSError as error:
        os._exit(_report(request["status"], error))


def _mount_root(name: str) -> None:
    """Make the folder ``name`` the root, read-only, with the ``/proc`` and ``/dev`` that containers have."""
    with _step("mounting"):
        _mount(None, "/", None, _REC | _PRIVATE)
        _mount(name, name, None, _BIND)
        os.chdir(name)
        if _is_mount_point("dev"):
            _mount_devices()
        if _is_mount_point("proc"):
            # Refused where parts of the host's own /proc are hidden, as in most containers.
            with contextlib.suppress(PermissionError):
                _mount("proc", "proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    with _step("pivot_root"):
        # The old root comes to lie over the new one, and is taken off: pivot_root(2), "pivot_root(".", ".")".
        _check(_libc.pivot_root(b".", b"."))
        _check(_libc.umount2(b".", _DETACH))
        os.chdir("/")
        locked = os.statvfs("/").f_flag & (_NOSUID | _NODEV | _NOEXEC)
        _mount(None, "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV | locked)


def _is_mount_point(name: str) -> bool:
    """Whether something may be mounted there; a missing folder is made, as container runtimes do.

    A link is left alone: a mount, and files made in it, would land outside of the root.
    """
    with contextlib.suppress(FileExistsError, PermissionError):
        os.mkdir(name, 0o755)
    try:
        return stat.S_ISDIR(os.lstat(name).st_mode)
    except FileNotFoundError:
        return False


def _mount_devices() -> None:
    _mount("tmpfs", "dev", "tmpfs", _NOSUID | _NOEXEC, "mode=755,size=64k")
    for name in _DEVICES:
        if os.path.exists(f"/dev/{name}"):
            _write(f"dev/{name}", "")
            _mount(f"/dev/{name}", f"dev/{name}", None, _BIND)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"dev/{name}")
    os.mkdir("dev/shm")
    _mount("tmpfs", "dev/shm", "tmpfs", _NOSUID | _NODEV | _NOEXEC, "mode=1777,size=64m")
    _mount(None, "dev", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NOEXEC)


def _drop_privileges(user: int) -> None:
    """No capability now or ever again, and an ordinary user."""
    with _step("dropping privileges"):
        capability = 0
        while _libc.prctl(_PR_CAPBSET_DROP, *_longs(capability)) == 0:
            capability += 1
        if os.getuid() != user:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, *_longs(1)))


def _die_with_parent() -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, *_longs(signal.SIGKILL)))


def _longs(first: int) -> list[ctypes.c_ulong]:
    """Arguments of ``prctl``, which reads longs where ctypes would pass ints."""
    return [ctypes.c_ulong(value) for value in (first, 0, 0, 0)]


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, options)]
    _check(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]))


def _write(path: str, text: str) -> None:
    """One write, as the kernel's files want it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT * (not path.startswith("/proc")), 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _check(result: int) -> None:
    if result == -1:
        raise OSError(ctypes.get_errno(), "")


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    """Names the step that an `OSError` inside comes from, in its ``filename``."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, "", name) from None


if __name__ == "__main__":
    main()
