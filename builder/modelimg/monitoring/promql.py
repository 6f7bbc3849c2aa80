"""Queries of what a served model exposes, in PromQL. docs/reference/monitoring.md has the families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MISSING: Final = "<missing>"
PROBES: Final = r"/livez|/readyz|/ping|/metrics|/monitor.*|/v2/health/.*"
"""Routes of machines that look after the server; they say nothing of how callers fare."""
_NUMBERS: Final = r"[\\[(][-+.0-9e]+, ([-+.0-9e]+)\\]"
"""Bins of numbers, as ``NumberBins.labels`` has them, in a PromQL string; the group is the upper edge."""
_PLACES: Final = (("<under>", "-1e300"), ("<over>", "1e300"), ("<other>", "1"), ("<unseen>", "2"), (MISSING, "1e302"))


def quoted(text: str) -> str:
    r"""A string in double quotes, as PromQL and YAML read it: ``\\``, ``\"``, and ``\u`` for what is not printed."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def series(metric: str, *matchers: str) -> str:
    """A selector: ``metric{matcher,matcher}``; empty matchers are left out."""
    return f"{metric}{{{','.join(filter(None, matchers))}}}"


def equals(label: str, value: str) -> str:
    """A matcher of one value, whatever is in it."""
    return f"{label}={quoted(value)}"


@dataclass(frozen=True)
class Histogram:
    """Counters by bin, and the shares of the packed data in the same bins.

    Attributes:
        counter: metric of the live counts.
        baseline: metric of the packed shares.
        by: labels that tell one histogram from another.
        rows: that the packed shares are of.
    """

    counter: str
    baseline: str
    by: tuple[str, ...]
    rows: int

    @property
    def labels(self) -> str:
        """For ``by (…)`` of a histogram."""
        return ", ".join(self.by)

    @property
    def bins(self) -> str:
        """For ``by (…)`` of a histogram's bin."""
        return ", ".join((*self.by, "bin"))

    def increase(self, window: str, *matchers: str) -> str:
        """Rows by bin over a window, of all replicas together; those without a value are left out."""
        found = series(self.counter, *matchers, f'bin!="{MISSING}"')
        return f"sum by ({self.bins}) (increase({found}[{window}]))"

    def packed(self, *matchers: str) -> str:
        """Packed rows by bin, without those that have no value. Replicas all say the same."""
        found = series(self.baseline, *matchers, f'bin!="{MISSING}"')
        return f"{self.rows} * max by ({self.bins}) ({found})"

    def total(self, counts: str) -> str:
        """Rows of a histogram."""
        return f"sum by ({self.labels}) ({counts})"

    def smoothed(self, counts: str, packed: str) -> str:
        """Shares after half a row was added to each bin, so that none is 0: ``drift.statistics.smoothed``."""
        return (
            f"({counts} + 0.5)\n  / on ({self.labels}) group_left ()\n"
            f"({self.total(counts)} + 0.5 * count by ({self.labels}) ({packed}))"
        )

    def psi(self, live: str, packed: str) -> str:
        """The population stability index of smoothed shares: ``drift.statistics.psi``."""
        return f"sum by ({self.labels}) (({live} - {packed}) * ln({live} / {packed}))"

    def psi_threshold(self, counts: str, packed: str, *, least: float, z: float) -> str:
        """What chance explains of the index, χ²_{B−1} (1/n + 1/N), or else what is too little to matter.

        The quantile of χ² is Wilson and Hilferty's ("The distribution of chi-square", 1931), which PromQL can compute:
        k (1 − 2/9k + z √(2/9k))³.

        Args:
            counts: live rows by bin.
            packed: packed rows by bin.
            least: the index that matters, however many rows there are.
            z: of the standard normal distribution, for the chance of a false alarm.
        """
        k = f"(count by ({self.labels}) ({packed}) - 1)"
        return (
            f"clamp_min(\n  {k} * (1 - 2 / (9 * {k}) + {z!r} * sqrt(2 / (9 * {k}))) ^ 3\n"
            f"  * (1 / {self.total(counts)} + 1 / {self.total(packed)}),\n  {least!r}\n)"
        )

    def index(self, window: str, *matchers: str) -> str:
        """The index over any window, in one query."""
        counts, packed = self.increase(window, *matchers), f"({self.packed(*matchers)})"
        live = f"({self.smoothed(counts, packed)})"
        return self.psi(live, f"({self.smoothed(packed, packed)})")

    def share(self, window: str, *matchers: str) -> str:
        """Share of each bin over a window, rows without a value included."""
        counts = series(self.counter, *matchers)
        return f"sum by (bin) (increase({counts}[{window}]))\n  / scalar(sum(increase({counts}[{window}])) > 0)"

    def baseline_share(self, *matchers: str) -> str:
        """The packed share of each bin."""
        return f"max by (bin) ({series(self.baseline, *matchers)})"

    def place(self, *matchers: str) -> str:
        """A number for each bin, in whose order the bins are read: PromQL knows no other than the alphabet's.

        Bins of numbers have their upper edge, for only ``histogram_quantile`` makes a number of a label; categories
        their packed share, the largest first.
        """

        def of(matcher: str) -> str:
            return f"max by (bin) ({series(self.baseline, *matchers, matcher)})"

        numbers = of(f'bin=~"{_NUMBERS}"') + " * 0 + 1"
        edges = (
            f'histogram_quantile(1,\n  label_replace({numbers}, "le", "$1", "bin", "{_NUMBERS}")\n'
            f'  or label_replace({numbers}, "le", "+Inf", "bin", ".*")\n)'
        )
        special = [f"{of(equals('bin', name))} * 0 + {place}" for name, place in _PLACES]
        names = "|".join(name for name, _ in _PLACES)
        return "\nor ".join([edges, *special, f"-{of(f'bin!~{quoted(names)}')}"])


def features(rows: int) -> Histogram:
    """Of the input's columns."""
    return Histogram("modelimg_feature_values_total", "modelimg_baseline_ratio", ("job", "feature"), rows)


def predictions(rows: int, outputs: int) -> Histogram:
    """Of the answers; where there are several outputs, each has its label."""
    by = ("job",) if outputs == 1 else ("job", "output")
    return Histogram("modelimg_predictions_total", "modelimg_prediction_baseline_ratio", by, rows)
