"""The story of a scoring run: source → chunks → predictions and rejects → files that appear whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from modelimg_runtime.columns import ABSENT
from modelimg_runtime.errors import ScoreFault
from modelimg_runtime.score.aside import Aside, refuse_existing
from modelimg_runtime.score.chunks import Chunk, Reject
from modelimg_runtime.score.files import STANDARD, FileFormat, Input, Output
from modelimg_runtime.score.layout import ROW, Layout, make_layout
from modelimg_runtime.score.progress import Progress
from modelimg_runtime.score.selection import Features, Selection
from modelimg_runtime.score.split import Scored, score_rows
from modelimg_runtime.score.texts import json_line

if TYPE_CHECKING:
    from modelimg_runtime.served import ServedModel

LANE_ROWS, OTHER_ROWS = 1_000, 10_000
"""Rows of a batch: the fast lane is fastest with a thousand, pandera and scikit-learn with ten thousand (measured)."""


@dataclass(frozen=True)
class Job:
    """What is to be scored, and how.

    Attributes:
        source: file of rows, or ``STANDARD``.
        source_format: what it is.
        target: file of predictions, or ``STANDARD``.
        target_format: what it is to be.
        rejects: file of rejected rows, or ``STANDARD`` for standard error.
        batch_rows: rows that are predicted together; None for what is fastest.
        probabilities: whether they are wanted; None where they are if the model gives them.
        row: whether the output has the rows' numbers.
        keep: columns of the input that go along to the output.
        keep_all: all of them do.
        ignore_extra: columns that are nobody's are left out.
        replace: older files may be written over.
        progress: ``auto``, ``on`` or ``off``.
    """

    source: Path
    source_format: FileFormat
    target: Path
    target_format: FileFormat
    rejects: Path
    batch_rows: int | None = None
    probabilities: bool | None = None
    row: bool = True
    keep: tuple[str, ...] = ()
    keep_all: bool = False
    ignore_extra: bool = False
    replace: bool = False
    progress: str = "auto"

    def check(self) -> None:
        """Refuse what cannot be meant before anything is loaded.

        Raises:
            ScoreFault: a file is not there, is there already, or stands for two things.
        """
        if self.source != STANDARD and not self.source.exists():
            raise ScoreFault(f"{self.source} does not exist", exit_code=2)
        if self.source.is_dir():
            raise ScoreFault(f"{self.source} is a folder; score its files one by one", exit_code=2)
        for path in (self.target, self.rejects):
            if path == STANDARD:
                continue
            if not path.parent.is_dir():
                raise ScoreFault(f"the folder {path.parent} does not exist", exit_code=2)
            if path.exists() and self.source != STANDARD and path.samefile(self.source):
                raise ScoreFault(f"{path} is the input", exit_code=2)
            refuse_existing(path, replace=self.replace)
        if self.target == self.rejects != STANDARD:
            raise ScoreFault("predictions and rejects cannot go into one file", exit_code=2)


@dataclass(frozen=True)
class Summary:
    """What became of a file.

    Attributes:
        rows: of the input.
        predicted: rows of the output.
        rejected: rows in the file of rejects.
        seconds: that it took, without loading the model.
    """

    rows: int
    predicted: int
    rejected: int
    seconds: float


def run(job: Job, model: ServedModel, out: BinaryIO, err: BinaryIO) -> Summary:
    """Score a file.

    Args:
        job: what is to be done; checked.
        model: between its contracts.
        out: standard output, for predictions without a file.
        err: standard error, for rejects without a file.

    Raises:
        ScoreFault: the file cannot be scored.
        StartRefused: the model may not be loaded after all.
        OSError: a file cannot be read or written.
    """
    with ExitStack() as open_files:
        # What comes in, and which columns of it.
        source_file = Input(job.source, job.source_format)
        open_files.callback(source_file.close)
        selection = Selection(Features(model), job.keep, job.keep_all, job.ignore_extra)
        source = source_file.open(selection, job.batch_rows or (LANE_ROWS if model.lane else OTHER_ROWS))
        layout = _layout(job, model, source.kept)

        # What goes out.
        targets = [_opened(open_files, path) for path in (job.rejects, job.target)]
        rejects = targets[0].stream if targets[0] else err
        stream = targets[1].stream if targets[1] else out
        output = Output(stream, job.target_format, layout, getattr(source, "types", {}))

        # Batch by batch.
        progress = Progress(job.progress, lines=rejects is not err)
        open_files.callback(progress.finish)
        predicted = 0
        for chunk in source.chunks():
            scored = _scored(model, chunk)
            if scored.positions:
                output.write(_columns(layout, chunk, scored), chunk.typed, scored.positions)
            rejects.writelines(json_line(each.as_json()) for each in _rejected(chunk, scored))
            predicted += len(scored.positions)
            rows = progress.rows + len(chunk.numbers) + len(chunk.malformed)
            progress.advance(rows - progress.rows, source_file.fraction(rows))

        # All of it, at once.
        output.finish()
        summary = Summary(progress.rows, predicted, progress.rows - predicted, round(progress.seconds, 3))
        _publish(job, *targets, keep_rejects=summary.rejected > 0)
        return summary


def _layout(job: Job, model: ServedModel, kept: tuple[str, ...]) -> Layout:
    classes = model.package.manifest.classes
    layout = make_layout(model.examples, classes, probabilities=job.probabilities, row=job.row, kept=kept)
    layout.refuse_clash()
    return layout


def _opened(files: ExitStack, path: Path) -> Aside | None:
    return None if path == STANDARD else files.enter_context(Aside(path))


def _scored(model: ServedModel, chunk: Chunk) -> Scored:
    columns = {name: chunk.columns[name] for name in chunk.own}
    return score_rows(model, columns, len(chunk.numbers), text=chunk.text)


def _columns(layout: Layout, chunk: Chunk, scored: Scored) -> Mapping[str, Any]:
    """The output's columns, of the rows that were predicted."""
    places = scored.positions
    columns: dict[str, Any] = {ROW: [chunk.numbers[at] for at in places]} if layout.row else {}
    for name in layout.kept:
        values = chunk.columns[name]
        columns[name] = [None if values[at] is ABSENT else values[at] for at in places]
    return columns | layout.answers(scored.predictions, scored.probabilities)


def _rejected(chunk: Chunk, scored: Scored) -> list[Reject]:
    found = [chunk.reject(position, fault) for position, fault in scored.faults.items()]
    return sorted((*chunk.malformed, *found), key=lambda each: each.row)


def _publish(job: Job, rejects: Aside | None, target: Aside | None, *, keep_rejects: bool) -> None:
    """Give the files their names: the predictions last, so that where they are, all is."""
    for each in (rejects, target):
        if each:
            each.settle()
    with _undisturbed():
        if rejects and keep_rejects:
            rejects.publish(replace=job.replace)
        elif rejects and job.replace:
            rejects.path.unlink(missing_ok=True)
        if target:
            target.publish(replace=job.replace)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no signal come between two renames."""
    stops = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
