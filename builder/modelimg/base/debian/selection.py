"""Which packages a base is made from: those that a lock file pins, or else the newest that Debian has signed."""

from __future__ import annotations

import json
import operator
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from debian.debian_support import Version

from modelimg.base.debian.archive import Release, fetch_index, fetch_release
from modelimg.base.debian.index import Candidate, Group, PackageIndex, open_index
from modelimg.base.debian.keyring import Keyring
from modelimg.base.debian.lock import package_from_dict, package_to_dict, read_lock
from modelimg.base.debian.suites import LEFT_OUT, Suite, find_suite
from modelimg.base.debian.values import ArchiveName, DebianPackage, DebianPackages, Mirrors
from modelimg.base.versions import SELECTION_VERSION
from modelimg.errors import BaseError
from modelimg.fetch import Fetcher
from modelimg.oci.values import Platform

_FACT = "debian-selection"
_COMPARISONS = {"<<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">>": operator.gt}


def resolve_packages(
    suite: str,
    platform: Platform,
    fetcher: Fetcher,
    *,
    lock: Path | None = None,
    mirrors: Mirrors | None = None,
    keyring: Keyring | None = None,
) -> DebianPackages:
    """Name and pin the packages of a base.

    Args:
        suite: ``bookworm`` or ``trixie``.
        platform: of the packages; Debian's architectures have the same names.
        fetcher: fetches the indexes.
        lock: a lock file; no index is fetched then, and the answer is always the same.
        mirrors: where from; `Mirrors.from_environment` unless given.
        keyring: whom to trust; `Keyring.shipped` unless given.

    Raises:
        BaseError: an unknown suite, an index that cannot be trusted, a package that it lacks, or a lock that is
            malformed or for something else.
        FetchError: a mirror does not answer.
    """
    known = find_suite(suite)
    if lock is not None:
        return _locked(known, platform, lock)
    mirrors, keyring = mirrors or Mirrors.from_environment(), keyring or Keyring.shipped()
    releases = [
        fetch_release(mirrors.root("debian"), "debian", suite, fetcher, keyring),
        fetch_release(mirrors.root("debian"), "debian", f"{suite}-updates", fetcher, keyring),
        fetch_release(mirrors.root("debian-security"), "debian-security", f"{suite}-security", fetcher, keyring),
    ]
    packages = _selected(known, platform, releases, fetcher)
    dates: dict[ArchiveName, str] = {}
    for release in releases:
        dates[release.archive] = max(dates.get(release.archive, ""), release.timestamp)
    return DebianPackages(suite, platform, packages, dates)


def _locked(suite: Suite, platform: Platform, lock: Path) -> DebianPackages:
    entries = read_lock(lock)
    for entry in entries:
        if (entry.suite, entry.platform) == (suite.name, platform):
            return entry
    held = ", ".join(f"{entry.suite} for {entry.platform}" for entry in entries)
    raise BaseError(
        f"{lock} locks {held or 'nothing'}, not {suite.name} for {platform}",
        hint=f"add it: modelimg base lock -o {lock} --suite {suite.name} --platform {platform}",
    )


def _selected(
    suite: Suite, platform: Platform, releases: Sequence[Release], fetcher: Fetcher
) -> tuple[DebianPackage, ...]:
    """The selection, remembered by the digests of the indexes that it follows from."""
    architecture = platform.architecture
    paths = [fetch_index(release, architecture, fetcher) for release in releases]
    digests = [path.name for path in paths]  # a blob is named by its digest
    key = json.dumps([SELECTION_VERSION, suite.name, suite.roots, sorted(LEFT_OUT), architecture, digests])
    if (fact := fetcher.cache.recall(_FACT, key)) is not None:
        return tuple(package_from_dict(item) for item in fact)
    with ExitStack() as stack:
        indexes = [
            stack.enter_context(
                open_index(path, fetcher.cache, release.archive, platform.architecture, release.codename)
            )
            for path, release in zip(paths, releases, strict=True)
        ]
        packages = select_packages(suite, indexes)
    fetcher.cache.note(_FACT, key, [package_to_dict(package) for package in packages])
    return packages


def select_packages(suite: Suite, indexes: Sequence[PackageIndex]) -> tuple[DebianPackage, ...]:
    """The closure of a suite's roots, each package at the highest version of all the indexes, sorted by name.

    Raises:
        BaseError: a root or a dependency is in none of the indexes, at a version that fits.
    """
    return _Closure(suite, indexes).packages()


@dataclass
class _Closure:
    suite: Suite
    indexes: Sequence[PackageIndex]

    def __post_init__(self) -> None:
        self._newest: dict[str, Candidate | None] = {}

    def packages(self) -> tuple[DebianPackage, ...]:
        chosen: dict[str, DebianPackage] = {}
        waiting = [self._root(name) for name in reversed(self.suite.roots)]
        while waiting:
            candidate = waiting.pop()
            if candidate.package.name in chosen:
                continue
            chosen[candidate.package.name] = candidate.package
            followed = (self._satisfying(group, candidate) for group in candidate.depends)
            waiting += [found for found in followed if found]
        return tuple(chosen[name] for name in sorted(chosen))

    def _root(self, name: str) -> Candidate:
        if found := self._find(name):
            return found
        raise BaseError(f"{self._sources()} have no package {name}")

    def _satisfying(self, group: Group, dependent: Candidate) -> Candidate | None:
        """The first alternative that fits; None where it is one that bases leave out."""
        for alternative in group:
            if alternative["name"] in LEFT_OUT:
                return None
            found = self._find(alternative["name"])
            if found and _fits(found, alternative["version"]):
                return found
        wanted = " | ".join(_relation_text(alternative) for alternative in group)
        raise BaseError(
            f"{dependent.package.title} depends on {wanted}, which {self._sources()} do not have",
            hint="the mirror may be between two updates; try again in a few minutes, or choose another mirror",
        )

    def _find(self, name: str) -> Candidate | None:
        if name not in self._newest:
            found = [candidate for index in self.indexes for candidate in index.candidates(name)]
            self._newest[name] = max(found, key=lambda candidate: candidate.version, default=None)
        return self._newest[name]

    def _sources(self) -> str:
        return "the indexes " + ", ".join(index.name for index in self.indexes)


def _fits(candidate: Candidate, constraint: tuple[str, str] | None) -> bool:
    if constraint is None:
        return True
    comparison, version = constraint
    fits: bool = _COMPARISONS[comparison](candidate.version, Version(version))
    return fits


def _relation_text(relation: dict[str, Any]) -> str:
    return f"{relation['name']} ({' '.join(relation['version'])})" if relation["version"] else str(relation["name"])
