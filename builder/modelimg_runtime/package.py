"""Opening a model package: its manifest, and the sha256 of every file before anybody trusts the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelimg_runtime import contract
from modelimg_runtime.errors import ModelRefused, PackageUnreadable


@dataclass(frozen=True)
class Package:
    """A model package on disk.

    Attributes:
        folder: where it is.
        manifest: its ``modelimg.json``.
    """

    folder: Path
    manifest: contract.PackageManifest

    def read(self, name: str) -> bytes:
        """Bytes of one file, read once and found to be the packed ones.

        Raises:
            PackageUnreadable: the package lists no such file, it cannot be read, or it was changed.
            ModelRefused: the same of the model's file.
        """
        model = self.manifest.model
        fault = ModelRefused if name == model.file else PackageUnreadable
        if name not in self.manifest.files:
            raise fault(f"the model package lists no file {name}")
        try:
            data = self._locate(name).read_bytes()
        except OSError as error:
            raise fault(f"file {name} of the model package cannot be read: {error.strerror}") from error
        digest = hashlib.sha256(data).hexdigest()
        packed = {self.manifest.files[name], model.sha256} if name == model.file else {self.manifest.files[name]}
        if packed != {digest}:
            raise fault(f"{name} has sha256 {digest}, and was packed as {' and '.join(sorted(packed))}")
        return data

    def verify(self) -> None:
        """Check every listed file but the model's, which is read once, when it is loaded.

        What the image keeps elsewhere (``wheels/``, unpacked) or not at all (the Dockerfile template, the list of
        imports) may be absent.

        Raises:
            PackageUnreadable: a file is missing or was changed.
        """
        for name in self.manifest.files:
            if name != self.manifest.model.file and not (self._build_only(name) and not self._locate(name).exists()):
                self.read(name)

    def _build_only(self, name: str) -> bool:
        return name in (self.manifest.image.template, contract.IMPORTS) or name.startswith(f"{contract.WHEELS_DIR}/")

    def _locate(self, name: str) -> Path:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise PackageUnreadable(f"{contract.MANIFEST} lists {name!r}, which is outside of the package")
        inside = self.folder / path
        # In the image, the user's code is a folder beside the model's.
        return self.folder.parent / path if path.parts[0] == contract.CODE_DIR and not inside.exists() else inside


def open_package(folder: Path) -> Package:
    """Read a package's manifest; the files are checked when they are read.

    Raises:
        PackageUnreadable: there is none, it is not JSON, lacks a field, or has a newer format.
    """
    try:
        text = (folder / contract.MANIFEST).read_bytes()
    except OSError as error:
        raise PackageUnreadable(f"no model package here: {contract.MANIFEST}: {error.strerror}") from error
    try:
        return Package(folder, contract.PackageManifest.from_json(text))
    except ValueError as error:
        raise PackageUnreadable(f"no readable model package: {error}") from error
