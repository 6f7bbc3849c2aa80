"""The self-test of an image without a container runtime: in namespaces of its own, or else with a Python of this host.

The first is as good as a container: the image's own interpreter and libraries, read-only, without network and
privileges. The second shows that the wheels and the model belong together, on another interpreter of the same version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from modelimg.engines.base import Report, SelfTest
from modelimg.errors import ImageError, SandboxUnavailable
from modelimg.oci.files import unpack
from modelimg.oci.image import RunConfig
from modelimg.oci.manifest import Image
from modelimg.sandbox import capture, run_in_rootfs, sandbox_obstacle
from modelimg_runtime import contract

_COMMAND = "selftest"
_SECONDS = 300
_PROBE_SECONDS = 20
_PROBE = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
_RUN = """\
import runpy, site, sys
*first, packages = sys.argv[2:]
sys.path[:0] = first
site.addsitedir(packages)
sys.argv[1:] = sys.argv[1:2]
runpy.run_module("modelimg_runtime", run_name="__main__", alter_sys=True)
"""
"""The image's search path: runtime and code, the standard library, site-packages with its ``.pth`` files."""

_HOST_TOO_OLD = re.compile(r"version `\w+_[\d.]+' not found|cannot open shared object file")


def run_selftest(image: Image, *, report: Report) -> SelfTest:
    """Replay an image's packed examples on this host.

    Args:
        image: of any platform; its layers are unpacked aside.
        report: takes a line of progress.

    Raises:
        SandboxUnavailable: nothing of the image can be run here; the message says why.
        EngineError: its interpreter cannot be started, or did not end in time.
    """
    platform = image.config.platform
    obstacle = sandbox_obstacle(platform)
    if obstacle and (sys.platform, os.uname().machine) != (platform.os, platform.machine):
        raise SandboxUnavailable(obstacle)
    with tempfile.TemporaryDirectory(prefix="modelimg-") as folder:
        root = Path(folder, "root")
        unpack(image.layers, root)
        if obstacle is None:
            return _in_namespace(root, image.config.run)
        return _on_host(root, image.config.run, obstacle, report)


def _in_namespace(root: Path, run: RunConfig) -> SelfTest:
    there = (root / run.working_dir.lstrip("/")).is_dir()
    done = run_in_rootfs(
        root,
        [*run.entrypoint, _COMMAND],
        env=_variables(run),
        working_dir=run.working_dir if run.working_dir and there else "/",
        timeout=_SECONDS,
    )
    return _selftest(done.exit_code, done.stdout, done.stderr, "namespace")


def _on_host(root: Path, run: RunConfig, obstacle: str, report: Report) -> SelfTest:
    ours = root / contract.PREFIX.lstrip("/")
    site_packages = next(iter(ours.glob("venv/lib/python3.*/site-packages")), None)
    if site_packages is None:
        raise ImageError("the image has no folder of wheels, so modelimg did not build it")
    minor = site_packages.parent.name.removeprefix("python")
    python = find_python(minor)
    if python is None:
        raise SandboxUnavailable(f"{obstacle}, and this host has no Python {minor}")
    report(f"the self-test runs with {python}: {obstacle}")
    paths = [str(ours / "runtime"), str(ours / "code"), str(site_packages)]
    command = [python, "-I", "-S", "-B", "-c", _RUN, _COMMAND, *paths]
    host = {"PATH": os.defpath, contract.ENV_MODEL_DIR: str(ours / "model"), "TMPDIR": tempfile.gettempdir()}
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=root,
        env=_variables(run) | host,
    ) as process:
        try:
            stdout, stderr = capture(process, [python, "-m", "modelimg_runtime", _COMMAND], _SECONDS)
            test = _selftest(process.wait(), stdout, stderr, "host")
        finally:
            process.kill()
    if test.exit_code and (lacking := _HOST_TOO_OLD.search(test.stdout + test.stderr)):
        raise SandboxUnavailable(f"{obstacle}, and this host's libraries are not the image's ({lacking.group()})")
    return test


def find_python(minor: str) -> str | None:
    """A CPython of this host with the minor version, such as ``3.11``; found by asking those that may be one."""
    return next(filter(_answers(f"cpython {minor}"), _candidates(minor)), None)


def _candidates(minor: str) -> Iterator[str]:
    yield sys.executable
    if on_path := shutil.which(f"python{minor}"):
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{minor}.*/bin/python")))


def _answers(expected: str) -> Callable[[str], bool]:
    def answers(python: str) -> bool:
        try:
            done = subprocess.run(
                [python, "-I", "-S", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.stdout.strip() == expected

    return answers


def _variables(run: RunConfig) -> dict[str, str]:
    return dict(item.partition("=")[::2] for item in run.env)


def _selftest(exit_code: int, stdout: bytes, stderr: bytes, how: str) -> SelfTest:
    return SelfTest(exit_code, stdout.decode(errors="replace"), stderr.decode(errors="replace"), how)
