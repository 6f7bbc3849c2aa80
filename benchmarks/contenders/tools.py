"""Tools that package models, as their documentation says to use them, each in a virtual environment of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from abc import abstractmethod
from functools import cached_property
from pathlib import Path

import uv

from benchmarks import models
from benchmarks.contenders.base import Serving, Site, docker_build, timed
from benchmarks.contenders.dockerfiles import Dockerfiles, fresh_folder

_PEERS = Path(__file__).parent.parent / "peers"
_NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true"}


class Tool(Dockerfiles):
    """A tool of PyPI that writes the Dockerfile itself.

    Args:
        site: where to build.
        name: how reports call it.
        requirement: what to install; the newest release that fits is measured.
    """

    def __init__(self, site: Site, name: str, requirement: str) -> None:
        super().__init__(site, name)
        self._requirement = requirement
        self._saved: int | None = None

    @property
    def version(self) -> str:
        """Of the tool that is measured."""
        package = re.split("[<>=]", self._requirement)[0]
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        return subprocess.run(
            [self._bin / "python", "-c", code], check=True, capture_output=True, text=True
        ).stdout.strip()

    @cached_property
    def _bin(self) -> Path:
        """Of its virtual environment, which has the model's own pins too."""
        folder = self._folder / "venv"
        command: list[str | Path] = [uv.find_uv_bin(), "--quiet"]
        subprocess.run([*command, "venv", "--python", "3.11", folder], check=True)
        packages: list[str | Path] = ["-r", self._site.requirements, self._requirement, "uv"]
        install = [*command, "pip", "install", "--compile-bytecode", "--python", folder / "bin/python", *packages]
        subprocess.run(install, check=True)
        return folder / "bin"

    def _build(self, version: int, tag: str, base: str, *, keep: bool, cold: bool) -> float:
        if version != self._saved:
            self._save(version)
            self._saved = version
        return self._containerize(tag, base, keep=keep, cold=cold)

    @abstractmethod
    def _save(self, version: int) -> None:
        """Give the model to the tool; not timed, no more than `modelimg pack` is."""

    @abstractmethod
    def _containerize(self, tag: str, base: str, *, keep: bool, cold: bool) -> float:
        """The saved model → an image; seconds of all commands."""


class BentoML(Tool):
    """``bentoml build`` and ``bentoml containerize``."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, "BentoML", "bentoml>=1.4.39,<1.5")

    @property
    def serving(self) -> Serving:
        """See `Contender`."""
        return Serving(3000, "/predict", lambda rows: {"rows": rows})

    def _save(self, version: int) -> None:
        project = fresh_folder(self._folder / "project")
        shutil.copy(_PEERS / "bentoml/service.py", project)
        shutil.copy(self._site.requirements, project)
        save: list[str | Path] = [self._bin / "python", _PEERS / "bentoml/save.py", self._site.model(version)]
        timed(save, self._environment)

    def _containerize(self, tag: str, base: str, *, keep: bool, cold: bool) -> float:
        if cold and not keep:
            shutil.rmtree(self._environment["UV_CACHE_DIR"], ignore_errors=True)
        project = self._folder / "project"
        bentoml, environment = self._bin / "bentoml", {**self._environment, "BENCH_BASE": base}
        if keep and cold:
            environment["UV_OFFLINE"] = "1"
        built = timed([bentoml, "build", "--output", "tag", "service:Bench"], environment, cwd=project)
        # Its own Dockerfile needs no BuildKit, and `DOCKER_BUILDKIT=0` is its documented way to the classic builder.
        options = ["--opt", "network=host", "--opt", "force-rm"]
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
            options += ["--opt", f"build-arg={name}={os.environ[name]}"] if name in os.environ else []
        command: list[str | Path] = [bentoml, "containerize", "bench:latest", "--image-tag", tag, *options]
        return built + timed(command, {**environment, "DOCKER_BUILDKIT": "0"}, cold=cold, cwd=project)

    @cached_property
    def _environment(self) -> dict[str, str]:
        return {
            "BENTOML_HOME": str(self._folder / "store"),
            "BENTOML_DO_NOT_TRACK": "True",
            "UV_CACHE_DIR": str(self._folder / "uv-cache"),
            "PATH": f"{self._bin}:{os.environ['PATH']}",
        }


class MLflow(Tool):
    """``mlflow models generate-dockerfile`` and ``docker build``, which is what ``mlflow models build-docker`` does."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, "MLflow", "mlflow>=3.17,<4")

    @property
    def serving(self) -> Serving:
        """See `Contender`."""
        return Serving(8080, "/invocations", lambda rows: {"dataframe_records": rows})

    def _save(self, version: int) -> None:
        rows = self._folder / "rows.json"
        rows.write_text(json.dumps(models.example_rows(self._site.packages[version])))
        shutil.rmtree(self._folder / "model", ignore_errors=True)
        save: list[str | Path] = [self._bin / "python", _PEERS / "mlflow/save.py", self._site.model(version), rows]
        timed([*save, self._site.requirements, self._folder / "model"], _NO_TELEMETRY)

    def _containerize(self, tag: str, base: str, *, keep: bool, cold: bool) -> float:  # noqa: ARG002 - pip always caches
        context = self._folder / "context"
        shutil.rmtree(context, ignore_errors=True)
        options: list[str | Path] = [
            "--model-uri",
            self._folder / "model",
            "--output-directory",
            context,
            "--env-manager",
            "local",
        ]
        command: list[str | Path] = [self._bin / "mlflow", "models", "generate-dockerfile", *options]
        generated = timed(command, _NO_TELEMETRY)
        dockerfile = context / "Dockerfile"
        dockerfile.write_text(re.sub("^FROM .*", f"FROM {base}", dockerfile.read_text(), count=1, flags=re.MULTILINE))
        return generated + docker_build(context, tag, cold=cold)
