"""The list of modules that serving imports, as a process of its own finds it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelimg.errors import PackError
from modelimg.pack import ModelPackage, pack
from modelimg.pack.imports import imported_modules
from modelimg_runtime import contract

OWN = """
import colorsys
import sys
import own_data
from sklearn.base import BaseEstimator, TransformerMixin

print("own code talks, on standard output")

class Same(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X
"""


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(30.0), "y": np.arange(30) % 2})


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame) -> ModelPackage:
    """A package with code of its own, which prints."""
    root = tmp_path_factory.mktemp("own")
    (root / "own_steps.py").write_text(OWN)
    (root / "own_data.py").write_text("NUMBER = 1\n")
    train = (
        "import sys, pandas as pd, modelimg, own_steps\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.pipeline import make_pipeline\n"
        "frame = pd.DataFrame({'a': [float(i) for i in range(30)], 'y': [i % 2 for i in range(30)]})\n"
        "model = make_pipeline(own_steps.Same(), LogisticRegression()).fit(frame[['a']], frame['y'])\n"
        "modelimg.pack(model, 'out', name='own', version='1', train=(frame[['a']], frame['y']),\n"
        "              code=['own_steps.py', 'own_data.py'])\n"
    )
    (root / "train.py").write_text(train)
    subprocess.run([sys.executable, "train.py"], cwd=root, check=True, capture_output=True)
    return ModelPackage(root / "out", pack_manifest(root / "out"))


def pack_manifest(folder: Path) -> contract.PackageManifest:
    return contract.PackageManifest.from_json((folder / contract.MANIFEST).read_bytes())


@pytest.fixture
def copy(package: ModelPackage, tmp_path: Path) -> Path:
    """The package again, to spoil."""
    shutil.copytree(package.path, tmp_path / "copy")
    return tmp_path / "copy"


def names(folder: Path) -> list[str]:
    return (folder / contract.IMPORTS).read_text().splitlines()


def test_the_list_is_part_of_the_package(package: ModelPackage) -> None:
    assert contract.IMPORTS in package.manifest.files
    listed = names(package.path)
    assert listed == sorted(set(listed))
    assert (package.path / contract.IMPORTS).read_text().endswith("\n")


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.linear_model._logistic",
        "sklearn.pipeline",
        "colorsys",  # the standard library, for the user's own code
        "encodings.utf_8",
        "json.decoder",
        "numpy",
        "pandera.backends.pandas.base",
        "modelimg_runtime.__main__",
        "modelimg_runtime.protocols.native",
        "modelimg_runtime.selftest",
        "starlette.routing",
        "uvicorn.protocols.http.httptools_impl",
        "uvicorn.loops.uvloop",
        "anyio._backends._asyncio",  # only when a request is answered
        "importlib.metadata",  # only for the self-test's versions
    ],
)
def test_what_serving_and_the_self_test_import_is_listed(name: str, package: ModelPackage) -> None:
    assert name in names(package.path)


@pytest.mark.parametrize(
    "name",
    [
        "own_steps",
        "own_data",
        "__main__",
        "modelimg_runtime.imports",
        "modelimg",
        "modelimg.pack",
        "typer",
        "docker",
        "uv",
        "numpy._core._multiarray_umath",  # no source
        "sys",
        "_frozen_importlib",
        "os",  # frozen
        "schemas",
        "sklearn.neural_network",  # another model's
        "own code talks, on standard output",
    ],
)
def test_nothing_else_is_in_the_list(name: str, package: ModelPackage) -> None:
    assert name not in names(package.path)
    assert not any(each.startswith("modelimg.") for each in names(package.path))


@pytest.mark.parametrize(("seed", "home"), [("1", "/"), ("4242", None)])
def test_it_follows_from_the_package_alone(
    seed: str, home: str | None, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('this is not the module that was meant')\n")
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    monkeypatch.setenv("HOME", home or str(tmp_path))
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in copy.rglob("*"))
    assert imported_modules(Path(os.path.relpath(copy))) == (copy / contract.IMPORTS).read_text()
    assert sorted(path for path in copy.rglob("*")) == before  # not even byte code


def test_training_again_leaves_it_as_it_is_and_another_kind_of_model_does_not(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    X, y = frame[["a"]], frame["y"]
    lists = []
    for number, model in enumerate((LogisticRegression(), LogisticRegression(C=9), LinearRegression())):
        done = pack(model.fit(X, y), tmp_path / str(number), name="m", version="1", train=(X, y), root=tmp_path)
        lists.append(names(done.path))
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]


def test_a_package_that_would_be_refused_is_listed_all_the_same(copy: Path) -> None:
    """Whether the answers are right is for the gate to say."""
    examples = copy / contract.EXAMPLES
    examples.write_text(examples.read_text().replace("0", "1"))
    assert "sklearn" not in imported_modules(copy).split()
    assert "modelimg_runtime.app" in imported_modules(copy).split()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os\nos._exit(7)\n", r"exit code 7 \(no message\)"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n", "exit code -9"),
        ("import ctypes\nctypes.string_at(0)\n", "exit code -11"),
    ],
)
def test_a_process_that_ends_before_its_time_is_no_list(code: str, reason: str, copy: Path) -> None:
    own = copy / contract.CODE_DIR / "own_data.py"
    own.write_text(code)
    manifest = pack_manifest(copy)
    files = {**manifest.files, f"{contract.CODE_DIR}/own_data.py": sha256(own)}
    (copy / contract.MANIFEST).write_text(dataclasses.replace(manifest, files=files).to_json())
    with pytest.raises(PackError, match=reason) as error:
        imported_modules(copy)
    assert "fresh Python" in str(error.value.hint)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        ("/nonexistent/python", "No such file"),
        ("/etc/passwd", "Permission denied"),
        ("/bin/false", "exit code 1"),
    ],
)
def test_a_process_that_cannot_even_start_is_no_list(
    python: str, reason: str, package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    with pytest.raises(PackError, match=reason):
        imported_modules(package.path)


def test_an_environment_without_the_server_is_told(package: ModelPackage, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError('there is no uvicorn here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PackError, match=r"exit code 1 \(ImportError: there is no uvicorn here\)"):
        imported_modules(package.path)
