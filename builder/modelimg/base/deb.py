"""``deb:`` bases as a build sees them: resolved, and remembered for a while.

Asking Debian's mirrors what is newest, and reading the answer, takes longer than all the rest of a rebuild. So an
answer holds for an hour, and offline for as long as it is the last; a lock file's answer holds for good. Nothing of
`modelimg.base.debian` is even imported then.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from modelimg.base.resolve import BasePackage, ResolvedBase
from modelimg.base.versions import BASE_ASSEMBLY_VERSION, SELECTION_VERSION
from modelimg.errors import BaseError
from modelimg.fetch import Fetcher
from modelimg.oci.blob import LAYER, Descriptor, LazyBlob
from modelimg.oci.image import ImageConfig
from modelimg.oci.manifest import Image
from modelimg.oci.values import Digest, Platform

PREFIX = "deb:"

FRESH_SECONDS = 3600
"""How long the mirrors' answer holds. Debian's archive is updated four times a day."""

_FACT = "deb-base"
_MIRRORS = ("MODELIMG_DEBIAN_MIRROR", "MODELIMG_DEBIAN_SECURITY_MIRROR", "MODELIMG_DEBIAN_SNAPSHOT")


def resolve_debian_base(name: str, platform: Platform, fetcher: Fetcher, *, lock: Path | None = None) -> ResolvedBase:
    """Pin the packages of a base, and make it where it was not made before.

    Args:
        name: ``deb:bookworm`` or ``deb:trixie``.
        platform: of the base.
        fetcher: gets indexes and packages; its cache keeps the result.
        lock: pins the packages.

    Raises:
        BaseError: an unknown suite, an index that cannot be trusted, or a lock that is malformed or for something else.
        FetchError: a mirror does not answer.
    """
    key = json.dumps([BASE_ASSEMBLY_VERSION, SELECTION_VERSION, name, str(platform), _source(lock)])
    fact = fetcher.cache.recall(_FACT, key)
    if fact and (lock or fetcher.offline or 0 <= time.time() - fact["asked"] < FRESH_SECONDS):
        return _resolved(name, platform, fact, fetcher)
    fact = {"asked": time.time(), **_ask(name, platform, fetcher, lock)}
    fetcher.cache.note(_FACT, key, fact)
    return _resolved(name, platform, fact, fetcher)


def _source(lock: Path | None) -> list[str | None]:
    """Who is asked: a lock with these bytes, or the mirrors that the environment names."""
    if lock is None:
        return [os.environ.get(name) for name in _MIRRORS]
    return [str(Digest.of(lock.read_bytes()))] if lock.is_file() else [str(lock)]


def _ask(name: str, platform: Platform, fetcher: Fetcher, lock: Path | None) -> dict[str, Any]:
    from modelimg.base.debian import Mirrors, build_base, resolve_packages
    from modelimg.base.debian.lock import package_to_dict

    mirrors = Mirrors.from_environment()
    packages = resolve_packages(name.removeprefix(PREFIX), platform, fetcher, lock=lock, mirrors=mirrors)
    base = build_base(packages, fetcher, mirrors=mirrors)
    return {
        "python": base.python,
        "interpreter": base.interpreter,
        "libc": list(base.libc),
        "size": base.size,
        "config": base.config.to_json().decode(),
        "packages": [package_to_dict(package) for package in packages.packages],
        "dates": dict(packages.dates),
    }


def _resolved(name: str, platform: Platform, fact: dict[str, Any], fetcher: Fetcher) -> ResolvedBase:
    config = ImageConfig.parse(fact["config"].encode())
    diff_id = config.diff_ids[0]
    layer = LazyBlob(
        Descriptor(LAYER, diff_id, fact["size"]),
        lambda: _tar(name, platform, fact, fetcher),
        peek=lambda: fetcher.cache.path(diff_id),
    )
    return ResolvedBase(
        name=name,
        digest=config.digest,
        reference="scratch",
        platform=platform,
        python=fact["python"],
        interpreter=fact["interpreter"],
        libc=fact["libc"][0],
        libc_version=fact["libc"][1],
        run=config.run,
        packages=tuple(
            BasePackage(one["name"], one["version"], one["architecture"], Digest(one["sha256"]))
            for one in fact["packages"]
        ),
        tar=diff_id,
        image=Image.assemble(config, [layer]),
    )


def _tar(name: str, platform: Platform, fact: dict[str, Any], fetcher: Fetcher) -> Path:
    """The base's layer: from the cache, or made again from its packages."""
    diff_id = ImageConfig.parse(fact["config"].encode()).diff_ids[0]
    if path := fetcher.cache.blob(diff_id):
        return path
    from modelimg.base.debian import DebianPackages, build_base
    from modelimg.base.debian.lock import package_from_dict

    packages = tuple(package_from_dict(one) for one in fact["packages"])
    made = build_base(DebianPackages(name.removeprefix(PREFIX), platform, packages, fact["dates"]), fetcher)
    if made.diff_id != diff_id:
        raise BaseError(
            f"the base {name} was remembered as {diff_id}, and came out as {made.diff_id}",
            hint="`modelimg cache prune --all` forgets what was remembered",
        )
    return made.tar
