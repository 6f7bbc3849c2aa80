"""The accept-test of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from modelimg_runtime.accept.checks import SUM_CHECK, NotCompiled
from modelimg_runtime.accept.rules import TableRules
from modelimg_runtime.accept.table import TableTest
from modelimg_runtime.columns import Batch


class InputTest:
    """Accepts requests that the reader of frames and pandera would accept, and gives the values of that frame.

    One-sided: None says nothing about a request but that pandera has to decide. Columns may come in any order, as the
    frame is made in the schema's; others than the schema's are never accepted, as the reader refuses them too.

    Args:
        rules: of the input schema.

    Raises:
        NotCompiled: the rules are of an output.
    """

    def __init__(self, rules: TableRules) -> None:
        if rules.sums_to_one is not None:
            raise NotCompiled(f"the input schema has {SUM_CHECK}, which is compiled for outputs")
        self._names = rules.names
        self._values = _getter(rules.names)
        self._table = TableTest(rules)

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> Batch | None:
        """A batch from columns of JSON values, None where it is not accepted."""
        values = self._found(columns)
        if values is None or not {*map(type, values)} <= {list, tuple}:
            return None
        lengths = {*map(len, values)}
        if len(lengths) > 1 or 0 in lengths:
            return None
        cells = self._table.columns(values)
        return None if cells is None else Batch(self._names, tuple(cells.columns), lengths.pop(), cells.doubles)

    def row(self, row: Mapping[str, Any]) -> Batch | None:
        """A batch of one row from a JSON object, None where it is not accepted."""
        values = self._found(row)
        cells = None if values is None else self._table.row(values)
        return None if cells is None else Batch(self._names, tuple(zip(cells)), 1)

    def _found(self, mapping: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """What stands under the names, in their order; None where one is missing or there are others."""
        if type(mapping) is not dict or len(mapping) != len(self._names):
            return None
        try:
            return self._values(mapping)
        except KeyError:
            return None


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) == 1:  # itemgetter gives no tuple for one
        return lambda mapping: (mapping[names[0]],)
    return itemgetter(*names)
