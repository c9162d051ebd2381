"""The whole of MatCraft in one run: a stack of its own, a real campaign, live in the terminal.

    make demo              # starts everything, runs, writes the report, stops everything
    KEEP=1 make demo       # leaves the stack up, for looking around

Starts `materia up` on ./demo-data, runs examples/alloy.yaml on its workers and follows it over a
WebSocket. Beside it a plain Celery client, which knows nothing of MatCraft, has a task done.
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import Celery
from celery.exceptions import CeleryError
from rich.console import Console

from materia.cli.watch import fetch_report, show_end, show_until_end
from materia.client import Client
from materia.errors import MateriaError, StateError
from materia.stack import orphans, state
from materia.stack.folder import DataFolder

HERE = Path(__file__).resolve().parent
DEFINITION = HERE / "alloy.yaml"
DATA = Path("demo-data").resolve()
OUTPUT = Path("demo-output").resolve()
STACK_LOG = OUTPUT / "stack.log"
MATERIA = Path(sys.executable).with_name("materia")

PORT = 8000
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 30.0
# On a machine so slow that this is not enough the campaign is stopped early, with what it has.
CAMPAIGN_WITHIN_S = 140.0
PING_EVERY_S = 2.0

console = Console(highlight=False)


def say(text: str, style: str = "") -> None:
    """Print a line; paths and ids are never broken."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def heading(text: str) -> None:
    """Print what comes next."""
    console.print()
    say(text, "bold cyan")


class Stack:
    """`materia up` on the data folder of the demo; one that is up already is used as it is."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = state.look(DATA)
        self.is_ours = not self.found["running"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        if not self.is_ours:
            say(f"a stack is up on {DATA} already and is used")
            return
        # Settings of other installations must not reach this one.
        env = {k: v for k, v in os.environ.items() if not k.startswith("MATERIA_")}
        DATA.mkdir(exist_ok=True)
        with STACK_LOG.open("wb") as log:
            self._process = subprocess.Popen(
                [MATERIA, "up", "--data-dir", DATA, "--port", str(free_port()), "--workers", "2"],
                cwd=DATA,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for this script, which then stops the stack in order.
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while not (self.found["ready"] and self.found["pid"] == self._process.pid):
            if self._process.poll() is not None:
                raise StateError("the stack did not start")
            if time.monotonic() > deadline:
                raise StateError(f"the stack was not ready within {READY_WITHIN_S:g} s")
            time.sleep(0.1)
            self.found = state.look(DATA)

    def stop(self) -> None:
        """Stop it and see that nothing of it is left."""
        if self._process is None:
            return
        # Every process of a stack carries its mark, however deep it was started.
        mark = str(state.last(DataFolder(DATA)).get("stack_id"))
        n_processes = 1 + len(orphans.marked(mark))
        self._process.terminate()
        try:
            self._process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise StateError(f"the stack did not stop within {STOPPED_WITHIN_S:g} s") from None
        finally:
            self._process = None
        if left := orphans.marked(mark):
            raise StateError(f"processes of the stack are left: {left}")
        say(f"the stack is stopped; none of its {n_processes} processes is left")


def free_port() -> int:
    """Return the usual port, or any one when that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            return 0
    return PORT


class Pings:
    """A plain Celery client, without any configuration of ours, that has a task done again and
    again."""

    def __init__(self, broker_url: str, result_backend: str) -> None:
        self._app = Celery(broker=broker_url, backend=result_backend)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.times_ms: list[float] = []
        self.error: Exception | None = None

    def __enter__(self) -> Pings:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(15)

    def _run(self) -> None:
        while not self.error:
            try:
                answer, took_ms = self._ping()
            except (CeleryError, OSError) as error:
                self.error = error
                return
            if not self.times_ms:
                say(f"a plain Celery client asked for ping and got {answer} in {took_ms:.0f} ms")
            self.times_ms.append(took_ms)
            if self._stop.wait(PING_EVERY_S):
                return

    def _ping(self) -> tuple[Any, float]:
        started = time.perf_counter()
        answer = self._app.send_task("tasks.simple_tasks.ping", priority=9).get(timeout=10)
        return answer, 1000 * (time.perf_counter() - started)


def run_campaign(client: Client, pings: Pings) -> None:
    """Run the campaign, show it live and write its report."""
    heading(f"Campaign {DEFINITION.name}: stiff but light alloys of six metals, simulated by atoms")
    started = client.run(DEFINITION)
    campaign_id = started["campaign_id"]
    say(f"campaign {campaign_id}")
    too_slow = threading.Timer(CAMPAIGN_WITHIN_S, client.campaigns.stop, (campaign_id,))
    too_slow.daemon = True
    too_slow.start()
    with pings:
        campaign = show_until_end(client, campaign_id, console)
    too_slow.cancel()
    if campaign["state"] == "stopped":
        say("this machine is slow: the campaign was stopped early, with what it had", "yellow")
    console.print()
    show_end(client, campaign, console, None)
    if pings.error is not None:
        raise StateError(f"the plain Celery client got no answer: {pings.error!r}")
    median = statistics.median(pings.times_ms)
    say(
        f"\nwhile the campaign ran, the plain Celery client got {len(pings.times_ms)} answers,"
        f" the median one after {median:.0f} ms"
    )
    heading("Results")
    for name, path in fetch_report(client, campaign, OUTPUT).items():
        say(f"{name.replace('_', ' '):22}{path}")


def show_log() -> None:
    """Print the last lines that the stack wrote."""
    if STACK_LOG.exists():
        with STACK_LOG.open(errors="replace") as lines:
            for line in deque(lines, 30):
                say(f"  {line.rstrip()}", "dim")
        say(f"logs of every process are in {DATA / 'logs'}")


@contextmanager
def running(stack: Stack, *, keep: bool) -> Iterator[None]:
    """Have the stack up, and leave no process unless it is to be kept."""
    try:
        stack.start()
        yield
    except BaseException:
        stack.stop()
        raise
    if not keep:
        stack.stop()


def main() -> int:
    """Run the demo; 0 when everything in it worked."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    keep = os.environ.get("KEEP", "") not in ("", "0")
    OUTPUT.mkdir(exist_ok=True)
    heading("Starting the stack: API, workers, scheduler, Redis, database")
    stack = Stack()
    try:
        with running(stack, keep=keep):
            url = stack.found["api_url"]
            say(f"ready at {url} after {time.monotonic() - started:.1f} s")
            pings = Pings(stack.found["broker_url"], stack.found["result_backend"])
            with Client.local(DATA) as client:
                run_campaign(client, pings)
            heading("Afterwards")
            if keep or not stack.is_ours:
                say(f"the stack is up: {url}, API documentation at {url}/docs")
                say(f"  look:  .venv/bin/materia campaign list --data-dir {DATA}")
                say(f"  stop:  kill {stack.found['pid']}")
    except KeyboardInterrupt:
        say("\ninterrupted", "yellow")
        return 130
    except Exception as error:  # noqa: BLE001 - whatever failed, the user sees the stack's log
        if not isinstance(error, MateriaError):
            console.print_exception()
        say(f"\nthe demo failed: {error}", "bold red")
        show_log()
        return 1
    say(f"data are in {DATA}, results in {OUTPUT}; done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
