"""What the image needs, locked by the real uv: what the pickle needs never moves."""

from __future__ import annotations

import pytest
import tomllib

from modelimg.errors import ModelFileError, RequirementsError
from modelimg.oci.values import Platform
from modelimg.pack.code import Import
from modelimg.pack.distributions import Installed
from modelimg.pack.requirements import Locker, Needs, modules_of_code, modules_of_globals

AMD64 = Platform.parse("linux/amd64")
TREE = Needs(
    modules_of_globals(["sklearn.tree._tree Tree", "numpy dtype", "builtins slice", "collections OrderedDict"])
)


@pytest.fixture
def locker(tmp_path):
    def make(file=None, text=None, python="3.11.7"):
        if text is not None:
            (tmp_path / file).write_text(text)
        return Locker(python, tmp_path, tmp_path / file if file else None)

    return make


def versions(lock):
    return {pin.name: pin.version for pin in lock.pins}


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_the_models_packages_stay_at_their_versions_and_the_runtimes_are_added(locker, platform):
    found = versions(locker().serving(TREE, Platform.parse(platform)))
    installed = Installed().versions
    for name in ("scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl"):
        assert found[name] == installed[name]
    assert {"pandas", "pandera", "starlette", "uvicorn", "uvloop", "httptools"} <= found.keys()
    assert {"pytest", "docker", "modelimg"}.isdisjoint(found)


def test_the_rest_stays_at_its_version_where_it_can(locker):
    found = versions(locker().serving(TREE, AMD64))
    installed = Installed().versions
    assert {name: version for name, version in found.items() if installed.get(name) != version} == {}


def test_the_same_needs_give_the_same_file(locker):
    assert locker().serving(TREE, AMD64).text == locker().serving(TREE, AMD64).text


def test_requirements_of_a_contract_are_added(locker):
    assert "pyarrow" in versions(locker().serving(Needs(TREE.modules, extra=("pyarrow",)), AMD64))


def test_a_module_without_a_distribution_is_named_with_its_class_and_the_key(locker):
    needs = Needs(modules_of_globals(["shop_features.ratio Ratio"]))
    with pytest.raises(
        ModelFileError, match=r"module shop_features\.ratio belongs to no installed distribution"
    ) as error:
        locker().serving(needs, AMD64)
    assert "shop_features.ratio.Ratio" in error.value.message
    assert "[model] code" in str(error.value.hint)


def test_a_module_that_is_packed_needs_no_distribution(locker):
    needs = Needs({**TREE.modules, "shop_features.ratio": "x"}, code=("shop_features",))
    assert "numpy" in versions(locker().serving(needs, AMD64))


def test_a_runtime_that_cannot_live_with_the_models_versions_is_told_by_both(locker):
    class Old(Installed):
        distributions = Installed().distributions

        def closure(self, roots, environment):
            from modelimg.pack.distributions import Pin

            return (Pin("pandas", "2.0.0"),)

    with pytest.raises(RequirementsError, match=r"pandas==2\.0\.0 and pandas>=2\.1\.1 are both required") as error:
        Locker("3.11.7", locker().root, installed=Old()).serving(TREE, AMD64)
    assert "pandas==2.0.0 is required by the model" in str(error.value.hint)
    assert "pandas>=2.1.1 is required by modelimg's runtime" in str(error.value.hint)


# ---- the user's own requirements ----------------------------------------------------------------------------


def test_pins_of_a_requirements_file_win_over_the_training_environment(locker):
    found = versions(locker("requirements.txt", "scikit-learn\nidna==3.7  # ours\n").serving(TREE, AMD64))
    installed = Installed().versions
    assert found["idna"] == "3.7" != installed["idna"]
    assert found["scikit-learn"] == installed["scikit-learn"]
    assert "uvicorn" in found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("idna==3.7\n", r"requirements\.txt lacks .*scikit-learn \(for sklearn\.tree\._tree\.Tree\)"),
        ("scikit-learn\ndocopt==0.6.2\n", r"docopt==0\.6\.2 exists only as source"),
        ("scikit-learn\nmodelimg-no-such-distribution-at-all\n", "no distribution named"),
        ("scikit-learn\npandas==2.0.0\n", "pandas==2.0.0"),
        ("scikit-learn >=\n", r"requirements\.txt holds a line that is no requirement"),
        ("scikit-learn==99\n", r"has no scikit-learn==99"),
    ],
)
def test_a_requirements_file_that_cannot_be_used_is_refused(locker, text, says):
    with pytest.raises(RequirementsError, match=says):
        locker("requirements.txt", text).serving(TREE, AMD64)


def test_a_lock_of_the_users_is_used_as_it_is(locker):
    text = locker().serving(TREE, AMD64).text
    again = locker("pylock.toml", text).serving(TREE, AMD64)
    assert again.text == text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lock: lock["packages"].clear(), r"lacks scikit-learn \(for .*uvicorn>=|lacks"),
        (lambda lock: remove(lock, "scikit-learn"), r"lacks scikit-learn \(for sklearn\.tree\._tree\.Tree\)"),
        (lambda lock: remove(lock, "uvicorn"), r"lacks uvicorn \(for modelimg's runtime\)"),
        (
            lambda lock: age(lock, "uvicorn", "0.1.0"),
            r"lacks uvicorn>=[\d.]+ \(for modelimg's runtime; it has 0\.1\.0\)",
        ),
    ],
)
def test_a_lock_that_lacks_something_is_refused_by_what_it_lacks(locker, change, says):
    import tomli_w

    lock = tomllib.loads(locker().serving(TREE, AMD64).text)
    change(lock)
    with pytest.raises(RequirementsError, match=says):
        locker("pylock.toml", tomli_w.dumps(lock)).serving(TREE, AMD64)


def remove(lock, name):
    lock["packages"] = [package for package in lock["packages"] if package["name"] != name]


def age(lock, name, version):
    for package in lock["packages"]:
        if package["name"] == name:
            package["version"] = version
            package["wheels"][0] |= {
                "name": f"{name}-{version}-py3-none-any.whl",
                "url": f"https://x/{name}-{version}-py3-none-any.whl",
            }


@pytest.mark.parametrize("text", ["{", "x = 1\n", "lock-version = '1.0'\n"])
def test_what_is_no_lock_is_refused(locker, text):
    with pytest.raises(RequirementsError, match=r"pylock\.toml"):
        locker("pylock.toml", text).serving(TREE, AMD64)


# ---- the training environment -------------------------------------------------------------------------------


def test_the_training_lock_holds_every_distribution_that_is_installed(locker):
    lock = tomllib.loads(locker().training())
    locked = {package["name"]: package["version"] for package in lock["packages"]}
    notes = {note["name"]: note for note in lock["tool"]["modelimg"]["not-locked"]}
    assert locked | {name: note["version"] for name, note in notes.items()} == Installed().versions
    assert notes["modelimg"]["reason"] == "installed from a folder in editable mode"
    assert all(len(package["wheels"]) == 1 for package in lock["packages"])


def test_what_no_index_has_is_noted_and_fails_nothing(locker):
    versions = {"idna": "3.7", "docopt": "0.6.2", "numpy": "0.0.99", "modelimg-no-such-distribution-at-all": "1"}
    installed = Installed()
    # Both are cached properties, so an instance may be told what it would find.
    installed.distributions = dict.fromkeys(versions, Installed().distributions["idna"])
    installed.versions = versions
    lock = tomllib.loads(Locker("3.11.7", locker().root, installed=installed).training())
    assert [package["name"] for package in lock["packages"]] == ["docopt", "idna"]
    assert "sdist" in lock["packages"][0]
    assert [(note["name"], note["reason"]) for note in lock["tool"]["modelimg"]["not-locked"]] == [
        ("modelimg-no-such-distribution-at-all", "not in the package index"),
        ("numpy", "version not in the package index"),
    ]


def test_an_index_that_does_not_answer_is_one_clear_error(locker, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with pytest.raises(RequirementsError, match="could not be reached"):
        locker().training()


# ---- what is needed -----------------------------------------------------------------------------------------


def test_optional_imports_count_where_they_are_installed():
    found = [
        Import("numpy.linalg", "f.py", True),
        Import("not_installed_one", "f.py", False),
        Import("not_installed_two", "f.py", True),
        Import("scipy", "g.py", False),
    ]
    assert modules_of_code(found, Installed()) == {"numpy.linalg": "f.py", "not_installed_two": "f.py", "scipy": "g.py"}
