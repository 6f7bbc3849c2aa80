"""``score IN OUT``: flags, signals, exit codes, and the summary on standard output."""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import signal
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import BinaryIO, NoReturn

from modelimg_runtime.environment import Settings
from modelimg_runtime.errors import ScoreFault
from modelimg_runtime.score.files import CSV, FORMATS, JSON_LINES, STANDARD, format_of
from modelimg_runtime.score.run import Job, Summary, run

_DONE, _FAILED, _REFUSED = 0, 1, 3
_MOST_ROWS = 1_000_000
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def score(arguments: Sequence[str], settings: Settings) -> int:
    """Score a file; the exit code.

    Args:
        arguments: of the command line, after the command's own name.
        settings: which package.

    Raises:
        SystemExit: a usage error (2), or a signal (128 and its number).
        StartRefused: the package may not be used.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with _stopping(), _own_output() as out:
        try:
            job = _job(options)
            job.check()
            summary = _run(job, settings, out)
            _report(job, summary, out)
        except ScoreFault as fault:
            return _say(str(fault), fault.exit_code)
        except (OSError, EOFError, zlib.error) as error:
            name = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            return _say(f"{getattr(error, 'strerror', None) or error}{name}", _FAILED)
    return _exit_code(summary, fail_on_rejects=options.fail_on_rejects)


def _run(job: Job, settings: Settings, out: BinaryIO) -> Summary:
    # The model takes the longest to load, so what cannot be meant was refused before.
    from modelimg_runtime.service import open_checked

    model = open_checked(settings.model_dir, fast_path=settings.fast_path)
    gc.freeze()  # the model stays; collections need not look at it again
    return run(job, model, out, sys.stderr.buffer)


def _report(job: Job, summary: Summary, out: BinaryIO) -> None:
    """The summary, on standard error where the predictions are on standard output."""
    rejects = str(job.rejects) if summary.rejected and job.rejects != STANDARD else None
    report = {"output": str(job.target), "rejects": rejects, **asdict(summary)}
    stream = out if job.target != STANDARD else sys.stderr.buffer
    stream.write(json.dumps(report, ensure_ascii=False).encode() + b"\n")
    stream.flush()


def _exit_code(summary: Summary, *, fail_on_rejects: bool) -> int:
    nothing = summary.rows > 0 and summary.predicted == 0
    return _REFUSED if nothing or (fail_on_rejects and summary.rejected) else _DONE


def _say(sentence: str, code: int) -> int:
    sys.stderr.write(f"modelimg: {sentence}\n")
    return code


def _job(options: argparse.Namespace) -> Job:
    """The job that the flags describe.

    Raises:
        ScoreFault: a file's format is not known.
    """
    source = format_of(options.source, options.input_format)
    given = options.output_format or (source.name if source.name in (CSV, JSON_LINES) else None)
    target = format_of(options.target, given if options.target == STANDARD else options.output_format)
    if source.columnar or target.columnar:
        from modelimg_runtime.score.arrow import require_pyarrow

        require_pyarrow()
    return Job(
        source=options.source,
        source_format=source,
        target=options.target,
        target_format=target,
        rejects=options.rejects or _rejects_beside(options.target),
        batch_rows=options.batch_rows,
        probabilities=options.probabilities,
        row=options.row,
        keep=tuple(dict.fromkeys(options.keep)),
        keep_all=options.keep_all,
        ignore_extra=options.ignore_extra,
        replace=options.force,
        progress=options.progress,
    )


def _rejects_beside(target: Path) -> Path:
    if target == STANDARD:
        return STANDARD
    stem = Path(target.stem).stem if target.suffix == ".gz" else target.stem
    return target.with_name(f"{stem}.rejects.jsonl")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "score",
        description="Predict every row of a file. Rows that break the contract go to another file, with the reasons.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 the contract says no to the table, or to every row.",
    )
    parser.add_argument(
        "source", metavar="IN", type=Path, help="CSV, JSON lines, Parquet or Arrow; - for standard input"
    )
    parser.add_argument("target", metavar="OUT", type=Path, help="the same; - for standard output")
    parser.add_argument(
        "--rejects", metavar="FILE", type=Path, help="rejected rows as JSON lines; - for standard error"
    )
    parser.add_argument("--keep", metavar="COLUMN", action="append", default=[], help="copy a column of IN to OUT")
    parser.add_argument("--keep-all", action="store_true", help="copy all columns of IN to OUT")
    parser.add_argument("--ignore-extra", action="store_true", help="leave out columns that are not the model's")
    parser.add_argument(
        "--probabilities", action=argparse.BooleanOptionalAction, help="by default where the model gives any"
    )
    parser.add_argument(
        "--row", action=argparse.BooleanOptionalAction, default=True, help="number of the row in IN, from 0"
    )
    parser.add_argument("--fail-on-rejects", action="store_true", help="exit with 3 when a row was rejected")
    parser.add_argument("--force", action="store_true", help="write over older files")
    parser.add_argument("--batch-rows", metavar="N", type=_count, help="rows that are predicted together")
    parser.add_argument("--progress", choices=("auto", "on", "off"), default="auto", help="on: a bar, terminal or not")
    parser.add_argument("--input-format", choices=FORMATS, help="of IN, whatever its ending")
    parser.add_argument("--output-format", choices=FORMATS, help="of OUT, whatever its ending")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= _MOST_ROWS):
        raise argparse.ArgumentTypeError(f"{text} is no whole number from 1 to {_MOST_ROWS}")
    return int(text)


@contextmanager
def _own_output() -> Iterator[BinaryIO]:
    """Standard output for what is meant to go there; whatever the model's code prints goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    out = os.fdopen(os.dup(kept), "wb")
    try:
        yield out
    finally:
        with suppress(OSError):  # what could not be written was said already
            out.close()
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _stopping() -> Iterator[None]:
    """End in good order at a signal: as process 1 of a container, SIGTERM would be ignored."""
    before = {each: signal.signal(each, _stop) for each in _STOPS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End, and clean up; a second signal must not come between."""
    for each in _STOPS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)
