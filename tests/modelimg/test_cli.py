"""The command line as users meet it: one sentence, one hint, the right exit code, and nothing half-done."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest

from modelimg_runtime import contract


@pytest.fixture(scope="module")
def source(penguins: Path) -> Path:
    """The penguins example after training: model, data, code, toml."""
    return penguins.parent


@pytest.fixture
def folder(source: Path, tmp_path: Path) -> Path:
    return shutil.copytree(source, tmp_path / "src", ignore=shutil.ignore_patterns("package"))


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def test_packing_prints_the_folder_and_nothing_else(folder: Path, cli) -> None:
    done = cli("pack", "-f", "modelimg.toml", "-o", "out", cwd=folder)
    assert (done.code, done.out) == (0, "out\n"), done.err
    manifest = json.loads((folder / "out" / contract.MANIFEST).read_text())
    assert manifest["name"] == "penguins"
    assert manifest["code_modules"] == ["features"]


def test_flags_override_the_toml(folder: Path, cli) -> None:
    done = cli(
        "pack",
        "-f",
        "modelimg.toml",
        "-o",
        "out",
        "--name",
        "other",
        "--version",
        "2",
        "--training-command",
        "make",
        cwd=folder,
    )
    assert done.code == 0, done.err
    manifest = json.loads((folder / "out" / contract.MANIFEST).read_text())
    assert (manifest["name"], manifest["version"]) == ("other", "2")
    assert json.loads((folder / "out" / contract.PROVENANCE).read_text())["training"]["command"] == "make"


BAD_INPUT = {
    "missing model file": (lambda f: (f / "dist/model.joblib").unlink(), 1, "does not exist"),
    "truncated model": (
        lambda f: (f / "dist/model.joblib").write_bytes((f / "dist/model.joblib").read_bytes()[:5000]),
        1,
        "model.joblib",
    ),
    "no estimator": (lambda f: (f / "dist/model.joblib").write_bytes(pickle.dumps({"a": 1})), 1, "model.joblib"),
    "data without the target": (lambda f: edit(f / "modelimg.toml", 'target = "species"', 'target = "kind"'), 1, "no target column 'kind'"),
    "examples that break the schema": (lambda f: edit(f / "schemas.py", "ge=1, lt=100", "gt=40, lt=41"), 1, "bill_length_mm"),
    "unknown key": (lambda f: edit(f / "modelimg.toml", "[schema]\ninput", "[schema]\ninputs"), 2, "did you mean 'input'"),
    "unknown table": (lambda f: edit(f / "modelimg.toml", "[schema]", "[schemas]"), 2, "did you mean"),
    "broken toml": (lambda f: (f / "modelimg.toml").write_text("[model\n"), 2, "modelimg.toml"),
    "wrong type": (lambda f: edit(f / "modelimg.toml", 'version = "1.0.0"', "version = 1.0"), 2, "version"),
    "unreadable csv": (lambda f: (f / "dist/test.csv").write_bytes(b'\xff\xfe"a,\n"b'), 1, "test.csv"),
    "no valid tag": (lambda f: edit(f / "modelimg.toml", "1.0.0", "1.0.0+local"), 2, "cannot be an image's tag"),
    "code not named": (lambda f: edit(f / "modelimg.toml", 'code = ["features.py"]', ""), 1, "[model] code"),
    "distribution that does not exist": (
        lambda f: requirements(f, "scikit-learn\nmodelimg-no-such-distribution==1.0\n"),
        1,
        "modelimg-no-such-distribution",
    ),
    "version that does not exist": (lambda f: requirements(f, "scikit-learn==99.0\n"), 1, "scikit-learn"),
    "only a source distribution": (lambda f: requirements(f, "scikit-learn\ndocopt==0.6.2\n"), 1, "docopt"),
    "two that disagree": (lambda f: requirements(f, "scikit-learn==1.9.1\nnumpy==1.20.0\n"), 1, "numpy"),
}  # fmt: skip


def requirements(folder: Path, text: str) -> None:
    (folder / "requirements.txt").write_text(text)
    with (folder / "modelimg.toml").open("a") as toml:
        toml.write('\n[requirements]\nfile = "requirements.txt"\n')


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_one_sentence_with_the_right_exit_code_and_leaves_nothing(folder: Path, cli, case: str) -> None:
    spoil, code, said = BAD_INPUT[case]
    spoil(folder)
    before = sorted(path.name for path in folder.iterdir())
    refused = cli("pack", "-f", "modelimg.toml", "-o", "out", cwd=folder)
    assert refused.code == code, refused.err
    assert refused.err.startswith("error: ")
    assert said in refused.err
    assert "Traceback" not in refused.err
    assert refused.out == ""
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["build", "nowhere"], 1, "is no folder"),
        (["build", "."], 1, "is no model package"),
        (["build"], 2, "package"),
        (["pack", "-f", "absent.toml"], 2, "does not exist"),
        (["pack", "model.txt", "--name", "a", "--version", "1", "--train", "t.csv"], 1, "model.txt"),
        (["base", "lock", "--suite", "sid", "-o", "lock.toml"], 1, "sid"),
        (["inspect"], 2, "image"),
        (["paint"], 2, "paint"),
        (["--frobnicate"], 2, "frobnicate"),
    ],
)
def test_a_command_that_cannot_be_is_refused(tmp_path: Path, cli, arguments: list[str], code: int, said: str) -> None:
    refused = cli(*arguments, cwd=tmp_path)
    assert refused.code == code, refused.err
    assert said in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_locked_base_gives_the_same_plan_again(breast_cancer: Path, cli, tmp_path: Path) -> None:
    locked = cli("base", "lock", "-o", tmp_path / "base.lock.toml", "--suite", "bookworm")
    assert locked.code == 0, locked.err
    plans = [cli("build", breast_cancer, "--dry-run", "--base-lock", tmp_path / "base.lock.toml") for _ in range(2)]
    assert plans[0].code == 0, plans[0].err
    assert plans[0].out == plans[1].out
    names = {package["name"] for package in plans[0].json["base"]["packages"]}
    assert {"libc6", "python3.11-minimal", "ca-certificates"} <= names


def test_a_base_lock_says_nothing_of_an_image(breast_cancer: Path, cli, tmp_path: Path) -> None:
    refused = cli("build", breast_cancer, "--dry-run", "--base", "python:3.11-slim", "--base-lock", tmp_path / "x.toml")
    assert refused.code == 2
    assert "--base-lock pins the packages of a deb: base" in refused.err


def test_a_wheel_with_other_bytes_than_the_locked_ones_is_refused(
    breast_cancer: Path, cli, loopback, resign, tmp_path: Path
) -> None:
    package = shutil.copytree(breast_cancer, tmp_path / "package")
    lock = package / contract.serving_lock("linux/amd64")
    lines = lock.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if "joblib-" in line and "http" in line)
    url = lines[at].split('"')[1]
    loopback.answer("/" + url.rpartition("/")[2], b"another wheel")
    resign(package, lock.name, lock.read_text().replace(url.rpartition("/")[0], loopback.url))
    refused = cli("render", package, "-o", tmp_path / "out", env={"MODELIMG_CACHE_DIR": str(tmp_path / "cache")})
    assert refused.code == 1
    assert "joblib-" in refused.err
    assert "but the lock pins sha256:" in refused.err
    assert not (tmp_path / "out").exists()


def test_offline_names_what_is_missing(breast_cancer: Path, cli, tmp_path: Path) -> None:
    refused = cli(
        "render",
        breast_cancer,
        "-o",
        tmp_path / "out",
        "--offline",
        env={"MODELIMG_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert refused.code == 1
    assert "cannot be asked offline" in refused.err
    assert "modelimg base lock" in refused.err


def test_what_was_built_once_is_rendered_again_offline(breast_cancer: Path, cli, tmp_path: Path) -> None:
    lock = tmp_path / "base.lock.toml"
    assert cli("base", "lock", "-o", lock, "--suite", "bookworm").code == 0
    first = cli("render", breast_cancer, "-o", tmp_path / "one", "--base-lock", lock)
    assert first.code == 0, first.err
    again = cli("render", breast_cancer, "-o", tmp_path / "two", "--base-lock", lock, "--offline")
    assert again.code == 0, again.err
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
