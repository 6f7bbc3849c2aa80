"""Planned layers as deterministic tars."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from modelimg.cache import Cache
from modelimg.errors import LayerError
from modelimg.fetch import Fetcher
from modelimg.layerstore import LayerStore
from modelimg.plan import make_plan

CREATED = "2026-01-02T03:04:05Z"
SITE = "modelimg/venv/lib/python3.11/site-packages"


def layers_of(package, base, fetcher):
    plan = make_plan(package, base, created=CREATED)
    return {layer.name: LayerStore(fetcher).tar(plan, layer) for layer in plan.layers}


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return {member.name: member for member in archive}


def test_each_layer_holds_its_own_part_below_one_prefix(write_package, base, own) -> None:
    layers = layers_of(write_package(files={"code/features.py": b"import alpha\n"}), base, own)
    assert list(layers) == ["dependencies", "runtime", "code", "model"]
    found = {name: set(members(layer.path)) for name, layer in layers.items()}
    assert all(path == "modelimg" or path.startswith("modelimg/") for names in found.values() for path in names)
    assert f"{SITE}/alpha/__init__.py" in found["dependencies"]
    assert "modelimg/runtime/modelimg_runtime/__main__.py" in found["runtime"]
    assert "modelimg/code/features.py" in found["code"]
    assert "modelimg/model/model.joblib" in found["model"]
    assert "modelimg/model/modelimg.json" in found["model"]


def test_no_two_layers_hold_the_same_file(write_package, base, own) -> None:
    layers = layers_of(write_package(files={"code/features.py": b""}), base, own)
    files = [name for layer in layers.values() for name, member in members(layer.path).items() if not member.isdir()]
    assert len(files) == len(set(files))


def test_without_code_there_is_no_code_layer(write_package, base, own) -> None:
    assert list(layers_of(write_package(), base, own)) == ["dependencies", "runtime", "model"]


def test_what_only_the_build_needs_stays_out_of_the_image(write_package, base, own) -> None:
    from modelimg_runtime.contract import ImageSettings

    package = write_package(files={"Dockerfile.j2": b"FROM x"}, image=ImageSettings(template="Dockerfile.j2"))
    names = {path for layer in layers_of(package, base, own).values() for path in members(layer.path)}
    assert not any(path.endswith((".whl", "Dockerfile.j2")) for path in names)


def test_every_folder_is_an_entry_before_what_is_in_it(write_package, base, own) -> None:
    for layer in layers_of(write_package(files={"code/a/b.py": b""}), base, own).values():
        seen: set[str] = set()
        for name, member in members(layer.path).items():
            parent = name.rpartition("/")[0]
            assert not parent or parent in seen
            if member.isdir():
                seen.add(name)
                assert member.mode == 0o755


def test_the_environment_links_to_the_interpreter_of_the_base(write_package, base, own) -> None:
    layer = layers_of(write_package(), base, own)["dependencies"]
    link = members(layer.path)["modelimg/venv/bin/python"]
    assert os.path.normpath(f"/modelimg/venv/bin/{link.linkname}") == base.interpreter
    with tarfile.open(layer.path) as archive:
        text = archive.extractfile("modelimg/venv/pyvenv.cfg").read().decode()
    assert "home = /usr/bin\n" in text


def test_tests_of_wheels_are_dropped_unless_the_package_keeps_them(write_package, base, own) -> None:
    from modelimg_runtime.contract import ImageSettings

    pruned = layers_of(write_package(), base, own)["dependencies"]
    kept = layers_of(write_package("kept", image=ImageSettings(prune=False)), base, own)["dependencies"]
    assert f"{SITE}/alpha/tests/test_alpha.py" not in members(pruned.path)
    assert f"{SITE}/alpha/tests/test_alpha.py" in members(kept.path)


def test_the_same_inputs_give_the_same_layers_elsewhere(write_package, base, tmp_path: Path, monkeypatch) -> None:
    first = layers_of(write_package("one"), base, Fetcher(Cache(tmp_path / "c1")))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o077)
    try:
        second = layers_of(write_package("two/below"), base, Fetcher(Cache(tmp_path / "c2")))
    finally:
        os.umask(before)
    assert {n: layer.diff_id for n, layer in first.items()} == {n: layer.diff_id for n, layer in second.items()}


def test_a_layer_is_made_once_and_a_damaged_one_again(write_package, base, own) -> None:
    package = write_package()
    layer = layers_of(package, base, own)["model"]
    made = layer.path.stat().st_mtime_ns
    assert layers_of(package, base, own)["model"].path.stat().st_mtime_ns == made
    layer.path.write_bytes(layer.path.read_bytes()[:-1] + b"x")
    again = layers_of(package, base, own)["model"]
    assert (again.diff_id, again.size) == (layer.diff_id, layer.size)


@pytest.mark.parametrize(
    ("wheels", "message"),
    [
        ({"a": {"shared.py": b"1"}, "b": {"shared.py": b"2"}}, r"a-1\.0.* and b-1\.0.* both write .*shared\.py"),
        ({"a": {"pkg/.wh.libc.so": b""}}, "name of a whiteout"),
        ({"a": {"../../../../../../etc/passwd": b""}}, "cannot be a path in a layer|outside /modelimg"),
        ({"a": {"/etc/passwd": b""}}, "cannot be a path in a layer|outside /modelimg"),
        ({"a": {"a-1.0.data/data/../../../etc/x": b""}}, "cannot be a path in a layer|outside /modelimg"),
    ],
)
def test_a_wheel_that_could_harm_the_image_is_refused(write_package, base, own, wheels, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        layers_of(write_package(wheels=wheels), base, own)
    assert own.cache.recall("layer", "anything") is None
    assert list((own.cache.root / "tmp").iterdir()) == []


def test_two_wheels_may_share_a_file_that_is_the_same(write_package, base, own) -> None:
    wheels = {"a": {"ns/__init__.py": b"", "ns/a.py": b""}, "b": {"ns/__init__.py": b"", "ns/b.py": b""}}
    assert f"{SITE}/ns/__init__.py" in members(layers_of(write_package(wheels=wheels), base, own)["dependencies"].path)
