"""The same inputs give the same image: whoever builds, wherever, whenever, and with whichever Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelimg.base.deb import resolve_debian_base
from modelimg.base.debian import resolve_packages, write_lock
from modelimg.cache import Cache
from modelimg.fetch import Fetcher
from modelimg.oci.files import unpack
from modelimg.oci.layout import open_archive
from modelimg.oci.values import DEFAULT_PLATFORM

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Identity:
    """What two builds of the same inputs have in common."""

    image_id: str
    manifest_digest: str
    layers: tuple[str, ...]

    @classmethod
    def of(cls, metadata: str) -> Identity:
        (entry,) = json.loads(metadata)["images"]
        return cls(entry["image_id"], entry["manifest_digest"], tuple(entry["layers"]))


@pytest.fixture(scope="module")
def lock(fetcher: Fetcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian may publish an update between two builds."""
    path = tmp_path_factory.mktemp("lock") / "base.lock.toml"
    write_lock(path, [resolve_packages("bookworm", DEFAULT_PLATFORM, fetcher)])
    return path


def cold_cache(shared: Cache, folder: Path) -> Path:
    """Downloads, but nothing that was made of them: hard links, which a build only reads or replaces."""
    folder.mkdir()
    facts = [path.read_text() for kind in ("layer", "compressed") for path in (shared.root / "facts" / kind).iterdir()]
    made = {
        json.loads(text)["digest"].removeprefix("sha256:")
        for _, _, text in (fact.partition("\n") for fact in facts)
        if text
    }
    for blob in (shared.root / "blobs/sha256").rglob("*"):
        if blob.is_file() and blob.name not in made:
            copy = folder / "blobs/sha256" / blob.parent.name / blob.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(blob, copy)
    return folder


@pytest.fixture
def build(breast_cancer: Path, lock: Path, tmp_path: Path) -> Callable[..., Identity]:
    """Build to an archive: ``build(cache, cwd=…, env=…, before=…)``."""

    def run(
        cache: Path, *, cwd: Path = ROOT, env: dict[str, str] | None = None, before: tuple[str, ...] = ()
    ) -> Identity:
        out = tmp_path / "image.tar"
        done = subprocess.run(
            [
                *before,
                *(sys.executable, "-m", "modelimg", "build", str(breast_cancer), "--engine", "embedded", "--no-gate"),
                *("--base-lock", str(lock), "--output", f"oci-archive:{out}", "-t", "same:1", "--json"),
                *("--bytecode", "imported"),
            ],
            cwd=cwd,
            env={**os.environ, "MODELIMG_CACHE_DIR": str(cache), **(env or {})},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        identity = Identity.of(done.stdout)
        assert str(open_archive(out).artifact(None).descriptor.digest) == identity.manifest_digest
        return identity

    return run


@pytest.fixture(scope="module")
def reference(cli, breast_cancer: Path, lock: Path, tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """An ordinary build."""
    out = tmp_path_factory.mktemp("reference") / "image.tar"
    done = cli(
        *("build", breast_cancer, "--engine", "embedded", "--no-gate", "--base-lock", lock, "--bytecode", "imported"),
        *("--output", f"oci-archive:{out}", "-t", "same:1", "--json"),
    )
    assert done.code == 0, done.err
    return Identity.of(done.out)


HOSTS = {
    "another folder, home, umask, time zone, language and hash seed": (
        ("sh", "-c", 'umask 077; exec "$@"', "-"),
        {"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "LC_ALL": "C", "PYTHONHASHSEED": "4242"},
    ),
    "another user": (("unshare", "--user", "--map-user=1234", "--map-group=1234"), {"PYTHONHASHSEED": "1"}),
    "one CPU": (("taskset", "--cpu-list", "0"), {"TZ": "America/St_Johns"}),
}


@pytest.mark.parametrize("host", HOSTS)
def test_another_host_gives_the_same_image_from_nothing(
    build, reference: Identity, shared_cache: Cache, tmp_path: Path, host: str
) -> None:
    before, variables = HOSTS[host]
    home = tmp_path / "a home"
    home.mkdir()
    cache = cold_cache(shared_cache, tmp_path / "cache")
    cold = build(cache, cwd=home, env={"HOME": str(home), **variables}, before=before)
    assert cold == reference
    assert build(cache, cwd=home, env={"HOME": str(home), **variables}, before=before) == reference


def test_what_does_differ_is_seen(build, reference: Identity, shared_cache: Cache) -> None:
    """The comparison itself: another moment of creation is another image with the same layers."""
    later = build(shared_cache.root, env={"SOURCE_DATE_EPOCH": "1700000000"})
    assert later.layers == reference.layers
    assert later.image_id != reference.image_id
    assert later.manifest_digest != reference.manifest_digest


SWITCH_ROOT = """
set -e
root=$1; shift
mount --rbind "$root" "$root"
for one in $BINDS /proc /dev; do mkdir -p "$root$one"; mount --rbind "$one" "$root$one"; done
mkdir -p "$root/old"
cd "$root"
pivot_root . old
cd /
exec "$@"
"""


def test_another_python_gives_the_same_image_from_nothing(
    breast_cancer: Path, lock: Path, reference: Identity, shared_cache: Cache, fetcher: Fetcher, tmp_path: Path
) -> None:
    """Debian trixie's Python 3.13, in a root filesystem that is one of our own bases."""
    trixie = resolve_debian_base("deb:trixie", DEFAULT_PLATFORM, fetcher)
    root, packages, out = tmp_path / "root", tmp_path / "packages", tmp_path / "out"
    unpack(trixie.image.layers, root)
    out.mkdir()
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--target", str(packages)]
    platform = ["--python-version", "3.13", "--python-platform", "x86_64-manylinux_2_40", "--only-binary", ":all:"]
    subprocess.run([*uv, *platform, *dependencies()], check=True)
    cache = cold_cache(shared_cache, tmp_path / "cache")
    binds = [ROOT, breast_cancer.parent, lock.parent, packages, cache, out]
    command = [
        *("/usr/bin/python3.13", "-m", "modelimg", "build", str(breast_cancer), "--engine", "embedded", "--no-gate"),
        *("--base-lock", str(lock), "--output", f"oci-archive:{out}/image.tar", "-t", "same:1", "--json"),
        *("--bytecode", "imported", "--offline"),
    ]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", SWITCH_ROOT, "-", str(root), *command],
        env={
            "PATH": os.environ["PATH"],
            "BINDS": " ".join(map(str, binds)),
            "PYTHONPATH": f"{ROOT}/builder:{packages}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "MODELIMG_CACHE_DIR": str(cache),
            "HOME": "/root",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert Identity.of(done.stdout) == reference


def dependencies() -> list[str]:
    """Of modelimg, as its pyproject.toml states them."""
    import tomllib

    stated: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [requirement for requirement in stated if not requirement.startswith("uv>")]


def test_two_caches_share_nothing_but_downloads(shared_cache: Cache, reference: Identity, tmp_path: Path) -> None:
    """That a cold cache is cold: none of the reference's layers is in it, compressed or not."""
    cache = Cache(cold_cache(shared_cache, tmp_path / "cache"))
    held = {path.name for path in (cache.root / "blobs").rglob("*") if path.is_file()}
    own = {layer.removeprefix("sha256:") for layer in reference.layers[1:]}
    assert own & held == set()
    assert len(held) > 30
    shutil.rmtree(cache.root)
