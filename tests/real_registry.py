"""A registry in earnest: Debian's ``docker-registry`` on loopback, and skopeo to look into it."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path


@dataclass
class RealRegistry:
    """A server that may be stopped and started again.

    Attributes:
        folder: holds its settings, its log and what was pushed to it.
        host: ``127.0.0.1`` and a port.
    """

    folder: Path
    host: str
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def prepare(cls, folder: Path, htpasswd: str = "") -> RealRegistry:
        """Write the settings of a registry on a free port; with lines of htpasswd it wants logins."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            host = f"127.0.0.1:{probe.getsockname()[1]}"
        settings = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\nhttp: {{addr: {host}}}\n"
        if htpasswd:
            (folder / "htpasswd").write_text(htpasswd)
            settings += f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n"
        (folder / "config.yml").write_text(settings)
        return cls(folder, host)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("ab") as log:
            command = ["docker-registry", "serve", str(self.folder / "config.yml")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(100):
            if self._answers():
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://{self.host}/v2/", timeout=1).close()
        except urllib.error.HTTPError as answered:  # it wants a login
            answered.close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
        self.process = None


def skopeo(*arguments: str) -> str:
    """Run skopeo; what it says."""
    done = subprocess.run(["skopeo", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
