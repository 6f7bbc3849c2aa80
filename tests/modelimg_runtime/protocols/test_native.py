from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelimg_runtime.columns import ABSENT, Prediction
from modelimg_runtime.errors import PayloadError
from modelimg_runtime.protocols.bodies import CSV, JSON, media_type
from modelimg_runtime.protocols.extras import NONE, Extras
from modelimg_runtime.protocols.native import answer, parse

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)


def test_rows_become_columns_in_the_order_of_their_first_appearance():
    payload = parse(b'{"rows": [{"b": 1, "a": "x"}, {"a": null, "c": true}]}', JSON)
    assert payload.columns == {"b": [1, ABSENT], "a": ["x", None], "c": [ABSENT, True]}
    assert list(payload.columns) == ["b", "a", "c"]
    assert payload.text is False


def test_csv_becomes_columns_of_text():
    payload = parse('\ufeffa,"b c"\r\n1,"x, ""y"""\r\n\r\n,é\n'.encode(), CSV)
    assert payload.text is True
    assert {name: list(values) for name, values in payload.columns.items()} == {"a": ["1", ""], "b c": ['x, "y"', "é"]}


def test_a_csv_header_alone_is_an_empty_table():
    assert parse(b"a,b\n", CSV).columns == {"a": (), "b": ()}


@given(st.lists(st.dictionaries(st.sampled_from("abc"), SCALARS | st.text(max_size=5), min_size=3), min_size=1))
def test_rows_survive_as_columns(rows):
    payload = parse(json.dumps({"rows": rows}).encode(), JSON)
    back = [{name: values[i] for name, values in payload.columns.items()} for i in range(len(rows))]
    assert back == rows


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode), st.sampled_from([JSON, CSV]))
def test_no_body_raises_anything_but_a_payload_error(body, kind):
    with suppress(PayloadError):
        columns = parse(body, kind).columns
        assert len({len(values) for values in columns.values()}) <= 1 or kind == JSON


@given(
    st.recursive(
        SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["rows", "columns", "a"]), inner)
    )
)
def test_no_json_raises_anything_but_a_payload_error(document):
    with suppress(PayloadError):
        assert parse(json.dumps(document).encode(), JSON).columns is not None


def test_rows_with_nothing_in_common_do_not_become_a_table_of_holes():
    body = json.dumps({"rows": [{f"c{i}": 1} for i in range(20_000)]}).encode()
    with pytest.raises(PayloadError, match="too few columns in common"):
        parse(body, JSON)


@pytest.mark.parametrize(
    "header",
    [None, "", ";", "text/html", "application/jsonl", "application/json;charset=utf-16", 'text/csv; charset="cp1252"'],
)
def test_another_media_type_is_415(header):
    with pytest.raises(PayloadError) as error:
        media_type(header, (JSON, CSV))
    assert error.value.status == 415


@pytest.mark.parametrize(
    ("header", "kind"), [("application/json", JSON), ("TEXT/CSV; header=present; charset=utf-8", CSV)]
)
def test_json_and_csv_are_known_whatever_their_parameters(header, kind):
    assert media_type(header, (JSON, CSV)) == kind


def test_an_answer_names_each_probability_by_its_class():
    body = json.loads(answer("id-1", Prediction([1], [[0.25, 0.75]]), (0, 1), Extras(probabilities=True), JSON))
    assert body == {"id": "id-1", "predictions": [1], "probabilities": [{"0": 0.25, "1": 0.75}]}


def test_csv_has_a_header_and_a_column_for_each_class():
    prediction = Prediction(["x", None], [[0.25, 0.75], [1.0, 0.0]], [[1.5, -2.5], [0.0, 0.5]])
    assert answer("", prediction, ("x", "y"), Extras(probabilities=True, scores=True), CSV).decode() == (
        "prediction,probability_x,probability_y,score_x,score_y\nx,0.25,0.75,1.5,-2.5\n,1.0,0.0,0.0,0.5\n"
    )
    assert answer("", Prediction([[1, 2]], None), (), NONE, CSV) == b"prediction_0,prediction_1\n1,2\n"


@pytest.mark.parametrize("kind", [JSON, CSV])
@pytest.mark.parametrize("extras", [Extras(probabilities=True), Extras(scores=True)])
def test_what_the_model_does_not_give_is_refused(kind, extras):
    with pytest.raises(PayloadError, match="gives no"):
        answer("", Prediction([1], None), (), extras, kind)
