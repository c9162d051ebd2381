"""The `materia` command: one file per command or noun, and one line in `COMMANDS`.

A command is a plain function (or, for a noun, a Typer app) that parses, calls one service and
prints. Its module is loaded when it is called, so that `materia --help` is quick.
"""

from __future__ import annotations

import os
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from materia.errors import DefinitionError, MateriaError
from materia.version import __version__

OK, FAILED, USAGE, INVALID = 0, 1, 2, 3
"""Exit codes."""

DEBUG = "MATERIA_DEBUG"


class Entry(NamedTuple):
    """Where a command lives: its module, the function or Typer app there, and its first line."""

    module: str
    name: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "run": Entry("materia.cli.run", "run", "Run a campaign in this process, without any server."),
    "init": Entry("materia.cli.init", "init", "Write a definition to begin with."),
    "validate": Entry("materia.cli.validate", "validate", "Report everything wrong with a file."),
    "campaign": Entry(
        "materia.cli.campaign",
        "app",
        "Campaigns of a server: start, follow, steer, explain, export.",
    ),
    "job": Entry("materia.cli.job", "app", "Submit jobs to a server, look at them, cancel them."),
    "dataset": Entry(
        "materia.cli.dataset", "app", "Look at the tables that tasks may read; send one."
    ),
    "model": Entry("materia.cli.model", "app", "Train models, look at them, predict with them."),
    "schedule": Entry(
        "materia.cli.schedule", "app", "Submit jobs at their times: list, add, change, pause."
    ),
    "keys": Entry(
        "materia.cli.keys",
        "app",
        "Keys of the API: create, list, revoke, and what was done with them.",
    ),
    "worker": Entry("materia.cli.worker", "app", "Start a worker here, or list those of a server."),
    "up": Entry("materia.cli.up", "up", "Start API, workers, scheduler and database here."),
    "status": Entry("materia.cli.status", "status", "Show where a stack listens."),
    "health": Entry("materia.cli.health", "health", "Show how every part of a server is."),
    "backup": Entry("materia.cli.backup", "backup", "Write everything that is kept to a file."),
    "restore": Entry("materia.cli.backup", "restore", "Restore such a file onto an empty place."),
    "doctor": Entry("materia.cli.doctor", "doctor", "Examine settings and this machine."),
    "version": Entry("materia.cli.version", "version", "Print the version."),
}


class LazyGroup(TyperGroup):
    """Lists `COMMANDS` without loading them, and loads the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a stand-in with the summary, which is all that help and completion need."""
        if cmd_name not in COMMANDS:
            return None
        return _command(cmd_name, lambda: None, help=COMMANDS[cmd_name].summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command itself; an unknown name is refused with the nearest one."""
        name = args[0]
        if name not in COMMANDS:
            near = get_close_matches(name, COMMANDS, n=1)
            ctx.fail(f"no such command '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))

        from materia.cli.connection import with_local

        return name, load(name), with_local(args[1:])


def load(name: str) -> Any:
    """Return one command, its module loaded."""
    entry = COMMANDS[name]
    target = getattr(import_module(entry.module), entry.name)
    if isinstance(target, typer.Typer):
        group = typer.main.get_group(target)
        group.name = name
        return group
    return _command(name, target)


def _command(name: str, function: Any, **settings: Any) -> Any:
    alone = typer.Typer(add_completion=False)
    alone.command(name, **settings)(function)
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def materia(
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG, help="show tracebacks of errors")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="and exit")
    ] = False,
) -> None:
    """Data-driven materials discovery that a lab can run itself."""
    if debug:
        os.environ[DEBUG] = "1"


def main() -> None:
    """Run the command of `sys.argv`; errors become a message and an exit code."""
    try:
        app(prog_name="materia")
    except MateriaError as error:
        if os.environ.get(DEBUG):
            raise
        from materia.cli.messages import show_error

        show_error(error)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        # The reader went away, as `materia … | head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)


def exit_code(error: MateriaError) -> int:
    """Return the exit code that an error ends a command with."""
    return INVALID if isinstance(error, DefinitionError) else FAILED
