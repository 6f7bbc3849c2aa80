"""Two real servers, and instead of ``wrk`` a program that asks them once and says what it was told to say."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import pytest
from benchmarks.pairs import Paired, ratios, turns
from benchmarks.serving.servers import Place, Server
from benchmarks.serving.subjects import Subject, Table

SCRIPT = """
import http.server, json, sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"predictions": [row["x"] for row in rows]}).encode())


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
WRK = """\
#!{python} -SE
import os, socket, sys

connections, url, bodies = sys.argv[4], sys.argv[-3], sys.argv[-1]
log = os.environ["WRK_LOG"]
with open(log, "a") as stream:
    stream.write(" ".join([os.path.basename(os.path.dirname(bodies)), os.path.basename(bodies), connections]) + "\\n")
with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as it, open(bodies, "rb") as stream:
    body = stream.readline()
    it.sendall(b"POST /predict HTTP/1.0\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body) + body)
    while it.recv(4096):
        pass
name, _, begin = os.environ["WRK_REFUSES"].partition(" ")
refused = 3 * (name in bodies.split("/") and len(open(log).readlines()) >= int(begin))
print('figures: {{"requests": 10, "microseconds": 1000000, "p50": 100, "p99": 200, "refused": %d, "broken": 0}}' % refused)
"""
NOBODY = "nobody 0"
ONE, MANY = Table([{"x": 1}], [1]), Table([{"x": 1}, {"x": 2}], [1, 2])
KINDS = ("p50", "p99", "throughput", "processor")


class Echo(Server):
    requirements: ClassVar[tuple[str, ...]] = ()

    def __init__(self, key: str, script: str = SCRIPT) -> None:
        super().__init__(())
        self.key = self.name = key
        self.script = script

    def command(self, place: Place, port: int) -> list[str | Path]:
        return [place.python, "-c", self.script, str(port)]


class Local(Paired):
    def _place(self, server: Server) -> Place:
        return Place(self.subject, Path(sys.executable), self.work / server.key)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Rehearse and play one round of two pairs; with what was under load, in order."""
    wrk, log = tmp_path / "wrk", tmp_path / "log"
    wrk.write_text(WRK.format(python=sys.executable))
    wrk.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("WRK_LOG", str(log))

    def play(refuses: str = NOBODY, scripts: tuple[str, str] = (SCRIPT, SCRIPT)) -> tuple[Paired, list[list[str]]]:
        monkeypatch.setenv("WRK_REFUSES", refuses)
        servers = [Echo("on", scripts[0]), Echo("off", scripts[1])]
        match = Local(Subject("linear", tmp_path, (), (ONE,), (MANY,)), servers, tmp_path, pairs=2)
        match.rehearse()
        match.play(1)
        lines = log.read_text().splitlines() if log.exists() else []
        return match, [line.split() for line in lines]

    return play


def test_both_are_warmed_and_take_turns_in_an_order_that_turns_round(played):
    _, loads = played()
    turn = ["on", "off", "off", "on"]
    kinds = [("one.jsonl", "16"), ("one.jsonl", "1"), ("batch.jsonl", "16"), ("batch.jsonl", "1")]
    warm = [[name, f"{size}.jsonl", "16"] for name in ("on", "off") for size in ("one", "batch")]
    assert loads == warm + [[name, *kind] for kind in kinds for name in turn]


def test_each_pair_gives_a_ratio_of_every_quantity(played):
    match, _ = played()
    assert match.failures == {}
    assert set(match.values) == {f"{size}-{kind}" for size in ("one", "batch") for kind in KINDS}
    assert match.ratios("one-throughput") == match.ratios("batch-p50") == (1.0, 1.0)
    assert len(match.ratios("one-processor")) == 2
    assert all(value > 0 for values in match.values["one-processor"].values() for value in values)
    rows = {row.key: row for section in match.sections() for row in section.rows}
    assert rows["linear-one-throughput"].samples["on"].values == (10.0, 10.0)
    assert len(rows) == 8


@pytest.mark.parametrize(("refuses", "noted"), [("on 1", 0), ("off 3", 0), ("off 6", 0), ("off 7", 1), ("on 20", 2)])
def test_who_refuses_a_request_is_named_and_no_half_pair_is_noted(played, refuses, noted):
    match, loads = played(refuses)
    (name,) = match.failures
    assert name == refuses.split()[0]
    assert "refused 3" in match.failures[name]
    values = match.values.get("one-throughput", {})
    assert {who: len(found) for who, found in values.items()} == ({"on": noted, "off": noted} if noted else {})
    assert match.ratios("one-throughput") == ()
    assert name not in {who for section in match.sections() for row in section.rows for who in row.samples}
    match.play(1)  # has nobody to compare with
    assert len(loads) == len(Path(match.work, "log").read_text().splitlines())


@pytest.mark.parametrize("scripts", [("raise SystemExit(7)", SCRIPT), (SCRIPT, "raise SystemExit(7)")])
def test_who_does_not_start_leaves_nothing_to_compare(played, scripts):
    match, loads = played(scripts=scripts)
    assert list(match.failures) == ["on" if scripts[0] != SCRIPT else "off"]
    assert (loads, match.values, match.ratios("one-throughput")) == ([], {}, ())


@pytest.mark.parametrize(
    ("count", "order"), [(0, []), (1, ["AB"]), (2, ["AB", "BA"]), (5, ["AB", "BA", "AB", "BA", "AB"])]
)
def test_turns_are_taken_a_b_b_a(count, order):
    assert turns("AB", count) == order


def test_ratios_are_of_values_that_were_measured_together():
    assert ratios([95.0, 9.0], [100.0, 10.0]) == (0.95, 0.9)
    assert ratios([], []) == ()


@pytest.mark.parametrize(("first", "second"), [([1.0], []), ([], [1.0]), ([1.0, 2.0], [1.0]), ([1.0], [1.0, 2.0])])
def test_values_of_which_one_is_missing_are_no_pairs(first, second):
    with pytest.raises(ValueError, match=f"{len(first)} values and {len(second)} are no pairs"):
        ratios(first, second)
