"""Images that are small but whole: bases with a Python and a C library to find, in real tars, and where they are kept."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from modelimg.oci.blob import LAYER, LAYER_GZIP, Blob, BytesBlob, Descriptor
from modelimg.oci.image import History, ImageConfig, RunConfig
from modelimg.oci.layout import write_archive, write_layout
from modelimg.oci.manifest import Artifact, Image, ImageIndex
from modelimg.oci.values import Digest, Platform, Reference
from registry_server import ScriptedRegistry

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")

Content = bytes | str | None
"""Of a path in a tree: a file's bytes, where a symbolic link points, or None for a folder."""


def tar_of(tree: Mapping[str, Content]) -> bytes:
    """A tar as other builders write them: in the order given, owned by anyone, parents left out."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.mtime, info.mode = 1_700_000_000, 0o755
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return out.getvalue()


def image_of(
    *trees: Mapping[str, Content],
    run: RunConfig | None = None,
    platform: Platform = AMD64,
    codec: Literal["gzip", "none"] = "gzip",
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
    return Image.assemble(config, [_layer(tar, codec) for tar in tars])


def _layer(tar: bytes, codec: str) -> Blob:
    data = gzip.compress(tar, mtime=0) if codec == "gzip" else tar
    return BytesBlob(Descriptor.of(LAYER_GZIP if codec == "gzip" else LAYER, data), data)


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
