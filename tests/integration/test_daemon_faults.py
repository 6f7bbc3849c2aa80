"""A daemon that dies or runs out of space in the middle of a build: a sentence, a hint, and nothing half-tagged."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker.errors
import pytest

pytestmark = pytest.mark.engine


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """100 MB: a base fits, the dependencies do not."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def build_command(package: Path, tag: str, *options: str) -> list[str]:
    return [sys.executable, "-m", "modelimg", "build", str(package), "-t", tag, *options]


def test_a_daemon_killed_in_the_middle_leaves_no_name_and_the_next_build_succeeds(
    breast_cancer: Path, start_daemon
) -> None:
    daemon = start_daemon()
    command = build_command(breast_cancer, "killed:1", "--no-gate")
    environment = {**os.environ, "DOCKER_HOST": daemon.host}
    build = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert build.stderr is not None
    seen = []
    for line in build.stderr:
        seen.append(line)
        if line.startswith("Step 3"):
            break
    daemon.kill()
    out, err = build.communicate(timeout=120)
    assert build.returncode == 1, seen
    assert "the Docker daemon went away" in err or "closed the connection before" in err
    assert "nothing was tagged" in err
    assert "Traceback" not in err
    assert out == ""
    daemon.start()
    with pytest.raises(docker.errors.ImageNotFound):
        daemon.client.images.get("killed:1")
    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert daemon.client.images.get("killed:1").id in again.stdout


def test_a_daemon_without_space_says_so_and_tags_nothing(breast_cancer: Path, small_disk: Path, start_daemon) -> None:
    daemon = start_daemon(small_disk / "data")
    done = subprocess.run(
        build_command(breast_cancer, "full:1"),
        env={**os.environ, "DOCKER_HOST": daemon.host},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "has no space left" in done.stderr
    assert "docker system df" in done.stderr
    with pytest.raises(docker.errors.ImageNotFound):
        daemon.client.images.get("full:1")
