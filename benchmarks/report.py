"""Measured rows → a Markdown table for people, JSON for later comparison."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import docker

import modelimg
from benchmarks.images import LayerSize
from benchmarks.measure import Row, Samples

BEGIN = "<!-- figures: written by `python -m benchmarks.build --docs` -->"
END = "<!-- end of figures -->"
_MB = 1_000_000


@dataclass(frozen=True)
class Report:
    """A whole run.

    Attributes:
        date: of the run, ISO 8601, UTC.
        command: that was run.
        machine: what it ran on.
        contenders: their names; the last is the one that the others are compared with.
        rows: what was measured.
        layers: of each contender's image, lowest first.
    """

    date: str
    command: str
    machine: Mapping[str, Any]
    contenders: Sequence[str]
    rows: Sequence[Row]
    layers: Mapping[str, Sequence[LayerSize]]

    def to_json(self) -> str:
        """Every value of every row."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        """The table, what it ran on, and the notes that its rows carry."""
        ours = self.contenders[-1]
        others = self.contenders[:-1]
        header = ["", *self.contenders, *(f"{other} ÷ {ours}" for other in others)]
        lines = [_line(header), _line(["---", *(["--:"] * (len(header) - 1))])]
        notes: list[str] = []
        for row in self.rows:
            if row.note and row.note not in notes:
                notes.append(row.note)
            mark = f" [{notes.index(row.note) + 1}]" if row.note else ""
            cells = [_cell(row.samples.get(name), row.unit) for name in self.contenders]
            lines.append(_line([row.label + mark, *cells, *(_ratio(row.ratio(other, ours)) for other in others)]))
        lines += ["", *(f"[{number}] {note}  " for number, note in enumerate(notes, 1)), "", self._layer_lines(), ""]
        facts = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        return "\n".join([f"{self.date[:10]}, `{self.command}`: {facts}.", "", *lines])

    def _layer_lines(self) -> str:
        lines = []
        for name in self.contenders:
            sizes = "; ".join(f"{layer.tar / _MB:.1f} ({layer.compressed / _MB:.1f})" for layer in self.layers[name])
            lines.append(f"- Layers of {name}, lowest first, in MB as tar (compressed): {sizes}")
        return "\n".join(lines)


def machine(client: docker.DockerClient) -> dict[str, Any]:
    """What a reader needs to know of this machine."""
    server = client.version()
    return {
        "cores": os.cpu_count(),
        "load before": round(os.getloadavg()[0], 2),
        "Linux": platform.release(),
        "Docker Engine": server["Version"],
        "storage": client.info()["Driver"],
        "Python": platform.python_version(),
        "modelimg": modelimg.__version__,
    }


def today() -> str:
    """Now, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def replace_figures(page: Path, figures: str) -> None:
    """Put new figures between the two marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the marks between which figures go")
    page.write_text(f"{head}{BEGIN}\n\n{figures}\n{END}{tail}", encoding="utf-8")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(samples: Samples | None, unit: str) -> str:
    if samples is None:
        return "–"
    digits = 2 if unit == "s" else 1
    text = f"{samples.median:.{digits}f} {unit}"
    if len(samples.values) > 1:
        low, high = samples.spread
        text += f" ({low:.{digits}f}–{high:.{digits}f}, n={len(samples.values)})"
    return text


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"**{value:.2f}**"
