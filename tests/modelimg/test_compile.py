"""The script that a base's own interpreter runs, by the Python of this environment."""

from __future__ import annotations

import importlib.util
import marshal
import os
import subprocess
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pandas as pd
import pytest

import modelimg_runtime
from compiling import NAMES, SETS, compile_here
from modelimg.pruning import Pruning

RUNTIME, PANDAS = Path(modelimg_runtime.__file__).parent, Path(pd.__file__).parent
MODULES = {
    "/made/names.py": NAMES.encode(),
    "/made/sets.py": SETS.encode(),
    "/made/empty.py": b"",
    **{str(path): path.read_bytes() for path in (*sorted(RUNTIME.glob("*.py")), *sorted(PANDAS.glob("core/*.py")))},
}


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_every_python_here_gives_a_module_the_same_bytes_in_any_company(seed: str) -> None:
    """The script itself, by this host's Python: alone, among others, and in the other order."""
    environment = {"PYTHONHASHSEED": seed}
    among = compile_here(MODULES, env=environment)
    assert len(among) == len(MODULES) >= 40
    assert compile_here(dict(reversed(MODULES.items())), env=environment) == among
    for path in list(MODULES)[:3]:
        assert compile_here({path: MODULES[path]}, env=environment).items() <= among.items()


DOCUMENTED = '''"""Of the module."""
from __future__ import annotations


class Thing:
    """Of the class."""

    def method(self):
        """Of the method."""


def only():
    """All there is."""


if only:
    try:
        def nested():
            """Of a function in a block."""
            assert nested.__doc__ is None, "an assertion stays"
            return "not a docstring"
    finally:
        async def later():
            f"""{only} is no docstring"""
text = """No docstring either."""
'''


@pytest.mark.parametrize("kind", [b"S", b"B"])
def test_docstrings_are_left_out_where_that_is_asked_for_and_nothing_else_is(kind: bytes) -> None:
    [pyc] = compile_here({"/some/module.py": DOCUMENTED.encode()}, kind).values()
    scope: dict[str, object] = {"__name__": "some"}
    exec(marshal.loads(pyc[16:]), scope)
    found = [scope.get("__doc__"), scope["Thing"].__doc__, scope["Thing"].method.__doc__, scope["only"].__doc__]
    assert (found == [None] * 4) == (kind == b"B")
    assert (scope["nested"].__doc__ is None) == (kind == b"B")
    assert scope["text"] == "No docstring either."
    assert scope["later"].__doc__ is None
    assert scope["nested"].__code__.co_firstlineno == 18
    if kind == b"B":
        assert scope["nested"]() == "not a docstring"
    else:
        with pytest.raises(AssertionError, match="an assertion stays"):
            scope["nested"]()


IMPORT_ALL = """
import importlib, sys, warnings
warnings.simplefilter("ignore")
failed = []
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed.append(f"{name}: {error}")
from scipy import linalg
print("RESULT", linalg.solve.__doc__ is None, *sorted(failed), sep="\\n")
"""


TRICKY = '''
def returned():
    """twice"""
    return "twice"

def passed():
    """twice"""
    return str("twice")

def default(value="a default"):
    """a default"""
    return value

def first_in_a_lambda():
    return (lambda: "first")()

def first_in_a_comprehension():
    return ["first" + each for each in "ab"]

def first_in_a_generator():
    """Left out."""
    yield "first"

def many():
    """Left out."""
    return [MANY]

def nested():
    """Left out."""
    def inner():
        """Left out."""
        def innermost():
            """Left out."""
            return "kept"
        return innermost.__doc__, innermost()
    return inner.__doc__, inner()

class Twice:
    """twice"""
    text = "twice"

class Later:
    text = 1
    __doc__ = "set by a statement"

class Bare:
    """Left out."""

CALLS = [returned, passed, default, first_in_a_lambda, first_in_a_comprehension, many, nested]
RESULTS = [call() for call in CALLS] + [list(first_in_a_generator()), Twice.text, Twice.__name__, Bare.__qualname__]
DOCSTRINGS = [call.__doc__ for call in CALLS] + [Bare.__doc__, Later.__doc__]
'''.replace("MANY", ", ".join(f'"constant {number}"' for number in range(300)))


def test_no_string_that_is_used_goes_with_a_docstring() -> None:
    """Also where the two are one constant; a docstring stays where that would need a closer look."""
    scopes = []
    for kind in (b"S", b"B"):
        (made,) = compile_here({"/some/tricky.py": TRICKY.encode()}, kind).values()
        scope: dict[str, object] = {"__name__": "tricky"}
        exec(marshal.loads(made[16:]), scope)
        scopes.append(scope)
    whole, bare = scopes
    assert (
        bare["RESULTS"]
        == [
            *whole["RESULTS"][:6],  # type: ignore[index]
            (None, (None, "kept")),
            *whole["RESULTS"][7:],  # type: ignore[index]
        ]
    )
    assert whole["DOCSTRINGS"][6:] == ["Left out.", "Left out.", "set by a statement"]  # type: ignore[index]
    assert bare["DOCSTRINGS"][6:] == [None, None, "set by a statement"]  # type: ignore[index]


def import_all(names: Iterable[str], **variables: str) -> list[str]:
    """Which modules cannot be imported, and whether SciPy has docstrings."""
    command = [sys.executable, "-B", "-c", IMPORT_ALL]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, input="\n".join(names), env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("RESULT\n")[2].splitlines()  # some modules print when they are imported


def dotted(files: Iterable[Path], root: Path) -> list[str]:
    """Names of modules below a folder."""
    names = (".".join(path.relative_to(root).with_suffix("").parts) for path in files)
    return [name.removesuffix(".__init__") for name in names]


def write_bare(files: Iterable[Path], cache: Path) -> None:
    """Byte code without docstrings, as a cache for the Python of this environment."""
    for name, data in compile_here({str(path): path.read_bytes() for path in files}, b"B", prefix=str(cache)).items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


def test_packages_without_docstrings_import_as_they_do_with_them(tmp_path: Path) -> None:
    """All their modules, by the Python of this environment: some packages assert what their docstrings say."""
    roots = {package: Path(find_origin(package)).parents[1] for package in Pruning().docstrings}
    files = {
        package: [path for path in sorted((root / package).rglob("*.py")) if "tests" not in path.parts]
        for package, root in roots.items()
    }
    write_bare(chain.from_iterable(files.values()), tmp_path)
    names = [name for package in files for name in dotted(files[package], roots[package])]
    with_them, without = import_all(names), import_all(names, PYTHONPYCACHEPREFIX=str(tmp_path))
    assert (with_them[0], without[0]) == ("False", "True")
    assert without[1:] == with_them[1:]
    assert len(names) - len(without) > 1000


def find_origin(package: str) -> str:
    """Where a package's `__init__.py` is."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return spec.origin


def test_the_standard_library_imports_without_docstrings_as_with_them(tmp_path: Path) -> None:
    library = Path(os.__file__).parent
    left_out = {"site-packages", "test", "tests", "idlelib", "lib2to3", "__main__.py", "antigravity.py", "this.py"}
    files = [path for path in sorted(library.rglob("*.py")) if left_out.isdisjoint(path.relative_to(library).parts)]
    write_bare(files, tmp_path)
    names = dotted(files, library)
    with_them, without = import_all(names), import_all(names, PYTHONPYCACHEPREFIX=str(tmp_path))
    assert without[1:] == with_them[1:]
    assert len(names) > 400 > 10 * len(without)
