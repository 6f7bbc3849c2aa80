"""The plan: resolved, pinned, printable, and the same wherever it is made."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from modelimg.errors import BaseError, RenderError, RequirementsError, UsageError
from modelimg.labels import creation_time
from modelimg.oci.values import Platform
from modelimg.plan import make_plan

CREATED = "2026-01-02T03:04:05Z"


def test_a_plan_prints_as_json_without_a_path_of_this_host(write_package, base, tmp_path) -> None:
    plan = make_plan(write_package(), base, tags=["tiny:1"], created=CREATED)
    data = json.loads(plan.to_json())
    assert str(tmp_path) not in plan.to_json()
    assert data["platform"] == "linux/amd64"
    assert data["base"]["digest"].startswith("sha256:")
    assert data["layers"][0]["wheels"][0]["digest"].startswith("sha256:")
    assert data["layers"][0]["pruning"]["folders"] == ["tests"]
    assert data["run"]["user"] == "65532:65532"
    assert data["bytecode"] == "none"


def test_equal_inputs_in_different_folders_give_equal_plans(write_package, base) -> None:
    one = make_plan(write_package("one"), base, created=CREATED)
    two = make_plan(write_package("two"), base, created=CREATED)
    assert one.to_json() == two.to_json()
    assert one.key == two.key


def test_names_are_no_part_of_the_content(write_package, base) -> None:
    package = write_package()
    one, two = (make_plan(package, base, tags=[tag], created=CREATED) for tag in ("a:1", "b:2"))
    assert one.key == two.key
    assert one.to_json() != two.to_json()


@pytest.mark.parametrize(
    "change",
    [
        lambda write, base: (write("other", files={"model.joblib": b"another"}), base),
        lambda write, base: (write("other", metrics={"test": {"accuracy": 0.4}}), base),
        lambda write, base: (write("other", wheels={"beta": {"beta.py": b""}}), base),
        lambda write, base: (write("other", version="1.1"), base),
        lambda write, base: (write("other"), replace(base, python="3.11.3")),
    ],
)
def test_any_other_input_gives_another_content(write_package, base, change) -> None:
    one = make_plan(write_package(), base, created=CREATED)
    two = make_plan(*change(write_package, base), created=CREATED)
    assert one.key != two.key


def test_a_new_model_changes_the_last_layer_only(write_package, base) -> None:
    one = make_plan(write_package(), base, created=CREATED)
    two = make_plan(write_package("other", files={"model.joblib": b"another"}), base, created=CREATED)
    keys = [[plan.layer_key(layer) for layer in plan.layers] for plan in (one, two)]
    assert keys[0][:-1] == keys[1][:-1]
    assert keys[0][-1] != keys[1][-1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"python": "3.13.5"}, BaseError, r"deb:bookworm has Python 3\.13, but .* locked for Python 3\.11"),
        ({"libc": "musl", "libc_version": "1.2"}, BaseError, "C library musl, but the lock holds wheels for glibc"),
        ({"platform": Platform("linux", "arm64")}, RequirementsError, "locked for linux/amd64, not for linux/arm64"),
    ],
)
def test_a_base_that_does_not_fit_is_refused_before_anything_is_built(
    write_package, base, change, error, message
) -> None:
    with pytest.raises(error, match=message):
        make_plan(write_package(), replace(base, **change), created=CREATED)


def test_labels_tell_what_is_known_and_leave_out_what_is_not(write_package, base) -> None:
    provenance = {
        "code": {"revision": "abc", "dirty": False, "source": None},
        "data": {"train": {"sha256": "1" * 64, "kind": "file", "rows": 3, "columns": 2}},
        "training": {"command": "python train.py"},
    }
    metrics = {"test": {"accuracy": 0.1 + 0.2, "confusion_matrix": [[1, 0], [0, 1]], "note": "x"}}
    labels = make_plan(write_package(provenance=provenance, metrics=metrics), base, created=CREATED).run.labels
    assert labels["io.modelimg.code.dirty"] == "false"
    assert labels["io.modelimg.data.train.rows"] == "3"
    assert float(labels["io.modelimg.metrics.test.accuracy"]) == 0.1 + 0.2
    assert labels["org.opencontainers.image.created"] == CREATED
    assert labels["io.modelimg.training.command"] == "python train.py"
    absent = {"io.modelimg.code.source", "io.modelimg.data.train.uri", "io.modelimg.metrics.test.confusion_matrix"}
    assert absent & labels.keys() == set()
    assert "" not in labels.values()
    assert list(labels) == sorted(labels)


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
def test_a_text_that_no_label_may_hold_is_refused_by_name(write_package, base, bad: str) -> None:
    package = write_package()
    package = replace(package, manifest=replace(package.manifest, metadata={"description": bad}))
    with pytest.raises(RenderError, match=r"org\.opencontainers\.image\.description"):
        make_plan(package, base, created=CREATED)


@pytest.mark.parametrize(
    ("epoch", "committed", "expected"),
    [
        ("0", "2026-01-01T00:00:00+02:00", "1970-01-01T00:00:00Z"),
        ("1700000000", None, "2023-11-14T22:13:20Z"),
        (None, "2026-01-01T01:00:00+02:00", "2025-12-31T23:00:00Z"),
        ("", None, "1980-01-01T00:00:00Z"),
        (None, None, "1980-01-01T00:00:00Z"),
    ],
)
def test_the_creation_time_never_comes_from_the_clock(write_package, epoch, committed, expected: str) -> None:
    package = write_package(provenance={"code": {"committed": committed}})
    assert creation_time(package, epoch) == expected


@pytest.mark.parametrize("epoch", ["yesterday", "-1", "1.5", " 1", "²", "99999999999999"])
def test_a_source_date_epoch_that_is_no_number_of_seconds_is_refused(write_package, epoch: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        creation_time(write_package(), epoch)
