"""The least that a build of these files can do: read, hash, tar and compress each once, with two threads.

Usage: python -m benchmarks.floor FOLDER OUT [compile]. Prints the seconds, without the start of the interpreter.
Reading is from the page cache, where a first pass has put the files; tar writer and compressor are those of `modelimg`.
With `compile`, two processes first compile the source of the byte code that is among the files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelimg.oci.compression import compress
from modelimg.tar import Entry, FileContent, TarStream, make_directory, make_file, make_symlink
from modelimg_runtime.contract import PYCACHE_PATH

_THREADS = 2
_SCRIPT = """
import marshal, sys
for path in sys.stdin.read().split("\\0"):
    with open(path, "rb") as source:
        marshal.dumps(compile(source.read(), path, "exec", dont_inherit=True))
"""


def floor(tree: Path, out: Path, *, compiling: bool = False) -> float:
    """Seconds of one pass over a tree, in a process of its own; ``compiling`` its byte code before."""
    command = [sys.executable, "-m", "benchmarks.floor", str(tree), str(out), *(["compile"] * compiling)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _pass(tree: Path, out: Path, *, compiling: bool) -> float:
    begin = time.perf_counter()
    if compiling:
        _compile(tree)
    with out.open("wb") as stream:
        source = TarStream(_entries(str(tree)))
        compress(source, stream, "gzip", threads=_THREADS)
    return time.perf_counter() - begin


def _compile(tree: Path) -> None:
    prefix = tree / PYCACHE_PATH.lstrip("/")
    made = sorted(prefix.rglob("*.pyc"), key=lambda path: path.stat().st_size)
    sources = [str(tree / path.relative_to(prefix).parent / f"{path.name.partition('.')[0]}.py") for path in made]
    command = [sys.executable, "-S", "-X", "no_debug_ranges", "-W", "ignore", "-c", _SCRIPT]
    with ThreadPoolExecutor(_THREADS) as pool:
        shares = ("\0".join(sources[number::_THREADS]) for number in range(_THREADS))
        list(pool.map(lambda share: subprocess.run(command, input=share, text=True, check=True), shares))


def _entries(root: str) -> Iterator[Entry]:
    for folder, folders, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        for name in (*folders, *files):
            path, member = os.path.join(folder, name), os.path.normpath(os.path.join(inside, name))  # noqa: PTH118
            if os.path.islink(path):  # noqa: PTH114 - a Path for each of many thousands would take its time
                yield make_symlink(member, os.readlink(path))  # noqa: PTH115
            elif os.path.isdir(path):  # noqa: PTH112
                yield make_directory(member)
            else:
                yield make_file(member, FileContent(Path(path)), os.stat(path).st_size)  # noqa: PTH116


if __name__ == "__main__":
    print(_pass(Path(sys.argv[1]), Path(sys.argv[2]), compiling=sys.argv[3:] == ["compile"]))
