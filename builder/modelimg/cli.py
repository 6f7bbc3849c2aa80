"""The command line: flags → specs. The only place that prints or exits."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelimg import __version__
from modelimg.errors import ModelimgError, UsageError
from modelimg.monitoring.commands import monitor_app

if TYPE_CHECKING:
    from modelimg.build import BuildOutcome
    from modelimg.deliver import Delivery, Report
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
cache_app = typer.Typer(help="What is kept between builds.", no_args_is_help=True)
app.add_typer(cache_app, name="cache")
app.add_typer(monitor_app, name="monitor")


class EngineName(StrEnum):
    """Which engine builds."""

    AUTO = "auto"
    DOCKER = "docker"
    EMBEDDED = "embedded"


class ByteCodeChoice(StrEnum):
    """Which modules the image holds byte code of."""

    IMPORTED = "imported"
    NONE = "none"


class Compression(StrEnum):
    """How the embedded engine compresses layers."""

    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"


_LINE = 160
"""Characters of a progress line."""

OutputOption = Annotated[
    list[str] | None,
    typer.Option("--output", help="oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE to write; may be repeated."),
]
LoadOption = Annotated[bool, typer.Option("--load", help="Load the image into the Docker daemon.")]
PushOption = Annotated[bool, typer.Option("--push", help="Push the image to the registries that its names say.")]
MetadataOption = Annotated[
    Path | None, typer.Option("--metadata-file", help="Write ids and digests to this JSON file.")
]
GateOption = Annotated[bool, typer.Option("--gate/--no-gate", help="Replay the packed examples in the image.")]
Json = Annotated[bool, typer.Option("--json", help="Print data instead of text.")]
Offline = Annotated[bool, typer.Option("--offline", help="Use what is in the cache; open no connection.")]
PackageArgument = Annotated[Path, typer.Argument(help="Folder of a model package, as `modelimg pack` writes it.")]
ImageArgument = Annotated[
    str,
    typer.Argument(
        help="NAME (asked of the daemon, then of its registry), docker://NAME, docker-daemon:NAME, oci:DIR[:TAG], "
        "oci-archive:FILE or docker-archive:FILE."
    ),
]
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
    list[str] | None,
    typer.Option("--platform", help="OS/ARCH of the image; several, by comma, make an index. Default: linux/amd64."),
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
    engine: Annotated[
        EngineName, typer.Option(help="auto: docker where a daemon answers and can do what is asked, else embedded.")
    ] = EngineName.AUTO,
    base: BaseOption = None,
    base_lock: BaseLockOption = None,
    platform: PlatformOption = None,
    template: TemplateOption = None,
    outputs: OutputOption = None,
    load: LoadOption = False,
    push: PushOption = False,
    gate: GateOption = True,
    bytecode: Annotated[
        ByteCodeChoice | None,
        typer.Option(help="Byte code of what the model imports, or none. Default: imported where this host can."),
    ] = None,
    compression: Annotated[
        Compression, typer.Option(help="How the embedded engine compresses layers.")
    ] = Compression.GZIP,
    metadata_file: MetadataOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan as JSON and build nothing.")] = False,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Build an image from a model package, check it, and tag it."""
    from modelimg.build import BuildSpec, plan_build, plans_to_json
    from modelimg.build import build as run_build
    from modelimg.engines import engine_maker

    spec = BuildSpec(
        package,
        tuple(tags or ()),
        tuple(_platforms(platform)),
        base,
        base_lock,
        template,
        bytecode.value if bytecode else None,
        gate,
        _delivery(outputs, load=load, push=push),
    )
    with _fetcher(offline=offline) as fetcher, _progress() as report:
        make_engine = engine_maker(engine.value, spec, fetcher, report, compression.value)
        plans = plan_build(spec, fetcher, make_engine, report)
        if not dry_run:
            outcome = run_build(plans, make_engine(), fetcher, gate=gate, delivery=spec.delivery, report=report)
    if dry_run:
        typer.echo(plans_to_json(plans), nl=False)
        return
    _tell_outcome(outcome, metadata_file, as_json=as_json)


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
    from modelimg.build import BuildSpec, plan_build
    from modelimg.dockerfile import write_context
    from modelimg.engines import engine_maker

    spec = BuildSpec(package, (), tuple(_platforms(platform)), base, base_lock, template)
    if len(spec.platforms) > 1:
        raise UsageError("a Dockerfile is rendered for one platform", hint="call it once for each --platform")
    with _fetcher(offline=offline) as fetcher, _progress() as report:
        plans = plan_build(spec, fetcher, engine_maker("docker", spec, fetcher, report), report)
        write_context(plans[0], fetcher, out)
    typer.echo(out)


@app.command()
def serve(
    package: PackageArgument,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8080,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Serve what takes the package's place, when it is ready.")
    ] = True,
) -> None:
    """Serve a model package without a container, with the packages that are installed here."""
    from modelimg.serve import serve_and_reload, serve_package

    if not reload:
        serve_package(package, host, port)
    raise typer.Exit(serve_and_reload(package, host, port, lambda line: typer.echo(line, err=True)))


@app.command()
def inspect(
    image: ImageArgument,
    platform: Annotated[
        str | None,
        typer.Option("--platform", help="OS/ARCH, where the name leads to several. Default: this machine's."),
    ] = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Show what an image says of itself: labels, contract, metrics, provenance."""
    from modelimg.inspect import inspect_image
    from modelimg.oci.names import ImageName
    from modelimg.tables import print_report

    wanted = _platforms([platform])[0] if platform else None
    with _fetcher(offline=offline) as fetcher:
        report = inspect_image(ImageName.parse(image), wanted, fetcher)
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        print_report(report)


@app.command()
def rebase(
    image: ImageArgument,
    base: Annotated[
        str, typer.Option("--base", help="The new base: deb:bookworm, deb:trixie or an image, named as IMAGE is.")
    ],
    tags: Annotated[list[str], typer.Option("-t", "--tag", help="Name of the result; may be repeated.")],
    outputs: OutputOption = None,
    load: LoadOption = False,
    push: PushOption = False,
    gate: GateOption = True,
    metadata_file: MetadataOption = None,
    offline: Offline = False,
    as_json: Json = False,
) -> None:
    """Put a model image on another base, under the same layers of its own."""
    from modelimg.oci.names import ImageName
    from modelimg.rebase import RebaseSpec, run_rebase

    spec = RebaseSpec(ImageName.parse(image), base, tuple(tags), gate, _delivery(outputs, load=load, push=push))
    with _fetcher(offline=offline) as fetcher, _progress() as report:
        outcome = run_rebase(spec, fetcher, report)
    _tell_outcome(outcome, metadata_file, as_json=as_json)


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


@cache_app.command("info")
def cache_info(as_json: Json = False) -> None:
    """Show where the cache is and how much it holds."""
    from modelimg.cache import Cache

    cache = Cache.default()
    usage = cache.usage()
    if as_json:
        typer.echo(json.dumps({"directory": str(cache.root), **usage.to_dict()}, indent=2))
        return
    typer.echo(cache.root)
    for name, amount in (("blobs", usage.blobs), ("facts", usage.facts), ("temporary", usage.temporary)):
        typer.echo(f"{name:<10}{amount.files:>8} files{amount.size / 1e6:>10.1f} MB")


@cache_app.command("prune")
def cache_prune(
    older_than: Annotated[
        int, typer.Option("--older-than", metavar="DAYS", min=1, help="Remove what was not used for so long.")
    ] = 30,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything, however new.")] = False,
) -> None:
    """Remove from the cache what no build has used lately; it is fetched or made again when it is needed."""
    from datetime import timedelta

    from modelimg.cache import Cache

    removed = Cache.default().prune(None if everything else timedelta(days=older_than)).total
    typer.echo(f"removed {removed.files} files, {removed.size / 1e6:.1f} MB")


def _tell_outcome(outcome: BuildOutcome, metadata_file: Path | None, *, as_json: bool) -> None:
    from modelimg.build import write_metadata

    if metadata_file:
        write_metadata(outcome, metadata_file)
    if as_json:
        typer.echo(json.dumps(outcome.to_dict(), indent=2))
        return
    for name in outcome.names:
        for result in outcome.results:
            typer.echo(f"{name} {result.image_id}")


def _fetcher(*, offline: bool) -> Fetcher:
    from modelimg.cache import Cache
    from modelimg.fetch import Fetcher

    return Fetcher(Cache.default(), offline=offline)


def _delivery(outputs: list[str] | None, *, load: bool, push: bool) -> Delivery:
    from modelimg.deliver import Delivery
    from modelimg.oci.names import ImageName

    return Delivery(tuple(ImageName.parse(output) for output in outputs or ()), load, push)


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
