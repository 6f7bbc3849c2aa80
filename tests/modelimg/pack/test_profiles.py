"""Profiles of files larger than memory, of what is packed, and of what the model answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from modelimg.errors import DataError
from modelimg.labels import image_labels
from modelimg.pack import pack, profiles
from modelimg.pack.allowlist import AllowList
from modelimg.pack.answers import fit_calibration, output_profile
from modelimg.pack.data import Reader
from modelimg.pack.model import read_model
from modelimg.pack.profiles import input_profile, profile_file, profile_parts
from modelimg_runtime import contract
from modelimg_runtime.drift import drift_report
from modelimg_runtime.profile import InputProfile
from modelimg_runtime.profile.output import OutputProfile

ROWS = 5000
SETTINGS = contract.ProfileSettings()
RANDOM = np.random.RandomState(0)


@pytest.fixture(scope="module")
def frame():
    table = pd.DataFrame(
        {
            "size": RANDOM.lognormal(size=ROWS).round(4),
            "count": RANDOM.poisson(4, ROWS),
            "colour": RANDOM.choice(["red", "green", "blue"], ROWS),
            "good": RANDOM.rand(ROWS) < 0.2,
            "note": [f"note {i}" for i in range(ROWS)],
            "target": RANDOM.rand(ROWS),
        }
    )
    table.loc[RANDOM.rand(ROWS) < 0.1, ["size", "colour"]] = None
    return table


# ---- files --------------------------------------------------------------------------------------------------


def test_a_parquet_file_is_read_by_row_group_and_profiled_as_a_whole(frame, tmp_path):
    frame.to_parquet(tmp_path / "many.parquet", row_group_size=700)
    frame.to_parquet(tmp_path / "one.parquet", row_group_size=ROWS)
    assert [len(part) for part in profiles.read_parts(tmp_path / "many.parquet")][:2] == [700, 700]
    many = profile_file(tmp_path / "many.parquet", without=["target"])
    assert many == profile_file(tmp_path / "one.parquet", without=["target"])
    assert many.to_json() == profile_parts(lambda: [frame.drop(columns="target")]).to_json()
    assert (many.rows, many.names) == (ROWS, ("size", "count", "colour", "good", "note"))


@pytest.mark.parametrize("name", ["data.csv", "data.csv.gz", "data.tsv"])
def test_a_csv_file_is_read_in_chunks_and_profiled_as_a_whole(frame, tmp_path, name, monkeypatch):
    frame.to_csv(tmp_path / name, index=False, sep="\t" if name.endswith("tsv") else ",")
    whole = profile_file(tmp_path / name)
    monkeypatch.setattr(profiles, "CHUNK", 300)
    assert [len(part) for part in profiles.read_parts(tmp_path / name)][:2] == [300, 300]
    assert profile_file(tmp_path / name).to_json() == whole.to_json() == profile_parts(lambda: [frame]).to_json()


def test_a_column_that_turns_from_numbers_to_text_in_a_later_chunk_is_one_of_categories(tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "CHUNK", 50)
    values = ["1", "2"] * 50 + ["n/k"] * 50
    (tmp_path / "data.csv").write_text("code,size\n" + "".join(f"{value},1.5\n" for value in values))
    column = profile_file(tmp_path / "data.csv").columns[0]
    assert column.kind == "category"
    assert dict(zip(column.bins.categories, column.counts, strict=False)) == {"1": 50, "2": 50, "n/k": 50}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("data.txt", b"a\n1\n", "no known kind"),
        ("data.csv", b"", "cannot be read"),
        ("data.csv", b"a,b\n1,2\n1,2,3,4\n", "cannot be read"),
        ("data.csv", b"a\n", "no rows"),
        ("data.parquet", b"PAR1", "cannot be read"),
    ],
)
def test_what_cannot_be_profiled_is_refused_by_name(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        profile_file(tmp_path / name)


def test_missing_files_and_parts_that_do_not_fit_are_refused(frame, tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read"):
        profile_file(tmp_path / "nowhere.csv")
    with pytest.raises(DataError, match="same columns"):
        profile_parts(lambda: [frame, frame.drop(columns="size")])
    with pytest.raises(DataError, match="no rows"):
        profile_parts(list)


# ---- what is packed -----------------------------------------------------------------------------------------


@pytest.fixture
def answered(tmp_path):
    """A model's output profile on a split."""

    def make(estimator, X, y, target=None, name="test"):
        model = read_model(estimator.fit(X, y), AllowList(), tmp_path)
        reader = Reader(tuple(X.columns), None, None, tmp_path)
        return output_profile(model, reader.read(name, (X, y if target is None else target)), "1" * 64, SETTINGS)

    return make


X = pd.DataFrame(RANDOM.randn(400, 2), columns=["a", "b"])
Y = X["a"] + RANDOM.randn(400) > 0


def test_a_classifiers_answers_are_counted_by_class_and_score(answered):
    found = answered(LogisticRegression(), X, np.where(Y, "yes", "no"))
    model = LogisticRegression().fit(X, np.where(Y, "yes", "no"))
    scores, predicted = model.predict_proba(X), model.predict(X)
    assert found.predictions[0].bins.categories == ("no", "yes")
    assert found.predictions[0].counts == ((predicted == "no").sum(), (predicted == "yes").sum(), 0, 0, 0)
    assert [each.name for each in found.scores] == ["probability_no", "probability_yes"]
    for each, column in zip(found.scores, scores.T, strict=True):
        assert list(each.counts[1:-2]) == np.histogram(1 - column, np.arange(21) / 20)[0][::-1].tolist()
        assert each.mean == pytest.approx(column.mean())
    assert found.confidence.mean == pytest.approx(scores.max(axis=1).mean())
    assert found.expected_accuracy == pytest.approx(found.metrics["accuracy"].value, abs=1e-12)
    assert found.metrics.keys() == {"accuracy", "f1_macro", "roc_auc", "log_loss"}
    assert (found.split, found.rows, found.dataset_kind, found.schema_sha256) == ("test", 400, "frame-v1", "1" * 64)
    assert OutputProfile.from_json(found.to_json()) == found


def test_a_rare_class_is_named_all_the_same(answered):
    y = np.where(np.arange(400) < 3, 7, Y)
    assert answered(LogisticRegression(), X, y).predictions[0].bins.categories == ("0", "1", "7")


def test_a_regressors_answers_are_numbers(answered):
    found = answered(LinearRegression(), X, X["a"] * 2)
    assert (found.predictions[0].kind, len(found.predictions[0].counts)) == ("number", 13)
    assert (found.scores, found.confidence, found.calibration, found.expected_accuracy) == ((), None, None, None)
    assert found.metrics.keys() == {"r2", "mae", "rmse"}


def test_many_outputs_have_a_profile_each(answered):
    found = answered(MultiOutputClassifier(LogisticRegression()), X, np.column_stack([Y, ~Y]).astype(int))
    assert [each.name for each in found.predictions] == ["prediction_0", "prediction_1"]
    assert found.predictions[0].kind == "category"
    assert found.metrics.keys() == {"accuracy"}


def test_clusters_are_counted_without_a_target(answered):
    found = answered(KMeans(3, n_init=1), X, None)
    assert sum(found.predictions[0].counts) == 400
    assert (found.metrics, found.calibration) == ({}, None)


def test_training_data_say_nothing_of_how_good_a_model_is(answered):
    found = answered(LogisticRegression(), X, Y, name="train")
    assert (found.metrics, found.calibration, found.expected_accuracy) == ({}, None, None)
    assert found.confidence is not None


def test_a_split_that_the_model_cannot_predict_is_refused(answered, tmp_path):
    model = read_model(LogisticRegression().fit(X, Y), AllowList(), tmp_path)
    split = Reader(("a", "b"), None, None, tmp_path).read("test", (X, Y))
    with pytest.raises(DataError, match="cannot predict the split test"):
        output_profile(model, replace(split, X=X.astype(str) + "x"), "1" * 64, SETTINGS)


def test_a_calibration_is_isotonic_and_keeps_the_mean():
    confidence = RANDOM.rand(2000) / 2 + 0.5
    right = RANDOM.rand(2000) < confidence**2
    curve = fit_calibration(confidence, right)
    assert (np.diff(curve.accuracies) >= 0).all()
    assert sum(curve.rows) == 2000
    assert (curve.by_bin() @ np.array(curve.rows)) / 2000 == pytest.approx(right.mean())
    assert np.abs(curve.accuracy_at(np.array([0.6, 0.75, 0.95])) - [0.36, 0.5625, 0.9025]).max() < 0.08


@pytest.mark.parametrize(
    ("confidence", "right"), [([1.0], [True]), ([0.0, 1.0], [True, False]), ([0.5] * 9, [False] * 9)]
)
def test_the_least_data_have_a_calibration(confidence, right):
    assert sum(fit_calibration(np.array(confidence), np.array(right)).rows) == len(right)


# ---- in the package -----------------------------------------------------------------------------------------


def test_a_package_carries_both_profiles(project, table):
    options = {"name": "things", "version": "1", "train": "train.csv", "test": "test.csv", "root": project}
    found = pack("model.joblib", project / "one", **options, profile=contract.ProfileSettings(min_max=True))
    inputs = InputProfile.from_json(found.read(contract.INPUT_PROFILE))
    outputs = OutputProfile.from_json(found.read(contract.OUTPUT_PROFILE))
    files, data = found.manifest.files, found.json(contract.PROVENANCE)["data"]
    assert inputs.names == ("size", "count", "colour")
    assert (inputs.dataset_sha256, inputs.schema_sha256) == (data["train"]["sha256"], files["input_schema.json"])
    assert (outputs.dataset_sha256, outputs.schema_sha256) == (data["test"]["sha256"], files["output_schema.json"])
    assert (inputs.rows, outputs.rows, outputs.split) == (40, 20, "test")
    sizes = inputs.columns[0].quantiles
    assert (sizes[0], sizes[-1]) == (table["size"][:40].min(), table["size"][:40].max())
    metrics = found.json(contract.METRICS)["test"]
    values = {name: each.value for name, each in outputs.metrics.items()}
    assert values == pytest.approx({name: metrics[name] for name in values})


def test_labels_hold_the_digests_of_the_profiles_where_there_are_any(write_package, base):
    old = image_labels(write_package("old"), base, "2026-01-01T00:00:00Z")
    assert not [key for key in old if "profile" in key]
    files = {contract.INPUT_PROFILE: b"{}", contract.OUTPUT_PROFILE: b"[]"}
    package = write_package("new", files=files)
    labels = image_labels(package, base, "2026-01-01T00:00:00Z")
    for side, name in (("input", contract.INPUT_PROFILE), ("output", contract.OUTPUT_PROFILE)):
        assert labels[f"io.modelimg.profile.{side}.sha256"] == package.manifest.files[name]


def test_a_profile_made_elsewhere_of_all_the_data_reaches_the_package(project, table):
    features = table.drop(columns="kind")
    whole = profile_parts(lambda: [features[["colour", "size", "count"]]] * 100)
    (project / "whole.json").write_text(whole.to_json())
    options = {"name": "things", "version": "1", "train": "train.csv", "root": project}
    given = pack("model.joblib", project / "given", **options, profile="whole.json")
    found = InputProfile.from_json(given.read(contract.INPUT_PROFILE))
    assert (found.rows, found.names) == (6000, ("size", "count", "colour"))
    assert found.schema_sha256 == given.manifest.files["input_schema.json"]
    assert json.loads(given.read(contract.OUTPUT_PROFILE))["metrics"] == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (None, "cannot be read"),
        (lambda d: d.update(format_version=7), "is no input profile: .* format 7"),
        (lambda d: d["columns"].pop(0), "it lacks 'size'"),
        (lambda d: d["columns"][0].update(name="weight"), "it lacks 'size'|does not know 'weight'"),
    ],
)
def test_a_profile_of_something_else_is_refused(table, tmp_path, change, says):
    split = Reader(None, None, None, tmp_path).read("train", (table.drop(columns="kind"), table["kind"]))
    path = tmp_path / "profile.json"
    if change:
        document = json.loads(input_profile(split, "1" * 64, SETTINGS).to_json())
        change(document)
        path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=says):
        input_profile(split, "1" * 64, SETTINGS, path)


def test_the_packed_profile_finds_drift_in_served_rows(table, tmp_path):
    split = Reader(None, None, None, tmp_path).read("train", (table.drop(columns="kind"), table["kind"]))
    found = input_profile(split, "1" * 64, SETTINGS)
    served = pd.concat([table] * 5)
    served["colour"] = "mauve"
    report = drift_report(found.columns, {each.name: each.binner().counts(served[each.name]) for each in found.columns})
    assert report.drifted == ("colour",)
