"""Compiles modules inside a base image: a script that the base's own interpreter runs, never imported by anything.

Called as ``python -c SCRIPT PREFIX [INPUT OUTPUT]``; without files, it reads standard input and writes standard output.

In: frames of a kind byte, two big-endian 32-bit lengths, a name and data. Kind ``S``: the source of the module at the
absolute path ``name``; kind ``B``: the same, to be compiled bare of docstrings. Kind ``L``: the dotted name of a module
that may be in the interpreter's standard library, no data. Out: frames of two lengths, the path of a ``.pyc`` file and
its bytes.

Any Python from 3.10 can run it. What it writes for a module depends on that module only: no code object outlives its
frame, because `marshal` marks strings that something else in the process holds, too.

Source: PEP 552 (hash-based pycs), PEP 3147 and PYTHONPYCACHEPREFIX (their paths).
"""

from __future__ import annotations

import ast
import importlib.util
import io
import marshal
import os
import sys
import types
from collections.abc import Iterator

HASHED, CHECKED = 0b01, 0b10
"""Flags of PEP 552. Source that cannot change under its byte code is not read again to compare it."""
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields of the nodes that hold statements: ``ast`` has no name for them."""


def main() -> None:
    """Compile what comes in."""
    sys.pycache_prefix = sys.argv[1]
    source, target = sys.argv[2:] or (0, 1)  # standard input and output
    library = os.path.dirname(os.__file__)
    with open(source, "rb") as frames, open(target, "wb") as out:
        while head := frames.read(9):
            name = frames.read(int.from_bytes(head[1:5], "big")).decode()
            data = frames.read(int.from_bytes(head[5:9], "big"))
            if head[:1] in b"SB":
                write(out, name, compiled(name, data, HASHED, bare=head[:1] == b"B"))
            elif found := find(library, name):
                path, text = found
                write(out, path, compiled(path, text, HASHED | CHECKED))


def find(library: str, name: str) -> tuple[str, bytes] | None:
    """Path and source of a module of the standard library: a package's before a module's, as the finders look."""
    stem = os.path.join(library, *name.split("."))
    for path in (os.path.join(stem, "__init__.py"), stem + ".py"):
        try:
            with open(path, "rb") as file:
                return path, file.read()
        except OSError:
            continue
    return None


def compiled(path: str, source: bytes, flags: int, *, bare: bool = False) -> bytes | None:
    """A ``.pyc`` file's bytes; None for a template, or source for another Python."""
    try:
        code = code_of(path, source, bare=bare)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None
    # Classes and functions share equal constant sets, unless a string of one was interned before: as a name in a module
    # compiled earlier, for good from 3.12 on. Compiled again while `code` holds its strings, all of them always were.
    sets = list(sets_of(code))
    final = code if len(sets) == len(set(sets)) else code_of(path, source, bare=bare)
    head = importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + importlib.util.source_hash(source)
    return head + marshal.dumps(final)


def code_of(path: str, source: bytes, *, bare: bool) -> types.CodeType:
    """A module's code, from its text: nothing else may hold a string of it when it is written, not even a tree."""
    text = without_docstrings(ast.parse(source, path)) if bare else source
    return compile(text, path, "exec", dont_inherit=True, optimize=0)


def without_docstrings(tree: ast.Module) -> ast.Module:
    """The same module without the strings that only ``__doc__`` would hold; in statements, where definitions are."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.copy_location(ast.Pass(), node.body[0])]
        for field in BLOCKS:
            block = getattr(node, field, None)
            waiting += block if isinstance(block, list) else []
    return tree


def sets_of(code: types.CodeType) -> Iterator[frozenset[object]]:
    """The constant sets of strings and numbers in a module's code, one for each code object that has it."""
    for each in code.co_consts:
        if isinstance(each, frozenset):
            yield each
        elif isinstance(each, types.CodeType):
            yield from sets_of(each)


def write(out: io.BufferedWriter, path: str, data: bytes | None) -> None:
    """A frame of output, where there is anything."""
    if data is not None:
        name = importlib.util.cache_from_source(path).encode()
        out.write(len(name).to_bytes(4, "big") + len(data).to_bytes(4, "big") + name + data)


if __name__ == "__main__":
    main()
