"""Planned layers → deterministic tars, made once and kept in the cache.

A layer of ours holds only what lies below ``/modelimg``: each folder once and first, so that no directory entry can
change one of the base's, and no whiteout, absolute or escaping name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelimg.cache import Cache
from modelimg.errors import LayerError
from modelimg.fetch import Fetcher
from modelimg.locks import WheelPin
from modelimg.oci.values import Digest
from modelimg.plan import BuildPlan, PlannedLayer
from modelimg.tar import Entry, FileContent, Spool, make_directory, make_file, make_symlink, make_text, write_tar
from modelimg.wheels import Wheel
from modelimg_runtime import contract

_DOWNLOADS = 8
_PREFIX = contract.PREFIX.lstrip("/")


@dataclass(frozen=True)
class Layer:
    """A layer that exists: an uncompressed tar on this host.

    Attributes:
        name: as in the plan.
        path: of the tar.
        diff_id: digest of it.
        size: in bytes.
    """

    name: str
    path: Path
    diff_id: Digest
    size: int


def build_layer(plan: BuildPlan, layer: PlannedLayer, fetcher: Fetcher) -> Layer:
    """Write a planned layer's tar, or find it in the cache.

    Raises:
        FetchError: a wheel cannot be had, or is not the pinned one.
        LayerError: two sources would write different bytes to one path, or a name may not stand in a layer.
    """
    key = plan.layer_key(layer)
    if cached := _recall(layer.name, key, fetcher.cache):
        return cached
    with ExitStack() as stack, fetcher.cache.writing() as (stream, path):
        entries = list(_owned(layer_entries(plan, layer, fetcher, stack)))
        summary = write_tar(entries, stream)
        stream.flush()
        final = fetcher.cache.adopt(path, summary.digest)
    fetcher.cache.note("layer", key, {"diff_id": str(summary.digest), "size": summary.size})
    return Layer(layer.name, final, summary.digest, summary.size)


def _recall(name: str, key: str, cache: Cache) -> Layer | None:
    fact = cache.recall("layer", key)
    if not isinstance(fact, dict):
        return None
    diff_id = Digest.parse(fact["diff_id"])
    path = cache.blob(diff_id)
    return Layer(name, path, diff_id, fact["size"]) if path else None


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
        yield from _unpacked(plan, layer, fetcher, stack)
    for file in layer.files:
        yield make_file(file.path, FileContent(plan.sources[file.digest]), file.size)


def _virtual_environment(plan: BuildPlan) -> Iterator[Entry]:
    """What makes a folder a virtual environment (PEP 405): the link and ``pyvenv.cfg``.

    The link is relative, so that it holds in an unpacked image too.
    """
    venv = contract.VENV_PATH.lstrip("/")
    upwards = "../" * len(PurePosixPath(venv, "bin").parts)
    yield make_symlink(f"{venv}/bin/python", upwards + plan.base.interpreter.lstrip("/"))
    home = PurePosixPath(plan.base.interpreter).parent
    yield make_text(
        f"{venv}/pyvenv.cfg",
        f"home = {home}\ninclude-system-site-packages = false\nversion = {plan.base.python_minor}\n",
    )


def _unpacked(plan: BuildPlan, layer: PlannedLayer, fetcher: Fetcher, stack: ExitStack) -> Iterator[Entry]:
    venv = contract.VENV_PATH.lstrip("/")
    site_packages = f"{venv}/lib/python{plan.base.python_minor}/site-packages"
    seen: dict[str, tuple[str, Entry]] = {}
    spool = Spool(*stack.enter_context(fetcher.cache.writing()))
    for pin, path in zip(layer.wheels, _fetch_wheels(layer.wheels, plan, fetcher), strict=True):
        wheel = stack.enter_context(Wheel(path, pin.filename))
        for entry in wheel.entries(site_packages, venv, layer.pruning, spool):
            if entry.path in seen:
                _check_same(*seen[entry.path], pin.filename, entry)
                continue
            seen[entry.path] = (pin.filename, entry)
            yield entry


def _fetch_wheels(pins: Sequence[WheelPin], plan: BuildPlan, fetcher: Fetcher) -> list[Path]:
    def fetch(pin: WheelPin) -> Path:
        url = pin.url if pin.url else plan.sources[pin.digest].resolve().as_uri()
        return fetcher.blob(url, pin.digest, what=pin.filename)

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return list(pool.map(fetch, pins))


def _check_same(first_wheel: str, first: Entry, second_wheel: str, second: Entry) -> None:
    """Two wheels may ship one file, such as a namespace's ``__init__.py``, as long as it is the same."""
    assert first.content is not None and second.content is not None  # noqa: S101, PT018 - wheels yield files only
    with first.content.open() as a, second.content.open() as b:
        if Digest.of_stream(a) != Digest.of_stream(b):
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
        folders.update(str(parent) for parent in PurePosixPath(entry.path).parents if parent.parts)
    yield from (make_directory(folder) for folder in sorted(folders))


def _check_owned(entry: Entry) -> None:
    name = PurePosixPath(entry.path)
    if name.parts[0] != _PREFIX:
        raise LayerError(f"{entry.path!r} lies outside /{_PREFIX}, where it could change the base image")
    if any(part.startswith(".wh.") for part in name.parts):
        raise LayerError(f"{entry.path!r} is the name of a whiteout: it would delete a file of a lower layer")
