"""The record of code, data and environment holds nothing of the host."""

from __future__ import annotations

import json
import platform

import pandas as pd
import pytest

from modelimg.pack.data import DataFile, Reader
from modelimg.pack.provenance import provenance, running_command, training_folder
from modelimg.pack.vcs import CodeState


@pytest.fixture
def script(tmp_path):
    folder = tmp_path / "repo" / "src"
    folder.mkdir(parents=True)
    (folder / "train.py").write_text("")
    return folder / "train.py"


def test_a_record_has_code_data_and_environment(tmp_path):
    pd.DataFrame({"a": [1, 2], "y": [0, 1]}).to_csv(tmp_path / "d.csv", index=False)
    reader = Reader(("a",), 1, None, tmp_path)
    splits = {
        "train": reader.read("train", DataFile("d.csv", "s3://b/d.csv")),
        "test": reader.read("test", (pd.DataFrame({"a": [1]}), [0])),
    }
    record = provenance(CodeState(revision="abc", dirty=False, root=tmp_path), splits, "python train.py")
    assert record["code"] == {"revision": "abc", "dirty": False}
    assert record["data"]["train"].keys() == {"sha256", "kind", "rows", "columns", "uri"}
    assert (record["data"]["train"]["kind"], record["data"]["test"]["kind"]) == ("file", "frame-v1")
    assert "uri" not in record["data"]["test"]
    assert record["training"]["command"] == "python train.py"
    assert record["training"]["python"] == platform.python_version()
    assert record["training"]["platform"]["system"] == platform.system()
    assert str(tmp_path) not in json.dumps(record)


def test_what_is_unknown_is_left_out():
    record = provenance(CodeState(), {}, None)
    assert record["code"] == {}
    assert "command" not in record["training"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "python src/train.py"),
        (("--depth", "3", "two words"), "python src/train.py --depth 3 'two words'"),
        (("{repo}/data/a.csv",), "python src/train.py data/a.csv"),
        (("/home/someone/data/a.csv",), "python src/train.py a.csv"),
        (("--data=/home/someone/a.csv",), "python src/train.py --data=a.csv"),
        (("--data={repo}/a.csv",), "python src/train.py --data=a.csv"),
        (("~/a.csv",), "python src/train.py a.csv"),
        (("https://me:secret@example.org/a.csv",), "python src/train.py https://example.org/a.csv"),
    ],
)
def test_a_command_has_paths_of_the_repository_only_and_no_credentials(script, arguments, expected):
    repo = script.parent.parent
    words = [str(script), *(word.format(repo=repo) for word in arguments)]
    assert running_command(repo, words) == expected


@pytest.mark.parametrize("arguments", [[], [""], ["-c"], ["/usr/bin/ipython"], ["nowhere.py"]])
def test_an_interactive_session_has_no_command(tmp_path, arguments):
    assert running_command(tmp_path, arguments) is None


def test_the_code_is_where_the_script_is(script, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert training_folder([str(script)]) == script.parent.resolve()
    assert training_folder([""]) == tmp_path
