"""The table of bad input, on a served package over real sockets: status and body of each, and what the docs say of it."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from bad_input import (
    ARROW,
    CASES,
    DATATYPES,
    GOOD,
    GOOD_TABLE,
    INVOCATIONS,
    JSON,
    PARQUET,
    PATHS,
    PREDICT,
    V1,
    V2,
    WRAP,
    Case,
    Seen,
    arrow,
    as_markdown,
    ask,
    message_of,
    parquet,
)
from bad_wire import BODY, TABLE, Wire, exchange, post
from bad_wire import as_markdown as wire_markdown

HTTP_DOCS = Path(__file__).parents[2] / "docs/reference/http.md"
CITIES = ["Ulm", "Jena", "Trier"]
INCOMES = [48213.77, 51377.19, 60991.33, 39127.91, 44818.57, np.nan]
LEAKS = re.compile(
    r"Traceback|File \"|site-packages|/tmp|/home|/usr|\.py\b|builder|modelimg_runtime|sklearn|pandas|numpy|starlette"
)


@dataclass
class Served:
    """A server in a process of its own."""

    port: int
    log: Path
    predictions: list[str]
    """Of a good row."""

    def ask(self, path, body, headers=JSON, method="POST") -> Seen:
        return ask(self.port, path, body, headers, method)

    def still_right(self, path: str) -> bool:
        return answered(path, self.ask(path, WRAP[path]([GOOD]).encode())) == self.predictions


def answered(path: str, seen: Seen) -> list[object]:
    """The predictions of a 200."""
    assert seen.status == 200, seen.text
    return seen.json["outputs"][0]["data"] if path == V2 else seen.json["predictions"]


@pytest.fixture(scope="module")
def package(tools, tmp_path_factory):
    X = pd.DataFrame(
        {
            "age": [23, 41, 35, 58, 30, 62],
            "income": INCOMES,
            "city": pd.Series([*CITIES, *CITIES], dtype="str"),
            "member": [True, False, True, True, False, False],
        }
    )
    columns = ColumnTransformer([("n", SimpleImputer(), ["age", "income"]), ("c", OneHotEncoder(), ["city", "member"])])
    model = make_pipeline(columns, LogisticRegression(max_iter=2000)).fit(X, ["no", "yes", "no", "yes", "no", "yes"])
    schema = pandera.DataFrameSchema(
        {
            "age": pandera.Column("int64", pandera.Check.in_range(0, 120)),
            "income": pandera.Column("float64", pandera.Check.ge(0), nullable=True),
            "city": pandera.Column("str", pandera.Check.isin(CITIES)),
            "member": pandera.Column("bool"),
        },
        strict=True,
    )
    output = pandera.DataFrameSchema({"prediction": pandera.Column("str")})
    return tools.write_package(tmp_path_factory.mktemp("bad") / "model", model, X, schema, output).folder


@contextmanager
def serving(tools: Any, package: Path, log: Path, **environ: str) -> Iterator[Served]:
    with log.open("wb") as stream, tools.server_of(package, stderr=stream, **environ) as server:
        server.wait_for("/readyz")
        yield Served(server.port, log, [])
        assert server.process.poll() is None


def serve_in_a_process(fast_path: str) -> Any:
    @pytest.fixture(scope="module")
    def fixture(package, tools, tmp_path_factory) -> Iterator[Served]:
        with serving(tools, package, tmp_path_factory.mktemp("log") / "stderr", MODELIMG_FAST_PATH=fast_path) as one:
            one.predictions = answered(PREDICT, one.ask(PREDICT, WRAP[PREDICT]([GOOD]).encode()))
            yield one
            assert "Traceback" not in one.log.read_text()

    return fixture


fast, slow = serve_in_a_process("on"), serve_in_a_process("off")


@pytest.fixture(params=["fast", "slow"])
def served(request) -> Served:
    """Both ways of answering, which no caller can tell apart."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sent)
def test_bad_input_is_answered_with_its_status_and_its_reason(served: Served, case: Case, path: str):
    seen = served.ask(path, case.bodies[path], case.headers)
    assert seen.status == case.status_at(path), seen.text
    assert not LEAKS.search(seen.text), seen.text
    assert not any(str(income) in seen.text for income in INCOMES)
    if seen.status == 200:
        assert answered(path, seen) == served.predictions
    else:
        assert case.says_at(path) in message_of(path, seen)
        assert len(seen.body) < 3000
    assert served.still_right(path)


def test_the_table_of_the_docs_is_what_was_seen(fast: Served):
    lines = []
    for case in CASES:
        seen = {path: fast.ask(path, case.bodies[path], case.headers) for path in PATHS}
        first = seen[PREDICT]
        says = "the same prediction" if first.status == 200 else message_of(PREDICT, first)
        says = says.partition("in 1 place; ")[2] or says
        lines.append((case, {path: each.status for path, each in seen.items()}, says))
    wires = [(wire, exchange(fast.port, wire)) for wire in TABLE]
    for table in (as_markdown(lines), wire_markdown(wires)):
        assert table in HTTP_DOCS.read_text(), f"docs/reference/http.md must hold:\n\n{table}"


@pytest.mark.parametrize("wire", TABLE, ids=lambda wire: wire.sent)
def test_what_is_no_good_http_is_answered_and_harms_nobody(served: Served, wire: Wire):
    seen = exchange(served.port, wire)
    assert tuple(status for status, _ in seen) == wire.statuses, seen
    for _, text in seen:
        assert not LEAKS.search(text), text
    if seen:
        assert wire.says in seen[-1][1]
    assert served.still_right(PREDICT)


def test_a_slow_client_holds_up_nobody(served: Served):
    head, body = WRAP[PREDICT]([GOOD]).encode()[:20], WRAP[PREDICT]([GOOD]).encode()[20:]
    started, go_on = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        yield head
        started.set()
        go_on.wait(30)
        yield body

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(served.ask, PREDICT, pieces())
        assert started.wait(30)
        assert all(served.still_right(path) for path in PATHS)
        assert not slow.done()
        go_on.set()
        assert answered(PREDICT, slow.result()) == served.predictions


def test_a_client_that_is_slower_than_allowed_is_told_so(package, tools, tmp_path):
    late = Wire("late", [post(BODY[:9], f"Content-Length: {len(BODY)}")], (408,), "did not come in time")
    with serving(tools, package, tmp_path / "log", MODELIMG_READ_TIMEOUT_SECONDS="1") as one:
        [(status, text)] = exchange(one.port, late)
        assert (status, late.says in text) == (408, True), text
        one.predictions = answered(PREDICT, one.ask(PREDICT, BODY))
        assert one.still_right(V2)


# ---- an answer that breaks the output schema -----------------------------------------------------------------

FAR = {"a": "1e6", "b": "0.25"}
"""A row of the regressor's, whose answer is twice as far."""


@pytest.mark.parametrize("fast_path", ["on", "off"])
def test_an_answer_that_breaks_the_contract_is_500_of_its_own_kind_and_is_in_the_log_alone(
    regressor, tools, tmp_path, fast_path
):
    with serving(tools, regressor.folder, tmp_path / "log", MODELIMG_FAST_PATH=fast_path) as one:
        for number, (path, wrap) in enumerate(WRAP.items()):
            headers = {**JSON, "X-Request-Id": f"req-{number}", "Accept": "text/csv"}
            seen = one.ask(path, wrap([FAR]).replace('"BYTES"', '"FP64"').encode(), headers)
            assert (seen.status, seen.headers["x-request-id"]) == (500, f"req-{number}"), seen.text
            assert "the model's output breaks the contract in 1 place" in message_of(path, seen)
            assert "2000000" not in seen.text
            assert "predictions" not in seen.text
            assert f"request req-{number}: output contract broken" in one.log.read_text()
        native = one.ask(PREDICT, WRAP[PREDICT]([FAR]).encode()).json
        assert native["type"] == "urn:modelimg:problem:output-rejected"
        assert one.ask(INVOCATIONS, WRAP[INVOCATIONS]([FAR]).encode()).json["error_code"] == "INTERNAL_ERROR"
        near = {"a": "1.0", "b": "0.25"}
        assert answered(V1, one.ask(V1, WRAP[V1]([near]).encode())) == pytest.approx([2.25])


# ---- what nobody thought of ----------------------------------------------------------------------------------

NASTY = [
    *(
        b'null true false NaN 7 30 0.5 99.25 -0 1e999 -1e999 1e-400 0.1 30.5 -1 18446744073709551616 {} [] "" "\\ud800" "Ulm"'.split()
    ),
    *(b"\x00", b"\xff", b"\xc3\xa9", b"\n", b",", b":", b"[", b"}", b'"', b"9" * 400, b"[" * 3000),
]


TOKEN = re.compile(rb'"[^"]*"|-?\d+(\.\d+)?|true|false|null|Ulm|Jena')
ARRAYS = [
    pa.array([41]),
    pa.array([41], pa.uint8()),
    pa.array([41.0], pa.float32()),
    pa.array([2**63], pa.uint64()),
    pa.array([np.nan]),
    pa.array([np.inf]),
    pa.array([-1.5]),
    pa.array([True]),
    pa.array(["Jena"]),
    pa.array(["Jena"]).dictionary_encode(),
    pa.array(["Atlantis"], pa.large_string()),
    pa.array([None], pa.string()),
    pa.nulls(1),
    pa.array([0], pa.timestamp("us", "UTC")),
    pa.array([b"x"]),
    pa.array([[1]]),
]


def mutated(body: bytes, chance: random.Random) -> bytes:
    """A body with one thing done to a value, or one to three to its bytes."""
    tokens = list(TOKEN.finditer(body))
    if tokens and chance.random() < 0.6:
        one, other = chance.choice(tokens), chance.choice(tokens)
        return body[: one.start()] + chance.choice([*NASTY, other.group()]) + body[one.end() :]
    for _ in range(chance.randrange(1, 4)):
        at, to = sorted(chance.randrange(len(body) + 1) for _ in range(2))
        to = min(to, at + 12)
        body = chance.choice(
            [
                body[:at] + body[to:],
                body[:at] + chance.choice(NASTY) + body[to:],
                body[:at] + chance.choice(NASTY) + body[at:],
                body[:to] + body[at:],
                body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :],
            ]
        )
    return body or b"0"


def mutated_table(chance: random.Random) -> pa.Table:
    """The good table with some of its columns changed."""
    table = GOOD_TABLE
    for _ in range(chance.randrange(1, 3)):
        place = chance.randrange(table.num_columns)
        table = table.set_column(place, table.column_names[place], chance.choice(ARRAYS))
    return table.select(chance.sample(table.column_names, chance.choice([3, 4, 4, 4])))


def seeds() -> dict[str, tuple[str, bytes, dict[str, str]]]:
    """A good body of each protocol and form: path, body, headers."""
    rows = [GOOD, {**GOOD, "income": "null", "city": '"Jena"'}]
    csv = {"Content-Type": "text/csv"}
    lines = b"41,1200.5,Ulm,true\n41,,Jena,true\n"
    head, tail = binary_infer()
    names, cells = ", ".join(f'"{name}"' for name in GOOD), ", ".join(GOOD.values())
    return {
        "rows": (PREDICT, WRAP[PREDICT](rows).encode(), JSON),
        "columns": (
            PREDICT,
            b'{"columns": {' + ", ".join(f'"{n}": [{v}]' for n, v in GOOD.items()).encode() + b"}}",
            JSON,
        ),
        "CSV": (PREDICT, b"age,income,city,member\n" + lines, csv),
        "CSV without a header": (INVOCATIONS, lines, csv),
        "records": (INVOCATIONS, WRAP[INVOCATIONS](rows).encode(), JSON),
        "split": (INVOCATIONS, f'{{"dataframe_split": {{"columns": [{names}], "data": [[{cells}]]}}}}'.encode(), JSON),
        "inputs": (INVOCATIONS, f'{{"inputs": [[{cells}]], "params": {{"scores": true}}}}'.encode(), JSON),
        "instances": (V1, WRAP[V1](rows).encode(), JSON),
        "tensors": (V2, WRAP[V2](rows).encode(), JSON),
        "tensors as bytes": (V2, head + tail, {"Inference-Header-Content-Length": str(len(head))}),
        "Arrow": (PREDICT, arrow(GOOD_TABLE), {"Content-Type": ARROW}),
        "Parquet": (INVOCATIONS, parquet(GOOD_TABLE), {"Content-Type": PARQUET}),
    }


def binary_infer() -> tuple[bytes, bytes]:
    values = {"age": np.array([41]), "income": np.array([1200.5]), "member": np.array([True])}
    tails = {name: array.tobytes() for name, array in values.items()} | {"city": b"\x03\x00\x00\x00Ulm"}
    inputs = [
        {"name": name, "shape": [1], "datatype": DATATYPES[name], "parameters": {"binary_data_size": len(tail)}}
        for name, tail in tails.items()
    ]
    return json.dumps({"inputs": inputs}).encode(), b"".join(tails.values())


@pytest.mark.parametrize("form", seeds())
def test_whatever_comes_both_ways_of_answering_say_the_same_and_never_5xx(fast: Served, slow: Served, form, show):
    path, good, headers = seeds()[form]
    chance, counts = random.Random(form), Counter()
    for number in range(60):
        body = mutated(good, chance) if number else good
        if number % 2 and form in ("Arrow", "Parquet"):
            body = (arrow if form == "Arrow" else parquet)(mutated_table(chance))
        if number % 2 and form == "tensors as bytes":  # the JSON stays whole, the tensors do not
            length, at = int(headers["Inference-Header-Content-Length"]), chance.randrange(len(good))
            body = good[:length] + bytes(each ^ (place == at) for place, each in enumerate(good))[length:]
        seen, other = (one.ask(path, body, {**headers, "X-Request-Id": "same"}) for one in (fast, slow))
        assert seen.status < 500, (body, seen.text)
        assert (seen.status, seen.body) == (other.status, other.body), body
        assert not LEAKS.search(seen.text), (body, seen.text)
        counts[seen.status] += 1
    assert fast.still_right(path)
    show(f"{form}: {dict(sorted(counts.items()))}")
    assert counts[200] >= 1
    assert counts.total() - counts[200] >= 20
