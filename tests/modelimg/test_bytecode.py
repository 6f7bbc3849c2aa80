"""Byte code by a real base's interpreter: the same however it is made, and used by that interpreter."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import modelimg_runtime
from compiling import NAMES, SETS, frame, read_entries
from modelimg.base.deb import resolve_debian_base
from modelimg.base.resolve import ResolvedBase
from modelimg.bytecode import Bare, bytecode_entries, bytecode_obstacle, make_bytecode, select_sources
from modelimg.errors import EngineError, LayerError
from modelimg.fetch import Fetcher
from modelimg.oci.blob import LAYER, Descriptor, FileBlob
from modelimg.oci.manifest import Image
from modelimg.oci.values import Digest, Platform
from modelimg.plan import PlannedLayer, make_plan
from modelimg.pruning import Pruning
from modelimg.sandbox import run_in_rootfs
from modelimg.tar import (
    BytesContent,
    Entry,
    FileContent,
    Spool,
    make_directory,
    make_file,
    make_symlink,
    make_text,
    write_tar,
)

SITE = "modelimg/venv/lib/python3.11/site-packages"
CACHE = "modelimg/__pycache__"
SUM = "X = 1\n\n\ndef f(a):\n    return a + X\n"
STANDARD = ["json", "json.decoder", "encodings.utf_8", "os", "email.mime.text", "no_such", "numpy", "json.nothing"]


@pytest.fixture(scope="module")
def sources() -> list[Entry]:
    """The runtime, some hundred modules of pandas, and some that are made up."""
    found = [make_text(f"{SITE}/{name}.py", text) for name, text in {"names": NAMES, "sets": SETS, "empty": ""}.items()]
    for package, prefix in ((modelimg_runtime, "modelimg/runtime"), (pd, SITE)):
        root = Path(str(package.__file__)).parent
        files = sorted(path for path in root.rglob("*.py") if "tests" not in path.parts)[:150]
        found += [
            make_file(f"{prefix}/{path.relative_to(root.parent).as_posix()}", FileContent(path), path.stat().st_size)
            for path in files
        ]
    return found


@pytest.fixture(scope="module")
def made(bookworm: ResolvedBase, sources: list[Entry], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Path → bytes, by one process."""
    path = tmp_path_factory.mktemp("spool") / "spool"
    with path.open("wb") as stream:
        return read_entries(list(make_bytecode(bookworm, sources, STANDARD, Spool(stream, path), processes=1)))


def test_every_module_has_its_file_where_python_looks_for_it(made: dict[str, bytes], sources: list[Entry]) -> None:
    assert len(sources) > 150
    own = {f"{CACHE}/{entry.path.removesuffix('.py')}.cpython-311.pyc" for entry in sources}
    standard = {"json/__init__", "json/decoder", "encodings/utf_8", "os", "email/mime/text"}
    assert made.keys() == own | {f"{CACHE}/usr/lib/python3.11/{name}.cpython-311.pyc" for name in standard}


def test_only_the_standard_librarys_source_is_looked_at_again(made: dict[str, bytes]) -> None:
    flags = {path.startswith(f"{CACHE}/usr/"): int.from_bytes(data[4:8], "little") for path, data in made.items()}
    assert flags == {False: 0b01, True: 0b11}
    kinds = {(path.startswith(f"{CACHE}/usr/"), data[4]) for path, data in made.items()}
    assert kinds == {(False, 0b01), (True, 0b11)}


@pytest.mark.parametrize(("processes", "order"), [(2, 1), (3, 2), (7, 3)])
def test_how_the_work_is_shared_out_changes_no_byte(
    processes: int, order: int, made: dict[str, bytes], bookworm: ResolvedBase, sources: list[Entry], spool: Spool
) -> None:
    shuffled, names = list(sources), list(STANDARD)
    random.Random(order).shuffle(shuffled)
    random.Random(order).shuffle(names)
    # Equal sizes are shared out by path, so that other names move every module to another process.
    assert read_entries(list(make_bytecode(bookworm, shuffled, names, spool, processes=processes))) == made


@pytest.mark.parametrize("pruning", [None, Pruning()], ids=["as it is", "bare of docstrings"])
def test_what_was_compiled_before_changes_nothing_in_a_newer_python(
    pruning: Pruning | None, fetcher: Fetcher, spool: Spool
) -> None:
    trixie = resolve_debian_base("deb:trixie", Platform("linux", "amd64"), fetcher)
    site = SITE.replace("3.11", "3.13")
    bare, package = Bare((f"{site}/",), pruning) if pruning else None, f"{site}/sklearn"
    before, sets = make_text(f"{package}/names.py", NAMES + "#" * 1000), make_text(f"{package}/sets.py", SETS)
    together = read_entries(list(make_bytecode(trixie, [sets, before], [], spool, bare=bare, processes=1)))
    expected = [f"{CACHE}/{package}/{name}.cpython-313.pyc" for name in ("names", "sets")]  # in this order
    assert list(together) == expected
    assert read_entries(list(make_bytecode(trixie, [sets], [], spool, bare=bare))).items() <= together.items()


@pytest.fixture
def root(rootfs: Path, tmp_path: Path, sources: list[Entry], made: dict[str, bytes]) -> Path:
    """The base with the sources and their byte code in it."""
    root = tmp_path / "root"
    shutil.copytree(rootfs, root, symlinks=True, copy_function=os.link)
    for path, data in {**read_entries(sources), **made}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def loaded(root: Path, code: str) -> tuple[str, str]:
    """What code prints in the image, and what Python says of its imports."""
    environment = {
        "PYTHONPYCACHEPREFIX": "/modelimg/__pycache__",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"/modelimg/runtime:/{SITE}",
    }
    done = run_in_rootfs(root, ["/usr/bin/python3.11", "-S", "-v", "-c", code], env=environment)
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode(), done.stderr.decode()


def test_the_interpreter_loads_the_byte_code_and_not_the_source(root: Path) -> None:
    _, log = loaded(root, "import sets, modelimg_runtime.contract, json")
    for path in (f"{SITE}/sets", "modelimg/runtime/modelimg_runtime/contract", "usr/lib/python3.11/json/decoder"):
        assert f"# code object from '/{CACHE}/{path}.cpython-311.pyc'" in log


NAMED = """
import json, marshal, pathlib
def names(code):
    return {code.co_filename}.union(*(names(each) for each in code.co_consts if hasattr(each, "co_code")))
files = pathlib.Path("/modelimg/__pycache__").rglob("*.pyc")
print(json.dumps({str(file): sorted(names(marshal.loads(file.read_bytes()[16:]))) for file in files}))
"""


def test_it_names_source_by_its_path_in_the_image_and_nothing_of_the_host(root: Path, made: dict[str, bytes]) -> None:
    out, _ = loaded(root, NAMED)
    named = json.loads(out)
    assert len(named) == len(made)
    for path, names in named.items():
        assert names == ["/" + path.removeprefix(f"/{CACHE}/").replace(".cpython-311.pyc", ".py")]
    for secret in (str(root.parents[1]), sys.prefix, str(Path(modelimg_runtime.__file__).parents[2])):
        assert [path for path, data in made.items() if secret.encode() in data] == []


def test_another_base_below_it_brings_its_own_standard_library(root: Path) -> None:
    for path in ("usr/lib/python3.11/json/__init__.py", f"{SITE}/sets.py"):
        (root / path).unlink()  # the file is shared
        (root / path).write_text("newer = True\n")
    out, _ = loaded(root, "import json, sets; print(hasattr(json, 'newer'), hasattr(sets, 'newer'))")
    assert out == "True False\n"


UNFIT = {
    "python_2": b"print 'Python 2'\n",
    "template": b"{{ a template }}\nx = {% y %}\n",
    "coding": b"# coding: no-such-coding\nx = 1\n",
    "not_utf_8": b"x = '\xff'\n",
    "nul": b"x = 1\0\n",
    "brackets": b"(" * 300 + b")" * 300,
    "depth": b"-" * 200_000 + b"1",
    "of_312": b"type X = int\n",
    "misplaced": b"return 1\n",
    "number": b"x = " + b"9" * 5000,
}


def test_what_does_not_compile_is_left_out_and_the_rest_is_made(bookworm: ResolvedBase, spool: Spool) -> None:
    bad = [make_file(f"{SITE}/{name}.py", BytesContent(data), len(data)) for name, data in UNFIT.items()]
    good = [make_text(f"{SITE}/{name}.py", SUM) for name in ("a_first", "z_last")]
    done = list(make_bytecode(bookworm, [*bad, *good], [], spool, processes=1))
    assert [entry.path for entry in done] == [
        f"{CACHE}/{SITE}/{name}.cpython-311.pyc" for name in ("a_first", "z_last")
    ]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a", "r/a.py"),
        ("b", "r/b/__init__.py"),
        ("b.c", "r/b/c.py"),
        ("both", "s/both/__init__.py"),  # a package goes before a module, as the finders look
        ("twice", "r/twice.py"),
        ("deep.er.est", "s/deep/er/est.py"),
        ("missing", None),
        ("b.missing", None),
        ("link", None),
        ("folder", None),
        ("native", None),
        ("r.a", None),
        ("../s/deep/er/est", None),
        ("", None),
    ],
)
def test_a_modules_source_is_found_as_the_finders_look(name: str, path: str | None) -> None:
    files = ["r/a.py", "r/b/__init__.py", "r/b/c.py", "s/both.py", "s/both/__init__.py", "s/twice.py", "r/twice.py"]
    entries = [make_text(file, "") for file in [*files, "s/deep/er/est.py", "s/native.so", "elsewhere/missing.py"]]
    entries += [make_symlink("s/link.py", "both.py"), make_directory("s/folder.py")]
    found, rest = select_sources([name], entries, ("r/", "s/"))
    assert ([entry.path for entry in found], rest) == (([path], []) if path else ([], [name]))


def on_base(base: ResolvedBase, tmp_path: Path, files: list[Entry], interpreter: str) -> ResolvedBase:
    """A base with one more layer."""
    with (tmp_path / "layer").open("wb") as stream:
        made = write_tar(files, stream)
    blob = FileBlob(Descriptor(LAYER, made.digest, made.size), tmp_path / "layer")
    config = replace(base.image.config, diff_ids=(*base.image.config.diff_ids, made.digest))
    image = Image.assemble(config, [*base.image.layers, blob])
    return replace(base, image=image, interpreter=interpreter)


def script(body: str) -> str:
    return f"#!/usr/bin/python3.11\nimport os, sys\nout = lambda data: sys.stdout.buffer.write(data)\n{body}\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "cannot be run: No such file"),
        ("sys.exit(3)", r"exit code 3 \(no message\)"),
        ("print('a\\nthe reason', file=sys.stderr); sys.exit(1)", r"exit code 1 \(the reason\)"),
        ("os.abort()", r"exit code 139"),
        ("out(b'Python 3.11')", "is not byte code"),
        ("out(b'short')", "is not byte code"),
        (f"out({frame(b'/modelimg/__pycache__/a.pyc', b'abc')[:-1]!r})", "is not byte code"),
        (f"out({frame(b'/modelimg/runtime/modelimg_runtime/app.py', b'evil')!r})", "is not byte code"),
        (f"out({frame(b'/etc/passwd', b'evil')!r})", "is not byte code"),
        (f"out({frame(b'/modelimg/__pycache__x/a.pyc', b'evil')!r})", "is not byte code"),
        (f"out({frame(b'/modelimg/__pycache__/../a.py', b'evil')!r})", "cannot be a path in a layer"),
        (f"out({frame(b'/modelimg/__pycache__/a.pyc', b'evil')!r} * 2)", "two files would be written"),
    ],
)
def test_a_base_whose_python_is_none_is_refused(
    body: str | None, message: str, bookworm: ResolvedBase, tmp_path: Path, spool: Spool
) -> None:
    text = script(body or "").encode()
    files = [make_file("fake", BytesContent(text), len(text), executable=True)] if body else []
    base = on_base(bookworm, tmp_path, files, "/fake")
    with pytest.raises((EngineError, LayerError), match=message), (tmp_path / "tar").open("wb") as out:
        write_tar(make_bytecode(base, [make_text(f"{SITE}/a.py", SUM)], [], spool, processes=1), out)


ASK = """
import sys
from dataclasses import replace
from modelimg.base.deb import resolve_debian_base
from modelimg.bytecode import bytecode_obstacle, make_bytecode
from modelimg.cache import Cache
from modelimg.errors import SandboxUnavailable
from modelimg.fetch import Fetcher
from modelimg.oci.values import Platform
with Fetcher(Cache.default()) as fetcher:
    base = resolve_debian_base("deb:bookworm", Platform("linux", "amd64"), fetcher)
base = eval(sys.argv[1])
print(bytecode_obstacle(base))
try:
    list(make_bytecode(base, [], ["json"], None))
except SandboxUnavailable as error:
    print(error.message, "|", error.hint)
"""


@pytest.mark.parametrize(
    ("base", "condition", "reason"),
    [
        ("base", "echo 0 > /proc/sys/user/max_user_namespaces", "no more namespaces may be made"),
        ("replace(base, platform=Platform('linux', 'arm64'))", "true", "nothing for linux/arm64 runs on this x86_64"),
        ("replace(base, image=None)", "true", "only a daemon has the files of the base deb:bookworm"),
    ],
    ids=["blocked namespaces", "another architecture", "no files"],
)
def test_without_a_way_to_run_the_base_it_says_so_and_how_to_decide(
    base: str, condition: str, reason: str, bookworm: ResolvedBase
) -> None:
    assert bytecode_obstacle(bookworm) is None
    in_namespace = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{condition}; exec "$@"', "sh"]
    environment = {**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    command = [*in_namespace, sys.executable, "-c", ASK, base]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    obstacle, refusal = done.stdout.splitlines()
    assert obstacle.startswith(reason)
    assert ", and no Docker daemon answers" in obstacle
    assert refusal.startswith(f"byte code cannot be made here: {obstacle} | --bytecode none")


def test_a_planned_layer_is_made_of_the_packages_list(write_package, bookworm: ResolvedBase, spool: Spool) -> None:
    imports = b"json.decoder\nmissing\nmodelimg_runtime.contract\ntiny\n"
    package = write_package(wheels={"tiny": {"tiny.py": SUM.encode()}}, files={"imports.txt": imports})
    plan = make_plan(package, bookworm, created="1980-01-01T00:00:00Z", bytecode="imported")
    layer = next(layer for layer in plan.layers if layer.modules)
    assert layer == PlannedLayer("bytecode", modules=Digest.of(imports), pruning=Pruning())
    below = [make_text(f"{SITE}/tiny.py", SUM), make_text("modelimg/runtime/modelimg_runtime/contract.py", SUM)]
    unlisted = [make_text(f"{SITE}/other.py", SUM), make_text("modelimg/code/missing.py", SUM)]
    paths = {entry.path for entry in bytecode_entries(plan, layer, [*below, *unlisted], spool)}
    assert paths == {
        f"{CACHE}/{SITE}/tiny.cpython-311.pyc",
        f"{CACHE}/modelimg/runtime/modelimg_runtime/contract.cpython-311.pyc",
        f"{CACHE}/usr/lib/python3.11/json/decoder.cpython-311.pyc",
    }


def test_only_the_packages_that_are_named_lose_their_docstrings(bookworm: ResolvedBase, spool: Spool) -> None:
    text = '"""A docstring to be found."""\n'
    bare = [f"{SITE}/numpy/a.py", f"{SITE}/scipy/a.py", "modelimg/runtime/own/a.py"]
    kept = [f"{SITE}/other/numpy/a.py", f"{SITE}/own.py", f"{SITE}/scipy2/a.py", "modelimg/code/numpy/a.py"]
    sources = [make_text(name, text) for name in bare + kept]
    what = Bare((f"{SITE}/", "modelimg/runtime/"), Pruning(docstrings=("numpy", "scipy", "own")))
    made = read_entries(list(make_bytecode(bookworm, sources, [], spool, bare=what)))
    found = {path for path, data in made.items() if b"A docstring to be found." in data}
    assert len(made) == len(bare + kept)
    assert found == {f"{CACHE}/{path.removesuffix('.py')}.cpython-311.pyc" for path in kept}


@pytest.mark.parametrize("standard", [True, False])
def test_the_standard_library_loses_its_docstrings_where_the_plan_says_so(
    standard: bool, bookworm: ResolvedBase, spool: Spool
) -> None:
    bare = Bare((), Pruning(standard_docstrings=standard))
    [data] = read_entries(list(make_bytecode(bookworm, [], ["json.decoder"], spool, bare=bare))).values()
    assert (b"Simple JSON" in data) != standard
    [whole] = read_entries(list(make_bytecode(bookworm, [], ["json.decoder"], spool))).values()
    assert b"Simple JSON" in whole
