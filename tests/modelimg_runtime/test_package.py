from __future__ import annotations

import hashlib
import json

import pytest

from modelimg_runtime import contract
from modelimg_runtime.errors import PackageUnreadable
from modelimg_runtime.package import open_package


@pytest.fixture
def package(tmp_path):
    """A package of two files, and a function that changes its manifest."""
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "model.joblib").write_bytes(b"model")
    (folder / "code" / "own.py").write_bytes(b"own")
    manifest = {
        "name": "demo",
        "version": "1",
        "model": {
            "file": "model.joblib",
            "format": "joblib",
            "estimator": "x.Y",
            "sha256": sha(b"model"),
            "globals": [],
        },
        "task": "other",
        "python": "3.11.2",
        "platforms": [],
        "schemas": {},
        "files": {"model.joblib": sha(b"model"), "code/own.py": sha(b"own")},
        "format_version": contract.FORMAT_VERSION,
    }

    def write(**changes):
        (folder / contract.MANIFEST).write_text(json.dumps(manifest | changes))
        return folder

    write.manifest = manifest
    return write


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_whole_package_verifies(package):
    open_package(package()).verify()


def test_a_changed_file_is_refused_by_name(package):
    folder = package()
    (folder / "code" / "own.py").write_bytes(b"other")
    with pytest.raises(PackageUnreadable, match=r"code/own\.py has sha256"):
        open_package(folder).verify()


def test_the_image_keeps_code_beside_the_model_and_it_is_checked_there(package):
    folder = package()
    (folder / "code").rename(folder.parent / "code")
    open_package(folder).verify()
    (folder.parent / "code" / "own.py").write_bytes(b"other")
    with pytest.raises(PackageUnreadable, match=r"code/own\.py"):
        open_package(folder).verify()
    (folder.parent / "code" / "own.py").unlink()
    with pytest.raises(PackageUnreadable, match=r"code/own\.py"):
        open_package(folder).verify()


def test_what_only_the_build_needs_may_be_absent(package):
    files = package.manifest["files"] | {"wheels/a.whl": sha(b""), "Dockerfile.j2": sha(b"")}
    folder = package(files=files, image={"template": "Dockerfile.j2"})
    open_package(folder).verify()
    (folder / "Dockerfile.j2").write_text("FROM changed")
    with pytest.raises(PackageUnreadable, match=r"Dockerfile\.j2"):
        open_package(folder).verify()


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "code/../../outside", ""])
def test_a_name_that_leaves_the_package_is_refused(package, name):
    folder = package(files={name: sha(b"outside")})
    (folder.parent / "outside").write_bytes(b"outside")
    with pytest.raises(PackageUnreadable):
        open_package(folder).verify()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format_version": 1}', '{"format_version": 2}', '{"format_version": "1"}']
)
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / contract.MANIFEST).write_text(text)
    with pytest.raises(PackageUnreadable):
        open_package(tmp_path)


def test_a_newer_format_says_so(package):
    with pytest.raises(PackageUnreadable, match="has format 2; this modelimg reads up to 1"):
        open_package(package(format_version=2))


def test_a_folder_without_a_manifest_is_no_package(tmp_path):
    with pytest.raises(PackageUnreadable, match=r"no model package here: modelimg\.json"):
        open_package(tmp_path)
