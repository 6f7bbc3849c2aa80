from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest
from benchmarks.serving.process import ServerFailed, running
from benchmarks.serving.servers import Place, Server
from benchmarks.serving.subjects import Subject, Table

SCRIPT = """
import http.server, json, subprocess, sys

port, behaviour = int(sys.argv[1]), sys.argv[2]
if behaviour == "ends":
    print("no model here", flush=True)
    sys.exit(7)
child = subprocess.Popen([sys.executable, "-c", "import time; x = bytearray(30_000_000); print(1); time.sleep(600)"],
                         stdout=subprocess.PIPE)
child.stdout.readline()


class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
        Handler.asked += 1
        self.send_response(503 if behaviour == "loads first" and Handler.asked < 3 else 200)
        self.end_headers()
        answer = {"predictions": [row["x"] * 2 for row in rows], "child": child.pid}
        self.wfile.write(json.dumps({} if behaviour == "says nothing" else answer).encode())


print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
RIGHT = Table([{"x": 2}], [4])
WRONG = Table([{"x": 2}], [5])


class Doubling(Server):
    key = name = "doubling"
    requirements: ClassVar[tuple[str, ...]] = ()
    child = 0

    def __init__(self, behaviour: str = "works") -> None:
        super().__init__(())
        self.behaviour = behaviour

    def command(self, place: Place, port: int) -> list[str | Path]:
        return [place.python, "-c", SCRIPT, str(port), self.behaviour]

    def predictions(self, answer):
        self.child = answer["child"]
        return super().predictions(answer)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Subject("linear", tmp_path, (), (RIGHT,), ()), Path(sys.executable), tmp_path)


@pytest.mark.parametrize("behaviour", ["works", "loads first"])
def test_a_server_is_running_from_its_first_prediction_on(place, behaviour):
    server = Doubling(behaviour)
    with running(server, place, RIGHT) as it:
        assert it.seconds > 0
        it.check(Table([{"x": 1}, {"x": 3}], [2, 6]))


def test_memory_is_that_of_the_whole_tree(place):
    with running(Doubling(), place, RIGHT) as it:
        assert it.memory() > 30_000_000


def test_its_time_of_the_processor_grows_while_it_answers_and_is_none_when_it_has_ended(place):
    with running(Doubling(), place, RIGHT) as it:
        before = it.processor()
        for _ in range(20):
            it.check(RIGHT)
        assert it.processor() > before > 0
    assert it.processor() == 0


def test_its_time_of_the_processor_is_that_of_its_children_as_well(place):
    server = Doubling()
    with running(server, place, RIGHT) as it:
        own, its_childs = (time.clock_gettime((~pid << 3) | 2) for pid in (it.process.pid, server.child))
        assert it.processor() >= own + its_childs > own


def test_all_of_its_processes_end_with_it(place):
    server = Doubling()
    with running(server, place, RIGHT) as it:
        pids = (it.process.pid, server.child)
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(_runs(pid) for pid in pids)


def test_an_answer_that_is_not_scikit_learns_fails_at_once(place):
    wrong = r"(?s)predicts \[4\], scikit-learn \[5\].*listening"
    with pytest.raises(ServerFailed, match=wrong), running(Doubling(), place, WRONG):
        pass


def test_a_later_wrong_answer_fails_and_the_server_ends(place):
    server = Doubling()
    with pytest.raises(ServerFailed, match="scikit-learn"), running(server, place, RIGHT) as it:
        it.check(WRONG)
    assert not _runs(server.child)


@pytest.mark.parametrize(
    ("behaviour", "reason"), [("ends", r"(?s)ended with 7.*no model here"), ("says nothing", "has no predictions")]
)
def test_who_does_not_predict_is_named_with_the_end_of_the_log(place, behaviour, reason):
    with pytest.raises(ServerFailed, match=reason), running(Doubling(behaviour), place, RIGHT):
        pass


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
