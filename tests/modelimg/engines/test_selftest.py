"""The self-test without a container runtime: real namespaces and real Pythons, with a runtime that says where it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelimg.base.deb import resolve_debian_base
from modelimg.base.resolve import DEBIAN_SUITES, ResolvedBase
from modelimg.cache import Cache
from modelimg.engines.base import BuildResult, SelfTest
from modelimg.engines.embedded import EmbeddedEngine
from modelimg.engines.selftest import find_python, run_selftest
from modelimg.errors import EngineError, GateFailed, ImageError, SandboxUnavailable
from modelimg.fetch import Fetcher
from modelimg.gate import run_gate
from modelimg.oci.blob import LAYER, Descriptor, FileBlob
from modelimg.oci.image import History, RunConfig
from modelimg.oci.manifest import Image
from modelimg.oci.values import Platform
from modelimg.pack.package import read_package
from modelimg.plan import make_plan
from modelimg.tar import Entry, make_directory, make_symlink, make_text, write_tar
from modelimg_runtime import contract

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""What this host has for certain; the base has 3.11."""

MAIN = "modelimg/runtime/modelimg_runtime/__main__.py"
REPORT = """
import json, os, sys
import alongside, wheel_of_ours, own_code
print("noise")
print(json.dumps({
    "passed": True,
    "arguments": sys.argv[1:],
    "prefix": sys.prefix,
    "path": sys.path,
    "environment": dict(os.environ),
    "user": os.getuid(),
    "folder": os.getcwd(),
    "files": [os.path.exists(name) for name in ("/modelimg", os.environ["MODELIMG_MODEL_DIR"])],
}))
"""


def site_packages(minor: str) -> str:
    return f"modelimg/venv/lib/python{minor}/site-packages"


def files_of(minor: str) -> dict[str, str]:
    site = site_packages(minor)
    return {
        "modelimg/runtime/modelimg_runtime/__init__.py": "",
        MAIN: REPORT,
        "modelimg/code/own_code.py": "",
        "modelimg/model/modelimg.json": "{}",
        f"{site}/wheel_of_ours.py": "",
        f"{site}/more.pth": "more\n",
        f"{site}/more/alongside.py": "",
        "modelimg/venv/pyvenv.cfg": "home = /usr/bin\ninclude-system-site-packages = false\n",
    }


RUN = RunConfig(
    env=(
        "MODELIMG_MODEL_DIR=/modelimg/model",
        "PATH=/modelimg/venv/bin",
        "PYTHONPATH=/modelimg/runtime:/modelimg/code",
        "MARK=1",
    ),
    user="65532:65532",
    entrypoint=("/modelimg/venv/bin/python", "-m", "modelimg_runtime"),
    cmd=("serve",),
)

MakeImage = Callable[..., Image]


@pytest.fixture
def make_image(bookworm: ResolvedBase, tmp_path: Path) -> MakeImage:
    """An image on the real base; ``files`` are added to it, or change one."""

    def make(files: dict[str, str] | None = None, minor: str = "3.11", **run: object) -> Image:
        kept = {**files_of(minor), **(files or {})}
        folders = {str(parent) for path in kept for parent in Path(path).parents if parent.parts}
        entries: list[Entry] = [make_text(path, text) for path, text in kept.items()]
        entries += [make_directory(folder) for folder in {*folders, "modelimg/venv", "modelimg/venv/bin", "modelimg"}]
        entries.append(make_symlink("modelimg/venv/bin/python", "../../../usr/bin/python3.11"))
        with (tmp_path / "layer").open("wb") as stream:
            made = write_tar(entries, stream)
        assert bookworm.image is not None
        below = bookworm.image.config
        config = replace(
            below,
            run=replace(RUN, **run),
            diff_ids=(*below.diff_ids, made.digest),
            history=(*below.history, History("ours")),
        )
        layer = FileBlob(Descriptor(LAYER, made.digest, made.size), tmp_path / "layer")
        return Image.assemble(config, [*bookworm.image.layers, layer])

    return make


def facts(test: SelfTest) -> dict[str, object]:
    assert test.exit_code == 0, test.stderr
    return dict(json.loads(test.stdout.splitlines()[-1]))


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a host without user namespaces; that the sandbox finds this out is shown by its own tests."""
    monkeypatch.setattr("modelimg.engines.selftest.sandbox_obstacle", lambda _platform: "namespaces are forbidden")


def test_it_runs_in_namespaces_as_a_container_would(make_image: MakeImage) -> None:
    test = run_selftest(make_image(), report=pytest.fail)
    assert test.how == "namespace"
    found = facts(test)
    assert found.pop("path")[:3] == ["/", "/modelimg/runtime", "/modelimg/code"]
    environment = dict(item.partition("=")[::2] for item in RUN.env)
    assert found == {
        "passed": True,
        "arguments": ["selftest"],
        "prefix": "/modelimg/venv",
        "environment": environment | {"LC_CTYPE": "C.UTF-8"},
        "user": 65532,
        "folder": "/",
        "files": [True, True],
    }


@pytest.mark.parametrize(
    ("asked", "given"), [("/usr/lib", "/usr/lib"), ("/none", "/"), ("", "/"), ("/etc/passwd", "/")]
)
def test_the_working_directory_is_the_images_where_it_exists(asked: str, given: str, make_image: MakeImage) -> None:
    assert facts(run_selftest(make_image(working_dir=asked), report=pytest.fail))["folder"] == given


@pytest.mark.usefixtures("forbidden")
def test_else_it_runs_with_a_python_of_this_host_and_nothing_of_its_packages(make_image: MakeImage) -> None:
    lines: list[str] = []
    test = run_selftest(make_image(minor=OWN), report=lines.append)
    assert test.how == "host"
    assert lines == [f"the self-test runs with {sys.executable}: namespaces are forbidden"]
    found = facts(test)
    path = [str(entry) for entry in found["path"]]  # type: ignore[attr-defined]
    ours = [entry.partition("/modelimg/")[2] for entry in path if "/root/modelimg/" in entry]
    site = site_packages(OWN).removeprefix("modelimg/")
    assert ours == ["runtime", "code", site, f"{site}/more"]
    assert not any("site-packages" in entry and "/root/modelimg/" not in entry for entry in path)
    assert (found["arguments"], found["files"]) == (["selftest"], [False, True])
    environment: dict[str, str] = found["environment"]  # type: ignore[assignment]
    assert environment["MARK"] == "1"
    assert not environment.keys() & {"HOME", "USER", "VIRTUAL_ENV", "MODELIMG_CACHE_DIR"}


@pytest.mark.usefixtures("forbidden")
@pytest.mark.parametrize(
    ("minor", "wheel", "message"),
    [
        (OWN, 'raise ImportError("/lib/libc.so.6: version `GLIBC_2.99\' not found")', "GLIBC_2.99"),
        (OWN, "import ctypes; ctypes.CDLL('libnone.so.1')", "cannot open shared object file"),
        ("3.99", "", "no Python 3.99"),
    ],
)
def test_a_host_that_lacks_what_the_image_has_is_no_verdict(
    minor: str, wheel: str, message: str, make_image: MakeImage
) -> None:
    image = make_image({f"{site_packages(minor)}/wheel_of_ours.py": wheel}, minor)
    with pytest.raises(SandboxUnavailable, match=message) as error:
        run_selftest(image, report=lambda _line: None)
    assert error.value.message.startswith("namespaces are forbidden, and ")


@pytest.mark.usefixtures("forbidden")
def test_an_image_of_others_is_none_of_ours(bookworm: ResolvedBase) -> None:
    assert bookworm.image is not None
    with pytest.raises(ImageError, match="modelimg did not build it"):
        run_selftest(bookworm.image, report=pytest.fail)


def test_another_machines_image_is_not_even_unpacked(make_image: MakeImage) -> None:
    image = make_image()
    config = replace(image.config, platform=Platform("linux", "arm64"))
    gone = replace(image.layers[1], path=Path("/nonexistent"))
    with pytest.raises(SandboxUnavailable, match="linux/arm64 runs on this x86_64"):
        run_selftest(Image.assemble(config, [gone]), report=pytest.fail)


@pytest.mark.parametrize("way", ["namespace", "host"])
@pytest.mark.parametrize(
    ("body", "exit_code", "word"),
    [
        ("import sys; print('{\"passed\": false}'); sys.exit(3)", 3, "passed"),
        ("raise RuntimeError('the reason')", 1, "the reason"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL) or os._exit(9)", None, ""),
        ("import nonexistent", 1, "No module named 'nonexistent'"),
        ("import pytest", 1, "No module named 'pytest'"),
    ],
)
def test_how_it_fails_is_passed_on(
    way: str, body: str, exit_code: int | None, word: str, make_image: MakeImage, request: pytest.FixtureRequest
) -> None:
    if way == "host":
        request.getfixturevalue("forbidden")
    image = make_image({MAIN: body}, OWN if way == "host" else "3.11")
    test = run_selftest(image, report=lambda _line: None)
    assert test.how == way
    assert test.exit_code != 0 if exit_code is None else test.exit_code == exit_code
    assert word in test.stdout + test.stderr


@pytest.mark.parametrize("way", ["namespace", "host"])
def test_one_that_never_ends_is_ended(
    way: str, make_image: MakeImage, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "host":
        request.getfixturevalue("forbidden")
    monkeypatch.setattr("modelimg.engines.selftest._SECONDS", 1)
    image = make_image({MAIN: "import time; time.sleep(600)"}, OWN if way == "host" else "3.11")
    with pytest.raises(EngineError, match="did not end within 1 seconds"):
        run_selftest(image, report=lambda _line: None)


def test_an_entry_point_that_is_not_there_is_no_verdict_but_an_error(make_image: MakeImage) -> None:
    with pytest.raises(EngineError, match="/usr/bin/python2 cannot be run: No such file") as error:
        run_selftest(make_image(entrypoint=("/usr/bin/python2",)), report=pytest.fail)
    assert not isinstance(error.value, SandboxUnavailable)


BLOCKED = """
from modelimg.oci.values import Platform
from modelimg.engines.embedded import EmbeddedEngine
from modelimg.engines.selftest import sandbox_obstacle
print(sandbox_obstacle(Platform("linux", "amd64")))
"""


def test_blocked_namespaces_are_found_out_by_trying() -> None:
    block = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", block, "sh", sys.executable, "-c", BLOCKED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "no more namespaces may be made (sysctl user.max_user_namespaces)\n"


@pytest.mark.parametrize("minor", ["3.99", "2.7", "3", "3.1", "", "3.11.7"])
def test_a_version_that_no_python_has_is_not_found(minor: str) -> None:
    assert find_python(minor) is None


def test_this_python_is_found_and_one_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_python(OWN) == sys.executable
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    fake = tmp_path / "python3.99"
    for text, found in [("#!/bin/sh\necho cpython 3.98\n", None), ("#!/bin/sh\necho cpython 3.99\n", str(fake))]:
        fake.write_text(text)
        fake.chmod(0o755)
        assert find_python("3.99") == found
    shutil.move(fake, tmp_path / "aside")
    (tmp_path / "versions/3.99.1/bin").mkdir(parents=True)
    (tmp_path / "versions/3.99.1/bin/python").symlink_to(tmp_path / "aside")
    assert find_python("3.99") == str(tmp_path / "versions/3.99.1/bin/python")


@pytest.fixture
def real_image(fetcher: Fetcher) -> Callable[[Path], Image]:
    """The image of a real package, byte code included, on the base that has this Python."""

    def build(package: Path) -> Image:
        base = resolve_debian_base(f"deb:{DEBIAN_SUITES[OWN]}", Platform("linux", "amd64"), fetcher)
        plan = make_plan(read_package(package), base, created="1980-01-01T00:00:00Z", bytecode="imported")
        image = EmbeddedEngine(fetcher, lambda _line: None, "none").build(plan).image
        assert image is not None
        return image

    return build


def test_a_real_model_passes_either_way(
    breast_cancer: Path, real_image: Callable[[Path], Image], request: pytest.FixtureRequest
) -> None:
    image = real_image(breast_cancer)
    tests = [run_selftest(image, report=lambda _line: None)]
    request.getfixturevalue("forbidden")
    tests.append(run_selftest(image, report=lambda _line: None))
    assert [test.how for test in tests] == ["namespace", "host"]
    assert [(facts(test)["passed"], facts(test)["examples"]) for test in tests] == [(True, 10)] * 2


def test_a_real_model_with_another_answer_does_not(
    breast_cancer: Path, real_image: Callable[[Path], Image], resign, tmp_path: Path
) -> None:
    package = tmp_path / "package"
    shutil.copytree(breast_cancer, package)
    examples = json.loads((package / contract.EXAMPLES).read_text())
    examples["predictions"][3] = next(one for one in examples["predictions"] if one != examples["predictions"][3])
    resign(package, contract.EXAMPLES, json.dumps(examples))
    test = run_selftest(real_image(package), report=pytest.fail)
    assert (test.how, test.exit_code) == ("namespace", 3)
    assert [one["row"] for one in json.loads(test.stdout.splitlines()[-1])["differences"]] == [3]


class OneTest:
    """As much of an engine as the gate asks."""

    name = "one"

    def __init__(self, test: SelfTest | None) -> None:
        self.test, self.asked = test, 0

    def selftest(self, _result: BuildResult) -> SelfTest:
        self.asked += 1
        if self.test is None:
            raise SandboxUnavailable("no way")
        return self.test


PASSED = json.dumps({"passed": True})


@pytest.mark.parametrize("how", ["namespace", "host", "container"])
def test_the_gate_says_how_it_was_found_and_remembers_it(how: str, write_package, bookworm, tmp_path: Path) -> None:
    plan = make_plan(write_package(), bookworm, created="1980-01-01T00:00:00Z")
    result = BuildResult("embedded", plan.platform, "", None, ())
    engine = OneTest(SelfTest(0, PASSED, "", how))
    first, second = (run_gate(engine, result, plan, Cache(tmp_path / "cache")) for _ in range(2))
    assert (first.how, first.passed, first.remembered) == (how, True, False)
    assert (second.how, second.passed, second.remembered) == (how, True, True)
    assert engine.asked == 1


@pytest.mark.parametrize(
    ("test", "error"),
    [
        (None, SandboxUnavailable),
        (SelfTest(0, "", "", "host"), GateFailed),
        (SelfTest(3, PASSED, "", "namespace"), GateFailed),
        (SelfTest(0, json.dumps({"passed": False}), "", "namespace"), GateFailed),
        (SelfTest(0, json.dumps({"passed": "yes"}), "", "host"), GateFailed),
        (SelfTest(0, json.dumps([True]), "", "host"), GateFailed),
    ],
)
def test_what_is_no_pass_is_not_remembered_as_one(
    test: SelfTest | None, error: type[Exception], write_package, bookworm, tmp_path: Path
) -> None:
    plan = make_plan(write_package(), bookworm, created="1980-01-01T00:00:00Z")
    engine, cache = OneTest(test), Cache(tmp_path / "cache")
    for asked in (1, 2):
        with pytest.raises(error):
            run_gate(engine, BuildResult("embedded", plan.platform, "", None, ()), plan, cache)
        assert engine.asked == asked
