"""Bins: what is counted of a column, in the profile that is packed and in every one that is compared with it.

The counts of a column are one array of fixed length. Its last place is for missing values.

===========  ==================================================================================
bins         places of the counts
===========  ==================================================================================
numbers      below the least edge; B bins; above the greatest edge; missing
categories   K categories; other; unseen; missing
===========  ==================================================================================

A bin of numbers holds its upper edge and not its lower one, like a bucket of Prometheus (``le``); only the first holds
its lower edge, too. ``other`` are the categories that were too rare, or too many, to be named. Where there were none, a
name that is not listed was not in the training data: it is ``unseen``. Where there were some, nobody can tell, and it
counts as ``other``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from modelimg_runtime.profile.binner import Binner, category_binner, number_binner
from modelimg_runtime.profile.values import BOOLEAN, EMPTY, NUMERIC, TEXT


@dataclass(frozen=True)
class NumberBins:
    """Bins of numbers.

    Attributes:
        edges: ascending, B + 1 ≥ 2; the first two may be equal, and then the first bin holds that one value.
    """

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        edges = self.edges
        if len(edges) < 2 or not all(math.isfinite(edge) for edge in edges):
            raise ValueError(f"bins need two or more finite edges, and these are {list(edges)}")
        if edges[0] > edges[1] or not all(low < high for low, high in pairwise(edges[1:])):
            raise ValueError(f"edges of bins must ascend, and these do not: {list(edges)}")

    @property
    def size(self) -> int:
        """Length of the counts."""
        return len(self.edges) + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """A text for each place of the counts; every two are different."""
        inner = [f"({low!r}, {high!r}]" for low, high in pairwise(self.edges)]
        inner[0] = f"[{inner[0][1:]}"
        return ("<under>", *inner, "<over>", "<missing>")

    @property
    def outside(self) -> tuple[int, ...]:
        """Places of what the reference hardly had: beyond its edges."""
        return (0, self.size - 2)

    def binner(self, kind: str) -> Binner:
        """Compile the bins, for values of a kind."""
        return number_binner(self.edges, kind)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"edges": list(self.edges)}


@dataclass(frozen=True)
class CategoryBins:
    """Bins of categories.

    Attributes:
        categories: names, the most frequent first.
        folded: whether the reference had categories that are not among them.
    """

    categories: tuple[str, ...]
    folded: bool = False

    def __post_init__(self) -> None:
        if len({*self.categories}) != len(self.categories):
            raise ValueError("a category is listed twice")

    @property
    def size(self) -> int:
        """Length of the counts."""
        return len(self.categories) + 3

    @property
    def labels(self) -> tuple[str, ...]:
        """A text for each place of the counts; every two are different, whatever the categories are called."""
        names = [f"<{name}" if name.startswith("<") else name for name in self.categories]
        return (*names, "<other>", "<unseen>", "<missing>")

    @property
    def outside(self) -> tuple[int, ...]:
        """Places of what the reference did not have; none where nobody can tell."""
        return () if self.folded else (self.size - 2,)

    def binner(self, kind: str) -> Binner:
        """Compile the bins; the kind is asked for by what all bins have in common."""
        return category_binner(self.categories, folded=self.folded, kind=kind)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"categories": list(self.categories), "folded": self.folded}


Bins = NumberBins | CategoryBins


def bins_from_dict(kind: str, data: Mapping[str, Any]) -> Bins:
    """Bins of a column of a kind, from JSON.

    Raises:
        ValueError: the kind is unknown, or these are no bins of it.
    """
    if kind in NUMERIC or kind == TEXT:
        return NumberBins(tuple(map(float, _list(data, "edges", (int, float)))))
    if kind not in (BOOLEAN, "category", EMPTY):
        raise ValueError(f"a column is of the kind {kind!r}, which is not known")
    folded = data.get("folded")
    if not isinstance(folded, bool):
        raise ValueError("bins of categories lack 'folded'")  # noqa: TRY004 - to the caller it is a bad file
    return CategoryBins(tuple(_list(data, "categories", (str,))), folded)


def _list(data: Mapping[str, Any], key: str, types: tuple[type, ...]) -> Sequence[Any]:
    found = data.get(key)
    if not isinstance(found, list) or not all(isinstance(each, types) and each is not True for each in found):
        raise ValueError(f"bins lack {key!r}, or it is of another type")
    return found
