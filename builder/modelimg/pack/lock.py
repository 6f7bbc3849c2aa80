"""Our own lock files: one wheel per package, nothing of the host, the same bytes for the same choice.

Source of the format: PEP 751, https://packaging.python.org/specifications/pylock-toml/.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import tomli_w
from packaging.pylock import Pylock, PylockSelectError, PylockValidationError
from packaging.utils import canonicalize_name, parse_wheel_filename

from modelimg.errors import RequirementsError
from modelimg.locks import select_wheels
from modelimg.oci.values import Digest, Platform
from modelimg.pack.uv import GLIBC
from modelimg.pins import WheelPin
from modelimg_runtime import contract

_CREDENTIALS = re.compile(r"^([a-z+]+://)[^/@]+@")


@dataclass(frozen=True)
class ServingLock:
    """A serving lock and the wheels that no index has.

    Attributes:
        text: the file.
        pins: what it pins.
        local: path in the package → the wheel's file on this host.
    """

    text: str
    pins: tuple[WheelPin, ...]
    local: Mapping[str, Path]


def serving_lock(raw: Mapping[str, Any], *, python: str, platform: Platform) -> ServingLock:
    """Choose the one best wheel of every package and write the choice down.

    Args:
        raw: a parsed ``pylock.toml`` whose local paths are absolute.
        python: ``3.11``.
        platform: of the image.

    Raises:
        RequirementsError: not a lock, or a package without a wheel that fits.
    """
    chosen = select_wheels(parse(wheel_entries(raw)), python=python, platform=platform, glibc=GLIBC)
    pins, local = [], {}
    for pin in chosen:
        if pin.path:
            source, carried = Path(pin.path), f"{contract.WHEELS_DIR}/{pin.filename}"
            pin = _measured(replace(pin, path=carried, url=None), source)
            local[carried] = source
        pins.append(pin)
    header = {
        "environments": [
            f"sys_platform == 'linux' and platform_machine == '{platform.machine}' "
            "and platform_python_implementation == 'CPython'"
        ],
        "requires-python": f"=={python}.*",
    }
    tool = {"platform": str(platform), "python": python, "glibc": ".".join(map(str, GLIBC))}
    return ServingLock(_text(header, map(_entry, pins), tool), tuple(pins), local)


def training_lock(raw: Mapping[str, Any], *, python: str, elsewhere: Sequence[Mapping[str, str]]) -> str:
    """The whole training environment: one file per package, and what no index has as notes.

    Args:
        raw: a parsed ``pylock.toml`` for this host.
        python: full version of the interpreter.
        elsewhere: name, version, reason and origin of what could not be locked.
    """
    entries = []
    for package, source in _selected(parse(wheel_entries(raw))):
        file = {"url": _public(source.url), "size": source.size, "hashes": dict(source.hashes)}
        kind = "wheels" if source.filename.endswith(".whl") else "sdist"
        known = {key: value for key, value in file.items() if value is not None}
        entries.append(
            {"name": str(package.name), "version": str(package.version), kind: [known] if kind == "wheels" else known}
        )
    tool = {"python": python, "not-locked": [dict(item) for item in elsewhere]}
    return _text({}, sorted(entries, key=lambda entry: str(entry["name"])), tool)


def parse(raw: Mapping[str, Any]) -> Pylock:
    """Check a parsed ``pylock.toml``.

    Raises:
        RequirementsError: it is none.
    """
    try:
        return Pylock.from_dict(raw)
    except PylockValidationError as error:
        raise RequirementsError(f"the lock is no pylock.toml: {error}") from error


def wheel_entries(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same lock with every wheel under ``wheels``: uv puts one that was named by URL or path under ``archive``."""
    return {**raw, "packages": [_with_wheels(package) for package in raw.get("packages", [])]}


def _with_wheels(package: Mapping[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in package.items() if key != "archive"}
    wheels = [_located(wheel) for wheel in package.get("wheels", [])]
    if archive := package.get("archive"):
        wheel = _located(archive)
        if not wheel["name"].endswith(".whl"):
            return dict(package)
        wheels.append(wheel)
        plain.setdefault("version", str(parse_wheel_filename(wheel["name"])[1]))
    # The same file may be offered by a folder of this host and by an index: then the index's serves everybody.
    public = {wheel["hashes"].get("sha256") for wheel in wheels if "url" in wheel}
    wheels = [wheel for wheel in wheels if "url" in wheel or wheel["hashes"].get("sha256") not in public]
    return {**plain, "wheels": wheels} if wheels else plain


def _located(source: Mapping[str, Any]) -> dict[str, Any]:
    """A wheel's entry with its file name, and with a ``path`` instead of a ``file:`` URL."""
    plain = dict(source)
    if str(plain.get("url", "")).startswith("file:"):
        plain["path"] = unquote(urlsplit(plain.pop("url")).path)
    where = plain.get("path") or urlsplit(plain.get("url", "")).path
    plain.setdefault("name", unquote(str(where)).rsplit("/", 1)[-1])
    plain.setdefault("hashes", {})
    return plain


def _selected(lock: Pylock) -> list[tuple[Any, Any]]:
    try:
        return list(lock.select())
    except PylockSelectError as error:
        raise RequirementsError(f"the training environment cannot be locked: {error}") from error


def _measured(pin: WheelPin, source: Path) -> WheelPin:
    try:
        data = source.read_bytes()
    except OSError as error:
        raise RequirementsError(f"the wheel {source} cannot be read: {error.strerror}") from error
    if Digest.of(data) != pin.digest:
        raise RequirementsError(
            f"the wheel {source} has {Digest.of(data)}, but the lock pins {pin.digest}",
            hint="lock again if you trust the new file",
        )
    return replace(pin, size=len(data))


def _entry(pin: WheelPin) -> dict[str, Any]:
    wheel: dict[str, Any] = {"name": pin.filename}
    wheel |= {"url": _public(pin.url)} if pin.url else {"path": pin.path}
    wheel |= {"size": pin.size} if pin.size is not None else {}
    return {
        "name": canonicalize_name(pin.name),
        "version": pin.version,
        "wheels": [{**wheel, "hashes": {"sha256": pin.digest.hex}}],
    }


def _text(header: Mapping[str, Any], packages: Iterable[Mapping[str, Any]], tool: Mapping[str, Any]) -> str:
    lock = {"lock-version": "1.0", "created-by": "modelimg", **header, "packages": list(packages)}
    return tomli_w.dumps({**lock, "tool": {"modelimg": dict(tool)}})


def _public(url: str | None) -> str | None:
    """The URL without the credentials of a private index."""
    return _CREDENTIALS.sub(r"\1", url) if url else None
