"""`modelimg monitor merge`: replicas and days add up, on the command line too, and what does not is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelimg.errors import CheckFailed, DocumentError, UsageError
from modelimg.monitoring import merge as merging
from modelimg.monitoring.merge import FailOn
from modelimg.monitoring.tables import headline
from modelimg_runtime.monitor import Document, add, report
from modelimg_runtime.monitor.report import Metric
from modelimg_runtime.profile.output import Estimate


@pytest.fixture
def written(tmp_path: Path):
    """Writes documents; their paths."""

    def write(**documents: Document) -> list[str]:
        for name, document in documents.items():
            (tmp_path / f"{name}.json").write_text(document.to_json())
        return [str(tmp_path / f"{name}.json") for name in documents]

    return write


def test_replicas_and_days_add_up_in_any_order_and_twice_counts_once(make, written) -> None:
    baseline = make.baseline()
    one, other = make.document(baseline, "one"), make.document(baseline, "two", 3, start=490_001 * 3600)
    a, b = written(a=one, b=other)
    assert merging.merge([a, b]) == merging.merge([b, a, b, a]) == add([one, other])
    assert merging.merge([a, b]).counts().rows == 4000
    assert merging.merge([a]) == one


def test_the_sum_can_be_added_up_again(make, written, tmp_path: Path) -> None:
    baseline = make.baseline()
    paths = written(a=make.document(baseline, "one"), b=make.document(baseline, "two"))
    merging.write(merging.merge(paths), tmp_path / "deep" / "sum.json")
    (more,) = written(c=make.document(baseline, "three"))
    assert merging.merge([str(tmp_path / "deep" / "sum.json"), paths[0], more]).counts().rows == 3000


def edited(document: Document, **keys) -> str:
    return json.dumps(document.to_dict() | keys)


def test_what_does_not_add_up_names_both_files(make, written, tmp_path: Path) -> None:
    baseline = make.baseline()
    fits, same = written(fits=make.document(baseline), same=make.document(baseline, "two"))
    for name, other in {
        "version": make.document(make.baseline(version="2.0"), "b"),
        "profile": make.document(make.baseline(input_sha256="d" * 64), "b"),
        "windows": replace(make.document(baseline, "b"), window_seconds=60),
        "columns": make.document(make.baseline(make.numbers("y")), "b"),
        "bins": make.document(make.baseline(make.categories("x"), make.categories("colour")), "b"),
    }.items():
        (bad,) = written(**{name: other})
        with pytest.raises(DocumentError, match="do not add up") as caught:
            merging.merge([fits, same, bad])
        assert f"{fits} and {bad}" in caught.value.message
        assert same not in caught.value.message
        assert ("tiny 2.0" in caught.value.message) == (name == "version")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no JSON, or ends too early"),
        ('{"format_version": 1, "repl', "is no JSON, or ends too early"),
        ("[" * 100_000, "recursion"),
        ("[]", "no document of /monitor.json"),
        ("{}", "no document of /monitor.json"),
        ('{"format_version": 1, "replicas": []}', "lacks or misnames a field"),
        ('{"format_version": 2, "replicas": []}', "has format 2; this modelimg reads up to 1"),
        ("\xff", "is no JSON"),
    ],
)
def test_what_is_no_document_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DocumentError, match=message) as caught:
        merging.merge([str(tmp_path / "bad.json")])
    assert "bad.json" in caught.value.message


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b'{"a": "\xff\xfe"}')
    with pytest.raises(DocumentError, match=r"bad.json"):
        merging.merge([str(tmp_path / "bad.json")])


def test_a_document_whose_windows_have_other_bins_than_its_total_contradicts_itself(make, tmp_path: Path) -> None:
    data = make.document(make.baseline()).to_dict()
    data["replicas"][0]["windows"][0]["inputs"]["x"].append(1)
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(DocumentError, match="contradicts itself"):
        merging.merge([str(tmp_path / "bad.json")])


def test_the_sum_is_compared_with_the_package_that_was_served_and_with_no_other(make) -> None:
    baseline = make.baseline()
    document = make.document(baseline, shift="x")
    assert merging.compare(document, baseline, None).inputs.drifted == ("x",)
    with pytest.raises(DocumentError, match=r"tiny 1.0, and not of this package's model"):
        merging.compare(document, make.baseline(model_sha256="1" * 64), None)
    with pytest.raises(DocumentError, match="do not belong to the package"):
        merging.compare(document, make.baseline(make.numbers("y")), None)


def test_what_was_asked_for_fails_and_nothing_else(make) -> None:
    baseline = make.baseline()
    calm = report(make.document(baseline), baseline)
    drifted = report(make.document(baseline, shift="x"), baseline)
    answers = report(make.document(baseline, shift="prediction"), baseline)
    worse = replace(calm, metrics=(Metric("accuracy", Estimate(0.5, 0.4, 0.6), Estimate(0.9, 0.8, 1.0), worse=True),))
    fails = {FailOn.DRIFT: drifted, FailOn.PREDICTIONS: answers, FailOn.PERFORMANCE: worse}
    for wanted, found in fails.items():
        merging.check(calm, FailOn)
        merging.check(found, set(FailOn) - {wanted})
        merging.check(found, ())
        with pytest.raises(CheckFailed):
            merging.check(found, [wanted])
    with pytest.raises(CheckFailed, match="1 of 2 columns drifted: x"):
        merging.check(drifted, [FailOn.DRIFT])


def test_too_few_rows_say_nothing_and_fail_nothing(make) -> None:
    baseline = make.baseline()
    found = report(make.document(baseline, rows=0), baseline)
    assert headline(found) == "insufficient data: 0 rows, and nothing is said below 200"
    merging.check(found, FailOn)


@pytest.mark.parametrize(("text", "count"), [("total", 2000), ("30m", 1000), ("24h", 2000)])
def test_the_window_is_that_of_the_sum(make, text: str, count: int) -> None:
    baseline = make.baseline()
    later = make.document(baseline, "two", start=490_002 * 3600)
    found = add([make.document(baseline), later])
    assert merging.summary(found, merging.read_window(text)).to_dict()["rows"] == count


def test_windows_and_checks_that_are_none_are_usage_errors() -> None:
    for text in ("", "soon", "-1h", "2026-01-02/2026-01-03"):
        with pytest.raises(UsageError, match="--window"):
            merging.read_window(text)
    with pytest.raises(UsageError, match="--fail-on"):
        merging.read_fail_on(["everything"])
    with pytest.raises(UsageError, match="nothing to add up"):
        merging.merge([])


def test_a_place_that_cannot_be_written_to_is_a_usage_error(make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        merging.write(make.document(make.baseline()), tmp_path / "file" / "sum.json")


def test_on_the_command_line(make, packed, written, cli, tmp_path: Path) -> None:
    path, baseline = packed(make.baseline())
    a, b = written(a=make.document(baseline, "one", shift="x"), b=make.document(baseline, "two", shift="x"))
    plain = cli("monitor", "merge", a, b, "-o", tmp_path / "sum.json")
    assert (plain.code, plain.err) == (0, "")
    assert "2,000" in plain.out
    data = cli("monitor", "merge", tmp_path / "sum.json", "--package", path, "--json", "--window", "7d").json
    assert (data["rows"], data["replicas"], data["inputs"]["drifted"]) == (2000, 2, ["x"])
    failed = cli("monitor", "merge", a, b, "--package", path, "--fail-on", "drift", "--fail-on", "predictions")
    assert failed.code == 3
    assert "1 of 2 columns drifted (50%); the answers did not" in failed.out
    assert failed.err == "error: 1 of 2 columns drifted: x\n"
    assert cli("monitor", "merge", a, b, "--package", path, "--fail-on", "predictions").code == 0


def test_on_the_command_line_what_cannot_be_is_told_in_one_sentence(make, packed, written, cli, tmp_path: Path) -> None:
    path, baseline = packed(make.baseline())
    (a,) = written(a=make.document(baseline))
    (other,) = written(other=make.document(make.baseline()))
    (path / contract_file()).write_text("{}")
    for arguments, code, message in (
        ((a, "--fail-on", "drift"), 2, "--fail-on compares with the packed profiles"),
        ((a, "--window", "soon"), 2, "--window soon"),
        ((), 2, ""),
        ((tmp_path / "none.json",), 1, "none.json cannot be read: No such file"),
        ((a, other), 1, "do not add up"),
        ((a, "--package", tmp_path / "none"), 1, "there is no model package at"),
        ((a, "--package", path), 1, "was packed as"),
        ((a, "--package", tmp_path), 1, "no model package here"),
    ):
        done = cli("monitor", "merge", *arguments)
        assert (done.code, done.out) == (code, ""), (arguments, done)
        assert message in done.err
        assert "Traceback" not in done.err


def contract_file() -> str:
    from modelimg_runtime.contract import INPUT_PROFILE

    return INPUT_PROFILE


def paths_of(data, path=()):
    """The path of everything in plain data."""
    yield path
    for key, each in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from paths_of(each, (*path, key))


def put(data, path, value):
    """The data with another value in one place."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = put(data[path[0]], path[1:], value)
    return copy


def outcome_of(sources, baseline) -> str:
    try:
        found = merging.merge(sources)
    except DocumentError as error:
        return "refused" if "bad.json" in error.message else "refused without a name"
    try:
        merging.compare(found, baseline, None).to_dict()
    except DocumentError:
        return "of another package"
    json.dumps(merging.summary(found, merging.read_window("24h")).to_dict())
    return "merged"


def test_a_document_with_any_field_changed_adds_up_or_is_refused_in_a_sentence(make, show, tmp_path: Path) -> None:
    baseline = make.baseline()
    data = make.document(baseline).to_dict()
    (tmp_path / "good.json").write_text(make.document(baseline, "good").to_json())
    outcomes = {"merged": 0, "refused": 0, "of another package": 0}
    junk = (None, "x", -1, 1 << 63, 0.5, [], {}, True, "0001-01-01T00:00+23:59", "9999-12-31T23:59:59.9999Z")
    good, bad = (str(tmp_path / f"{name}.json") for name in ("good", "bad"))
    for path in paths_of(data):
        for value in junk:
            Path(bad).write_text(json.dumps(put(data, path, value)))
            for sources in ([bad], [good, bad]):
                outcomes[outcome_of(sources, baseline)] += 1
    show(f"documents with one field changed: {outcomes}")
    assert outcomes["refused"] > 1000
    assert min(outcomes.values()) > 10
