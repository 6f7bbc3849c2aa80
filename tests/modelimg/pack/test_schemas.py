"""Contracts survive as files, or what would be lost is named: never dropped in silence."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from modelimg.errors import SchemaError, UsageError
from modelimg.pack.schemas import pack_schema, schema_facts, serialise
from modelimg_runtime.validation import load_schema, validate


def column(*arguments, **options):
    return pa.DataFrameSchema({"a": pa.Column(*arguments, **options)})


KEPT = {
    "bounds": column(float, pa.Check.in_range(0, 1, include_min=False)),
    "strings": column(str, [pa.Check.str_matches("x+"), pa.Check.str_length(1, 3)]),
    "values": column(int, pa.Check.isin([1, 2])),
    "values of an array": column(int, pa.Check.isin(np.array([1, 2]))),
    "values of a tuple": column(str, pa.Check.isin(("x", "y"))),
    "numpy bound": column(int, pa.Check.ge(np.int64(3))),
    "same check twice": column(float, [pa.Check.ge(0), pa.Check.ge(1)]),
    "own message": column(float, pa.Check.ge(0, error="is negative")),
    "named check": column(float, pa.Check.ge(0, name="positive")),
    "options of a check": column(float, pa.Check.ge(0, ignore_na=False, raise_warning=True), nullable=True),
    "moment": column("datetime64[ns]", pa.Check.ge(pd.Timestamp("2020-01-01"))),
    "duration": column("timedelta64[ns]", pa.Check.ge(pd.Timedelta(1))),
    "zone": column(pd.DatetimeTZDtype("us", "UTC")),
    "nullable integer": column("Int64", nullable=True),
    "narrow": column("float32", coerce=True),
    "unique": pa.DataFrameSchema({"a": pa.Column(float, unique=True)}, unique=["a"], strict="filter", ordered=True),
    "texts": pa.DataFrameSchema(
        {"a": pa.Column(float, title="t", description="d")}, name="n", title="t", description="d"
    ),
    "default": column(float, default=1.0),
    "optional": column(float, required=False),
    "pattern of names": pa.DataFrameSchema({"a.*": pa.Column(float, regex=True)}),
    "index": pa.DataFrameSchema({"a": pa.Column(float)}, index=pa.Index(int, pa.Check.ge(0), name="i")),
    "dtype of the frame": pa.DataFrameSchema({"a": pa.Column()}, dtype=float),
    "rows": pa.DataFrameSchema({"probability_a": pa.Column(float)}, checks=pa.Check.rows_sum_to_one(tol=1e-6)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_json_can_hold_survives_in_full(tmp_path, name):
    packed = pack_schema("input", KEPT[name], tmp_path)
    (tmp_path / packed.file).write_bytes(packed.content)
    assert packed.reference == "input_schema.json"
    back = dict(schema_facts(load_schema(tmp_path, packed.reference)))
    assert back == dict(schema_facts(KEPT[name]))


LOST = {
    "lambda": (column(float, pa.Check(lambda s: s > 0)), "column 'a', check <lambda>"),
    "named function": (column(float, pa.Check(lambda s: s > 0, name="positive")), "column 'a', check positive"),
    "function under a built-in name": (
        column(float, pa.Check(lambda s: s > 0, name="greater_than")),
        "check greater_than",
    ),
    "element-wise": (column(float, pa.Check(lambda x: x > 0, element_wise=True)), "column 'a', check <lambda>"),
    "check of the frame": (pa.DataFrameSchema({"a": pa.Column(float)}, checks=pa.Check(len)), "check len"),
    "compiled pattern": (column(str, pa.Check.str_matches(re.compile("x"))), "column 'a', check str_matches"),
    "categories": (column(pd.CategoricalDtype(["x", "y"])), "column 'a', dtype"),
    "parser": (column(float, parsers=pa.Parser(lambda s: s.abs())), "column 'a', parsers"),
    "parser of the frame": (pa.DataFrameSchema({"a": pa.Column(float)}, parsers=pa.Parser(len)), "parsers"),
    "metadata": (column(float, metadata={"unit": "cm"}), "column 'a', metadata"),
    "metadata of the frame": (pa.DataFrameSchema({"a": pa.Column(float)}, metadata={"x": 1}), "metadata"),
    "texts of a check": (column(float, pa.Check.ge(0, description="d")), "column 'a', check"),
    "parts of a second": (
        column("datetime64[ns]", pa.Check.ge(pd.Timestamp("2020-01-01 00:00:00.5"))),
        "column 'a', check greater_than_or_equal_to",
    ),
    "moments": (column("datetime64[ns]", pa.Check.isin([pd.Timestamp("2020-01-01")])), "column 'a', check isin"),
    "infinity": (column(float, pa.Check.le(float("inf"))), "column 'a', check less_than_or_equal_to"),
    "one of two": (column(float, [pa.Check.ge(0), pa.Check(lambda s: s < 9, name="small")]), "check small"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_json_would_lose_is_refused_by_column_and_check(tmp_path, name):
    schema, says = LOST[name]
    with warnings.catch_warnings(), pytest.raises(SchemaError) as error:
        warnings.simplefilter("error")
        pack_schema("input", schema, tmp_path)
    assert says in error.value.message
    assert "schemas.py:Name" in str(error.value.hint)


def test_a_check_that_only_this_process_knows_is_not_taken_for_a_known_one():
    from pandera.api.extensions import register_check_method

    def shop_is_even(values):
        return values % 2 == 0

    if not hasattr(pa.Check, "shop_is_even"):
        register_check_method(shop_is_even)
    assert serialise(column(int, pa.Check.shop_is_even()))[1] == ["column 'a', check shop_is_even"]


def test_serialising_leaves_the_users_schema_as_it_is():
    schema = KEPT["options of a check"]
    before = repr(list(schema_facts(schema)))
    serialise(schema)
    assert repr(list(schema_facts(schema))) == before


SOURCE = """
import pandas as pd
import pandera.pandas as pa

Plain = pa.DataFrameSchema({"a": pa.Column(float, pa.Check.ge(0))})
Lambda = pa.DataFrameSchema({"a": pa.Column(float, pa.Check(lambda s: s > 0, name="positive"))})
Number = 5

class Model(pa.DataFrameModel):
    a: float = pa.Field(ge=0)

    @pa.check("a")
    def positive(cls, values):
        return values > 0
"""


def test_a_file_that_json_can_hold_becomes_json(tmp_path):
    (tmp_path / "my_schemas.py").write_text(SOURCE)
    assert pack_schema("output", "my_schemas.py:Plain", tmp_path).reference == "output_schema.json"


@pytest.mark.parametrize("name", ["Lambda", "Model"])
def test_a_file_that_json_would_cut_is_packed_as_code(tmp_path, name):
    (tmp_path / "my_schemas.py").write_text(SOURCE)
    packed = pack_schema("input", f"my_schemas.py:{name}", tmp_path)
    assert (packed.reference, packed.file) == (f"schemas.py:{name}", "schemas.py")
    (tmp_path / packed.file).write_bytes(packed.content)
    found = validate(load_schema(tmp_path, packed.reference), pd.DataFrame({"a": [1.0, 0.0]}))
    assert [(violation.row, violation.column) for violation in found] == [(1, "a")]


@pytest.mark.parametrize(
    ("reference", "error", "says"),
    [
        ("schemas.py", UsageError, "is no reference"),
        ("schemas.json:Input", UsageError, "is no reference"),
        ("schemas.py:", UsageError, "is no reference"),
        ("nowhere.py:Input", SchemaError, "does not exist"),
        ("my_schemas.py:Missing", SchemaError, "named Missing"),
        ("my_schemas.py:Number", SchemaError, "named Number"),
        ("broken.py:Input", SchemaError, "cannot be run"),
        ("dropping.py:Input", SchemaError, "drop_invalid_rows"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(tmp_path, reference, error, says):
    (tmp_path / "my_schemas.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("import no_such_module")
    (tmp_path / "dropping.py").write_text(
        "import pandera.pandas as pa\nInput = pa.DataFrameSchema({'a': pa.Column(float)}, drop_invalid_rows=True)"
    )
    with pytest.raises(error, match=says):
        pack_schema("input", reference, tmp_path)


@pytest.mark.parametrize("value", [5, {"a": float}, pd.DataFrame])
def test_what_is_no_schema_is_refused(tmp_path, value):
    with pytest.raises(UsageError, match="the input schema is a"):
        pack_schema("input", value, tmp_path)


def test_a_model_class_is_taken_as_its_schema(tmp_path):
    class Input(pa.DataFrameModel):
        a: float = pa.Field(ge=0)

    assert b"greater_than_or_equal_to" in pack_schema("input", Input, tmp_path).content


@pytest.mark.parametrize("dtype", ["str", str, pd.Series(["x"]).dtype, "string"])
def test_strings_need_no_pyarrow_where_the_schema_is_read(tmp_path, dtype):
    packed = pack_schema("input", column(dtype, pa.Check.isin(["x", "y"])), tmp_path)
    assert b"pyarrow" not in packed.content
    assert packed.extra == ()
    (tmp_path / packed.file).write_bytes(packed.content)
    check = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pathlib import Path\nimport pandas as pd\nfrom modelimg_runtime.validation import load_schema, validate\n"
        "schema = load_schema(Path(sys.argv[1]), 'input_schema.json')\n"
        "print([(v.row, v.value) for v in validate(schema, pd.DataFrame({'a': ['x', 'z']}))])"
    )
    done = subprocess.run([sys.executable, "-c", check, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[(1, 'z')]"


def test_a_dtype_of_pyarrow_brings_pyarrow_into_the_image(tmp_path):
    assert pack_schema("input", column("int64[pyarrow]"), tmp_path).extra == ("pyarrow",)
