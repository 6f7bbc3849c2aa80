"""Every route, and the table of bad input: each with its status, its reasons, and nothing that leaks."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx
import pytest

JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}
LEAKS = re.compile(r"Traceback|File \"|site-packages|/tmp|\.py\b|builder/", re.ASCII)


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem document, after what holds for all of them."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["title"]
    assert document["id"] == response.headers["x-request-id"]
    assert not LEAKS.search(response.text), response.text
    return document


def errors_of(response: Any) -> list[tuple[Any, ...]]:
    errors = problem(response, 422)["errors"]
    return [(error["row"], error["column"], error["check"], error["value"]) for error in errors]


def predict(client: httpx.Client, payload: Any, query: str = "", **headers: str) -> Any:
    return client.post(f"/predict{query}", json=payload, headers=headers)


def test_rows_and_columns_get_the_packed_predictions(cancer_client, cancer):
    packed = json.loads(cancer.files["examples.json"])
    for payload in ({"rows": cancer.rows}, {"columns": cancer.columns}):
        response = predict(cancer_client, payload, "?probabilities=true")
        assert response.status_code == 200
        assert response.json()["predictions"] == packed["predictions"]
        rows = [list(row.values()) for row in response.json()["probabilities"]]
        assert rows == [pytest.approx(row, rel=1e-12) for row in packed["probabilities"]]
        assert list(response.json()["probabilities"][0]) == ["0", "1"]


def test_probabilities_are_given_only_when_asked_for(cancer_client, cancer):
    assert predict(cancer_client, {"rows": cancer.rows}).json().keys() == {"id", "predictions"}


def test_csv_gives_the_same_predictions_as_json(mixed_client, mixed):
    header = ",".join(mixed.columns)
    lines = [",".join("" if cell is None else str(cell) for cell in row.values()) for row in mixed.rows]
    response = mixed_client.post("/predict", content="\n".join([header, *lines]), headers=CSV)
    assert response.status_code == 200, response.text
    assert response.json()["predictions"] == predict(mixed_client, {"rows": mixed.rows}).json()["predictions"]


def test_columns_in_another_order_are_put_in_order(cancer_client, cancer):
    reordered = dict(reversed(cancer.columns.items()))
    response = predict(cancer_client, {"columns": reordered})
    assert response.json()["predictions"] == predict(cancer_client, {"columns": cancer.columns}).json()["predictions"]


def test_the_callers_request_id_is_echoed(cancer_client, cancer):
    response = predict(cancer_client, {"rows": cancer.rows[:1]}, **{"x-request-id": "abc-123"})
    assert (response.json()["id"], response.headers["x-request-id"]) == ("abc-123", "abc-123")


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "ä", "<script>"])
def test_a_request_id_that_is_no_plain_word_is_replaced(cancer_client, given):
    response = cancer_client.get("/livez", headers={"x-request-id": given.encode()})
    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-request-id"])


def test_livez_and_readyz_answer(cancer_client):
    assert cancer_client.get("/livez").json() == {"status": "alive"}
    assert cancer_client.get("/readyz").json() == {"status": "ready"}


def test_info_says_what_the_model_is_and_nothing_of_the_server(cancer_client, cancer):
    response = cancer_client.get("/info")
    info = response.json()
    assert (info["name"], info["version"]) == ("demo", "1.2.3")
    assert info["model"]["estimator"] == "sklearn.pipeline.Pipeline"
    assert info["metrics"] == {"test": {"accuracy": 0.9}}
    assert info["provenance"] == {"code": {"revision": "abc"}}
    assert str(cancer.folder) not in response.text
    assert "globals" not in info["model"]


def test_schema_lists_both_contracts(mixed_client):
    schema = mixed_client.get("/schema").json()
    columns = {column["name"]: column for column in schema["input"]["columns"]}
    assert columns["age"] == {
        "name": "age",
        "dtype": "int64",
        "type": "integer",
        "nullable": False,
        "required": True,
        "unique": False,
        "checks": ["in_range(0, 120)"],
    }
    assert columns["joined"]["type"] == "string, ISO 8601"
    assert schema["input"]["pandera"]["schema_type"] == "dataframe"
    assert schema["output"]["checks"] == ["rows_sum_to_one(tol=1e-06)"]


def test_unknown_routes_and_methods_are_problem_documents(cancer_client):
    assert problem(cancer_client.get("/nowhere"), 404)["type"] == "about:blank"
    problem(cancer_client.post("/predict/"), 404)
    response = cancer_client.get("/predict")
    problem(response, 405)
    assert response.headers["allow"] == "POST"


# ---- bodies that say nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"{", "not JSON"),
        (b'{"rows": [{"a": 1}]} x', "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"rows": [{"a": NaN}]}', "no NaN"),
        (b'{"rows": [{"a": Infinity}]}', "no Infinity"),
        (b'{"rows": [{"a": -Infinity}]}', "no -Infinity"),
        (b'{"rows": [{"a": 1, "a": 2}]}', "same key twice"),
        (b'{"columns": {"a": [1], "a": [2]}}', "same key twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"rows": ' * 50_000, "nested too deeply"),
        (b'{"rows": [{"a": ' + b"9" * 5000 + b"}]}", "too many digits"),
        (b"[]", "send"),
        (b"null", "send"),
        (b'"rows"', "send"),
        (b"{}", "send"),
        (b'{"rows": [], "columns": {}}', "send"),
        (b'{"rows": [], "more": 1}', "send"),
        (b'{"instances": [[1]]}', "send"),
        (b'{"rows": {"a": 1}}', "array of objects"),
        (b'{"rows": [[1, 2]]}', "array of objects"),
        (b'{"rows": [null]}', "array of objects"),
        (b'{"columns": [1]}', "object of arrays"),
        (b'{"columns": {"a": 1}}', "object of arrays"),
        (b'{"columns": {"a": [1, 2], "b": [1]}}', "different lengths"),
    ],
)
def test_a_body_that_is_no_table_is_400(cancer_client, body, says):
    assert says in problem(cancer_client.post("/predict", content=body, headers=JSON), 400)["detail"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("a,a\n1,2\n", "each column once"),
        ("\n1,2\n", "each column once"),
        ("a,b\n1\n", "line 2"),
        ("a,b\n1,2\n1,2,3\n", "line 3"),
        ('a,b\n"1,2\n', "not CSV"),
        ('a,b\n"1"x,2\n', "not CSV"),
        ("a,b\n1," + "x" * 200_000, "not CSV"),
    ],
)
def test_csv_that_is_no_table_is_400(cancer_client, body, says):
    assert says in problem(cancer_client.post("/predict", content=body, headers=CSV), 400)["detail"]


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", "json", "*/*"],
)
def test_another_content_type_is_415(cancer_client, cancer, content_type):
    headers = {} if content_type is None else {"content-type": content_type}
    body = json.dumps({"rows": cancer.rows}).encode()
    problem(cancer_client.post("/predict", content=body, headers=headers), 415)


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "Application/JSON", "application/json;"])
def test_a_content_type_may_name_utf8_and_be_written_in_capitals(cancer_client, cancer, content_type):
    body = json.dumps({"rows": cancer.rows}).encode()
    assert cancer_client.post("/predict", content=body, headers={"content-type": content_type}).status_code == 200


def test_a_body_over_the_limit_is_413_whether_its_length_is_declared_or_not(cancer_client):
    body = b" " * 10_000_001
    problem(cancer_client.post("/predict", content=body, headers=JSON), 413)
    chunks = (body[i : i + 100_000] for i in range(0, len(body), 100_000))
    response = cancer_client.post("/predict", content=chunks, headers=JSON)
    assert "content-length" not in response.request.headers
    problem(response, 413)


def test_a_body_of_exactly_the_limit_is_read(cancer_client, cancer):
    body = json.dumps({"rows": cancer.rows[:1]}).encode()
    body += b" " * (10_000_000 - len(body))
    assert cancer_client.post("/predict", content=body, headers=JSON).status_code == 200


@pytest.mark.parametrize("query", ["?probabilities=yes", "?probabilities=1", "?probabilities="])
def test_a_flag_that_is_neither_true_nor_false_is_400(cancer_client, cancer, query):
    problem(predict(cancer_client, {"rows": cancer.rows}, query), 400)


def test_probabilities_of_a_model_without_any_are_400(regressor_client, regressor):
    problem(predict(regressor_client, {"rows": regressor.rows}, "?probabilities=true"), 400)


# ---- bodies that break the contract ------------------------------------------------------------------------


def test_an_empty_batch_is_422(cancer_client, cancer):
    empty = {"columns": {name: [] for name in cancer.columns}}
    assert errors_of(predict(cancer_client, empty)) == [(None, None, "not_empty", None)]
    assert (None, None, "not_empty", None) in errors_of(predict(cancer_client, {"rows": []}))


def test_a_missing_column_is_named(cancer_client, cancer):
    columns = dict(cancer.columns)
    del columns["mean radius"]
    assert errors_of(predict(cancer_client, {"columns": columns})) == [
        (None, "mean radius", "column_in_dataframe", None)
    ]


def test_a_key_that_some_rows_lack_is_named_with_those_rows(cancer_client, cancer):
    rows = [dict(row) for row in cancer.rows]
    del rows[2]["mean radius"]
    assert errors_of(predict(cancer_client, {"rows": rows})) == [(2, "mean radius", "column_in_dataframe", None)]


def test_an_extra_column_is_named(cancer_client, cancer):
    columns = {**cancer.columns, "colour": ["red"] * 5}
    assert errors_of(predict(cancer_client, {"columns": columns})) == [(None, "colour", "column_in_schema", None)]


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("age", "30", "dtype('int64')"),
        ("age", "abc", "dtype('int64')"),
        ("age", 30.5, "dtype('int64')"),
        ("age", True, "dtype('int64')"),
        ("age", None, "not_nullable"),
        ("age", 2**64, "dtype('int64')"),
        ("age", 10**400, "dtype('int64')"),
        ("age", [30], "dtype('int64')"),
        ("age", -1, "in_range(0, 120)"),
        ("age", 121, "in_range(0, 120)"),
        ("income", "1001", "dtype('float64')"),
        ("income", False, "dtype('float64')"),
        ("income", 10**400, "dtype('float64')"),
        ("income", -1e12, "greater_than_or_equal_to(0)"),
        ("city", 5, "dtype('str')"),
        ("city", True, "dtype('str')"),
        ("city", {"name": "Ulm"}, "dtype('str')"),
        ("city", "", "str_length(1, 40)"),
        ("size", "XXL", "isin(['S', 'M', 'L'])"),
        ("size", 1, "isin(['S', 'M', 'L'])"),
        ("member", 1, "dtype('bool')"),
        ("member", "true", "dtype('bool')"),
        ("member", None, "not_nullable"),
        ("joined", "yesterday", "dtype('datetime64[ns]')"),
        ("joined", "now", "dtype('datetime64[ns]')"),
        ("joined", "2021-02-29", "dtype('datetime64[ns]')"),
        ("joined", "2021-02-28T00:00Z", "dtype('datetime64[ns]')"),
        ("joined", "9999-12-31", "dtype('datetime64[ns]')"),
        ("joined", 1_600_000_000, "dtype('datetime64[ns]')"),
        ("visits", 1.5, "dtype('Int64')"),
        ("visits", True, "dtype('Int64')"),
        ("visits", -1, "greater_than_or_equal_to(0)"),
        ("plan", None, "not_nullable"),
    ],
)
def test_a_wrong_cell_is_named_by_row_column_check_and_value(mixed_client, mixed, column, value, check):
    rows = [dict(row) for row in mixed.rows]
    rows[3][column] = value
    [(row, name, said, shown)] = errors_of(predict(mixed_client, {"rows": rows}))
    assert (row, name, said) == (3, column, check)
    if isinstance(value, (str, bool, float)) or value is None or (isinstance(value, int) and abs(value) < 2**63):
        assert shown == value


def test_an_overflowing_number_literal_is_422(mixed_client, mixed):
    body = json.dumps({"rows": mixed.rows[:1]}).replace("1200.5", "1e999").encode()
    response = mixed_client.post("/predict", content=body, headers=JSON)
    assert errors_of(response) == [(0, "income", "dtype('float64')", "Infinity")]


def test_a_lone_surrogate_is_422_and_does_not_break_the_answer(mixed_client, mixed):
    body = json.dumps({"rows": mixed.rows[:1]}).replace("Ulm", "\\ud800").encode()
    response = mixed_client.post("/predict", content=body, headers=JSON)
    assert errors_of(response) == [(0, "city", "unicode", "\ud800")]


def test_every_fault_of_a_request_is_reported_at_once(mixed_client, mixed):
    rows = [dict(row) for row in mixed.rows]
    for row in rows:
        del row["joined"]
        row["extra"] = 1
    rows[0].update(age="x", income=-1)
    rows[2].update(age=200, member=0)
    rows[4].update(size="XXL", plan=None)
    assert errors_of(predict(mixed_client, {"rows": rows})) == [
        (None, "joined", "column_in_dataframe", None),
        (None, "extra", "column_in_schema", None),
        (0, "age", "dtype('int64')", "x"),
        (0, "income", "greater_than_or_equal_to(0)", -1),
        (2, "age", "in_range(0, 120)", 200),
        (2, "member", "dtype('bool')", 0),
        (4, "size", "isin(['S', 'M', 'L'])", "XXL"),
        (4, "plan", "not_nullable", None),
    ]


@pytest.mark.parametrize(
    ("field", "value", "check"),
    [
        ("age", "30.5", "dtype('int64')"),
        ("age", "abc", "dtype('int64')"),
        ("age", "", "not_nullable"),
        ("age", " 30", "dtype('int64')"),
        ("income", "nan", "dtype('float64')"),
        ("income", "inf", "dtype('float64')"),
        ("income", "1e999", "dtype('float64')"),
        ("income", "0x10", "dtype('float64')"),
        ("income", "1_000", "dtype('float64')"),
        ("member", "1", "dtype('bool')"),
        ("member", "yes", "dtype('bool')"),
    ],
)
def test_a_wrong_csv_field_is_named(mixed_client, mixed, field, value, check):
    row = {name: "" if cell is None else str(cell) for name, cell in mixed.rows[0].items()} | {field: value}
    body = f"{','.join(row)}\n{','.join(row.values())}\n"
    [error] = errors_of(mixed_client.post("/predict", content=body, headers=CSV))
    assert error[:3] == (0, field, check)


def test_a_long_list_of_errors_is_cut_and_counted(regressor_client):
    document = problem(predict(regressor_client, {"columns": {"a": ["x"] * 800, "b": [1, *["y"] * 799]}}), 422)
    assert len(document["errors"]) == 1000
    assert document["errors_truncated"] == 599
    assert "1599 places" in document["detail"]


def test_a_long_value_is_cut(mixed_client, mixed):
    rows = [{**mixed.rows[0], "age": "x" * 100_000}]
    response = predict(mixed_client, {"rows": rows})
    assert len(response.content) < 1000
    assert errors_of(response)[0][3].endswith("…")


# ---- faults of ours ----------------------------------------------------------------------------------------


def test_a_crashing_check_is_422_and_its_message_stays_here(coded, tools):
    with tools.client_of(coded.folder) as client:
        assert predict(client, {"rows": coded.rows}).status_code == 200
        response = predict(client, {"rows": [{"a": -1, "b": 101}]})
        assert errors_of(response) == [
            (None, "b", "odd_one_out could not be evaluated", None),
            (0, "a", "greater_than_or_equal_to(0)", -1.0),
        ]
        assert "secret" not in response.text


def test_an_output_that_breaks_its_contract_is_a_500_of_its_own_kind(regressor_client, caplog):
    response = predict(regressor_client, {"rows": [{"a": 1, "b": 1}, {"a": 1e9, "b": 1}]}, **{"x-request-id": "r-17"})
    document = problem(response, 500)
    assert document["type"] == "urn:modelimg:problem:output-rejected"
    assert "predictions" not in response.text
    assert "2000000" not in response.text
    assert "r-17" in caplog.text
    assert "less_than_or_equal_to(1000)" in caplog.text


def test_a_model_that_raises_is_a_500_whose_reason_is_in_the_log_only(mixed_client, mixed, caplog):
    response = predict(mixed_client, {"rows": [{**mixed.rows[0], "plan": "platinum"}]}, **{"x-request-id": "r-18"})
    document = problem(response, 500)
    assert document["type"] == "about:blank"
    assert "platinum" not in response.text
    assert "r-18" in caplog.text
    assert "platinum" in caplog.text


def test_an_answer_with_many_outputs_has_a_list_per_row(two_outputs, tools):
    with tools.client_of(two_outputs.folder) as client:
        [[first, second]] = predict(client, {"rows": [{"a": 2}]}).json()["predictions"]
        assert (first, second) == pytest.approx((2, -2))
