"""Model packages as folders: reading one back, and writing one whole or not at all.

Light on purpose: ``build`` and ``inspect`` read packages, and need neither pandas nor scikit-learn for that.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from modelimg.errors import PackageError, UsageError
from modelimg.oci.values import Digest
from modelimg_runtime import contract


@dataclass(frozen=True)
class ModelPackage:
    """A model package that was read and found unchanged.

    Attributes:
        path: its folder.
        manifest: what is in it.
    """

    path: Path
    manifest: contract.PackageManifest

    def read(self, name: str) -> bytes:
        """The bytes of one of its files.

        Raises:
            PackageError: the package has no such file.
        """
        if name not in self.manifest.files:
            raise PackageError(f"{self.path} has no {name}")
        return (self.path / name).read_bytes()

    def json(self, name: str) -> Any:
        """One of its JSON files.

        Raises:
            PackageError: the package has no such file, or it is not JSON.
        """
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            raise PackageError(f"{self.path / name} is not JSON: {error}") from error

    def lock(self, platform: str) -> str:
        """The text of the serving lock of an ``os/arch`` platform.

        Raises:
            PackageError: the package is not locked for it.
        """
        return self.read(contract.serving_lock(platform)).decode()


def read_package(path: str | Path) -> ModelPackage:
    """Read a model package and compare every file with the digest that it was packed with.

    Raises:
        PackageError: no folder, no or an unreadable manifest, or a file that was changed, removed or added.
    """
    folder = Path(path)
    manifest = _read_manifest(folder)
    found = {
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir() or file.is_symlink()
    }
    _refuse_others(folder, found - {contract.MANIFEST}, manifest.files)
    for name, sha256 in manifest.files.items():
        file = folder / name
        if file.is_symlink() or _sha256(file) != sha256:
            raise PackageError(
                f"{file} is not the file that was packed: its sha256 differs from {contract.MANIFEST}", hint=_PACK_AGAIN
            )
    return ModelPackage(folder, manifest)


@contextmanager
def writing_package(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """A folder beside ``out`` to fill, which takes the place of ``out`` when the block ends without an error.

    Raises:
        UsageError: ``out`` exists and may not be replaced.
    """
    _refuse_occupied(out, overwrite=overwrite)
    made = _make_parents(out)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".tmp", dir=out.parent))
    try:
        fresh, old = aside / "new", aside / "old"
        fresh.mkdir()
        yield fresh
        _refuse_occupied(out, overwrite=overwrite)
        if out.exists():
            out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        if not out.exists():
            _remove_empty(made)


def write_file(folder: Path, name: str, data: bytes | str) -> None:
    """Write one file of a package, readable by all whatever the umask."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data.encode() if isinstance(data, str) else data)
    target.chmod(0o644)


def file_digests(folder: Path) -> dict[str, str]:
    """Path → hex sha256 of every file below a folder, sorted by path."""
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    return {name: _sha256(folder / name) for name in files}


_PACK_AGAIN = "pack the model again: a package is not meant to be edited"


def _read_manifest(folder: Path) -> contract.PackageManifest:
    if not folder.is_dir():
        raise PackageError(f"{folder} is no folder", hint="name a folder that `modelimg pack` wrote")
    try:
        text = (folder / contract.MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise PackageError(
            f"{folder} is no model package: it has no {contract.MANIFEST}",
            hint="name a folder that `modelimg pack` wrote",
        ) from error
    try:
        manifest = contract.PackageManifest.from_json(text)
    except ValueError as error:
        raise PackageError(f"{folder} is no model package that this modelimg reads: {error}") from error
    for name in manifest.files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise PackageError(f"{folder / contract.MANIFEST} lists {name!r}, which is outside of the package")
    return manifest


def _refuse_others(folder: Path, found: set[str], listed: Mapping[str, str]) -> None:
    for name in sorted(listed.keys() - found):
        raise PackageError(f"{folder / name} is missing from the model package", hint=_PACK_AGAIN)
    for name in sorted(found - listed.keys()):
        raise PackageError(f"{folder / name} was added to the model package after it was packed", hint=_PACK_AGAIN)


def _refuse_occupied(out: Path, *, overwrite: bool) -> None:
    """Only an empty folder or an older model package may be replaced."""
    if not out.exists() and not out.is_symlink():
        return
    if out.is_symlink() or not out.is_dir():
        raise UsageError(f"{out} exists and is no folder", hint="choose another folder for the model package")
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{out} exists", hint="choose another folder, or allow it to be overwritten")
    if not (out / contract.MANIFEST).is_file():
        raise UsageError(
            f"{out} holds other files than a model package's, and is left as it is",
            hint="choose an empty folder, or one that holds a model package",
        )


def _make_parents(out: Path) -> list[Path]:
    """Make the folders above ``out``; those that were made, deepest first."""
    missing = [parent for parent in out.parents if not parent.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        if not any(folder.iterdir()):
            folder.rmdir()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return Digest.of_stream(stream).hex
