"""Unpacking layers and reading files of images, hostile ones included."""

from __future__ import annotations

import io
import os
import random
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg.errors import DigestMismatch, ImageError
from modelimg.oci.blob import BytesBlob, FileBlob
from modelimg.oci.files import ImageFiles, unpack

PARTS = st.text("ab.é\udcff x", min_size=1, max_size=3).filter(lambda part: part not in (".", ".."))
Tree = dict[str, Any]
TREES = st.recursive(
    st.binary(max_size=600),
    lambda below: st.dictionaries(PARTS | st.just("n" * 120), below, max_size=4),
    max_leaves=12,
).map(lambda tree: tree if isinstance(tree, dict) else {"f": tree})


def flatten(tree: Tree, above: str = "") -> dict[str, bytes | None]:
    """Paths of folders (None) and files."""
    flat: dict[str, bytes | None] = {}
    for name, value in tree.items():
        path = f"{above}/{name}" if above else name
        flat[path] = value if isinstance(value, bytes) else None
        if isinstance(value, dict):
            flat |= flatten(value, path)
    return flat


def on_disk(root: Path) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for path in root.rglob("*"):
        found[str(path.relative_to(root))] = None if path.is_dir() else path.read_bytes()
    return found


def in_index(files: ImageFiles) -> dict[str, bytes | None]:
    return {path[1:]: files.read(path) for path in files.names("/")}


@pytest.fixture(scope="session")
def fresh() -> Iterator[Callable[[], Path]]:
    """Folders that are new, for tests that Hypothesis calls often."""
    with tempfile.TemporaryDirectory() as folder:
        yield lambda: Path(tempfile.mkdtemp(dir=folder))


@given(
    tree=TREES,
    format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    codec=st.sampled_from(["none", "gzip", "zstd"]),
    prefix=st.sampled_from(["", "./", "/"]),
    folders=st.booleans(),
    dice=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_a_layer_is_read_and_unpacked_as_the_standard_library_reads_it(
    tree: Tree, format: int, codec: str, prefix: str, folders: bool, dice: random.Random, make_tar, make_blob, fresh
) -> None:
    flat = flatten(tree)
    written = [(prefix + path, data) for path, data in flat.items() if folders or data is not None]
    dice.shuffle(written)
    data = make_tar(*written, format=format)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = {
            info.name.removeprefix("./").removeprefix("/"): None if info.isdir() else tar.extractfile(info).read()
            for info in tar
        }
    for path in list(expected):
        above = path.split("/")[:-1]
        expected |= {"/".join(above[:depth]): None for depth in range(1, len(above) + 1)}
    layers = [make_blob(data, codec)]
    root = fresh()
    unpack(layers, root)
    assert on_disk(root) == in_index(ImageFiles(layers)) == expected
    shutil.rmtree(root)


Layer = tuple[Tree, list[str]]


@st.composite
def stacks(draw: st.DrawFn) -> list[Layer]:
    """Layers of few names, so that they meet, each with the paths of its whiteouts."""
    names = st.sampled_from("abc")
    trees = st.recursive(st.binary(max_size=3), lambda below: st.dictionaries(names, below, max_size=3), max_leaves=8)
    tree = trees.map(lambda tree: tree if isinstance(tree, dict) else {"a": tree})
    hidden = st.lists(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=3)
    opaque = st.lists(st.lists(names, max_size=2).map(lambda parts: "/".join([*parts, ".wh..wh..opq"])), max_size=1)
    return draw(st.lists(st.tuples(tree, st.tuples(hidden, opaque).map(lambda two: two[0] + two[1])), max_size=4))


def stacked(layers: list[Layer]) -> dict[str, bytes | None]:
    """The specification in other words: a layer's whiteouts first, and then what it adds."""
    state: dict[str, bytes | None] = {}

    def drop(path: str, itself: bool) -> None:
        for known in list(state):
            if known.startswith(f"{path}/" if path else "") or (itself and known == path):
                del state[known]

    for tree, whiteouts in layers:
        for path in whiteouts:
            opaque = path.endswith(".wh..wh..opq")
            drop(path.removesuffix(".wh..wh..opq").rstrip("/") if opaque else path, itself=not opaque)
        for path, data in flatten(tree).items():
            if data is not None:
                drop(path, itself=True)
            state[path] = data
    return state


@given(stack=stacks(), dice=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=200)
def test_layers_and_whiteouts_add_up_in_whatever_order_a_layer_has_them(
    stack: list[Layer], dice: random.Random, make_tar, make_blob, fresh
) -> None:
    layers = []
    for tree, whiteouts in stack:
        marks = [
            path if path.endswith(".wh..wh..opq") else "/".join([*path.split("/")[:-1], f".wh.{path.split('/')[-1]}"])
            for path in whiteouts
        ]
        members = [*flatten(tree).items(), *((mark, b"") for mark in marks)]
        dice.shuffle(members)
        layers.append(make_blob(make_tar(*members), "none"))
    root = fresh()
    unpack(layers, root)
    assert on_disk(root) == in_index(ImageFiles(layers)) == stacked(stack)
    shutil.rmtree(root)


def test_links_are_followed_inside_the_image(make_tar, make_blob) -> None:
    files = ImageFiles(
        [
            make_blob(
                make_tar(("usr/lib/libc.so.6", b"old"), ("lib", "usr/lib"), ("etc/alternatives/py", "/usr/bin/py"))
            ),
            make_blob(make_tar(("usr/lib/libc.so.6", b"new"), ("usr/bin/py", "../../../../lib/./libc.so.6"))),
        ]
    )
    assert files.resolve("/etc/alternatives/py") == "/usr/lib/libc.so.6"
    assert files.read("lib/libc.so.6") == b"new"
    assert files.resolve("/") == "/"
    assert files.exists("/usr/../lib/")
    assert files.names("/lib") == ["/usr/lib/libc.so.6"]


def test_what_is_not_there_is_none(make_tar, make_blob) -> None:
    members = [("file", b"x"), ("a", "b"), ("b", "a"), ("dangling", "nowhere"), ("folder", None)]
    files = ImageFiles([make_blob(make_tar(*members))])
    for path in ("/nothing", "/file/below", "/file/..", "/a", "/dangling", "/folder/x"):
        assert (files.resolve(path), files.read(path), files.exists(path)) == (None, None, False)
    assert files.read("/folder") is None
    assert files.exists("/folder")
    assert files.names("/nothing") == files.names("/file") == []


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_a_layer_inside_an_archive_is_read_where_it_lies(codec: str, make_tar, make_blob, tmp_path: Path) -> None:
    blob = make_blob(make_tar(("first", b"1" * 5000), ("second", b"2"), ("third", "second")), codec)
    path = tmp_path / "archive"
    path.write_bytes(b"before" + blob.data + make_tar(("behind", b"")))
    layers = [FileBlob(blob.descriptor, path, 6)]
    files = ImageFiles(layers)
    assert files.names("/") == ["/first", "/second", "/third"]
    assert files.read("/third") == b"2"
    unpack(layers, tmp_path / "root")
    assert (tmp_path / "root/third").read_bytes() == b"2"


def test_a_hard_link_is_another_name_of_what_the_file_was_then(make_tar, make_blob, hard_link, tmp_path: Path) -> None:
    layers = [
        make_blob(make_tar(("a", b"old"), hard_link("b", "/a"), hard_link("a", "a"), ("l", "nowhere"))),
        make_blob(make_tar(("a", b"new"), hard_link("c", "./b"), hard_link("folder/m", "l"))),
    ]
    unpack(layers, tmp_path)
    files = ImageFiles(layers)
    assert [files.read(name) for name in "abc"] == [(tmp_path / name).read_bytes() for name in "abc"]
    assert [files.read(name) for name in "abc"] == [b"new", b"old", b"old"]
    assert (tmp_path / "b").samefile(tmp_path / "c")
    assert (tmp_path / "folder/m").readlink() == Path("nowhere")


def test_a_folder_takes_the_place_of_a_link_and_a_file_goes_through_it(make_tar, make_blob, tmp_path: Path) -> None:
    lower = make_blob(make_tar(("usr/lib/libc", b""), ("lib", "usr/lib"), ("run", "/var/run")))
    through = make_blob(make_tar(("lib/new", b""), ("run/lock/x", b"")))
    unpack([lower, through], tmp_path / "through")
    assert (tmp_path / "through/lib").is_symlink()
    assert on_disk(tmp_path / "through").keys() >= {"usr/lib/new", "var/run/lock/x"}
    unpack([lower, make_blob(make_tar(("lib", None), ("lib/new", b"")))], tmp_path / "over")
    assert not (tmp_path / "over/lib").is_symlink()
    assert set(on_disk(tmp_path / "over")) >= {"lib/new", "usr/lib/libc"}


def test_a_layer_does_not_hide_its_own(make_tar, make_blob, tmp_path: Path) -> None:
    lower = make_tar(("a", None), ("a/old", b""), ("b", b"old"))
    upper = make_tar(
        ("a", None), (".wh.a", b""), ("b", b"new"), (".wh.b", b""), (".wh..wh..opq", b""), (".wh..wh.plnk", b"")
    )
    unpack([make_blob(lower), make_blob(upper)], tmp_path)
    assert on_disk(tmp_path) == {"a": None, "b": b"new"}


def special(name: str, type: bytes = tarfile.REGTYPE, mode: int = 0o644, mtime: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = type, mode, mtime
    return info


def test_modes_and_times_are_kept_and_privileges_are_not(make_tar, make_blob, tmp_path: Path) -> None:
    layer = make_tar(
        special("tmp", tarfile.DIRTYPE, 0o1777, 5),
        special("closed", tarfile.DIRTYPE, 0o055, 6),
        ("closed/link", "/nowhere"),
        special("closed/file", mode=0o6751, mtime=7),
        special("secret", mode=0o000, mtime=2**33 - 1),
    )
    before = os.umask(0o077)
    try:
        unpack([make_blob(layer)], tmp_path / "root")
    finally:
        os.umask(before)
    facts = {p.name: p.lstat() for p in (tmp_path / "root").rglob("*")}
    assert {name: oct(stat.S_IMODE(s.st_mode)) for name, s in facts.items() if name != "link"} == {
        "tmp": "0o1777",
        "closed": "0o755",
        "file": "0o751",
        "secret": "0o400",
    }
    assert {name: s.st_mtime for name, s in facts.items()} == {
        "tmp": 5,
        "closed": 6,
        "link": 1_000_000_000,
        "file": 7,
        "secret": 2**33 - 1,
    }
    assert {s.st_uid for s in facts.values()} == {os.getuid()}


@pytest.mark.parametrize("mtime", ["-5", "99999999999999999999", "inf"])
def test_a_time_that_no_file_system_holds_is_moved(mtime: str, make_tar, make_blob, tmp_path: Path) -> None:
    info = special("file")
    info.pax_headers = {"mtime": mtime}
    unpack([make_blob(make_tar(info))], tmp_path)
    assert 0 <= (tmp_path / "file").stat().st_mtime <= 2**33


def test_devices_and_fifos_are_left_out_but_hide_what_was_there(make_tar, make_blob, tmp_path: Path) -> None:
    lower = make_tar(("dev/null", b"a file"), ("dev/zero", b"a file"))
    upper = make_tar(
        special("dev/null", tarfile.CHRTYPE), special("dev/zero", tarfile.FIFOTYPE), special("dev/sda", tarfile.BLKTYPE)
    )
    unpack([make_blob(lower), make_blob(upper)], tmp_path)
    assert on_disk(tmp_path) == {"dev": None}


def link(name: str, target: str) -> tuple[str, str]:
    return name, target


DEEP = "/".join("d" * 400)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([("../evil", b"")], "'../evil' in a layer leads upwards"),
        ([("a/../../evil", b"")], "leads upwards"),
        ([("a/..", None)], "leads upwards"),
        ([("/../evil", b"")], "leads upwards"),
        ([("a", b""), ("a/b", b"")], "'a/b' lies inside something that is no folder"),
        ([("a", b""), ("l", "a"), ("l/b", b"")], "'l/b' lies inside something that is no folder"),
        ([("a", "b"), ("b", "a"), ("a/x", b"")], "'a/x' lies inside .* links in a circle"),
        ([("a", "a/a"), ("a/x", b"")], "links in a circle"),
        ([(".wh..", b"")], "whiteout '.wh..' names nothing"),
        ([("a/.wh...", b"")], "whiteout 'a/.wh...' names nothing"),
        ([(".wh.", b"")], "whiteout '.wh.' names nothing"),
        ([("./", "elsewhere")], "symlink in the place of the root"),
        ([(".", b"")], "file in the place of the root"),
        ([(f"{DEEP}/x", b"")], "more than 256 folders deep"),
        ([("n" * 300, b"")], "'nnn.*' cannot be unpacked: File name too long"),
        ([("s", "t" * 5000)], "'s' cannot be unpacked: File name too long"),
        ([("s", "")], "'s' cannot be unpacked: No such file"),
    ],
)
def test_a_hostile_or_odd_tar_is_refused_by_name(members, why: str, make_tar, make_blob, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    with pytest.raises(ImageError, match=why):
        unpack([make_blob(make_tar(*members))], tmp_path / "deep/er/root")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "outside"]
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["root"]
    assert outside.read_text() == "untouched"
    shutil.rmtree(tmp_path / "deep")


@pytest.mark.parametrize("target", ["../../outside", "/../outside", "nowhere", "folder", "", ".", "loop/x"])
def test_a_hard_link_to_what_is_no_file_of_the_image_is_refused(
    target: str, make_tar, make_blob, hard_link, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_text("untouched")
    layer = make_blob(make_tar(("folder", None), ("loop", "loop"), hard_link("h", target)))
    with pytest.raises(ImageError, match=r"hard link 'h' leads to|leads upwards"):
        unpack([layer], tmp_path / "root")
    with pytest.raises(ImageError, match=r"hard link 'h' leads to|leads upwards"):
        ImageFiles([layer]).resolve("h")


def test_nothing_is_written_through_a_link_that_leads_out(make_tar, make_blob, hard_link, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    root = tmp_path / "root"
    lower = [("absolute", str(outside)), ("relative", "../outside"), ("file", str(outside / "file")), ("dots", "../..")]
    upper = [
        ("absolute/evil", b"x"),
        ("relative/evil", b"x"),
        ("dots/evil", b"x"),
        ("file", b"x"),
        hard_link("again", "dots"),
        ("again/evil2", b"x"),
        ("relative/.wh.file", b""),
        ("absolute/.wh..wh..opq", b""),
        ("/etc/passwd", b"x"),
    ]
    for layers in ([make_tar(*lower, *upper)], [make_tar(*lower), make_tar(*upper)]):
        unpack([make_blob(layer) for layer in layers], root)
        assert [path.name for path in outside.iterdir()] == ["file"]
        assert (outside / "file").read_text() == "untouched"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]
        inside = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
        within = str(outside).lstrip("/")
        assert inside == {f"{within}/evil", "outside/evil", "evil", "evil2", "file", "etc/passwd"}
        shutil.rmtree(root)


def test_random_hostile_tars_stay_inside_and_can_be_removed(
    make_tar, make_blob, hard_link, tmp_path: Path, show: Callable[[str], None]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    dice = random.Random(7)
    names = ["a", "b", "outside", "file", str(outside), "etc", ".", ".wh.a", ".wh..wh..opq"]

    def path(upwards: float) -> str:
        return "/".join(".." if dice.random() < upwards else dice.choice(names) for _ in range(dice.randint(1, 4)))

    def member() -> Any:
        kind = dice.randrange(5)
        if kind == 0:
            return hard_link(path(0.02), path(0.1))
        return (path(0.02), [b"evil", None, "../../outside", path(0.5)][kind - 1])

    unpacked = refused = 0
    for number in range(300):
        layers = [make_blob(make_tar(*(member() for _ in range(dice.randint(1, 4)))), "none") for _ in range(2)]
        root = tmp_path / f"deep/{number}"
        try:
            unpack(layers, root)
            unpacked += 1
        except ImageError:
            refused += 1
        assert sorted(each.name for each in tmp_path.iterdir()) == ["deep", "outside"]
        assert [each.name for each in (tmp_path / "deep").iterdir()] == [str(number)]
        assert [(each.name, each.read_text()) for each in outside.iterdir()] == [("file", "untouched")]
        shutil.rmtree(root)
    assert min(unpacked, refused) > 30
    show(f"{unpacked} hostile tars unpacked inside, {refused} refused")


def test_only_an_empty_folder_is_unpacked_into(make_tar, make_blob, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ImageError, match="is not empty"):
        unpack([make_blob(make_tar(("a", b"")))], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("codec", ["none", "gzip", "zstd"])
def test_a_layer_with_a_flipped_byte_is_never_used(codec: str, make_tar, make_blob, tmp_path: Path) -> None:
    blob = make_blob(make_tar(("a", bytes(range(256)) * 40)), codec)
    for number, place in enumerate((len(blob.data) // 3, len(blob.data) - 1)):
        data = bytearray(blob.data)
        data[place] ^= 1
        damaged = BytesBlob(blob.descriptor, bytes(data))
        with pytest.raises(DigestMismatch):
            unpack([damaged], tmp_path / str(number))
        with pytest.raises(DigestMismatch):
            ImageFiles([damaged]).resolve("/")


def test_a_layer_of_an_unknown_kind_is_refused(make_tar, make_blob, tmp_path: Path) -> None:
    blob = make_blob(make_tar(("a", b"")))
    odd = BytesBlob(replace(blob.descriptor, media_type="application/x-sparse"), blob.data)
    with pytest.raises(ImageError, match="application/x-sparse"):
        unpack([odd], tmp_path)
