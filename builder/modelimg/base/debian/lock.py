"""The lock file: the packages of one or more bases, so that the same base can be made again.

TOML, one ``[[base]]`` per suite and platform::

    version = 1

    [[base]]
    suite = "bookworm"
    platform = "linux/amd64"

    [base.dates]
    debian = "20261121T021046Z"
    debian-security = "20261121T005302Z"

    [[base.packages]]
    name = "base-files"
    …

``dates`` are the moments at which the snapshot archive is asked for a package that has gone from the mirrors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
import tomllib

from modelimg.base.debian.values import DebianPackage, DebianPackages
from modelimg.errors import BaseError, UsageError
from modelimg.files import replace_text
from modelimg.oci.values import Digest, Platform

LOCK_VERSION = 1

_HEADER = "# Written by `modelimg base lock`, which also refreshes it.\n"
_BASE_FIELDS = {"suite": str, "platform": str, "dates": dict, "packages": list}
_PACKAGE_FIELDS = {
    "name": str,
    "version": str,
    "architecture": str,
    "archive": str,
    "filename": str,
    "size": int,
    "sha256": str,
}


def write_lock(path: Path, bases: Sequence[DebianPackages]) -> None:
    """Write a lock file, or refresh one: what it holds for other suites and platforms stays.

    The same bases give the same bytes; the file is replaced as a whole or not at all.

    Args:
        path: the lock file.
        bases: what to lock.

    Raises:
        BaseError: there is a file already, and it is not a lock file; or the file cannot be written.
    """
    held = {(base.suite, base.platform): base for base in (read_lock(path) if path.exists() else ())}
    held.update({(base.suite, base.platform): base for base in bases})
    ordered = [held[key] for key in sorted(held)]
    text = _HEADER + tomli_w.dumps({"version": LOCK_VERSION, "base": [_base_to_dict(base) for base in ordered]})
    try:
        replace_text(path, text)
    except OSError as error:
        raise BaseError(f"the lock file {path} cannot be written: {error.strerror}") from error


def read_lock(path: Path) -> tuple[DebianPackages, ...]:
    """Read a lock file.

    Raises:
        BaseError: it is missing, not TOML, of a newer format, or lacks or garbles a value; the message says which.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BaseError(f"there is no lock file {path}", hint=f"write one: modelimg base lock -o {path}") from error
    except OSError as error:
        raise BaseError(f"the lock file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BaseError(f"{path} is not a lock file: {error}", hint=_REWRITE) from error
    version = data.get("version")
    if version != LOCK_VERSION or not isinstance(data.get("base"), list):
        raise BaseError(f"{path} is not a lock file of version {LOCK_VERSION}", hint=_REWRITE)
    try:
        bases = tuple(_base_from_dict(entry, f"base {number}") for number, entry in enumerate(data["base"], 1))
    except (ValueError, UsageError) as error:
        raise BaseError(f"{path} is malformed: {error}", hint=_REWRITE) from error
    if len({(base.suite, base.platform) for base in bases}) < len(bases):
        raise BaseError(f"{path} is malformed: it locks a suite twice for one platform", hint=_REWRITE)
    return bases


_REWRITE = "delete it and write it again with `modelimg base lock`"


def package_to_dict(package: DebianPackage) -> dict[str, Any]:
    """A package as plain data, in the lock's words."""
    return {**{key: getattr(package, key) for key in _PACKAGE_FIELDS}, "sha256": package.sha256.hex}


def package_from_dict(data: Any, where: str = "package") -> DebianPackage:
    """Read what `package_to_dict` gave.

    Raises:
        ValueError: a value is missing, unknown or garbled.
    """
    values = _checked(data, _PACKAGE_FIELDS, where)
    try:
        return DebianPackage(**{**values, "sha256": Digest(values["sha256"])})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _base_to_dict(base: DebianPackages) -> dict[str, Any]:
    return {
        "suite": base.suite,
        "platform": str(base.platform),
        "dates": dict(sorted(base.dates.items())),
        "packages": [package_to_dict(package) for package in base.packages],
    }


def _base_from_dict(data: Any, where: str) -> DebianPackages:
    values = _checked(data, _BASE_FIELDS, where)
    packages = (package_from_dict(item, f"{where}, package {n}") for n, item in enumerate(values["packages"], 1))
    base = DebianPackages(values["suite"], Platform.parse(values["platform"]), tuple(packages), values["dates"])
    for package in base.packages:
        if package.architecture not in (base.platform.architecture, "all"):
            raise ValueError(f"{where}: {package.name} is for {package.architecture}, not for {base.platform}")
    return base


def _checked(data: Any, fields: Mapping[str, type], where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{where} is not a table")  # noqa: TRY004 - one error for whatever a file may hold
    if data.keys() != fields.keys():
        wrong = sorted(data.keys() ^ fields.keys())
        raise ValueError(f"{where} lacks or does not know {', '.join(wrong)}")
    for key, kind in fields.items():
        if type(data[key]) is not kind:
            raise ValueError(f"{where}: {key} is not of type {kind.__name__}")
    return data
