"""Dockerfiles as people write them: pins first, model last."""

from __future__ import annotations

import shutil
from functools import cached_property
from pathlib import Path

import uv

from benchmarks.contenders.base import Serving, Site, docker_build
from benchmarks.contenders.dockerfiles import Dockerfiles, fresh_folder

SOURCE = Path(__file__).parent.parent / "handwritten"
_ROWS = Serving(8080, "/predict", lambda rows: {"rows": rows})


class Pip(Dockerfiles):
    """``handwritten/Dockerfile``."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, "Dockerfile, pip")

    @property
    def serving(self) -> Serving:
        """See `Contender`."""
        return _ROWS

    def _build(self, version: int, tag: str, base: str, *, keep: bool, cold: bool) -> float:  # noqa: ARG002
        _fill(self._folder / "context", self._site, version, (SOURCE / "Dockerfile").read_text())
        return docker_build(self._folder / "context", tag, {"PYTHON": base}, cold=cold)


class Uv(Dockerfiles):
    """``handwritten/uv.Dockerfile``, with or without byte code; its base has uv in it before the clock starts."""

    uses_pip = False

    def __init__(self, site: Site, *, bytecode: bool) -> None:
        self._bytecode = bytecode
        super().__init__(site, "Dockerfile, uv" if bytecode else "Dockerfile, uv, no byte code")

    @property
    def serving(self) -> Serving:
        """See `Contender`."""
        return _ROWS

    @cached_property
    def _plain_base(self) -> str:
        tag = f"{self._repository}-base:1"
        context = fresh_folder(self._folder / "base")
        shutil.copy(uv.find_uv_bin(), context)
        # The label keeps the two apart: one's layers would make the other's cold build warm.
        label = f"io.modelimg.benchmark={self._repository}"
        (context / "Dockerfile").write_text(
            f"FROM {self._site.python_image}\nLABEL {label}\nCOPY uv /usr/local/bin/uv\n"
        )
        docker_build(context, tag)
        return tag

    def _build(self, version: int, tag: str, base: str, *, keep: bool, cold: bool) -> float:
        _fill(self._folder / "context", self._site, version, (SOURCE / "uv.Dockerfile").read_text())
        arguments = {"PYTHON": base, "UV_COMPILE_BYTECODE": str(int(self._bytecode))}
        arguments |= {} if keep else {"UV_NO_CACHE": "1"}
        return docker_build(self._folder / "context", tag, arguments, cold=cold)


def _fill(context: Path, site: Site, version: int, dockerfile: str) -> None:
    fresh_folder(context)
    (context / "Dockerfile").write_text(dockerfile)
    for path in (SOURCE / "app.py", site.requirements, site.model(version)):
        shutil.copy(path, context)
