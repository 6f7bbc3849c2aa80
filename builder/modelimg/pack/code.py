"""The user's own modules: what of them is packed, and which modules they import in turn."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelimg.errors import ModelFileError, UsageError

_LEFT_OUT = frozenset({"__pycache__", "tests", "test"})


@dataclass(frozen=True)
class CodeModule:
    """A module or package of the user's, named in ``[model] code``.

    Attributes:
        name: what it is imported by.
        path: its ``.py`` file or its folder.
    """

    name: str
    path: Path

    def files(self) -> dict[str, Path]:
        """Path below ``code/`` → file, sorted; without byte code, tests and hidden files."""
        if self.path.is_file():
            return {self.path.name: self.path}
        found = {}
        for file in sorted(self.path.rglob("*")):
            parts = file.relative_to(self.path.parent).parts
            hidden = any(part.startswith(".") or part in _LEFT_OUT for part in parts[1:])
            if file.is_file() and not hidden and file.suffix not in (".pyc", ".pyo"):
                found["/".join(parts)] = file
        return found


@dataclass(frozen=True)
class Import:
    """An absolute import in packed code.

    Attributes:
        module: dotted name.
        file: where it stands.
        required: stands at the top of the file, so that the file cannot be imported without it.
    """

    module: str
    file: str
    required: bool


def find_code(entries: Iterable[str | Path], root: Path) -> tuple[CodeModule, ...]:
    """The modules that ``[model] code`` names.

    Args:
        entries: ``.py`` files or package folders, relative to ``root``.
        root: folder of ``modelimg.toml``, or the working directory.

    Raises:
        UsageError: an entry that does not exist, cannot be imported by its name, or is named twice.
    """
    modules: dict[str, CodeModule] = {}
    for entry in entries:
        path = (root / entry).resolve()
        name = path.stem if path.suffix == ".py" else path.name
        if not (path.is_file() and path.suffix == ".py") and not path.is_dir():
            raise UsageError(f"[model] code names {entry}, which is no .py file and no folder")
        if not name.isidentifier():
            raise UsageError(f"[model] code names {entry}, but a module cannot be imported by the name {name!r}")
        if name in modules:
            raise UsageError(f"[model] code names two modules of the name {name}")
        modules[name] = CodeModule(name, path)
    return tuple(modules[name] for name in sorted(modules))


@contextmanager
def importable(modules: Sequence[CodeModule]) -> Iterator[None]:
    """Make the modules importable as they will be in the image, and import them.

    Raises:
        ModelFileError: one fails to import, or another module of its name is already in use.
    """
    added = [str(folder) for folder in dict.fromkeys(module.path.parent for module in modules)]
    before = list(sys.path)
    sys.path[:0] = added
    importlib.invalidate_caches()
    try:
        for module in modules:
            _import(module)
        yield
    finally:
        sys.path[:] = before


def imports(files: Iterable[tuple[str, bytes]]) -> Iterator[Import]:
    """The absolute imports of some Python sources.

    Args:
        files: name and source of each.

    Raises:
        ModelFileError: a source that is no Python.
    """
    for name, source in files:
        try:
            tree = ast.parse(source, filename=name)
        except (SyntaxError, ValueError) as error:
            raise ModelFileError(f"{name} is no Python that can be packed: {error}") from error
        top = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            for module in _imported(node):
                yield Import(module, name, id(node) in top)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module]
    return []


def _import(module: CodeModule) -> None:
    try:
        found = importlib.import_module(module.name)
    except Exception as error:  # the user's code may raise anything while it is imported
        raise ModelFileError(f"{module.path} cannot be imported: {type(error).__name__}: {error}") from error
    places = [
        Path(place).resolve() for place in [*getattr(found, "__path__", []), getattr(found, "__file__", None)] if place
    ]
    if not any(place == module.path or module.path in place.parents for place in places):
        raise ModelFileError(
            f"[model] code names {module.path}, but the module {module.name} in use is {_shown(places)}",
            hint="rename the module, or name the file that is in use",
        )


def _shown(places: Sequence[Path]) -> str:
    return str(places[0]) if places else "built into Python"
