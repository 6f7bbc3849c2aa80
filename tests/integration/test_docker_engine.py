"""The docker engine against a real daemon: what it builds, how it runs, and what it refuses."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import docker.errors
import httpx
import pytest
import sklearn
from sklearn.datasets import load_breast_cancer

from modelimg_runtime import contract

pytestmark = pytest.mark.engine

OCI, OWN = "org.opencontainers.image.", "io.modelimg."


def labels_of(client, name: str) -> dict[str, str]:
    return client.api.inspect_image(name)["Config"]["Labels"]


def parents(client) -> set[str]:
    """Names of the images that hold everything but the model."""
    return {tag for image in client.images.list() for tag in image.tags if tag.startswith("modelimg/parent")}


def test_docker_inspect_shows_every_label_that_is_known(built, client) -> None:
    labels = labels_of(client, built.name)
    expected = {
        OCI + key
        for key in (
            "created",
            "version",
            "title",
            "description",
            "licenses",
            "base.name",
            "base.digest",
            "revision",
            "source",
        )
    }
    expected |= {OWN + f"model.{key}" for key in ("name", "format", "estimator", "sha256")}
    expected |= {OWN + key for key in ("version", "code.revision", "code.dirty", "requirements.sha256", "python")}
    expected |= {
        OWN + f"data.{split}.{key}" for split in ("train", "test") for key in ("sha256", "kind", "rows", "columns")
    }
    expected |= {OWN + f"metrics.test.{metric}" for metric in ("accuracy", "f1_macro", "roc_auc", "log_loss")}
    expected |= {OWN + "schema.input.sha256", OWN + "schema.output.sha256", OWN + "training.command"}
    assert expected - labels.keys() == set()
    assert labels[OWN + "model.name"] == "breast-cancer"
    assert labels[OCI + "base.name"] == "deb:bookworm"
    assert labels[OWN + "data.train.kind"] == "frame-v1"
    assert labels[OWN + "data.train.rows"] == "426"
    assert labels[OCI + "source"] == "https://git.example.com/team/models.git"
    assert labels[OWN + "training.command"] == "python train.py dist/package"


def test_labels_hold_the_digests_of_the_files_in_the_image(built, client) -> None:
    labels = labels_of(client, built.name)
    for key, name in {
        "model.sha256": "model.joblib",
        "requirements.sha256": "pylock.linux-amd64.toml",
        "schema.input.sha256": contract.INPUT_SCHEMA,
    }.items():
        assert labels[OWN + key] == hashlib.sha256((built.package / name).read_bytes()).hexdigest()


def test_metrics_in_labels_are_round_trip_exact(built, client) -> None:
    metrics = json.loads((built.package / contract.METRICS).read_text())["test"]
    labels = labels_of(client, built.name)
    assert float(labels[OWN + "metrics.test.accuracy"]) == metrics["accuracy"]
    assert float(labels[OWN + "metrics.test.log_loss"]) == metrics["log_loss"]


@pytest.mark.parametrize("which", ["built", "built_penguins"])
def test_the_self_test_passes_read_only_without_capabilities_and_network(which: str, request) -> None:
    image = request.getfixturevalue(which)
    locked = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none", "--pids-limit=128"]
    command = ["docker", "run", "--rm", *locked, image.name, "selftest"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["passed"] is True
    assert report["examples"] > 0


def test_the_image_runs_as_nobody_in_particular_and_has_no_shell(built, client) -> None:
    config = client.api.inspect_image(built.name)["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/modelimg/venv/bin/python", "-m", "modelimg_runtime"]
    assert config["Cmd"] == ["serve"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    with pytest.raises(docker.errors.APIError, match="no such file"):
        client.containers.run(built.name, entrypoint=["/bin/sh", "-c", "true"], remove=True)


def test_a_served_image_predicts_like_the_model_did(built, serve, examples_of) -> None:
    rows, predictions = examples_of(built.package)
    answer = httpx.post(f"{serve(built.name).url}/predict", json={"rows": rows}, timeout=30)
    assert answer.status_code == 200
    assert answer.json()["predictions"] == predictions


def test_mixed_types_missing_values_and_the_users_own_transformer_are_served(built_penguins, serve) -> None:
    url = serve(built_penguins.name).url
    row = {
        "island": "Biscoe",
        "bill_length_mm": 46.1,
        "bill_depth_mm": None,
        "flipper_length_mm": 211.0,
        "body_mass_g": 4500,
        "sex": None,
    }
    answer = httpx.post(f"{url}/predict?probabilities=true", json={"rows": [row]}, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == ["Gentoo"]
    assert sum(answer.json()["probabilities"][0].values()) == pytest.approx(1.0)
    bad = {**row, "island": "Atlantis", "bill_length_mm": -1, "sex": 3}
    refused = httpx.post(f"{url}/predict", json={"rows": [row, bad]}, timeout=30)
    assert refused.status_code == 422
    named = {(error["row"], error["column"]) for error in refused.json()["errors"]}
    assert named == {(1, "island"), (1, "bill_length_mm"), (1, "sex")}


def test_the_health_check_passes_where_the_model_is_ready(built, serve, client) -> None:
    container = serve(built.name).container
    kind, *command = client.api.inspect_image(built.name)["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert container.exec_run(command).exit_code == 0
    assert container.exec_run(command, environment={"PORT": "1"}).exit_code == 1


def test_sigterm_drains_and_ends_with_0(built, serve) -> None:
    container = serve(built.name).container
    container.kill("SIGTERM")
    assert container.wait(timeout=30)["StatusCode"] == 0


def test_two_cold_builds_give_equal_layers(built, cli, start_daemon, tmp_path: Path) -> None:
    layers = []
    for number in (1, 2):
        environment = {"DOCKER_HOST": start_daemon().host, "TZ": f"Etc/GMT+{number}"}
        done = cli("build", built.package, "-t", "cold:1", "--no-gate", "--json", env=environment, cwd=tmp_path)
        assert done.code == 0, done.err
        layers.append(done.json["images"][0]["layers"])
    assert layers[0] == layers[1] == built.layers


def test_a_model_change_makes_one_new_layer(built, client, image_builder, resign, tmp_path: Path) -> None:
    other = shutil.copytree(built.package, tmp_path / "package")
    metrics = json.loads((other / contract.METRICS).read_text())
    resign(other, contract.METRICS, json.dumps({**metrics, "extra": {"score": 1}}))
    before = parents(client)
    changed = image_builder(other, "modelimg-test/changed:1", tmp_path)
    assert changed.layers[:-1] == built.layers[:-1]
    assert changed.layers[-1] != built.layers[-1]
    assert parents(client) == before


def test_docker_build_makes_the_same_image_from_the_rendered_context(built, client, cli, tmp_path: Path) -> None:
    rendered = cli("render", built.package, "-o", tmp_path / "context")
    assert rendered.code == 0, rendered.err
    text = (tmp_path / "context/Dockerfile").read_text()
    assert "\nRUN" not in text
    subprocess.run(
        ["docker", "build", "-q", "-t", "modelimg-test/rendered:1", str(tmp_path / "context")],
        check=True,
        capture_output=True,
        env={"DOCKER_BUILDKIT": "0", "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    facts = client.api.inspect_image("modelimg-test/rendered:1")
    original = client.api.inspect_image(built.name)
    assert facts["RootFS"]["Layers"] == built.layers
    for key in ("Env", "Labels", "Entrypoint", "Cmd", "User", "ExposedPorts", "Healthcheck", "StopSignal"):
        assert facts["Config"].get(key) == original["Config"].get(key), key


def test_a_template_of_the_users_own_may_extend_ours_by_blocks(built, client, image_builder, tmp_path: Path) -> None:
    template = tmp_path / "Dockerfile.j2"
    template.write_text(
        '{% extends "Dockerfile.j2" %}\n{% block labels %}{{ super() }}LABEL team={{ plan.name | quote }}\n{% endblock %}'
        '{% block after_layers %}RUN ["/modelimg/venv/bin/python", "-c", "open(\'/etc/made-by-run\', \'w\')"]\n{% endblock %}'
    )
    image = image_builder(built.package, "modelimg-test/own-template:1", tmp_path, "--template", template)
    assert labels_of(client, image.name)["team"] == "breast-cancer"
    assert labels_of(client, image.name)[OWN + "model.name"] == "breast-cancer"
    assert len(image.layers) == len(built.layers) + 1


def test_labels_that_a_dockerfile_cannot_hold_are_carried_all_the_same(
    built, client, cli, image_builder, tmp_path: Path
) -> None:
    other = shutil.copytree(built.package, tmp_path / "package")
    manifest = json.loads((other / contract.MANIFEST).read_text())
    manifest["metadata"]["description"] = 'two\nlines, a "quote" and $HOME'
    (other / contract.MANIFEST).write_text(json.dumps(manifest))
    image = image_builder(other, "modelimg-test/lines:1", tmp_path)
    assert labels_of(client, image.name)[OCI + "description"] == 'two\nlines, a "quote" and $HOME'
    refused = cli("render", other, "-o", tmp_path / "context")
    assert refused.code == 1
    assert f"{OCI}description cannot stand in a Dockerfile" in refused.err
    assert not (tmp_path / "context").exists()


def test_a_gate_that_fails_leaves_the_old_name_where_it_was(built, client, cli, resign, tmp_path: Path) -> None:
    name = "modelimg-test/gated:1"
    client.images.get(built.name).tag("modelimg-test/gated", "1")
    before = client.images.get(name).id
    other = shutil.copytree(built.package, tmp_path / "package")
    examples = json.loads((other / contract.EXAMPLES).read_text())
    examples["predictions"][0] = {"benign": "malignant", "malignant": "benign"}[examples["predictions"][0]]
    resign(other, contract.EXAMPLES, json.dumps(examples))
    refused = cli("build", other, "-t", name, "--metadata-file", tmp_path / "metadata.json")
    assert refused.code == 3
    assert "does not pass its self-test" in refused.err
    assert "row 0" in refused.err
    assert client.images.get(name).id == before
    assert not (tmp_path / "metadata.json").exists()
    refused_id = re.findall(r"Successfully built (\w+)", refused.err)[-1]
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get(refused_id)


def test_a_gate_that_fails_names_the_packages_whose_versions_differ(
    breast_cancer: Path, client, cli, tmp_path: Path
) -> None:
    model, data = tmp_path / "model.joblib", tmp_path / "train.csv"
    shutil.copy(breast_cancer / "model.joblib", model)
    frame = load_breast_cancer(as_frame=True)
    frame.data.assign(diagnosis=frame.target.map(dict(enumerate(frame.target_names)))).to_csv(data, index=False)
    (tmp_path / "requirements.txt").write_text("scikit-learn==1.8.0\n")
    options = ["--name", "older", "--version", "1", "--train", data, "--target", "diagnosis"]
    packed = cli("pack", model, *options, "--requirements", tmp_path / "requirements.txt", "-o", tmp_path / "package")
    assert packed.code == 0, packed.err
    refused = cli("build", tmp_path / "package", "-t", "modelimg-test/older:1")
    assert refused.code == 3, refused.err
    assert f"scikit-learn {sklearn.__version__} (image: 1.8.0)" in refused.err
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("modelimg-test/older:1")


def test_a_verdict_is_remembered_for_the_same_content_only(built, cli, resign, tmp_path: Path) -> None:
    again = cli("build", built.package, "-t", built.name)
    assert "in an earlier build of this content" in again.err
    other = shutil.copytree(built.package, tmp_path / "package")
    resign(other, contract.METRICS, '{"test": {"accuracy": 0.5}}')
    first = cli("build", other, "-t", "modelimg-test/other:1")
    assert first.code == 0, first.err
    assert "came out the same" in first.err
    assert "in an earlier build" not in first.err


def test_the_metadata_file_says_what_was_built_and_how_it_was_checked(built, client) -> None:
    facts = client.api.inspect_image(built.name)
    assert built.metadata == {
        "engine": "docker",
        "images": [
            {
                "name": built.name,
                "platform": "linux/amd64",
                "image_id": facts["Id"],
                "manifest_digest": None,
                "layers": facts["RootFS"]["Layers"],
            }
        ],
        "gate": {"how": "container", "passed": True},
    }


def test_inspect_reads_labels_contract_and_metrics_back(built, cli) -> None:
    as_data = cli("inspect", built.name, "--json")
    assert as_data.code == 0, as_data.err
    report = as_data.json
    assert report["labels"][OWN + "model.name"] == "breast-cancer"
    assert report["metrics"] == json.loads((built.package / contract.METRICS).read_text())
    assert report["contract"]["input"] == json.loads((built.package / contract.INPUT_SCHEMA).read_text())
    as_text = cli("inspect", f"docker-daemon:{built.name}", env={"COLUMNS": "160"})
    assert as_text.code == 0
    for word in ("mean radius", "accuracy", "deb:bookworm", "sklearn.pipeline.Pipeline"):
        assert word in as_text.out


def test_another_architecture_is_assembled_without_emulation_and_not_passed_off_as_checked(
    penguins: Path, client, cli, tmp_path: Path
) -> None:
    packed = cli(
        "pack", "-f", "modelimg.toml", "-o", "both", "--platform", "linux/amd64,linux/arm64", cwd=penguins.parent
    )
    assert packed.code == 0, packed.err
    options = ["-t", "modelimg-test/arm:1", "--platform", "linux/arm64", "--metadata-file", tmp_path / "metadata.json"]
    done = cli("build", penguins.parent / "both", *options)
    assert done.code == 0, done.err
    assert "the gate was not run" in done.err
    assert json.loads((tmp_path / "metadata.json").read_text())["gate"] == {"how": "none", "passed": None}
    assert client.api.inspect_image("modelimg-test/arm:1")["Architecture"] == "arm64"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-t", "Upper:1"], 2, "is not an image reference"),
        (["-t", "name:bad tag"], 2, "not a valid image tag"),
        (["-t", "x:1", "--base", "deb:trixie"], 1, "has Python 3.13, but"),
        (["-t", "x:1", "--base", "deb:sid"], 1, "sid"),
        (["-t", "x:1", "--base", "modelimg-test/absent:9"], 1, "no base image modelimg-test/absent:9"),
        (["-t", "x:1", "--platform", "linux/s390x"], 2, "unknown platform"),
        (["-t", "x:1", "--platform", "linux/arm64"], 1, "pack again with --platform linux/arm64"),
        (["-t", "x:1", "--engine", "docker", "--platform", "linux/amd64,linux/arm64"], 2, "one platform at a time"),
        (["-t", "x:1", "--template", "absent.j2"], 2, "does not exist"),
        (["-t", "x:1", "--engine", "magic"], 2, "magic"),
    ],
)
def test_a_build_that_cannot_be_is_refused_in_one_sentence(
    built, client, cli, arguments: list[str], code: int, said: str
) -> None:
    refused = cli("build", built.package, *arguments)
    assert refused.code == code, refused.err
    assert said in refused.err
    assert "Traceback" not in refused.err
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("x:1")


def test_a_package_that_was_changed_after_packing_is_refused(built, cli, tmp_path: Path) -> None:
    other = shutil.copytree(built.package, tmp_path / "package")
    (other / contract.METRICS).write_text("{}")
    refused = cli("build", other, "-t", "x:1")
    assert refused.code == 1
    assert contract.METRICS in refused.err


@pytest.mark.parametrize("command", [["build"], ["inspect"]])
def test_without_a_daemon_there_is_a_sentence_and_a_hint(built, cli, command: list[str], tmp_path: Path) -> None:
    target = [built.package, "--engine", "docker"] if command == ["build"] else [f"docker-daemon:{built.name}"]
    refused = cli(*command, *target, env={"DOCKER_HOST": f"unix://{tmp_path}/absent.sock"})
    assert refused.code == 1
    assert "no Docker daemon answers" in refused.err
    assert "hint: " in refused.err


def test_a_dry_run_prints_the_plan_and_needs_no_daemon(built, cli, tmp_path: Path) -> None:
    printed = [
        cli("build", built.package, "--dry-run", env={"DOCKER_HOST": f"unix://{tmp_path}/absent.sock"})
        for _ in range(2)
    ]
    assert printed[0].code == 0, printed[0].err
    plan = printed[0].json
    assert printed[0].out == printed[1].out
    assert plan["base"]["name"] == "deb:bookworm"
    assert [layer["name"] for layer in plan["layers"]] == ["dependencies", "runtime", "bytecode", "model"]
    assert {"name", "version", "filename", "digest", "url"} <= plan["layers"][0]["wheels"][0].keys()
    assert str(built.package) not in printed[0].out
    assert str(Path.home()) not in printed[0].out


@pytest.mark.usefixtures("built")
def test_an_image_that_modelimg_did_not_build_is_not_inspected(client, cli) -> None:
    refused = cli("inspect", min(parents(client)))
    assert refused.code == 1
    assert "modelimg did not build it" in refused.err
    assert cli("inspect", "modelimg-test/absent:9").code == 1
