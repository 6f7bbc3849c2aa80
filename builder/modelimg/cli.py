"""The command line: flags → specs. The only place that prints or exits."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelimg import __version__
from modelimg.errors import ModelimgError, UsageError

if TYPE_CHECKING:
    from modelimg.build import BuildSpec
    from modelimg.engines.base import Engine, Report
    from modelimg.fetch import Fetcher
    from modelimg.oci.values import Platform

app = typer.Typer(
    name="modelimg",
    help="Container images for trained Python models: assembled, not installed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
base_app = typer.Typer(help="Base images made from Debian's packages.", no_args_is_help=True)
app.add_typer(base_app, name="base")


class EngineName(StrEnum):
    """Which engine builds."""

    AUTO = "auto"
    DOCKER = "docker"


_LINE = 160
"""Characters of a progress line."""

Json = Annotated[bool, typer.Option("--json", help="Print data instead of text.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use what is in the cache; open no connection.")]
PackageArgument = Annotated[Path, typer.Argument(help="Folder of a model package, as `modelimg pack` writes it.")]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base", help="deb:bookworm, deb:trixie or an image reference. Default: follows the training Python."
    ),
]
BaseLockOption = Annotated[
    Path | None, typer.Option("--base-lock", help="Pins the packages of a deb: base; see `modelimg base lock`.")
]
PlatformOption = Annotated[
    list[str] | None, typer.Option("--platform", help="OS/ARCH of the image. Default: linux/amd64.")
]
TemplateOption = Annotated[Path | None, typer.Option("--template", help="A Dockerfile template of your own.")]
TagOption = Annotated[
    list[str] | None, typer.Option("-t", "--tag", help="Name of the image; may be repeated. Default: NAME:VERSION.")
]


def main() -> None:
    """Run the command line; errors of ours become a sentence, a hint and an exit code."""
    try:
        app()
    except ModelimgError as error:
        typer.echo(f"error: {error.message}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing was written under its final name", err=True)
        sys.exit(130)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"modelimg {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Container images for trained Python models: assembled, not installed."""


@app.command()
def pack(
    model: Annotated[
        Path | None, typer.Argument(help="Model file: .joblib or .pkl. Default: [model] file of the toml.")
    ] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="A modelimg.toml; flags override it.")] = None,
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder of the model package to write.")] = Path(
        "dist/model"
    ),
    name: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    version: Annotated[str | None, typer.Option(help="Version of the model; it becomes the image's tag.")] = None,
    train: Annotated[str | None, typer.Option(help="Training split: CSV or Parquet.")] = None,
    test: Annotated[str | None, typer.Option(help="Test split: CSV or Parquet.")] = None,
    target: Annotated[str | None, typer.Option(help="Column that the model predicts.")] = None,
    code: Annotated[list[str] | None, typer.Option(help="Module or package of your own that the model needs.")] = None,
    trust: Annotated[list[str] | None, typer.Option(help="Module or class that the model may load, by name.")] = None,
    requirements: Annotated[str | None, typer.Option(help="requirements.txt or pylock.toml of your own.")] = None,
    platform: PlatformOption = None,
    input_schema: Annotated[
        str | None, typer.Option("--input-schema", help="schemas.py:NAME. Default: drafted.")
    ] = None,
    output_schema: Annotated[
        str | None, typer.Option("--output-schema", help="schemas.py:NAME. Default: drafted.")
    ] = None,
    training_command: Annotated[
        str | None, typer.Option("--training-command", help="How the model was trained.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite/--no-overwrite", help="Replace an older model package.")
    ] = True,
) -> None:
    """Pack a model file and its data into a model package."""
    from modelimg.pack.spec import PackSpec, load_spec, override, pack_spec

    spec = override(
        load_spec(file) if file else PackSpec(root=Path.cwd()),
        file=model,
        name=name,
        version=version,
        train=train,
        test=test,
        target=target,
        code=tuple(code or ()),
        trust=tuple(trust or ()),
        requirements=requirements,
        platforms=tuple(str(one) for one in _platforms(platform)) if platform else (),
        input_schema=input_schema,
        output_schema=output_schema,
        training_command=training_command,
    )
    typer.echo(pack_spec(spec, out, overwrite=overwrite).path)


@app.command()
def build(
    package: PackageArgument,
    tags: TagOption = None,
    engine: Annotated[EngineName, typer.Option(help="auto: docker where a daemon answers.")] = EngineName.AUTO,  # noqa: ARG001 - one yet
    base: BaseOption = None,
    base_lock: BaseLockOption = None,
    platform: PlatformOption = None,
    template: TemplateOption = None,
    gate: Annotated[
        bool, typer.Option("--gate/--no-gate", help="Replay the packed examples in the built image.")
    ] = True,
    metadata_file: Annotated[
        Path | None, typer.Option("--metadata-file", help="Write ids and digests to this JSON file.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan as JSON and build nothing.")] = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Build an image from a model package, check it, and tag it."""
    from modelimg.build import build as run_build
    from modelimg.build import plan_build, write_metadata

    spec = _build_spec(package, tags, base, base_lock, platform, template, gate=gate)
    with _fetcher(offline=offline) as fetcher, _progress() as report:
        make_engine = _engine_maker(fetcher, report)
        plan = plan_build(spec, fetcher, make_engine)
        if not dry_run:
            outcome = run_build(plan, make_engine(), fetcher, gate=gate, report=report)
    if dry_run:
        typer.echo(plan.to_json(), nl=False)
        return
    if metadata_file:
        write_metadata(outcome, metadata_file)
    if as_json:
        typer.echo(json.dumps(outcome.to_dict(), indent=2))
        return
    for name in outcome.names:
        typer.echo(f"{name} {outcome.result.image_id}")


@app.command()
def render(
    package: PackageArgument,
    out: Annotated[
        Path, typer.Option("-o", "--output", help="Folder to write; `docker build` makes the image from it.")
    ],
    base: BaseOption = None,
    base_lock: BaseLockOption = None,
    platform: PlatformOption = None,
    template: TemplateOption = None,
    offline: Offline = False,
) -> None:
    """Write the Dockerfile and its layers, for `docker build`."""
    from modelimg.build import plan_build
    from modelimg.dockerfile import write_context

    spec = _build_spec(package, None, base, base_lock, platform, template, gate=False)
    with _fetcher(offline=offline) as fetcher, _progress() as report:
        plan = plan_build(spec, fetcher, _engine_maker(fetcher, report))
        write_context(plan, fetcher, out)
    typer.echo(out)


@app.command()
def inspect(
    image: Annotated[str, typer.Argument(help="A name that the Docker daemon knows; docker-daemon:NAME says so.")],
    as_json: Json = False,
) -> None:
    """Show what an image says of itself: labels, contract, metrics, provenance."""
    from modelimg.daemon import connect
    from modelimg.inspect import inspect_daemon_image
    from modelimg.tables import print_report

    report = inspect_daemon_image(connect(), image.removeprefix("docker-daemon:"))
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        print_report(report)


@base_app.command("lock")
def base_lock(
    out: Annotated[Path, typer.Option("-o", "--output", help="File to write or refresh.")] = Path("base.lock.toml"),
    suite: Annotated[
        list[str] | None, typer.Option("--suite", help="bookworm or trixie; may be repeated. Default: both.")
    ] = None,
    platform: PlatformOption = None,
) -> None:
    """Pin the newest packages of a deb: base, so that the same base can be made again."""
    from modelimg.base.debian import Mirrors, resolve_packages, write_lock
    from modelimg.base.resolve import DEBIAN_SUITES

    with _fetcher(offline=False) as fetcher:
        resolved = [
            resolve_packages(name, one, fetcher, mirrors=Mirrors.from_environment())
            for name in (suite or sorted(DEBIAN_SUITES.values()))
            for one in _platforms(platform)
        ]
    write_lock(out, resolved)
    typer.echo(out)


def _fetcher(*, offline: bool) -> Fetcher:
    from modelimg.cache import Cache
    from modelimg.fetch import Fetcher

    return Fetcher(Cache.default(), offline=offline)


def _engine_maker(fetcher: Fetcher, report: Report) -> Callable[[], Engine]:
    """Makes the engine when it is first needed, and only once: a plan on a deb: base needs none."""

    @cache
    def make() -> Engine:
        from modelimg.engines.docker import DockerEngine

        return DockerEngine(fetcher, report)

    return make


def _build_spec(
    package: Path,
    tags: list[str] | None,
    base: str | None,
    base_lock: Path | None,
    platform: list[str] | None,
    template: Path | None,
    *,
    gate: bool,
) -> BuildSpec:
    from modelimg.build import BuildSpec

    platforms = _platforms(platform)
    if len(platforms) > 1:
        raise UsageError("the docker engine builds one platform at a time", hint="call it once for each --platform")
    return BuildSpec(package, tuple(tags or ()), platforms[0], base, base_lock, template, gate)


def _platforms(texts: list[str] | None) -> list[Platform]:
    from modelimg.oci.values import Platform

    return [Platform.parse(part) for text in texts or ["linux/amd64"] for part in text.split(",")]


@contextmanager
def _progress() -> Iterator[Report]:
    """Progress on standard error: one moving line on a terminal, plain lines elsewhere."""
    if not sys.stderr.isatty():
        yield lambda line: typer.echo(_shortened(line), err=True)
        return
    from rich.console import Console

    with Console(stderr=True).status("planning") as status:
        yield lambda line: status.update(_shortened(line).replace("[", r"\["))


def _shortened(line: str) -> str:
    """A LABEL step alone prints some thousand characters."""
    return line if len(line) <= _LINE else line[: _LINE - 1] + "…"
