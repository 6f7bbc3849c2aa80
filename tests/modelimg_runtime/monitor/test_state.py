"""Counters survive a restart, and a kill, as far as they were written; a directory may be shared."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest

from modelimg_runtime.errors import SettingRefused
from modelimg_runtime.monitor import Limits, Monitor
from modelimg_runtime.monitor.state import State


@pytest.fixture
def identity(mixed):
    return mixed[0].identity


def test_a_restart_counts_on(mixed, answered, clock, make, identity, tmp_path):
    baseline, frame = mixed
    told = []
    for life in range(3):
        state = State(tmp_path / "state", identity)
        monitor = Monitor(baseline, Limits(windows=4), 2, state.read(), clock)
        live = monitor.live(life % 2)
        live.observe(*answered(frame.iloc[:10]), f"r{life}")
        live.feedback([{"prediction_id": f"r{life}", "row": row, "label": "bad"} for row in range(5)])
        told.append(monitor.document())
        assert state.write(told[-1])
        os.close(state._lock)
        clock.now += 2 * make.HOUR
    document = told[-1]
    assert [counts.rows for counts in document.windows.values()] == [10, 10]
    assert (document.counts().rows, document.counts().labels) == (30, 15)
    assert document.counts().first == make.START
    assert len({each.replicas[0].id for each in told}) == 1


def test_windows_of_another_length_are_kept_in_the_total(mixed, answered, identity, tmp_path):
    baseline, frame = mixed
    state, monitor = State(tmp_path, identity), Monitor(baseline)
    monitor.live().observe(*answered(frame.iloc[:10]), "r")
    state.write(monitor.document())
    restarted = Monitor(baseline, Limits(window_seconds=60), restored=state.read())
    assert (restarted.document().counts().rows, restarted.document().windows) == (10, {})


def test_a_kill_loses_what_was_counted_since_the_last_write(mixed, answered, identity, tmp_path):
    baseline, frame = mixed
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        state, monitor = State(tmp_path, identity), Monitor(baseline)
        live = monitor.live()
        for number in range(10**9):
            live.observe(*answered(frame.iloc[:1]), f"r{number}")
            state.write(monitor.document())
            os.write(tell, b"x")
    os.read(told, 20)
    time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(tell)
    written = len(os.read(told, 1 << 20))
    state = State(tmp_path, identity)
    assert state.path.name.endswith("-0.json")  # the lock went with the process
    assert written <= Monitor(baseline, restored=state.read()).document().counts().rows <= written + 21


def test_replicas_that_share_a_directory_have_files_of_their_own(identity, tmp_path):
    first, second = State(tmp_path, identity), State(tmp_path, identity)
    assert first.path != second.path
    os.close(first._lock)
    assert State(tmp_path, identity).path == first.path


def test_another_version_of_the_model_has_a_file_of_its_own(mixed, identity, tmp_path):
    first = State(tmp_path, identity)
    first.write(Monitor(mixed[0]).document())
    second = State(tmp_path, replace(identity, version="2"))
    assert (first.path != second.path, second.read()) == (True, None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format_version": 99, "replicas": []}', b"\xff"])
def test_what_cannot_be_read_is_set_aside(identity, tmp_path, content, caplog):
    state = State(tmp_path, identity)
    state.path.write_bytes(content)
    assert state.read() is None
    assert "set aside" in caplog.text
    assert [path.read_bytes() for path in tmp_path.glob("*.unreadable")] == [content]


def test_counters_of_another_model_are_set_aside(mixed, identity, tmp_path, caplog):
    state = State(tmp_path, identity)
    state.write(Monitor(replace(mixed[0], identity=replace(identity, version="2"))).document())
    assert state.read() is None
    assert "of another model" in caplog.text


def test_a_directory_that_cannot_be_is_refused_at_the_start(identity, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingRefused, match=r"MODELIMG_STATE_DIR=.*cannot be written to"):
        State(tmp_path / "file" / "below", identity)
    with pytest.raises(SettingRefused, match="cannot be written to"):
        State(tmp_path / "file", identity)


def test_a_write_that_fails_leaves_the_last_one_and_says_so_once(mixed, answered, identity, tmp_path, caplog):
    baseline, frame = mixed
    state, monitor = State(tmp_path / "state", identity), Monitor(baseline)
    state.write(monitor.document())
    content = state.path.read_bytes()
    (tmp_path / "state").rename(tmp_path / "away")
    monitor.live().observe(*answered(frame.iloc[:1]), "r")
    assert [state.write(monitor.document()) for _ in range(3)] == [False] * 3
    assert caplog.text.count("cannot be written") == 1
    assert (tmp_path / "away" / state.path.name).read_bytes() == content
    (tmp_path / "away").rename(tmp_path / "state")
    assert state.write(monitor.document())
    assert sorted(path.suffix for path in (tmp_path / "state").iterdir()) == [".json", ".lock"]


def test_restored_counts_that_contradict_each_other_are_refused(mixed, answered, clock):
    baseline, frame = mixed
    monitor = Monitor(baseline, clock=clock)
    monitor.live().observe(*answered(frame.iloc[:10]), "r")
    document = monitor.document()
    (replica,) = document.replicas
    smaller = replace(document, replicas=(replace(replica, total=Monitor(baseline)._layout.nothing()),))
    with pytest.raises(ValueError, match="larger than those of the whole"):
        Monitor(baseline, restored=smaller, clock=clock)
    with pytest.raises(ValueError, match="another model"):
        Monitor(replace(baseline, identity=replace(baseline.identity, version="2")), restored=document)
