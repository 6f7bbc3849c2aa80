"""Live monitoring: what is served is counted in the bins of the packed profiles, and compared with them.

`monitor` has the whole: memory that all processes share (`memory`), each counting its rows there (`live`), the
document that is made of it (`document`), and what is to be said of that (`report`). docs/reference/monitoring.md has
the formats.
"""

from modelimg_runtime.monitor.baseline import Baseline, NoBaseline
from modelimg_runtime.monitor.document import Document, add
from modelimg_runtime.monitor.live import Live
from modelimg_runtime.monitor.monitor import Limits, Monitor, open_monitor
from modelimg_runtime.monitor.report import MonitorReport, report
from modelimg_runtime.monitor.span import Span, span_of

__all__ = [
    "Baseline",
    "Document",
    "Limits",
    "Live",
    "Monitor",
    "MonitorReport",
    "NoBaseline",
    "Span",
    "add",
    "open_monitor",
    "report",
    "span_of",
]
