"""The tree of a base."""

from __future__ import annotations

import pytest

from modelimg.base.debian.extract import Unpacked
from modelimg.base.debian.tree import assemble_tree, is_kept
from modelimg.errors import BaseError
from modelimg.tar import Entry, make_directory, make_symlink, make_text

PYTHON = "/usr/bin/python3.11"


def packages(**more: list[Entry]) -> dict[str, Unpacked]:
    """The least, and more."""
    entries = {
        "python": [make_text("usr/bin/python3.11", "elf")],
        "certificates": [
            make_text("usr/share/ca-certificates/mozilla/b.crt", "B\n"),
            make_text("usr/share/ca-certificates/mozilla/Z.crt", "Z"),
            make_text("usr/share/ca-certificates/mozilla/a.crt", "A\n\n"),
        ],
        **more,
    }
    return {name: Unpacked(f"Package: {name}\n".encode(), tuple(items)) for name, items in entries.items()}


def tree(**more: list[Entry]) -> dict[str, Entry]:
    return {entry.path: entry for entry in assemble_tree(packages(**more), PYTHON)}


def text(entry: Entry) -> str:
    with entry.content.open() as stream:
        return stream.read().decode()


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("usr/share/doc/libc6/copyright", True),
        ("usr/share/doc/libc6", True),  # as a link to another package's folder
        ("usr/share/doc/libc6/changelog.gz", False),
        ("usr/share/doc/libc6/copyright.html", False),
        ("usr/share/doc/libc6/examples/copyright", False),
        ("usr/share/common-licenses/GPL-3", True),
        ("usr/share/man", False),
        ("usr/share/man/man1/x.1.gz", False),
        ("usr/share/manual", True),
        ("usr/bin/python3.11", True),
        ("usr/bin/python3.11-config", False),
        ("usr/bin/iconv", False),
        ("usr/sbin/ldconfig", False),
        ("usr/sbin", True),
        ("usr/lib/x86_64-linux-gnu/gconv/ISO8859-1.so", False),
        ("usr/lib/locale/C.utf8/LC_CTYPE", True),
        ("usr/share/zoneinfo/Europe/Berlin", True),
        ("usr/share/zoneinfo/right/Europe/Berlin", False),
        ("usr/share/zoneinfo/tzdata.zi", True),  # libstdc++ of C++20 reads it
        ("usr/lib/x86_64-linux-gnu/libmvec.so.1", False),
        ("usr/lib/x86_64-linux-gnu/libm.so.6", True),
        ("usr/lib/x86_64-linux-gnu/libexpatw.so.1.8.10", False),
        ("usr/lib/x86_64-linux-gnu/libexpat.so.1.8.10", True),
        ("usr/lib/aarch64-linux-gnu/libthread_db.so.1", False),
        ("usr/lib/x86_64-linux-gnu/libpthread.so.0", True),
        ("usr/lib/x86_64-linux-gnu/libnss_compat.so.2", False),
        ("usr/lib/x86_64-linux-gnu/libnss_dns.so.2", True),
        ("usr/lib/python3.11/turtle.py", False),
        ("usr/lib/python3.11/test/support/__init__.py", False),
        ("usr/lib/python3.11/unittest/case.py", True),
        ("usr/lib/python3.11/lib-dynload/_testcapi.cpython-311-x86_64-linux-gnu.so", False),
        ("usr/lib/python3.11/lib-dynload/_ctypes.cpython-311-x86_64-linux-gnu.so", True),
        ("etc/python3.11/sitecustomize.py", False),
        ("var/lock", False),
        ("var/lib", True),
    ],
)
def test_what_is_kept_of_the_packages(path: str, kept: bool) -> None:
    assert is_kept(path) is kept


def test_the_certificates_become_one_file_in_byte_order() -> None:
    made = tree()
    assert text(made["etc/ssl/certs/ca-certificates.crt"]) == "Z\nA\nB\n"
    assert not any(path.startswith("usr/share/ca-certificates") for path in made)


def test_every_parent_is_a_directory_of_its_own() -> None:
    made = tree(deep=[make_text("opt/a/b/c", "")])
    assert [made[path].kind for path in ("opt", "opt/a", "opt/a/b")] == ["directory"] * 3


def test_there_are_users_a_sticky_tmp_and_a_python() -> None:
    made = tree()
    assert [line.split(":")[0:3:2] for line in text(made["etc/passwd"]).splitlines()] == [
        ["root", "0"],
        ["nobody", "65534"],
        ["nonroot", "65532"],
    ]
    assert {made[path].mode for path in ("tmp", "var/tmp", "run/lock")} == {0o1777}
    assert made["usr/bin/python3"].target == "python3.11"
    assert {path for path in ("proc", "sys", "dev", "run") if made[path].kind == "directory"} == {
        "proc",
        "sys",
        "dev",
        "run",
    }


def test_the_links_of_the_usr_merge_are_there() -> None:
    links = {path: entry.target for path, entry in tree().items() if entry.kind == "symlink" and "/" not in path}
    assert links == {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib"}
    assert tree(libc=[make_text("usr/lib64/ld.so", "")])["lib64"].target == "usr/lib64"


def test_each_package_leaves_its_control_file_for_scanners() -> None:
    made = tree()
    records = {path for path in made if path.startswith("var/lib/dpkg/status.d/")}
    assert records == {f"var/lib/dpkg/status.d/{name}" for name in ("python", "certificates")}
    assert text(made["var/lib/dpkg/status.d/python"]) == "Package: python\n"


def test_two_packages_may_share_a_directory() -> None:
    assert tree(x=[make_directory("opt")], y=[make_directory("opt")])["opt"].kind == "directory"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"x": [make_text("opt/a", "")], "y": [make_text("opt/a", "")]}, "y and another package both hold opt/a"),
        ({"x": [make_text("opt", "")], "y": [make_directory("opt")]}, "y and another package both hold opt"),
        ({"x": [make_symlink("opt", "usr")], "y": [make_text("opt/a", "")]}, "opt/a would be written through opt"),
        ({"x": [make_text("lib/a", "")]}, "lib/a would be written through lib"),
        ({"x": [make_text("etc/passwd", "")]}, "a package holds etc/passwd, which modelimg makes itself"),
        ({"certificates": []}, "the packages hold no CA certificates"),
        ({"python": []}, "the packages hold no /usr/bin/python3.11"),
    ],
)
def test_packages_that_do_not_fit_together_are_refused(more: dict[str, list[Entry]], message: str) -> None:
    with pytest.raises(BaseError, match=message):
        tree(**more)
