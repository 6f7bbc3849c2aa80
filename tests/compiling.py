"""What the tests of byte code share: how the compiling script is spoken to, and modules that are hard to compile alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import modelimg
from modelimg.tar import Entry

SCRIPT = Path(modelimg.__file__).with_name("_compile.py")

# Whether CPython 3.13 shares these two sets depends on which of their strings it met before, as names.
SETS = "A = {'hinge', 'log_loss', 'huber'}\n\n\nclass C:\n    B = {'hinge', 'log_loss', 'huber'}\n"
NAMES = "def f(hinge, huber):\n    return hinge.huber\n"


def frame(name: bytes, data: bytes, kind: bytes = b"") -> bytes:
    """A file on its way into the script, where it has a kind, or out of it."""
    return kind + len(name).to_bytes(4, "big") + len(data).to_bytes(4, "big") + name + data


def frames_in(out: bytes) -> dict[str, bytes]:
    """Path → bytes of what came out of the script."""
    found = {}
    while out:
        name, data = int.from_bytes(out[:4], "big"), int.from_bytes(out[4:8], "big")
        found[out[8 : 8 + name].decode()], out = out[8 + name : 8 + name + data], out[8 + name + data :]
    return found


def compile_here(
    modules: Mapping[str, bytes], kind: bytes = b"S", *, prefix: str = "/cache", env: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """Compile modules by the script and the Python of this environment."""
    frames = b"".join(frame(path.encode(), source, kind) for path, source in modules.items())
    command = [sys.executable, "-s", "-S", "-W", "ignore", str(SCRIPT), prefix]
    return frames_in(subprocess.run(command, input=frames, env=env, capture_output=True, check=True).stdout)


def read_entries(entries: Iterable[Entry]) -> dict[str, bytes]:
    """Path → bytes of files that are to be written."""
    found = {}
    for entry in entries:
        assert entry.content is not None
        with entry.content.open() as stream:
            found[entry.path] = stream.read(entry.size)
    return found
