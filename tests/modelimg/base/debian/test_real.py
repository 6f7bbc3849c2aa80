"""Bases from Debian's own archive, for both suites and both architectures: nothing here is made up.

The packages come through the cache that all tests share; what is made of them is made afresh.
"""

from __future__ import annotations

import json
import shutil
import struct
import tarfile
from collections.abc import Iterator

import docker
import httpx
import pytest

from modelimg.base.debian import DebianBase, build_base, resolve_packages
from modelimg.cache import Cache
from modelimg.fetch import Fetcher
from modelimg.oci.values import Platform

BASES = [("bookworm", "linux/amd64"), ("trixie", "linux/amd64"), ("bookworm", "linux/arm64"), ("trixie", "linux/arm64")]
EXPECTED = {"bookworm": ("3.11.2", "2.36"), "trixie": ("3.13.5", "2.41")}
MACHINES = {"amd64": 62, "arm64": 183}  # e_machine: EM_X86_64, EM_AARCH64
MANYLINUX = {
    "libc.so.6",
    "libdl.so.2",
    "libexpat.so.1",
    "libgcc_s.so.1",
    "libgomp.so.1",
    "libm.so.6",
    "libnsl.so.1",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
    "libz.so.1",
}
"""What a wheel may expect of a system, https://github.com/pypa/auditwheel, but for desktops; and OpenMP."""

BROKEN = {
    "_distutils_system_mod",
    "_ios_support",
    "_pyrepl",
    "asyncio",
    "curses",
    "dbm",
    "encodings",
    "multiprocessing",
}
"""Packages of the standard library with modules for other systems, for terminals or for Debian's packaging."""


@pytest.fixture(scope="module")
def real(shared_cache: Cache) -> Iterator[Fetcher]:
    """Downloads are shared, facts are not: a base of yesterday's code would prove nothing."""
    root = shared_cache.root.parent / "cache-debian"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (shared_cache.root / "blobs").mkdir(parents=True, exist_ok=True)
    (root / "blobs").symlink_to(shared_cache.root / "blobs", target_is_directory=True)
    with httpx.Client(follow_redirects=True) as client:
        yield Fetcher(Cache(root), client=client)


@pytest.fixture(scope="module", params=BASES, ids="-".join)
def base(request: pytest.FixtureRequest, real: Fetcher) -> DebianBase:
    suite, platform = request.param
    return build_base(resolve_packages(suite, Platform.parse(platform), real), real)


@pytest.fixture(scope="module")
def members(base: DebianBase) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(base.tar) as tar:
        return {member.name: member for member in tar}


def elf_files(base: DebianBase) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(base.tar) as tar:
        for member in tar:
            if member.isreg() and (data := tar.extractfile(member).read()).startswith(b"\x7fELF"):
                yield member.name, data


def needed(data: bytes) -> list[str]:
    """DT_NEEDED of a 64-bit little-endian ELF file (System V ABI, chapter 5)."""
    offset, entry_size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQ", data, offset + i * entry_size) for i in range(count)]
    loads = [(address, start) for kind, _, start, address, _, _ in headers if kind == 1]

    def position(address: int) -> int:
        base_address, start = max(pair for pair in loads if pair[0] <= address)
        return address - base_address + start

    found, strings = [], 0
    for kind, _, start, _, _, size in headers:
        if kind == 2:
            for at in range(start, start + size, 16):
                tag, value = struct.unpack_from("<QQ", data, at)
                if tag == 1:
                    found.append(value)
                elif tag == 5:
                    strings = position(value)
    return [data[strings + at : data.index(b"\0", strings + at)].decode() for at in found]


def test_it_has_the_suite_s_python_and_libc(base: DebianBase) -> None:
    assert (base.python, base.libc[1]) == EXPECTED[base.suite]


def test_every_library_that_a_file_links_to_is_there(base: DebianBase, members: dict[str, tarfile.TarInfo]) -> None:
    present = {name.rpartition("/")[2] for name in members}
    wanted = {library: name for name, data in elf_files(base) for library in needed(data)}
    assert len(wanted) > 10
    assert {library: name for library, name in wanted.items() if library not in present} == {}
    assert present >= MANYLINUX


def test_every_program_and_library_is_for_its_platform(base: DebianBase) -> None:
    machines = {struct.unpack_from("<H", data, 18)[0] for _, data in elf_files(base)}
    assert machines == {MACHINES[base.platform.architecture]}


def test_the_only_program_is_the_interpreter(base: DebianBase, members: dict[str, tarfile.TarInfo]) -> None:
    programs = [name for name, m in members.items() if name.startswith(("usr/bin/", "usr/sbin/")) and not m.isdir()]
    assert programs == ["usr/bin/python3", base.interpreter.lstrip("/")]
    names = {name.rpartition("/")[2] for name, member in members.items() if not member.isdir()}
    assert names & {"sh", "bash", "dash", "busybox", "dpkg", "apt", "apt-get", "perl", "ldconfig"} == set()


def test_no_entry_replaces_a_link_of_the_usr_merge(members: dict[str, tarfile.TarInfo]) -> None:
    for name in ("bin", "lib", "sbin"):
        assert (members[name].issym(), members[name].linkname) == (True, f"usr/{name}")
        assert not any(other.startswith(f"{name}/") for other in members)


def test_modes_are_plain_and_nothing_is_set_user_id(members: dict[str, tarfile.TarInfo]) -> None:
    assert {m.mode for m in members.values() if m.isreg()} == {0o644, 0o755}
    assert {m.mode for m in members.values() if m.isdir()} == {0o755, 0o1777, 0o700}
    assert all(m.isreg() or m.isdir() or m.issym() for m in members.values())


def test_every_link_ends_at_something(members: dict[str, tarfile.TarInfo]) -> None:
    def resolve(path: str, depth: int = 0) -> bool:
        done: list[str] = []
        parts = path.split("/")
        for number, part in enumerate(parts):
            if part == "..":
                done.pop()
                continue
            member = members.get("/".join([*done, part]))
            if member is None or depth > 20:
                return False
            if member.issym():
                return resolve("/".join([*done, *member.linkname.split("/"), *parts[number + 1 :]]), depth + 1)
            done.append(part)
        return True

    assert not any(m.linkname.startswith("/") for m in members.values() if m.issym())
    dangling = {name for name, m in members.items() if m.issym() and not resolve(name)}
    assert dangling == {"etc/mtab"}  # /proc is the container's


def test_licences_stay_and_documentation_goes(base: DebianBase, members: dict[str, tarfile.TarInfo]) -> None:
    files = {name for name, m in members.items() if m.isreg() and name.startswith("usr/share/doc/")}
    assert {name.rpartition("/")[2] for name in files} == {"copyright"}
    assert {f"usr/share/doc/{package.name}" for package in base.packages} <= members.keys()
    assert not any(name.startswith(("usr/share/man", "usr/share/info")) for name in members)


def test_scanners_find_every_package(base: DebianBase) -> None:
    with tarfile.open(base.tar) as tar:
        for package in base.packages:
            record = tar.extractfile(f"var/lib/dpkg/status.d/{package.name}").read().decode()
            assert f"Package: {package.name}\n" in record
            assert f"Version: {package.version}\n" in record
        assert b"VERSION_CODENAME=" + base.suite.encode() in tar.extractfile("usr/lib/os-release").read()


def test_it_is_as_small_as_we_say(base: DebianBase) -> None:
    assert 30_000_000 < base.size < 50_000_000


PROBE = """
import ctypes, importlib, json, locale, os, pkgutil, socket, sqlite3, ssl, sys, warnings, zoneinfo
warnings.simplefilter("ignore")
root, broken = os.path.dirname(os.__file__), []
for module in pkgutil.walk_packages([root], onerror=broken.append):
    name = module.name
    if name not in ("this", "antigravity") and not name.endswith("__main__") and "packages" not in name:
        try:
            importlib.import_module(name)
        except ImportError:
            broken.append(name)
folder = os.path.join(os.path.dirname(os.__file__), "lib-dynload")
names = sorted({name.split(".")[0] for name in os.listdir(folder)})
for name in names:
    importlib.import_module(name)
for library in ("libstdc++.so.6", "libgomp.so.1"):
    ctypes.CDLL(library)
try:
    os.execv("/bin/sh", ["sh"])
except FileNotFoundError:
    shell = False
facts = {
    "modules": names,
    "broken": sorted({name.partition(".")[0] for name in broken}),
    "python": sys.version.split()[0],
    "certificates": len(ssl.create_default_context().get_ca_certs()),
    "sqlite": sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0],
    "offset": str(zoneinfo.ZoneInfo("US/Eastern").utcoffset(__import__("datetime").datetime(2026, 1, 1))),
    "locale": locale.setlocale(locale.LC_ALL, ""),
    "https": socket.getservbyname("https"),
    "home": os.path.expanduser("~"),
    "uid": os.getuid(),
    "shell": shell,
    "python3": os.path.realpath("/usr/bin/python3"),
}
print(json.dumps(facts))
"""


def test_a_base_says_what_it_was_made_from(real: Fetcher) -> None:
    packages = resolve_packages("bookworm", Platform("linux", "amd64"), real)
    with tarfile.open(build_base(packages, real).tar) as tar:
        record = json.load(tar.extractfile("usr/share/modelimg/base.json"))
    assert {p["name"]: p["sha256"] for p in record["packages"]} == {p.name: p.sha256.hex for p in packages.packages}
    assert (record["suite"], record["platform"]) == ("bookworm", "linux/amd64")


@pytest.mark.engine
@pytest.mark.parametrize("suite", EXPECTED)
def test_every_extension_of_the_standard_library_works_in_a_container(suite: str, real: Fetcher) -> None:
    base = build_base(resolve_packages(suite, Platform("linux", "amd64"), real), real)
    client = docker.from_env()
    tag = f"modelimg-test-base:{suite}"
    changes = [f"ENV {item.replace('=', ' ', 1)}" for item in base.config.run.env]
    client.api.import_image_from_file(str(base.tar), repository="modelimg-test-base", tag=suite, changes=changes)
    try:
        out = client.containers.run(
            tag,
            [base.interpreter, "-c", PROBE],
            user="65532:65532",
            read_only=True,
            cap_drop=["ALL"],
            network_disabled=True,
            security_opt=["no-new-privileges"],
            remove=True,
        )
    finally:
        client.images.remove(tag)
        client.close()
    facts = json.loads(out)
    assert {"_ssl", "_sqlite3", "_ctypes", "_lzma", "_bz2", "_decimal", "_uuid"} <= set(facts.pop("modules"))
    assert set(facts.pop("broken")) <= BROKEN
    assert facts.pop("certificates") > 100
    assert facts == {
        "python": EXPECTED[suite][0],
        "sqlite": 42,
        "offset": "-1 day, 19:00:00",
        "locale": "C.UTF-8",
        "https": 443,
        "home": "/home/nonroot",
        "uid": 65532,
        "shell": False,
        "python3": base.interpreter,
    }
