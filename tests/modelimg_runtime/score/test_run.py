"""A file to a file: whatever the format, each good row has the prediction that the server would give."""

from __future__ import annotations

import gzip
import itertools
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelimg_runtime.errors import ScoreFault

FORMATS = ["csv", "jsonl", "parquet", "arrow"]


@pytest.fixture
def rows(regressor):
    return [{"id": f"r{i}", "a": float(i), "b": i / 4} for i in range(10)]


def numbers(outcome, column="prediction"):
    return [float(row[column]) for row in outcome.rows]


@pytest.mark.parametrize(("source", "target"), [*itertools.product(FORMATS, FORMATS)])
@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "slow"])
def test_every_format_gives_the_same_predictions_in_the_same_order(
    scoring, served, rows, tmp_path, source, target, fast_path
):
    model = served("regressor", fast_path=fast_path)
    path = scoring.write(tmp_path / f"in.{source}", rows)
    done = scoring.score(model, path, tmp_path / f"out.{target}", keep=("id",), batch_rows=3)
    expected = []
    for start in range(0, 10, 3):  # the last bits of a sum may depend on the rows beside it
        part = rows[start : start + 3]
        expected += model.predict_columns({name: [row[name] for row in part] for name in "ab"}).predictions
    assert numbers(done) == expected
    assert [row["id"] for row in done.rows] == [row["id"] for row in rows]
    assert [int(row["row"]) for row in done.rows] == list(range(10))
    assert (done.summary.rows, done.summary.predicted, done.summary.rejected) == (10, 10, 0)
    assert not done.rejects_file.exists()


@pytest.mark.parametrize("source", FORMATS)
def test_bad_rows_go_to_the_side_file_with_their_reasons(scoring, served, rows, tmp_path, source):
    rows[2]["a"] = None
    rows[5]["b"] = 1e9  # an answer above the 1000 that the output contract allows
    rows[9]["b"] = None
    path = scoring.write(tmp_path / f"in.{source}", rows)
    done = scoring.score(served("regressor"), path, tmp_path / "out.csv", keep=("id",), batch_rows=4)
    assert [row["row"] for row in done.rows] == ["0", "1", "3", "4", "6", "7", "8"]
    assert [(each["row"], each["direction"]) for each in done.rejects] == [(2, "input"), (5, "output"), (9, "input")]
    first = done.rejects[0]
    assert first["errors"] == [{"column": "a", "check": "not_nullable", "value": None}]
    assert first["values"]["id"] == "r2"
    assert first.get("line") == {"csv": 4, "jsonl": 3}.get(source)
    assert "less_than_or_equal_to(1000)" in done.rejects[1]["errors"][0]["check"]
    assert (done.summary.rows, done.summary.predicted, done.summary.rejected) == (10, 7, 3)


def test_a_row_at_which_the_model_fails_is_set_aside(scoring, served, mixed, tmp_path):
    good = mixed.rows
    bad = [{**good[0], "plan": "none that the encoder knows"}]
    path = scoring.write(tmp_path / "in.jsonl", [*good[:3], *bad, *good[3:]])
    done = scoring.score(served("mixed"), path, tmp_path / "out.jsonl")
    assert [row["row"] for row in done.rows] == [0, 1, 2, 4, 5, 6]
    assert done.rejects[0]["direction"] == "model"
    assert done.rejects[0]["errors"][0]["check"] == "ValueError"


def test_classes_and_probabilities_have_their_columns(scoring, served, mixed, tmp_path):
    path = scoring.write(tmp_path / "in.jsonl", mixed.rows)
    with_them = scoring.score(served("mixed"), path, tmp_path / "a.parquet").rows
    without = scoring.score(served("mixed"), path, tmp_path / "b.parquet", probabilities=False, row=False).rows
    answer = served("mixed").predict_columns(mixed.columns)
    assert [list(row.values()) for row in with_them] == [
        [number, label, *each]
        for number, (label, each) in enumerate(zip(answer.predictions, answer.probabilities, strict=True))
    ]
    assert list(with_them[0]) == ["row", "prediction", "probability_no", "probability_yes"]
    assert without == [{"prediction": label} for label in answer.predictions]


def test_a_model_with_many_outputs_has_a_column_for_each(scoring, served, tmp_path):
    path = scoring.write(tmp_path / "in.jsonl", [{"a": 2.0}, {"a": 3.0}])
    done = scoring.score(served("two_outputs"), path, tmp_path / "out.arrow")
    assert [list(row) for row in done.rows] == [["row", "prediction_0", "prediction_1"]] * 2
    assert done.rows[1]["prediction_1"] == pytest.approx(-3.0)


def test_probabilities_of_a_model_without_any_are_refused(scoring, served, rows, tmp_path):
    path = scoring.write(tmp_path / "in.csv", rows)
    with pytest.raises(ScoreFault, match="gives no probabilities"):
        scoring.score(served("regressor"), path, tmp_path / "out.csv", keep=("id",), probabilities=True)
    assert {each.name for each in tmp_path.iterdir()} == {"in.csv"}


@pytest.mark.parametrize("source", FORMATS)
def test_an_empty_table_gives_an_empty_one_with_the_same_columns(scoring, served, rows, tmp_path, source):
    path = scoring.write(tmp_path / f"in.{source}", rows)
    if source == "csv":
        path.write_text("id,a,b\n")
    elif source == "jsonl":
        path.write_text("")
    else:
        schema = pa.schema({"id": pa.string(), "a": pa.float64(), "b": pa.float64()})
        scoring.write(path, [dict.fromkeys(schema.names)], schema)
        empty = schema.empty_table()
        pq.write_table(empty, path) if source == "parquet" else _write_arrow(empty, path)
    done = scoring.score(served("regressor"), path, tmp_path / "out.parquet", keep=("id",))
    assert (done.summary.rows, done.rows) == (0, [])
    assert pq.read_schema(done.target).names == ["row", "id", "prediction"]
    assert pq.read_schema(done.target).field("prediction").type == pa.float64()


def _write_arrow(table, path):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        ({}, r"'id' is no column of the model: --keep takes it along", 3),
        ({"keep": ("id", "city")}, "lacks 'city'", 3),
        ({"keep": ("id",), "drop": "a"}, "lacks 'a'", 3),
        ({"keep": ("id",), "rename": ("id", "row")}, "lacks 'id'", 3),
        ({"keep": ("row",), "rename": ("id", "row")}, "'row' would come twice in the output; --no-row", 2),
        ({"keep": ("prediction",), "rename": ("id", "prediction")}, "'prediction' would come twice", 2),
    ],
)
@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_a_table_that_is_not_the_models_stops_at_once_and_leaves_nothing(
    scoring, served, rows, tmp_path, options, message, code, source
):
    options = dict(options)
    renamed, dropped = options.pop("rename", ("", "")), options.pop("drop", None)
    rows = [{renamed[1] if n == renamed[0] else n: v for n, v in row.items() if n != dropped} for row in rows]
    path = scoring.write(tmp_path / f"in.{source}", rows)
    with pytest.raises(ScoreFault, match=message) as caught:
        scoring.score(served("regressor"), path, tmp_path / "out.csv", **options)
    assert caught.value.exit_code == code
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


@pytest.mark.parametrize("source", ["csv", "parquet", "arrow"])
def test_other_columns_are_left_out_or_all_kept_where_that_is_asked_for(scoring, served, rows, tmp_path, source):
    path = scoring.write(tmp_path / f"in.{source}", rows)
    ignored = scoring.score(served("regressor"), path, tmp_path / "a.jsonl", ignore_extra=True)
    kept = scoring.score(served("regressor"), path, tmp_path / "b.jsonl", keep_all=True)
    assert list(ignored.rows[0]) == ["row", "prediction"]
    assert list(kept.rows[0]) == ["row", "id", "a", "b", "prediction"]
    assert [float(row["b"]) for row in kept.rows] == [row["b"] for row in rows]


def test_columns_that_optional_and_pattern_rules_name_are_the_models(scoring, tools, tmp_path):
    import pandera.pandas as panda
    from sklearn.linear_model import LinearRegression

    from modelimg_runtime.served import open_served

    X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "x_1": [0.0, 1.0, 0.0], "x_2": [1.0, 0.0, 0.0]})
    schema = panda.DataFrameSchema(
        {"a": panda.Column("float64"), "x_.": panda.Column("float64", regex=True)}, strict=True
    )
    output = panda.DataFrameSchema({"prediction": panda.Column("float64")}, strict=True)
    made = tools.write_package(tmp_path / "model", LinearRegression().fit(X, X["a"]), X, schema, output)
    model = open_served(made.folder, fast_path=True)
    path = scoring.write(tmp_path / "in.csv", [{**row, "y": 1} for row in made.rows])
    with pytest.raises(ScoreFault, match="'y' is no column"):
        scoring.score(model, path, tmp_path / "out.csv")
    lacking = scoring.write(tmp_path / "lacking.csv", [{"a": 1.0}])
    with pytest.raises(ScoreFault, match=r"lacks 'x_\.'"):
        scoring.score(model, lacking, tmp_path / "out.csv")
    done = scoring.score(model, path, tmp_path / "out.csv", keep=("y",))
    assert numbers(done) == pytest.approx([1.0, 2.0, 3.0])
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*made.rows, {"a": 1, "x_1": 0.5}]))
    done = scoring.score(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert [row["row"] for row in done.rows] == [0, 1, 2]
    assert (done.rejects[0]["row"], done.rejects[0]["direction"]) == (3, "input")


def test_equal_inputs_give_equal_bytes(scoring, served, rows, tmp_path):
    path = scoring.write(tmp_path / "in.csv", rows)
    for ending in ("csv", "csv.gz", "parquet", "arrow"):
        files = []
        for number in (1, 2):
            (tmp_path / f"{number}").mkdir(exist_ok=True)
            target = tmp_path / f"{number}/out.{ending}"
            files.append(scoring.score(served("regressor"), path, target, keep=("id",)).target.read_bytes())
        assert files[0] == files[1]


def test_compressed_files_are_read_and_written(scoring, served, rows, tmp_path):
    plain = scoring.write(tmp_path / "in.csv", rows)
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    expected = scoring.score(served("regressor"), plain, tmp_path / "a.csv", keep=("id",)).target.read_bytes()
    done = scoring.score(served("regressor"), tmp_path / "in.csv.gz", tmp_path / "b.csv.gz", keep=("id",))
    assert gzip.decompress(done.target.read_bytes()) == expected


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_compressed_file_fails_and_leaves_nothing(scoring, cancer, tmp_path, damage):
    text = ",".join(cancer.columns) + "\n" + "\n".join(",".join(map(str, row.values())) for row in cancer.rows * 400)
    data = gzip.compress(text.encode())
    (tmp_path / "in.csv.gz").write_bytes(data[:-9] if damage == "cut" else data[:99] + b"zzzz" + data[103:])
    done = scoring.run(cancer.folder, tmp_path / "in.csv.gz", tmp_path / "out.csv")
    assert done.returncode == 1
    assert done.stderr.startswith(b"modelimg: ")
    assert b"Traceback" not in done.stderr
    assert {each.name for each in tmp_path.iterdir()} == {"in.csv.gz"}
