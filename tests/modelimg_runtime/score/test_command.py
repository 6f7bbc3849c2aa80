"""The command: flags, exit codes, standard streams, signals, a full disk, and bounded memory."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from modelimg_runtime.environment import Settings
from modelimg_runtime.score.command import score


@pytest.fixture
def folder(regressor):
    return regressor.folder


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("a,b\n1,2\n3,\n5,6\n")
    return path


@pytest.fixture
def call(capfdbinary, regressor, monkeypatch):
    """The command in this process."""

    def run(*arguments, folder=regressor.folder):
        try:
            code = score([*map(str, arguments)], Settings(model_dir=folder))
        except SystemExit as stopped:
            code = stopped.code
        out, err = capfdbinary.readouterr()
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return run


def others(folder, *known):
    return {each.name for each in folder.iterdir()} - {Path(each).name for each in known}


def test_a_run_says_what_it_did_in_one_line(scoring, folder, table, tmp_path):
    done = scoring.run(folder, table, tmp_path / "out.jsonl", "--progress", "off")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary.pop("seconds") >= 0
    assert summary == {
        "output": str(tmp_path / "out.jsonl"),
        "rejects": str(tmp_path / "out.rejects.jsonl"),
        "rows": 3,
        "predicted": 2,
        "rejected": 1,
    }
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""
    assert others(tmp_path, table, "site") == {"out.jsonl", "out.rejects.jsonl"}


@pytest.mark.parametrize(
    ("text", "flags", "code"),
    [
        ("a,b\n1,2\n", [], 0),
        ("a,b\n1,2\n3,\n", [], 0),
        ("a,b\n1,2\n3,\n", ["--fail-on-rejects"], 3),
        ("a,b\n1,2\n", ["--fail-on-rejects"], 0),
        ("a,b\n1,\n3,\n", [], 3),  # nothing at all could be predicted
        ("a,b\n", ["--fail-on-rejects"], 0),
        ("a\n1\n", [], 3),
        ('a,b\n1,"2"3\n', [], 1),
        ("", [], 1),
    ],
)
def test_the_exit_code_says_how_it_went(call, tmp_path, text, flags, code):
    (tmp_path / "in.csv").write_text(text)
    done = call(tmp_path / "in.csv", tmp_path / "out.csv", *flags)
    assert done.returncode == code, done.stderr
    assert (tmp_path / "out.csv").exists() == bool(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: IN, OUT"),
        (["in.csv"], "required: OUT"),
        (["in.csv", "out.csv", "more"], "unrecognized arguments: more"),
        (["in.csv", "out.csv", "--batch-rows", "0"], "whole number from 1 to 1000000"),
        (["in.csv", "out.csv", "--batch-rows", "1e3"], "whole number from 1 to 1000000"),
        (["in.csv", "out.csv", "--progress", "yes"], "invalid choice: 'yes'"),
        (["in.csv", "out.txt"], "out.txt ends in none of .csv"),
        (["in.csv", "out.parquet.gz"], "parquet is read from a file and written to one"),
        (["in.csv", "-", "--output-format", "parquet"], "parquet is read from a file and written to one"),
        (["nowhere.csv", "out.csv"], "nowhere.csv does not exist"),
        ([".", "out.csv", "--input-format", "csv"], ". is a folder"),
        (["in.csv", "nowhere/out.csv"], "the folder nowhere does not exist"),
        (["in.csv", "in.csv", "--force"], "in.csv is the input"),
        (["in.csv", "old.csv"], "old.csv is there already; --force writes over it"),
        (["in.csv", "out.csv", "--rejects", "old.csv"], "old.csv is there already"),
        (["in.csv", "out.csv", "--rejects", "out.csv"], "cannot go into one file"),
        (["in.csv", "out.csv", "--probabilities"], "the model gives no probabilities"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_and_changes_nothing(
    call, monkeypatch, table, tmp_path, arguments, message
):
    (tmp_path / "old.csv").write_text("old")
    monkeypatch.chdir(tmp_path)
    done = call(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert others(tmp_path, table) == {"old.csv"}
    assert (tmp_path / "old.csv").read_text() == "old"


def test_a_package_that_may_not_be_used_is_refused_in_one_sentence(scoring, table, tmp_path):
    done = scoring.run(tmp_path, table, tmp_path / "out.csv", env={"PANDERA_VALIDATION_ENABLED": "False"})
    assert (done.returncode, b"switches validation off" in done.stderr) == (1, True)


def test_force_writes_over_older_files_and_removes_older_rejects(call, table, tmp_path):
    assert call(table, tmp_path / "out.csv").returncode == 0
    assert call(table, tmp_path / "out.csv").returncode == 2
    (tmp_path / "good.csv").write_text("a,b\n1,2\n")
    done = call(tmp_path / "good.csv", tmp_path / "out.csv", "--force")
    assert json.loads(done.stdout)["rejects"] is None
    assert others(tmp_path, table, "good.csv") == {"out.csv"}


def test_standard_input_and_output(scoring, folder, table):
    done = scoring.run(folder, "-", "-", input=table.read_bytes())
    assert done.returncode == 0
    assert done.stdout.startswith(b"row,prediction\n0,")
    reject, summary = map(json.loads, done.stderr.splitlines())
    assert (reject["row"], summary["rejected"], summary["output"], summary["rejects"]) == (1, 1, "-", None)


def test_standard_streams_in_other_formats(scoring, folder, tmp_path):
    rows = b'{"a": 1, "b": 2}\n{"a": 1}\n'
    flags = ["--input-format", "jsonl", "--rejects", tmp_path / "bad.jsonl", "--no-row"]
    done = scoring.run(folder, "-", "-", *flags, input=rows)
    assert [list(json.loads(line)) for line in done.stdout.splitlines()] == [["prediction"]]
    assert len(scoring.read(tmp_path / "bad.jsonl")) == 1
    done = scoring.run(folder, "-", "-", *flags, "--output-format", "csv", "--force", input=rows[:17])
    assert done.stdout.splitlines()[0] == b"prediction"


def test_a_reader_that_goes_away_ends_the_run_without_a_traceback(folder, tmp_path):
    (tmp_path / "in.csv").write_text("a,b\n" + "1,2\n" * 100_000)
    command = f"{sys.executable} -m modelimg_runtime score in.csv - | head -1; echo ${{PIPESTATUS[0]}}"
    environ = {"PATH": os.environ["PATH"], "MODELIMG_MODEL_DIR": str(folder)}
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environ, capture_output=True, check=False)
    assert done.stdout == b"row,prediction\n1\n"
    assert done.stderr == b"modelimg: Broken pipe\n"


def test_what_the_models_code_prints_does_not_get_into_the_output(scoring, tools, tmp_path):
    import pandas as pd
    import pandera.pandas as pa
    from sklearn.linear_model import LinearRegression

    source = tools.schemas_module + b"\nimport os\nprint('hello')\nos.write(1, b'world\\n')\n"
    X = pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, 1.5]})
    output = pa.DataFrameSchema({"prediction": pa.Column("float64")})
    made = tools.write_package(
        tmp_path / "model",
        LinearRegression().fit(X, X["a"]),
        X,
        "schemas.py:Input",
        output,
        extra={"schemas.py": source},
    )
    done = scoring.run(made.folder, "-", "-", input=b"a,b\n1,0.5\n")
    assert done.stdout.splitlines()[0] == b"row,prediction"
    assert b"hello" in done.stderr
    assert b"world" in done.stderr
    assert not {b"hello", b"world"} & set(done.stdout.split())


@pytest.mark.parametrize("arguments", [("in.parquet", "out.csv"), ("in.csv", "out.arrow")])
def test_without_pyarrow_the_answer_is_one_sentence(scoring, folder, table, tmp_path, arguments):
    (tmp_path / "in.parquet").write_bytes(b"PAR1")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import sys\nsys.modules['pyarrow'] = None\n")
    done = scoring.run(folder, *arguments, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert done.returncode == 1
    assert b"pack the model with [image] parquet = true" in done.stderr
    done = scoring.run(folder, "in.csv", "out.csv", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")})
    assert done.returncode == 0, done.stderr


def long_run(folder, tmp_path):
    """A run that takes its rows from a pipe which stays open, after its first batches."""
    process = subprocess.Popen(
        [sys.executable, "-m", "modelimg_runtime", "score", "-", "out.csv", "--batch-rows", "100", "--progress", "off"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "MODELIMG_MODEL_DIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdin.write(b"a,b\n" + b"1,2\n3,4\n" * 20_000)
    process.stdin.flush()
    deadline = time.monotonic() + 40
    while not any(each.stat().st_size for each in tmp_path.glob(".out.csv.partial-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_run_and_leaves_nothing(folder, tmp_path, number, code):
    process = long_run(folder, tmp_path)
    assert len(others(tmp_path)) == 2
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (code, b"", b"")
    assert others(tmp_path) == set()


def test_what_a_kill_leaves_has_no_final_name_and_goes_with_the_next_run(scoring, folder, table, tmp_path):
    process = long_run(folder, tmp_path)
    process.kill()
    process.communicate()
    assert {name[: name.index("-")] for name in others(tmp_path, table)} == {
        ".out.csv.partial",
        ".out.rejects.jsonl.partial",
    }
    assert scoring.run(folder, table, tmp_path / "out.csv").returncode == 0
    assert others(tmp_path, table) == {"out.csv", "out.rejects.jsonl"}


@pytest.mark.parametrize("target", ["out.csv", "out.parquet", "out.arrow", "out.jsonl", "out.csv.gz"])
def test_a_full_disk_ends_the_run_with_a_sentence_and_leaves_nothing(scoring, folder, tmp_path, target):
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(f"{i},{i}\n" for i in range(1, 300)) * 100)

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    # Byte code that does not fit would be left behind in part, in the environment that all tests share.
    environment = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = scoring.run(
        folder, tmp_path / "in.csv", tmp_path / target, "--progress", "off", preexec_fn=small_files, env=environment
    )
    assert done.returncode == 1
    assert done.stderr == b"modelimg: File too large\n"
    assert others(tmp_path) == {"in.csv"}


PEAK = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, "-m", "modelimg_runtime", "score", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_file(cancer, tmp_path, show):
    """A quarter of the rows is rejected, so pandas, pandera and scikit-learn are in either measurement."""
    header = ",".join(cancer.columns)
    lines = [",".join(map(repr, row.values())) for row in cancer.rows]
    lines[3] = lines[3].replace(lines[3].partition(",")[0], "-1", 1)
    block = "\n".join(lines * 40) + "\n"
    peaks = {}
    for name, blocks in (("small", 10), ("large", 100)):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"{header}\n{block * blocks}")
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), str(tmp_path / f"{name}.out.csv"), "--progress", "off"],
            env={"PATH": os.environ["PATH"], "MODELIMG_MODEL_DIR": str(cancer.folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        code, peaks[name] = map(int, done.stdout.split())
        assert code == 0
        show(f"peak memory of scoring {path.stat().st_size / 1e6:.1f} MB: {peaks[name]} MB")
    assert peaks["large"] < peaks["small"] + 20
