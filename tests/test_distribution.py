"""The wheel and the editable install both carry the templates and render."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).parents[1]
UV = uv.find_uv_bin()


def run(*command: object, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--wheel", "--out-dir", out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Path:
    """The programs of a clean environment that modelimg was installed into."""
    venv = tmp_path / "venv"
    run(UV, "venv", "--quiet", "--python", sys.executable, venv)
    what = [wheel] if request.param == "wheel" else ["--editable", ROOT]
    run(UV, "pip", "install", "--quiet", "--python", venv / "bin/python", *what)
    return venv / "bin"


def test_the_wheel_holds_both_packages_and_the_templates_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"modelimg", "modelimg_runtime"}
    assert "modelimg/templates/Dockerfile.j2" in names
    assert any(name.startswith("modelimg/base/debian/keys/") for name in names)
    assert "modelimg/py.typed" in names
    assert not any("__pycache__" in name for name in names)


def test_an_install_renders_from_its_own_templates(installed: Path, breast_cancer: Path, tmp_path: Path) -> None:
    assert run(installed / "modelimg", "--version", cwd=tmp_path).startswith("modelimg 0.")
    assert run(installed / "python", "-m", "modelimg", "--version", cwd=tmp_path).startswith("modelimg 0.")
    run(installed / "modelimg", "render", breast_cancer, "-o", tmp_path / "context", cwd=tmp_path)
    names = {path.name for path in (tmp_path / "context").iterdir()}
    assert names == {"Dockerfile", "base.tar", "dependencies.tar", "runtime.tar", "bytecode.tar", "model.tar"}
    assert (
        (tmp_path / "context/Dockerfile")
        .read_text()
        .startswith("FROM scratch\nADD base.tar /\nADD dependencies.tar /\n")
    )
