"""The frame of the command line: quick, and errors as messages with exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from materia import cli
from materia.cli.connection import with_local
from materia.errors import DataError, DefinitionError, InfeasibleError
from materia.mdl.yaml import MAX_BYTES
from materia.version import __version__

GOOD = (Path(__file__).parents[3] / "examples" / "branin.yaml").read_text()


def materia(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    command = [sys.executable, "-c", "from materia.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_help_names_every_command_and_loads_none() -> None:
    code = (
        "import sys; sys.argv = ['materia', '--help']\n"
        "from materia.cli import main\n"
        "try: main()\n"
        "finally: print(sorted(m for m in sys.modules if m in "
        "('numpy', 'pydantic', 'scipy', 'ase', 'celery', 'sqlalchemy', 'fastapi', 'matplotlib')))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in shown.stdout for name in cli.COMMANDS)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_can_be_loaded_and_says_what_it_does(name: str) -> None:
    command = cli.load(name)
    assert command.name == name
    assert command.help
    assert cli.COMMANDS[name].summary.endswith(".")


@pytest.mark.parametrize("name", ["run", "validate", "version"])
def test_the_summary_is_the_first_line_of_the_help(name: str) -> None:
    assert cli.load(name).help.startswith(cli.COMMANDS[name].summary)


def test_the_version_is_told_two_ways() -> None:
    assert materia("version").stdout.strip() == __version__
    assert materia("--version").stdout.strip() == __version__


def test_a_misspelt_command_is_a_usage_error_with_a_suggestion() -> None:
    done = materia("validat")
    assert done.returncode == cli.USAGE
    assert "did you mean 'validate'" in done.stderr


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    for command in ("run", "validate"):
        done = materia(command, "nothing.yaml", cwd=tmp_path)
        assert done.returncode == cli.USAGE
        assert "nothing.yaml" in done.stderr


@pytest.mark.parametrize("command", ["run", "validate"])
def test_what_is_no_regular_file_is_refused_unread(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name, kind in (("pipe.yaml", "pipe"), ("folder.yaml", "folder"), ("/dev/zero", "device")):
        done = materia(command, name, cwd=tmp_path)
        said = " ".join(done.stderr.replace("│", " ").split())
        assert done.returncode == cli.USAGE
        assert f"it is a {kind}, not a regular file" in said
        assert "save the definition as a file" in said


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_file_too_large_for_a_definition_is_refused_with_the_limit(
    tmp_path: Path, command: str
) -> None:
    with (tmp_path / "large.yaml").open("wb") as file:
        file.truncate(2**40)  # sparse: reading it all would take more memory than there is
    done = materia(command, "large.yaml", cwd=tmp_path)
    assert done.returncode == cli.INVALID
    assert f"larger than {MAX_BYTES} bytes" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("run a.yaml --server", "run a.yaml --server local"),
        ("run a.yaml --server --workers 2", "run a.yaml --server local --workers 2"),
        ("run --server here.yaml", "run --server local here.yaml"),
        ("run a.yaml --server http://lab:1", "run a.yaml --server http://lab:1"),
        ("run a.yaml --server local", "run a.yaml --server local"),
        ("run a.yaml --server=http://lab:1", "run a.yaml --server=http://lab:1"),
        ("run -- --server", "run -- --server"),
        ("run --server -- a.yaml", "run --server local -- a.yaml"),
        ("job list --server --json", "job list --server local --json"),
    ],
)
def test_a_server_without_an_address_is_the_local_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.yaml").write_text(GOOD)
    assert with_local(given.split()) == meant.split()


@pytest.mark.parametrize("options", [["--server"], ["--server", "local"]])
def test_a_run_on_the_local_stack_looks_in_the_data_folder(
    tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    done = materia("run", "good.yaml", *options, "--data-dir", "lab", cwd=tmp_path)
    assert done.returncode == cli.FAILED
    assert f"no stack runs on {tmp_path / 'lab'}" in done.stderr
    assert "materia-data" in materia("run", "good.yaml", *options, cwd=tmp_path).stderr


def test_a_local_run_may_read_files_of_the_data_folder(tmp_path: Path) -> None:
    files = tmp_path / "lab" / "files"
    files.mkdir(parents=True)
    (files / "rows.csv").write_text("a,f\n0.1,1\n0.2,2\n")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rows.yaml").write_text(
        "name: rows\nparameters: [{name: a, type: continuous, bounds: [0, 1]}]\n"
        "objectives: [{name: f}]\noptimizer: {budget: 2}\n"
        f"evaluator: {{type: table, options: {{file: {files / 'rows.csv'}}}}}\n"
    )
    assert materia("run", "own/rows.yaml", cwd=tmp_path).returncode == cli.INVALID
    done = materia("run", "own/rows.yaml", "--data-dir", "lab", cwd=tmp_path)
    assert done.returncode == cli.OK, done.stderr


def test_validate_tells_good_from_bad_by_its_exit_code(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(GOOD.replace("[-5, 10]", "[10, -5]"))
    good, bad = (materia("validate", f"{name}.yaml", cwd=tmp_path) for name in ("good", "bad"))
    assert (good.returncode, bad.returncode) == (cli.OK, cli.INVALID)
    assert "valid" in good.stdout
    assert "line 7 parameters[0].bounds" in bad.stdout
    assert "[-5, 10]" in bad.stdout


def test_validate_speaks_json_to_scripts(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(GOOD.replace("branin}", "brannin}"))
    done = materia("validate", "--json", "bad.yaml", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert done.returncode == cli.INVALID
    assert (result["valid"], result["file"]) == (False, "bad.yaml")
    (finding,) = result["findings"]
    assert set(finding) == {"level", "path", "line", "message", "fix"}
    assert finding["path"] == "evaluator.options.name"


def test_messages_hold_no_markup_of_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(GOOD.replace("name: branin\n", "name: '[red]x[/red]'\n", 1))
    done = materia("validate", "bad.yaml", cwd=tmp_path)
    assert "[red]x[/red]" in done.stdout
    assert "\x1b" not in done.stdout


def test_errors_become_exit_codes() -> None:
    assert cli.exit_code(DefinitionError("x")) == cli.INVALID
    assert cli.exit_code(InfeasibleError("x")) == cli.INVALID
    assert cli.exit_code(DataError("x")) == cli.FAILED


def test_a_traceback_is_shown_only_on_demand(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "taken").write_text("a file where a folder should be")
    plain = materia("run", "good.yaml", "--output", "taken", cwd=tmp_path)
    assert plain.returncode == cli.FAILED
    assert "cannot write to 'taken'" in plain.stderr
    assert "Traceback" not in plain.stderr
    debug = materia("--debug", "run", "good.yaml", "--output", "taken", cwd=tmp_path)
    assert "Traceback" in debug.stderr
