"""Rules about the source itself: lengths, the environment, and what README promises."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from fluxsmith.cli.app import app

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "fluxsmith"
README = (ROOT / "README.md").read_text()
THE_READER = PACKAGE / "config" / "env.py"
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id == "os" and node.attr in ENVIRONMENT
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and any(a.name in ENVIRONMENT for a in node.names)
    )


def test_only_the_environment_manager_reads_the_environment() -> None:
    found = {path for path, tree in modules() if any(reads_environment(node) for node in ast.walk(tree))}
    assert found == {THE_READER}


def test_every_file_opens_with_what_it_is_for() -> None:
    silent = [str(path) for path, tree in modules() if not ast.get_docstring(tree)]
    assert silent == []


def test_no_file_is_longer_than_500_lines() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "check_lengths.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_readme_begins_with_the_two_commands_that_matter() -> None:
    code = re.findall(r"^    (.+?)(?:\s+#.*)?$", README, re.MULTILINE)
    assert code[:2] == ["make run", "make test"]


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?\bmake ([a-z-]+)`", README)) | {"run", "test"}))
def test_a_make_target_that_readme_names_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def commands() -> list[tuple[str, str, str]]:
    """Each call of ours in README's shell blocks or inline code: command, subcommand, the rest."""
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    code = re.sub(r"#.*", "", shell).splitlines() + re.findall(r"`(fluxsmith [^`]+)`", README)
    calls = (re.match(r"fluxsmith ([a-z]+)(?: ([a-z]+))?(.*)", line) for line in code)
    return sorted({(call[1], call[2] or "", call[3]) for call in calls if call})


@pytest.mark.parametrize(("name", "sub", "rest"), commands())
def test_a_command_that_readme_names_exists_with_its_options(name: str, sub: str, rest: str) -> None:
    group = get_command(app)
    command = group.commands[name]  # type: ignore[attr-defined]
    if sub and hasattr(command, "commands"):
        command = command.commands[sub]
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert set(re.findall(r"--[a-z-]+", rest)) <= known


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"FLUXSMITH_[A-Z_]+", README))))
def test_a_setting_that_readme_names_exists(variable: str) -> None:
    assert f"#{variable}=" in (ROOT / ".env.example").read_text()


def test_the_lock_names_exact_versions_and_no_places() -> None:
    lines = [
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")
    ]
    odd = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)]
    assert odd == []
    assert "torch==2.13.0" in lines


def test_continuous_integration_runs_what_readme_says_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if not line.startswith("#")]
    assert lines == ["exec make test"]


def test_help_loads_neither_the_web_nor_the_engine() -> None:
    heavy = "{'torch', 'gradio', 'fastapi', 'sqlalchemy', 'dbos'}"
    code = (
        "import sys; from fluxsmith.cli.app import run; run(['--help']);"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
