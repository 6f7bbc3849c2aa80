"""The process: how it starts, refuses to start, becomes ready, drains, and what its commands print."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.ensemble import BaggingRegressor
from sklearn.linear_model import LinearRegression

from modelimg_runtime import contract

JSON = {"content-type": "application/json"}

WATCH_WRITES = """
import os, sys

def hook(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and path != "/dev/null":
            sys.__stderr__.write(f"WROTE {path}\\n")
    elif event in ("os.mkdir", "os.rename", "os.remove", "tempfile.mkstemp", "tempfile.mkdtemp"):
        sys.__stderr__.write(f"WROTE {event} {arguments}\\n")
    elif event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
        sys.__stderr__.write(f"WROTE a process: {event}\\n")

sys.addaudithook(hook)
"""

NO_PYARROW = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pyarrow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Finder())
"""


def site(tmp_path: Path, source: str) -> str:
    """A folder for PYTHONPATH whose sitecustomize runs before anything else."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(source)
    return str(folder)


def stop(server, signal_number=signal.SIGTERM):
    server.process.send_signal(signal_number)
    out, err = server.process.communicate(timeout=30)
    return server.process.returncode, out, err


def test_a_server_is_alive_then_ready_then_predicts_then_ends_with_0(cancer, tools):
    body = json.dumps({"rows": cancer.rows}).encode()
    with tools.server_of(cancer.folder, MODELIMG_FAST_PATH="off") as server:  # loading takes its time
        server.wait_for("/livez")
        status, headers, document = server.request("GET", "/readyz")
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert json.loads(document)["type"] == "urn:modelimg:problem:not-ready"
        for method, path in (("POST", "/predict"), ("GET", "/info"), ("GET", "/schema")):
            assert server.request(method, path, body if method == "POST" else None, **JSON)[0] == 503
        assert tools.run_runtime("health", PORT=str(server.port)).returncode == 1
        server.wait_for("/readyz")
        status, headers, answer = server.request("POST", "/predict", body, **JSON)
        assert status == 200
        assert json.loads(answer)["predictions"] == json.loads(cancer.files["examples.json"])["predictions"]
        assert "server" not in {name.lower() for name in headers}
        assert tools.run_runtime("health", PORT=str(server.port)).returncode == 0
        status, _, answer = server.request("POST", "/predict", b"x" * 11_000_000, **JSON)
        assert status == 413
        code, out, _ = stop(server)
        assert (code, out) == (0, "")


def test_sigterm_lets_an_accepted_request_finish(regressor, tools):
    body = json.dumps({"rows": regressor.rows}).encode()
    with tools.server_of(regressor.folder) as server:
        server.wait_for("/readyz")
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            connection.sendall(f"{head}\r\n\r\n".encode() + body[:10])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(body[10:])
            assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 200")
        assert server.process.wait(timeout=20) == 0


def test_sigterm_while_the_model_is_loading_ends_with_0(cancer, tools):
    with tools.server_of(cancer.folder) as server:
        server.wait_for("/livez")
        assert stop(server)[0] == 0


def test_a_changed_model_file_refuses_to_start_with_one_sentence(fresh_cancer, tools):
    path = fresh_cancer.folder / "model.joblib"
    path.write_bytes(path.read_bytes() + b"\0")
    with tools.server_of(fresh_cancer.folder) as server:
        _, err = server.process.communicate(timeout=40)
        assert server.process.returncode == 1
        last = err.splitlines()[-1]
        assert last.startswith("modelimg: model.joblib has sha256 ")
        assert "Traceback" not in err


def test_an_example_that_comes_out_differently_refuses_to_start(fresh_cancer, tools):
    examples = json.loads(fresh_cancer.files[contract.EXAMPLES])
    examples["predictions"][0] = 1 - examples["predictions"][0]
    tools.repack(fresh_cancer, contract.EXAMPLES, json.dumps(examples).encode())
    result = tools.run_runtime("serve", folder=fresh_cancer.folder, PORT=str(tools.free_port()))
    assert result.returncode == 1
    assert "1 of the 5 packed examples come out differently here" in result.stderr.splitlines()[-1]


def test_a_port_in_use_ends_with_1(cancer, tools):
    with socket.create_server(("0.0.0.0", 0)) as taken:
        result = tools.run_runtime("serve", folder=cancer.folder, PORT=str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("modelimg: port ")


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PANDERA_VALIDATION_ENABLED": "False"}, "PANDERA_VALIDATION_ENABLED=False"),
        ({"PANDERA_VALIDATION_DEPTH": "SCHEMA_ONLY"}, "PANDERA_VALIDATION_DEPTH=SCHEMA_ONLY"),
        ({"PANDERA_VALIDATION_DEPTH": "nonsense"}, "PANDERA_VALIDATION_DEPTH=nonsense"),
        ({"PORT": "eighty"}, "PORT=eighty"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "selftest"])
def test_a_setting_that_must_not_be_refuses_to_start(cancer, tools, environ, says, command):
    result = tools.run_runtime(command, folder=cancer.folder, **environ)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert says in line


def test_a_folder_without_a_package_refuses_to_start_without_naming_the_path(tmp_path, tools):
    result = tools.run_runtime("serve", folder=tmp_path, PORT=str(tools.free_port()))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == "modelimg: no model package here: modelimg.json: No such file or directory"


def test_selftest_prints_one_line_and_names_what_differs_in_version(cancer, tools):
    result = tools.run_runtime("selftest", folder=cancer.folder)
    assert result.returncode == 0, result.stderr
    [line] = result.stdout.splitlines()
    verdict = json.loads(line)
    assert (verdict["passed"], verdict["examples"], verdict["differences"]) == (True, 5, [])
    assert verdict["error"] is None
    [numpy] = verdict["versions"]
    assert (numpy["name"], numpy["training"]) == ("numpy", "1.0.0")


def test_selftest_says_no_with_3_and_keeps_what_the_package_prints_off_stdout(coded, tmp_path, tools):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in coded.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    copy = type(coded)(folder, coded.columns)
    tools.repack(copy, "schemas.py", b"print('hello')\n" + tools.schemas_module)
    examples = json.loads(coded.files[contract.EXAMPLES])
    examples["predictions"][1] += 1e-6
    tools.repack(copy, contract.EXAMPLES, json.dumps(examples).encode())
    result = tools.run_runtime("selftest", folder=folder)
    assert result.returncode == 3
    [line] = result.stdout.splitlines()
    [difference] = json.loads(line)["differences"]
    assert difference["row"] == 1
    assert difference["expected"]["prediction"] - difference["got"]["prediction"] == pytest.approx(1e-6, rel=1e-3)
    assert "hello" in result.stderr


def test_selftest_of_a_broken_package_gives_the_reason_as_json(fresh_cancer, tools):
    (fresh_cancer.folder / "model.joblib").write_bytes(b"")
    result = tools.run_runtime("selftest", folder=fresh_cancer.folder)
    assert result.returncode == 3
    verdict = json.loads(result.stdout)
    assert (verdict["passed"], verdict["examples"]) == (False, 0)
    assert "model.joblib has sha256 e3b0c442" in verdict["error"]


def test_info_prints_the_package_without_loading_the_model(fresh_cancer, tools):
    (fresh_cancer.folder / "model.joblib").unlink()
    result = tools.run_runtime("info", folder=fresh_cancer.folder)
    assert result.returncode == 0
    assert json.loads(result.stdout)["name"] == "demo"


@pytest.mark.parametrize("arguments", [("serv",), ("serve", "--port", "80"), ("selftest", "x")])
def test_an_unknown_command_is_a_usage_error(tools, arguments):
    result = tools.run_runtime(*arguments)
    assert result.returncode == 2
    assert "usage:" in result.stderr


def test_help_is_printed(tools):
    assert "selftest" in tools.run_runtime("--help").stdout


def test_health_without_a_server_is_1(tools):
    assert tools.run_runtime("health", PORT=str(tools.free_port())).returncode == 1


def test_a_server_writes_no_file_and_starts_no_process(mixed, tmp_path, tools):
    body = json.dumps({"rows": mixed.rows}).encode()
    path = site(tmp_path, WATCH_WRITES)
    with tools.server_of(mixed.folder, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1") as server:
        server.wait_for("/readyz")
        assert server.request("POST", "/predict", body, **JSON)[0] == 200
        assert server.request("POST", "/predict", b'{"rows": [{}]}', **JSON)[0] == 422
        code, _, err = stop(server)
    assert code == 0
    assert "WROTE" not in err


def test_a_model_that_would_start_processes_computes_without_them(tmp_path, tools):
    X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
    model = BaggingRegressor(LinearRegression(), n_estimators=4).fit(X, X["a"]).set_params(n_jobs=2)
    schema = pa.DataFrameSchema({"a": pa.Column("float64")}, strict=True)
    output = pa.DataFrameSchema({"prediction": pa.Column("float64")}, strict=True)
    made = tools.write_package(tmp_path / "model", model, X, schema, output)
    path = site(tmp_path, WATCH_WRITES)
    result = tools.run_runtime("selftest", folder=made.folder, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
    assert json.loads(result.stdout)["passed"] is True, result
    assert "WROTE" not in result.stderr


def test_a_schema_written_with_pyarrow_holds_where_there_is_none(mixed, tmp_path, tools):
    assert b"string[pyarrow]" in mixed.files[contract.INPUT_SCHEMA]
    result = tools.run_runtime("selftest", folder=mixed.folder, PYTHONPATH=site(tmp_path, NO_PYARROW))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["passed"] is True
