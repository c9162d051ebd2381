"""The supervisor against small real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from materia.errors import StateError
from materia.stack import probes
from materia.stack.child import ProcessSpec, ProcessState
from materia.stack.supervisor import Patience, Supervisor
from servers import is_alive, wait_until

PYTHON = (sys.executable, "-I", "-S", "-c")
WAITS = "import signal; signal.pause()"
QUICK = Patience(ready_s=60, first_pause_s=0.01, longest_pause_s=0.05, settled_s=0.5)


def service(folder: Path, name: str, code: str = WAITS, **options: object) -> ProcessSpec:
    """Return a process that says when it is ready, and then runs `code`."""
    says = folder / f"{name}.ready"
    prefix = (
        f"import os; from pathlib import Path\nPath({str(says)!r}).write_text(str(os.getpid()))"
    )
    return ProcessSpec(
        name,
        (*PYTHON, f"{prefix}\n{textwrap.dedent(code)}"),
        ready=probes.file_names(says),
        leaves=(says,),
        **options,
    )


class Stack:
    """A supervisor in this process, with every state that it went through."""

    def __init__(self, folder: Path, *specs: ProcessSpec, patience: Patience = QUICK) -> None:
        self.history: list[tuple[str, ProcessState]] = []
        self.stop = asyncio.Event()
        self._changed = asyncio.Event()
        self.supervisor = Supervisor(
            specs, logs=folder, folder=folder, on_change=self._note, patience=patience
        )

    def _note(self, supervisor: Supervisor) -> None:
        for name, process in supervisor.processes.items():
            if self.state_of(name) != process.state:
                self.history.append((name, process.state))
        self._changed.set()

    def state_of(self, name: str) -> ProcessState | None:
        states = [state for n, state in self.history if n == name]
        return states[-1] if states else None

    def pid(self, name: str) -> int:
        pid = self.supervisor.processes[name].pid
        assert pid is not None
        return pid

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def until_ready(self) -> None:
        await self.until(lambda: self.supervisor.is_ready)

    def run(self, scenario: Callable[[], object]) -> None:
        """Run the supervisor and, beside it, a scenario; then stop."""

        async def both() -> None:
            running = asyncio.create_task(self.supervisor.run(self.stop))
            played = asyncio.ensure_future(scenario())
            await asyncio.wait({running, played}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                played.cancel()
                await running
            await played
            self.stop.set()
            await running

        asyncio.run(both())


def test_processes_start_after_what_they_need_and_stop_before_it(tmp_path: Path) -> None:
    stack = Stack(
        tmp_path,
        service(tmp_path, "redis"),
        ProcessSpec("migrate", (*PYTHON, "pass"), is_one_shot=True),
        service(tmp_path, "api", after=("redis", "migrate")),
        service(tmp_path, "worker", after=("redis", "migrate")),
    )
    stack.run(stack.until_ready)
    order = stack.history
    started = {name: order.index((name, ProcessState.STARTING)) for name in ("api", "worker")}
    assert min(started.values()) > order.index(("redis", ProcessState.READY))
    assert min(started.values()) > order.index(("migrate", ProcessState.DONE))
    assert order[-1] == ("redis", ProcessState.STOPPED)


def test_a_killed_process_is_started_again_and_the_others_are_left_alone(tmp_path: Path) -> None:
    stack = Stack(tmp_path, service(tmp_path, "api"), service(tmp_path, "worker"))

    async def scenario() -> None:
        await stack.until_ready()
        api, worker = stack.pid("api"), stack.pid("worker")
        os.kill(worker, signal.SIGKILL)
        await stack.until(lambda: not stack.supervisor.is_ready)
        await stack.until_ready()
        assert stack.pid("worker") != worker
        assert stack.pid("api") == api
        assert stack.supervisor.processes["worker"].reason == "was killed by SIGKILL"

    stack.run(scenario)


def test_children_of_a_killed_process_are_ended_too(tmp_path: Path) -> None:
    code = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-I", "-S", "-c", {WAITS!r}])
        Path({str(tmp_path / "child")!r}).write_text(str(child.pid))
        child.wait()
    """
    stack = Stack(tmp_path, service(tmp_path, "worker", code))
    children: list[int] = []

    async def scenario() -> None:
        await stack.until_ready()
        path = tmp_path / "child"
        await asyncio.to_thread(wait_until, lambda: path.exists() and path.read_text(), "a child")
        children.append(int(path.read_text()))
        os.kill(stack.pid("worker"), signal.SIGKILL)
        await stack.until(lambda: stack.state_of("worker") is ProcessState.RESTARTING)

    stack.run(scenario)
    wait_until(lambda: not is_alive(children[0]), "the child of the killed process is gone")


def test_a_process_that_never_starts_ends_the_stack_with_its_last_words(tmp_path: Path) -> None:
    stack = Stack(
        tmp_path,
        service(tmp_path, "api"),
        ProcessSpec("worker", (*PYTHON, "print('no such queue'); raise SystemExit(3)"),
                    ready=probes.file_names(tmp_path / "never")),
    )  # fmt: skip
    with pytest.raises(StateError, match=r"worker does not start: it ended with status 3"):
        stack.run(stack.until_ready)
    assert stack.supervisor.processes["worker"].last_lines[-1] == "no such queue"
    assert stack.state_of("worker") is ProcessState.FAILED
    assert stack.state_of("api") is ProcessState.STOPPED


def test_a_failed_one_shot_is_not_taken_for_done(tmp_path: Path) -> None:
    stack = Stack(
        tmp_path,
        ProcessSpec("migrate", (*PYTHON, "raise SystemExit('disk full')"), is_one_shot=True),
        service(tmp_path, "api", after=("migrate",)),
    )
    with pytest.raises(StateError, match="migrate does not start"):
        stack.run(stack.until_ready)
    assert ("api", ProcessState.STARTING) not in stack.history


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    stack = Stack(tmp_path, ProcessSpec("redis", ("/no/such/redis-server",), is_one_shot=True))
    with pytest.raises(StateError, match="redis does not start"):
        stack.run(stack.until_ready)
    assert "No such file" in stack.supervisor.processes["redis"].last_lines[-1]


def test_a_process_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    impatient = Patience(ready_s=0.2, first_pause_s=0.01, longest_pause_s=0.05, first_attempts=2)
    mute = ProcessSpec("api", (*PYTHON, WAITS), ready=probes.file_names(tmp_path / "never"))
    stack = Stack(tmp_path, mute, patience=impatient)
    with pytest.raises(StateError, match=r"api does not start: it was not ready after"):
        stack.run(stack.until_ready)


def test_a_process_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    deaf = """
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path("deaf").touch()
        while True:
            signal.pause()
    """
    stack = Stack(tmp_path, service(tmp_path, "worker", deaf, stop_s=0.1))
    pids: list[int] = []

    async def scenario() -> None:
        await stack.until_ready()
        await asyncio.to_thread(wait_until, (tmp_path / "deaf").exists, "it does not listen")
        pids.append(stack.pid("worker"))

    stack.run(scenario)
    assert not is_alive(pids[0])


def test_a_stack_that_was_ready_once_goes_on_trying(tmp_path: Path) -> None:
    fuse = tmp_path / "broken"
    code = f"""
        import sys, signal
        if Path({str(fuse)!r}).exists():
            sys.exit(1)
        signal.pause()
    """
    stack = Stack(tmp_path, service(tmp_path, "worker", code))

    async def scenario() -> None:
        await stack.until_ready()
        fuse.touch()
        os.kill(stack.pid("worker"), signal.SIGKILL)
        await stack.until(lambda: stack.supervisor.processes["worker"].restarts > 6)
        fuse.unlink()
        await stack.until_ready()

    stack.run(scenario)


SUPERVISES = """
import asyncio, sys
from pathlib import Path
from materia.stack.child import ProcessSpec
from materia.stack.supervisor import Supervisor

folder = Path(sys.argv[1])
def note(supervisor):
    pid = supervisor.processes["worker"].pid
    if supervisor.is_ready and pid:
        (folder / "pid").write_text(str(pid))

spec = ProcessSpec("worker", (sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"))
asyncio.run(Supervisor([spec], logs=folder, folder=folder, on_change=note).run(asyncio.Event()))
"""


def test_processes_die_with_a_killed_supervisor(tmp_path: Path) -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISES, tmp_path])
    path = tmp_path / "pid"
    wait_until(lambda: path.exists() and path.read_text(), "the process runs")
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not is_alive(int(path.read_text())), "the process is gone")
