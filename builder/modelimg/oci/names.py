"""Where an image is, named as skopeo names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelimg.errors import UsageError
from modelimg.oci.values import Reference, check_tag

Transport = Literal["", "docker", "docker-daemon", "oci", "oci-archive", "docker-archive"]

_HINT = "an image is NAME, docker://NAME, docker-daemon:NAME, oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE"


@dataclass(frozen=True)
class ImageName:
    """A place and a name in it.

    Attributes:
        transport: empty for a plain name, which the daemon is asked for first, then the registry.
        reference: for names, the daemon and registries.
        path: for folders and files.
        tag: in an ``oci:`` folder, where it was given.
    """

    transport: Transport
    reference: Reference | None = None
    path: Path | None = None
    tag: str | None = None

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Read a name.

        Raises:
            UsageError: an unknown form, a path that is missing, or an invalid reference or tag.
        """
        transport, colon, rest = text.partition(":")
        if colon and transport == "docker" and rest.startswith("//"):
            return cls("docker", Reference.parse(rest[2:]))
        if colon and transport == "docker-daemon":
            return cls("docker-daemon", Reference.parse(rest))
        if colon and transport in ("oci", "oci-archive", "docker-archive") and not rest.startswith("//"):
            return cls._at_path(transport, rest, text)  # type: ignore[arg-type]
        try:
            return cls("", Reference.parse(text))
        except UsageError as error:
            raise UsageError(error.message, hint=_HINT) from error

    @classmethod
    def _at_path(cls, transport: Transport, rest: str, text: str) -> ImageName:
        path, colon, tag = rest.rpartition(":") if transport == "oci" else (rest, "", "")
        if transport == "oci" and (not colon or "/" in tag):
            path, tag = rest, ""
        if not path:
            raise UsageError(f"{text!r} names no file or folder", hint=_HINT)
        return cls(transport, path=Path(path), tag=check_tag(tag) if tag else None)

    def __str__(self) -> str:
        if self.path is not None:
            return f"{self.transport}:{self.path}" + (f":{self.tag}" if self.tag else "")
        prefix = {"": "", "docker": "docker://"}.get(self.transport, f"{self.transport}:")
        return f"{prefix}{self.reference}"
