"""The monitor of one container: memory that its processes share, and what is made of the counts in it."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelimg_runtime.monitor.baseline import Baseline, NoBaseline
from modelimg_runtime.monitor.document import Document, Replica
from modelimg_runtime.monitor.layout import Layout
from modelimg_runtime.monitor.live import Live
from modelimg_runtime.monitor.memory import Memory, Reading, Vector
from modelimg_runtime.monitor.recent import Recent
from modelimg_runtime.monitor.report import MonitorReport, report
from modelimg_runtime.monitor.span import Span
from modelimg_runtime.monitor.state import State
from modelimg_runtime.package import Package

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much is kept.

    Attributes:
        window_seconds: length of a window.
        windows: in the ring of each process.
        recent_rows: predictions of all processes together whose labels may still come; 0 keeps none.
        recent_seconds: for which a prediction is kept.
    """

    window_seconds: int = 3600
    windows: int = 24
    recent_rows: int = 100_000
    recent_seconds: int = 7 * 86_400


class Monitor:
    """See the module. Make it before forking; each process then asks for its own `live`.

    Args:
        baseline: of the model.
        limits: of memory.
        processes: that serve.
        restored: what was counted in an earlier life, of the same identity.
        clock: seconds since 1970.
        state: where the counts are written; None where they are not.

    Attributes:
        baseline: as given.
        limits: as given.
    """

    def __init__(
        self,
        baseline: Baseline,
        limits: Limits | None = None,
        processes: int = 1,
        restored: Document | None = None,
        clock: Callable[[], float] = time.time,
        state: State | None = None,
    ) -> None:
        self._state = state
        self.baseline, self.limits, self._clock = baseline, limits or Limits(), clock
        self._layout = Layout(baseline)
        shape = self._layout.shape(self.limits.windows)
        earlier = None if restored is None else self._earlier(restored)
        self._id = restored.replicas[0].id if restored and restored.replicas else uuid.uuid4().hex
        self._memory = Memory(processes, shape, earlier)
        scheme, rows = self._layout.scheme, self.limits.recent_rows // processes
        self._lives: list[Live] = []
        self._recent = None
        if scheme is not None and rows:
            self._recent = Recent(processes, rows, scheme.width, self.limits.recent_seconds)

    @property
    def bytes(self) -> int:
        """Of memory at most, in all processes together; what was never counted in costs nothing."""
        return self._memory.bytes + (self._recent.bytes if self._recent else 0)

    def live(self, number: int = 0) -> Live:
        """What one process counts with. Call it in that process, once; its successor gets the same number."""
        live = Live(
            self.baseline,
            self._layout,
            self._memory.slot(number),
            self.limits.window_seconds,
            self._recent,
            number,
            self._clock,
        )
        self._lives.append(live)
        return live

    def document(self) -> Document:
        """What all processes have counted until now, with the last windows, of which the ring has so many.

        What this process answered is all there; what others did, `live.SOON_SECONDS` later.
        """
        for live in self._lives:
            live.flush()
        now, reading = round(self._clock(), 3), self._memory.read()
        layout, seconds = self._layout, self.limits.window_seconds
        oldest = int(now // seconds) - self.limits.windows
        windows = {n * seconds: layout.counts(vector) for n, vector in reading.windows.items() if n > oldest}
        replica = Replica(self._id, layout.counts(reading.total), windows)
        return Document(self.baseline.identity, seconds, now, (replica,))

    def report(self, span: Span | None = None) -> MonitorReport:
        """The same, compared with the packed profiles."""
        return report(self.document(), self.baseline, span)

    def save(self) -> None:
        """Write the counts where they are to survive a restart; the log says where that fails."""
        if self._state is not None:
            self._state.write(self.document())

    def families(self) -> Iterator[Metric]:
        """Metric families for Prometheus; drift is of all windows in the ring."""
        from modelimg_runtime.monitor.metrics import families

        document, length = self.document(), self.limits.window_seconds * (self.limits.windows - 1)
        recent = report(document, self.baseline, Span("ring", last=max(1, length)))
        yield from families(self.baseline, document.counts(), recent)

    def _earlier(self, document: Document) -> Reading:
        """The counts of an earlier life; windows of another length are past.

        Raises:
            ValueError: they are of another model or of other profiles.
        """
        if document.identity != self.baseline.identity:
            raise ValueError("the counts are of another model or of other profiles")
        layout, seconds = self._layout, self.limits.window_seconds
        same = document.window_seconds == seconds
        vectors = {start // seconds: layout.vector(counts) for start, counts in document.windows.items() if same}
        total = layout.vector(document.counts())
        held = sum(vectors.values(), start=Vector.zeros(layout.shape(1)))
        return Reading(total - held, vectors)


def open_monitor(package: Package, limits: Limits, processes: int, state_dir: Path | None) -> Monitor | None:
    """The monitor of a package that is about to be served, with what was counted before.

    Args:
        package: verified.
        limits: of memory.
        processes: that will serve.
        state_dir: where the counts survive a restart; None where they do not.

    Returns:
        None where the package has no profiles.

    Raises:
        SettingRefused: the directory cannot be written to.
    """
    try:
        baseline = Baseline.of(package)
    except NoBaseline as error:
        log.info("nothing is monitored: %s", error)
        return None
    state = None if state_dir is None else State(state_dir, baseline.identity)
    if state is None:
        return Monitor(baseline, limits, processes)
    try:
        return Monitor(baseline, limits, processes, state.read(), state=state)
    except ValueError as error:
        log.warning("the counters in %s cannot be gone on with and are set aside: %s", state.path, error)
        state.set_aside()
        return Monitor(baseline, limits, processes, state=state)
