from __future__ import annotations

import pytest
from benchmarks.serving.process import ServerFailed
from benchmarks.serving.wrk import Load, parse

NOISE = """\
Running 1s test @ http://127.0.0.1:8080/predict
  1 threads and 1 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   127.41us   34.29us   1.05ms   93.41%
Requests/sec:   7693.76
"""


def _printed(**changed: int) -> str:
    figures = {"requests": 8000, "microseconds": 2_000_000, "p50": 127, "p99": 1500, "refused": 0, "broken": 0}
    pairs = ", ".join(f'"{name}": {value}' for name, value in {**figures, **changed}.items())
    return f"{NOISE}\nfigures: {{{pairs}}}\n"


def test_figures_are_milliseconds_and_requests_per_second():
    assert parse(_printed()) == Load(p50=0.127, p99=1.5, throughput=4000, requests=8000)


@pytest.mark.parametrize("name", ["refused", "broken"])
def test_one_request_that_went_wrong_fails_the_load(name):
    with pytest.raises(ServerFailed, match="8000"):
        parse(_printed(**{name: 1}))


def test_a_load_without_any_answer_is_no_figure():
    with pytest.raises(ServerFailed, match="answered nothing"):
        parse(_printed(requests=0))


@pytest.mark.parametrize("output", ["", NOISE, "figures 1", NOISE + "  figures: {}"])
def test_output_without_figures_is_an_error(output):
    with pytest.raises(ValueError, match="no figures"):
        parse(output)
