"""From modules to distributions, and on to everything that they depend on at the installed versions."""

from __future__ import annotations

import json

import pytest

from modelimg.errors import RequirementsError
from modelimg.locks import marker_environment
from modelimg.oci.values import Platform
from modelimg.pack.distributions import Installed, describe_origin, direct_origin, is_standard

LINUX = marker_environment("3.11", Platform.parse("linux/amd64"))


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Writes distributions into a folder of the path, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name, version="1.0", requires=(), files=(), origin=None):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = [f"Requires-Dist: {line}" for line in requires]
        (folder / "METADATA").write_text(
            "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])
        )
        (folder / "RECORD").write_text("".join(f"{file},,\n" for file in files))
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text("")
        if origin:
            (folder / "direct_url.json").write_text(json.dumps(origin))

    return write


def names(pins):
    return [pin.requirement for pin in pins]


def test_modules_belong_to_the_distributions_that_hold_them():
    installed = Installed()
    assert installed.owners("sklearn.tree._tree") == ("scikit-learn",)
    assert installed.owners("yaml") == ("pyyaml",)


@pytest.mark.parametrize("module", ["os", "collections.abc", "_codecs", "sys", "builtins", "no_such_module_here"])
def test_the_standard_library_and_loose_modules_belong_to_none(module):
    assert Installed().owners(module) == ()


def test_of_distributions_that_share_a_namespace_the_holder_is_found(install):
    install("shared-a", files=["shared_ns/a/deep.py"])
    install("shared-b", files=["shared_ns/b.py"])
    assert Installed().owners("shared_ns.a.deep") == ("shared-a",)
    assert Installed().owners("shared_ns.b") == ("shared-b",)
    assert Installed().owners("shared_ns") == ("shared-a", "shared-b")


def test_the_closure_of_scikit_learn_is_what_it_needs_at_the_installed_versions():
    installed = Installed()
    closure = installed.closure(["scikit-learn"], LINUX)
    assert {"scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl"} <= {pin.name for pin in closure}
    assert all(pin.version == installed.versions[pin.name] for pin in closure)
    assert [pin.name for pin in closure] == sorted(pin.name for pin in closure)
    assert "pytest" not in {pin.name for pin in closure}


def test_markers_and_extras_are_those_of_the_image(install):
    install("app", requires=["dep-linux; sys_platform == 'linux'", "dep-win; sys_platform == 'win32'", "dep-x[fast]"])
    for name in ("dep-linux", "dep-win", "dep-fast", "dep-slow"):
        install(name)
    install("dep-x", requires=["dep-fast; extra == 'fast'", "dep-slow; extra == 'slow'"])
    assert names(Installed().closure(["app"], LINUX)) == ["app==1.0", "dep-fast==1.0", "dep-linux==1.0", "dep-x==1.0"]


def test_circles_end_and_what_is_not_installed_is_left_to_the_resolver(install):
    install("ring-a", requires=["ring-b", "not-installed-at-all"])
    install("ring-b", requires=["ring-a"])
    assert names(Installed().closure(["ring-a"], LINUX)) == ["ring-a==1.0", "ring-b==1.0"]


def test_a_wheel_that_was_installed_by_its_address_keeps_it(install):
    install("by-wheel", origin={"url": "https://example.org/by_wheel-1.0-py3-none-any.whl", "archive_info": {}})
    assert names(Installed().closure(["by-wheel"], LINUX)) == [
        "by-wheel @ https://example.org/by_wheel-1.0-py3-none-any.whl"
    ]


ORIGINS = [
    ({"url": "file:///home/me/x", "dir_info": {"editable": True}}, "a folder in editable mode"),
    ({"url": "file:///home/me/x", "dir_info": {}}, "a folder"),
    ({"url": "https://u:p@git.example.org/x", "vcs_info": {"vcs": "git", "commit_id": "abc"}}, "a git repository"),
    ({"url": "https://example.org/x-1.0.tar.gz", "archive_info": {}}, "a file"),
]


@pytest.mark.parametrize(("origin", "says"), ORIGINS)
def test_what_no_index_has_cannot_be_pinned(install, origin, says):
    install("local-thing", origin=origin)
    with pytest.raises(RequirementsError, match=f"local-thing 1.0 is installed from {says}") as error:
        Installed().closure(["local-thing"], LINUX)
    assert "[model] code" in str(error.value.hint)


@pytest.mark.parametrize(("origin", "says"), ORIGINS)
def test_an_origin_is_described_without_paths_and_credentials(origin, says):
    notes = describe_origin(origin)
    assert notes["reason"] == f"installed from {says}"
    assert "home" not in str(notes)
    assert "u:p" not in str(notes)


def test_a_repository_is_described_by_address_and_commit():
    notes = describe_origin(ORIGINS[2][0])
    assert (notes["url"], notes["vcs"], notes["commit"]) == ("https://git.example.org/x", "git", "abc")


def test_a_distribution_from_an_index_has_no_origin_of_its_own():
    assert direct_origin(Installed().distributions["numpy"]) is None
    assert is_standard("os.path")
    assert not is_standard("numpy")
