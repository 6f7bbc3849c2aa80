"""Packages → one deterministic tar and the config of a base image."""

from __future__ import annotations

import json
import posixpath
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from modelimg.base.debian.extract import unpack_deb
from modelimg.base.debian.lock import package_to_dict
from modelimg.base.debian.tree import CA_BUNDLE, assemble_tree, is_kept
from modelimg.base.debian.values import DebianPackage, DebianPackages, Mirrors
from modelimg.base.versions import BASE_ASSEMBLY_VERSION
from modelimg.cache import Cache
from modelimg.errors import BaseError, DigestMismatch, FetchError, NotFound
from modelimg.fetch import Fetcher
from modelimg.oci.image import EPOCH, History, ImageConfig, RunConfig
from modelimg.oci.values import Digest, Platform
from modelimg.tar import Entry, Spool, TarSummary, make_directory, make_text, write_tar

RECORD = "usr/share/modelimg/base.json"
"""Where a base says which packages it was made from."""

_FACT = "debian-base"
_CONNECTIONS = 8
_ENV = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    f"SSL_CERT_FILE={CA_BUNDLE}",
)


@dataclass(frozen=True)
class DebianBase:
    """A base image made from Debian's packages. Its digest as an image is ``config.digest``.

    Attributes:
        suite: ``bookworm`` or ``trixie``.
        platform: of the image.
        packages: what it was made from.
        python: full version of its interpreter, ``3.11.2``.
        interpreter: absolute path of it, ``/usr/bin/python3.11``.
        libc: name and version of the C library, ``("glibc", "2.36")``.
        tar: its one layer, uncompressed, in the cache.
        diff_id: sha256 of ``tar``.
        size: bytes of ``tar``.
        config: the image's config.
    """

    suite: str
    platform: Platform
    packages: tuple[DebianPackage, ...]
    python: str
    interpreter: str
    libc: tuple[str, str]
    tar: Path
    diff_id: Digest
    size: int
    config: ImageConfig


def build_base(packages: DebianPackages, fetcher: Fetcher, *, mirrors: Mirrors | None = None) -> DebianBase:
    """Make a base, or find the one that was made from the same packages before.

    Args:
        packages: what `resolve_packages` gave.
        fetcher: fetches the packages; its cache keeps them and the result.
        mirrors: where from; `Mirrors.from_environment` unless given.

    Raises:
        BaseError: a package is gone everywhere, has other bytes than the pinned ones, or may not become part of a base.
        FetchError: a mirror does not answer, or offline and not in the cache.
    """
    interpreter = f"/usr/bin/python{packages.python_minor}"
    facts = [packages.suite, str(packages.platform), [package.sha256.hex for package in packages.packages]]
    key = json.dumps([BASE_ASSEMBLY_VERSION, *facts])
    made = _recalled(fetcher.cache, key)
    if made is None:
        debs = _fetch_all(packages, fetcher, mirrors or Mirrors.from_environment())
        made = _assembled(packages, debs, interpreter, fetcher.cache)
        fetcher.cache.note(_FACT, key, {"diff_id": made[0].digest.hex, "size": made[0].size})
    summary, tar = made
    return DebianBase(
        suite=packages.suite,
        platform=packages.platform,
        packages=packages.packages,
        python=packages.python,
        interpreter=interpreter,
        libc=packages.libc,
        tar=tar,
        diff_id=summary.digest,
        size=summary.size,
        config=_config(packages, summary.digest),
    )


def _config(packages: DebianPackages, diff_id: Digest) -> ImageConfig:
    return ImageConfig(
        platform=packages.platform,
        run=RunConfig(env=_ENV),
        diff_ids=(diff_id,),
        history=(History(f"modelimg base deb:{packages.suite}, {len(packages.packages)} packages", EPOCH),),
    )


def _recalled(cache: Cache, key: str) -> tuple[TarSummary, Path] | None:
    fact = cache.recall(_FACT, key)
    if fact is None:
        return None
    summary = TarSummary(Digest(fact["diff_id"]), fact["size"])
    tar = cache.blob(summary.digest)
    return (summary, tar) if tar else None


def _assembled(
    packages: DebianPackages, debs: dict[str, Path], interpreter: str, cache: Cache
) -> tuple[TarSummary, Path]:
    with cache.writing() as (spool_stream, spool_path), cache.writing() as (tar_stream, tar_path):
        spool = Spool(spool_stream, spool_path)
        unpacked = {
            package.name: unpack_deb(debs[package.name], spool, is_kept, name=package.title)
            for package in packages.packages
        }
        summary = write_tar([*assemble_tree(unpacked, interpreter), *_record(packages)], tar_stream)
        tar_stream.flush()
        return summary, cache.adopt(tar_path, summary.digest)


def _record(packages: DebianPackages) -> list[Entry]:
    """What the base was made from, in the base itself: every package with its digest."""
    facts = {
        "suite": packages.suite,
        "platform": str(packages.platform),
        "packages": [package_to_dict(package) for package in packages.packages],
    }
    text = json.dumps(facts, indent=1, sort_keys=True) + "\n"
    return [make_directory(posixpath.dirname(RECORD)), make_text(RECORD, text)]


def _fetch_all(packages: DebianPackages, fetcher: Fetcher, mirrors: Mirrors) -> dict[str, Path]:
    def fetch(package: DebianPackage) -> tuple[str, Path]:
        return package.name, _fetch(package, packages, fetcher, mirrors)

    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        return dict(pool.map(fetch, packages.packages))


def _fetch(package: DebianPackage, packages: DebianPackages, fetcher: Fetcher, mirrors: Mirrors) -> Path:
    """From the cache, the mirror, or else the snapshot archive, which forgets nothing."""
    url = mirrors.pool_url(package)
    try:
        return fetcher.blob(url, package.sha256, what=package.title)
    except NotFound:
        return _fetch_old(package, packages, fetcher, mirrors)
    except DigestMismatch as error:
        raise BaseError(
            f"{package.title} from {mirrors.root(package.archive)} is not the file that is pinned",
            hint="the mirror or something on the way to it is broken or hostile; choose another mirror",
        ) from error


def _fetch_old(package: DebianPackage, packages: DebianPackages, fetcher: Fetcher, mirrors: Mirrors) -> Path:
    later, then = mirrors.snapshot_urls(package, packages.dates[package.archive])
    try:
        try:
            return fetcher.blob(later, package.sha256, what=package.title)
        except NotFound:
            return fetcher.blob(then, package.sha256, what=package.title)
    except FetchError as error:
        raise BaseError(
            f"{package.title} is gone from {mirrors.root(package.archive)}, and the snapshot archive did not help: "
            f"{error.message}",
            hint="lock the packages of today: "
            f"modelimg base lock -o FILE --suite {packages.suite} --platform {packages.platform}",
        ) from error
