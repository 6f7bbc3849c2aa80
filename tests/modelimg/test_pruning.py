"""What wheels lose, and that nothing which is imported or read goes with it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg.base.resolve import ResolvedBase
from modelimg.fetch import Fetcher
from modelimg.layers import layer_contents
from modelimg.oci.values import Digest, Platform
from modelimg.pack.package import read_package
from modelimg.plan import PlannedLayer, make_plan
from modelimg.pruning import Pruning, content_digest, share_libraries
from modelimg.tar import BytesContent, Entry, SliceContent, make_file
from modelimg_runtime import contract

SITE = "modelimg/venv/lib/python3.11/site-packages"


def dropped(paths: Iterable[str], files: dict[str, bytes] | None = None, pruning: Pruning = Pruning()) -> set[str]:  # noqa: B008 - frozen
    return set(pruning.dropped(list(paths), lambda path: (files or {}).get(path, b"")))


@pytest.mark.parametrize(
    "path",
    [
        "pkg/tests/test_x.py",
        "pkg/tests/data/big.csv",
        "tests/__init__.py",
        "pkg/_fast.pyx",
        "pkg/include/pkg.h",
        "pkg/lib/libpkg.a",
        "pkg/conftest.py",
        "pkg/sub/meson.build",
        "numpy/_core/_simd.cpython-311-x86_64-linux-gnu.so",
        "numpy/core/_simd.cpython-310-aarch64-linux-gnu.so",
        "numpy/_core/_multiarray_tests.cpython-311-x86_64-linux-gnu.so",
        "scipy/ndimage/_cytest.cpython-311-x86_64-linux-gnu.so",
        "scipy/_lib/_test_ccallback.cpython-311-x86_64-linux-gnu.so",
        "sklearn/datasets/images/china.jpg",
        "pkg/__init__.pyi",
    ],
)
def test_what_nobody_reads_goes(path: str) -> None:
    assert dropped([path]) == {path}


@pytest.mark.parametrize(
    "path",
    [
        "tests.py",
        "pkg/tests.py",
        "pkg/testing/__init__.py",
        "pkg/_testing.py",
        "pkg/test_tools.py",
        "pkg/latest/__init__.py",
        "django/test/client.py",  # no module that pytest would collect: part of the interface
        "pkg/conftest_helpers.py",
        "pkg/_simd.cpython-311-x86_64-linux-gnu.so",
        "numpy/_core/_umath_tests.cpython-311-x86_64-linux-gnu.so",
        "numpy/_core/_multiarray_umath.cpython-311-x86_64-linux-gnu.so",
        "numpy/f2py/__init__.py",
        "numpy/distutils/misc_util.py",
        "numpy/testing/_private/utils.py",
        "pandas/_libs/testing.cpython-311-x86_64-linux-gnu.so",
        "scipy/stats/_page_trend_test.py",
        "pkg/_hypothesis_test.cpython-311-x86_64-linux-gnu.so",
        "sklearn/datasets/images/__init__.py",
        "sklearn/datasets/data/iris.csv",
        "sklearn/datasets/descr/iris.rst",
        "pkg/images/logo.jpg",
        "pkg/py.typed",
        "pkg-1.0.dist-info/METADATA",
        "pkg-1.0.dist-info/licenses/LICENSE",
        "pkg-1.0.dist-info/sboms/pkg.cdx.json",
        "pkg/lib/libpkg.so.1",
        "pkg/examples/__init__.py",
    ],
)
def test_what_somebody_may_import_or_read_stays(path: str) -> None:
    assert dropped([path]) == set()


def test_a_folder_named_test_goes_with_all_that_is_in_it_where_it_holds_tests() -> None:
    tests = {"joblib/test/__init__.py", "joblib/test/test_disk.py", "joblib/test/data/a.pkl"}
    others = {"joblib/testing.py", "joblib/disk.py", "joblib/contest/test_x.py", "test/support.py"}
    assert dropped(tests | others) == tests


@pytest.mark.parametrize(
    "source",
    [
        b"import lazy_loader as lazy\n__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)\n",
        b"from ._vendored import attach_stub\n",
        b"stub = Path(__file__).with_suffix('.pyi').read_text()\n",
    ],
)
def test_stubs_stay_where_a_module_reads_them(source: bytes) -> None:
    files = {"pkg/__init__.py": source, "pkg/__init__.pyi": b"", "pkg/sub/io.pyi": b"", "pkg/sub/io.py": b""}
    assert dropped(files, files) == set()


def test_stubs_go_where_they_are_only_spoken_of() -> None:
    files = {"pkg/__init__.py": b"# keep in step with __init__.pyi\n", "pkg/__init__.pyi": b"", "pkg/_c.pyi": b""}
    assert dropped(files, files) == {"pkg/__init__.pyi", "pkg/_c.pyi"}


def test_only_modules_beside_a_stub_are_read() -> None:
    read: list[str] = []
    Pruning().dropped(["a.py", "a.pyi", "b.py", "c.pyi", "tests/d.py", "tests/d.pyi"], lambda p: read.append(p) or b"")
    assert read == ["a.py"]


NOTHING = Pruning(folders=(), test_folders=(), files=(), suffixes=("\0",), stubs=False, symbols=False, shared=False)


@given(st.lists(st.text("abtes_./yihco", min_size=1, max_size=20), unique=True, max_size=20))
def test_each_rule_can_be_left_out_and_what_goes_was_there(paths: list[str]) -> None:
    assert dropped(paths, pruning=NOTHING) == set()
    assert dropped(paths) <= set(paths)
    assert dropped(paths) == dropped(reversed(paths))


# ---- libraries that two wheels bring -----------------------------------------------------------------------


def library(path: str, data: bytes) -> Entry:
    return make_file(f"{SITE}/{path}", BytesContent(data), len(data))


def shared(*entries: Entry) -> dict[str, str]:
    """Links that are made, without the prefix."""
    made = list(share_libraries(entries))
    assert {entry.path for entry in made} == {entry.path for entry in entries}
    return {e.path.removeprefix(f"{SITE}/"): e.target for e in made if e.kind == "symlink"}


def test_a_library_with_the_same_name_and_bytes_becomes_a_link_to_the_first() -> None:
    entries = [library(f"{folder}.libs/libgfortran-040039e1.so.5.0.0", b"x") for folder in ("scipy", "numpy", "zzz")]
    assert shared(*entries) == {
        "scipy.libs/libgfortran-040039e1.so.5.0.0": "../numpy.libs/libgfortran-040039e1.so.5.0.0",
        "zzz.libs/libgfortran-040039e1.so.5.0.0": "../numpy.libs/libgfortran-040039e1.so.5.0.0",
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a.libs/libx-1.so", b"x"), ("b.libs/libx-1.so", b"y")),
        (("a.libs/libx-1.so", b"x"), ("b.libs/libx-1.so", b"xx")),
        (("a.libs/libx-1.so", b"x"), ("b.libs/libx-2.so", b"x")),
        (("a/_speed.so", b"x"), ("b/_speed.so", b"x")),  # extension modules: each has its own state
        (("a.libs/readme.txt", b"x"), ("b.libs/readme.txt", b"x")),
    ],
    ids=["bytes", "size", "name", "extension modules", "no library"],
)
def test_anything_else_stays_a_file(first: tuple[str, bytes], second: tuple[str, bytes]) -> None:
    assert shared(library(*first), library(*second)) == {}


def test_a_file_s_digest_is_that_of_its_own_bytes(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"before" + b"it" + b"behind")
    assert content_digest(make_file("x", SliceContent(spool, 6, 2), 2)) == Digest(hashlib.sha256(b"it").hexdigest())


# ---- a real environment --------------------------------------------------------------------------------------

IMPORT_ALL = """
import contextlib, importlib, io, json, os, sys, warnings
warnings.simplefilter("ignore")
site, known, names, imported = sys.argv[1], set(sys.stdin.read().split()), set(), []
sys.argv = ["x"]
sys.path.insert(0, site)
for folder, folders, files in os.walk(site):
    folders[:] = sorted(name for name in folders if not name.endswith((".libs", ".dist-info")))
    parts = [] if folder == site else os.path.relpath(folder, site).split(os.sep)
    for name in files:
        stem = name.split(".")[0]
        module = parts + [stem] * (stem != "__init__")
        if name.endswith((".py", ".so")) and all(map(str.isidentifier, module)) and not {"tests", "__main__"} & {*module}:
            names.add(".".join(module))
for name in sorted(names - known):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(BaseException):  # Windows, optional distributions: what counts is that the same fail
            importlib.import_module(name)
            imported.append(name)
exec("from numpy import *")
print(json.dumps(imported))
"""


def write_environment(package: Path, pruning: Pruning | None, fetcher: Fetcher, root: Path) -> Path:
    """Unpack the example's wheels as they are in the image; returns ``site-packages``."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    platform = Platform("linux", "amd64")
    base = ResolvedBase("base", Digest("0" * 64), "scratch", platform, python, "/usr/bin/python3", "glibc", "2.36")
    plan = make_plan(read_package(package), base, created="1980-01-01T00:00:00Z")
    layer: PlannedLayer = replace(plan.layers[0], pruning=pruning)
    with ExitStack() as stack:
        for entry in layer_contents(plan, layer, fetcher, stack):
            path = root / entry.path
            if entry.kind != "directory":
                path.parent.mkdir(parents=True, exist_ok=True)
            if entry.kind == "symlink":
                path.symlink_to(entry.target)
            elif entry.kind == "file":
                with entry.content.open() as content:
                    path.write_bytes(content.read(entry.size))
    return root / contract.VENV_PATH.lstrip("/") / f"lib/python{python}/site-packages"


def run_isolated(*arguments: object, stdin: str = "") -> str:
    """On this Python's standard library, without anything that is installed here."""
    command = [sys.executable, "-I", "-S", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment(breast_cancer: Path, fetcher: Fetcher, tmp_path_factory: pytest.TempPathFactory):
    def write(name: str, pruning: Pruning | None) -> Path:
        return write_environment(breast_cancer, pruning, fetcher, tmp_path_factory.mktemp(name))

    return {"whole": write("whole", None), "pruned": write("pruned", Pruning())}


def size(site: Path) -> int:
    return sum(
        path.stat().st_size
        for path in site.rglob("*")
        if path.is_file() and not path.is_symlink() and path.suffix != ".pyc"
    )


def test_every_module_that_could_be_imported_still_can(environment: dict[str, Path], show) -> None:
    after = json.loads(run_isolated("-c", IMPORT_ALL, environment["pruned"]))
    others = json.loads(run_isolated("-c", IMPORT_ALL, environment["whole"], stdin=" ".join(after)))
    gone = {name.rpartition(".")[2] for name in others if not name.startswith("joblib.test.")}
    assert gone <= {
        "_ctest",
        "_cytest",
        "_multiarray_tests",
        "_operand_flag_tests",
        "_rational_tests",
        "_simd",
        "_struct_ufunc_tests",
        "_test_ccallback",
        "_test_deprecation_call",
        "_test_deprecation_def",
        "_test_internal",
        "_test_multivariate",
        "conftest",
        "test",
    }
    assert len(after) > 1000
    whole, pruned = size(environment["whole"]), size(environment["pruned"])
    show(
        f"{len(after)} modules are imported, {len(others)} for tests are gone; {whole / 1e6:.1f} MB are {pruned / 1e6:.1f} MB"
    )


SELFTEST = """
import os, sys
sys.path[:0] = sys.argv[1:3]
os.environ["MODELIMG_MODEL_DIR"] = sys.argv[3]
from modelimg_runtime.__main__ import main
sys.argv = ["modelimg_runtime", "selftest"]
main()
"""


def test_the_pruned_environment_predicts_the_same(environment: dict[str, Path], breast_cancer: Path) -> None:
    import modelimg_runtime

    runtime = Path(modelimg_runtime.__file__).parents[1]
    out = run_isolated("-c", SELFTEST, environment["pruned"], runtime, breast_cancer)
    assert json.loads(out)["passed"] is True


def test_numpy_and_scipy_share_their_fortran_runtime(environment: dict[str, Path]) -> None:
    links = {path.name: path for path in environment["pruned"].glob("*.libs/*") if path.is_symlink()}
    assert any(name.startswith("libgfortran") for name in links)
    for link in links.values():
        assert link.resolve().is_relative_to(environment["pruned"])
        (whole,) = environment["whole"].glob(f"{link.parent.name}/{link.name}")
        assert not whole.is_symlink()
    load = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print(open('/proc/self/maps').read())"
    maps = run_isolated("-c", load, *environment["pruned"].glob("scipy.libs/libscipy_openblas*"))
    assert "numpy.libs/libgfortran" in maps  # through the link, with NumPy not loaded
