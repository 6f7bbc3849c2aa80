"""The story: `modelimg build` beside other ways to an image, for one model with one set of pins, in one run.

Usage: python -m benchmarks.build [--only PART,…] [--without NAME,…] [--rounds N] [--cold-rounds N] [--docs PAGE]

All take turns; every figure is shown as a median with its spread, and compared as a ratio of medians. Where no
registry is reached, Dockerfiles stand on a stand-in for python:3.11-slim (`benchmarks/standin`).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from benchmarks import memory, models, parts, report
from benchmarks.command import alone, publish, some_of
from benchmarks.contenders.base import Contender, Site
from benchmarks.contenders.handwritten import Pip, Uv
from benchmarks.contenders.ours import DockerEngine, Embedded
from benchmarks.contenders.tools import BentoML, MLflow
from benchmarks.images import LayerSize
from benchmarks.measure import OURS, Section, Target
from benchmarks.registry import check_registry
from benchmarks.targets import FLOOR, NO_BYTE_CODE, PLAIN, PLAIN_NO_BYTE_CODE, targets

HERE = Path(__file__).parent
STAND_IN = "modelimg-bench/python:3.11-slim"
PARTS = ("builds", "sizes", "starts", "push", "memory")
PEERS = ("uv", "bentoml", "mlflow", "docker-engine")
_PROGRAM = "python -m benchmarks.build"
_PUSH_ROUNDS = 3
_MB = 1_000_000


@dataclass(frozen=True)
class BuildReport(report.Report):
    """A whole run.

    Attributes:
        layers: of each contender's image, lowest first.
    """

    layers: Mapping[str, Sequence[LayerSize]]

    @property
    def targets(self) -> list[Target]:
        """What the run is held against."""
        return targets(self.rows)

    @property
    def remarks(self) -> list[str]:
        """Sizes of layers, where they were looked at."""
        lines = ["### Layers, lowest first, in MB as tar (after `gzip -6`)", ""]
        for name, layers in self.layers.items():
            sizes = "; ".join(f"{layer.tar / _MB:.1f} ({layer.compressed / _MB:.1f})" for layer in layers)
            lines.append(f"- {name}: {sizes}")
        return ["\n".join(lines)] if self.layers else []


@dataclass(frozen=True)
class Contenders:
    """Who takes part.

    Attributes:
        pip: the hand-written Dockerfile that ours are compared with.
        uvs: the same with uv.
        tools: BentoML and MLflow.
        docker_engine: ours, in the daemon; nobody or one.
        ours: the embedded engine, with byte code and without.
        plain: the same with layers as a daemon keeps them, not compressed.
        extras: further variants of it, which only rebuild.
    """

    pip: Pip
    uvs: tuple[Uv, ...]
    tools: tuple[BentoML | MLflow, ...]
    docker_engine: tuple[DockerEngine, ...]
    ours: tuple[Embedded, Embedded]
    plain: tuple[Embedded, Embedded]
    extras: tuple[Embedded, ...]

    @classmethod
    def at(cls, site: Site, without: frozenset[str]) -> Contenders:
        """All that were not left out."""
        return cls(
            pip=Pip(site),
            uvs=() if "uv" in without else (Uv(site, bytecode=True), Uv(site, bytecode=False)),
            tools=tuple(tool(site) for key, tool in (("bentoml", BentoML), ("mlflow", MLflow)) if key not in without),
            docker_engine=() if "docker-engine" in without else (DockerEngine(site),),
            ours=(Embedded(site, OURS), Embedded(site, NO_BYTE_CODE, bytecode="none")),
            plain=(
                Embedded(site, PLAIN, compression="none"),
                Embedded(site, PLAIN_NO_BYTE_CODE, bytecode="none", compression="none"),
            ),
            extras=(
                Embedded(site, f"{OURS}, into the daemon", to="daemon"),
                Embedded(site, f"{OURS}, with its gate", gate=True),
            ),
        )

    @property
    def building(self) -> tuple[Contender, ...]:
        """Who builds cold."""
        return (self.pip, *self.uvs, *self.tools, *self.docker_engine, *self.ours, *self.plain)

    @property
    def shown(self) -> tuple[Contender, ...]:
        """Whose images are looked at and started: those that uv installs are as pip's."""
        return (self.pip, *self.tools, *self.docker_engine, *self.ours)

    @property
    def everyone(self) -> tuple[Contender, ...]:
        """All of them."""
        return (*self.building, *self.extras)


def main() -> None:
    """Pack, build, measure, report, clean up."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed then too
    if options.only & {"sizes", "push"}:
        check_registry()
    client = docker.from_env(timeout=600)
    engine = {"Docker Engine": client.version()["Version"], "storage": client.info()["Driver"]}
    facts = report.machine(**engine)
    if options.python_image == STAND_IN:
        subprocess.run([str(HERE / "standin"), STAND_IN], check=True)
    with alone(), tempfile.TemporaryDirectory(prefix="modelimg-bench-") as folder, ExitStack() as stack:
        work = Path(folder)
        packages = models.pack_versions(work, options.rounds + 1)
        site = Site(client, packages, options.python_image, work)
        site.requirements.write_text(models.requirements(packages[0]))
        contenders = Contenders.at(site, options.without)
        for one in contenders.everyone:
            stack.callback(one.forget)
        layers: dict[str, Any] = {}
        sections = list(_sections(contenders, site, options, layers))
        facts |= {"uv": importlib.metadata.version("uv")} | {tool.name: tool.version for tool in contenders.tools}
    found = BuildReport(report.today(), " ".join([_PROGRAM, *sys.argv[1:]]), facts, sections, layers)
    publish(found, options.results, options.docs, _PROGRAM)


def _sections(
    contenders: Contenders, site: Site, options: argparse.Namespace, layers: dict[str, Any]
) -> Iterator[Section]:
    """The parts that were chosen; each finds the images of the first version built."""
    if "builds" in options.only:
        floors = {FLOOR: contenders.ours[0], f"{FLOOR}, no byte code": contenders.ours[1]}
        rounds, cold_rounds = options.rounds, options.cold_rounds
        yield parts.builds(
            contenders.building, contenders.extras, floors, site.work, rounds=rounds, cold_rounds=cold_rounds
        )
    else:
        for one in contenders.shown if options.only & {"sizes", "starts"} else (contenders.pip, *contenders.ours):
            one.build(0)
    if "sizes" in options.only:
        section, found = parts.sizes(site.client, contenders.shown, site.work)
        layers |= found
        yield section
    if "starts" in options.only:
        yield parts.starts(site.client, contenders.shown, site.packages[0], options.rounds)
    if "push" in options.only:
        yield parts.pushes((contenders.pip, *contenders.ours), site.work, min(options.rounds, _PUSH_ROUNDS))
    if "memory" in options.only:
        yield memory.memory(contenders.ours, site.packages, site.work)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__.partition("\n")[0])
    parser.add_argument("--only", type=some_of(PARTS), default=frozenset(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--without", type=some_of(PEERS), default=frozenset(), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=5, help="values for each rebuild, start and push")
    parser.add_argument("--cold-rounds", type=int, default=2, help="values for each cold build")
    parser.add_argument("--python-image", default=STAND_IN, help="what FROM names; a stand-in is made by default")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "build.json", help="JSON file to write")
    parser.add_argument("--docs", type=Path, help="page whose figures are replaced")
    return parser.parse_args()


if __name__ == "__main__":
    main()
