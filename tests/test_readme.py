"""What the README shows is right."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ACTIONLINT = Path(sys.executable).parent / "actionlint"


def workflow() -> str:
    (found,) = re.findall(r"```yaml\n(name: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return found


def lint(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = folder / ".github/workflows/image.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return subprocess.run(
        [ACTIONLINT, "-no-color", "-shellcheck=", "-pyflakes=", path], capture_output=True, text=True, cwd=folder
    )


def test_the_ci_recipe_is_a_sound_workflow(tmp_path: Path) -> None:
    checked = lint(workflow(), tmp_path)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("good", "bad"),
    [("runs-on:", "run-on:"), ("github.ref_name", "github.nothing"), ("uses: actions/cache@v5", "uses: cache")],
)
def test_the_checker_would_have_caught_a_mistake(tmp_path: Path, good: str, bad: str) -> None:
    assert good in workflow()
    assert lint(workflow().replace(good, bad), tmp_path).returncode == 1


def test_the_ci_recipe_uses_options_that_exist() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "modelimg", "build", "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = set(
        re.findall(
            r"(?<= )--[a-z-]+(?= |$)", "\n".join(re.findall(r"modelimg build[^\n]*\n(?:\s+--[^\n]*\n)+", workflow()))
        )
    )
    assert options == {"--tag", "--metadata-file"}
    for option in options:
        assert option in shown


@pytest.mark.parametrize(
    "page", sorted(p.relative_to(ROOT).as_posix() for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
)
def test_every_link_between_pages_leads_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_command_in_the_readme_is_a_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "modelimg", "--help"], capture_output=True, text=True, check=True
    ).stdout
    for command in set(
        re.findall(r"modelimg (pack|build|render|inspect|verify|serve|rebase|diff)\b", (ROOT / "README.md").read_text())
    ):
        assert command in shown


def test_bare_make_prints_its_own_help_and_the_two_commands_are_in_it() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert re.search(r"^  make demo +\S", shown, re.MULTILINE)
    assert re.search(r"^  make test +\S", shown, re.MULTILINE)
    assert set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) == set(
        re.findall(r"^  make ([a-z]+) ", shown, re.MULTILINE)
    )
