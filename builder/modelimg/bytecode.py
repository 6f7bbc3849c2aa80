"""The byte code layer: ``.pyc`` files of the modules that serving imports, made by the base's own interpreter.

Without it, a read-only container compiles a thousand modules at every start. The list of modules is in the package;
their source comes from the layers below, and from the base for the standard library; all byte code goes under one
folder (``PYTHONPYCACHEPREFIX``), so that it is a layer of its own and touches no folder of the base. The same base and
layers give the same bytes on every host, however the work was shared out.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelimg.base.resolve import ResolvedBase
from modelimg.errors import EngineError, SandboxUnavailable
from modelimg.oci.files import unpack
from modelimg.plan import BuildPlan, PlannedLayer
from modelimg.pruning import Pruning
from modelimg.sandbox import Finished, run_in_rootfs, sandbox_obstacle
from modelimg.tar import Entry, SliceContent, Spool, make_file
from modelimg_runtime import contract

_SCRIPT = Path(__file__).with_name("_compile.py")
_FLAGS = ("-s", "-S", "-B", "-W", "ignore", "-X", "no_debug_ranges")
"""Without column numbers, that only the ``^^^^`` of tracebacks need: a quarter of the compressed layer."""
_PROCESSES = 8
_SECONDS = 600


def bytecode_entries(plan: BuildPlan, layer: PlannedLayer, below: Iterable[Entry], spool: Spool) -> Iterator[Entry]:
    """The files of a byte code layer.

    Args:
        plan: names the base, and where the list of modules is.
        layer: the planned one, with the list's digest.
        below: files of the layers below, the dependencies and the runtime.
        spool: keeps the byte code until the layer is written.

    Raises:
        SandboxUnavailable: the base's interpreter cannot be run on this host.
        EngineError: it failed.
    """
    assert layer.modules is not None  # noqa: S101 - no other layer comes here
    names = plan.sources[layer.modules].read_text(encoding="utf-8").split()
    prefixes = (
        f"{contract.RUNTIME_PATH.lstrip('/')}/",
        f"{contract.VENV_PATH.lstrip('/')}/lib/python{plan.base.python_minor}/site-packages/",
    )
    sources, rest = select_sources(names, below, prefixes)
    bare = Bare(prefixes, layer.pruning) if layer.pruning else None
    yield from make_bytecode(plan.base, sources, rest, spool, bare=bare)


def select_sources(
    names: Iterable[str], entries: Iterable[Entry], prefixes: Sequence[str]
) -> tuple[list[Entry], list[str]]:
    """The source file of each module, and the names of those that have none here.

    Args:
        names: of modules.
        entries: files that may be their source.
        prefixes: folders that are searched, with a slash at the end, first to last.
    """
    python = {entry.path: entry for entry in entries if entry.kind == "file" and entry.path.endswith(".py")}
    found, rest = [], []
    for name in names:
        stem = name.replace(".", "/")
        candidates = (f"{prefix}{stem}{end}" for prefix in prefixes for end in ("/__init__.py", ".py"))
        path = next((path for path in candidates if path in python), None)
        if path:
            found.append(python[path])
        else:
            rest.append(name)
    return found, rest


@dataclass(frozen=True)
class Bare:
    """What is compiled without docstrings.

    Attributes:
        prefixes: folders in which packages are, with a slash at the end.
        pruning: names the packages.
    """

    prefixes: tuple[str, ...]
    pruning: Pruning

    @property
    def folders(self) -> tuple[str, ...]:
        """Of the packages."""
        return tuple(f"{prefix}{package}/" for prefix in self.prefixes for package in self.pruning.docstrings)


@dataclass(frozen=True)
class _Work:
    """What is to be compiled: source files and names of standard modules, as the script has their kinds."""

    sources: Sequence[tuple[bytes, Entry]]
    standard: Sequence[tuple[bytes, str]]

    @classmethod
    def of(cls, sources: Sequence[Entry], standard: Sequence[str], bare: Bare | None) -> _Work:
        folders, library = (bare.folders, bare.pruning.standard_docstrings) if bare else ((), False)
        kinds = [b"B" if entry.path.startswith(folders) else b"S" for entry in sources]
        kind = b"M" if library else b"L"
        return cls([*zip(kinds, sources, strict=True)], [(kind, name) for name in standard])


def make_bytecode(
    base: ResolvedBase,
    sources: Sequence[Entry],
    standard: Sequence[str],
    spool: Spool,
    *,
    bare: Bare | None = None,
    processes: int | None = None,
) -> Iterator[Entry]:
    """Compile modules with a base's interpreter.

    Args:
        base: whose interpreter.
        sources: of modules; their paths are those in the image.
        standard: names of modules that may be in the interpreter's standard library; others are passed over.
        spool: keeps the byte code.
        bare: of what docstrings are left out; None for nothing.
        processes: that share the work; one for each CPU by default. The result does not depend on it.

    Returns:
        One ``.pyc`` file for each module that this Python can compile.

    Raises:
        SandboxUnavailable: the interpreter cannot be run on this host.
        EngineError: it failed, or what it wrote makes no sense.
    """
    obstacle = _sandbox_obstacle(base)
    work = _Work.of(sources, standard, bare)
    with tempfile.TemporaryDirectory(prefix="modelimg-") as name:
        folder = Path(name)
        if obstacle is None:
            outputs = _compile_in_sandbox(base, work, folder, processes or _cpus())
        else:
            outputs = [_compile_in_daemon(base, work, folder, obstacle)]
        for path in outputs:
            yield from _read_output(path, spool)


def bytecode_obstacle(base: ResolvedBase) -> str | None:
    """Why no byte code can be made for a base on this host; None where it can."""
    sandbox = _sandbox_obstacle(base)
    if sandbox is None:
        return None
    from modelimg import container

    unavailable = container.obstacle(base.platform)
    return f"{sandbox}, and {unavailable}" if unavailable else None


def _sandbox_obstacle(base: ResolvedBase) -> str | None:
    return sandbox_obstacle(base.platform) if base.image else f"only a daemon has the files of the base {base.name}"


def _compile_in_sandbox(base: ResolvedBase, work: _Work, folder: Path, processes: int) -> list[Path]:
    assert base.image is not None  # noqa: S101 - the caller asked
    root = folder / "root"
    with ThreadPoolExecutor(processes) as pool:
        unpacking = pool.submit(unpack, base.image.layers, root)
        inputs = _write_inputs(work, folder, processes)
        unpacking.result()
        return list(pool.map(lambda path: _run_in_sandbox(base, root, path), inputs))


def _run_in_sandbox(base: ResolvedBase, root: Path, path: Path) -> Path:
    output = path.with_suffix(".out")
    with path.open("rb") as stdin, output.open("wb") as stdout:
        done = run_in_rootfs(root, _command(base), env=_environment(base), stdin=stdin, stdout=stdout, timeout=_SECONDS)
    _check_finished(base, done)
    return output


def _compile_in_daemon(base: ResolvedBase, work: _Work, folder: Path, obstacle: str) -> Path:
    """The same in a container of the base, in one process; ``obstacle`` is why not in a sandbox."""
    from modelimg import container  # the Docker SDK takes longer to import than all of this

    if unavailable := container.obstacle(base.platform):
        raise SandboxUnavailable(
            f"byte code cannot be made here: {obstacle}, and {unavailable}",
            hint="--bytecode none builds an image without, which starts slower; or build where one of the two works",
        )
    (source,) = _write_inputs(work, folder, 1)
    output = source.with_suffix(".out")
    command = _command(base, f"/{container.FOLDER}/in", f"/{container.FOLDER}/out")
    done = container.run_in_container(base, command, env=_environment(base), source=source, output=output)
    _check_finished(base, done)
    return output


def _command(base: ResolvedBase, *files: str) -> list[str]:
    return [base.interpreter, *_FLAGS, "-c", _SCRIPT.read_text(encoding="utf-8"), contract.PYCACHE_PATH, *files]


def _environment(base: ResolvedBase) -> dict[str, str]:
    """What the base sets for its programs, but nothing that steers Python."""
    variables = dict(item.partition("=")[::2] for item in base.run.env)
    return {key: value for key, value in variables.items() if not key.startswith("PYTHON")} | {"PYTHONHASHSEED": "0"}


def _check_finished(base: ResolvedBase, done: Finished) -> None:
    if done.exit_code != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        python = f"{base.interpreter} of the base {base.name}"
        raise EngineError(
            f"{python} could not make byte code: exit code {done.exit_code} ({last[0]})",
            hint="see whether the base's Python works at all; --bytecode none builds without",
        )


def _write_inputs(work: _Work, folder: Path, count: int) -> list[Path]:
    """One file of work for each process: the largest sources first, each to the one that has the least."""
    shares: list[list[tuple[bytes, Entry]]] = [[] for _ in range(count)]
    sizes = [0] * count
    for kind, entry in sorted(work.sources, key=lambda each: (-each[1].size, each[1].path)):
        least = sizes.index(min(sizes))
        shares[least].append((kind, entry))
        sizes[least] += entry.size
    paths = [folder / f"{number}.in" for number in range(count)]
    for number, path in enumerate(paths):
        with path.open("wb") as stream:
            for kind, entry in shares[number]:
                assert entry.content is not None  # noqa: S101 - `select_sources` gives files only
                with entry.content.open() as content:
                    _write_frame(stream, kind, f"/{entry.path}", content.read(entry.size))
            for kind, name in work.standard[number::count]:
                _write_frame(stream, kind, name, b"")
    return paths


def _write_frame(stream: BinaryIO, kind: bytes, name: str, data: bytes) -> None:
    raw = name.encode()
    stream.write(kind + len(raw).to_bytes(4, "big") + len(data).to_bytes(4, "big") + raw)
    stream.write(data)


def _read_output(path: Path, spool: Spool) -> Iterator[Entry]:
    """The files in a process's output, whose bytes move into the spool.

    Raises:
        EngineError: not what the script writes: the interpreter is not the one that it seems to be.
    """
    with path.open("rb") as stream:
        kept = spool.add(stream)
        stream.seek(0)
        while head := stream.read(8):
            name = stream.read(int.from_bytes(head[:4], "big")).decode(errors="replace")
            length = int.from_bytes(head[4:], "big")
            start = stream.tell()
            end = stream.seek(length, os.SEEK_CUR)
            if len(head) < 8 or end > kept.size or not name.startswith(f"{contract.PYCACHE_PATH}/"):
                raise EngineError(
                    "what the base's Python wrote is not byte code",
                    hint="see whether the base's Python is one at all; --bytecode none builds without",
                )
            yield make_file(name.lstrip("/"), SliceContent(kept.path, kept.offset + start, length), length)


def _cpus() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(available, _PROCESSES)
