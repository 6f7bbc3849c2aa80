"""The embedded engine: plan → image, without a daemon."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelimg.cache import Cache
from modelimg.engines.embedded import COMPRESSOR, EmbeddedEngine
from modelimg.errors import EngineError, RenderError
from modelimg.fetch import Fetcher
from modelimg.oci.compression import fingerprint
from modelimg.oci.image import RunConfig
from modelimg.oci.validate import validate
from modelimg.plan import BuildPlan, make_plan

CREATED = "2026-01-02T03:04:05Z"


@pytest.fixture
def engine(own: Fetcher) -> EmbeddedEngine:
    return EmbeddedEngine(own, report=print)


def test_an_image_holds_the_base_and_a_layer_for_each_that_is_planned(engine: EmbeddedEngine, plan: BuildPlan) -> None:
    result = engine.build(plan)
    config = result.image.config
    assert config.diff_ids[0] == plan.base.tar
    assert len(config.diff_ids) == len(config.history) == 1 + len(plan.layers)
    steps = [f"modelimg {plan.modelimg_version} {layer.name}" for layer in plan.layers]
    assert [step.created_by for step in config.history] == ["the base", *steps]
    assert {step.created for step in config.history[1:]} == {CREATED}
    assert result.layers == tuple(map(str, config.diff_ids))
    assert validate(result.image) == []


def test_an_image_runs_as_planned(engine: EmbeddedEngine, plan: BuildPlan) -> None:
    image = engine.build(plan).image
    assert image.config.run == plan.run
    written = json.loads(image.config_data)["config"]
    assert written["Healthcheck"]["Test"] == ["CMD", "/modelimg/venv/bin/python", "-m", "modelimg_runtime", "health"]
    assert written["Healthcheck"]["Interval"] == 30 * 10**9
    assert (written["User"], written["Cmd"], written["StopSignal"]) == ("65532:65532", ["serve"], "SIGTERM")
    assert written["Labels"]["io.modelimg.model.name"] == "tiny"


def test_a_config_is_canonical(engine: EmbeddedEngine, plan: BuildPlan) -> None:
    data = engine.build(plan).image.config_data
    again = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert data == again


def test_a_manifest_says_what_compressed_its_layers(engine: EmbeddedEngine, plan: BuildPlan) -> None:
    manifest = engine.build(plan).image.manifest
    assert manifest.annotations == {COMPRESSOR: fingerprint("gzip")}


@pytest.mark.parametrize("codec", ["zstd", "none"])
def test_another_compressor_changes_the_manifest_and_not_the_image(
    engine: EmbeddedEngine, plan: BuildPlan, tmp_path: Path, codec
) -> None:
    other = EmbeddedEngine(Fetcher(Cache(tmp_path / "other")), report=print, codec=codec).build(plan)
    ours = engine.build(plan)
    assert other.image_id == ours.image_id
    assert other.manifest_digest != ours.manifest_digest
    assert validate(other.image) == []


def test_what_a_base_says_is_inherited(engine: EmbeddedEngine, write_package, base) -> None:
    run = RunConfig(
        env=("PATH=/opt/bin", "LANG=C", "PYTHONUNBUFFERED=0", "BARE"),
        user="nobody",
        entrypoint=("/bin/sh",),
        cmd=("-c", "true"),
        working_dir="/srv",
        exposed_ports=("9/udp",),
        volumes=("/data",),
        stop_signal="SIGINT",
        labels={"org.opencontainers.image.title": "a base", "of-the-base": "yes"},
    )
    plan = make_plan(write_package(), replace(base, run=run), tags=["tiny:1"], created=CREATED)
    got = engine.build(plan).image.config.run
    assert (got.working_dir, got.volumes, got.exposed_ports) == ("/srv", ("/data",), ("8080/tcp", "9/udp"))
    assert got.labels["of-the-base"] == "yes"
    assert got.labels["org.opencontainers.image.title"] == "tiny"
    assert (got.user, got.cmd, got.stop_signal, got.entrypoint[0]) == (
        "65532:65532",
        ("serve",),
        "SIGTERM",
        "/modelimg/venv/bin/python",
    )
    env = dict(item.partition("=")[::2] for item in got.env)
    assert env["PATH"] == "/modelimg/venv/bin:/opt/bin"
    assert (env["LANG"], env["PYTHONUNBUFFERED"], env["BARE"]) == ("C", "1", "")


def test_a_base_without_layers_at_hand_is_refused(engine: EmbeddedEngine, plan: BuildPlan) -> None:
    with pytest.raises(EngineError, match="the layers of the base deb:bookworm are not at hand"):
        engine.build(replace(plan, base=replace(plan.base, image=None)))


OWN = '{% extends "Dockerfile.j2" %}{% block after_layers %}REPLACED\n{% endblock %}'


def test_a_template_of_the_users_own_may_say_how_containers_run(
    engine: EmbeddedEngine, write_package, base, tmp_path: Path
) -> None:
    metadata = {"title": "one\nline and another"}
    plan = make_plan(write_package(metadata=metadata), base, tags=["tiny:1"], created=CREATED)
    (tmp_path / "Own.j2").write_text(OWN.replace("REPLACED", 'LABEL team="risk"\nENV EXTRA="a b"'))
    got = engine.build(replace(plan, template_path=tmp_path / "Own.j2")).image.config.run
    assert sorted(got.env) == sorted((*plan.run.env, "EXTRA=a b"))
    assert got.labels == dict(sorted({**plan.run.labels, "team": "risk"}.items()))
    assert replace(got, env=(), labels={}) == replace(plan.run, env=(), labels={})


@pytest.mark.parametrize("instruction", ["RUN true", "COPY . /", "WORKDIR /srv", "FROM scratch"])
def test_a_template_that_takes_a_daemon_is_refused_by_name(
    engine: EmbeddedEngine, plan: BuildPlan, tmp_path: Path, instruction: str
) -> None:
    (tmp_path / "Own.j2").write_text(OWN.replace("REPLACED", instruction))
    with pytest.raises(RenderError, match=instruction) as caught:
        engine.build(replace(plan, template_path=tmp_path / "Own.j2"))
    assert "--engine docker" in caught.value.hint
