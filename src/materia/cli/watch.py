"""Following a campaign of a server: the same bar and lines as of a local run, any time again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from materia.cli.connection import LOCAL, connect

if TYPE_CHECKING:
    from rich.console import Console

    from materia.cli.definition_file import DefinitionFile
    from materia.client import Client

INTERRUPTED = 130
FINAL = frozenset({"completed", "converged", "stopped", "failed"})


@dataclass
class Standing:
    """Where a campaign stands, as its events tell; attributes as of a local run's progress."""

    phase: str
    n_done: int
    n_failed: int
    budget: int
    iteration: int
    hypervolume: float | None
    best: dict[str, float] | None
    state: str

    @classmethod
    def of(cls, campaign: Mapping[str, Any]) -> Standing:
        """Return the standing that a campaign's state says."""
        state = str(campaign["state"])
        return cls(
            phase="finished" if state in FINAL else "evaluating",
            n_done=campaign["evaluations_completed"] + campaign["evaluations_failed"],
            n_failed=campaign["evaluations_failed"],
            budget=campaign["budget"],
            iteration=campaign["iteration"],
            hypervolume=campaign["hypervolume"],
            best=_outcomes(campaign["best"]),
            state=state,
        )

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event into account."""
        told = event["data"]
        match event["type"]:
            case "evaluation_completed":
                self.n_done += 1
                self.n_failed += told["state"] == "failed"
            case "candidates_proposed":
                self.phase, self.iteration = "evaluating", told["iteration"]
            case "pareto_updated":
                self.hypervolume, self.best = told["hypervolume"], _outcomes(told["best"])
            case "iteration_completed":
                self.phase = "choosing"
                self.n_failed = told["evaluations_failed"]
                self.n_done = told["evaluations_completed"] + self.n_failed
            case "campaign_state_changed":
                self.state = told["state"]
                self.phase = "finished" if self.state in FINAL else self.phase


def _outcomes(best: Mapping[str, Any] | None) -> dict[str, float] | None:
    return None if best is None else dict(best["outcomes"])


def show_until_end(client: Client, campaign_id: str, console: Console) -> dict[str, Any]:
    """Show a campaign live until it has ended, and return it."""
    from materia.cli.run_display import RunDisplay
    from materia.mdl import Definition

    campaign: dict[str, Any] = client.campaigns.get(campaign_id)
    standing = Standing.of(campaign)
    with RunDisplay(console, Definition.model_validate(campaign["definition"])) as display:
        display.show(standing)
        for event in client.campaigns.watch(campaign_id, after=campaign["last_event"]):
            if event["type"] == "resync":
                standing = Standing.of(client.campaigns.get(campaign_id))
            else:
                standing.take(event)
            display.show(standing)
    return dict(client.campaigns.get(campaign_id))


def follow(client: Client, campaign_id: str, console: Console) -> dict[str, Any]:
    """Show a campaign until it has ended; Ctrl-C leaves it running and says how to come back."""
    try:
        return show_until_end(client, campaign_id, console)
    except KeyboardInterrupt:
        console.print(
            f"\nthe campaign goes on; `materia campaign watch {campaign_id}` shows it again,"
            f" `materia campaign stop {campaign_id}` stops it",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None


def run_on_server(source: DefinitionFile, server: str = LOCAL, output: Path | None = None) -> None:
    """Start the campaign of a file on a server, follow it to its end and fetch its results.

    Args:
        server: Address, or ``local`` for the stack on the data folder.
        output: Folder of the results; ``runs/<name>-<id>`` if None.
    """
    from rich.console import Console

    console = Console(highlight=False)
    with connect(server, source.data_dir) as client:
        started = client.run(source.content.decode(errors="replace"))
        console.print(f"campaign {started['campaign_id']} on {client.url}", soft_wrap=True)
        campaign = follow(client, started["campaign_id"], console)
        folder = output or Path("runs") / f"{campaign['name']}-{campaign['id'][:8]}"
        show_end(client, campaign, console, folder)


def show_end(
    client: Client, campaign: Mapping[str, Any], console: Console, folder: Path | None
) -> None:
    """Print how a campaign ended and its front, and write its report.

    Raises:
        MateriaError: The campaign failed.
    """
    from materia.cli.front import MAX_ROWS, front_table
    from materia.cli.messages import counted
    from materia.client.problems import of_job
    from materia.mdl import Definition

    if campaign["state"] == "failed":
        raise of_job(dict(campaign))
    console.print(_ending(client, campaign), markup=False, soft_wrap=True)
    if n_failed := campaign["evaluations_failed"]:
        console.print(f"{counted(n_failed, 'evaluation')} failed", style="yellow")
    front = client.campaigns.pareto(campaign["id"])
    if front:
        definition = Definition.model_validate(campaign["definition"])
        console.print(front_table(definition, front, console))
    if len(front) > MAX_ROWS:
        console.print(f"… and {len(front) - MAX_ROWS} more")
    if folder is not None:
        for name, path in fetch_report(client, campaign, folder).items():
            console.print(f"{name.replace('_', ' '):22}{path}", markup=False, soft_wrap=True)


def _ending(client: Client, campaign: Mapping[str, Any]) -> str:
    """Return how a campaign ended, in the words of a local run."""
    n_done = campaign["evaluations_completed"] + campaign["evaluations_failed"]
    if campaign["state"] == "converged":
        reason = client.campaigns.convergence(campaign["id"])["reason"]
        return f"finished: converged: {reason}"
    if campaign["state"] != "completed":
        return f"{campaign['state']} after {n_done} evaluations"
    if n_done >= campaign["budget"]:
        return f"finished: the budget of {campaign['budget']} evaluations is spent"
    return "finished: every possible candidate has been asked"


def fetch_report(client: Client, campaign: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """Write the report of a campaign of a server into a folder of this machine."""
    from materia import report
    from materia.mdl import Definition

    campaign_id = campaign["id"]
    importance = client.campaigns.explanation(campaign_id)["importance"]
    learnt = report.Learnt.of(
        Definition.model_validate(campaign["definition"]),
        importance,
        lambda name: dict(client.campaigns.slice(campaign_id, name)),
    )
    return report.write(
        folder,
        campaign,
        client.campaigns.candidates(campaign_id),
        client.campaigns.convergence(campaign_id),
        client.campaigns.surrogate(campaign_id)["parity"] or {},
        learnt,
    )
