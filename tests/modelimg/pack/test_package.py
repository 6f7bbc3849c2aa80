"""Packages as folders: written whole or not at all, and read back only unchanged."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from modelimg.errors import PackageError, UsageError
from modelimg.pack.package import file_digests, read_package, write_file, writing_package
from modelimg_runtime import contract


def manifest(files, **changes):
    model = contract.ModelFile("model.pkl", "pickle", "a.B", "0" * 64, ())
    known = {"name": "m", "version": "1", "model": model, "task": "other", "python": "3.11.7", "platforms": ()}
    return contract.PackageManifest(**known, schemas={}, files=files, **changes)


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "package"
    write_file(folder, "model.pkl", b"bytes")
    write_file(folder, "code/a.py", "x = 1\n")
    write_file(folder, "metrics.json", "{}\n")
    write_file(folder, contract.MANIFEST, manifest(file_digests(folder)).to_json())
    return folder


def test_a_package_reads_back_with_its_manifest_and_files(package):
    found = read_package(package)
    assert found.path == package
    assert found.manifest.name == "m"
    assert found.json("metrics.json") == {}
    assert found.read("code/a.py") == b"x = 1\n"


def test_reading_a_package_imports_neither_pandas_nor_scikit_learn(package):
    check = (
        "import sys; from modelimg.pack import read_package; read_package(sys.argv[1]);"
        "print(sorted({'pandas', 'pandera', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check, str(package)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def change(folder):
    (folder / "model.pkl").write_bytes(b"bytEs")


def remove(folder):
    (folder / "code" / "a.py").unlink()


def add(folder):
    (folder / "extra.txt").write_text("x")


def link(folder):
    (folder / "model.pkl").unlink()
    (folder / "model.pkl").symlink_to(folder / "code" / "a.py")


def no_manifest(folder):
    (folder / contract.MANIFEST).unlink()


def garbage(folder):
    (folder / contract.MANIFEST).write_text("{")


def newer(folder):
    data = json.loads((folder / contract.MANIFEST).read_text())
    (folder / contract.MANIFEST).write_text(json.dumps({**data, "format_version": 99}))


def lacking(folder):
    data = json.loads((folder / contract.MANIFEST).read_text())
    del data["python"]
    (folder / contract.MANIFEST).write_text(json.dumps(data))


def escaping(folder):
    (folder / contract.MANIFEST).write_text(manifest({"../secret": "0" * 64}).to_json())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (change, "is not the file that was packed"),
        (remove, "is missing"),
        (add, "was added"),
        (link, "is not the file that was packed"),
        (no_manifest, "has no modelimg.json"),
        (garbage, "no model package that this modelimg reads"),
        (newer, "format 99"),
        (lacking, "lacks or misnames a field"),
        (escaping, "outside of the package"),
    ],
)
def test_a_changed_package_is_refused_and_the_message_names_what(package, damage, says):
    damage(package)
    with pytest.raises(PackageError, match=says):
        read_package(package)


def test_a_missing_folder_is_no_package(tmp_path):
    with pytest.raises(PackageError, match="is no folder"):
        read_package(tmp_path / "nowhere")


def test_files_that_the_package_has_not_and_files_that_are_no_json_are_refused(package):
    found = read_package(package)
    with pytest.raises(PackageError, match=r"has no provenance\.json"):
        found.json("provenance.json")
    with pytest.raises(PackageError, match="is not JSON"):
        found.json("code/a.py")


def test_an_interrupted_write_leaves_what_was_there(package):
    with pytest.raises(RuntimeError, match="power cut"), writing_package(package, overwrite=True) as fresh:
        write_file(fresh, "model.pkl", b"other")
        raise RuntimeError("power cut")
    assert read_package(package).read("model.pkl") == b"bytes"
    assert [path.name for path in package.parent.iterdir()] == ["package"]


def test_a_package_replaces_an_older_package_and_an_empty_folder(package, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    for out in (package, empty, tmp_path / "deep" / "new"):
        with writing_package(out, overwrite=True) as fresh:
            write_file(fresh, "model.pkl", b"other")
        assert [path.name for path in out.iterdir()] == ["model.pkl"]


def test_a_folder_of_other_files_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files"), writing_package(tmp_path, overwrite=True):
        pass
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_package_stays_where_overwriting_is_not_allowed(package):
    with pytest.raises(UsageError, match="exists"), writing_package(package, overwrite=False):
        pass


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_or_link_is_never_replaced(tmp_path, kind):
    out = tmp_path / "out"
    out.write_text("x") if kind == "file" else out.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is no folder"), writing_package(out, overwrite=True):
        pass
