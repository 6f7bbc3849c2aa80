"""Builds that are killed, run out of space, or run side by side: the next one gives the same image."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelimg.oci.layout import open_archive
from modelimg.oci.validate import validate
from small_images import image_of, in_layout, python_tree

pytestmark = pytest.mark.engine  # strace is one of the programs that only the integration tests install

WRITES = ("write", "rename", "mkdir", "unlink", "chmod", "openat")
"""Calls that change what is on disk. ``openat`` also reads, and most of its calls are imports: it is sampled."""


@dataclass
class Workshop:
    """A tiny package, a base for it, and a cache and an output of their own."""

    folder: Path
    package: Path

    @property
    def output(self) -> Path:
        return self.folder / "out" / "image.tar"

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "MODELIMG_CACHE_DIR": str(self.folder / "cache")}

    @property
    def command(self) -> list[str]:
        build = [sys.executable, "-m", "modelimg", "build", str(self.package), "--engine", "embedded", "--no-gate"]
        options = ["--base", f"oci:{self.folder.parent / 'base'}:1", "--bytecode", "none", "-t", "tiny:1", "--json"]
        return [*build, *options, "--output", f"oci-archive:{self.output}"]

    def run(self, before: tuple[str, ...] = (), **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*before, *self.command], env=self.environment, capture_output=True, text=True, **options)

    def clear(self) -> None:
        shutil.rmtree(self.folder / "cache", ignore_errors=True)
        shutil.rmtree(self.output.parent, ignore_errors=True)
        self.output.parent.mkdir(parents=True)

    def check(self, expected: str) -> None:
        """What has the final name is whole, and the next build gives the image that it should."""
        if self.output.exists():
            assert digest_in(self.output) == expected
        done = self.run()
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["images"][0]["manifest_digest"] == digest_in(self.output) == expected


def digest_in(archive: Path) -> str:
    artifact = open_archive(archive).artifact(None)
    assert validate(artifact) == []
    return str(artifact.descriptor.digest)


@pytest.fixture
def workshop(write_package: Callable[..., object], tmp_path: Path) -> Workshop:
    package = write_package()
    in_layout(image_of(python_tree(), codec="none"), tmp_path / "base", "1")
    made = Workshop(tmp_path / "work", package.path)
    made.clear()
    return made


@pytest.fixture
def expected(workshop: Workshop) -> str:
    done = workshop.run()
    assert done.returncode == 0, done.stderr
    digest: str = json.loads(done.stdout)["images"][0]["manifest_digest"]
    workshop.clear()
    return digest


@pytest.mark.parametrize("call", WRITES)
def test_a_build_that_is_killed_at_any_write_harms_nothing(workshop: Workshop, expected: str, show, call: str) -> None:
    """strace counts the calls of each thread by itself, so a build is killed by whichever thread comes so far first."""
    killed, number = 0, 1
    while True:
        workshop.clear()
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        done = workshop.run(("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject))
        if done.returncode == 0:
            break
        assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), done.stderr
        killed += 1
        number += 1 if call != "openat" else max(1, number // 3)
        workshop.check(expected)
    show(f"builds killed at a call of {call}: {killed}, every next one gave the same image")
    assert killed > 0


def test_a_build_that_is_killed_at_any_moment_harms_nothing(workshop: Workshop, expected: str, show) -> None:
    begin = time.perf_counter()
    workshop.run()
    whole = time.perf_counter() - begin
    dice, killed = random.Random(3), 0
    for _ in range(15):
        workshop.clear()
        begin = time.perf_counter()
        process = subprocess.Popen(workshop.command, env=workshop.environment, stdout=-3, stderr=-3)
        try:
            process.wait(timeout=whole * dice.uniform(0.3, 1.0))
            whole = time.perf_counter() - begin  # this host has become faster
        except subprocess.TimeoutExpired:
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        workshop.check(expected)
    show(f"builds killed at a random moment: {killed} of 15, every next one gave the same image")
    assert killed > 5


def test_a_full_disk_is_said_and_harms_nothing(workshop: Workshop, expected: str, show) -> None:
    refused = 0
    for limit in (0, 100, 600, 1500, 4000, 9000):
        workshop.clear()

        def limited(limit: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        done = workshop.run(preexec_fn=limited)
        assert done.returncode == 1, (limit, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert "error: " in done.stderr
        assert not workshop.output.exists()
        refused += 1
        workshop.check(expected)
    show(f"builds that ran out of space: {refused}, each said so, and every next one gave the same image")


def test_a_file_system_that_is_full_is_said(workshop: Workshop, expected: str, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    try:
        (small / "filler").write_bytes(bytes(60_000))
        target = f"oci-archive:{small}/image.tar"
        command = [target if part.startswith("oci-archive:") else part for part in workshop.command]
        done = subprocess.run(command, env=workshop.environment, capture_output=True, text=True)
        assert done.returncode == 1
        assert f"error: {target} cannot be written: No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(path.name for path in small.iterdir()) == ["filler"]
    finally:
        subprocess.run(["umount", str(small)], check=True)
    workshop.check(expected)


def test_builds_side_by_side_agree(workshop: Workshop, expected: str) -> None:
    running = [
        subprocess.Popen(workshop.command, env=workshop.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    for process in running:
        out, err = process.communicate()
        assert process.returncode == 0, err.decode()
        assert json.loads(out)["images"][0]["manifest_digest"] == expected
    assert digest_in(workshop.output) == expected
    assert [path.name for path in workshop.output.parent.iterdir()] == ["image.tar"]


def test_a_cache_with_a_flipped_byte_gives_the_same_image(workshop: Workshop, expected: str, show) -> None:
    assert workshop.run().returncode == 0
    files = sorted(path for path in (workshop.folder / "cache").rglob("*") if path.is_file())
    for path in files:
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0x20]) + whole[middle + 1 :])
        workshop.check(expected)
    show(f"cached files with a flipped byte: {len(files)}, every build gave the same image")
    assert len(files) > 5
