"""A small Debian archive on loopback: packages made here, indexes signed with keys made here."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pysequoia
import pytest

from modelimg.base.debian import Keyring, Mirrors
from modelimg.base.debian.keyring import Keyring as KeyringType
from modelimg.cache import Cache
from modelimg.fetch import Fetcher
from modelimg.oci.values import Digest

Member = tuple[tarfile.TarInfo, bytes]

SUITES = {"bookworm": "debian", "bookworm-updates": "debian", "bookworm-security": "debian-security"}


class Debs:
    """Makes ``.deb`` files, and members for them."""

    @staticmethod
    def file(path: str, data: bytes = b"", mode: int = 0o644) -> Member:
        info = tarfile.TarInfo(f"./{path}")
        info.size, info.mode, info.uid, info.uname, info.mtime = len(data), mode, 1000, "builder", 1_700_000_000
        return info, data

    @staticmethod
    def special(path: str, kind: bytes, target: str = "", mode: int = 0o755) -> Member:
        """A directory, a link or a device, as ``tarfile``'s type says."""
        info = tarfile.TarInfo(f"./{path}")
        info.type, info.linkname, info.mode = kind, target, mode
        return info, b""

    def directory(self, path: str, mode: int = 0o755) -> Member:
        return self.special(path, tarfile.DIRTYPE, mode=mode)

    def link(self, path: str, target: str) -> Member:
        return self.special(path, tarfile.SYMTYPE, target, 0o777)

    def build(self, members: list[Member], control: str = "Package: x\n", suffix: str = ".xz") -> bytes:
        control_tar = self._tar([self.file("control", control.encode())], ".xz")
        parts = {
            "debian-binary": b"2.0\n",
            "control.tar.xz": control_tar,
            f"data.tar{suffix}": self._tar(members, suffix),
        }
        return self.archive(parts)

    @staticmethod
    def archive(parts: dict[str, bytes]) -> bytes:
        """An ``ar`` archive."""
        out = b"!<arch>\n"
        for name, data in parts.items():
            out += b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name.encode(), 0, 0, 0, 0o644, len(data)) + data
            out += b"\n" * (len(data) % 2)
        return out

    @staticmethod
    def _tar(members: list[Member], suffix: str) -> bytes:
        raw = io.BytesIO()
        mode = {".xz": "w:xz", ".gz": "w:gz", "": "w", ".zst": "w"}[suffix]
        with tarfile.open(fileobj=raw, mode=mode, **({"preset": 0} if suffix == ".xz" else {})) as tar:
            for info, data in members:
                tar.addfile(info, io.BytesIO(data))
        return raw.getvalue()


@dataclass
class FakeArchive:
    """Both archives of one suite, ``bookworm``, on a loopback server.

    Tests change what it holds and `publish` again.
    """

    server: object
    keys: dict[str, pysequoia.Tsk]
    debs: Debs
    architecture: str = "amd64"
    stanzas: dict[str, list[str]] = field(default_factory=lambda: {suite: [] for suite in SUITES})
    overrides: dict[str, dict[str, str | None]] = field(default_factory=dict)

    @property
    def mirrors(self) -> Mirrors:
        url = self.server.url
        return Mirrors(debian=f"{url}/debian", security=f"{url}/debian-security/", snapshot=f"{url}/snapshot")

    @property
    def keyring(self) -> KeyringType:
        return Keyring({name: (key.extract_certificate(),) for name, key in self.keys.items()})

    def add(
        self,
        name: str,
        version: str = "1.0-1",
        *,
        suite: str = "bookworm",
        architecture: str | None = None,
        depends: str = "",
        members: list[Member] | None = None,
        data: bytes | None = None,
    ) -> str:
        """Put a package into the pool and into a suite's index; returns its path in the pool."""
        architecture = architecture or self.architecture
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: A Person <a@b.example>\n"
        )
        control += f"Depends: {depends}\n" if depends else ""
        data = data or self.debs.build(members or [], control + "Description: made for a test\n")
        filename = f"pool/main/{name[0]}/{name}/{name}_{version.partition(':')[2] or version}_{architecture}.deb"
        self.server.answer(f"/{SUITES[suite]}/{filename}", data)
        self.stanzas[suite].append(f"{control}Filename: {filename}\nSize: {len(data)}\nSHA256: {Digest.of(data).hex}\n")
        return filename

    def populate(self) -> None:
        """The least that a base can be made from."""
        file, link = self.debs.file, self.debs.link
        self.add(
            "python3.11-minimal",
            "3.11.2-6",
            depends="libc6 (>= 2.36)",
            members=[file("usr/bin/python3.11", b"\x7fELF", 0o755)],
        )
        self.add("libpython3.11-stdlib", "3.11.2-6", depends="media-types | mime-support")
        libc = [
            self.debs.directory("lib"),
            file("lib/x86_64-linux-gnu/libc.so.6", b"libc", 0o755),
            link("lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld.so"),
        ]
        self.add("libc6", "2.36-9", members=libc)
        certificates = [file(f"usr/share/ca-certificates/mozilla/{n}.crt", f"cert {n}".encode()) for n in "ba"]
        self.add("ca-certificates", "2023", architecture="all", members=certificates, depends="openssl, debconf")
        for name in ("libstdc++6", "libgomp1", "zlib1g", "libc-bin", "tzdata", "netbase"):
            self.add(name)
        self.add(
            "base-files",
            members=[self.debs.directory("tmp", 0o1777), file("usr/share/doc/base-files/copyright", b"free")],
        )

    def publish(self) -> None:
        """Write and sign the indexes of all three suites."""
        for suite in SUITES:
            self.publish_suite(suite)

    def publish_suite(self, suite: str, *, index: bytes | None = None) -> None:
        text = "\n".join(self.stanzas[suite]).encode()
        packed = lzma.compress(text, preset=0)
        digest = Digest.of(packed).hex
        folder = f"main/binary-{self.architecture}"
        self.serve(suite, f"{folder}/Packages.xz", index or packed)
        self.serve(suite, f"{folder}/by-hash/SHA256/{digest}", index or packed)
        listing = f"\n {digest} {len(packed)} {folder}/Packages.xz"
        self.serve(suite, "InRelease", self.signed(suite, self.release(suite, {"SHA256": listing})))

    def release(self, suite: str, more: dict[str, str]) -> str:
        """The text of a ``Release``; ``overrides[suite]`` changes a field, or with None drops it."""
        now = datetime.now(UTC)
        fields: dict[str, str | None] = {
            "Origin": "Debian",
            "Codename": suite,
            "Date": format_datetime(now - timedelta(hours=1)),
            "Valid-Until": format_datetime(now + timedelta(days=7)),
            "Acquire-By-Hash": "yes",
            **more,
            **self.overrides.get(suite, {}),
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items() if value is not None)

    def signed(self, suite: str, text: str, key: pysequoia.Tsk | None = None) -> bytes:
        signer = (key or self.keys[SUITES[suite]]).signer()
        return pysequoia.sign(signer, text.encode(), mode=pysequoia.SignatureMode.CLEAR)

    def serve(self, suite: str, path: str, data: bytes) -> None:
        self.server.answer(f"/{SUITES[suite]}/dists/{suite}/{path}", data)

    def served(self, suite: str, path: str) -> bytes:
        return self.server.answers[f"/{SUITES[suite]}/dists/{suite}/{path}"][0].body

    def remove(self, path: str) -> None:
        del self.server.answers[path]


@pytest.fixture
def debs() -> Debs:
    return Debs()


@pytest.fixture(scope="session")
def archive_keys() -> dict[str, pysequoia.Tsk]:
    return {name: pysequoia.Tsk.generate(f"{name} <archive@example.org>") for name in ("debian", "debian-security")}


@pytest.fixture
def archive(loopback, archive_keys: dict[str, pysequoia.Tsk], debs: Debs) -> FakeArchive:
    """An archive that holds the least that a base can be made from, published."""
    fake = FakeArchive(loopback, archive_keys, debs)
    fake.populate()
    fake.publish()
    return fake


@pytest.fixture
def make_fetcher(tmp_path: Path) -> Iterator[Callable[..., Fetcher]]:
    """Makes fetchers with a cache of their own, ``tmp_path/<name>``."""
    with httpx.Client() as client:
        yield lambda name="cache", offline=False: Fetcher(Cache(tmp_path / name), offline=offline, client=client)


@pytest.fixture
def own(make_fetcher: Callable[..., Fetcher]) -> Fetcher:
    return make_fetcher()
