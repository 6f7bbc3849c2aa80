"""``modelimg_runtime.batch``: from frame to frame, in any process of a cluster."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import pickle
import shutil
import subprocess
import sys
import threading
from decimal import Decimal

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from sklearn.linear_model import LinearRegression

import modelimg_runtime
from modelimg_runtime.errors import (
    ContractWeakened,
    InputRejected,
    ModelRefused,
    OutputRejected,
    PackageUnreadable,
    ScoreFault,
)
from modelimg_runtime.score import frame as frame_module
from modelimg_runtime.score.series import values_of_series

NOON = pd.Timestamp("2024-02-29 12:00")
INF, NAN = float("inf"), float("nan")


@pytest.fixture
def table():
    index = pd.Index(["x", "y", "y", "z"], name="key")  # labels may come twice
    return pd.DataFrame({"b": [0.5, 1.0, 1.5, 2.0], "a": [1, 2, 3, 4]}, index=index)


def rejected(call):
    with pytest.raises(InputRejected) as caught:
        call()
    return [(each.row, each.column, each.check) for each in caught.value.violations]


def test_the_answer_has_the_frames_index_and_the_models_bits(regressor, table, served):
    answer = modelimg_runtime.batch(table, package=regressor.folder)
    assert list(answer.columns) == ["prediction"]
    assert answer.index.equals(table.index)
    columns = {"a": [1.0, 2.0, 3.0, 4.0], "b": [0.5, 1.0, 1.5, 2.0]}
    assert answer["prediction"].tolist() == served("regressor").predict_columns(columns).predictions


def test_probabilities_and_kept_columns_are_columns(mixed, served):
    frame = pd.DataFrame(mixed.columns).assign(person=range(6)).astype({"person": "int32"})
    answer = modelimg_runtime.batch(frame, package=str(mixed.folder), probabilities=True, keep=["person", "city"])
    assert list(answer.columns) == ["person", "city", "prediction", "probability_no", "probability_yes"]
    expected = served("mixed").predict_columns(mixed.columns)
    assert answer["prediction"].tolist() == expected.predictions
    assert answer[["probability_no", "probability_yes"]].to_numpy().tolist() == expected.probabilities
    assert answer["person"].dtype == "int32"


@pytest.mark.parametrize("errors", ["raise", "column"])
@pytest.mark.parametrize("name", ["regressor", "mixed", "two_outputs", "cancer"])
def test_an_empty_frame_gives_the_dtypes_of_every_other(request, name, errors):
    made = request.getfixturevalue(name)
    frame = pd.DataFrame(made.columns)
    options = {"package": made.folder, "probabilities": name in ("mixed", "cancer"), "errors": errors}
    full, empty = (modelimg_runtime.batch(each, **options) for each in (frame, frame.iloc[:0]))
    assert len(empty) == 0
    assert empty.dtypes.equals(full.dtypes)


def test_bad_rows_raise_and_the_message_names_them(regressor, table):
    table.loc["z", "a"] = NAN
    with pytest.raises(InputRejected, match="in 1 place: row 3, column 'a': not_nullable") as caught:
        modelimg_runtime.batch(table, package=regressor.folder)
    again = pickle.loads(pickle.dumps(caught.value))  # as a worker sends it
    assert (str(again), again.violations) == (str(caught.value), caught.value.violations)
    many = pd.concat([table] * 3).assign(a=NAN)
    with pytest.raises(InputRejected, match=r"in 12 places: row 0.*; and 9 more$"):
        modelimg_runtime.batch(many, package=regressor.folder)
    with pytest.raises(OutputRejected):
        modelimg_runtime.batch(table.assign(a=1e9), package=regressor.folder)


def test_bad_rows_have_a_reason_where_that_is_asked_for(regressor, table):
    table["a"] = [1.0, NAN, 1e9, 4.0]
    answer = modelimg_runtime.batch(table, package=regressor.folder, errors="column")
    assert answer["prediction"].isna().tolist() == [False, True, True, False]
    assert (answer["error"] == "").tolist() == [True, False, False, True]
    assert answer["error"].iloc[1] == "input: column 'a': not_nullable, got None"
    assert answer["error"].iloc[2].startswith("output: column 'prediction': less_than_or_equal_to(1000), got 2")
    good = modelimg_runtime.batch(table.iloc[[0, 3]], package=regressor.folder)
    assert answer["prediction"].iloc[[0, 3]].tolist() == good["prediction"].tolist()


def test_whole_numbers_stay_whole_where_some_are_missing(cancer):
    frame = pd.DataFrame(cancer.columns)
    frame.iloc[2, 0] = -1
    answer = modelimg_runtime.batch(frame, package=cancer.folder, errors="column")
    assert answer["prediction"].dtype == "Int64"
    assert answer["prediction"].isna().tolist() == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda f: f.drop(columns="a"), (None, "a", "column_in_dataframe")),
        (lambda f: f.assign(c=1), (None, "c", "column_in_schema")),
        (lambda f: f.set_axis(["a", "a"], axis=1), (None, "a", "unique_column_names")),
        (lambda f: f.assign(a="1"), (None, "a", "dtype of float")),
        (lambda f: f.assign(a=NOON), (None, "a", "dtype of float")),
        (lambda f: f.assign(a=True), (None, "a", "dtype of float")),
        (lambda f: f.assign(a=pd.Series(["1"] * 4, dtype="object", index=f.index)), (0, "a", "dtype('float64')")),
    ],
)
@pytest.mark.parametrize("errors", ["raise", "column"])
def test_a_frame_that_is_not_the_models_raises_in_any_case(regressor, table, change, fault, errors):
    if fault[0] == 0 and errors == "column":
        answer = modelimg_runtime.batch(change(table), package=regressor.folder, errors=errors)
        assert (answer["error"] != "").all()
    else:
        found = rejected(lambda: modelimg_runtime.batch(change(table), package=regressor.folder, errors=errors))
        assert fault in found


def test_options_that_cannot_be_meant_are_refused(regressor, table):
    with pytest.raises(ValueError, match="'raise' or 'column', not 'ignore'"):
        modelimg_runtime.batch(table, package=regressor.folder, errors="ignore")
    with pytest.raises(ScoreFault, match="no probabilities"):
        modelimg_runtime.batch(table, package=regressor.folder, probabilities=True)
    with pytest.raises(ScoreFault, match="come twice"):
        modelimg_runtime.batch(table.assign(prediction=1), package=regressor.folder, keep=["prediction"])
    with pytest.raises(PackageUnreadable, match="no model package"):
        modelimg_runtime.batch(table, package="/nowhere")


def test_the_environment_names_the_package_and_a_weakened_contract_is_refused(
    fresh_cancer, regressor, table, monkeypatch
):
    monkeypatch.setenv("MODELIMG_MODEL_DIR", str(regressor.folder))
    assert len(modelimg_runtime.batch(table)) == 4
    monkeypatch.setenv("PANDERA_VALIDATION_ENABLED", "False")
    with pytest.raises(ContractWeakened):
        modelimg_runtime.batch(pd.DataFrame(fresh_cancer.columns), package=fresh_cancer.folder)


def test_the_model_is_loaded_once_by_threads_and_again_when_the_package_changes(tools, tmp_path, monkeypatch):
    from modelimg_runtime import service

    loads = []
    real = service.open_checked
    monkeypatch.setattr(service, "open_checked", lambda *given, **named: loads.append(1) or real(*given, **named))

    def pack(factor):
        X = pd.DataFrame({"a": [1.0, 2.0, 3.0]})
        schema = pa.DataFrameSchema({"a": pa.Column("float64")})
        output = pa.DataFrameSchema({"prediction": pa.Column("float64")})
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        model = LinearRegression(fit_intercept=False).fit(X, factor * X["a"])
        tools.write_package(tmp_path / "model", model, X, schema, output)

    answers = []

    def ask():
        frame = pd.DataFrame({"a": [4.0]})
        answers.append(float(modelimg_runtime.batch(frame, package=tmp_path / "model")["prediction"].iloc[0]))

    for factor in (2, 5):
        pack(factor)
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert answers == pytest.approx([8.0] * 6 + [20.0] * 6)
    assert len(loads) == 2


def test_the_packages_own_code_is_found_and_never_mixed_up_with_other_code(penguins, examples_of, tmp_path):
    rows, predictions = examples_of(penguins)
    code = """
import json, sys
import pandas as pd
import modelimg_runtime
from modelimg_runtime.errors import ModelRefused
rows, package, other = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
print(json.dumps(modelimg_runtime.batch(pd.DataFrame(rows), package=package)["prediction"].tolist()))
try:
    modelimg_runtime.batch(pd.DataFrame(rows), package=other)
except ModelRefused as error:
    print(error)
"""
    other = shutil.copytree(penguins, tmp_path / "other")
    manifest = json.loads((other / "modelimg.json").read_text())
    text = (other / "code/features.py").read_text() + "\n# another\n"
    (other / "code/features.py").write_text(text)
    manifest["files"]["code/features.py"] = hashlib.sha256(text.encode()).hexdigest()
    (other / "modelimg.json").write_text(json.dumps(manifest))
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(rows), str(penguins), str(other)],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert json.loads(first) == predictions
    assert second == "the package brings its module features, and this process has imported another one"


def test_importing_the_package_imports_nothing_heavy_and_the_function_is_pickled_by_name():
    code = "import modelimg_runtime, sys; print(sorted({'numpy', 'pandas', 'pandera', 'sklearn'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    pickled = pickle.dumps(modelimg_runtime.batch)
    assert len(pickled) < 100
    assert pickle.loads(pickled) is modelimg_runtime.batch


def test_the_way_spark_and_dask_call_it(regressor, table, monkeypatch):
    monkeypatch.setenv("MODELIMG_MODEL_DIR", str(regressor.folder))
    parts = [table.iloc[:1], table.iloc[1:1], table.iloc[1:]]
    answers = list(map(modelimg_runtime.batch, iter(parts)))
    assert [len(each) for each in answers] == [1, 0, 3]
    assert modelimg_runtime.batch(table.head(0)).dtypes.tolist() == [np.dtype("float64")]


@pytest.mark.parametrize(
    ("series", "kind", "expected"),
    [
        (pd.Series([1, 2], dtype="uint8"), "float", [1, 2]),
        (pd.Series([1.5, NAN, INF]), "float", [1.5, None, INF]),
        (pd.Series([0.1], dtype="float32"), "float", [0.10000000149011612]),
        (pd.Series([1, None], dtype="Int64"), "int", [1, None]),
        (pd.Series([0.5, None], dtype="Float64"), "float", [0.5, None]),
        (pd.Series([True, None], dtype="boolean"), "bool", [True, None]),
        (pd.Series([True, False]), "bool", [True, False]),
        (pd.Series(["x", None], dtype="str"), "str", ["x", None]),
        (pd.Series(["x", None, NAN, pd.NA], dtype="object"), "str", ["x", None, None, None]),
        (pd.Series([Decimal("1.50"), Decimal("2")], dtype="object"), "float", [1.5, 2]),
        (pd.Series([np.float32(0.5), np.int64(3), np.bool_(True)], dtype="object"), "any", [0.5, 3, True]),
        (pd.Series(["S", None, "M"], dtype="category"), "category", ["S", None, "M"]),
        (pd.Series([3, None, 1], dtype="category"), "int", [3, None, 1]),
        (pd.Series([NOON, pd.NaT]), "datetime", ["2024-02-29T12:00:00.000000", None]),
        (pd.Series([NOON.tz_localize("Europe/Berlin")]), "datetime", ["2024-02-29T11:00:00.000000Z"]),
        (pd.Series([NOON, dt.date(2024, 1, 1)], dtype="object"), "datetime", ["2024-02-29T12:00:00", "2024-01-01"]),
        (pd.Series([pd.Timedelta("-1h"), pd.NaT]), "timedelta", ["-P0DT1H0M0S", None]),
        (pd.Series([1, None], dtype="int64[pyarrow]"), "float", [1, None]),
        (pd.Series(["x", None], dtype="string[pyarrow]"), "str", ["x", None]),
        (pd.Series([NAN, NAN]), "str", [None, None]),  # a partition in which all are missing
        (pd.Series([None, None], dtype="object"), "datetime", [None, None]),
        (pd.Series([NAN, NAN], dtype="category"), "str", [None, None]),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else None,
)
def test_a_column_is_taken_for_what_it_is(series, kind, expected):
    unit = series.dt.as_unit("us") if series.dtype.kind == "M" else series
    got = list(values_of_series(unit, kind))
    assert got == expected
    assert [type(value) for value in got] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        (pd.Series([True]), "float"),
        (pd.Series([True]), "int"),
        (pd.Series([1]), "bool"),
        (pd.Series([1]), "str"),
        (pd.Series([1.0]), "datetime"),
        (pd.Series(["1"], dtype="str"), "float"),
        (pd.Series([NOON]), "str"),
        (pd.Series([NOON]), "any"),
        (pd.Series([NOON]), "timedelta"),
        (pd.Series([pd.Timedelta(1)]), "float"),
        (pd.Series([1], dtype="category"), "str"),
        (pd.Series([NOON], dtype="category"), "str"),
        (pd.Series(["1"], dtype="string[pyarrow]"), "float"),
        (pd.Series([True], dtype="bool[pyarrow]"), "int"),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else None,
)
def test_what_does_not_fit_is_never_converted(series, kind):
    assert values_of_series(series, kind) is None


@pytest.mark.parametrize("value", [NOON, pd.Timedelta(1), Decimal("1"), b"x", dt.time(1), [1], {"a": 1}])
def test_objects_that_do_not_fit_are_left_to_the_contract_which_refuses_them(mixed, value):
    frame = pd.DataFrame(mixed.columns)
    frame["plan"] = pd.Series([value] * 6, dtype="object")
    found = rejected(lambda: modelimg_runtime.batch(frame, package=mixed.folder))
    assert found == [(row, "plan", "dtype('str')") for row in range(6)]


def test_code_of_the_process_is_refused_where_the_package_brings_its_own(penguins, monkeypatch):
    monkeypatch.setitem(sys.modules, "features", pytest)
    monkeypatch.setattr(frame_module, "_loaded", {})
    with pytest.raises(ModelRefused, match="module features"):
        modelimg_runtime.batch(pd.DataFrame(), package=penguins)
