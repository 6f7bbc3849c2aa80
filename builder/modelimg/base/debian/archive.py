"""Signed indexes of a Debian archive: ``InRelease``, and the ``Packages`` index that it names by sha256.

Source: https://wiki.debian.org/DebianRepository/Format
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from debian import deb822

from modelimg.base.debian.keyring import Keyring
from modelimg.base.debian.values import SNAPSHOT_TIME, ArchiveName
from modelimg.errors import BaseError, DigestMismatch, NotFound
from modelimg.fetch import Fetcher
from modelimg.oci.values import Digest

_COMPRESSIONS = (".xz", ".gz")
_STALE = (
    "the mirror is out of date, or this machine's clock is wrong; another mirror is chosen with MODELIMG_DEBIAN_MIRROR"
)
_BETWEEN = (
    "the mirror is between two updates or behind a stale proxy; try again in a few minutes, or choose another mirror"
)


@dataclass(frozen=True)
class Release:
    """What a verified ``InRelease`` says.

    Attributes:
        archive: which archive it is of.
        codename: ``bookworm``, ``bookworm-updates`` or ``bookworm-security``.
        url: address of its directory.
        date: when it was made, UTC.
        by_hash: whether the server offers indexes under their digest.
        digests: path below ``url`` → sha256 of an index.
    """

    archive: ArchiveName
    codename: str
    url: str
    date: datetime
    by_hash: bool
    digests: Mapping[str, Digest]

    @property
    def timestamp(self) -> str:
        """``date`` as the snapshot archive writes it."""
        return self.date.astimezone(UTC).strftime(SNAPSHOT_TIME)


def fetch_release(root: str, archive: ArchiveName, codename: str, fetcher: Fetcher, keyring: Keyring) -> Release:
    """Fetch an ``InRelease``, verify it, and read what its signature covers.

    Args:
        root: address of a mirror of the archive.
        archive: whose keys must have signed it.
        codename: what it must say it is.
        fetcher: fetches it; it is never cached, because only the newest one counts.
        keyring: the trusted keys.

    Raises:
        BaseError: offline, a bad signature, another suite's index, or one that is past its ``Valid-Until``.
        FetchError: the mirror does not answer or has no such suite.
    """
    url = f"{root}/dists/{codename}"
    what = f"{url}/InRelease"
    if fetcher.offline:
        raise BaseError(
            f"which packages {codename} has cannot be asked offline",
            hint="write a lock file with `modelimg base lock` while there is a network, and give it with --base-lock",
        )
    signed = fetcher.text(what, what=f"the signed index of {codename}")
    fields = deb822.Release(keyring.verified(signed, archive, what=what))
    _check_codename(fields, codename, what)
    _check_validity(fields, what)
    try:
        digests = {entry["name"]: Digest(entry["sha256"]) for entry in fields["SHA256"]}
        date = _time(fields, "Date")
    except (KeyError, ValueError) as error:
        raise BaseError(f"{what} lacks or garbles a field: {error}") from error
    return Release(archive, codename, url, date, fields.get("Acquire-By-Hash") == "yes", digests)


def _check_codename(fields: deb822.Release, codename: str, what: str) -> None:
    """A signed index of another suite is authentic too; a mirror must not pass it off as this one."""
    if (got := fields.get("Codename")) != codename:
        raise BaseError(
            f"{what} is the index of {got or 'an unnamed suite'}, not of {codename}",
            hint="the mirror is set up wrong or hostile; choose another one with MODELIMG_DEBIAN_MIRROR",
        )


def _check_validity(fields: deb822.Release, what: str) -> None:
    """Not every suite has a ``Valid-Until``: a stable release's own index is signed only at its point releases."""
    if "Valid-Until" not in fields:
        return
    try:
        until = _time(fields, "Valid-Until")
    except ValueError as error:
        raise BaseError(f"{what} garbles its Valid-Until: {error}") from error
    now = datetime.now(UTC)
    if until < now:
        raise BaseError(
            f"{what} expired at {until:%Y-%m-%d %H:%M} UTC; it is {now:%Y-%m-%d %H:%M} UTC now", hint=_STALE
        )


def _time(fields: deb822.Release, key: str) -> datetime:
    time = parsedate_to_datetime(fields[key])
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def fetch_index(release: Release, architecture: str, fetcher: Fetcher) -> Path:
    """The compressed ``Packages`` index of ``main`` for an architecture, as the release pins it.

    Returns:
        A blob in the cache: xz or gzip.

    Raises:
        BaseError: the release names no such index, or the mirror has none with the pinned digest.
        FetchError: the mirror does not answer.
    """
    stem = f"main/binary-{architecture}/Packages"
    name = next((stem + suffix for suffix in _COMPRESSIONS if stem + suffix in release.digests), None)
    if name is None:
        raise BaseError(f"{release.url} has no index of packages for {architecture}")
    digest = release.digests[name]
    by_hash = f"{release.url}/{posixpath.dirname(name)}/by-hash/SHA256/{digest.hex}"
    what = f"the index of {release.codename} for {architecture}"
    if release.by_hash:
        with suppress(NotFound, DigestMismatch):  # some mirrors do not carry what they announce
            return fetcher.blob(by_hash, digest, what=what)
    try:
        return fetcher.blob(f"{release.url}/{name}", digest, what=what)
    except (NotFound, DigestMismatch) as error:
        raise BaseError(
            f"{release.url}/{name} is not the index that the signed InRelease names", hint=_BETWEEN
        ) from error
