"""Typed columns: taken for what they are, never converted by force."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelimg_runtime.errors import ScoreFault
from modelimg_runtime.score.arrow import values_of_column

DAY = dt.date(2024, 2, 29)
NOON = dt.datetime(2024, 2, 29, 12)  # noqa: DTZ001 - Arrow's types bring the zone
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("values", "kind", "column", "expected"),
    [
        ([1, None, 3], pa.int64(), "float", [1, None, 3]),
        ([1, 2], pa.uint8(), "int", [1, 2]),
        ([1.5, NAN, None, INF], pa.float64(), "float", [1.5, None, None, INF]),
        ([0.1], pa.float32(), "float", [0.10000000149011612]),
        ([30.0, 30.5], pa.float64(), "int", [30.0, 30.5]),
        ([True, None], pa.bool_(), "bool", [True, None]),
        (["x", None], pa.string(), "str", ["x", None]),
        (["x", None], pa.large_string(), "str", ["x", None]),
        (["x", None], pa.string_view(), "category", ["x", None]),
        (["x", "y", None, "x"], pa.dictionary(pa.int8(), pa.string()), "category", ["x", "y", None, "x"]),
        ([Decimal("12.30"), None, Decimal("7.00")], pa.decimal128(9, 2), "float", [12.3, None, 7.0]),
        ([Decimal("12.30"), Decimal("7.00")], pa.decimal128(9, 2), "int", [12.3, 7]),
        ([Decimal(2**60 + 1)], pa.decimal128(30, 0), "int", [2**60 + 1]),
        ([DAY, None], pa.date32(), "datetime", ["2024-02-29", None]),
        ([NOON], pa.timestamp("us"), "datetime", ["2024-02-29T12:00:00.000000"]),
        ([NOON], pa.timestamp("s", "Europe/Berlin"), "datetime", ["2024-02-29T12:00:00Z"]),
        ([None, None], pa.null(), "float", [None, None]),
        ([None, None], pa.float64(), "str", [None, None]),  # pandas writes a column of missing strings as floats
    ],
)
def test_what_fits_is_a_value_of_json(values, kind, column, expected):
    array = pa.array(values, kind)
    for each in (array, pa.chunked_array([array[:1], array[1:]])):
        got = values_of_column(each, column)
        assert list(got) == expected
        assert [type(value) for value in got] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("values", "kind", "column"),
    [
        ([True], pa.bool_(), "float"),
        ([True], pa.bool_(), "int"),
        ([True], pa.bool_(), "str"),
        ([1], pa.int64(), "bool"),
        ([1], pa.int64(), "str"),
        ([1], pa.int64(), "datetime"),
        (["1"], pa.string(), "float"),
        (["1"], pa.string(), "int"),
        (["true"], pa.string(), "bool"),
        ([DAY], pa.date32(), "str"),
        ([NOON], pa.timestamp("us"), "str"),
        ([NOON], pa.timestamp("us"), "int"),
        ([NOON], pa.timestamp("us"), "any"),
        ([b"x"], pa.binary(), "str"),
        ([[1]], pa.list_(pa.int64()), "float"),
        ([{"a": 1}], pa.struct({"a": pa.int64()}), "any"),
        ([dt.time(1)], pa.time64("us"), "str"),
        (["1"], pa.dictionary(pa.int8(), pa.string()), "float"),
        ([Decimal(1)], pa.decimal128(3, 0), "str"),
    ],
)
def test_what_does_not_fit_is_not_converted(values, kind, column):
    assert values_of_column(pa.array(values, kind), column) is None


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_column_of_another_type_stops_the_run_and_leaves_nothing(scoring, served, tmp_path, ending):
    path = scoring.write(tmp_path / f"in.{ending}", [{"a": "1", "b": 2.0}])
    with pytest.raises(ScoreFault, match="column 'a' is of the type string, and the contract says float") as caught:
        scoring.score(served("regressor"), path, tmp_path / "out.csv")
    assert caught.value.exit_code == 3
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_frame_of_all_types_gives_what_its_json_gives(scoring, served, mixed, tmp_path, ending):
    frame = pd.DataFrame(mixed.columns)
    frame["joined"] = pd.to_datetime(frame["joined"], format="ISO8601")
    frame["size"] = frame["size"].astype("category")
    frame["visits"] = frame["visits"].astype("Int64")
    frame.index = pd.Index([7, 5, 3, 9, 1, 2], name="person")
    path = tmp_path / f"in.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    else:
        with pa.ipc.new_stream(path, pa.Schema.from_pandas(frame)) as writer:  # a stream, which has the same ending
            writer.write(pa.RecordBatch.from_pandas(frame))
    done = scoring.score(served("mixed"), path, tmp_path / "out.jsonl")
    assert [row["prediction"] for row in done.rows] == served("mixed").predict_columns(mixed.columns).predictions
    kept = scoring.score(served("mixed"), path, tmp_path / "kept.jsonl", keep=("person", "size"))
    assert [row["person"] for row in kept.rows] == [7, 5, 3, 9, 1, 2]


def test_kept_columns_keep_their_types(scoring, served, tmp_path):
    schema = pa.schema(
        {
            "a": pa.float64(),
            "b": pa.float32(),
            "at": pa.timestamp("ns", "UTC"),
            "tags": pa.list_(pa.string()),
            "raw": pa.binary(),
            "kind": pa.dictionary(pa.int32(), pa.string()),
            "cents": pa.decimal128(9, 2),
        }
    )
    row = {"a": 1.0, "b": 2.0, "at": NOON, "tags": ["x"], "raw": b"\xff", "kind": "k", "cents": Decimal("1.20")}
    path = scoring.write(tmp_path / "in.parquet", [row, {**row, "a": None}, row], schema)
    done = scoring.score(served("regressor"), path, tmp_path / "out.parquet", keep_all=True)
    found = pq.read_schema(done.target)
    assert {name: found.field(name).type for name in schema.names} == {each.name: each.type for each in schema}
    assert [each["row"] for each in done.rows] == [0, 2]
    assert done.rows[1]["cents"] == Decimal("1.20")
    assert done.rejects[0]["values"] == {
        "a": None,
        "b": 2.0,
        "at": "2024-02-29T12:00:00.000000000Z",
        "tags": ["x"],
        "raw": "b'\\xff'",
        "kind": "k",
        "cents": 1.2,
    }


def test_infinities_are_refused_by_name_and_kept_as_such(scoring, served, tmp_path):
    path = scoring.write(tmp_path / "in.parquet", [{"a": INF, "b": 1.0, "x": -INF}, {"a": 1.0, "b": 1.0, "x": -INF}])
    done = scoring.score(served("regressor"), path, tmp_path / "out.jsonl", keep=("x",))
    assert done.rejects[0]["errors"][0]["value"] == "Infinity"
    assert done.rows[0]["x"] == "-Infinity"


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("damage", ["empty", "text", "cut", "other"])
def test_a_file_that_is_none_fails_in_one_sentence(scoring, served, tmp_path, ending, damage):
    path = scoring.write(tmp_path / f"in.{ending}", [{"a": 1.0, "b": 2.0}] * 50)
    other = scoring.write(tmp_path / f"in.{'arrow' if ending == 'parquet' else 'parquet'}", [{"a": 1.0, "b": 2.0}])
    data = {"empty": b"", "text": b"a,b\n1,2\n", "cut": path.read_bytes()[:-60], "other": other.read_bytes()}
    path.write_bytes(data[damage])
    with pytest.raises(ScoreFault, match=r"^the file cannot be read: [^\n]+$"):
        scoring.score(served("regressor"), path, tmp_path / "out.csv")


def test_many_changed_bytes_of_a_file_never_end_the_process(scoring, served, tmp_path, show):
    import random

    path = scoring.write(tmp_path / "in.arrow", [{"a": float(i), "b": 2.0} for i in range(60)])
    data, dice, counts = path.read_bytes(), random.Random(7), {"refused": 0, "read": 0}
    for number in range(150):
        changed = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            changed[dice.randrange(len(changed))] = dice.randrange(256)
        path.write_bytes(changed)
        try:
            scoring.score(served("regressor"), path, tmp_path / f"{number}.csv")
            counts["read"] += 1
        except (ScoreFault, OSError):
            counts["refused"] += 1
    assert min(counts.values()) > 0
    show(f"changed Arrow files: {counts}")


def test_two_columns_of_one_name_are_refused(scoring, served, tmp_path):
    table = pa.table([[1.0], [2.0], [3.0]], names=["a", "b", "a"])
    pq.write_table(table, tmp_path / "in.parquet")
    with pytest.raises(ScoreFault, match="two columns of one name"):
        scoring.score(served("regressor"), tmp_path / "in.parquet", tmp_path / "out.csv")


def test_names_with_dots_are_no_paths(scoring, tools, tmp_path):
    import pandera.pandas as panda
    from sklearn.linear_model import LinearRegression

    from modelimg_runtime.served import open_served

    X = pd.DataFrame({"a.b": [1.0, 2.0, 3.0], "a": [0.0, 1.0, 0.0]})
    schema = panda.DataFrameSchema({name: panda.Column("float64") for name in X}, strict=True)
    output = panda.DataFrameSchema({"prediction": panda.Column("float64")}, strict=True)
    made = tools.write_package(tmp_path / "model", LinearRegression().fit(X, X["a.b"]), X, schema, output)
    X.assign(other=1).to_parquet(tmp_path / "in.parquet")
    model = open_served(made.folder, fast_path=True)
    done = scoring.score(model, tmp_path / "in.parquet", tmp_path / "out.parquet", keep=("a.b", "other"))
    assert [row["prediction"] for row in done.rows] == pytest.approx([row["a.b"] for row in done.rows])
