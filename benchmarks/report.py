"""Measured rows → Markdown tables for people, JSON for later comparison."""

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
from benchmarks.measure import Row, Section
from benchmarks.targets import OURS, Target, targets

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
        sections: what was measured.
        layers: of each contender's image, lowest first.
    """

    date: str
    command: str
    machine: Mapping[str, Any]
    sections: Sequence[Section]
    layers: Mapping[str, Sequence[LayerSize]]

    @property
    def targets(self) -> list[Target]:
        """What the run is held against."""
        return targets({row.key: row for section in self.sections for row in section.rows})

    def to_json(self) -> str:
        """Every value of every row."""
        held = [{**asdict(target), "met": target.met} for target in self.targets]
        return json.dumps({**asdict(self), "targets": held}, indent=2, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        """A table for each section, what it ran on, and the notes that its rows carry."""
        facts = ", ".join(f"{key} {value}" for key, value in self.machine.items())
        parts = [f"{self.date[:10]}, `{self.command}`: {facts}."]
        if self.targets:
            parts.append(_target_table(self.targets))
        parts += [_table(section) for section in self.sections]
        if self.layers:
            parts.append(self._layer_lines())
        return "\n\n".join(parts) + "\n"

    def _layer_lines(self) -> str:
        lines = ["### Layers, lowest first, in MB as tar (after `gzip -6`)", ""]
        for name, layers in self.layers.items():
            sizes = "; ".join(f"{layer.tar / _MB:.1f} ({layer.compressed / _MB:.1f})" for layer in layers)
            lines.append(f"- {name}: {sizes}")
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


def _target_table(held: Sequence[Target]) -> str:
    lines = ["### Targets", "", _line(["", "target", "measured", ""]), _line(["---", "--:", "--:", "---"])]
    for target in held:
        unit = f" {target.unit}" if target.unit else ""
        limit = f"{'≥' if target.least else '≤'} {target.limit:g}{unit}"
        lines.append(
            _line([target.label, limit, f"{target.measured:.2f}{unit}", "met" if target.met else "**missed**"])
        )
    return "\n".join(lines)


def _table(section: Section) -> str:
    """A line for each contender, a column for each row of the section."""
    names = list(dict.fromkeys(name for row in section.rows for name in row.samples))
    notes = list(dict.fromkeys(row.note for row in section.rows if row.note))
    header = [_heading(row, notes) for row in section.rows]
    lines = [f"### {section.title}", "", _line(["", *header]), _line(["---", *(["--:"] * len(header))])]
    lines += [_line([name, *(_cell(row, name) for row in section.rows)]) for name in names]
    lines += [""] * bool(notes) + [f"[{number}] {note}  " for number, note in enumerate(notes, 1)]
    return "\n".join(lines)


def _heading(row: Row, notes: Sequence[str]) -> str:
    unit = f", {row.unit}" if row.unit else ""
    return f"{row.label}{unit}" + (f" [{notes.index(row.note) + 1}]" if row.note else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: Row, name: str) -> str:
    """The median, its spread, and in bold how many times ours it is."""
    samples = row.samples.get(name)
    if samples is None:
        return "–"
    digits = {"s": 2, "MB": 1}.get(row.unit, 0)
    text = f"{samples.median:.{digits}f}"
    if len(samples.values) > 1:
        low, high = samples.spread
        text += f" ({low:.{digits}f}–{high:.{digits}f})"
    ratio = row.ratio(name, OURS) if name != OURS else None
    return text if ratio is None else f"{text} **×{ratio:.2f}**"
