"""Faults seeded into the accept-test, each of which the table of edge values has to find."""

from __future__ import annotations

import importlib
import random
import struct
from pathlib import Path

import pytest

import lanes

ROWS = [
    ("upper bound left out", "<= {name} <= {constants(rule.highest)}", "<= {name} < {constants(rule.highest)}"),
    ("lower bound left out", "{constants(rule.lowest)} <= {name} <=", "{constants(rule.lowest)} < {name} <="),
    ("bools in floats", "(type({name}) is float or type({name}) is int)", "isinstance({name}, (float, int))"),
    ("no ints in floats", "(type({name}) is float or type({name}) is int)", "type({name}) is float"),
    ("bools in ints", '*_refused(f"type({name}) is int and', '*_refused(f"isinstance({name}, int) and'),
    ("ints as bools", 'f"type({name}) is bool{allowed}"', 'f"{name} in (0, 1){allowed}"'),
    ("bools unchecked", '" and {name} in {constants(rule.allowed)}"', '""'),
    ("null everywhere", 'f" and {name} is not None" if rule.nullable else ""', 'f" and {name} is not None"'),
    ("null nowhere", 'f" and {name} is not None" if rule.nullable else ""', '""'),
    ("null as float32", '[f"elif {name} is not None:"] if rule.nullable else ["else:"]', '[f"elif {name} is not None:"]'),
    ("fractions in ints", " and {name}.is_integer() and", " and"),
    ("inexact floats as ints", " and {low} <= {name} <= {high}:", ":"),
    ("forbidden values", ' and {name} not in {constants(rule.forbidden)}" if', '" if'),
    ("no value allowed is any", "    if rule.allowed is not None:\n        return f", "    if rule.allowed:\n        return f"),
    ("lone surrogates", "({name}.isascii() or {constants(encodable)}({name}))", "True"),
    ("length", "<= len({name}) <= {constants(rule.highest)}", "<= len({name}) <= 1 + {constants(rule.highest)}"),
    ("least length", "yield f\"{constants(rule.lowest)} <= len", "yield f\"0 <= len"),
    ("forbidden strings", 'yield f"{name} not in {constants(rule.forbidden)}"', 'yield "True"'),
    ("one text test", "for text in rule.texts:", "for text in rule.texts[:1]:"),
    ("float32 not rounded", "float(np.float32(float(value)))", "float(value)"),
    ("range of float32", "{constants(highest)}:", "{constants(2 * highest)}:"),
]  # fmt: skip
FOLD = [
    ("gt as ge", 'included=given["include_min"] and check.name != "greater_than"', 'included=given["include_min"]'),
    ("lt as le", 'included=given["include_max"] and check.name != "less_than"', 'included=given["include_max"]'),
    ("ends swapped", 'included=given["include_min"]', 'included=given["include_max"]'),
    ("min always in", 'included=given["include_min"]', "included=True"),
    ("max always in", 'included=given["include_max"]', "included=True"),
    ("gt of a fraction", "math.floor(bound) + 1", "math.ceil(bound) + 1"),
    ("ge of a fraction", "math.ceil(bound) if included", "math.floor(bound) if included"),
    ("lt of a fraction", "math.ceil(bound) - 1", "math.floor(bound) - 1"),
    ("le of a fraction", "math.floor(bound) if included", "math.ceil(bound) if included"),
    ("any of two sets", "else rule.allowed & values", "else rule.allowed | values"),
    ("last forbidden", "forbidden=rule.forbidden | _members", "forbidden=_members"),
    ("last lower bound", "lowest=max(rule.lowest, lowest)", "lowest=lowest"),
    ("last upper bound", "highest=min(rule.highest, highest)", "highest=highest"),
    ("search for match", 'pattern.match if self.how == "match" else pattern.search', "pattern.search"),
    ("match for search", 'pattern.match if self.how == "match" else pattern.search', "pattern.match"),
    ("fullmatch for match", 'pattern.match if self.how == "match" else', 'pattern.fullmatch if self.how == "match" else'),
    ("end for start", 'self.how == "endswith"', 'self.how == "startswith"'),
    ("empty interval", "rule.lowest > rule.highest", "rule.lowest > rule.highest + 99"),
    ("members unbounded", "within and value not in", "value not in"),
    ("members forbidden", "within and value not in rule.forbidden and", "within and"),
    ("members untested", " and all(test(value) for test in tests)", ""),
    ("exact length", 'return given["exact_value"], given["exact_value"]', 'return 0, given["exact_value"]'),
    ("no bool allowed is any", "rule.allowed is None and rule.forbidden", "not rule.allowed and rule.forbidden"),
]  # fmt: skip
COLUMNS = [
    ("lower bound left out", "(self._lowest <= matrix)", "(self._lowest < matrix)"),
    ("upper bound left out", "(matrix <= self._highest)", "(matrix < self._highest)"),
    ("any for all", "(matrix <= self._highest)).all()", "(matrix <= self._highest)).any()"),
    ("null everywhere", "({int, type(None)} if rule.nullable else {int})", "{int, type(None)}"),
    ("null nowhere", "({int, type(None)} if rule.nullable else {int})", "{int}"),
    ("bools in floats", "{*map(type, values)} - {float}", "{*map(type, values)} - {float, bool}"),
    ("int just too large", "if whole and not -_HIGHEST", "if False and not -_HIGHEST"),
    ("null is allowed", "rule.allowed | {None} if rule.nullable else rule.allowed", "rule.allowed"),
    ("forbidden values", "not rule.forbidden or rule.forbidden.isdisjoint(values)", "True"),
    ("fractions in ints", "and value.is_integer() and", "and"),
    ("inexact floats as ints", " and -EXACT <= value <= EXACT else", " else"),
    ("ints unbounded above", "rule.lowest <= min(values) and max(values) <= rule.highest", "rule.lowest <= min(values)"),
    ("ints unbounded below", "rule.lowest <= min(values) and max(values)", "max(values)"),
    ("ints unchecked", "if passes and _members_pass(rule, values)", "if passes"),
    ("ints as bools", "{*map(type, values)} == {bool}", "{*map(type, values)} <= {bool, int}"),
    ("bools unchecked", "== {bool} and _members_pass(rule, values)", "== {bool}"),
    ("null in strings", "({str, type(None)} if rule.nullable else {str})", "{str, type(None)}"),
    ("lone surrogates", 'and encodable("".join(texts))', ""),
    ("length", "min(sizes) and max(sizes) <= rule.highest", "min(sizes)"),
    ("least length", "rule.lowest <= min(sizes) and", ""),
    ("text tests", "if not all(test(text)", "if not any(test(text)"),
    ("strings unchecked", "if not _members_pass(rule, texts)", "if False"),
    ("unique as integers", "cell if cell is None else float(cell)", "cell"),
    ("unique", "len({*cells}) == len(cells)", "True"),
]  # fmt: skip
REST = [
    ("input.py", "further columns", "len(mapping) != len(self._names)", "len(mapping) < len(self._names)"),
    ("input.py", "no rows", " or 0 in lengths", ""),
    ("input.py", "strings as columns", "not {*map(type, values)} <= {list, tuple}", "False"),
    ("rules.py", "null in ints", ' and kind in ("float", "str")', ""),
    ("rules.py", "unique", 'nullable, part.get("unique", False)', "nullable, False"),
    ("rules.py", "strict", 'strict=document.get("strict") is True', "strict=False"),
    ("rules.py", "ordered", 'ordered=document.get("ordered") is True', "ordered=False"),
    ("rules.py", "sum", "sums_to_one=min(", "sums_to_one=None and min("),
    ("table.py", "unique", "cells is not None and self._columns.distinct(cells.columns)", "cells is not None"),
    ("output.py", "dtype", "return array.dtype == dtype", "return array.dtype.kind == dtype.kind"),
    ("output.py", "sum of few", "abs(fsum(row) - 1) <= self", "abs(fsum(row) - 1) <= 2 * self"),
    ("output.py", "a row's order", "tuple(names) != tuple(self._rules.names)", "False"),
    ("output.py", "a row's dtypes", "if not all(map(_of_dtype, empty, self._dtypes))", "if False"),
    ("output.py", "a row's sum", "(sums is None or sums.accepts_row(cells))", "True"),
    ("output.py", "a row's values", "row(cells) is not None and (", "("),
    ("output.py", "a row's places", "names.index(rule.name) for rule in rules", "place for place, _ in enumerate(rules)"),
    ("output.py", "sum of many", "- 1) <= self._tolerance).all()", "- 1) <= 2 * self._tolerance).all()"),
    ("output.py", "sum of any", "<= self._tolerance).all()", "<= self._tolerance).any()"),
    ("output.py", "missing ones", "if rule.nullable else values", "if rule.kind == 'float' and False else values"),
    ("output.py", "lengths", "all(array.shape == shape for array in arrays)", "True"),
    ("output.py", "infinite others", 'array.dtype.kind != "f" or bool(np.isfinite(array).all())', "True"),
    ("output.py", "others summed", "name.startswith(contract.PROBABILITY_PREFIX) or array.dtype", "array.dtype"),
]  # fmt: skip
MUTANTS = [("rows.py", *mutant) for mutant in ROWS] + [("fold.py", *mutant) for mutant in FOLD]
MUTANTS += [("columns.py", *mutant) for mutant in COLUMNS] + REST


def mutated(root: Path, package: Path, number: int, file: str, old: str, new: str):
    """The package under another name, with one fault in it."""
    name = f"mutant_{number}"
    (root / name).mkdir()
    for path in package.glob("*.py"):
        source = path.read_text()
        if path.name == file:
            assert source.count(old) == 1, (file, old, source.count(old))
            source = source.replace(old, new)
        (root / name / path.name).write_text(source.replace("modelimg_runtime.accept", name))
    return importlib.import_module(name)


def finds(question, answers) -> bool:
    """Whether the answer is wrong; what only crashes is easier to find, and does not count."""
    try:
        return answers.wrong(question)
    except (TypeError, ValueError, KeyError, OverflowError, struct.error):
        return False


def test_every_seeded_fault_is_found_by_the_table(questions, package_folder, tmp_path, monkeypatch, show):
    monkeypatch.syspath_prepend(tmp_path)
    # Most faults are met early in this order: shuffled, but what is asked of few schemas first.
    shuffled = random.Random(20).sample(questions, len(questions))
    shuffled.sort(key=lambda question: [*question.document["columns"]] == ["x"])
    survivors = []
    for number, (file, what, old, new) in enumerate(MUTANTS):
        answers = lanes.Answers(mutated(tmp_path, package_folder, number, file, old, new))
        if not any(finds(question, answers) for question in shuffled):
            survivors.append(f"{file}: {what}")
    show(f"{len(MUTANTS)} mutants, {len(survivors)} of which survive")
    assert not survivors


def test_the_package_without_a_fault_survives(questions, package_folder, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    answers = lanes.Answers(mutated(tmp_path, package_folder, len(MUTANTS), "rows.py", "import math", "import math"))
    assert not any(answers.wrong(question) for question in questions)


@pytest.mark.parametrize("mutants", [ROWS, FOLD, COLUMNS])
def test_no_fault_is_seeded_twice(mutants):
    assert len({(old, new) for _, old, new in mutants}) == len(mutants)
