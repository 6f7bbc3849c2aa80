"""Locks: reading a ``pylock.toml``, and which wheel of it fits a platform.

Sources: pylock.toml (PEP 751) and platform compatibility tags (PEP 425, 600).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomllib
from packaging.pylock import Package, PackageWheel, Pylock, PylockValidationError
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from modelimg.errors import RequirementsError
from modelimg.oci.values import Digest, Platform
from modelimg.pins import WheelPin

_LEGACY_MANYLINUX = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def supported_tags(python: str, platform: Platform, glibc: tuple[int, int]) -> list[Tag]:
    """Wheel tags that a CPython on a glibc Linux can use, best first.

    Args:
        python: ``3.11`` or ``3.11.2``.
        platform: of the image.
        glibc: version of the base's C library; a wheel may ask for an older one, never for a newer.
    """
    version = [int(part) for part in python.split(".")[:2]]
    machine = platform.machine
    platforms = [f"linux_{machine}"]
    for minor in range(glibc[1], 4, -1):
        platforms.append(f"manylinux_2_{minor}_{machine}")
        if legacy := _LEGACY_MANYLINUX.get(minor):
            platforms.append(f"{legacy}_{machine}")
    tags = list(cpython_tags(version, platforms=platforms))
    tags += compatible_tags(version, interpreter=f"cp{version[0]}{version[1]}", platforms=platforms)
    return tags


def marker_environment(python: str, platform: Platform) -> dict[str, str]:
    """Environment markers (PEP 508) of a CPython in the image; ``python`` may lack its patch number."""
    full = python if python.count(".") == 2 else f"{python}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": platform.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": ".".join(python.split(".")[:2]),
        "sys_platform": "linux",
    }


def read_lock(path: Path) -> Pylock:
    """Read a ``pylock.toml``.

    Raises:
        RequirementsError: missing, not TOML or not a lock.
    """
    try:
        return parse_lock(path.read_bytes(), what=path)
    except FileNotFoundError as error:
        raise RequirementsError(f"{path} does not exist") from error


def parse_lock(data: bytes, *, what: object) -> Pylock:
    """Read the bytes of a ``pylock.toml``.

    Args:
        data: its bytes.
        what: how messages name it.

    Raises:
        RequirementsError: not TOML or not a lock.
    """
    try:
        return Pylock.from_dict(tomllib.loads(data.decode()))
    except (ValueError, PylockValidationError) as error:
        raise RequirementsError(f"{what} is no pylock.toml: {error}") from error


def select_wheels(lock: Pylock, *, python: str, platform: Platform, glibc: tuple[int, int]) -> tuple[WheelPin, ...]:
    """The one best wheel of each package that applies, sorted by name.

    Raises:
        RequirementsError: a package has no wheel that fits; the message names the package and what it offers.
    """
    tags = {tag: rank for rank, tag in reversed(list(enumerate(supported_tags(python, platform, glibc))))}
    environment: dict[str, Any] = marker_environment(python, platform)
    pins = []
    for package in lock.packages:
        if package.marker and not package.marker.evaluate({**environment, "extras": frozenset()}, context="lock_file"):
            continue
        pins.append(
            _pin(package, _best_wheel(package, tags, f"Python {python} on {platform} with glibc {glibc[0]}.{glibc[1]}"))
        )
    return tuple(sorted(pins, key=lambda pin: pin.name))


def _best_wheel(package: Package, ranks: dict[Tag, int], where: str) -> PackageWheel:
    offered = []
    for wheel in package.wheels or ():
        rank = min((ranks[tag] for tag in parse_wheel_filename(wheel.filename)[3] if tag in ranks), default=None)
        offered.append((rank, wheel.filename, wheel))
    fitting = [(rank, filename, wheel) for rank, filename, wheel in offered if rank is not None]
    if fitting:
        return min(fitting, key=lambda item: item[:2])[2]
    if not offered:
        raise RequirementsError(
            f"{package.name} {package.version} is locked without a wheel",
            hint="modelimg assembles images and never compiles: build a wheel of it and lock that",
        )
    names = ", ".join(filename for _, filename, _ in offered[:3])
    raise RequirementsError(
        f"no wheel of {package.name} {package.version} fits {where}; the lock has {names}",
        hint="pack for this platform (--platform), or choose a base that fits the lock",
    )


def _pin(package: Package, wheel: PackageWheel) -> WheelPin:
    sha256 = wheel.hashes.get("sha256")
    if sha256 is None:
        raise RequirementsError(f"{wheel.filename} is locked without a sha256")
    version = str(package.version or parse_wheel_filename(wheel.filename)[1])
    return WheelPin(
        canonicalize_name(package.name), version, wheel.filename, wheel.url, wheel.path, Digest(sha256), wheel.size
    )
