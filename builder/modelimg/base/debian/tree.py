"""The file tree of a base: what is kept of its packages, and what is made by hand because no script is run."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from modelimg.base.debian.extract import Unpacked
from modelimg.errors import BaseError
from modelimg.tar import BytesContent, Entry, make_directory, make_file, make_symlink, make_text

CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"

NONROOT = 65532
"""User and group that images run as by habit since distroless; modelimg's do."""

_CERTIFICATES = "usr/share/ca-certificates/"
_UNWANTED: tuple[tuple[str, str], ...] = (
    # Licence texts stay: usr/share/doc/*/copyright, and usr/share/common-licenses that they refer to. A link between
    # two packages' folders stays too, because the copyright is at its end.
    (r"usr/share/doc/[^/]+/(?!copyright$).*", "documentation"),
    (
        r"usr/share/(man|info|lintian|bug|doc-base|gdb|gcc|binfmts|readline|dict|misc)(/.*)?",
        "for people and developers",
    ),
    (r"usr/lib/binfmt\.d(/.*)?", "for systemd"),
    (r"usr/share/(base-files|libc-bin)(/.*)?", "templates of maintainer scripts"),
    (r"etc/(update-motd\.d|skel|profile\.d|default|ca-certificates|issue|issue\.net)(/.*)?", "for log-ins and scripts"),
    (r"usr/s?bin/(?!python3\.[0-9]+$).*", "programs; the interpreter is the only one"),
    (r"usr/lib/[^/]+/gconv(/.*)?", "8 MB of iconv tables; Python has its own, and UTF-8 is built into libc"),
    (
        r"usr/lib/[^/]+/libmvec\.so\.1",
        "1 MB of vector mathematics for code made with -ffast-math; no manylinux policy lets a wheel rely on it",
    ),
    (r"usr/lib/[^/]+/libexpatw\.so\.1.*", "a second Expat, for UTF-16; Python has the first"),
    (r"usr/lib/[^/]+/lib(c_malloc_debug|memusage|pcprofile|thread_db)\.so.*", "for debuggers and profilers of C"),
    (r"usr/lib/[^/]+/libnss_(compat|hesiod)\.so\.2", "name services that our nsswitch.conf does not ask"),
    (r"usr/share/zoneinfo/(right|posix)(/.*)?", "second copies of every zone"),
    (r"usr/lib/python3\.[0-9]+/(test|idlelib|turtledemo|lib2to3|ensurepip|pydoc_data)(/.*)?", "not for servers"),
    (r"usr/lib/python3\.[0-9]+/turtle\.py", "draws with tkinter, which is a package of its own"),
    (
        r"usr/lib/python3\.[0-9]+/lib-dynload/(nis|_dbm|_gdbm|readline|_curses|_curses_panel)\.[^/]*",
        "their libraries are left out, see `suites.LEFT_OUT`",
    ),
    (r"usr/lib/python3\.[0-9]+/lib-dynload/(_test|_ctypes_test|_xxtestfuzz|xxlimited).*", "CPython's own tests"),
    (r"(etc|usr/lib)/python3\.[0-9]+/sitecustomize\.py", "tries to import a crash reporter at every start"),
    (r"var/(run|lock)", "links, made below"),
    (r"boot|usr/(games|src|include)|var/(backups|local|mail|spool|opt)(/.*)?", "empty, and nothing will fill them"),
)
"""Paths that are left out, and why."""

_UNWANTED_PATTERN = re.compile("|".join(f"(?:{pattern})" for pattern, _ in _UNWANTED))

_PASSWD = f"""\
root:x:0:0:root:/root:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
nonroot:x:{NONROOT}:{NONROOT}:nonroot:/home/nonroot:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\nnogroup:x:65534:\nnonroot:x:{NONROOT}:\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"


def is_kept(path: str) -> bool:
    """Whether a path of a package goes into a base."""
    return not _UNWANTED_PATTERN.fullmatch(path)


def assemble_tree(unpacked: Mapping[str, Unpacked], interpreter: str) -> list[Entry]:
    """One tree of all packages.

    Args:
        unpacked: by package name.
        interpreter: absolute path, ``/usr/bin/python3.11``.

    Returns:
        Entries in no order; every parent directory is among them.

    Raises:
        BaseError: two packages hold the same file, a file lies behind a link, the interpreter or the certificates
            are missing.
    """
    tree = _combined(unpacked)
    _add(tree, _usr_merge_links(tree))
    _add(tree, [_ca_bundle(tree)])
    _add(tree, _configuration(interpreter))
    _add(tree, _package_records(unpacked))
    tree = {path: entry for path, entry in tree.items() if not path.startswith(_CERTIFICATES.rstrip("/"))}
    if interpreter.lstrip("/") not in tree:
        raise BaseError(f"the packages hold no {interpreter}")
    _add_parents(tree)
    return list(tree.values())


def _combined(unpacked: Mapping[str, Unpacked]) -> dict[str, Entry]:
    tree: dict[str, Entry] = {}
    for name in sorted(unpacked):
        for entry in unpacked[name].entries:
            before = tree.setdefault(entry.path, entry)
            if before is not entry and {before.kind, entry.kind} != {"directory"}:
                raise BaseError(f"{name} and another package both hold {entry.path}")
    return tree


def _usr_merge_links(tree: Mapping[str, Entry]) -> list[Entry]:
    """``/lib`` → ``usr/lib`` and the like; ``/lib64`` only where the loader is there, which is not so on arm64."""
    names = ["bin", "lib", "sbin"] + ["lib64"] * any(path.startswith("usr/lib64/") for path in tree)
    return [make_symlink(name, f"usr/{name}") for name in names]


def _ca_bundle(tree: Mapping[str, Entry]) -> Entry:
    """All of Mozilla's certificates in one file, as ``update-ca-certificates`` writes it where all are enabled."""
    found = sorted(path for path in tree if path.startswith(_CERTIFICATES) and path.endswith(".crt"))
    if not found:
        raise BaseError("the packages hold no CA certificates")
    parts = []
    for path in found:
        content = tree[path].content
        assert content is not None, path  # noqa: S101 - only a file has this suffix
        with content.open() as stream:
            parts.append(stream.read(tree[path].size).rstrip(b"\n") + b"\n")
    bundle = b"".join(parts)
    return make_file(CA_BUNDLE.lstrip("/"), BytesContent(bundle), len(bundle))


def _configuration(interpreter: str) -> list[Entry]:
    """What maintainer scripts, an installer or a container runtime would see to."""
    directories = [make_directory(path) for path in ("dev", "home/nonroot", "proc", "run", "sys")]
    sticky = [make_directory(path, 0o1777) for path in ("tmp", "var/tmp", "run/lock")]
    return [
        *directories,
        *sticky,
        make_text("etc/passwd", _PASSWD),
        make_text("etc/group", _GROUP),
        make_text("etc/nsswitch.conf", _NSSWITCH),
        make_text("etc/timezone", "Etc/UTC\n"),
        make_symlink("etc/localtime", "../usr/share/zoneinfo/Etc/UTC"),
        make_symlink("etc/mtab", "../proc/self/mounts"),
        make_symlink("usr/bin/python3", posixpath.basename(interpreter)),
        make_symlink("usr/lib/ssl/cert.pem", f"../../..{CA_BUNDLE}"),  # OpenSSL's default, without SSL_CERT_FILE too
        make_symlink("var/lock", "../run/lock"),
        make_symlink("var/run", "../run"),
    ]


def _package_records(unpacked: Mapping[str, Unpacked]) -> list[Entry]:
    """Control files where distroless has them, so that scanners (Trivy, Syft, Grype) find the packages."""
    return [
        make_text(f"var/lib/dpkg/status.d/{name}", part.control.decode("utf-8").rstrip("\n") + "\n")
        for name, part in unpacked.items()
    ]


def _add(tree: dict[str, Entry], entries: Iterable[Entry]) -> None:
    """Ours win over a package's directory or link of the same path; a package's file is never hidden."""
    for entry in entries:
        before = tree.get(entry.path)
        if before is not None and before.kind == "file":
            raise BaseError(f"a package holds {entry.path}, which modelimg makes itself")
        tree[entry.path] = entry


def _add_parents(tree: dict[str, Entry]) -> None:
    for path in list(tree):
        parent = posixpath.dirname(path)
        while parent:
            if parent not in tree:
                tree[parent] = make_directory(parent)
            elif tree[parent].kind != "directory":
                raise BaseError(f"{path} would be written through {parent}, which is no directory")
            parent = posixpath.dirname(parent)
