"""What a histogram shows: the places of a column's counts, each with its share on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelimg_runtime.pages.monitor.words import edge, shown
from modelimg_runtime.profile.bins import CategoryBins, NumberBins
from modelimg_runtime.profile.column import ColumnProfile

UNDER, OVER, MISSING, OTHER, UNSEEN = "below", "above", "missing", "other", "unseen"


@dataclass(frozen=True)
class Place:
    """One place of the counts.

    Attributes:
        label: what it holds, safe to be shown as text.
        was: share of the reference's rows.
        now: share of the live rows.
        rows: live ones.
        special: ``below``, ``above``, ``missing``, ``other`` or ``unseen``; empty for a bin or a category.
    """

    label: str
    was: float
    now: float
    rows: int
    special: str = ""

    @property
    def change(self) -> float:
        """Of the share, upwards positive."""
        return self.now - self.was


def places_of(profile: ColumnProfile, live: Sequence[int]) -> tuple[Place, ...]:
    """The places of a column, in the order of its counts.

    Args:
        profile: of the column.
        live: counts in its bins.
    """
    labels = _labels(profile)
    was, now = shares(profile.counts), shares(live)
    return tuple(
        Place(label, p, q, rows, special) for (label, special), p, q, rows in zip(labels, was, now, live, strict=True)
    )


def shares(counts: Sequence[int]) -> list[float]:
    """Counts over their sum; of nothing, nothing."""
    total = sum(counts)
    return [each / total if total else 0.0 for each in counts]


def largest(places: Sequence[Place]) -> Place:
    """Where the shares differ most."""
    return max(places, key=lambda place: abs(place.change))


def _labels(profile: ColumnProfile) -> list[tuple[str, str]]:
    bins = profile.bins
    if isinstance(bins, CategoryBins):
        return [(shown(name), "") for name in bins.categories] + [(each, each) for each in (OTHER, UNSEEN, MISSING)]
    written = [edge(profile.kind, each) for each in bins.edges]
    inner = [(low if low == high else f"{low} to {high}", "") for low, high in pairwise(written)]
    return [(f"below {written[0]}", UNDER), *inner, (f"above {written[-1]}", OVER), (MISSING, MISSING)]


def is_ordered(profile: ColumnProfile) -> bool:
    """Whether the places are neighbours on a line."""
    return isinstance(profile.bins, NumberBins)
