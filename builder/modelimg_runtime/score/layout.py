"""The columns of the answer: their names, their order and the kinds of their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelimg_runtime import contract
from modelimg_runtime.errors import ScoreFault

ROW = "row"
"""Column of the output that holds the row's number in the input, from 0."""


@dataclass(frozen=True)
class Layout:
    """The output's columns.

    Attributes:
        row: whether the row's number comes first.
        kept: columns of the input.
        predictions: column → kind of its values: ``float``, ``int``, ``bool`` or ``str``.
        probabilities: one column for each class; none where they are not wanted.
    """

    row: bool
    kept: tuple[str, ...]
    predictions: Mapping[str, str]
    probabilities: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All columns in order."""
        return (*((ROW,) if self.row else ()), *self.kept, *self.predictions, *self.probabilities)

    def refuse_clash(self) -> None:
        """Refuse a column that would come twice.

        Raises:
            ScoreFault: there is one.
        """
        twice = [name for name in self.kept if self.names.count(name) > 1]
        if twice:
            hint = "; --no-row leaves the row numbers out" if twice[0] == ROW else ""
            raise ScoreFault(f"the column {twice[0]!r} would come twice in the output{hint}", exit_code=2)

    def answers(self, predictions: Sequence[Any], probabilities: Sequence[Sequence[float]]) -> dict[str, list[Any]]:
        """Predictions, and probabilities where they are wanted, column by column."""
        names = list(self.predictions)
        columns = {names[0]: list(predictions)}
        if len(names) > 1 or names != [contract.PREDICTION]:
            columns = _turned(names, predictions)
        return columns | _turned(self.probabilities, probabilities)


def make_layout(
    examples: contract.Examples,
    classes: Sequence[Any],
    *,
    probabilities: bool | None,
    row: bool = False,
    kept: Sequence[str] = (),
) -> Layout:
    """The layout of a model's answers, as its packed examples show them.

    Args:
        examples: of the package.
        classes: names for the probabilities.
        probabilities: whether they are wanted; None where they are if the model gives them.
        row: whether the row numbers are wanted.
        kept: columns of the input.

    Raises:
        ScoreFault: probabilities are wanted of a model that gives none.
    """
    given = examples.probabilities is not None
    if probabilities and not given:
        raise ScoreFault("the model gives no probabilities", exit_code=2)
    wanted = given and probabilities is not False
    first = examples.predictions[0] if examples.predictions else None
    if isinstance(first, list):
        outputs = zip(*examples.predictions, strict=True)
        kinds = {f"{contract.PREDICTION}_{at}": kind_of(values) for at, values in enumerate(outputs)}
    else:
        kinds = {contract.PREDICTION: kind_of(examples.predictions)}
    names = tuple(f"{contract.PROBABILITY_PREFIX}{label}" for label in classes) if wanted else ()
    return Layout(row, tuple(kept), kinds, names)


def kind_of(values: Iterable[Any]) -> str:
    """The kind of a column of JSON values: ``float`` where numbers are mixed or all are missing."""
    types = {type(value) for value in values} - {type(None)}
    if types == {bool} or types == {int} or types == {str}:
        return next(iter(types)).__name__
    return "float" if types <= {int, float} else "str"


def _turned(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, list[Any]]:
    if not names:
        return {}
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else ([] for _ in names)
    return {name: list(values) for name, values in zip(names, columns, strict=True)}
