from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.footprint import Footprint, measured
from benchmarks.measure import OURS, Row, Samples, Section, Slices
from benchmarks.monitoring import OFF, MonitoringReport, Unmonitored, kept
from benchmarks.pairs import Paired
from benchmarks.reading import Monitored, Reading, read, sections_of
from benchmarks.serving.rounds import Match, failures_of, left_out
from benchmarks.serving.servers import Place
from benchmarks.serving.subjects import Subject

from modelimg_runtime.monitor import Document


def subject(key: str = "linear") -> Subject:
    return Subject(key, Path(), (), (), ())


def targets(*rows: Row):
    return MonitoringReport("2026-01-01", "command", {}, [Section("Title", rows)], {}).targets


def throughput(size: str, **values: float) -> Row:
    return Row(f"kept-{size}-throughput", size, "%", {name: Slices((value,)) for name, value in values.items()})


def paired(values, **failures: str) -> Paired:
    servers = [Monitored(()), Unmonitored(())]
    return Paired(subject(), servers, Path(), failures=failures, values={"one-throughput": values})


@pytest.mark.parametrize(("kept", "met"), [(90.0, True), (110.0, True), (89.9, False), (0.1, False)])
@pytest.mark.parametrize("size", ["one", "batch"])
@pytest.mark.parametrize("name", ["forest", "logistic regression"])
def test_nine_of_ten_requests_are_to_be_left(name, size, kept, met):
    (target,) = targets(throughput(size, **{name: kept}))
    assert (target.limit, target.least, target.met) == (0.9, True, met)
    assert target.measured == pytest.approx(kept / 100)
    assert target.label.startswith(f"{name}: throughput, {size}: ")


def test_what_is_left_is_the_median_of_all_pairs_and_not_a_ratio_of_medians():
    on, off = [50.0, 95.0, 960.0], [100.0, 100.0, 1000.0]
    sections = list(kept([paired({OURS: on, OFF: off})]))
    (target,) = MonitoringReport("2026-01-01", "command", {}, sections, {}).targets
    assert target.measured == pytest.approx(0.95)


@pytest.mark.parametrize(("kB", "met"), [(2.5, True), (5.0, True), (5.1, False), (100.0, False)])
def test_a_column_takes_kilobytes_of_counters(kB, met):
    (target,) = targets(Row("per-column", "of each column", "kB", {"30 columns": Samples((kB,))}))
    assert target.met is met


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (throughput("one"),),
        (throughput("two", forest=1),),
        (Row("kept-one-p50", "one row", "%", {"forest": Slices((1.0,))}),),
        (Row("kept-one-processor", "one row", "%", {"forest": Slices((1.0,))}),),
        (Row("forest-one-throughput", "one row", "req/s", {OURS: Slices((1.0,)), OFF: Slices((2.0,))}),),
    ],
)
def test_what_is_no_share_of_throughput_is_held_against_nothing(rows):
    assert targets(*rows) == []


def test_what_is_kept_is_of_the_two_of_one_pair_whatever_the_machine_did_between_pairs():
    match = paired({OURS: [950.0, 95.0], OFF: [1000.0, 100.0]})
    found = {row.key: row for each in kept([match]) for row in each.rows}
    assert found["kept-one-throughput"].samples == {"logistic regression": Slices((95.0, 95.0))}
    assert not found["kept-batch-throughput"].samples


def test_where_one_of_the_two_failed_nothing_is_said_of_what_is_kept():
    match = paired({OURS: [1.0], OFF: [1.0]}, **{OFF: "it refused 3"})
    assert not any(row.samples for each in kept([match]) for row in each.rows)


@pytest.mark.parametrize("values", [{OURS: [1.0]}, {OFF: [1.0]}, {OURS: [1.0, 2.0], OFF: [1.0]}])
def test_what_has_no_counterpart_is_not_compared(values):
    with pytest.raises(ValueError, match="are no pairs"):
        list(kept([paired(values)]))


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
    it.footprints += [Footprint(30, 500, 90_000, 4_000_000, 300_000, 5.0, 0.5, 10.0, 1.0)] * 2
    it.pages["/metrics"] = [(20.0, 100_000), (22.0, 100_000)]
    rows = {row.key: row for each in sections_of([it]) for row in each.rows}
    assert rows["per-column"].samples == {"30 columns": Samples((3.0, 3.0))}
    figures = [rows[key].samples["30 columns"].median for key in ("one", "many", "one-at-once", "many-at-once")]
    assert figures == [5.0, 0.5, 10.0, 1.0]
    assert rows["/metrics-ms"].samples == {"30 columns": Samples((20.0, 22.0))}
    assert rows["/metrics-kB"].samples == {"30 columns": Samples((100.0, 100.0))}
    assert "/monitor-ms" not in rows


def test_counters_of_a_package_are_measured_and_left_for_a_server(breast_cancer, tmp_path):
    found = measured(Path(sys.executable), breast_cancer, tmp_path)
    assert found.columns == 30
    assert found.counters == pytest.approx(8 * (24 + 2) * found.cells, rel=0.01)
    assert found.remembered == pytest.approx(40 * 100_000, rel=0.01)
    assert found.resident > found.counters + 2048 * (30 + 2) * 8  # of the rows that wait
    assert min(found.one, found.many, found.one_at_once, found.many_at_once) > 0
    (path,) = tmp_path.glob("*.json")
    document = Document.from_json(path.read_bytes())
    assert len(document.windows) == 24
    assert {counts.rows for counts in list(document.windows.values())[:-1]} == {101}


@pytest.mark.parametrize("package", ["nowhere", "."])
def test_what_is_no_package_is_not_measured(package, tmp_path):
    with pytest.raises(RuntimeError, match=r"benchmarks.footprint .* failed"):
        measured(Path(sys.executable), tmp_path / package, tmp_path)
