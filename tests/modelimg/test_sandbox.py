"""The sandbox, for real: this host's kernel, and a Debian base as the root."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import modelimg
from modelimg.errors import EngineError, SandboxUnavailable
from modelimg.oci.values import Platform
from modelimg.sandbox import USER_ID, Finished, run_in_rootfs, sandbox_obstacle

PYTHON = "/usr/bin/python3.11"
NOBODY = 65534

RUN = """
import json, sys
from pathlib import Path
from modelimg.sandbox import run_in_rootfs
done = run_in_rootfs(Path(sys.argv[1]), ["/usr/bin/python3.11", "-c", sys.argv[2], *sys.argv[3:]], env={"ONLY": "this"})
print(json.dumps([done.exit_code, done.stdout.decode(), done.stderr.decode()]))
"""

FACTS = """
import json, os, socket
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "root": sorted(os.listdir("/")),
    "environment": {key: value for key, value in os.environ.items() if key != "LC_CTYPE"},
    "processes": [name for name in os.listdir("/proc") if name.isdigit()],
    "network": [name for _, name in socket.if_nameindex()],
    "host name": socket.gethostname(),
    "user": [os.getuid(), os.geteuid(), os.getgid(), os.getegid()],
    "capabilities": [status[f"Cap{kind}"].strip() for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
    "new privileges": status["NoNewPrivs"].strip(),
    "open files": [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")],
    "devices": sorted(os.listdir("/dev")),
    "random": len(open("/dev/urandom", "rb").read(8)),
    "ignored": [n for n in range(1, 32) if int(status["SigIgn"], 16) >> n - 1 & 1],
    "folder": os.getcwd(),
}))
"""


def run(root: Path, code: str, *arguments: str, **options) -> Finished:
    return run_in_rootfs(root, [PYTHON, "-c", code, *arguments], **{"env": {}, **options})


@pytest.fixture(scope="session")
def public() -> Iterator[Path]:
    """A copy of modelimg that every user of this host may read."""
    with tempfile.TemporaryDirectory(prefix="modelimg-test-") as folder:
        Path(folder).chmod(0o755)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(modelimg.__file__).parent, Path(folder, "modelimg"), ignore=ignore)
        yield Path(folder)


def run_as_nobody(public: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as an ordinary user, with an interpreter that such a one may start."""
    somebody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}
    pythons = [
        sys.executable,
        *(path for name in ("python3.11", "python3") if (path := shutil.which(name, path="/usr/bin:/usr/local/bin"))),
    ]
    for python in pythons:
        try:
            subprocess.run(
                [python, "-c", "from enum import StrEnum"], check=True, cwd="/", capture_output=True, **somebody
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        environment = {"PYTHONPATH": str(public), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(
            [python, *arguments], cwd="/", env=environment, capture_output=True, text=True, timeout=60, **somebody
        )
    raise AssertionError(f"none of {pythons} may be started by an ordinary user")


@pytest.fixture(params=["this user", "an ordinary user"])
def inside(request: pytest.FixtureRequest, rootfs: Path, public: Path) -> Callable[..., Finished]:
    """Run Python in the sandbox; as root that means by two users."""

    def by_nobody(code: str, *arguments: str) -> Finished:
        done = run_as_nobody(public, "-c", RUN, str(rootfs), code, *arguments)
        assert done.returncode == 0, done.stderr
        exit_code, stdout, stderr = json.loads(done.stdout)
        return Finished(exit_code, stdout.encode(), stderr.encode())

    def by_me(code: str, *arguments: str) -> Finished:
        return run(rootfs, code, *arguments, env={"ONLY": "this"})

    return by_me if request.param == "this user" else by_nobody


def test_this_host_has_no_obstacle() -> None:
    assert sandbox_obstacle() is None
    assert sandbox_obstacle(Platform("linux", "amd64")) is None


def test_a_command_sees_its_root_and_nothing_of_the_host(inside: Callable[..., Finished], rootfs: Path) -> None:
    done = inside(FACTS)
    assert (done.exit_code, done.stderr) == (0, b"")
    facts = json.loads(done.stdout)
    assert facts["root"] == sorted(path.name for path in rootfs.iterdir())
    assert facts.pop("root") != sorted(path.name for path in Path("/").iterdir())
    assert facts == {
        "environment": {"ONLY": "this"},
        "processes": ["1"],
        "network": ["lo"],
        "host name": "sandbox",
        "user": [USER_ID] * 4,
        "capabilities": ["0" * 16] * 5,
        "new privileges": "1",
        "open files": ["0", "1", "2"],
        "devices": ["fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"],
        "random": 8,
        "ignored": [signal.SIGPIPE, signal.SIGXFSZ],  # by the Python inside
        "folder": "/",
    }


ATTEMPTS = [
    "open('/new', 'w')",
    "open('/tmp/new', 'w')",
    "open('/dev/new', 'w')",
    "open('/etc/passwd', 'a')",
    "open('/proc/sys/kernel/hostname', 'w')",
    "os.chmod('/usr/bin/python3.11', 0o777)",
    "os.mkdir('/proc/new')",
    "os.mknod('/dev/shm/new', 0o600 | stat.S_IFBLK, os.makedev(254, 0))",
    "os.setuid(0)",
    "os.setgroups([0])",
    "os.chroot('/usr')",
    "os.kill(int(sys.argv[1]), 0)",
    "os.listdir(sys.argv[2])",
    "os.listdir('/proc/1/root/' + sys.argv[2])",
    "socket.create_connection(('127.0.0.1', int(sys.argv[3])), timeout=5)",
    "socket.create_connection(('deb.debian.org', 80), timeout=5)",
    "socket.sethostname('other')",
    "call('unshare', 0x10000000)",  # CLONE_NEWUSER
    "call('unshare', 0x00020000)",  # CLONE_NEWNS
    "call('mount', b'tmpfs', b'/tmp', b'tmpfs', 0, None)",
    "call('mount', None, b'/', None, 32 | 4096, None)",  # MS_REMOUNT | MS_BIND: writable again
    "call('umount2', b'/proc', 2)",
    "call('setns', os.open('/proc/1/ns/net', os.O_RDONLY), 0)",
    "subprocess.run(['/bin/sh', '-c', 'true'])",
]
TRY = """
import ctypes, json, os, socket, stat, subprocess, sys
def call(name, *arguments):
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
done = []
for attempt in json.loads(sys.argv.pop()):
    try:
        eval(attempt)
        done.append(attempt)
    except OSError:
        pass
print(json.dumps(done))
"""


def test_nothing_leads_out_or_changes_anything(inside: Callable[..., Finished], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = [str(os.getpid()), str(tmp_path), str(listener.getsockname()[1])]
        done = inside(TRY, *host, json.dumps([*ATTEMPTS, "open('/dev/shm/new', 'w')"]))
    assert (done.exit_code, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == ["open('/dev/shm/new', 'w')"]  # as in a container


def test_shared_memory_is_there_as_in_a_container(rootfs: Path) -> None:
    code = "import multiprocessing as m; lock = m.get_context('fork').Lock(); print(lock.acquire(timeout=1))"
    assert run(rootfs, code).stdout == b"True\n"


def test_files_of_the_host_are_passed_as_open_files(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"abc")
    with (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        done = run(rootfs, "import sys; print(sys.stdin.read()[::-1])", stdin=stdin, stdout=stdout)
    assert done == Finished(0, b"", b"")
    assert (tmp_path / "out").read_bytes() == b"cba\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise SystemExit(0)", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('words')", 1),
        ("import os; os._exit(125)", 125),
        ("import os; os.abort()", 128 + signal.SIGSEGV),  # process 1 has no default action for SIGABRT
        (
            "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', 'import os; os.kill(os.getpid(), 9)']) + 100)",
            91,
        ),
    ],
)
def test_it_ends_as_the_command_ends(rootfs: Path, code: str, expected: int) -> None:
    assert run(rootfs, code).exit_code == expected


def test_the_working_directory_is_the_one_asked_for(rootfs: Path) -> None:
    assert run(rootfs, "import os; print(os.getcwd())", working_dir="/usr/lib").stdout == b"/usr/lib\n"


def test_of_endless_output_the_end_is_kept_in_bounded_memory(rootfs: Path) -> None:
    code = "import os, sys\nfor _ in range(200):\n    os.write(1, b'x' * (1 << 20))\nprint('the end')\nprint('and here', file=sys.stderr)"
    before = _peak_memory()
    done = run(rootfs, code)
    assert (len(done.stdout), done.stdout[-8:], done.stderr) == (4 << 20, b"the end\n", b"and here\n")
    assert _peak_memory() - before < 40 << 20


def _peak_memory() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def processes(marker: str) -> list[int]:
    """Of this host, those that have the marker on their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if (
                folder.name.isdigit()
                and marker.encode() in (folder / "cmdline").read_bytes()
                and int(folder.name) != os.getpid()
            ):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 seconds"
        time.sleep(0.02)


FAMILY = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nfor _ in range(2): os.fork()\nos.setsid() if os.getpid() != 1 else None\ntime.sleep(600)"


def test_a_command_that_never_ends_is_ended_with_all_its_children(rootfs: Path) -> None:
    marker = uuid.uuid4().hex
    with pytest.raises(EngineError, match="did not end within 1 seconds"):
        run(rootfs, FAMILY, marker, timeout=1)
    wait_for(lambda: processes(marker) == [])


def test_children_that_outlive_their_parent_are_ended_with_it(rootfs: Path) -> None:
    marker = uuid.uuid4().hex
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nprint('done')"
    assert run(rootfs, code, marker, timeout=30).stdout == b"done\n"
    wait_for(lambda: processes(marker) == [])


def test_a_builder_that_is_killed_leaves_nothing_running(rootfs: Path) -> None:
    marker = uuid.uuid4().hex
    builder = subprocess.Popen([sys.executable, "-c", RUN, str(rootfs), FAMILY, marker])
    try:
        wait_for(lambda: len(processes(marker)) >= 6)  # the builder, its helper, and a family of four
    finally:
        builder.kill()
        builder.wait()
    wait_for(lambda: processes(marker) == [])


@pytest.fixture
def other_root(rootfs: Path, tmp_path: Path) -> Path:
    """The root again, to add to and take from; its files are shared."""
    shutil.copytree(rootfs, tmp_path / "root", symlinks=True, copy_function=os.link)
    return tmp_path / "root"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/usr/bin/python2"], "No such file"),
        (["/usr/lib"], "Permission denied"),
        (["/etc/passwd"], "Permission denied"),
        (["/usr/bin/garbage"], "Exec format error"),
        (["/usr/bin/no-interpreter"], "No such file"),
        (["python3.11"], "No such file"),
    ],
)
def test_what_cannot_be_started_is_told_by_name(other_root: Path, command: list[str], reason: str) -> None:
    for name, data in {"garbage": b"\x7fELF" + bytes(100), "no-interpreter": b"#!/bin/sh\n"}.items():
        (other_root / "usr/bin" / name).write_bytes(data)
        (other_root / "usr/bin" / name).chmod(0o755)
    with pytest.raises(EngineError, match=reason) as error:
        run_in_rootfs(other_root, command, env={})
    assert not isinstance(error.value, SandboxUnavailable)
    assert command[0] in error.value.message


def test_links_of_a_hostile_root_do_not_lead_to_the_host(other_root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("dev", "proc"):
        shutil.rmtree(other_root / name)
        (other_root / name).symlink_to(outside)
    code = "import os; print(os.path.exists('/dev/null'), os.path.exists('/proc/self'))"
    assert run(other_root, code).stdout == b"False False\n"
    assert list(outside.iterdir()) == []


def test_a_root_without_mount_points_gets_them(other_root: Path) -> None:
    for name in ("dev", "proc"):
        shutil.rmtree(other_root / name)
    assert (
        run(other_root, "print(open('/dev/null').read() == '', open('/proc/self/comm').read())").stdout
        == b"True python3.11\n\n"
    )


def test_a_missing_root_is_told(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="opening the root: No such file"):
        run(tmp_path / "none" / "root", "")


@pytest.mark.parametrize(
    ("folder", "reason"), [("/none", "No such file"), ("", "No such file"), ("/etc/passwd", "Not a dir")]
)
def test_a_working_directory_that_is_none_is_told(rootfs: Path, folder: str, reason: str) -> None:
    with pytest.raises(EngineError, match=f"working directory: {reason}"):
        run(rootfs, "", working_dir=folder)


CHECK = """
import sys
from pathlib import Path
from modelimg.errors import SandboxUnavailable
from modelimg.sandbox import run_in_rootfs, sandbox_obstacle
print(sandbox_obstacle())
try:
    run_in_rootfs(Path(sys.argv[1]), ["/usr/bin/python3.11", "-c", "print('it ran')"], env={})
except SandboxUnavailable as error:
    print(error.message, "|", error.hint)
"""


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("echo 0 > /proc/sys/user/max_user_namespaces", "sysctl user.max_user_namespaces"),
        ("echo 0 > /proc/sys/user/max_net_namespaces", "sysctl user.max_net_namespaces"),
        ("mount -t tmpfs -o noexec none {root}/.. && mkdir {root} && export TMPDIR={root}", "noexec"),
        ("mount -t tmpfs none /proc", "mapping the user"),
    ],
)
def test_a_host_that_forbids_it_says_why(condition: str, reason: str, tmp_path: Path) -> None:
    """Everything happens in a user namespace of its own, whose settings are not the host's."""
    root = tmp_path / "aside" / "root"
    root.mkdir(parents=True)
    script = f'{condition.format(root=root)}; exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*command, sys.executable, "-c", CHECK, str(root)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    obstacle, refusal = done.stdout.splitlines()
    assert reason in obstacle
    assert refusal.startswith(f"{obstacle} | use a host that permits user namespaces")
    assert sandbox_obstacle() is None  # the host is as it was


@pytest.mark.parametrize(("platform", "word"), [("linux/arm64", "linux/arm64"), ("linux/amd64", None)])
def test_other_machines_are_no_place_to_run(platform: str, word: str | None) -> None:
    assert os.uname().machine == "x86_64"
    obstacle = sandbox_obstacle(Platform.parse(platform))
    assert obstacle is None if word is None else word in str(obstacle)
