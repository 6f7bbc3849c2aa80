"""What is inside a base image: its Python and its C library, found by looking, whoever reads the files.

Nothing of the image runs.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Protocol, TypedDict

from modelimg.errors import BaseError
from modelimg.oci.values import Platform

MODEL_PREFIX = "/modelimg"
"""Where a model image keeps everything of its own; a base must not have it."""

_INTERPRETERS = ("/usr/local/bin/python3", "/usr/bin/python3", "/opt/venv/bin/python3", "/bin/python3")
_PYTHON_NAME = re.compile(r"python(3\.\d+)$")
_GLIBC_VERSION = re.compile(rb"GNU C Library [^\n]*release version (\d+\.\d+)")


class Inside(TypedDict):
    """What was found: the fields of `ResolvedBase` of these names, as the cache keeps them."""

    python: str
    interpreter: str
    libc: str
    libc_version: str


class Reader(Protocol):
    """Reads an image's files by path, following symbolic links inside it."""

    def resolve(self, path: str) -> str | None:
        """The path without symbolic links, or None where nothing is."""
        ...

    def read(self, path: str) -> bytes | None:
        """A file's bytes, or None where nothing is."""
        ...


def look_inside(reader: Reader, *, base: object, platform: Platform, env: Iterable[str]) -> Inside:
    """Find the interpreter and the C library.

    Args:
        reader: of the image's files.
        base: how messages name the image.
        platform: of the image; it says where the C library is.
        env: the image's environment, where official images declare their Python's full version.

    Raises:
        BaseError: a model image, or one without a Python 3 and a C library that we know.
    """
    if reader.resolve(MODEL_PREFIX):
        raise BaseError(
            f"the base {base} has {MODEL_PREFIX} already: it is a model image",
            hint="name the base that it was built on; `modelimg rebase` puts a model image on another base",
        )
    interpreter, minor = _find_interpreter(reader, base)
    libc, libc_version = _find_libc(reader, platform, base)
    declared = dict(item.partition("=")[::2] for item in env).get("PYTHON_VERSION", "")
    python = declared if declared.startswith(f"{minor}.") else minor
    return {"python": python, "interpreter": interpreter, "libc": libc, "libc_version": libc_version}


def check_platform(base: object, found: Platform, wanted: Platform) -> None:
    """Refuse a base for other machines.

    Raises:
        BaseError: it is one.
    """
    if found != wanted:
        raise BaseError(f"the base {base} is for {found}, not for {wanted}", hint="name one for this platform")


def _find_interpreter(reader: Reader, base: object) -> tuple[str, str]:
    for candidate in _INTERPRETERS:
        resolved = reader.resolve(candidate)
        if resolved and (named := _PYTHON_NAME.search(resolved)):
            return resolved, named.group(1)
    raise BaseError(
        f"the base {base} has no Python 3 in {', '.join(posixpath.dirname(c) for c in _INTERPRETERS)}",
        hint="choose a base with Python, such as deb:bookworm or python:3.11-slim",
    )


def _find_libc(reader: Reader, platform: Platform, base: object) -> tuple[str, str]:
    machine = platform.machine
    for folder in (f"/lib/{machine}-linux-gnu", f"/usr/lib/{machine}-linux-gnu", "/lib64", "/usr/lib64"):
        data = reader.read(f"{folder}/libc.so.6")
        if data and (found := _GLIBC_VERSION.search(data)):
            return "glibc", found.group(1).decode()
    if reader.resolve(f"/lib/ld-musl-{machine}.so.1"):
        return "musl", "1.2"
    raise BaseError(f"the base {base} has no C library that modelimg knows", hint="it looks for glibc and musl")
