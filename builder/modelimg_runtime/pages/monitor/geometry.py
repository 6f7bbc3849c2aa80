"""Where things stand in a chart: bars whose heights are shares, and scales with round ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle; y grows downwards, as in SVG.

    Attributes:
        x: of its left side.
        y: of its upper side.
        width: from 0.
        height: from 0.
    """

    x: float
    y: float
    width: float
    height: float

    @property
    def path(self) -> str:
        """Its outline, for SVG's ``d``; nothing where it has no height."""
        if not self.height:
            return ""
        return f"M{short(self.x)} {short(self.y)}h{short(self.width)}v{short(self.height)}h{short(-self.width)}z"


def bars(shares: Sequence[float], slots: Sequence[Box], top: float, fill: float) -> list[Box]:
    """A bar in each slot, standing on its lower side.

    Args:
        shares: from 0 to ``top``.
        slots: where they may stand.
        top: the share that is as high as a slot.
        fill: how much of a slot's width is taken, in its middle.
    """
    found = []
    for share, slot in zip(shares, slots, strict=True):
        height = slot.height * min(1.0, max(0.0, share / top)) if top > 0 else 0.0
        width = slot.width * fill
        found.append(Box(slot.x + (slot.width - width) / 2, slot.y + slot.height - height, width, height))
    return found


def slots(area: Box, number: int) -> list[Box]:
    """An area cut into columns of one width."""
    width = area.width / max(1, number)
    return [Box(area.x + i * width, area.y, width, area.height) for i in range(number)]


def round_top(share: float) -> float:
    """The least of 5 %, 10 %, 20 %, 40 %, 60 %, 80 %, 100 % that is not below a share."""
    return next((top for top in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8) if share <= top), 1.0)


def spread(low: float, high: float, most: float = math.inf, margin: float = 0.08) -> tuple[float, float]:
    """A scale that has some room beyond both ends, but not beyond what there can be, and is never of no width."""
    width = high - low
    if not (math.isfinite(width) and width > abs(low) * 1e-9):
        width = abs(low) * 0.1 or 1.0
    return low - margin * width, max(high, min(most, high + margin * width))


def at(value: float, scale: tuple[float, float], area: Box) -> float:
    """Where a value stands between the left and the right side of an area."""
    low, high = scale
    return area.x + area.width * min(1.0, max(0.0, (value - low) / (high - low)))


def short(value: float) -> str:
    """A coordinate to a tenth."""
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 1e5 else f"{value:.0f}"
