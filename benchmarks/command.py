"""What the commands of this package share: their options' words, one run at a time, and where results go."""

from __future__ import annotations

import argparse
import fcntl
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import Report, replace_figures


@contextmanager
def alone() -> Iterator[None]:
    """Refuse to run beside another run: the two would share the names of images and the processor.

    Raises:
        RuntimeError: there is one.
    """
    with Path(tempfile.gettempdir(), "modelimg-bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError("another run of the benchmarks has not ended") from None
        yield


def some_of(known: Sequence[str]) -> Callable[[str], frozenset[str]]:
    """Parser of a comma-separated option."""

    def parse(text: str) -> frozenset[str]:
        named = frozenset(text.split(","))
        if unknown := sorted(named - set(known)):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
        return named

    return parse


def publish(report: Report, results: Path, page: Path | None, program: str) -> None:
    """Write the values as JSON, put the tables on a page of the documentation, and print them.

    Args:
        report: of the run.
        results: JSON file to write.
        page: whose figures are replaced.
        program: the command without its options, as the page's marks name it.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(report.to_json(), encoding="utf-8")
    if page:
        replace_figures(page, report.to_markdown(), program)
    print(report.to_markdown())
