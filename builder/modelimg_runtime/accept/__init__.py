"""A fast test in front of pandera: what it accepts, pandera would accept.

Compiled from the serialised schemas without pandas or pandera, so that a server can answer before it has loaded them.
It never refuses: what is not accepted goes to ``predict.Predictor``, which decides and writes the report.

::

    rules_of(document) ──► TableRules ──► InputTest, OutputTest
      checks, fold            │              table: rows (generated source), columns (numpy)
                              └─ NotCompiled: pandera tests every request of this schema
"""

from __future__ import annotations

from modelimg_runtime.accept.input import InputTest
from modelimg_runtime.accept.output import OutputTest
from modelimg_runtime.accept.rules import ColumnRule, NotCompiled, TableRules, rules_of

__all__ = ["ColumnRule", "InputTest", "NotCompiled", "OutputTest", "TableRules", "rules_of"]
