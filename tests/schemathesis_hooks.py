"""What JSON Schema cannot say of our requests, for schemathesis: used by the tests, and by hand as

``SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=tests schemathesis run http://localhost:8080/openapi.json``.

Columns and tensors of one request have one length, no output is asked for twice, a CSV body has the columns' names in
its first line, labels may come on a line each, predictions that are sent back could have been answered, and a window
begins before it ends.
Only requests that are meant to be valid are changed; those that are meant to be refused go out as they were made.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import schemathesis
from hypothesis import strategies as st
from pyarrow import ipc, parquet
from schemathesis import Case, HookContext

CSV, ARROW, PARQUET = "text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"
JSON_LINES = ("application/x-ndjson", "application/jsonl")


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Bodies that are no JSON are made of the rows, and of the labels, of the description's own examples."""
    feedback = raw_schema["paths"].get("/feedback", {}).get("post", {})
    for kind in JSON_LINES:
        if example := feedback.get("requestBody", {}).get("content", {}).get(kind, {}).pop("examples", None):
            said = st.lists(st.sampled_from(example["lines"]["value"].splitlines()), min_size=1, max_size=4)
            schemathesis.openapi.media_type(kind, said.map(lambda labels: "\n".join(labels).encode()))
    predict = raw_schema["paths"].get("/predict", {}).get("post", {})
    content = predict.get("requestBody", {}).get("content", {})
    if CSV not in content:
        return
    header, *lines = content[CSV]["examples"]["rows"]["value"].splitlines()
    chosen = st.lists(st.sampled_from(lines), min_size=1, max_size=4)
    schemathesis.openapi.media_type(CSV, chosen.map(lambda rows: "\n".join([header, *rows]).encode()))
    records = content["application/json"]["examples"]["rows"]["value"]["rows"]
    tables = st.lists(st.sampled_from(records), min_size=1, max_size=4).map(pa.Table.from_pylist)
    schemathesis.openapi.media_type(ARROW, tables.map(arrow_stream))
    schemathesis.openapi.media_type(PARQUET, tables.map(parquet_file))
    for path in raw_schema["paths"].values():  # an example that is text would not do for a strategy of bytes
        path.get("post", {}).get("requestBody", {}).get("content", {}).get(CSV, {}).pop("examples", None)


def arrow_stream(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    with ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue().to_pybytes()


def parquet_file(table: pa.Table) -> bytes:
    out = pa.BufferOutputStream()
    parquet.write_table(table, out)
    return out.getvalue().to_pybytes()


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Make what belongs together one length, and windows end after they began."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "/" in str(case.query.get("window", "")):
        case.query = {**case.query, "window": ascending(case.query["window"])}
    if not isinstance(case.body, (dict, list)):
        return
    if case.path == "/feedback":
        case.body = sent_back(case.body)
    elif isinstance(case.body, dict):
        case.body = {key: FITTING.get(key, unchanged)(value) for key, value in case.body.items()}


def sent_back(body: Any) -> Any:
    """Labels whose predictions, where there are some, were right: they could have been answered."""
    if isinstance(body, list):
        return [sent_back(item) for item in body]
    both = isinstance(body, dict) and {"label", "prediction"} <= body.keys()
    return {**body, "prediction": body["label"]} if both else body


def ascending(window: str) -> str:
    """The same two moments, the first one first; everything where they are one."""
    one, two = sorted((dt.datetime.fromisoformat(each.strip()), each) for each in window.split("/"))
    return f"{one[1]}/{two[1]}" if one[0] < two[0] else "total"


def unchanged(value: Any) -> Any:
    return value


def once(outputs: Any) -> Any:
    """Each output at most once."""
    return list({each["name"]: each for each in outputs}.values()) if outputs else outputs


def one_length(value: Any) -> Any:
    """Columns, or tensors, cut to the shortest."""
    if isinstance(value, dict) and value and all(isinstance(values, list) for values in value.values()):
        shortest = min(map(len, value.values()))
        return {name: values[:shortest] for name, values in value.items()}
    if isinstance(value, list) and all(isinstance(each, dict) and "shape" in each for each in value) and value:
        shortest = min(len(tensor["data"]) for tensor in value)
        return [
            {**tensor, "data": tensor["data"][:shortest], "shape": [shortest, *tensor["shape"][1:]]} for tensor in value
        ]
    return value


FITTING = {"columns": one_length, "inputs": one_length, "instances": one_length, "outputs": once}
