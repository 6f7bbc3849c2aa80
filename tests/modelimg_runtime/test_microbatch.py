"""Requests that come together are predicted together, and nobody can tell it from the answers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelimg_runtime import contract
from modelimg_runtime.columns import Batch, Prediction
from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import SettingRefused
from modelimg_runtime.microbatch import Batcher, Limits, batcher_of, merged, parts
from modelimg_runtime.protocols.bodies import Payload
from modelimg_runtime.served import open_served

EQUAL = contract.FastPath(True, 300, batches_equal=True, batch_rows=64, batch_difference=0.0)


def frame(rows: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(0)
    cities = pd.Series(random.choice(["Ulm", "Jena", "Bonn"], rows), dtype="str")
    return pd.DataFrame({"age": random.integers(18, 90, rows), "income": random.normal(3, 1, rows), "city": cities})


def package(folder, tools, model, proof):
    X = frame()
    columns = make_column_transformer((StandardScaler(), ["age", "income"]), (OneHotEncoder(), ["city"]))
    pipeline = make_pipeline(columns, model).fit(X, np.where(X["age"] / 30 + X["income"] > 4.5, "yes", "no"))
    schema = pa.DataFrameSchema(
        {
            "age": pa.Column("int64", pa.Check.in_range(0, 120)),
            "income": pa.Column("float64"),
            "city": pa.Column("str", pa.Check.isin(["Ulm", "Jena", "Bonn"])),
        },
        strict=True,
    )
    probabilities = {f"probability_{label}": pa.Column("float64", pa.Check.in_range(0, 1)) for label in ("no", "yes")}
    output = pa.DataFrameSchema({"prediction": pa.Column("str"), **probabilities}, strict=True)
    extra = {contract.FAST_PATH: proof.to_json().encode()}
    return tools.write_package(folder, pipeline, X.iloc[:7], schema, output, extra=extra)


@pytest.fixture(scope="module")
def forest(tmp_path_factory, tools):
    """A model with a fast lane."""
    return package(tmp_path_factory.mktemp("forest") / "m", tools, RandomForestClassifier(9, random_state=0), EQUAL)


@pytest.fixture(scope="module")
def neighbors(tmp_path_factory, tools):
    """A model that only scikit-learn predicts with, by a metric that treats each row by itself."""
    proof = contract.FastPath(False, 0, "no fast form", batches_equal=True, batch_rows=64, batch_difference=0.0)
    model = KNeighborsClassifier(5, algorithm="kd_tree")
    return package(tmp_path_factory.mktemp("neighbors") / "m", tools, model, proof)


def requests(count: int) -> list[dict[str, list[Any]]]:
    """Requests of one to three rows."""
    X, made = frame(), []
    for at in range(count):
        rows = X.iloc[(at * 7) % 290 : (at * 7) % 290 + 1 + at % 3]
        made.append({name: rows[name].tolist() for name in X})
    return made


async def in_thread(work: Callable[[], Any], _size: int) -> Any:
    return await asyncio.to_thread(work)


async def ask(batcher: Batcher, columns: Mapping[str, Sequence[Any]], run: Any = in_thread) -> Prediction | None:
    return await batcher.predict(Payload(columns), scores=False, run=run)


def together(batcher: Batcher, asked: Sequence[Mapping[str, Sequence[Any]]]) -> list[Any]:
    """The answers to requests that come in one iteration of the loop, or their errors."""

    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(ask(batcher, each) for each in asked), return_exceptions=True)

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("name", ["forest", "neighbors"])
@pytest.mark.parametrize("limits", [Limits(), Limits(7), Limits(64, 0.002), Limits(5, 0.001)], ids=str)
def test_answers_are_those_of_requests_that_come_alone(request, name, limits, show):
    model = open_served(request.getfixturevalue(name).folder, fast_path=True)
    batcher = batcher_of(model, limits, 0.0)
    asked = requests(60)
    found = together(batcher, asked)
    assert repr(found) == repr([model.predict_columns(each) for each in asked])
    show(f"{name}, {limits}: {len(asked)} answers compared, up to {batcher.largest} rows at once")
    assert 1 < batcher.largest <= max(limits.rows + 2, 3)


@pytest.mark.parametrize("name", ["forest", "neighbors"])
def test_a_refused_request_does_not_touch_its_neighbours(request, name):
    model = open_served(request.getfixturevalue(name).folder, fast_path=True)
    batcher = batcher_of(model, Limits(), 0.0)
    asked = requests(30)
    for at in range(0, 30, 3):
        asked[at] = [{**asked[at], "city": ["Rome"] * len(asked[at]["city"])}, {}, {**asked[at], "age": ["7"]}][
            at % 9 // 3
        ]
    found = together(batcher, asked)
    for at, (each, columns) in enumerate(zip(found, asked, strict=True)):
        assert repr(each) == ("None" if at % 3 == 0 else repr(model.predict_columns(columns)))
    assert batcher.largest > 1


class Picky:
    """A lane that says how many rows it was asked about, and fails where a row says so."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def accept(self, columns: Mapping[str, Sequence[Any]], *, text: bool = False) -> Batch | None:
        return Batch(("a",), (columns["a"],), len(columns["a"])) if columns["a"] != ["refused"] else None

    def alone(self, batch: Batch, *, scores: bool = False) -> Prediction | None:
        self.asked.append(batch.rows)
        (cells,) = batch.columns
        if "error" in cells:
            raise ValueError(f"error among {len(cells)}")
        if "unanswered" in cells:
            return None
        return Prediction(list(cells), None, ["score"] if scores else None)


def batcher_with(lane: Picky, *, rows: int = 64, seconds: float = 0.0, threads: bool = False) -> Batcher:
    return Batcher(lane, Limits(rows, seconds), merge=True, in_thread=threads)


@pytest.mark.parametrize("threads", [False, True])
def test_where_a_batch_fails_each_request_is_asked_by_itself_and_gets_the_error_that_is_its_own(threads):
    for bad, expected in (("error", "ValueError('error among 1')"), ("unanswered", "None")):
        lane = Picky()
        found = together(batcher_with(lane, threads=threads), [{"a": [cell]} for cell in ["x", 1, bad, 2.5, "y"]])
        answers = [repr(each) for each in found]
        assert answers[2] == expected
        assert answers[:2] + answers[3:] == [repr(Prediction([cell], None)) for cell in ("x", 1, 2.5, "y")]
        assert max(lane.asked) > 1


def test_who_comes_alone_is_answered_at_once_and_without_a_future():
    lane = Picky()

    async def one_after_the_other() -> None:
        batcher = batcher_with(lane)
        for at in range(5):
            coroutine = ask(batcher, {"a": [at]})
            with pytest.raises(StopIteration) as stopped:  # it runs to its end without giving way to the loop
                coroutine.send(None)
            assert stopped.value.value == Prediction([at], None)
            await asyncio.sleep(0)

    asyncio.run(one_after_the_other())
    assert lane.asked == [1] * 5


def test_no_batch_is_larger_than_allowed_but_by_its_last_request():
    for threads in (False, True):
        lane = Picky()
        found = together(batcher_with(lane, rows=10, threads=threads), [{"a": [at] * 4} for at in range(20)])
        assert [each.predictions for each in found] == [[at] * 4 for at in range(20)]
        assert max(lane.asked) in (8, 12)
        assert sum(lane.asked) == 80


def test_a_request_of_as_many_rows_as_a_batch_may_have_goes_alone_and_waits_for_nobody():
    for threads in (False, True):
        lane = Picky()
        found = together(batcher_with(lane, rows=4, threads=threads), [{"a": [at] * 4} for at in range(6)])
        assert lane.asked == [4] * 6
        assert len(found) == 6


@pytest.mark.parametrize("how", [{"rows": 1}, {"merge": False}], ids=str)
def test_where_nothing_may_be_merged_nothing_is(how):
    for threads in (False, True):
        lane = Picky()
        batcher = Batcher(lane, Limits(how.get("rows", 64)), merge=how.get("merge", True), in_thread=threads)
        together(batcher, [{"a": [at]} for at in range(20)])
        assert lane.asked == [1] * 20
        assert batcher.largest == 0


def test_a_delay_gathers_what_comes_later():
    lane = Picky()

    async def in_a_row() -> list[Any]:
        batcher = batcher_with(lane, seconds=0.05)
        tasks = []
        for at in range(8):
            tasks.append(asyncio.create_task(ask(batcher, {"a": [at]})))
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks)

    assert [each.predictions for each in asyncio.run(in_a_row())] == [[at] for at in range(8)]
    assert lane.asked == [8]


def test_what_comes_while_a_batch_is_predicted_is_the_next_batch():
    class Slow(Picky):
        def __init__(self) -> None:
            super().__init__()
            self.go = threading.Event()

        def alone(self, batch: Batch, *, scores: bool = False) -> Prediction | None:
            assert self.go.wait(10)
            return super().alone(batch, scores=scores)

    lane = Slow()

    async def crowd() -> list[Any]:
        batcher = batcher_with(lane, threads=True)
        tasks = [asyncio.create_task(ask(batcher, {"a": ["first"]}))]
        await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(ask(batcher, {"a": [at]})) for at in range(9)]
        await asyncio.sleep(0.01)
        lane.go.set()
        return await asyncio.gather(*tasks)

    assert [each.predictions for each in asyncio.run(crowd())] == [["first"], *([at] for at in range(9))]
    assert lane.asked == [1, 9]


@pytest.mark.parametrize("threads", [False, True])
def test_who_is_cancelled_while_waiting_takes_nobody_along(threads):
    lane = Picky()

    async def some_give_up() -> list[Any]:
        batcher = batcher_with(lane, seconds=0.02, threads=threads)
        tasks = [asyncio.create_task(ask(batcher, {"a": [at]})) for at in range(6)]
        await asyncio.sleep(0.005)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(some_give_up())
    assert [each.predictions for each in found[1::2]] == [[1], [3], [5]]
    assert [type(each) for each in found[::2]] == [asyncio.CancelledError] * 3
    assert lane.asked == [3]


def test_where_no_thread_is_to_be_had_each_request_hears_it_and_the_next_is_answered():
    busy = [True]

    async def run(work: Callable[[], Any], size: int) -> Any:
        if busy.pop():
            busy.append(False)
            raise OverflowError("busy")
        busy.append(False)
        return await in_thread(work, size)

    async def twice() -> list[Any]:
        batcher = batcher_with(Picky(), threads=True)
        first = await asyncio.gather(*(ask(batcher, {"a": [at]}, run) for at in range(3)), return_exceptions=True)
        return [*first, await ask(batcher, {"a": ["later"]}, run)]

    found = asyncio.run(twice())
    assert [repr(each) for each in found[:3]] == ["OverflowError('busy')"] * 3
    assert found[3] == Prediction(["later"], None)


def test_scores_are_asked_for_one_by_one_and_in_threads_left_to_the_path_that_decides():
    async def with_scores(batcher: Batcher) -> Prediction | None:
        return await batcher.predict(Payload({"a": [1]}), scores=True, run=in_thread)

    assert asyncio.run(with_scores(batcher_with(Picky()))) == Prediction([1], None, ["score"])
    assert asyncio.run(with_scores(batcher_with(Picky(), threads=True))) is None


def test_without_a_lane_nothing_is_answered_here(coded):
    batcher = batcher_of(open_served(coded.folder, fast_path=True), Limits(), 1.0)
    assert together(batcher, [{"a": [1.0], "b": [1.0]}] * 3) == [None] * 3
    assert not batcher.in_thread


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=4), min_size=1, max_size=9))
def test_what_is_merged_comes_apart_again(rows):
    batches = [Batch(("a", "b"), (cells, [-cell for cell in cells]), len(cells)) for cells in rows]
    one = merged(batches)
    assert one.rows == sum(map(len, rows)) == len(one.columns[0])
    whole = Prediction(list(one.columns[0]), [[cell, 1.0] for cell in one.columns[1]])
    for part, batch in zip(parts(whole, batches), batches, strict=True):
        assert part.predictions == batch.columns[0]
        assert part.probabilities == [[cell, 1.0] for cell in batch.columns[1]]


def proof(*, equal: bool = True, batches: bool = False, difference: float | None = None) -> contract.FastPath:
    reason = None if equal else "no"
    return contract.FastPath(equal, 9, reason, batches_equal=batches, batch_rows=9, batch_difference=difference)


@pytest.mark.parametrize(
    ("name", "found", "tolerance", "allowed"),
    [
        ("forest", proof(batches=True, difference=0.0), 0.0, True),
        ("forest", proof(), 0.0, False),
        ("forest", proof(difference=0.0), 0.0, False),
        ("forest", proof(difference=1e-15), 1e-15, True),
        ("forest", proof(difference=1e-15), 1e-16, False),
        ("forest", proof(), 0.5, False),
        ("forest", proof(equal=False, batches=True, difference=0.0), 0.0, True),
        ("forest", proof(equal=False, difference=1e-12), 0.0, False),
        ("forest", proof(equal=False, difference=1e-12), 1e-9, True),
        ("cancer", proof(batches=True, difference=0.0), 0.0, False),  # by chance: BLAS gives no such promise
        ("cancer", proof(batches=True, difference=0.0), 1e-12, True),
        ("cancer", proof(difference=7e-15), 1e-12, True),
        ("cancer", proof(difference=7e-15), 0.0, False),
        ("cancer", proof(equal=False, batches=True, difference=0.0), 0.0, False),
        ("cancer", proof(equal=False, batches=True, difference=0.0), 1e-12, True),
    ],
)
def test_requests_are_merged_only_where_packing_found_the_bits_equal_or_a_tolerance_allows_the_difference(
    request, tmp_path, tools, name, found, tolerance, allowed
):
    made = request.getfixturevalue(name)
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in made.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tools.repack(type(made)(folder, made.columns), contract.FAST_PATH, found.to_json().encode())
    model = open_served(folder, fast_path=True)
    assert (model.lane is not None) == found.equal
    assert model.may_merge(tolerance) is allowed
    batcher = batcher_of(model, Limits(), tolerance)
    single = {column: values[:1] for column, values in made.columns.items()}
    together(batcher, [single] * 9)
    assert (batcher.largest > 1) is allowed


@pytest.mark.parametrize(
    "text", ['{"equal": true, "rows": 3, "reason": null}', '{"equal": false, "rows": 0, "reason": "x"}']
)
def test_a_package_of_before_allows_no_batches(forest, tmp_path, tools, text):
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in forest.folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tools.repack(type(forest)(folder, forest.columns), contract.FAST_PATH, text.encode())
    model = open_served(folder, fast_path=True)
    assert not model.may_merge(0.5)


def test_a_processor_on_which_a_batch_differs_merges_nothing(forest, monkeypatch, caplog):
    from modelimg_runtime.fast import FastModel

    real = FastModel.answer

    def answer(self, batch):
        found = real(self, batch)
        found.probabilities[:] = np.nextafter(found.probabilities, 0.5) if batch.rows > 1 else found.probabilities
        return found

    model = open_served(forest.folder, fast_path=True)
    monkeypatch.setattr(FastModel, "answer", answer)
    together(batcher := batcher_of(model, Limits(), 0.0), requests(20))
    assert batcher.largest == 0
    assert "on this processor a batch differs from its rows alone" in caplog.text


def test_the_settings_are_read_and_refused():
    read = Settings.from_environ
    assert (read({}).batch_rows, read({}).batch_delay_ms, read({}).batch_tolerance) == (64, 0, 0.0)
    set_ = {"MODELIMG_BATCH_ROWS": "1", "MODELIMG_BATCH_DELAY_MS": "3", "MODELIMG_BATCH_TOLERANCE": "1e-12"}
    assert (read(set_).batch_rows, read(set_).batch_delay_ms, read(set_).batch_tolerance) == (1, 3, 1e-12)
    for name, text in (
        *(("MODELIMG_BATCH_ROWS", each) for each in ("0", "-1", "x", "1.5")),
        *(("MODELIMG_BATCH_DELAY_MS", each) for each in ("-1", "1001", "0.5", "ms")),
        *(("MODELIMG_BATCH_TOLERANCE", each) for each in ("-1e-9", "1", "nan", "inf", "small")),
    ):
        with pytest.raises(SettingRefused, match=name):
            read({name: text})


BAD = [
    b'{"columns": {"age": [7], "income": [1.0], "city": ["Rome"]}}',
    b'{"rows": [{"age": 7}]}',
    b"{",
    b'{"rows": []}',
]


@pytest.mark.parametrize(("name", "delay"), [("forest", "0"), ("neighbors", "2")])
def test_many_clients_at_once_get_the_bytes_that_each_would_get_alone(request, tools, name, delay, show):
    folder = request.getfixturevalue(name).folder
    bodies = [json.dumps({"columns": each}).encode() for each in requests(40)] + BAD

    def post(server, at):
        headers = {"content_type": "application/json", "x_request_id": f"request-{at}"}
        status, _, body = server.request("POST", "/predict?probabilities=true", bodies[at], **headers)
        return status, body

    with tools.server_of(folder, MODELIMG_BATCH_ROWS="1") as server:
        server.wait_for("/readyz")
        alone = [post(server, at) for at in range(len(bodies))]
    assert [status for status, _ in alone[-4:]] == [422, 422, 400, 422]
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(bodies)), 12)).tolist()
    with tools.server_of(folder, MODELIMG_BATCH_DELAY_MS=delay) as server, ThreadPoolExecutor(16) as pool:
        server.wait_for("/readyz")
        found = list(pool.map(lambda at: post(server, at), order))
    assert found == [alone[at] for at in order]
    show(f"{name}, {delay} ms: {len(order)} answers of 16 clients at once compared")
