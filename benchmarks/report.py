"""Measured rows → Markdown tables for people, JSON for later comparison."""

from __future__ import annotations

import json
import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import modelimg
from benchmarks.measure import OURS, Row, Section, Target

BEGIN = "<!-- figures: written by `{program} --docs` -->"
END = "<!-- end of figures -->"
_DIGITS = {"s": 2, "ms": 3, "µs": 2, "MB": 1, "kB": 1, "%": 1}


@dataclass(frozen=True)
class Report(ABC):
    """A whole run.

    Attributes:
        date: of the run, ISO 8601, UTC.
        command: that was run.
        machine: what it ran on.
        sections: what was measured.
    """

    date: str
    command: str
    machine: Mapping[str, Any]
    sections: Sequence[Section]

    @property
    def rows(self) -> dict[str, Row]:
        """All that was measured, by key."""
        return {row.key: row for section in self.sections for row in section.rows}

    @property
    @abstractmethod
    def targets(self) -> list[Target]:
        """What the run is held against."""

    @property
    @abstractmethod
    def remarks(self) -> list[str]:
        """Paragraphs that follow the tables."""

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
        return "\n\n".join([*parts, *self.remarks]) + "\n"


def machine(**engine: str) -> dict[str, Any]:
    """What a reader needs to know of this machine, and of the engine that was used on it."""
    return {
        "cores": os.cpu_count(),
        "load before": round(os.getloadavg()[0], 2),
        "Linux": platform.release(),
        **engine,
        "Python": platform.python_version(),
        "modelimg": modelimg.__version__,
    }


def today() -> str:
    """Now, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def replace_figures(page: Path, figures: str, program: str) -> None:
    """Put new figures between the two marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN.format(program=program))
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the marks between which figures go")
    page.write_text(f"{head}{begin}\n\n{figures}\n{END}{tail}", encoding="utf-8")


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
    digits = _DIGITS.get(row.unit, 0)
    text = f"{samples.median:.{digits}f}"
    if len(samples.values) > 1:
        low, high = samples.spread
        text += f" ({low:.{digits}f}–{high:.{digits}f})"
    ratio = row.ratio(name, OURS) if name != OURS else None
    return text if ratio is None else f"{text} **×{ratio:.2f}**"
