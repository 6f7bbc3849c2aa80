"""A model package in miniature, for tests that plan and lay out without any download; a cache and a registry to harm."""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelimg.base.resolve import ResolvedBase
from modelimg.cache import Cache
from modelimg.fetch import Fetcher
from modelimg.oci.blob import LAYER, Descriptor, LazyBlob
from modelimg.oci.files import unpack
from modelimg.oci.image import History, ImageConfig, RunConfig
from modelimg.oci.manifest import Image
from modelimg.oci.values import Platform
from modelimg.pack.package import ModelPackage, read_package
from modelimg.plan import BuildPlan, make_plan
from modelimg.tar import make_directory, make_text, write_tar
from modelimg_runtime import contract
from registry_server import ScriptedRegistry


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache of the test's own, empty."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def own(cache: Cache) -> Iterator[Fetcher]:
    """Fetches into the test's own cache."""
    with Fetcher(cache) as fetcher:
        yield fetcher


@pytest.fixture
def offline(cache: Cache) -> Fetcher:
    """Finds what is in the test's own cache, and nothing else."""
    return Fetcher(cache, offline=True)


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    """A registry in memory, empty."""
    server = ScriptedRegistry()
    yield server
    server.close()


def write_wheel(folder: Path, name: str, files: dict[str, bytes]) -> Path:
    """A sound pure-Python wheel of version 1.0."""
    members = {
        **files,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{name}-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        rows = []
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{member},sha256={digest},{len(data)}\n")
        record = zipfile.ZipInfo(f"{name}-1.0.dist-info/RECORD")  # without the clock, which a plain name would bring in
        archive.writestr(record, "".join(rows) + f"{record.filename},,\n")
    return path


@pytest.fixture
def base(tmp_path: Path) -> ResolvedBase:
    """A base as it comes out of resolving, with one small layer behind it."""
    tar = tmp_path / "base.tar"
    with tar.open("wb") as stream:
        files = [make_directory("usr"), make_directory("usr/bin"), make_text("usr/bin/python3.11", "no program\n")]
        made = write_tar(files, stream)
    run = RunConfig(env=("PATH=/usr/bin:/bin", "LANG=C.UTF-8"))
    config = ImageConfig(Platform("linux", "amd64"), run, (made.digest,), (History("the base"),))
    return ResolvedBase(
        name="deb:bookworm",
        digest=config.digest,
        reference="scratch",
        platform=Platform("linux", "amd64"),
        python="3.11.2",
        interpreter="/usr/bin/python3.11",
        libc="glibc",
        libc_version="2.36",
        run=run,
        tar=made.digest,
        image=Image.assemble(config, [LazyBlob(Descriptor(LAYER, made.digest, made.size), lambda: tar)]),
    )


@pytest.fixture
def write_package(tmp_path: Path) -> Callable[..., ModelPackage]:
    """Write a package: ``wheels`` maps a distribution to its files, ``files`` adds files, the rest goes to the manifest."""

    def write(
        folder: str = "package",
        *,
        wheels: dict[str, dict[str, bytes]] | None = None,
        files: dict[str, bytes] | None = None,
        provenance: dict[str, object] | None = None,
        metrics: dict[str, object] | None = None,
        **manifest: Any,
    ) -> ModelPackage:
        path = tmp_path / folder
        (path / contract.WHEELS_DIR).mkdir(parents=True)
        lock = 'lock-version = "1.0"\ncreated-by = "test"\n'
        if not wheels:
            wheels = {"alpha": {"alpha/__init__.py": b"x = 1\n", "alpha/tests/test_alpha.py": b""}}
        for name, members in wheels.items():
            wheel = write_wheel(path / contract.WHEELS_DIR, name, members)
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            lock += f'[[packages]]\nname = "{name}"\nversion = "1.0"\n'
            lock += f'wheels = [{{path = "wheels/{wheel.name}", hashes = {{sha256 = "{digest}"}}}}]\n'
        contents = {
            "model.joblib": b"the model",
            contract.serving_lock("linux/amd64"): lock.encode(),
            contract.INPUT_SCHEMA: b"{}",
            contract.OUTPUT_SCHEMA: b"{}",
            contract.METRICS: json.dumps(metrics or {"test": {"accuracy": 0.1 + 0.2}}).encode(),
            contract.PROVENANCE: json.dumps(provenance or {}).encode(),
            **(files or {}),
        }
        for name, data in contents.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        every = sorted(f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file())
        model = contract.ModelFile("model.joblib", "joblib", "sklearn.dummy.DummyClassifier", "0" * 64, ())
        value = contract.PackageManifest(
            name="tiny",
            version="1.0",
            model=model,
            task="classification",
            python="3.11.7",
            platforms=("linux/amd64",),
            schemas={"input": contract.INPUT_SCHEMA, "output": contract.OUTPUT_SCHEMA},
            files={name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in every},
        )
        (path / contract.MANIFEST).write_text(replace(value, **manifest).to_json())
        return read_package(path)

    return write


@pytest.fixture
def plan(write_package: Callable[..., ModelPackage], base: ResolvedBase) -> BuildPlan:
    """The smallest package on the small base."""
    return make_plan(write_package(), base, tags=["tiny:1"], created="2026-01-02T03:04:05Z")


@pytest.fixture(scope="session")
def rootfs(bookworm: ResolvedBase) -> Iterator[Path]:
    """Its files, in a folder that every user of this host may walk to, unlike those of pytest."""
    assert bookworm.image is not None
    with tempfile.TemporaryDirectory(prefix="modelimg-test-") as folder:
        Path(folder).chmod(0o755)
        unpack(bookworm.image.layers, Path(folder, "root"))
        yield Path(folder, "root")
