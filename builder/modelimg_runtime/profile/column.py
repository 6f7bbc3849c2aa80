"""The profile of one column, as it is packed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from modelimg_runtime.profile.binner import Binner
from modelimg_runtime.profile.bins import Bins, bins_from_dict
from modelimg_runtime.profile.values import NUMERIC, TEXT

QUANTILES: Final = 20
"""Quantiles are given at i / 20, from 0 to 1."""


@dataclass(frozen=True)
class ColumnProfile:
    """See the module. Of text, all that is numeric speaks of its length.

    Attributes:
        name: of the column.
        kind: of its values, as `values` has them.
        bins: what the counts count.
        counts: values by place. Length ``bins.size``.
        nan: missing values that are a float's NaN.
        infinities: how many are −∞, and how many +∞; they are counted below and above the edges.
        mean: of the finite values; None where there are none.
        std: sample standard deviation of the finite values; None of fewer than two.
        quantiles: of the finite values at 0, 1/20, …, 1; None where one is withheld, empty where there can be none.
        distinct: how many different values there are, estimated beyond 65,536.
    """

    name: str
    kind: str
    bins: Bins
    counts: tuple[int, ...]
    nan: int = 0
    infinities: tuple[int, int] = (0, 0)
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float | None, ...] = ()
    distinct: int | None = None

    def __post_init__(self) -> None:
        if len(self.counts) != self.bins.size or min(self.counts) < 0:
            raise ValueError(f"column {self.name!r} has not one count from 0 for each of its {self.bins.size} places")
        if self.quantiles and len(self.quantiles) != QUANTILES + 1:
            raise ValueError(f"column {self.name!r} has {len(self.quantiles)} quantiles, not {QUANTILES + 1}")

    @property
    def n(self) -> int:
        """Values, missing ones included."""
        return sum(self.counts)

    @property
    def missing(self) -> int:
        """Values that are not there."""
        return self.counts[-1]

    def binner(self) -> Binner:
        """The compiled bins."""
        return self.bins.binner(self.kind)

    def merge(self, other: ColumnProfile) -> ColumnProfile:
        """Of two parts that were counted in the same bins: counts exactly, moments to rounding.

        Raises:
            ValueError: another column, or other bins.
        """
        # Here, because exact arithmetic takes time to import, and a server never adds up profiles.
        from modelimg_runtime.profile.moments import merged_moments

        if self.plan != other.plan:
            raise ValueError(f"column {self.name!r} was counted in other bins")
        mean, std = merged_moments((self._finite, other._finite), (self.mean, other.mean), (self.std, other.std))
        return replace(
            self,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            nan=self.nan + other.nan,
            infinities=(self.infinities[0] + other.infinities[0], self.infinities[1] + other.infinities[1]),
            mean=mean,
            std=std,
        )

    @property
    def plan(self) -> tuple[Any, ...]:
        """What the first pass found, and parts of one whole have in common."""
        return self.name, self.kind, self.bins, self.quantiles, self.distinct

    @property
    def _finite(self) -> int:
        return self.n - self.missing - sum(self.infinities)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        common = {
            "name": self.name,
            "kind": self.kind,
            "n": self.n,
            "missing": self.missing,
            "nan": self.nan,
            "distinct": self.distinct,
            "bins": {**self.bins.to_dict(), "counts": list(self.counts)},
        }
        if self.kind not in NUMERIC and self.kind != TEXT:
            return common
        numeric = {
            "negative_infinities": self.infinities[0],
            "positive_infinities": self.infinities[1],
            "mean": self.mean,
            "std": self.std,
            "quantiles": list(self.quantiles),
        }
        return common | numeric

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ColumnProfile:
        """From JSON.

        Raises:
            ValueError: a field is missing, of another type, or contradicts another.
        """
        try:
            found = cls(
                name=_of(str, data["name"]),
                kind=_of(str, data["kind"]),
                bins=bins_from_dict(data["kind"], data["bins"]),
                counts=tuple(_of(int, count) for count in data["bins"]["counts"]),
                nan=_of(int, data["nan"]),
                infinities=(data.get("negative_infinities", 0), data.get("positive_infinities", 0)),
                mean=_number(data.get("mean")),
                std=_number(data.get("std")),
                quantiles=tuple(map(_number, data.get("quantiles", ()))),
                distinct=data["distinct"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the profile of a column lacks or misnames a field: {error}") from error
        if (found.n, found.missing) != (data.get("n"), data.get("missing")):
            raise ValueError(f"column {found.name!r} has counts that are not of its {data.get('n')} values")
        return found


def _of(expected: type, value: Any) -> Any:
    if type(value) is not expected:
        raise TypeError(f"{value!r} is no {expected.__name__}")
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no finite number")
    return float(value)
