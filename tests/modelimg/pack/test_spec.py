"""modelimg.toml: every key read, every mistake named with file, key and what was probably meant."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelimg.errors import SpecError
from modelimg.pack.spec import KEYS, DataEntry, PackSpec, load_spec, override, pack_spec

ROOT = Path(__file__).parents[3]

FULL = """
[model]
name = "churn"
version = "1.2.0"
file = "model.joblib"
code = ["features.py"]
trust = ["lightgbm"]
title = "Churn"
description = "Who leaves"
authors = "A"
url = "https://example.org"
documentation = "https://example.org/docs"
vendor = "Example"
licenses = "Apache-2.0"

[data]
target = "left"
train = "train.csv"
test = {path = "test.parquet", uri = "s3://bucket/test.parquet"}
splits.validation = "validation.csv"
splits.drifted = {path = "drifted.csv"}

[schema]
input = "schemas.py:Input"
output = "schemas.py:Output"

[metrics]
file = "metrics.json"
test.lift = 2.5

[requirements]
file = "requirements.txt"
platforms = ["linux/amd64", "linux/arm64"]

[training]
command = "python train.py"

[image]
base = "deb:bookworm"
template = "Dockerfile.j2"
prune = false
parquet = true

[profile]
file = "input_profile.json"
min_max = true
top = 20
fold_below = 5
"""


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "modelimg.toml"
        path.write_text(text)
        return path

    return write


def test_every_key_is_read(toml, tmp_path):
    assert load_spec(toml(FULL)) == PackSpec(
        root=tmp_path,
        source=str(tmp_path / "modelimg.toml"),
        name="churn",
        version="1.2.0",
        file="model.joblib",
        code=("features.py",),
        trust=("lightgbm",),
        metadata={
            "title": "Churn",
            "description": "Who leaves",
            "authors": "A",
            "url": "https://example.org",
            "documentation": "https://example.org/docs",
            "vendor": "Example",
            "licenses": "Apache-2.0",
        },
        target="left",
        train=DataEntry("train.csv"),
        test=DataEntry("test.parquet", "s3://bucket/test.parquet"),
        splits={"validation": DataEntry("validation.csv"), "drifted": DataEntry("drifted.csv")},
        input_schema="schemas.py:Input",
        output_schema="schemas.py:Output",
        metrics={"test": {"lift": 2.5}},
        metrics_file="metrics.json",
        requirements="requirements.txt",
        platforms=("linux/amd64", "linux/arm64"),
        training_command="python train.py",
        base="deb:bookworm",
        template="Dockerfile.j2",
        prune=False,
        parquet=True,
        profile_file="input_profile.json",
        min_max=True,
        top=20,
        fold_below=5,
    )


def test_the_example_above_holds_every_key_that_there_is():
    import tomllib

    document = tomllib.loads(FULL)
    assert {f"{table}.{key}" for table, values in document.items() for key in values} - {"metrics.test"} == set(KEYS)


def test_the_documentation_lists_the_same_keys():
    text = (ROOT / "docs" / "reference" / "modelimg-toml.md").read_text()
    documented, table = set(), ""
    for line in text.splitlines():
        if heading := re.match(r"## `\[(\w+)\]`", line):
            table = heading[1]
        elif row := re.match(r"\| `(\w+)` \|", line):
            documented.add(f"{table}.{row[1]}")
    assert documented == set(KEYS)


def test_the_examples_of_the_repository_are_valid():
    found = list((ROOT / "examples").rglob("modelimg.toml"))
    assert found
    for path in found:
        assert load_spec(path).name


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("[model]\nnaem = 'x'", r"modelimg\.toml: \[model\] has no key 'naem'", "did you mean 'name'?"),
        ("[model]\nversoin = 'x'", "no key 'versoin'", "did you mean 'version'?"),
        ("[requirements]\nplatform = ['x']", "no key 'platform'", "did you mean 'platforms'?"),
        ("[modle]\nname = 'x'", r"there is no table \[modle\]", "did you mean 'model'?"),
        ("[image]\nzzz = 1", "no key 'zzz'", "known are base, template, prune, parquet"),
        ("name = 'x'", r"there is no table \[name\]", "'name' belongs into [model]"),
        ("[model]\ntarget = 'x'", "no key 'target'", "'target' belongs into [data]"),
        ("model = 'x'", "model is text, and must be a table", r"[model]"),
        ("[model]\nname = 5", r"\[model\] name is a number, and must be text", None),
        ("[model]\nname = ''", r"\[model\] name is text, and must be text", None),
        ("[model]\ncode = 'features.py'", r"\[model\] code is text, and must be a list of texts", None),
        ("[model]\ncode = [1]", "must be a list of texts", None),
        ("[image]\nprune = 'no'", r"\[image\] prune is text, and must be true or false", None),
        ("[data]\ntrain = 5", r"\[data\] train is a number, and must be a path", None),
        ("[data]\ntrain = {uri = 'x'}", r"\[data\] train is a table, and must be a path", None),
        ("[data]\ntrain = {path = 'x', url = 'y'}", "must be a path, or a table", None),
        ("[data]\nsplits = 'x'", "must be a table of splits", None),
        ("[data]\nsplits.a = 5", r"\[data\] splits is a table, and must be a path", None),
        ("[metrics]\ntest = 0.9", r"\[metrics\] has no key 'test'", None),
        ("[model\n", "is no TOML", None),
        ("[model]\nname = 'a'\nname = 'b'", "is no TOML", None),
    ],
)
def test_a_mistake_is_named_with_file_key_and_what_was_meant(toml, text, says, hint):
    with pytest.raises(SpecError, match=says) as error:
        load_spec(toml(text))
    assert "modelimg.toml" in error.value.message
    if hint:
        assert hint in str(error.value.hint)


def test_a_missing_or_unreadable_file_is_told(tmp_path):
    with pytest.raises(SpecError, match="does not exist"):
        load_spec(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b"x = '\xff'")
    with pytest.raises(SpecError, match="is no TOML"):
        load_spec(tmp_path / "latin.toml")


def test_flags_lie_over_the_file_and_their_paths_are_relative_to_the_working_directory(toml, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    spec = load_spec(toml(FULL))
    monkeypatch.chdir(tmp_path / "elsewhere")
    flags = {"name": "other", "version": None, "code": [], "train": "t.csv", "input_schema": "s.py:In"}
    new = override(spec, **flags, platforms=["linux/arm64"])
    here = tmp_path / "elsewhere"
    assert (new.name, new.version, new.code) == ("other", "1.2.0", ("features.py",))
    assert new.train == DataEntry(str(here / "t.csv"))
    assert new.input_schema == str(here / "s.py:In")
    assert new.platforms == ("linux/arm64",)
    assert override(spec) == spec


def test_a_flag_that_is_no_field_is_a_mistake_of_ours(tmp_path):
    with pytest.raises(TypeError, match="colour"):
        override(PackSpec(tmp_path), colour="red")


@pytest.mark.parametrize(
    ("spec", "says", "hint"),
    [
        ({}, r"\[model\] name", "--name"),
        ({"name": "a"}, r"\[model\] version", "--version"),
        ({"name": "a", "version": "1"}, r"\[model\] file", "MODEL"),
        ({"name": "a", "version": "1", "file": "m.pkl"}, r"\[data\] train", "--train"),
    ],
)
def test_what_is_missing_is_named_with_key_and_flag(tmp_path, spec, says, hint):
    with pytest.raises(SpecError, match=says) as error:
        pack_spec(PackSpec(tmp_path, **spec), tmp_path / "out")
    assert hint in str(error.value.hint)


@pytest.mark.parametrize("text", ["{", "[]", '{"test": 1}'])
def test_a_metrics_file_that_cannot_be_meant_is_refused(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    spec = PackSpec(tmp_path, name="a", version="1", file="m", train=DataEntry("t"), metrics_file="metrics.json")
    with pytest.raises(SpecError, match=r"metrics\.json"):
        pack_spec(spec, tmp_path / "out")


def test_reading_a_spec_imports_neither_pandas_nor_scikit_learn(toml):
    check = "import sys; from modelimg.pack.spec import load_spec; load_spec(sys.argv[1]); print({'pandas', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", check, str(toml(FULL))], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
