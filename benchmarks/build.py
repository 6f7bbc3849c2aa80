"""The story: `modelimg build` beside a hand-written Dockerfile, for one model with one set of pins, in one run.

Usage: python -m benchmarks.build [--rounds N] [--cold-rounds N] [--python-image REF] [--docs PAGE]

The two take turns; every figure is shown as a median with its spread, and compared as a ratio of medians. Where no
registry is reached, the hand-written Dockerfile stands on a stand-in for python:3.11-slim (`benchmarks/standin`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import docker

from benchmarks import containers, images, models, report
from benchmarks.contenders import HERE, Contender, HandWritten, Modelimg
from benchmarks.measure import Row, Samples, in_turns

STAND_IN = "modelimg-bench/python:3.11-slim"
_MB = 1_000_000
_NO_GATE = "ours with `--no-gate`: a Dockerfile has no gate either"


def main() -> None:
    """Pack, build, measure, report, clean up."""
    options = _options()
    client = docker.from_env(timeout=600)
    facts = report.machine(client)
    if options.python_image == STAND_IN:
        subprocess.run([str(HERE / "standin"), STAND_IN], check=True)
    with tempfile.TemporaryDirectory(prefix="modelimg-bench-") as work:
        packages = models.pack_versions(Path(work), 2 * options.rounds + 1)
        hand = HandWritten(client, packages, options.python_image, Path(work))
        ours, gated = (Modelimg(client, packages, Path(work), gate=gate) for gate in (False, True))
        try:
            _cold(ours, downloads=True)  # not counted: fills the interpreter's byte code, and shows that cold is cold
            rows = [
                *_builds(hand, ours, gated, options),
                *_starts(client, (hand, ours), packages[0], options.rounds),
            ]
            base_layers = {hand.name: images.layer_count(client, options.python_image), ours.name: 1}
            sizes, layers = _sizes(client, (hand, ours), base_layers)
        finally:
            hand.forget(downloads=True)
            ours.forget(downloads=True)
    command = " ".join(["python -m benchmarks.build", *sys.argv[1:]])
    result = report.Report(report.today(), command, facts, (hand.name, ours.name), [*sizes, *rows], layers)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(result.to_json(), encoding="utf-8")
    if options.docs:
        report.replace_figures(options.docs, result.to_markdown())
    print(result.to_markdown())


def _builds(hand: HandWritten, ours: Modelimg, gated: Modelimg, options: argparse.Namespace) -> list[Row]:
    """Cold builds, then rebuilds of what the last cold one left."""
    cold = in_turns(
        options.cold_rounds,
        {
            hand.name: lambda _: _cold(hand, downloads=True),
            "nothing": lambda _: _cold(ours, downloads=True),
            "downloads": lambda _: _cold(ours, downloads=False),
        },
    )
    same = in_turns(options.rounds, {hand.name: lambda _: hand.build(0), ours.name: lambda _: ours.build(0)})
    changed = in_turns(
        options.rounds,
        {
            hand.name: lambda number: hand.build(1 + number),
            ours.name: lambda number: ours.build(1 + number),
            "gated": lambda number: gated.build(1 + options.rounds + number),
        },
    )
    pip = f"{_NO_GATE}; the base of the hand-written one is in the daemon already, ours is fetched and made"
    kept = (
        "wheels and Debian packages kept, layers not; pip keeps nothing (`--no-cache-dir`), so its figure is the same"
    )
    return [
        _row("Cold build, nothing cached", cold, {hand.name: hand.name, ours.name: "nothing"}, pip),
        _row("Cold build, downloads cached", cold, {hand.name: hand.name, ours.name: "downloads"}, kept),
        Row("Rebuild, nothing changed", "s", same, _NO_GATE),
        _row("Rebuild, model changed", changed, {hand.name: hand.name, ours.name: ours.name}, _NO_GATE),
        _row("Rebuild, model changed, ours with its gate", changed, {hand.name: hand.name, ours.name: "gated"}),
    ]


def _cold(contender: Contender, *, downloads: bool) -> float:
    contender.forget(downloads=downloads)
    return contender.build(0, cold=True)


def _row(label: str, samples: dict[str, Samples], names: dict[str, str], note: str = "") -> Row:
    return Row(label, "s", {shown: samples[measured] for shown, measured in names.items()}, note)


def _starts(client: docker.DockerClient, contenders: Sequence[Contender], package: Path, rounds: int) -> list[Row]:
    """Starts of both images, a request of one row; the first of each fills the page cache and does not count."""
    rows = models.example_rows(package)[:1]
    for contender in contenders:
        containers.start(client, contender.image(0), rows)
    seen: dict[str, list[containers.Start]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            seen[contender.name].append(containers.start(client, contender.image(0), rows))

    def samples(value: str, scale: float) -> dict[str, Samples]:
        return {name: Samples(tuple(getattr(one, value) / scale for one in starts)) for name, starts in seen.items()}

    return [
        Row("`docker run` to the first prediction", "s", samples("seconds", 1)),
        Row("Memory while serving, as `docker stats` shows it", "MB", samples("memory", _MB)),
        Row("Anonymous memory while serving", "MB", samples("anonymous", _MB)),
    ]


def _sizes(
    client: docker.DockerClient, contenders: Sequence[Contender], base_layers: dict[str, int]
) -> tuple[list[Row], dict[str, list[images.LayerSize]]]:
    layers = {one.name: images.layer_sizes(client, one.image(0)) for one in contenders}

    def row(label: str, value: str, *, over_base: bool) -> Row:
        return Row(
            label,
            "MB",
            {
                name: Samples((sum(getattr(layer, value) for layer in found[base_layers[name] * over_base :]) / _MB,))
                for name, found in layers.items()
            },
        )

    on_disk = {one.name: Samples((images.size_on_disk(client, one.image(0)) / _MB,)) for one in contenders}
    return [
        Row("Image, as `docker image inspect` counts it", "MB", on_disk),
        row("Image, sum of its layers as tar", "tar", over_base=False),
        row("… of that over its base", "tar", over_base=True),
        row("Image, compressed (`gzip -6` of each layer)", "compressed", over_base=False),
        row("… of that over its base", "compressed", over_base=True),
    ], layers


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.build", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="values for each rebuild and start")
    parser.add_argument("--cold-rounds", type=int, default=2, help="values for each cold build")
    parser.add_argument(
        "--python-image", default=STAND_IN, help="what the hand-written FROM names; a stand-in is made by default"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results" / "build.json", help="JSON file to write")
    parser.add_argument("--docs", type=Path, help="page whose figures are replaced")
    return parser.parse_args()


if __name__ == "__main__":
    main()
