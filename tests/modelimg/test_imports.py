"""The directions of imports, as the design draws them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BUILDER = Path(__file__).parents[2] / "builder"
FOREIGN_TO_RUNTIME = {"modelimg", "docker", "jinja2", "typer", "rich", "uv", "pysequoia", "debian", "httpx"}
OCI_MAY = {"modelimg.errors", "modelimg.oci", "httpx", "deflate", "backports.zstd", "compression.zstd"}
SERVING = {"app", "serve", "service", "protocols", "health", "problems", "selftest", "describe", "__main__"}
"""Modules of the runtime that only the image needs; the others are what both sides must agree on."""


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(package: str) -> list[Path]:
    return sorted((BUILDER / package).rglob("*.py"))


def offences(paths: list[Path], forbidden) -> list[str]:
    return [
        f"{path.relative_to(BUILDER)} imports {name}" for path in paths for name in imports_of(path) if forbidden(name)
    ]


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_no_module_imports_the_command_line() -> None:
    others = [path for path in modules("modelimg") if path.name not in ("cli.py", "__main__.py")]
    assert offences(others, lambda name: within(name, {"modelimg.cli"})) == []


def test_the_plan_does_not_know_the_engines() -> None:
    lower = [
        BUILDER / "modelimg" / name
        for name in ("plan.py", "layers.py", "labels.py", "dockerfile.py", "wheels.py", "tar.py")
    ]
    assert all(path.exists() for path in lower)
    assert (
        offences(lower, lambda name: within(name, {"modelimg.engines", "modelimg.build", "modelimg.gate", "docker"}))
        == []
    )


def test_oci_knows_nothing_of_models() -> None:
    def forbidden(name: str) -> bool:
        root = name.partition(".")[0]
        return not within(name, OCI_MAY) and root not in sys.stdlib_module_names

    assert offences(modules("modelimg/oci"), forbidden) == []


def test_packing_does_not_know_building() -> None:
    assert (
        offences(modules("modelimg/pack"), lambda n: within(n, {"modelimg.plan", "modelimg.build", "modelimg.engines"}))
        == []
    )


def test_bases_do_not_know_models() -> None:
    assert (
        offences(modules("modelimg/base"), lambda n: within(n, {"modelimg.pack", "modelimg.plan", "modelimg_runtime"}))
        == []
    )


def test_the_runtime_imports_nothing_of_the_builder() -> None:
    assert offences(modules("modelimg_runtime"), lambda name: within(name, FOREIGN_TO_RUNTIME)) == []


def test_the_builder_takes_from_the_runtime_only_what_both_must_agree_on() -> None:
    assert offences(modules("modelimg"), lambda name: within(name, {f"modelimg_runtime.{m}" for m in SERVING})) == []


def test_only_the_command_line_prints_or_exits() -> None:
    found = []
    for path in modules("modelimg"):
        if path.name in ("cli.py", "tables.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.exit", "exit"):
                found.append(f"{path.name}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import modelimg", {"pandas", "sklearn", "pandera", "docker", "typer", "numpy"}),
        ("import modelimg.cli", {"pandas", "sklearn", "pandera", "docker", "numpy", "jinja2"}),
        ("from modelimg.pack.package import read_package", {"pandas", "sklearn", "pandera", "docker", "numpy"}),
        ("import modelimg_runtime.contract", {"pandas", "sklearn", "pandera", "numpy", "starlette"}),
    ],
)
def test_start_up_stays_light(statement: str, heavy: set[str]) -> None:
    code = f"import sys; {statement}; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert loaded & heavy == set()
