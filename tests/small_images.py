"""Images that are small but whole: real tars, bases with a Python and a C library to find, and where they are kept."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelimg.oci.blob import BytesBlob, Descriptor, read_blob
from modelimg.oci.compression import Codec, compress, decompressed, media_type
from modelimg.oci.image import EPOCH, History, ImageConfig, RunConfig
from modelimg.oci.layout import write_archive, write_layout
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from modelimg.oci.values import Digest, Platform, Reference
from registry_server import ScriptedRegistry

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")

Content = bytes | str | None
"""Of a path in a tree: a file's bytes, where a symbolic link points, or None for a folder."""


def write_tar(*members: tuple[str, Content] | tarfile.TarInfo, format: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar as other builders write them: in the order given, owned by anyone, parents left out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            info = tarfile.TarInfo(name)
            info.mtime = 1_000_000_000
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, content, 0o777
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return out.getvalue()


def tar_of(tree: Mapping[str, Content]) -> bytes:
    """A tar of a tree."""
    return write_tar(*tree.items())


def write_blob(tar: bytes, codec: Codec = "gzip") -> BytesBlob:
    """A layer of a tar."""
    out = io.BytesIO()
    done = compress([tar], out, codec)
    return BytesBlob(Descriptor(media_type(codec), done.digest, done.size), out.getvalue())


def write_image(*tars: bytes, codec: Codec = "gzip", platform: str = "linux/amd64", **run: Any) -> Image:
    """An image of tars, made at the epoch; ``run`` is how it runs."""
    config = ImageConfig(
        platform=Platform(*platform.split("/")),
        run=RunConfig(**run),
        diff_ids=tuple(Digest.of(tar) for tar in tars),
        history=tuple(History(f"layer {number}", created=EPOCH) for number, _ in enumerate(tars)),
    )
    return Image.assemble(config, [write_blob(tar, codec) for tar in tars])


def image_of(
    *trees: Mapping[str, Content],
    run: RunConfig | None = None,
    platform: Platform = AMD64,
    codec: Codec = "gzip",
    history: tuple[History, ...] | None = None,
) -> Image:
    """An image with a layer for each tree."""
    tars = [tar_of(tree) for tree in trees]
    config = ImageConfig(
        platform=platform,
        run=run or RunConfig(),
        diff_ids=tuple(Digest.of(tar) for tar in tars),
        history=tuple(History(f"step {n}") for n in range(len(tars))) if history is None else history,
        created="2024-05-06T07:08:09Z",
    )
    return Image.assemble(config, [write_blob(tar, codec) for tar in tars])


def with_layer(image: Image, tree: Mapping[str, Content]) -> Image:
    """The image with one more layer on top, a plain tar."""
    tar = tar_of(tree)
    config = replace(
        image.config,
        diff_ids=(*image.config.diff_ids, Digest.of(tar)),
        history=(*image.config.history, History("COPY")),
    )
    return Image.assemble(config, [*image.layers, write_blob(tar, "none")])


def libc_of(version: str) -> bytes:
    """As much of a C library as says its version."""
    said = f"GNU C Library (Debian GLIBC {version}-9+deb12u4) stable release version {version}.\n"
    return b"\x7fELF" + bytes(60) + said.encode()


def python_tree(
    python: str = "3.11",
    *,
    folder: str = "usr/bin",
    glibc: str = "2.36",
    machine: str = "x86_64",
    usrmerge: bool = True,
) -> dict[str, Content]:
    """The files of a base with a Python; ``usrmerge`` makes /lib a link, as Debian has it."""
    lib = "usr/lib" if usrmerge else "lib"
    return {
        "usr": None,
        folder: None,
        f"{folder}/python{python}": b"\x7fELF no program",
        f"{folder}/python3": f"python{python}",
        lib: None,
        **({"lib": "usr/lib"} if usrmerge else {}),
        f"{lib}/{machine}-linux-gnu/libc.so.6": libc_of(glibc),
    }


def python_base(
    python: str = "3.11",
    *above: Mapping[str, Content],
    env: tuple[str, ...] = ("PATH=/usr/bin:/bin",),
    labels: Mapping[str, str] | None = None,
    platform: Platform = AMD64,
    working_dir: str = "",
    ports: tuple[str, ...] = (),
    **tree: object,
) -> Image:
    """A base with a Python; more layers go above its own."""
    machine = {"machine": platform.machine}
    run = RunConfig(env=env, labels=labels or {}, working_dir=working_dir, exposed_ports=ports)
    return image_of(python_tree(python, **{**machine, **tree}), *above, run=run, platform=platform)  # type: ignore[arg-type]


OLD_BASE = python_base(env=("PATH=/usr/bin:/bin", "OLD=1"), labels={"maintainer": "old"}, working_dir="/old")
NEW_BASE = python_base(
    "3.11",
    {"etc/issue": b"newer"},
    glibc="2.41",
    env=("PATH=/new/bin", "NEW=1"),
    labels={"maintainer": "new", "flavour": "plain"},
    ports=("9000/tcp",),
)
"""The same Python in a base that differs in all the rest: what a rebase goes from and to."""


def everything_of(artifact: Artifact) -> Any:
    """All bytes of an image or an index, its layers' included."""
    if isinstance(artifact, ImageIndex):
        return artifact.data, [everything_of(image) for image in artifact.images]
    return artifact.manifest_data, artifact.config_data, [read_blob(layer) for layer in artifact.layers]


def tars_of(image: Image) -> list[bytes]:
    """The layers, decompressed."""
    tars = []
    for layer in image.layers:
        with decompressed(layer) as stream:
            tars.append(stream.read())
    return tars


def files_in(folder: Path) -> dict[str, bytes]:
    """Relative path → bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files_of_tar(tar: bytes | Path) -> dict[str, bytes]:
    """Name → bytes."""
    data = tar.read_bytes() if isinstance(tar, Path) else tar
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name: archive.extractfile(info).read() for info in archive if info.isfile()}  # type: ignore[union-attr]


def stored(server: ScriptedRegistry, name: str, artifact: Artifact, *tags: str) -> Digest:
    """Put an image or an index into a registry's storage, past its API."""
    if isinstance(artifact, ImageIndex):
        for image in artifact.images:
            stored(server, name, image)
        server.storage.add_manifest(name, artifact.descriptor.media_type, artifact.data, *tags)
        return artifact.descriptor.digest
    for blob in artifact.blobs:
        with blob.open() as stream:
            server.storage.add_blob(name, stream.read())
    server.storage.add_manifest(name, artifact.manifest.media_type, artifact.manifest_data, *tags)
    return artifact.descriptor.digest


def in_layout(artifact: Artifact, path: Path, tag: str | None = None) -> str:
    """Write a layout; returns its name."""
    write_layout(artifact, path, tag)
    return f"oci:{path}" + (f":{tag}" if tag else "")


def in_archive(artifact: Artifact, path: Path, *names: str) -> str:
    """Write an archive; returns its name."""
    write_archive(artifact, path, [Reference.parse(name) for name in names])
    return f"oci-archive:{path}"
