"""What the layers of an image hold.

A layer of ours holds only what lies below ``/modelimg``: each folder once and first, so that no directory entry can
change one of the base's, and no whiteout, absolute or escaping name.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from modelimg.errors import LayerError
from modelimg.fetch import Fetcher
from modelimg.pins import WheelPin
from modelimg.plan import BuildPlan, PlannedLayer
from modelimg.pruning import content_digest, share_libraries
from modelimg.tar import Entry, FileContent, Spool, make_directory, make_file, make_symlink, make_text
from modelimg_runtime import contract

if TYPE_CHECKING:
    from modelimg.wheels import Environment, Wheel

_DOWNLOADS = 8
_PREFIX = contract.PREFIX.lstrip("/")


def layer_contents(plan: BuildPlan, layer: PlannedLayer, fetcher: Fetcher, stack: ExitStack) -> list[Entry]:
    """Everything that a layer's tar holds: its files and links, and the folders above them.

    Args:
        plan: the layer is one of its.
        layer: what it is made of.
        fetcher: gets the wheels.
        stack: keeps open what the entries are read from.

    Raises:
        FetchError: a wheel cannot be had, or is not the pinned one.
        LayerError: two sources would write different bytes to one path, or a name may not stand in a layer.
    """
    return list(_owned(layer_entries(plan, layer, fetcher, stack)))


def layer_entries(plan: BuildPlan, layer: PlannedLayer, fetcher: Fetcher, stack: ExitStack) -> Iterator[Entry]:
    """The files and links of a layer, without its folders.

    Args:
        plan: names the base's interpreter, and where files are.
        layer: one of its layers.
        fetcher: gets the wheels.
        stack: keeps the wheels open until the layer is written.
    """
    if layer.wheels:
        yield from _virtual_environment(plan)
        unpacked = _unpacked(plan, layer, fetcher, stack)
        yield from share_libraries(unpacked) if layer.pruning and layer.pruning.shared else unpacked
    if layer.modules:
        yield from _bytecode(plan, layer, fetcher, stack)
    for file in layer.files:
        yield make_file(file.path, FileContent(plan.sources[file.digest]), file.size)


def _virtual_environment(plan: BuildPlan) -> Iterator[Entry]:
    """What makes a folder a virtual environment (PEP 405): the link and ``pyvenv.cfg``.

    The link is relative, so that it holds in an unpacked image too.
    """
    prefix = _place(plan).prefix
    upwards = "../" * len(PurePosixPath(prefix, "bin").parts)
    yield make_symlink(f"{prefix}/bin/python", upwards + plan.base.interpreter.lstrip("/"))
    home = PurePosixPath(plan.base.interpreter).parent
    yield make_text(
        f"{prefix}/pyvenv.cfg",
        f"home = {home}\ninclude-system-site-packages = false\nversion = {plan.base.python_minor}\n",
    )


def _unpacked(plan: BuildPlan, layer: PlannedLayer, fetcher: Fetcher, stack: ExitStack) -> Iterator[Entry]:
    from modelimg.unpacking import unpack  # most builds find this layer in the cache

    seen: dict[str, tuple[str, Entry]] = {}
    spool = Spool(*stack.enter_context(fetcher.cache.writing()))
    wheels = _wheels(layer.wheels, plan, fetcher, stack)
    for wheel, entry in unpack(wheels, _place(plan), layer.pruning, spool):
        if entry.path in seen:
            _check_same(*seen[entry.path], wheel.filename, entry)
            continue
        seen[entry.path] = (wheel.filename, entry)
        yield entry


def _bytecode(plan: BuildPlan, layer: PlannedLayer, fetcher: Fetcher, stack: ExitStack) -> Iterator[Entry]:
    from modelimg.bytecode import bytecode_entries

    spool = Spool(*stack.enter_context(fetcher.cache.writing()))
    below = plan.layers[: plan.layers.index(layer)]
    sources = chain.from_iterable(_modules(plan, one, fetcher, stack) for one in below)
    yield from bytecode_entries(plan, layer, sources, spool)


def _modules(plan: BuildPlan, layer: PlannedLayer, fetcher: Fetcher, stack: ExitStack) -> Iterator[Entry]:
    """The Python source in a layer below."""
    for wheel in _wheels(layer.wheels, plan, fetcher, stack):
        yield from wheel.modules(_place(plan), layer.pruning)
    for file in layer.files:
        yield make_file(file.path, FileContent(plan.sources[file.digest]), file.size)


def _place(plan: BuildPlan) -> Environment:
    """The virtual environment."""
    from modelimg.wheels import Environment

    prefix = contract.VENV_PATH.lstrip("/")
    return Environment(prefix, f"{prefix}/lib/python{plan.base.python_minor}/site-packages")


def _wheels(pins: Sequence[WheelPin], plan: BuildPlan, fetcher: Fetcher, stack: ExitStack) -> Iterator[Wheel]:
    """The wheels, opened, in the order of their pins; each as soon as it is there."""
    from modelimg.wheels import Wheel

    def fetch(pin: WheelPin) -> Path:
        url = pin.url if pin.url else plan.sources[pin.digest].resolve().as_uri()
        return fetcher.blob(url, pin.digest, what=pin.filename)

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for pin, path in zip(pins, pool.map(fetch, pins), strict=True):
            yield stack.enter_context(Wheel(path, pin.filename))


def _check_same(first_wheel: str, first: Entry, second_wheel: str, second: Entry) -> None:
    """Two wheels may ship one file, such as a namespace's ``__init__.py``, as long as it is the same."""
    if content_digest(first) != content_digest(second):
        raise LayerError(
            f"{first_wheel} and {second_wheel} both write {first.path}, with different bytes",
            hint="one of the two has to go from the requirements: which one won would depend on the order",
        )


def _owned(entries: Iterator[Entry]) -> Iterator[Entry]:
    """The entries and each folder above them, below our prefix only."""
    folders: set[str] = set()
    for entry in entries:
        _check_owned(entry)
        yield entry
        folder = posixpath.dirname(entry.path)
        while folder and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    yield from (make_directory(folder) for folder in sorted(folders))


def _check_owned(entry: Entry) -> None:
    if not entry.path.startswith(f"{_PREFIX}/"):
        raise LayerError(f"{entry.path!r} lies outside /{_PREFIX}, where it could change the base image")
    if "/.wh." in entry.path:
        raise LayerError(f"{entry.path!r} is the name of a whiteout: it would delete a file of a lower layer")
