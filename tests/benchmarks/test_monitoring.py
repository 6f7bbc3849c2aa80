from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.footprint import Footprint, measured
from benchmarks.measure import OURS, Row, Samples, Section
from benchmarks.monitoring import OFF, MonitoringReport, kept
from benchmarks.reading import Reading, read, sections_of
from benchmarks.serving.rounds import Match, failures_of, left_out
from benchmarks.serving.servers import Place
from benchmarks.serving.subjects import Subject

from modelimg_runtime.monitor import Document


def subject(key: str = "linear") -> Subject:
    return Subject(key, Path(), (), (), ())


def targets(*rows: Row):
    return MonitoringReport("2026-01-01", "command", {}, [Section("Title", rows)], {}).targets


def throughput(key: str, **values: float) -> Row:
    names = {"on": OURS, "off": OFF}
    return Row(key, "one row", "req/s", {names[name]: Samples((value,)) for name, value in values.items()})


@pytest.mark.parametrize(("on", "met"), [(900, True), (1100, True), (899, False), (1, False)])
@pytest.mark.parametrize("key", ["linear-one-throughput", "linear-batch-throughput", "forest-one-throughput"])
def test_nine_of_ten_requests_are_to_be_left(key, on, met):
    (target,) = targets(throughput(key, on=on, off=1000))
    assert (target.limit, target.least, target.met) == (0.9, True, met)


@pytest.mark.parametrize(("kB", "met"), [(2.5, True), (5.0, True), (5.1, False), (100.0, False)])
def test_a_column_takes_kilobytes_of_counters(kB, met):
    (target,) = targets(Row("per-column", "of each column", "kB", {"30 columns": Samples((kB,))}))
    assert target.met is met


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (throughput("linear-one-throughput", on=1000),),
        (throughput("linear-one-throughput", off=1000),),
        (throughput("linear-one-p50", on=9, off=1),),
    ],
)
def test_what_was_not_measured_of_both_is_held_against_nothing(rows):
    assert targets(*rows) == []


def test_what_is_kept_is_of_the_two_of_one_round_whatever_the_machine_did_between_rounds():
    values = {"one-throughput": {OURS: [950.0, 95.0], OFF: [1000.0, 100.0]}}
    found = {row.key: row for each in kept([Match(subject(), [], Path(), values=values)]) for row in each.rows}
    assert found["kept-one-throughput"].samples == {"logistic regression": Samples((95.0, 95.0))}


@pytest.mark.parametrize("values", [{}, {OURS: [1.0]}, {OFF: [1.0]}, {OURS: [1.0, 2.0], OFF: [1.0]}])
def test_where_one_of_the_two_failed_in_a_round_nothing_is_said_of_what_is_kept(values):
    match = Match(subject(), [], Path(), values={"one-throughput": values})
    assert not any(row.samples for each in kept([match]) for row in each.rows)


def test_who_failed_is_named_without_the_log():
    match = Match(subject(), [], Path(), failures={OFF: "it refused 3; the end of its log:\nsecrets"})
    (text,) = left_out(failures_of([match]))
    assert "monitoring off, logistic regression: it refused 3" in text
    assert "secrets" not in text
    assert left_out({}) == []


def test_a_page_that_is_not_there_is_left_out_and_one_that_fails_is_an_error(loopback, answer):
    loopback.answer("/metrics", answer(body=b"x" * 70))
    loopback.answer("/monitor.json", answer(503))
    port = int(loopback.url.rpartition(":")[2])
    milliseconds, size = read(port, "/metrics")
    assert milliseconds > 0
    assert size == 70
    assert read(port, "/monitor") is None
    with pytest.raises(RuntimeError, match=r"/monitor.json was answered with 503"):
        read(port, "/monitor.json")


def test_figures_are_by_the_number_of_columns_and_of_pages_that_are_there():
    it = Reading(Place(subject(), Path(), Path()))
    it.footprints += [Footprint(30, 500, 90_000, 4_000_000, 300_000, 10.0, 1.0)] * 2
    it.pages["/metrics"] = [(20.0, 100_000), (22.0, 100_000)]
    rows = {row.key: row for each in sections_of([it]) for row in each.rows}
    assert rows["per-column"].samples == {"30 columns": Samples((3.0, 3.0))}
    assert rows["/metrics-ms"].samples == {"30 columns": Samples((20.0, 22.0))}
    assert rows["/metrics-kB"].samples == {"30 columns": Samples((100.0, 100.0))}
    assert "/monitor-ms" not in rows


def test_counters_of_a_package_are_measured_and_left_for_a_server(breast_cancer, tmp_path):
    found = measured(Path(sys.executable), breast_cancer, tmp_path)
    assert found.columns == 30
    assert found.counters == pytest.approx(8 * (24 + 2) * found.cells, rel=0.01)
    assert found.remembered == pytest.approx(40 * 100_000, rel=0.01)
    assert found.resident > 0
    assert found.one > found.many > 0
    (path,) = tmp_path.glob("*.json")
    document = Document.from_json(path.read_bytes())
    assert len(document.windows) == 24
    assert {counts.rows for counts in list(document.windows.values())[:-1]} == {101}


@pytest.mark.parametrize("package", ["nowhere", "."])
def test_what_is_no_package_is_not_measured(package, tmp_path):
    with pytest.raises(RuntimeError, match=r"benchmarks.footprint .* failed"):
        measured(Path(sys.executable), tmp_path / package, tmp_path)
