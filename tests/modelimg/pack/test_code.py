"""The user's own modules: found, imported as they will be in the image, and read for their imports."""

from __future__ import annotations

import sys

import pytest

from modelimg.errors import ModelFileError, UsageError
from modelimg.pack.code import CodeModule, Import, find_code, importable, imports


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shop_features.py").write_text("x = 1\n")
    package = tmp_path / "shop_package"
    for name in (
        "__init__.py",
        "a.py",
        "data.json",
        "a.pyc",
        ".hidden.py",
        "sub/b.py",
        "tests/test_a.py",
        "__pycache__/a.pyc",
    ):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("shop_")]:
        del sys.modules[name]


def test_files_and_packages_are_found_by_the_name_they_are_imported_by(folder):
    modules = find_code(["shop_package", "shop_features.py"], folder)
    assert [module.name for module in modules] == ["shop_features", "shop_package"]
    assert list(modules[0].files()) == ["shop_features.py"]


def test_byte_code_tests_and_hidden_files_are_left_out(folder):
    assert list(CodeModule("shop_package", folder / "shop_package").files()) == [
        "shop_package/__init__.py",
        "shop_package/a.py",
        "shop_package/data.json",
        "shop_package/sub/b.py",
    ]


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (["nowhere.py"], "no .py file and no folder"),
        (["shop_package/data.json"], "no .py file and no folder"),
        (["my-features.py"], "cannot be imported by the name 'my-features'"),
        (["shop_features.py", "./shop_features.py"], "two modules of the name shop_features"),
    ],
)
def test_an_entry_that_cannot_be_a_module_is_refused(folder, entries, says):
    (folder / "my-features.py").write_text("")
    with pytest.raises(UsageError, match=says):
        find_code(entries, folder)


def test_modules_are_importable_inside_and_the_path_is_restored_after(folder):
    before = list(sys.path)
    with importable(find_code(["shop_features.py", "shop_package"], folder)):
        assert sys.modules["shop_features"].x == 1
        assert sys.path != before
    assert sys.path == before


def test_a_module_that_fails_to_import_is_named_with_its_error(folder):
    (folder / "shop_broken.py").write_text("1 / 0\n")
    with (
        pytest.raises(ModelFileError, match=r"shop_broken\.py cannot be imported: ZeroDivisionError"),
        importable(find_code(["shop_broken.py"], folder)),
    ):
        pass


def test_another_module_of_the_same_name_that_is_in_use_is_refused(folder):
    (folder / "json.py").write_text("")
    with (
        pytest.raises(ModelFileError, match="but the module json in use is"),
        importable(find_code(["json.py"], folder)),
    ):
        pass


def test_absolute_imports_are_found_wherever_they_stand_and_marked_where_they_are_required():
    source = b"""
import os, numpy.linalg as la
from sklearn.base import BaseEstimator
from . import sibling
from .sibling import x
try:
    import orjson
except ImportError:
    orjson = None
def late():
    from scipy import stats
"""
    assert list(imports([("f.py", source)])) == [
        Import("os", "f.py", True),
        Import("numpy.linalg", "f.py", True),
        Import("sklearn.base", "f.py", True),
        Import("orjson", "f.py", False),
        Import("scipy", "f.py", False),
    ]


@pytest.mark.parametrize("source", [b"def (", b"\0", b"x = '\xff'"])
def test_a_file_that_is_no_python_is_named(source):
    with pytest.raises(ModelFileError, match=r"f\.py is no Python"):
        list(imports([("f.py", source)]))
