"""Text files, read a batch at a time: what is no row is set aside with its line, and reading goes on."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelimg_runtime.errors import PayloadError, ScoreFault
from modelimg_runtime.protocols.native import parse
from modelimg_runtime.score import lines
from modelimg_runtime.score.lines import CsvSource, JsonLinesSource
from modelimg_runtime.score.selection import Features, Selection


@pytest.fixture(scope="module")
def selection(served):
    return Selection(Features(served("regressor")), keep=("id",))


@pytest.fixture(scope="module")
def plain(served):
    return Selection(Features(served("regressor")))


def read_csv(selection, text, rows=3):
    body = text if isinstance(text, bytes) else text.encode()
    return list(CsvSource(io.BytesIO(body), rows, selection).chunks())


def read_json(selection, text, rows=3):
    body = text if isinstance(text, bytes) else text.encode()
    return list(JsonLinesSource(io.BytesIO(body), rows, selection).chunks())


def malformed(chunks):
    return [(each.row, each.line, each.fault.violations[0].check) for chunk in chunks for each in chunk.malformed]


def numbered(chunks):
    return [pair for chunk in chunks for pair in zip(chunk.numbers, chunk.lines, strict=True)]


def test_batches_have_the_rows_numbers_and_lines(selection):
    chunks = read_csv(selection, "id,a,b\nr0,1,2\n\nr1,3,4\nr2,5,6\nr3,7,8\n")
    assert [list(chunk.columns["a"]) for chunk in chunks] == [["1", "3", "5"], ["7"]]
    assert numbered(chunks) == [(0, 2), (1, 4), (2, 5), (3, 6)]


def test_a_field_may_hold_line_breaks_and_the_lines_still_count(selection):
    chunks = read_csv(selection, 'id,a,b\n"r\n0",1,2\nr1,3,4\n')
    assert numbered(chunks) == [(0, 2), (1, 4)]
    assert chunks[0].columns["id"] == ("r\n0", "r1")


@pytest.mark.parametrize(
    ("line", "check"),
    [
        (b"r1,3\n", "3 fields"),
        (b"r1,3,4,5\n", "3 fields"),
        (b"r1\n", "3 fields"),
        (b"r\xff,3,4\n", "UTF-8"),
        (b"r1,3,\xc3\n", "UTF-8"),
    ],
)
def test_a_line_that_is_no_row_is_set_aside(selection, line, check):
    chunks = read_csv(selection, b"id,a,b\nr0,1,2\n" + line + b"r2,5,6\n")
    assert malformed(chunks) == [(1, 3, check)]
    assert numbered(chunks) == [(0, 2), (2, 4)]
    json.dumps(chunks[0].malformed[0].as_json()).encode()


@pytest.mark.parametrize("text", ["", "\n", "\nid,a,b\n", "id,a,a\n1,2,3\n", b"id,a,b\xff\n"])
def test_without_a_header_nothing_is_read(selection, text):
    with pytest.raises(ScoreFault, match="first line must name each column once"):
        read_csv(selection, text)


@pytest.mark.parametrize(
    "text", ['id,a,b\nr0,"1"x,2\n', 'id,a,b\nr0,1,"2\nr1,3,4\n', "id,a,b\n" + "x" * 140_000 + ",1,2\n"]
)
def test_broken_quoting_stops_the_run_since_nobody_knows_where_rows_begin(selection, text):
    with pytest.raises(ScoreFault, match=r"not CSV: .* at line"):
        read_csv(selection, text)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='ab01,"\n\r .é', max_size=40))
def test_a_csv_is_read_as_the_server_reads_it(plain, text):
    body = b"a,b\n" + text.encode()
    try:
        expected = parse(body, "text/csv").columns
    except PayloadError:
        return  # the server takes all or nothing; what is left of it here, the tests above say
    chunks = read_csv(plain, body, rows=2)
    assert malformed(chunks) == []
    for name in "ab":
        assert [value for chunk in chunks for value in chunk.columns[name]] == list(expected[name])


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ('{"id": "r1", "a": 1', "not JSON: Expecting"),
        ('{"id": "r1", "a": NaN, "b": 2}', "JSON has no NaN"),
        ('{"a": 1, "a": 2, "b": 3}', "the same key twice"),
        ("[1, 2]", "a JSON object"),
        ("7", "a JSON object"),
        ("null", "a JSON object"),
        ("[" * 100_000, "nested too deeply"),
        ("\udcff", "not UTF-8"),
        ('{"id": 1, "a": 1, "b": 2, "c": 3}', "column_in_schema"),
    ],
)
def test_a_line_of_json_that_is_no_row_is_set_aside(selection, line, check):
    good = '{"id": "r", "a": 1, "b": 2}\n'
    chunks = read_json(selection, f"{good}{line}\n\n{good}".encode("utf-8", "surrogateescape"))
    ((row, number, found),) = malformed(chunks)
    assert (row, number) == (1, 2)
    assert check in found
    assert numbered(chunks) == [(0, 1), (2, 4)]


def test_rows_of_json_answer_for_their_own_columns(scoring, served, tmp_path):
    lines = [{"a": 1, "b": 2}, {"a": 1}, {"b": 1, "a": None}, {}, {"b": 4, "a": 3}, {"a": "1", "b": True}]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = scoring.score(served("regressor"), path, tmp_path / "out.jsonl")
    assert [row["row"] for row in done.rows] == [0, 4]
    reasons = {each["row"]: [(e["column"], e["check"]) for e in each["errors"]] for each in done.rejects}
    assert reasons == {
        1: [("b", "column_in_dataframe")],
        2: [("a", "not_nullable")],
        3: [("a", "column_in_dataframe"), ("b", "column_in_dataframe")],
        5: [("a", "dtype('float64')"), ("b", "dtype('float64')")],
    }
    assert done.rejects[0]["values"] == {"a": 1}


def test_what_is_kept_of_json_is_json_again_and_text_in_parquet(scoring, served, tmp_path):
    ids = ["r0", 1, 2.5, True, None, [1, "x"], {"k": "\ud800"}]
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": each, "a": 1, "b": 2}) + "\n" for each in ids) + '{"a": 1, "b": 2}\n')
    done = scoring.score(served("regressor"), path, tmp_path / "out.jsonl", keep=("id",))
    assert [row["id"] for row in done.rows] == [*ids[:6], {"k": "\ufffd" * 3}, None]
    done = scoring.score(served("regressor"), path, tmp_path / "out.parquet", keep=("id",))
    assert [row["id"] for row in done.rows][:6] == ["r0", "1", "2.5", "true", None, '[1, "x"]']


def test_a_file_without_line_breaks_is_not_read_into_memory(selection, plain, monkeypatch):
    monkeypatch.setattr(lines, "_LONGEST_LINE", 1000)
    with pytest.raises(ScoreFault, match="line 2 is longer than 1000 characters"):
        read_csv(selection, "id,a,b\nr0," + "1" * 2000)
    with pytest.raises(ScoreFault, match="line 1 is longer than 1000 bytes"):
        read_json(selection, b"\x00" * 5000)


def test_batches_end_early_where_rows_are_long(selection, monkeypatch):
    monkeypatch.setattr(lines, "_LARGEST_CHUNK", 100)
    chunks = read_csv(selection, "id,a,b\n" + f"{'r' * 60},1,2\n" * 6, rows=1000)
    assert [len(chunk.numbers) for chunk in chunks] == [2, 2, 2]
    chunks = read_json(selection, f'{{"id": "{"r" * 60}", "a": 1, "b": 2}}\n' * 4, rows=1000)
    assert [len(chunk.numbers) for chunk in chunks] == [2, 2]


def test_all_columns_of_json_lines_cannot_be_kept(served):
    with pytest.raises(ScoreFault, match="name those to keep"):
        JsonLinesSource(io.BytesIO(b""), 3, Selection(Features(served("regressor")), keep_all=True))


def test_a_byte_order_mark_is_no_part_of_the_first_column(plain):
    assert list(read_csv(plain, b"\xef\xbb\xbfa,b\n1,2\n")[0].columns) == ["a", "b"]
    assert malformed(read_json(plain, b'\xef\xbb\xbf{"a": 1, "b": 2}\n')) == []
