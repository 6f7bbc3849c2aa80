"""Debian's archive keys, and what they have signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import pysequoia

from modelimg.base.debian.values import ARCHIVES, ArchiveName
from modelimg.errors import BaseError


@dataclass(frozen=True)
class Keyring:
    """The certificates that may sign an archive's indexes.

    Attributes:
        certificates: per archive; a key of one archive counts for nothing in the other.
    """

    certificates: Mapping[ArchiveName, tuple[pysequoia.Cert, ...]]

    @classmethod
    def shipped(cls) -> Keyring:
        """The keys of Debian 12 and 13 from the package debian-archive-keyring, copied to ``keys/<archive>/``.

        A suite's indexes are signed by the keys of its own release and of its neighbours', so that these six verify
        both suites as long as Debian supports them.
        """
        folder = files("modelimg.base.debian") / "keys"
        return cls(
            {
                archive: tuple(
                    certificate
                    for file in sorted((folder / archive).iterdir(), key=lambda file: file.name)
                    for certificate in pysequoia.Cert.split_bytes(file.read_bytes())
                )
                for archive in ARCHIVES
            }
        )

    def verified(self, signed: bytes, archive: ArchiveName, *, what: str) -> bytes:
        """The bytes that a valid signature covers, of a clear-signed document.

        Text before, between and after the signed part is not among them: whoever reads only what this returns
        reads nothing that a mirror has slipped in.

        Args:
            signed: an ``InRelease`` file.
            archive: whose keys may have signed it.
            what: how messages name it.

        Raises:
            BaseError: it is not a signed document, or no signature in it verifies with a key of the archive.
        """
        trusted = self.certificates[archive]
        try:
            result = pysequoia.verify(signed, lambda _key_ids: list(trusted))
        except (
            RuntimeError
        ) as error:  # what pysequoia raises for everything; a Rust backtrace may follow the first line
            raise BaseError(
                f"the signature of {what} does not verify: {str(error).partition(chr(10))[0].rstrip('.')}",
                hint="the mirror or something on the way to it is broken or hostile; choose another mirror, "
                "and update modelimg if Debian has changed its keys",
            ) from error
        by_trusted = {s.certificate for s in result.valid_sigs} & {c.fingerprint for c in trusted}
        if not by_trusted or result.bytes is None:
            raise BaseError(f"{what} bears no signature by a key of the archive {archive}")
        return result.bytes
