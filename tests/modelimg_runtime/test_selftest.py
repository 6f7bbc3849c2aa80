from __future__ import annotations

import json
from importlib import metadata

import pytest

from modelimg_runtime import contract
from modelimg_runtime.selftest import VersionDifference, locked_versions, replay, selftest
from modelimg_runtime.served import open_served


def change_examples(made, tools, **changes):
    examples = json.loads(made.files[contract.EXAMPLES]) | changes
    tools.repack(made, contract.EXAMPLES, json.dumps(examples).encode())


@pytest.mark.parametrize("name", ["cancer", "mixed", "regressor", "two_outputs", "coded"])
def test_the_packed_examples_come_out_as_they_were(request, name):
    for fast_path in (True, False):
        assert replay(open_served(request.getfixturevalue(name).folder, fast_path=fast_path)) == []


def test_floats_within_the_tolerance_are_equal_and_others_not(fresh_cancer, tools):
    probabilities = json.loads(fresh_cancer.files[contract.EXAMPLES])["probabilities"]
    for factor, passed in ((1 + 1e-10, True), (1 + 1e-7, False)):
        change_examples(fresh_cancer, tools, probabilities=[[p * factor for p in row] for row in probabilities])
        verdict = selftest(fresh_cancer.folder)
        assert verdict.passed is passed
        assert (verdict.differences == ()) is passed


def test_another_label_is_a_difference_whatever_the_tolerance(mixed, tmp_path, tools):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in mixed.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    predictions = json.loads(mixed.files[contract.EXAMPLES])["predictions"]
    predictions[2] = "yes" if predictions[2] == "no" else "no"
    copy = type(mixed)(folder, mixed.columns, mixed.files)
    change_examples(copy, tools, predictions=predictions, rtol=10.0)
    verdict = selftest(folder)
    assert [difference.row for difference in verdict.differences] == [2]
    assert verdict.differences[0].expected["prediction"] == predictions[2]
    assert verdict.passed is False


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": [[-1.0] * 30], "predictions": [0], "probabilities": None}, "breaks the contract in 30 places"),
        ({"columns": ["x"] * 30}, "column_in_"),
    ],
)
def test_examples_that_break_the_contract_are_an_error_not_a_pass(fresh_cancer, tools, changes, says):
    change_examples(fresh_cancer, tools, **changes)
    verdict = selftest(fresh_cancer.folder)
    assert (verdict.passed, verdict.examples) == (False, 0)
    assert says in verdict.error


def test_a_model_that_raises_is_an_error_not_a_crash(mixed, tmp_path, tools):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in mixed.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    rows = [[*row[:-1], "platinum"] for row in json.loads(mixed.files[contract.EXAMPLES])["rows"]]
    change_examples(type(mixed)(folder, mixed.columns, mixed.files), tools, rows=rows)
    verdict = selftest(folder)
    assert verdict.passed is False
    assert verdict.error.startswith("ValueError: Found unknown categories")


def test_only_packages_of_another_version_that_are_installed_are_named(fresh_cancer, tools):
    pandas = metadata.version("pandas")
    lock = f"""
lock-version = "1.0"
created-by = "uv"

[[packages]]
name = "pandas"
version = "{pandas}"
wheels = [{{ name = "pandas-9.whl", version = "9" }}]

[[packages]]
name = "scikit-learn"
version = "0.1"

[[packages.wheels]]
name = "decoy"
version = "0.0"

[[packages]]
name = "no-such-package"
version = "1.0"

[tool.uv]
name = "numpy"
version = "0.0"
"""
    tools.repack(fresh_cancer, contract.TRAINING_LOCK, lock.encode())
    assert selftest(fresh_cancer.folder).versions == (
        VersionDifference("scikit-learn", "0.1", metadata.version("scikit-learn")),
    )


def test_a_lock_as_the_builder_writes_it_is_read_like_a_toml_reader_would():
    import tomli_w
    import tomllib

    packages = [
        {"name": f"p{i}", "version": f"{i}.0", "wheels": [{"name": f"p{i}.whl", "hashes": {"sha256": "0"}}]}
        for i in range(5)
    ]
    for text in (
        tomli_w.dumps({"lock-version": "1.0", "packages": packages}),
        tomli_w.dumps({"packages": packages, "tool": {"x": {"name": "y", "version": "z"}}}),
    ):
        expected = {package["name"]: package["version"] for package in tomllib.loads(text)["packages"]}
        assert locked_versions(text) == expected


def test_a_folder_without_a_package_is_an_error(tmp_path):
    verdict = selftest(tmp_path)
    assert verdict.passed is False
    assert verdict.error.startswith("no model package here")
